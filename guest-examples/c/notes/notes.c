// Keeps notes by title, for ever or for some time. An ordinary C program with a command line.
// It must never replace a note that it was not told to delete, however many of it run at once.
#include "guest.h"
#include "moment.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char USAGE[] =
    "usage: notes add [--for TIME] TITLE [TEXT..]\n"
    "                                  keep a note; without TEXT, from stdin; with TIME, such as 90s, 5m, 12h\n"
    "                                  or 7d, only for so long\n"
    "       notes list [PREFIX]        the notes, the newest first: all, or those whose titles begin with PREFIX\n"
    "       notes show TITLE           print a note\n"
    "       notes delete TITLE         remove a note\n";

// Titles are keys behind this prefix, so that later kinds of records do not meet them.
#define NOTE "note/"

typedef stash_storage_collections_own_collection_t collection;

// Says what is wrong; the program then ends with 1.
__attribute__((format(printf, 1, 2))) static int complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("notes: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return EXIT_FAILURE;
}

static int complain_of(stash_storage_types_error_t *error)
{
    // Whatever the case, its text comes first.
    guest_string_t text = error->val.not_found;
    complain("%.*s", (int)text.len, (const char *)text.ptr);
    stash_storage_types_error_free(error);
    return EXIT_FAILURE;
}

static int complain_of_missing(const char *title)
{
    return complain("there is no note '%s'", title);
}

// Memory, or the end of the program.
static void *need(void *old, size_t size)
{
    void *memory = realloc(old, size);
    if (memory == NULL)
        exit(complain("out of memory"));
    return memory;
}

static guest_string_t key_of(const char *title)
{
    guest_string_t key = {.len = strlen(NOTE) + strlen(title)};
    key.ptr = need(NULL, key.len + 1);
    strcpy((char *)key.ptr, NOTE);
    strcat((char *)key.ptr, title);
    return key;
}

// Opens the collection that is always there, so that `stash kv` shows the notes.
static bool open_notes(collection *notes)
{
    guest_string_t name = {0};
    stash_storage_collections_error_t error;
    bool open = stash_storage_collections_open(&name, notes, &error);
    if (!open)
        complain_of(&error);
    return open;
}

static stash_storage_collections_borrow_collection_t borrow(collection notes)
{
    return stash_storage_collections_borrow_collection(notes);
}

// Prints bytes as they were given; a reader that has seen enough is no error. A closed pipe may arrive as EIO.
static int print(const void *bytes, size_t length)
{
    if ((fwrite(bytes, 1, length, stdout) < length || fflush(stdout) != 0) && errno != EPIPE && errno != EIO)
        return complain("cannot write the output: %s", strerror(errno));
    return EXIT_SUCCESS;
}

static bool has_control_character(const char *title)
{
    for (const unsigned char *at = (const unsigned char *)title; *at != '\0'; at++)
        // Those of ASCII, and U+0080 to U+009F in UTF-8.
        if (*at < 0x20 || *at == 0x7f || (*at == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f))
            return true;
    return false;
}

// The words with a space between, or all of stdin where there are none; and a newline at the end, where there is none.
static bool read_text(int count, char **words, guest_list_u8_t *text)
{
    size_t room = 0;
    *text = (guest_list_u8_t){0};
    if (count > 0) {
        for (int n = 0; n < count; n++)
            room += strlen(words[n]) + 1;
        text->ptr = need(NULL, room + 1);
        for (int n = 0; n < count; n++) {
            size_t length = strlen(words[n]);
            memcpy(text->ptr + text->len, words[n], length);
            text->len += length;
            if (n + 1 < count)
                text->ptr[text->len++] = ' ';
        }
    } else {
        do {
            room = 2 * room + 4096;
            text->ptr = need(text->ptr, room + 1);
            text->len += fread(text->ptr + text->len, 1, room - text->len, stdin);
        } while (text->len == room);
        if (ferror(stdin)) {
            complain("cannot read stdin: %s", strerror(errno));
            return false;
        }
    }
    if (text->len == 0) {
        complain("nothing to keep: the text is empty");
        return false;
    }
    if (text->ptr[text->len - 1] != '\n')
        text->ptr[text->len++] = '\n';
    return true;
}

static int add(const char *title, int count, char **words, stash_storage_types_expiry_t expires)
{
    if (*title == '\0' || has_control_character(title))
        return complain("a title is one line of text, and not empty");
    guest_list_u8_t text;
    collection notes;
    int done = EXIT_FAILURE;
    if (read_text(count, words, &text) && open_notes(&notes)) {
        // The store asks and stores in one: nobody can come between.
        stash_storage_collections_set_call_t call = {
            .condition = {.is_some = true, .val.tag = STASH_STORAGE_TYPES_CONDITION_ABSENT},
            .options = {.is_some = true, .val.expires = expires, .val.content_type.is_some = true},
        };
        guest_string_set(&call.options.val.content_type.val, "text/plain");
        guest_string_t key = key_of(title);
        stash_storage_collections_version_t version;
        stash_storage_collections_error_t error;
        if (stash_storage_collections_method_collection_set(borrow(notes), &key, &text, &call, &version, &error)) {
            done = EXIT_SUCCESS;
        } else if (error.tag == STASH_STORAGE_TYPES_ERROR_ALREADY_EXISTS) {
            stash_storage_types_error_free(&error);
            done = complain("there is already a note '%s'; delete it first", title);
        } else {
            done = complain_of(&error);
        }
        free(key.ptr);
        stash_storage_collections_collection_drop_own(notes);
    }
    free(text.ptr);
    return done;
}

