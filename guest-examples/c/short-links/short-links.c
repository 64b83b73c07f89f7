// Short links over HTTP: PUT /NAME with a URL makes one, GET /NAME leads there, GET /NAME/hits tells how often it did,
// GET / lists all, DELETE /NAME removes one. Stored with wasi:keyvalue, which other hosts have too.
#include "http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_URL = 2048 };

// The buckets: NAME to URL, and NAME to how often it was followed.
typedef struct {
    wasi_keyvalue_store_own_bucket_t links, hits;
} stores;

typedef wasi_keyvalue_store_error_t kv_error;

static wasi_keyvalue_store_borrow_bucket_t borrow(wasi_keyvalue_store_own_bucket_t bucket)
{
    return wasi_keyvalue_store_borrow_bucket(bucket);
}

static http_answer failed(kv_error *error)
{
    http_answer answer;
    switch (error->tag) {
    case WASI_KEYVALUE_STORE_ERROR_NO_SUCH_STORE:
        answer = http_text(500, "no-such-store\n");
        break;
    case WASI_KEYVALUE_STORE_ERROR_ACCESS_DENIED:
        answer = http_text(500, "access-denied\n");
        break;
    default:
        answer = http_text(500, "%.*s\n", (int)error->val.other.len, (const char *)error->val.other.ptr);
    }
    wasi_keyvalue_store_error_free(error);
    return answer;
}

static bool open_stores(stores *s, kv_error *error)
{
    guest_string_t name;
    guest_string_set(&name, "links");
    if (!wasi_keyvalue_store_open(&name, &s->links, error))
        return false;
    guest_string_set(&name, "hits");
    if (wasi_keyvalue_store_open(&name, &s->hits, error))
        return true;
    wasi_keyvalue_store_bucket_drop_own(s->links);
    return false;
}

// Takes white space from both ends, and tells whether what is left is a link.
static bool is_link(const char **text, size_t *length)
{
    const char *end = *text + *length;
    while (*text < end && strchr(" \t\r\n", **text) != NULL && **text != '\0')
        (*text)++;
    while (end > *text && strchr(" \t\r\n", end[-1]) != NULL && end[-1] != '\0')
        end--;
    *length = (size_t)(end - *text);
    for (const unsigned char *at = (const unsigned char *)*text; at < (const unsigned char *)end; at++)
        // A space or a control character: those of ASCII, and U+0080 to U+009F in UTF-8.
        if (*at <= 0x20 || *at == 0x7f
            || (*at == 0xc2 && at + 1 < (const unsigned char *)end && at[1] >= 0x80 && at[1] <= 0x9f))
            return false;
    return *length <= MAX_URL
           && ((*length >= 7 && memcmp(*text, "http://", 7) == 0) || (*length >= 8 && memcmp(*text, "https://", 8) == 0));
}

static http_answer put(const stores *s, guest_string_t *name, const http_request *request)
{
    // White space around it is nobody's fault, but not without end.
    char body[2 * MAX_URL];
    const char *text = body;
    size_t length;
    if (!http_body(request, body, sizeof body, &length) || !is_link(&text, &length))
        return http_text(400, "a link is a URL that begins with http:// or https://\n");
    bool existed;
    guest_list_u8_t link = {(uint8_t *)text, length};
    kv_error error;
    if (!wasi_keyvalue_store_method_bucket_exists(borrow(s->links), name, &existed, &error)
        || !wasi_keyvalue_store_method_bucket_set(borrow(s->links), name, &link, &error))
        return failed(&error);
    return http_empty(existed ? 204 : 201);
}

static http_answer follow(const stores *s, guest_string_t *name)
{
    guest_option_list_u8_t link;
    kv_error error;
    if (!wasi_keyvalue_store_method_bucket_get(borrow(s->links), name, &link, &error))
        return failed(&error);
    if (!link.is_some)
        return http_text(404, "no such link\n");
    http_answer answer;
    uint64_t hits;
    // Adds inside the store, so that no hit is lost, however many follow the link at once.
    if (!wasi_keyvalue_atomics_increment(borrow(s->hits), name, 1, &hits, &error)) {
        answer = failed(&error);
    } else {
        answer = http_empty(302);
        answer.header = "location";
        answer.value = strndup((const char *)link.val.ptr, link.val.len);
    }
    guest_option_list_u8_free(&link);
    return answer;
}

static http_answer count(const stores *s, guest_string_t *name)
{
    bool exists;
    guest_option_list_u8_t hits;
    kv_error error;
    if (!wasi_keyvalue_store_method_bucket_exists(borrow(s->links), name, &exists, &error))
        return failed(&error);
    if (!exists)
        return http_text(404, "no such link\n");
    if (!wasi_keyvalue_store_method_bucket_get(borrow(s->hits), name, &hits, &error))
        return failed(&error);
    if (!hits.is_some)
        return http_text(200, "0\n");
    http_answer answer = http_text(200, "%.*s\n", (int)hits.val.len, (const char *)hits.val.ptr);
    guest_option_list_u8_free(&hits);
    return answer;
}

