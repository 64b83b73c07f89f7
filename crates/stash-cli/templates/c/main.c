// Says hello over HTTP, and how often it did. bindings/guest.h has all that it may call; every function there that returns
// something in memory has a _free for it.
#include "guest.h"

#include <stdio.h>
#include <string.h>

// Counts in the component's own store: nobody else can, and it is on disk before this returns.
static void greet(char *text, size_t size)
{
    guest_string_t key;
    guest_string_set(&key, "visits");
    int64_t visits;
    stash_storage_store_error_t error;
    if (stash_storage_store_increment(&key, 1, &visits, &error)) {
        snprintf(text, size, "Hello! This is visit %lld.\n", (long long)visits);
    } else {
        snprintf(text, size, "The store says no, with error %d.\n", error.tag);
        stash_storage_store_error_free(&error);
    }
}

// The host calls this for each request.
void exports_wasi_http_incoming_handler_handle(exports_wasi_http_incoming_handler_own_incoming_request_t request,
                                               exports_wasi_http_incoming_handler_own_response_outparam_t out)
{
    wasi_http_types_incoming_request_drop_own(request);
    wasi_http_types_own_outgoing_response_t response =
        wasi_http_types_constructor_outgoing_response(wasi_http_types_constructor_fields());
    wasi_http_types_own_outgoing_body_t body;
    wasi_http_types_method_outgoing_response_body(wasi_http_types_borrow_outgoing_response(response), &body);
    wasi_http_types_own_output_stream_t stream;
    wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(body), &stream);
    wasi_http_types_result_own_outgoing_response_error_code_t answer = {.is_err = false, .val.ok = response};
    wasi_http_types_static_response_outparam_set(out, &answer);

    // Up to 4096 bytes in one call. Where the client has left, there is nobody to tell.
    char text[100];
    greet(text, sizeof text);
    guest_list_u8_t bytes = {(uint8_t *)text, strlen(text)};
    wasi_io_streams_stream_error_t lost;
    if (!wasi_io_streams_method_output_stream_blocking_write_and_flush(wasi_io_streams_borrow_output_stream(stream), &bytes,
                                                                       &lost))
        wasi_io_streams_stream_error_free(&lost);
    wasi_io_streams_output_stream_drop_own(stream);
    wasi_http_types_error_code_t unfinished;
    if (!wasi_http_types_static_outgoing_body_finish(body, NULL, &unfinished))
        wasi_http_types_error_code_free(&unfinished);
}
