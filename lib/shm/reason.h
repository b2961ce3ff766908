/* SPDX-License-Identifier: MIT
 *
 * reason: an error code together with the words that go with it: what failed,
 * on what, the numbers, what to do.  Every function that can fail for a reason
 * worth telling takes one; NULL means that nobody wants to hear it.
 */
#ifndef SHM_REASON_H
#define SHM_REASON_H

#define REASON_MAX 512

struct reason {
    int code;
    char text[REASON_MAX];
};

/* Writes the text (cut at a character boundary when too long) and returns
 * `code`, so that a failing function reads: return reason_set(why, code, ...).
 * `why` may be NULL. */
int reason_set(struct reason *why, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As reason_set() with ": " and the system's words for `error` (an errno)
 * behind the text. */
int reason_system(struct reason *why, int code, int error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