// Versions, not times: two notes can be of one millisecond, but never of one commit.
static int newest_first(const void *a, const void *b)
{
    uint64_t left = ((const stash_storage_types_entry_t *)a)->metadata.version;
    uint64_t right = ((const stash_storage_types_entry_t *)b)->metadata.version;
    return (left < right) - (left > right);
}

static int list(const char *prefix)
{
    collection notes;
    if (!open_notes(&notes))
        return EXIT_FAILURE;
    int done = EXIT_SUCCESS;
    stash_storage_types_list_entry_t entries = {0};
    stash_storage_types_list_options_t options = {.range.prefix = {.is_some = true, .val = key_of(prefix)}};
    do {
        stash_storage_collections_entry_page_t page;
        stash_storage_collections_error_t error;
        if (!stash_storage_collections_method_collection_list_entries(borrow(notes), &options, &page, &error)) {
            done = complain_of(&error);
            break;
        }
        guest_option_string_free(&options.cursor);
        options.cursor = page.cursor;
        // The entries move from the page to all entries; what is left of it is the list's own memory.
        entries.ptr = need(entries.ptr, (entries.len + page.entries.len + 1) * sizeof *entries.ptr);
        memcpy(entries.ptr + entries.len, page.entries.ptr, page.entries.len * sizeof *entries.ptr);
        entries.len += page.entries.len;
        if (page.entries.len > 0)
            free(page.entries.ptr);
    } while (options.cursor.is_some);

    if (done == EXIT_SUCCESS && entries.len > 0) {
        qsort(entries.ptr, entries.len, sizeof *entries.ptr, newest_first);
        char *lines = NULL;
        size_t length = 0;
        FILE *out = open_memstream(&lines, &length);
        for (size_t n = 0; n < entries.len; n++) {
            const stash_storage_types_metadata_t *metadata = &entries.ptr[n].metadata;
            fputs(metadata->created.is_some ? moment_shown(metadata->created.val).text : "-", out);
            const guest_string_t *key = &entries.ptr[n].key;
            fprintf(out, "  %.*s", (int)(key->len - strlen(NOTE)), (const char *)key->ptr + strlen(NOTE));
            if (metadata->expires.is_some)
                fprintf(out, "  (until %s)", moment_shown(metadata->expires.val).text);
            fputc('\n', out);
        }
        fclose(out);
        done = print(lines, length);
        free(lines);
    }
    guest_option_string_free(&options.cursor);
    free(options.range.prefix.val.ptr);
    stash_storage_types_list_entry_free(&entries);
    stash_storage_collections_collection_drop_own(notes);
    return done;
}

static int show(const char *title)
{
    collection notes;
    if (!open_notes(&notes))
        return EXIT_FAILURE;
    int done;
    guest_string_t key = key_of(title);
    guest_option_list_u8_t text;
    stash_storage_collections_error_t error;
    if (!stash_storage_collections_method_collection_get(borrow(notes), &key, &text, &error)) {
        done = complain_of(&error);
    } else {
        done = text.is_some ? print(text.val.ptr, text.val.len) : complain_of_missing(title);
        guest_option_list_u8_free(&text);
    }
    free(key.ptr);
    stash_storage_collections_collection_drop_own(notes);
    return done;
}

static int delete(const char *title)
{
    collection notes;
    if (!open_notes(&notes))
        return EXIT_FAILURE;
    int done;
    guest_string_t key = key_of(title);
    bool existed;
    stash_storage_collections_error_t error;
    if (!stash_storage_collections_method_collection_delete(borrow(notes), &key, NULL, &existed, &error))
        done = complain_of(&error);
    else
        done = existed ? EXIT_SUCCESS : complain_of_missing(title);
    free(key.ptr);
    stash_storage_collections_collection_drop_own(notes);
    return done;
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    stash_storage_types_expiry_t expires = {.tag = STASH_STORAGE_TYPES_EXPIRY_NEVER};
    if (strcmp(command, "add") == 0 && argc >= 5 && strcmp(argv[2], "--for") == 0) {
        expires.tag = STASH_STORAGE_TYPES_EXPIRY_AFTER;
        if (!moment_millis(argv[3], &expires.val.after))
            return complain("'%s' is no time: write a number and a unit, such as 90s, 5m, 12h or 7d", argv[3]);
        return add(argv[4], argc - 5, argv + 5, expires);
    }
    if (strcmp(command, "add") == 0 && argc >= 3)
        return add(argv[2], argc - 3, argv + 3, expires);
    if (strcmp(command, "list") == 0 && argc <= 3)
        return list(argc == 3 ? argv[2] : "");
    if (strcmp(command, "show") == 0 && argc == 3)
        return show(argv[2]);
    if (strcmp(command, "delete") == 0 && argc == 3)
        return delete(argv[2]);
    if ((strcmp(command, "help") == 0 || strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0) && argc == 2)
        return print(USAGE, strlen(USAGE));
    fputs(USAGE, stderr);
    return EXIT_FAILURE;
}
