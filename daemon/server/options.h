/* SPDX-License-Identifier: MIT
 *
 * options: the daemon's command line.
 */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

#include "os/paths.h"
#include "server/log.h"

#include <stdbool.h>

#define OPTIONS_PREFIX_MAX 40

struct options {
    char socket[PATHS_MAX];
    char prefix[OPTIONS_PREFIX_MAX + 1]; /* of the names of segments */
    enum log_level level;
    bool foreground;
    bool exit_when_idle;
};

/* Exit values. */
enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* Reads the command line.  Returns -1 to go on, or the value to exit with, after having
 * printed help, version, or what is wrong. */
int options_parse(struct options *options, int argc, char **argv);

#endif
