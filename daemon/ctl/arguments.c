/* SPDX-License-Identifier: MIT
 *
 * arguments: the commands and options there are, and whether what was said makes sense
 * together.
 */
#include "arguments.h"

#include "shm/spec.h"
#include "text.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const struct command commands[] = {
    {"list", cmd_list, 0, 0, ARGUMENT_NONE},
    {"stat", cmd_stat, 1, 1, ARGUMENT_NONE},
    {"check", cmd_check, 0, -1, ARGUMENT_NONE},
    {"create", cmd_create, 1, 1, ARGUMENT_NONE},
    {"destroy", cmd_destroy, 1, -1, ARGUMENT_NONE},
    {"grow", cmd_grow, 1, 1, ARGUMENT_SLOTS_OR_NONE},
    {"shrink", cmd_shrink, 1, 1, ARGUMENT_SLOTS},
    {"quarantine", cmd_quarantine, 1, 1, ARGUMENT_NONE},
    {"release", cmd_release, 1, 1, ARGUMENT_HANDLE},
    {"shutdown", cmd_shutdown, 0, 0, ARGUMENT_NONE},
};
/* clang-format on */

/* From OPTION_SIZE on: of create; then of others. */
enum {
    OPTION_SIZE = 256,
    OPTION_CAPACITY,
    OPTION_ALIGNMENT,
    OPTION_TYPE_NAME,
    OPTION_TYPE_VERSION,
    OPTION_MAX_CAPACITY,
    OPTION_GROWTH,
    OPTION_LOW_WATER,
    OPTION_ON_DEATH,
    OPTION_SHARING,
    OPTION_DEADLINES,
    OPTION_STRICT,
    OPTION_ZERO_ON_ALLOC,
    OPTION_ZERO_ON_FREE,
    OPTION_LIFECYCLE,
    OPTION_MAX_THREADS,
    OPTION_MAX_SESSIONS,
    OPTION_MODE,
    OPTION_UNTIL_LAST_DETACH,
    OPTION_FORMAT, /* of stat */
    OPTION_OPENMETRICS,
    OPTION_ALL,    /* of release */
    OPTION_DESTROY /* of shutdown */
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
    {"max-capacity", required_argument, NULL, OPTION_MAX_CAPACITY},
    {"growth", required_argument, NULL, OPTION_GROWTH},
    {"low-water", required_argument, NULL, OPTION_LOW_WATER},
    {"on-death", required_argument, NULL, OPTION_ON_DEATH},
    {"sharing", no_argument, NULL, OPTION_SHARING},
    {"deadlines", no_argument, NULL, OPTION_DEADLINES},
    {"strict", no_argument, NULL, OPTION_STRICT},
    {"zero-on-alloc", no_argument, NULL, OPTION_ZERO_ON_ALLOC},
    {"zero-on-free", no_argument, NULL, OPTION_ZERO_ON_FREE},
    {"lifecycle", no_argument, NULL, OPTION_LIFECYCLE},
    {"max-threads", required_argument, NULL, OPTION_MAX_THREADS},
    {"max-sessions", required_argument, NULL, OPTION_MAX_SESSIONS},
    {"mode", required_argument, NULL, OPTION_MODE},
    {"until-last-detach", no_argument, NULL, OPTION_UNTIL_LAST_DETACH},
    {"format", required_argument, NULL, OPTION_FORMAT},
    {"openmetrics", no_argument, NULL, OPTION_OPENMETRICS},
    {"all", no_argument, NULL, OPTION_ALL},
    {"destroy", no_argument, NULL, OPTION_DESTROY},
    {NULL, 0, NULL, 0},
};

/* What the command line comes to. */
struct parsed {
    const struct command *command;
    const struct option *special; /* the first option seen that only one command takes */
    bool has_size, has_capacity, all, format, openmetrics;
};

#define GO_ON ARGUMENTS_GO_ON

__attribute__((format(printf, 1, 2))) static int wrong(const char *format, ...)
{
    va_list arguments;
    char *text;
    int length;

    va_start(arguments, format);
    length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0)
        text_no_memory();
    ctl_fail("%s", text);
    free(text);
    fputs("Try \"fastallocctl --help\".\n", stderr);
    return CTL_USAGE;
}

/* ----------------------------------------------------------------- values */

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

/* What stands behind "WORD:" in the option's argument; NULL when it is something else. */
static const char *behind(const char *word)
{
    size_t length = strlen(word);

    return strncmp(optarg, word, length) == 0 && optarg[length] == ':' ? optarg + length + 1 : NULL;
}

