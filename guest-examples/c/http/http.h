// One request, one answer: what most guests need of wasi:http. The guest defines http_serve; the rest is in http.c.
#ifndef HTTP_H
#define HTTP_H

#include "guest.h"

typedef struct {
    uint8_t method; // WASI_HTTP_TYPES_METHOD_GET and so on
    char *path;     // as it was sent, from the first '/' up to the '?'
    char *query;    // behind the '?'; NULL where there is none
    wasi_http_types_borrow_incoming_request_t handle;
} http_request;

// An answer owns its value and its body: http.c frees both when they are sent.
typedef struct {
    uint16_t status;
    const char *header; // one beside the content type; NULL for none
    char *value;
    char *body; // text in UTF-8; NULL for none
    size_t length;
} http_answer;

// Defined by the guest, and called for each request.
http_answer http_serve(const http_request *request);

http_answer http_empty(uint16_t status);

// An answer with a text, as printf makes it.
__attribute__((format(printf, 2, 3))) http_answer http_text(uint16_t status, const char *format, ...);

// The first value that the query has for a name, decoded; NULL where there is none. The caller frees it.
char *http_query(const http_request *request, const char *name);

// Reads the body into a buffer. False where it is larger, or could not be read. Call it once.
bool http_body(const http_request *request, char *buffer, size_t size, size_t *length);

// Whether a text can be a name in a path: 1 to 64 letters, digits, '-' and '_'.
bool http_is_name(const char *text, size_t length);

// Memory, or the end of the guest.
void *need(void *old, size_t size);

#endif
