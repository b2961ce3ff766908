/* SPDX-License-Identifier: MIT
 *
 * text: see text.h.
 */
#include "text.h"

#include "ctl.h"
#include "os/backing.h"

#include <inttypes.h>
#include <math.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>
#include <wctype.h>

void text_no_memory(void)
{
    fputs("fastallocctl: out of memory\n", stderr);
    exit(CTL_FAILED);
}

char *text_format(const char *format, ...)
{
    va_list arguments;
    char *text;
    int length;

    va_start(arguments, format);
    length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0)
        text_no_memory();
    return text;
}

/* Characters that print, says the locale, but change how others look. */
static bool deceives(wchar_t c)
{
    return c == 0xad || c == 0x61c || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
           (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe0fff);
}

char *text_safe(const char *text)
{
    size_t left = strlen(text), length, i;
    char *safe = malloc(4 * left + 1), *end = safe;
    mbstate_t state = {0};
    wchar_t c;

    if (!safe)
        text_no_memory();
    for (; left > 0; text += length, left -= length) {
        length = mbrtowc(&c, text, left, &state);
        if (length != (size_t)-1 && length != (size_t)-2 && iswprint((wint_t)c) && !deceives(c)) {
            if (c == L'\\')
                *end++ = '\\';
            memcpy(end, text, length);
            end += length;
            continue;
        }
        if (length == (size_t)-1 || length == (size_t)-2) {
            memset(&state, 0, sizeof state);
            length = 1;
        }
        for (i = 0; i < length; i++)
            end += sprintf(end, "\\x%02x", (unsigned char)text[i]);
    }
    *end = '\0';
    return safe;
}

/* The length of the UTF-8 character at `text`, 0 if there is none. */
static size_t utf8_length(const unsigned char *text)
{
    size_t length = text[0] < 0x80   ? 1
                    : text[0] < 0xc2 ? 0
                    : text[0] < 0xe0 ? 2
                    : text[0] < 0xf0 ? 3
                    : text[0] < 0xf5 ? 4
                                     : 0;
    size_t i;

    for (i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
        (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
        return 0;
    return length;
}

char *text_utf8(const char *text)
{
    const unsigned char *next = (const unsigned char *)text;
    char *utf8 = malloc(4 * strlen(text) + 1), *end = utf8;

    if (!utf8)
        text_no_memory();
    while (*next) {
        size_t length = utf8_length(next);

        if (length == 0) {
            end += sprintf(end, "\\x%02x", *next++);
            continue;
        }
        memcpy(end, next, length);
        end += length;
        next += length;
    }
    *end = '\0';
    return utf8;
}

char *text_bytes(uint64_t bytes)
{
    char amount[32];

    backing_amount(amount, sizeof amount, bytes);
    return text_format("%s", amount);
}

char *text_time(uint64_t seconds)
{
    time_t when = (time_t)seconds;
    char words[64];
    struct tm local;

    if (when < 0 || !localtime_r(&when, &local) ||
        strftime(words, sizeof words, "%Y-%m-%d %H:%M:%S", &local) == 0)
        return text_format("%" PRIu64, seconds);
    return text_format("%s", words);
}

char *text_user(uint64_t uid)
{
    struct passwd *entry = uid < UINT32_MAX ? getpwuid((uid_t)uid) : NULL;

    return entry ? text_safe(entry->pw_name) : text_format("%" PRIu64, uid);
}

char *text_duration(uint64_t ns)
{
    if (ns < 1000)
        return text_format("%" PRIu64 " ns", ns);
    if (ns < 1000000)
        return text_format("%.2f us", (double)ns / 1e3);
    if (ns < 1000000000)
        return text_format("%.2f ms", (double)ns / 1e6);
    return text_format("%.2f s", (double)ns / 1e9);
}

char *text_percent(double percent)
{
    if (!isfinite(percent))
        return text_format("-");
    if (percent > 0 && percent < 0.01)
        return text_format("<0.01 %%");
    if (percent > 99.99 && percent < 100)
        return text_format(">99.99 %%");
    return text_format("%.2f %%", percent);
}
