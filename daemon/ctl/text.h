/* SPDX-License-Identifier: MIT
 *
 * text: values as words for people.  Names of pools, types and programs were
 * chosen by other users, so none reaches a terminal as it is.
 */
#ifndef CTL_TEXT_H
#define CTL_TEXT_H

#include <stdint.h>

/* `text` with every byte that does not print as itself in this locale as \xHH, and
 * backslashes doubled, so that no two texts look alike by their escapes.  Characters
 * that reorder or hide their neighbours count as not printing.  Never NULL (ends the
 * program without memory); the caller's to free. */
char *text_safe(const char *text);

/* `text` as UTF-8 for JSON, bytes that are none as \xHH.  As text_safe(). */
char *text_utf8(const char *text);

/* The rest are the caller's to free and never NULL, too. */
char *text_bytes(uint64_t bytes);  /* "1.5 MiB" */
char *text_time(uint64_t seconds); /* "2025-11-22 16:45:12", here */
char *text_user(uint64_t uid);     /* "alice", or the number */
char *text_duration(uint64_t ns);  /* "1.25 ms" */

/* "97.09 %"; only what is all reads as 100 and only what is nothing as 0. */
char *text_percent(double percent);

/* As printf, in memory. */
char *text_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the program: there is no memory. */
_Noreturn void text_no_memory(void);

#endif
