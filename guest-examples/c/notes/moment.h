// Times as people write and read them.
#ifndef MOMENT_H
#define MOMENT_H

#include <stdbool.h>
#include <stdint.h>

// Milliseconds in a number with a unit: 90s, 5m, 12h, 7d. False where the text is something else.
bool moment_millis(const char *text, uint64_t *millis);

// A moment in milliseconds since 1970, as 2026-11-21 11:16 in UTC.
typedef struct {
    char text[32];
} moment_text;

moment_text moment_shown(uint64_t millis);

#endif
