/* SPDX-License-Identifier: MIT
 *
 * config: what a user says a pool is to be, as the spec that everybody else works with.
 */
#include "pool.h"

#include <string.h>

#define LOCAL_NAME "local"
#define FACTOR_DEFAULT 2.0
#define ADVICE_ALL (FASTALLOC_PREFAULT | FASTALLOC_MLOCK | FASTALLOC_HUGE_PAGES)

void fastalloc_pool_config_init(fastalloc_pool_config *config)
{
    memset(config, 0, sizeof *config);
    config->struct_size = sizeof *config;
}

/* Copies a string into a field of `size` bytes, whole or not at all. */
static int copy_text(char *field, size_t size, const char *text, const char *what,
                     struct reason *why)
{
    size_t length = strlen(text);

    if (length >= size)
        return reason_set(why, FASTALLOC_E_NAME, "%s has %zu bytes: at most %zu are allowed", what,
                          length, size - 1);
    memcpy(field, text, length + 1);
    return 0;
}

/* A function cannot go to other processes: what they find is the strategy it stands beside. */
static void growth_of(const fastalloc_pool_config *config, struct pool_spec *spec)
{
    spec->growth = config->growth;
    spec->growth_amount = config->growth_amount;
    spec->growth_factor = config->growth_factor;
    spec->low_water =
        config->low_water == FASTALLOC_NO_LOW_WATER ? SPEC_NO_LOW_WATER : config->low_water;
    if (config->growth != FASTALLOC_GROWTH_CUSTOM)
        return;
    spec->growth = config->growth_amount ? FASTALLOC_GROWTH_LINEAR : FASTALLOC_GROWTH_EXPONENTIAL;
    if (!config->growth_amount && config->growth_factor == 0)
        spec->growth_factor = FACTOR_DEFAULT;
}

/* What stays in this process. */
static int check_own(const fastalloc_pool_config *config, struct reason *why)
{
    if (config->initialization > FASTALLOC_INIT_EAGER)
        return reason_set(why, FASTALLOC_E_INVALID,
                          "initialization %u is neither FASTALLOC_INIT_LAZY nor "
                          "FASTALLOC_INIT_EAGER",
                          config->initialization);
    if (config->advice & ~ADVICE_ALL)
        return reason_set(why, FASTALLOC_E_INVALID,
                          "advice 0x%x: of these, 0x%x is not known (FASTALLOC_PREFAULT, _MLOCK, "
                          "_HUGE_PAGES are)",
                          config->advice, config->advice & ~ADVICE_ALL);
    return 0;
}

int pool_spec_of(const fastalloc_pool_config *config, bool name_optional, struct pool_spec *spec,
                 struct reason *why)
{
    const char *name = config->name ? config->name : name_optional ? LOCAL_NAME : NULL;
    int error;

    if (config->struct_size != sizeof *config)
        return reason_set(why, FASTALLOC_E_INVALID,
                          "config->struct_size is %u, not %zu: begin with "
                          "fastalloc_pool_config_init()",
                          config->struct_size, sizeof *config);
    memset(spec, 0, sizeof *spec);
    error = check_own(config, why);
    if (!error)
        error = spec_check_name(name, name ? strlen(name) : 0, why);
    if (error)
        return error;
    memcpy(spec->name, name, strlen(name) + 1);
    if (config->type_name) {
        error =
            copy_text(spec->type_name, sizeof spec->type_name, config->type_name, "type name", why);
        if (error)
            return error;
    }
    spec->type_version = config->type_version;
    spec->lifetime = config->lifetime;
    spec->mode = config->mode;
    spec->max_threads = config->max_threads;
    spec->max_sessions = config->max_sessions;
    spec->object_size = config->object_size;
    spec->alignment = config->alignment;
    spec->capacity = config->capacity;
    spec->max_capacity = config->max_capacity;
    spec->flags = config->features;
    spec->on_death = config->on_death;
    spec->quarantine_ms = config->quarantine_ms;
    growth_of(config, spec);
    return 0;
}

/* Slots that are wiped before each use would be initialised ahead of it in vain. */
static int check_eager(const fastalloc_pool_config *config, struct reason *why)
{
    if (config->initialization != FASTALLOC_INIT_EAGER)
        return 0;
    if (!config->initialize)
        return reason_set(why, FASTALLOC_E_INVALID,
                          "initialization is FASTALLOC_INIT_EAGER, but there is no initialize");
    if (config->features & FASTALLOC_ZERO_ON_ALLOC)
        return reason_set(why, FASTALLOC_E_INVALID,
                          "initialization is FASTALLOC_INIT_EAGER, but with "
                          "FASTALLOC_ZERO_ON_ALLOC each object is wiped, and initialised, when it "
                          "is allocated: one of the two");
    return 0;
}

int pool_plan(const fastalloc_pool_config *config, bool name_optional, struct pool_spec *asked,
              struct pool_spec *completed, struct geometry *geometry, struct reason *why)
{
    int error = pool_spec_of(config, name_optional, asked, why);

    if (!error && config->growth == FASTALLOC_GROWTH_CUSTOM && !config->growth_function)
        error = reason_set(why, FASTALLOC_E_GROWTH,
                           "growth is FASTALLOC_GROWTH_CUSTOM, but there is no growth_function");
    if (!error)
        error = check_eager(config, why);
    if (error)
        return error;
    if (lifecycle_is_wanted(config))
        asked->flags |= SPEC_STAGES;
    *completed = *asked;
    error = spec_complete(completed, why);
    return error ? error : geometry_plan(geometry, completed, why);
}
