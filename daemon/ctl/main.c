/* SPDX-License-Identifier: MIT
 *
 * main: fastallocctl: reads the command line, connects, runs the command.
 */
#include "arguments.h"
#include "ctl.h"
#include "text.h"

#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int ctl_fail(const char *format, ...)
{
    va_list arguments;
    char *text, *safe;
    int length;

    va_start(arguments, format);
    length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0)
        text_no_memory();
    safe = text_safe(text);
    fprintf(stderr, "fastallocctl: %s\n", safe);
    free(safe);
    free(text);
    return CTL_FAILED;
}

static int run(struct ctl *ctl, const struct command *command)
{
    fastalloc_connect_options options;
    int result;

    fastalloc_connect_options_init(&options);
    options.socket = ctl->socket;
    options.autospawn = -1;
    if (fastalloc_connect(&ctl->client, &options))
        return ctl_fail("%s", fastalloc_last_error());
    result = command->run(ctl);
    fastalloc_disconnect(ctl->client);
    return result;
}

int main(int argc, char **argv)
{
    static char name[] = "fastallocctl"; /* getopt_long() begins its messages with it */
    const struct command *command = NULL;
    struct ctl ctl = {0};
    int result;

    setlocale(LC_ALL, "");
    setlocale(LC_NUMERIC, "C"); /* 1.5 is a factor everywhere */
    if (argc > 0)
        argv[0] = name;
    fastalloc_pool_config_init(&ctl.config);
    ctl.config.lifetime = FASTALLOC_PERSISTENT;
    result = arguments_parse(&ctl, &command, argc, argv);
    if (result == ARGUMENTS_GO_ON)
        result = run(&ctl, command);
    /* Output that did not arrive is a failure, whatever it said. */
    if ((fflush(stdout) || ferror(stdout)) && result == CTL_OK)
        result = ctl_fail("cannot write the output");
    return result;
}