static int take_growth(fastalloc_pool_config *config)
{
    const char *linear = behind("linear"), *exponential = behind("exponential");
    uint64_t amount = 0;
    char *end;

    if (strcmp(optarg, "none") == 0) {
        config->growth = FASTALLOC_GROWTH_NONE;
    } else if (linear && read_number(linear, 10, SIZE_MAX, false, &amount)) {
        config->growth = FASTALLOC_GROWTH_LINEAR;
        config->growth_amount = (size_t)amount;
    } else if (exponential && *exponential >= '0' && *exponential <= '9') {
        config->growth = FASTALLOC_GROWTH_EXPONENTIAL;
        config->growth_factor = strtod(exponential, &end);
        if (*end == '\0')
            return GO_ON;
        return wrong("--growth \"%s\": \"%s\" is no factor", optarg, exponential);
    } else {
        return wrong("--growth \"%s\": none, linear:SLOTS or exponential:FACTOR is wanted", optarg);
    }
    return GO_ON;
}

static int take_on_death(fastalloc_pool_config *config)
{
    const char *quarantine = behind("quarantine");
    uint64_t ms = 0;

    if (strcmp(optarg, "reclaim") == 0) {
        config->on_death = FASTALLOC_RECLAIM;
    } else if (strcmp(optarg, "heir") == 0) {
        config->on_death = FASTALLOC_HEIR;
    } else if (strcmp(optarg, "quarantine") == 0 ||
               (quarantine && read_number(quarantine, 10, UINT32_MAX, false, &ms))) {
        config->on_death = FASTALLOC_QUARANTINE;
        config->quarantine_ms = (uint32_t)ms;
    } else {
        return wrong("--on-death \"%s\": reclaim, heir, quarantine or quarantine:MS is wanted",
                     optarg);
    }
    return GO_ON;
}

static int take_low_water(fastalloc_pool_config *config)
{
    if (strcmp(optarg, "never") != 0)
        return take_size("low-water", false, &config->low_water);
    config->low_water = FASTALLOC_NO_LOW_WATER;
    return GO_ON;
}

static int take_format(struct ctl *ctl)
{
    if (strcmp(optarg, "text") == 0)
        ctl->report = FASTALLOC_REPORT_TEXT;
    else if (strcmp(optarg, "line") == 0)
        ctl->report = FASTALLOC_REPORT_LINE;
    else if (strcmp(optarg, "pairs") == 0)
        ctl->report = FASTALLOC_REPORT_PAIRS;
    else
        return wrong("--format \"%s\": text, line or pairs is wanted", optarg);
    ctl->form = FORM_REPORT;
    return GO_ON;
}

/* ---------------------------------------------------------------- options */

static int take_of_create(struct ctl *ctl, struct parsed *parsed, int option, const char *name)
{
    fastalloc_pool_config *config = &ctl->config;

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
    case OPTION_MAX_CAPACITY:
        return take_size(name, false, &config->max_capacity);
    case OPTION_GROWTH:
        return take_growth(config);
    case OPTION_LOW_WATER:
        return take_low_water(config);
    case OPTION_ON_DEATH:
        return take_on_death(config);
    case OPTION_SHARING:
        config->features |= FASTALLOC_SHARING;
        return GO_ON;
    case OPTION_DEADLINES:
        config->features |= FASTALLOC_DEADLINES;
        return GO_ON;
    case OPTION_STRICT:
        config->features |= FASTALLOC_STRICT;
        return GO_ON;
    case OPTION_ZERO_ON_ALLOC:
        config->features |= FASTALLOC_ZERO_ON_ALLOC;
        return GO_ON;
    case OPTION_ZERO_ON_FREE:
        config->features |= FASTALLOC_ZERO_ON_FREE;
        return GO_ON;
    case OPTION_LIFECYCLE:
        config->features |= FASTALLOC_LIFECYCLE;
        return GO_ON;
    case OPTION_MAX_THREADS:
        return take_small(name, 10, &config->max_threads);
    case OPTION_MAX_SESSIONS:
        return take_small(name, 10, &config->max_sessions);
    case OPTION_MODE:
        return take_small(name, 8, &config->mode);
    default: /* OPTION_UNTIL_LAST_DETACH */
        config->lifetime = FASTALLOC_UNTIL_LAST_DETACH;
        return GO_ON;
    }
}

static int take(struct ctl *ctl, struct parsed *parsed, int option, const struct option *entry)
{
    if (option >= OPTION_SIZE && !parsed->special)
        parsed->special = entry;
    switch (option) {
    case 's':
        ctl->socket = optarg;
        return GO_ON;
    case 'j':
        ctl->json = true;
        return GO_ON;
    case 'h':
        fputs(arguments_usage, stdout);
        return CTL_OK;
    case 'V':
        printf("fastallocctl %s\n", fastalloc_version());
        return CTL_OK;
    case OPTION_FORMAT:
        parsed->format = true;
        return take_format(ctl);
    case OPTION_OPENMETRICS:
        parsed->openmetrics = true;
        ctl->form = FORM_OPENMETRICS;
        return GO_ON;
    case OPTION_ALL:
        parsed->all = true;
        return GO_ON;
    case OPTION_DESTROY:
        ctl->destroy = true;
        return GO_ON;
    case '?': /* getopt_long() has said what is wrong */
        fputs("Try \"fastallocctl --help\".\n", stderr);
        return CTL_USAGE;
    default:
        return take_of_create(ctl, parsed, option, entry->name);
    }
}

