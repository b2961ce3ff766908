/* SPDX-License-Identifier: MIT
 *
 * log: lines to stderr or syslog.
 */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

static enum log_level lowest = LOG_LEVEL_INFO;
static bool to_syslog;

static const char *const names[] = {"error", "warn", "info", "debug"};
static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};

void log_set_level(enum log_level level)
{
    lowest = level;
}

void log_use_syslog(void)
{
    openlog("fastallocd", LOG_PID, LOG_DAEMON);
    to_syslog = true;
}

bool log_find_level(const char *name, enum log_level *level)
{
    unsigned i;

    for (i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

static void to_stderr(enum log_level level, const char *text)
{
    struct timespec now;
    struct tm parts;
    char stamp[32];

    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &parts);
    strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &parts);
    /* One call, so that lines of several threads do not mix. */
    fprintf(stderr, "%s.%03ld %-5s %s\n", stamp, now.tv_nsec / 1000000, names[level], text);
}

void log_write(enum log_level level, const char *format, ...)
{
    char text[1024], *c;
    va_list arguments;

    if (level > lowest)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    /* Names of programs come from strangers: no line of theirs among ours. */
    for (c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    if (to_syslog)
        syslog(priorities[level], "%s", text);
    else
        to_stderr(level, text);
}
