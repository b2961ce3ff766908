/* SPDX-License-Identifier: MIT
 *
 * log: what the daemon has to say, a line at a time: to stderr with time and
 * level, or to syslog.
 */
#ifndef SERVER_LOG_H
#define SERVER_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Lines above `level` are dropped from here on. */
void log_set_level(enum log_level level);

/* From here on lines go to syslog instead of stderr. */
void log_use_syslog(void);

/* "error", "warn", "info", "debug"; false when `name` is none of them. */
bool log_find_level(const char *name, enum log_level *level);

/* May be called from any thread.  Control characters come out as "?". */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
