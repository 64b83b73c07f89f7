// Greets over HTTP, and counts who it has greeted. bindings/guest.h has all that it may call; every function there that returns
// something in memory has a _free for it.
#include "guest.h"

#include <stdio.h>
#include <string.h>

// What it answers to a request for a path: a status, and up to size bytes of text.
static uint16_t answer(const guest_string_t *path, char *text, size_t size)
{
    const char *query = memchr(path->ptr, '?', path->len);
    size_t length = query ? (size_t)(query - (const char *)path->ptr) : path->len;
    if (length != 1 || path->ptr[0] != '/') {
        snprintf(text, size, "there is nothing here\n");
        return 404;
    }
    guest_string_t key;
    guest_string_set(&key, "visits");
    int64_t visits;
    stash_storage_store_error_t error;
    // It adds inside the store: no visit is lost, however many come at once.
    if (!stash_storage_store_increment(&key, 1, &visits, &error)) {
        guest_string_t why = error.val.not_found; // whatever the case, its text comes first
        snprintf(text, size, "%.*s\n", (int)why.len, (const char *)why.ptr);
        stash_storage_store_error_free(&error);
        return 500;
    }
    snprintf(text, size, "Hello from {{name}}! You are visitor %lld.\n", (long long)visits);
    return 200;
}

// The host calls this for each request.
void exports_wasi_http_incoming_handler_handle(exports_wasi_http_incoming_handler_own_incoming_request_t request,
                                               exports_wasi_http_incoming_handler_own_response_outparam_t out)
{
    guest_string_t path;
    bool has_path = wasi_http_types_method_incoming_request_path_with_query(
        wasi_http_types_borrow_incoming_request(request), &path);
    if (!has_path)
        guest_string_set(&path, "/");
    char text[1024];
    uint16_t status = answer(&path, text, sizeof text);
    if (has_path)
        guest_string_free(&path);
    wasi_http_types_incoming_request_drop_own(request);

    wasi_http_types_own_outgoing_response_t response =
        wasi_http_types_constructor_outgoing_response(wasi_http_types_constructor_fields());
    wasi_http_types_method_outgoing_response_set_status_code(wasi_http_types_borrow_outgoing_response(response), status);
    wasi_http_types_own_outgoing_body_t body;
    wasi_http_types_method_outgoing_response_body(wasi_http_types_borrow_outgoing_response(response), &body);
    wasi_http_types_own_output_stream_t stream;
    wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(body), &stream);
    wasi_http_types_result_own_outgoing_response_error_code_t answered = {.is_err = false, .val.ok = response};
    wasi_http_types_static_response_outparam_set(out, &answered);

    // Up to 4096 bytes in one call. Where the client has left, there is nobody to tell.
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
