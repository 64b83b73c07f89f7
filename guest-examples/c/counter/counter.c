// Counters over HTTP: GET /NAME reads one, POST /NAME adds 1 or ?by=N, DELETE /NAME forgets it.
// It must never lose a count: it adds inside the store, so that any number of instances may count at once.
#include "http.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static http_answer failed(stash_storage_store_error_t *error)
{
    uint16_t status = error->tag == STASH_STORAGE_TYPES_ERROR_INVALID_NUMBER ? 409 : 500;
    // Whatever the case, its text comes first.
    guest_string_t text = error->val.not_found;
    http_answer answer = http_text(status, "%.*s\n", (int)text.len, (const char *)text.ptr);
    stash_storage_store_error_free(error);
    return answer;
}

static http_answer get(guest_string_t *name)
{
    guest_option_list_u8_t value;
    stash_storage_store_error_t error;
    if (!stash_storage_store_get(name, &value, &error))
        return failed(&error);
    if (!value.is_some)
        return http_text(200, "0\n");
    http_answer answer = http_text(200, "%.*s\n", (int)value.val.len, (const char *)value.val.ptr);
    guest_option_list_u8_free(&value);
    return answer;
}

// What the query has as `by`, 1 where it has none. False where that is no whole number.
static bool amount(const http_request *request, int64_t *by)
{
    *by = 1;
    char *text = http_query(request, "by");
    if (text == NULL)
        return true;
    const char *digits = text + (*text == '-' || *text == '+');
    // strtoll alone would take spaces before the number, and any text after it.
    bool whole = *digits != '\0' && strspn(digits, "0123456789") == strlen(digits);
    errno = 0;
    *by = strtoll(text, NULL, 10);
    free(text);
    return whole && errno == 0;
}

static http_answer post(guest_string_t *name, const http_request *request)
{
    int64_t by, count;
    if (!amount(request, &by))
        return http_text(400, "by: not a whole number\n");
    stash_storage_store_error_t error;
    if (!stash_storage_store_increment(name, by, &count, &error))
        return failed(&error);
    return http_text(200, "%lld\n", (long long)count);
}

static http_answer delete(guest_string_t *name)
{
    bool existed;
    stash_storage_store_error_t error;
    if (!stash_storage_store_delete(name, &existed, &error))
        return failed(&error);
    return http_empty(204);
}

http_answer http_serve(const http_request *request)
{
    guest_string_t name;
    guest_string_set(&name, strcmp(request->path, "/") == 0 ? "count" : request->path + 1);
    if (!http_is_name((const char *)name.ptr, name.len))
        return http_text(400, "a name has 1 to 64 letters, digits, '-' and '_'\n");
    switch (request->method) {
    case WASI_HTTP_TYPES_METHOD_GET:
        return get(&name);
    case WASI_HTTP_TYPES_METHOD_POST:
        return post(&name, request);
    case WASI_HTTP_TYPES_METHOD_DELETE:
        return delete(&name);
    default: {
        http_answer answer = http_text(405, "use GET, POST or DELETE\n");
        answer.header = "allow";
        answer.value = strdup("GET, POST, DELETE");
        return answer;
    }
    }
}