static http_answer delete(const stores *s, guest_string_t *name)
{
    kv_error error;
    if (!wasi_keyvalue_store_method_bucket_delete(borrow(s->links), name, &error)
        || !wasi_keyvalue_store_method_bucket_delete(borrow(s->hits), name, &error))
        return failed(&error);
    return http_empty(204);
}

static int in_byte_order(const void *a, const void *b)
{
    const guest_string_t *left = a, *right = b;
    int order = memcmp(left->ptr, right->ptr, left->len < right->len ? left->len : right->len);
    return order != 0 ? order : (left->len > right->len) - (left->len < right->len);
}

// All pages of names, added to those that are there.
static bool all_names(const stores *s, guest_list_string_t *names, kv_error *error)
{
    uint64_t cursor;
    bool more = false;
    do {
        wasi_keyvalue_store_key_response_t page;
        if (!wasi_keyvalue_store_method_bucket_list_keys(borrow(s->links), more ? &cursor : NULL, &page, error))
            return false;
        names->ptr = need(names->ptr, (names->len + page.keys.len + 1) * sizeof *names->ptr);
        memcpy(names->ptr + names->len, page.keys.ptr, page.keys.len * sizeof *names->ptr);
        names->len += page.keys.len;
        // The names have moved; what is left of the page is the list's own memory.
        if (page.keys.len > 0)
            free(page.keys.ptr);
        more = page.cursor.is_some;
        cursor = page.cursor.val;
    } while (more);
    return true;
}

static bool write_links(const stores *s, const guest_list_string_t *names, FILE *out, kv_error *error)
{
    for (size_t begin = 0; begin < names->len; begin += 1000) {
        size_t left = names->len - begin;
        guest_list_string_t some = {names->ptr + begin, left < 1000 ? left : 1000};
        guest_list_option_tuple2_string_list_u8_t links;
        if (!wasi_keyvalue_batch_get_many(borrow(s->links), &some, &links, error))
            return false;
        for (size_t n = 0; n < links.len; n++) {
            // One that was removed meanwhile is none.
            if (links.ptr[n].is_some) {
                guest_string_t name = links.ptr[n].val.f0;
                guest_list_u8_t link = links.ptr[n].val.f1;
                fprintf(out, "%.*s %.*s\n", (int)name.len, (const char *)name.ptr, (int)link.len, (const char *)link.ptr);
            }
        }
        guest_list_option_tuple2_string_list_u8_free(&links);
    }
    return true;
}

static http_answer list(const stores *s)
{
    guest_list_string_t names = {0};
    http_answer answer = {.status = 200};
    kv_error error;
    bool done = all_names(s, &names, &error);
    if (done) {
        if (names.len > 0)
            qsort(names.ptr, names.len, sizeof *names.ptr, in_byte_order);
        FILE *out = open_memstream(&answer.body, &answer.length);
        done = write_links(s, &names, out, &error);
        fclose(out);
    }
    guest_list_string_free(&names);
    if (!done) {
        free(answer.body);
        return failed(&error);
    }
    return answer;
}

http_answer http_serve(const http_request *request)
{
    bool get = request->method == WASI_HTTP_TYPES_METHOD_GET;
    bool is_put = request->method == WASI_HTTP_TYPES_METHOD_PUT;
    if (!get && !is_put && request->method != WASI_HTTP_TYPES_METHOD_DELETE) {
        http_answer answer = http_text(405, "use GET, PUT or DELETE\n");
        answer.header = "allow";
        answer.value = strdup("GET, PUT, DELETE");
        return answer;
    }
    bool all = get && strcmp(request->path, "/") == 0;
    guest_string_t name;
    guest_string_set(&name, request->path + 1);
    const char *rest = strchr(request->path + 1, '/');
    bool of_hits = get && rest != NULL && strcmp(rest, "/hits") == 0;
    if (of_hits)
        name.len -= strlen(rest);
    if (!all && !http_is_name((const char *)name.ptr, name.len))
        return http_text(400, "a name has 1 to 64 letters, digits, '-' and '_'\n");

    stores s;
    kv_error error;
    if (!open_stores(&s, &error))
        return failed(&error);
    http_answer answer = all       ? list(&s)
                         : of_hits ? count(&s, &name)
                         : get     ? follow(&s, &name)
                         : is_put  ? put(&s, &name, request)
                                   : delete(&s, &name);
    wasi_keyvalue_store_bucket_drop_own(s.links);
    wasi_keyvalue_store_bucket_drop_own(s.hits);
    return answer;
}
