/* SPDX-License-Identifier: MIT
 *
 * main: the command line of fastallocctl, and the table of its commands.
 */
#include "ctl.h"
#include "shm/spec.h"
#include "text.h"

#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "Usage: fastallocctl [OPTION]... COMMAND [ARGUMENT]...\n"
    "Shows, checks, makes and destroys pools of objects in shared memory.\n"
    "\n"
    "  list                    the pools there are\n"
    "  stat POOL               all about one: its slots, who is attached\n"
    "  check [POOL]...         look for damage, in all pools by default\n"
    "  create POOL --size N --capacity N\n"
    "                          make one: N slots for objects of N bytes (K, M, G)\n"
    "  destroy POOL...         free the name now, the memory with the last detach\n"
    "\n"
    "Options, before or after the command:\n"
    "  -s, --socket PATH       of the daemon (default: $FASTALLOC_SOCKET, else\n"
    "                          $XDG_RUNTIME_DIR/fastalloc/fastallocd.sock, else\n"
    "                          /run/fastalloc/fastallocd.sock)\n"
    "  -j, --json              output for programs\n"
    "  -h, --help              show this and exit\n"
    "  -V, --version           show the version and exit\n"
    "\n"
    "Options of create:\n"
    "      --alignment N       of objects, a power of two (default: natural)\n"
    "      --type-name TEXT    what the objects are, for those who open the pool\n"
    "      --type-version N    of their layout (default: 0)\n"
    "      --max-threads N     that have a cache (default: 128)\n"
    "      --max-sessions N    attached at a time (default: 256)\n"
    "      --mode MODE         who may open it, as of a file (default: 0600)\n"
    "      --until-last-detach not persistent: it goes with its last session, so at once\n"
    "                          when fastallocctl ends; to try whether it can be made\n"
    "\n"
    "Exit status: 0; 1 when something failed, or check found damage; 2 when the command\n"
    "line is wrong.\n";

struct command {
    const char *name;
    int (*run)(struct ctl *ctl);
    int least, most; /* pools to be named */
};

/* clang-format off */
static const struct command commands[] = {
    {"list", cmd_list, 0, 0},
    {"stat", cmd_stat, 1, 1},
    {"check", cmd_check, 0, -1},
    {"create", cmd_create, 1, 1},
    {"destroy", cmd_destroy, 1, -1},
};
/* clang-format on */

/* From OPTION_SIZE on: of create. */
enum {
    OPTION_SIZE = 256,
    OPTION_CAPACITY,
    OPTION_ALIGNMENT,
    OPTION_TYPE_NAME,
    OPTION_TYPE_VERSION,
    OPTION_MAX_THREADS,
    OPTION_MAX_SESSIONS,
    OPTION_MODE,
    OPTION_UNTIL_LAST_DETACH
};

static const struct option known[] = {
    {"socket", required_argument, NULL, 's'},
    {"json", no_argument, NULL, 'j'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {"size", required_argument, NULL, OPTION_SIZE},
    {"capacity", required_argument, NULL, OPTION_CAPACITY},
    {"alignment", required_argument, NULL, OPTION_ALIGNMENT},
    {"type-name", required_argument, NULL, OPTION_TYPE_NAME},
    {"type-version", required_argument, NULL, OPTION_TYPE_VERSION},
    {"max-threads", required_argument, NULL, OPTION_MAX_THREADS},
    {"max-sessions", required_argument, NULL, OPTION_MAX_SESSIONS},
    {"mode", required_argument, NULL, OPTION_MODE},
    {"until-last-detach", no_argument, NULL, OPTION_UNTIL_LAST_DETACH},
    {NULL, 0, NULL, 0},
};

/* What the command line comes to. */
struct parsed {
    const struct command *command;
    const char *for_create; /* the first option seen that only create takes */
    bool has_size, has_capacity;
};

#define GO_ON (-1)

/* ----------------------------------------------------------------- failing */

__attribute__((format(printf, 1, 0))) static void say(const char *format, va_list arguments)
{
    char *text, *safe;

    if (vasprintf(&text, format, arguments) < 0)
        text_no_memory();
    safe = text_safe(text);
    fprintf(stderr, "fastallocctl: %s\n", safe);
    free(safe);
    free(text);
}

int ctl_fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    return CTL_FAILED;
}

__attribute__((format(printf, 1, 2))) static int wrong(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    fputs("Try \"fastallocctl --help\".\n", stderr);
    return CTL_USAGE;
}

/* ----------------------------------------------------------------- reading */

/* A number up to `most`, in `base`; with `units`, K, M and G are powers of 1024. */
static bool read_number(const char *text, int base, uint64_t most, bool units, uint64_t *number)
{
    unsigned long long value;
    unsigned shift = 0;
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    value = strtoull(text, &end, base);
    if (units && *end && strchr("KMG", *end)) {
        shift = *end == 'K' ? 10 : *end == 'M' ? 20 : 30;
        end++;
    }
    if (errno || *end || value > most >> shift)
        return false;
    *number = (uint64_t)value << shift;
    return true;
}

