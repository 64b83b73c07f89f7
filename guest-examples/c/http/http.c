#include "http.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What the generated types call a text points to bytes without a zero at the end.
static char *zero_ended(const guest_string_t *text)
{
    char *copy = need(NULL, text->len + 1);
    memcpy(copy, text->ptr, text->len);
    copy[text->len] = '\0';
    return copy;
}

void *need(void *old, size_t size)
{
    void *memory = realloc(old, size);
    if (memory == NULL)
        abort();
    return memory;
}

http_answer http_empty(uint16_t status)
{
    return (http_answer){.status = status};
}

http_answer http_text(uint16_t status, const char *format, ...)
{
    http_answer answer = {.status = status};
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&answer.body, format, arguments);
    va_end(arguments);
    if (length < 0)
        abort();
    answer.length = (size_t)length;
    return answer;
}

static int hex(char digit)
{
    return digit >= '0' && digit <= '9'   ? digit - '0'
           : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
           : digit >= 'A' && digit <= 'F' ? digit - 'A' + 10
                                          : -1;
}

// Decodes in place: the result is never longer.
static void decode(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; from++, to++) {
        if (*from == '%' && hex(from[1]) >= 0 && hex(from[2]) >= 0) {
            *to = (char)(hex(from[1]) << 4 | hex(from[2]));
            from += 2;
        } else {
            *to = *from == '+' ? ' ' : *from;
        }
    }
    *to = '\0';
}

char *http_query(const http_request *request, const char *name)
{
    for (const char *at = request->query; at != NULL;) {
        const char *end = strchr(at, '&');
        size_t length = end != NULL ? (size_t)(end - at) : strlen(at);
        char *pair = zero_ended(&(guest_string_t){(uint8_t *)at, length});
        char *equals = strchr(pair, '=');
        if (equals != NULL)
            *equals = '\0';
        decode(pair);
        if (strcmp(pair, name) == 0) {
            // A name without '=' has the empty value.
            const char *value = equals != NULL ? equals + 1 : "";
            char *decoded = need(NULL, strlen(value) + 1);
            strcpy(decoded, value);
            decode(decoded);
            free(pair);
            return decoded;
        }
        free(pair);
        at = end != NULL ? end + 1 : NULL;
    }
    return NULL;
}

bool http_is_name(const char *text, size_t length)
{
    for (size_t n = 0; n < length; n++) {
        char c = text[n];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
            return false;
    }
    return length >= 1 && length <= 64;
}

bool http_body(const http_request *request, char *buffer, size_t size, size_t *length)
{
    *length = 0;
    wasi_http_types_own_incoming_body_t body;
    if (!wasi_http_types_method_incoming_request_consume(request->handle, &body))
        return false;
    wasi_http_types_own_input_stream_t stream;
    bool whole = false;
    if (wasi_http_types_method_incoming_body_stream(wasi_http_types_borrow_incoming_body(body), &stream)) {
        for (;;) {
            guest_list_u8_t read;
            wasi_io_streams_stream_error_t error;
            // One byte more than there is room for shows that the body is too large.
            if (!wasi_io_streams_method_input_stream_blocking_read(wasi_io_streams_borrow_input_stream(stream),
                                                                   size - *length + 1, &read, &error)) {
                whole = error.tag == WASI_IO_STREAMS_STREAM_ERROR_CLOSED;
                wasi_io_streams_stream_error_free(&error);
                break;
            }
            bool fits = read.len <= size - *length;
            if (fits) {
                memcpy(buffer + *length, read.ptr, read.len);
                *length += read.len;
            }
            guest_list_u8_free(&read);
            if (!fits)
                break;
        }
        // The stream is part of the body, so it goes first.
        wasi_io_streams_input_stream_drop_own(stream);
    }
    wasi_http_types_incoming_body_drop_own(body);
    return whole;
}

static void add_header(wasi_http_types_own_fields_t fields, const char *name, const char *value)
{
    guest_string_t key;
    guest_string_set(&key, name);
    wasi_http_types_field_value_t bytes = {(uint8_t *)value, strlen(value)};
    wasi_http_types_header_error_t error;
    // What cannot be in a header is left out; there is nobody to tell.
    wasi_http_types_method_fields_append(wasi_http_types_borrow_fields(fields), &key, &bytes, &error);
}

static void write_body(wasi_http_types_own_outgoing_body_t body, const char *text, size_t length)
{
    wasi_http_types_own_output_stream_t stream;
    if (!wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(body), &stream))
        return;
    while (length > 0) {
        // The host takes no more than this in one call.
        guest_list_u8_t chunk = {(uint8_t *)text, length < 4096 ? length : 4096};
        wasi_io_streams_stream_error_t error;
        if (!wasi_io_streams_method_output_stream_blocking_write_and_flush(wasi_io_streams_borrow_output_stream(stream),
                                                                           &chunk, &error)) {
            // The client has left.
            wasi_io_streams_stream_error_free(&error);
            break;
        }
        text += chunk.len;
        length -= chunk.len;
    }
    wasi_io_streams_output_stream_drop_own(stream);
}

static void send(wasi_http_types_own_response_outparam_t out, const http_answer *answer)
{
    wasi_http_types_own_fields_t fields = wasi_http_types_constructor_fields();
    if (answer->body != NULL)
        add_header(fields, "content-type", "text/plain; charset=utf-8");
    if (answer->header != NULL)
        add_header(fields, answer->header, answer->value);
    wasi_http_types_own_outgoing_response_t response = wasi_http_types_constructor_outgoing_response(fields);
    wasi_http_types_borrow_outgoing_response_t borrowed = wasi_http_types_borrow_outgoing_response(response);
    wasi_http_types_method_outgoing_response_set_status_code(borrowed, answer->status);
    wasi_http_types_own_outgoing_body_t body;
    bool has_body = wasi_http_types_method_outgoing_response_body(borrowed, &body);
    wasi_http_types_result_own_outgoing_response_error_code_t result = {.is_err = false, .val.ok = response};
    wasi_http_types_static_response_outparam_set(out, &result);
    // The answer is on its way, and the body follows.
    if (has_body) {
        write_body(body, answer->body, answer->length);
        wasi_http_types_error_code_t error;
        if (!wasi_http_types_static_outgoing_body_finish(body, NULL, &error))
            wasi_http_types_error_code_free(&error);
    }
}

// The component's export.
void exports_wasi_http_incoming_handler_handle(exports_wasi_http_incoming_handler_own_incoming_request_t incoming,
                                               exports_wasi_http_incoming_handler_own_response_outparam_t out)
{
    http_request request = {.handle = wasi_http_types_borrow_incoming_request(incoming)};
    wasi_http_types_method_t method;
    wasi_http_types_method_incoming_request_method(request.handle, &method);
    request.method = method.tag;
    wasi_http_types_method_free(&method);

    guest_string_t target;
    if (wasi_http_types_method_incoming_request_path_with_query(request.handle, &target)) {
        request.path = zero_ended(&target);
        guest_string_free(&target);
    } else {
        request.path = zero_ended(&(guest_string_t){(uint8_t *)"/", 1});
    }
    request.query = strchr(request.path, '?');
    if (request.query != NULL)
        *request.query++ = '\0';

    http_answer answer = http_serve(&request);
    send(out, &answer);
    free(answer.value);
    free(answer.body);
    free(request.path);
    wasi_http_types_incoming_request_drop_own(incoming);
}
