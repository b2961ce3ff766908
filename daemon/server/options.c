/* SPDX-License-Identifier: MIT
 *
 * options: reading the command line.
 */
#include "options.h"

#include <fastalloc/fastalloc.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "Usage: fastallocd [OPTION]...\n"
    "Creates pools of objects in shared memory for the processes of this machine, and\n"
    "takes back what dead ones held.\n"
    "\n"
    "  -s, --socket PATH       listen there (default: $FASTALLOC_SOCKET, else\n"
    "                          $XDG_RUNTIME_DIR/fastalloc/fastallocd.sock, else, and for\n"
    "                          root, /run/fastalloc/fastallocd.sock)\n"
    "  -f, --foreground        stay in the foreground and log to stderr\n"
    "  -l, --log-level LEVEL   error, warn, info (default) or debug\n"
    "  -p, --prefix NAME       of the names of shared memory (default: fastalloc)\n"
    "      --exit-when-idle    end with the last client, and destroy every pool\n"
    "  -h, --help              show this and exit\n"
    "  -V, --version           show the version and exit\n"
    "\n"
    "Without --foreground, returns when the daemon listens.\n"
    "Exit status: 0, 1 when it could not start, 2 when the command line is wrong.\n";

enum { OPTION_EXIT_WHEN_IDLE = 256 };

static const struct option known[] = {
    {"socket", required_argument, NULL, 's'},
    {"foreground", no_argument, NULL, 'f'},
    {"log-level", required_argument, NULL, 'l'},
    {"prefix", required_argument, NULL, 'p'},
    {"exit-when-idle", no_argument, NULL, OPTION_EXIT_WHEN_IDLE},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static int wrong(const char *what, const char *value, const char *wanted)
{
    fprintf(stderr, "fastallocd: %s \"%s\": %s\n", what, value, wanted);
    fprintf(stderr, "Try \"fastallocd --help\".\n");
    return EXIT_USAGE;
}

static int set_prefix(struct options *options, const char *prefix)
{
    if (*prefix == '\0' || strlen(prefix) > OPTIONS_PREFIX_MAX || *prefix == '.' ||
        strspn(prefix, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") !=
            strlen(prefix))
        return wrong("--prefix", prefix,
                     "1 to 40 letters, digits, \".\", \"_\" or \"-\" are wanted");
    strcpy(options->prefix, prefix);
    return -1;
}

/* -1 to go on, or the exit value. */
static int take(struct options *options, int option, const char **socket)
{
    switch (option) {
    case 's':
        *socket = optarg;
        return -1;
    case 'f':
        options->foreground = true;
        return -1;
    case 'l':
        if (!log_find_level(optarg, &options->level))
            return wrong("--log-level", optarg, "error, warn, info or debug is wanted");
        return -1;
    case 'p':
        return set_prefix(options, optarg);
    case OPTION_EXIT_WHEN_IDLE:
        options->exit_when_idle = true;
        return -1;
    case 'h':
        fputs(usage, stdout);
        return EXIT_OK;
    case 'V':
        printf("fastallocd %d.%d.%d\n", FASTALLOC_VERSION_MAJOR, FASTALLOC_VERSION_MINOR,
               FASTALLOC_VERSION_PATCH);
        return EXIT_OK;
    default: /* getopt_long() has said what is wrong */
        fprintf(stderr, "Try \"fastallocd --help\".\n");
        return EXIT_USAGE;
    }
}

int options_parse(struct options *options, int argc, char **argv)
{
    const char *socket = NULL;
    struct reason why;
    int option, result;

    memset(options, 0, sizeof *options);
    strcpy(options->prefix, "fastalloc");
    options->level = LOG_LEVEL_INFO;
    optind = 0; /* from the start, also a second time in one process */
    while ((option = getopt_long(argc, argv, "s:fl:p:hV", known, NULL)) != -1) {
        result = take(options, option, &socket);
        if (result >= 0)
            return result;
    }
    if (optind < argc)
        return wrong("argument", argv[optind], "none is wanted");
    if (paths_socket(options->socket, socket, true, &why)) {
        fprintf(stderr, "fastallocd: %s\n", why.text);
        return EXIT_USAGE;
    }
    return -1;
}
