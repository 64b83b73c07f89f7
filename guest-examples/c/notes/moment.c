#include "moment.h"

#include <stdio.h>
#include <time.h>

bool moment_millis(const char *text, uint64_t *millis)
{
    uint64_t number = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(number, 10, &number) || __builtin_add_overflow(number, *at - '0', &number))
            return false;
    uint64_t unit = *at == 's'   ? 1000
                    : *at == 'm' ? 60 * 1000
                    : *at == 'h' ? 60 * 60 * 1000
                    : *at == 'd' ? 24 * 60 * 60 * 1000
                                 : 0;
    return number > 0 && unit > 0 && at[1] == '\0' && !__builtin_mul_overflow(number, unit, millis);
}

moment_text moment_shown(uint64_t millis)
{
    time_t seconds = (time_t)(millis / 1000);
    struct tm parts;
    moment_text shown = {"-"};
    if (gmtime_r(&seconds, &parts) != NULL)
        snprintf(shown.text, sizeof shown.text, "%04d-%02d-%02d %02d:%02d", parts.tm_year + 1900, parts.tm_mon + 1,
                 parts.tm_mday, parts.tm_hour, parts.tm_min);
    return shown;
}
