/* SPDX-License-Identifier: MIT
 *
 * reason: see reason.h.
 */
#include "reason.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Cuts a text that filled its buffer back to a whole UTF-8 character. */
static void cut_to_character(char *text, size_t size)
{
    size_t end = size - 1;

    if (strnlen(text, size) < end)
        return;
    while (end > 0 && ((unsigned char)text[end - 1] & 0xc0u) == 0x80u)
        end--;
    if (end > 0 && (unsigned char)text[end - 1] >= 0xc0u)
        end--;
    text[end] = '\0';
}

int reason_set(struct reason *why, int code, const char *format, ...)
{
    va_list arguments;

    if (!why)
        return code;
    va_start(arguments, format);
    vsnprintf(why->text, sizeof why->text, format, arguments);
    va_end(arguments);
    cut_to_character(why->text, sizeof why->text);
    why->code = code;
    return code;
}

int reason_system(struct reason *why, int code, int error, const char *format, ...)
{
    char words[128], text[REASON_MAX];
    va_list arguments;

    if (!why)
        return code;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    /* The GNU variant: returns the text, perhaps not in `words`. */
    return reason_set(why, code, "%s: %s", text, strerror_r(error, words, sizeof words));
}