/* --------------------------------------------------------------- together */

static const struct command *find_command(const char *name)
{
    size_t i;

    for (i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* The command that takes an option which no other does. */
static const struct command *command_of(int option)
{
    return find_command(option == OPTION_ALL           ? "release"
                        : option == OPTION_DESTROY     ? "shutdown"
                        : option == OPTION_FORMAT      ? "stat"
                        : option == OPTION_OPENMETRICS ? "stat"
                                                       : "create");
}

/* What stands behind the pool, and is none. */
static int take_argument(struct ctl *ctl, const struct parsed *parsed)
{
    const struct command *command = parsed->command;
    const char *text = ctl->name_count > 1 ? ctl->names[1] : NULL;

    if (command->argument == ARGUMENT_NONE || ctl->name_count == 0)
        return GO_ON;
    if (text)
        ctl->name_count--;
    if (command->argument == ARGUMENT_HANDLE) {
        if (parsed->all != !text)
            return wrong("release: a handle is wanted (\"fastallocctl quarantine\" shows them), or "
                         "--all");
        if (text && (!read_number(text, 0, UINT64_MAX, false, &ctl->handle) || !ctl->handle))
            return wrong("release: \"%s\" is no handle", text);
        return GO_ON;
    }
    if (!text && command->argument == ARGUMENT_SLOTS)
        return wrong("%s: to how many slots?", command->name);
    if (text && (!read_number(text, 10, SIZE_MAX, false, &ctl->slots) || !ctl->slots))
        return wrong("%s: \"%s\" is no number of slots", command->name, text);
    return GO_ON;
}

/* Of the forms that output can have, one. */
static int judge_forms(const struct ctl *ctl, const struct parsed *parsed)
{
    if (ctl->json + parsed->format + parsed->openmetrics < 2)
        return GO_ON;
    return wrong("--%s and --%s: only one of them can be had",
                 parsed->openmetrics ? "openmetrics" : "format", ctl->json ? "json" : "format");
}

/* How many pools are named. */
static int judge_count(const struct ctl *ctl, const struct command *command)
{
    int most = command->most + (command->argument != ARGUMENT_NONE);

    if (ctl->form == FORM_OPENMETRICS)
        return GO_ON;
    if (ctl->name_count < command->least)
        return wrong("%s: which pool?", command->name);
    if (command->most >= 0 && ctl->name_count > most)
        return wrong("%s: \"%s\" is one argument too many", command->name, ctl->names[most]);
    return GO_ON;
}

/* Whether what was read makes sense together. */
static int judge(struct ctl *ctl, const struct parsed *parsed)
{
    const struct command *command = parsed->command;
    const struct option *special = parsed->special;
    struct reason why;
    int i, result;

    if (special && command_of(special->val) != command)
        return wrong("--%s is an option of %s, not of %s", special->name,
                     command_of(special->val)->name, command->name);
    result = judge_forms(ctl, parsed);
    if (result == GO_ON)
        result = judge_count(ctl, command);
    if (result == GO_ON)
        result = take_argument(ctl, parsed);
    if (result != GO_ON)
        return result;
    for (i = 0; i < ctl->name_count; i++)
        if (spec_check_name(ctl->names[i], strlen(ctl->names[i]), &why))
            return wrong("%s", why.text);
    if (command->run == cmd_create && !parsed->has_size)
        return wrong("create: --size is missing: how many bytes is an object?");
    if (command->run == cmd_create && !parsed->has_capacity)
        return wrong("create: --capacity is missing: how many slots?");
    return GO_ON;
}

int arguments_parse(struct ctl *ctl, const struct command **command, int argc, char **argv)
{
    struct parsed parsed = {0};
    int option, index = 0, result;

    while ((option = getopt_long(argc, argv, "s:jhV", known, &index)) != -1) {
        result = take(ctl, &parsed, option, &known[index]);
        if (result != GO_ON)
            return result;
    }
    if (optind == argc)
        return wrong("a command is missing");
    parsed.command = find_command(argv[optind]);
    if (!parsed.command)
        return wrong("there is no command \"%s\"", argv[optind]);
    ctl->names = argv + optind + 1;
    ctl->name_count = argc - optind - 1;
    result = judge(ctl, &parsed);
    if (result == GO_ON)
        *command = parsed.command;
    return result;
}
