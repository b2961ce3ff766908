/* SPDX-License-Identifier: MIT
 *
 * cmd_list: the pools there are.
 */
#include "ctl.h"
#include "output.h"
#include "pools.h"
#include "shm/survey.h"

#include <stdio.h>
#include <stdlib.h>

/* clang-format off */
static const struct output_column columns[] = {
    {"name", "NAME", OUTPUT_TEXT, false},
    {"type_name", "TYPE", OUTPUT_TEXT, false},
    {"type_version", NULL, OUTPUT_COUNT, false},
    {"object_size", "SIZE", OUTPUT_BYTES, false},
    {"capacity", "CAPACITY", OUTPUT_COUNT, false},
    {"max_capacity", "MAX", OUTPUT_COUNT, false},
    {"in_use", "IN USE", OUTPUT_COUNT, false},
    {"sessions", "SESSIONS", OUTPUT_COUNT, false},
    {"bytes", "MEMORY", OUTPUT_BYTES, false},
    {"growth", NULL, OUTPUT_TEXT, false},
    {"on_death", NULL, OUTPUT_TEXT, false},
    {NULL, "LIFETIME", OUTPUT_TEXT, false},
    {"persistent", NULL, OUTPUT_FLAG, false},
    {"destroyed", NULL, OUTPUT_FLAG, false},
    {"uid", NULL, OUTPUT_USER, false},
    {"created", NULL, OUTPUT_TIME, false},
};
/* clang-format on */

struct counting {
    const struct view *view;
    uint64_t in_use;
};

static void count(void *argument)
{
    struct counting *counting = argument;

    counting->in_use = survey_allocated(&counting->view->segment);
}

/* Slots in use; false where they cannot be known: the pool is not ours to open, its name
 * is another's by now, or its memory is damaged (check says more). */
static bool ask_in_use(fastalloc_client *client, const struct wire_pool *pool, uint64_t *in_use)
{
    struct counting counting = {0};
    struct view view;
    bool known;

    if (pool->destroyed || view_open(&view, client, pool->spec.name, NULL))
        return false;
    counting.view = &view;
    known = view.pool.pool_id == pool->pool_id && view_run(&view, count, &counting, NULL) == 0;
    view_close(&view);
    *in_use = counting.in_use;
    return known;
}

/* What it has now; the daemon says which shape it has. */
static void add_memory(struct output_rows *rows, const struct wire_pool *pool)
{
    struct geometry geometry;

    if (geometry_plan(&geometry, &pool->spec, NULL))
        output_none(rows);
    else
        output_number(rows, pools_memory(&geometry, pool->capacity, NULL));
}

static void add(struct output_rows *rows, fastalloc_client *client, const struct wire_pool *pool)
{
    char *growth = pools_growth(&pool->spec), *on_death = pools_on_death(&pool->spec);
    uint64_t in_use;

    output_text(rows, pool->spec.name);
    output_text(rows, pool->spec.type_name);
    output_number(rows, pool->spec.type_version);
    output_number(rows, pool->spec.object_size);
    output_number(rows, pool->capacity);
    output_number(rows, pool->spec.max_capacity);
    if (ask_in_use(client, pool, &in_use))
        output_number(rows, in_use);
    else
        output_none(rows);
    output_number(rows, pool->sessions);
    add_memory(rows, pool);
    output_text(rows, growth);
    output_text(rows, on_death);
    output_text(rows, pools_lifetime(pool));
    output_number(rows, pool->spec.lifetime == FASTALLOC_PERSISTENT);
    output_number(rows, pool->destroyed);
    output_number(rows, pool->uid);
    output_number(rows, pool->created);
    free(on_death);
    free(growth);
}

int cmd_list(struct ctl *ctl)
{
    struct output_rows rows;
    struct wire_pool *pools;
    struct reason why;
    size_t number, i;

    if (pools_list(ctl->client, &pools, &number, &why))
        return ctl_fail("%s", why.text);
    output_begin(&rows, columns, sizeof columns / sizeof *columns);
    for (i = 0; i < number; i++)
        add(&rows, ctl->client, &pools[i]);
    if (ctl->json)
        output_json(output_array(&rows));
    else if (number)
        output_table(&rows);
    else
        puts("no pools");
    output_end(&rows);
    free(pools);
    return CTL_OK;
}
