/* SPDX-License-Identifier: MIT
 *
 * ctl: what the commands of fastallocctl share: the command line as read, the
 * connection, and how a failure is told.  One file a command; main.c has the table.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include "shm/reason.h"

#include <fastalloc/fastalloc.h>
#include <stdbool.h>
#include <stdint.h>

/* Exit values. */
enum {
    CTL_OK = 0,
    CTL_FAILED = 1, /* or, for check, something is wrong with a pool */
    CTL_USAGE = 2   /* the command line is wrong */
};

/* What stat writes. */
enum ctl_form {
    FORM_ALL,        /* everything, for people or as JSON */
    FORM_REPORT,     /* the statistics, in one of the library's reports */
    FORM_OPENMETRICS /* of several pools */
};

struct ctl {
    bool json;
    enum ctl_form form;
    uint32_t report;              /* FASTALLOC_REPORT_... */
    const char *socket;           /* as given; NULL: where it is looked for */
    fastalloc_pool_config config; /* for create */
    char **names;                 /* of pools, from the command line: such as pools can have */
    int name_count;
    uint64_t slots;           /* for grow and shrink; 0: not said */
    uint64_t handle;          /* for release; 0: all */
    bool destroy;             /* for shutdown */
    fastalloc_client *client; /* connected */
};

/* The commands.  Each returns an exit value. */
int cmd_list(struct ctl *ctl);
int cmd_stat(struct ctl *ctl);
int cmd_check(struct ctl *ctl);
int cmd_create(struct ctl *ctl);
int cmd_destroy(struct ctl *ctl);
int cmd_grow(struct ctl *ctl);
int cmd_shrink(struct ctl *ctl);
int cmd_quarantine(struct ctl *ctl);
int cmd_release(struct ctl *ctl);
int cmd_shutdown(struct ctl *ctl);

/* Writes "fastallocctl: " and the text, made safe for a terminal, to stderr; returns
 * CTL_FAILED. */
int ctl_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
