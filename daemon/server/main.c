/* SPDX-License-Identifier: MIT
 *
 * fastallocd: creates pools in shared memory, hands them out, and takes back what dead
 * processes held.
 */
#include "background.h"
#include "options.h"
#include "server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

struct readiness {
    const struct options *options;
    int descriptor; /* of the waiting parent; -1 in the foreground */
};

static void ready(void *argument)
{
    const struct readiness *readiness = argument;

    if (readiness->descriptor >= 0)
        background_ready(readiness->descriptor, readiness->options->socket);
}

int main(int argc, char **argv)
{
    struct options options;
    struct readiness readiness = {&options, -1};
    struct reason why;
    sigset_t none;
    int status = options_parse(&options, argc, argv);

    if (status >= 0)
        return status;
    /* Whoever started it may have blocked signals. */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    log_set_level(options.level);
    if (!options.foreground) {
        readiness.descriptor = background_begin();
        if (readiness.descriptor < 0) {
            fprintf(stderr, "fastallocd: cannot go to the background: %s\n", strerror(errno));
            return EXIT_FAILED;
        }
    }
    if (server_run(&options, ready, &readiness, &why)) {
        fprintf(stderr, "fastallocd: %s\n", why.text);
        return EXIT_FAILED;
    }
    return EXIT_OK;
}
