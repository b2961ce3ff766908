/* SPDX-License-Identifier: MIT
 *
 * arguments: the command line of fastallocctl.
 */
#ifndef CTL_ARGUMENTS_H
#define CTL_ARGUMENTS_H

#include "ctl.h"

/* What a command wants behind the names of pools. */
enum argument { ARGUMENT_NONE, ARGUMENT_SLOTS, ARGUMENT_SLOTS_OR_NONE, ARGUMENT_HANDLE };

struct command {
    const char *name;
    int (*run)(struct ctl *ctl);
    int least, most; /* pools to be named; most -1: any number */
    enum argument argument;
};

#define ARGUMENTS_GO_ON (-1)

/* Reads the command line into `ctl` and *command.  Returns ARGUMENTS_GO_ON, or the value to
 * exit with: what was asked for is done, or what is wrong is said. */
int arguments_parse(struct ctl *ctl, const struct command **command, int argc, char **argv);

/* What --help says. */
extern const char arguments_usage[];

#endif