static int take_number(const char *option, int base, uint64_t most, bool units, uint64_t *number)
{
    if (read_number(optarg, base, most, units, number))
        return GO_ON;
    if (base == 8)
        return wrong("--%s \"%s\": an octal number like 0600 is wanted", option, optarg);
    return wrong("--%s \"%s\": a number up to %llu is wanted%s", option, optarg,
                 (unsigned long long)most, units ? ", K, M or G may follow" : "");
}

static int take_small(const char *option, int base, uint32_t *small)
{
    uint64_t number = 0;
    int result = take_number(option, base, base == 8 ? 0777 : UINT32_MAX, false, &number);

    if (result == GO_ON)
        *small = (uint32_t)number;
    return result;
}

static int take_size(const char *option, bool units, size_t *size)
{
    uint64_t number = 0;
    int result = take_number(option, 10, SIZE_MAX, units, &number);

    if (result == GO_ON)
        *size = (size_t)number;
    return result;
}

static int take_of_create(struct ctl *ctl, struct parsed *parsed, int option, const char *name)
{
    fastalloc_pool_config *config = &ctl->config;

    if (!parsed->for_create)
        parsed->for_create = name;
    switch (option) {
    case OPTION_SIZE:
        parsed->has_size = true;
        return take_size(name, true, &config->object_size);
    case OPTION_CAPACITY:
        parsed->has_capacity = true;
        return take_size(name, false, &config->capacity);
    case OPTION_ALIGNMENT:
        return take_size(name, false, &config->alignment);
    case OPTION_TYPE_NAME:
        config->type_name = optarg;
        return GO_ON;
    case OPTION_TYPE_VERSION:
        return take_small(name, 10, &config->type_version);
    case OPTION_MAX_THREADS:
        return take_small(name, 10, &config->max_threads);
    case OPTION_MAX_SESSIONS:
        return take_small(name, 10, &config->max_sessions);
    case OPTION_MODE:
        return take_small(name, 8, &config->mode);
    case OPTION_UNTIL_LAST_DETACH:
        config->lifetime = FASTALLOC_UNTIL_LAST_DETACH;
        return GO_ON;
    default: /* getopt_long() has said what is wrong */
        fputs("Try \"fastallocctl --help\".\n", stderr);
        return CTL_USAGE;
    }
}

static int take(struct ctl *ctl, struct parsed *parsed, int option, const char *name)
{
    switch (option) {
    case 's':
        ctl->socket = optarg;
        return GO_ON;
    case 'j':
        ctl->json = true;
        return GO_ON;
    case 'h':
        fputs(usage, stdout);
        return CTL_OK;
    case 'V':
        printf("fastallocctl %s\n", fastalloc_version());
        return CTL_OK;
    default:
        return take_of_create(ctl, parsed, option, name);
    }
}

static const struct command *find_command(const char *name)
{
    size_t i;

    for (i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* Whether what was read makes sense together. */
static int judge(const struct ctl *ctl, const struct parsed *parsed)
{
    const struct command *command = parsed->command;
    struct reason why;
    int i;

    if (parsed->for_create && command->run != cmd_create)
        return wrong("--%s is an option of create, not of %s", parsed->for_create, command->name);
    if (ctl->name_count < command->least)
        return wrong("%s: which pool?", command->name);
    if (command->most >= 0 && ctl->name_count > command->most)
        return wrong("%s: \"%s\" is one argument too many", command->name,
                     ctl->names[command->most]);
    for (i = 0; i < ctl->name_count; i++)
        if (spec_check_name(ctl->names[i], strlen(ctl->names[i]), &why))
            return wrong("%s", why.text);
    if (command->run == cmd_create && !parsed->has_size)
        return wrong("create: --size is missing: how many bytes is an object?");
    if (command->run == cmd_create && !parsed->has_capacity)
        return wrong("create: --capacity is missing: how many slots?");
    return GO_ON;
}

/* GO_ON, or the exit value. */
static int parse(struct ctl *ctl, struct parsed *parsed, int argc, char **argv)
{
    int option, index = 0, result;

    while ((option = getopt_long(argc, argv, "s:jhV", known, &index)) != -1) {
        result = take(ctl, parsed, option, known[index].name);
        if (result != GO_ON)
            return result;
    }
    if (optind == argc)
        return wrong("a command is missing");
    parsed->command = find_command(argv[optind]);
    if (!parsed->command)
        return wrong("there is no command \"%s\"", argv[optind]);
    ctl->names = argv + optind + 1;
    ctl->name_count = argc - optind - 1;
    return judge(ctl, parsed);
}

/* -------------------------------------------------------------------- main */

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
    struct parsed parsed = {0};
    struct ctl ctl = {0};
    int result;

    setlocale(LC_ALL, "");
    if (argc > 0)
        argv[0] = name;
    fastalloc_pool_config_init(&ctl.config);
    ctl.config.lifetime = FASTALLOC_PERSISTENT;
    result = parse(&ctl, &parsed, argc, argv);
    if (result == GO_ON)
        result = run(&ctl, parsed.command);
    /* Output that did not arrive is a failure, whatever it said. */
    if ((fflush(stdout) || ferror(stdout)) && result == CTL_OK)
        result = ctl_fail("cannot write the output");
    return result;
}
