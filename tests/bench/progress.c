/* SPDX-License-Identifier: MIT
 *
 * progress: see progress.h.
 */
#include "progress.h"

#include "worker.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#define INTERVAL_NS 100e6 /* between two changes of the line */

static double began, all, done, shown;
static bool visible;

void progress_start(double planned_ms)
{
    began = worker_now();
    all = planned_ms;
    done = 0;
}

void progress_done(double planned_ms)
{
    done += planned_ms;
}

/* "2 min 05 s left" */
static void time_left(char *text, size_t size)
{
    double elapsed_ms = (worker_now() - began) / 1e6, pace = 1;
    int seconds;

    /* Believed once there is something to tell it by. */
    if (elapsed_ms > 1000 && done > all / 20)
        pace = elapsed_ms / done;
    seconds = (int)((all > done ? all - done : 0) * pace / 1000);
    if (seconds < 60)
        snprintf(text, size, "%d s left", seconds);
    else
        snprintf(text, size, "%d min %02d s left", seconds / 60, seconds % 60);
}

void progress_show(const char *format, ...)
{
    char what[64], left[32];
    va_list arguments;

    if (!isatty(STDERR_FILENO) || (visible && worker_now() - shown < INTERVAL_NS))
        return;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    time_left(left, sizeof left);
    fprintf(stderr, "\r\033[Kbench: %s, %s", left, what);
    fflush(stderr);
    shown = worker_now();
    visible = true;
}

void progress_clear(void)
{
    if (visible)
        fputs("\r\033[K", stderr);
    fflush(stderr);
    visible = false;
}
