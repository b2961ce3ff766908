/* SPDX-License-Identifier: MIT
 *
 * cmd_capacity: more slots for a pool, or memory given back.  fastallocctl attaches for
 * it, as any user of the pool: only who is attached can take free slots off the top.
 */
#include "ctl.h"
#include "output.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>

static const struct output_column columns[] = {
    {"name", NULL, OUTPUT_TEXT, false},
    {"capacity", NULL, OUTPUT_COUNT, false},
    {"before", NULL, OUTPUT_COUNT, false},
    {"max_capacity", NULL, OUTPUT_COUNT, false},
};

static void show(const struct ctl *ctl, const fastalloc_pool_info *before,
                 const fastalloc_pool_info *now)
{
    struct output_rows rows;
    char *name;

    if (ctl->json) {
        output_begin(&rows, columns, sizeof columns / sizeof *columns);
        output_text(&rows, ctl->names[0]);
        output_number(&rows, now->capacity);
        output_number(&rows, before->capacity);
        output_number(&rows, now->max_capacity);
        output_json(output_object(&rows));
        output_end(&rows);
        return;
    }
    name = text_safe(ctl->names[0]);
    if (now->capacity == before->capacity)
        printf("%s: %zu slots, as before\n", name, now->capacity);
    else
        printf("%s: %zu slots, before %zu\n", name, now->capacity, before->capacity);
    free(name);
}

static int change(struct ctl *ctl, int (*operate)(fastalloc_pool *pool, size_t slots))
{
    fastalloc_pool_info before = {.struct_size = sizeof before}, now = {.struct_size = sizeof now};
    fastalloc_pool *pool;
    int error;

    if (fastalloc_pool_open(ctl->client, ctl->names[0], NULL, &pool))
        return ctl_fail("%s", fastalloc_last_error());
    error = fastalloc_pool_get_info(pool, &before);
    if (!error)
        error = operate(pool, (size_t)ctl->slots);
    if (!error)
        error = fastalloc_pool_get_info(pool, &now);
    if (error)
        ctl_fail("%s", fastalloc_last_error());
    else
        show(ctl, &before, &now);
    fastalloc_pool_close(pool);
    return error ? CTL_FAILED : CTL_OK;
}

static int shrink(fastalloc_pool *pool, size_t slots)
{
    return fastalloc_pool_shrink(pool, slots, NULL);
}

int cmd_grow(struct ctl *ctl)
{
    return change(ctl, fastalloc_pool_grow);
}

int cmd_shrink(struct ctl *ctl)
{
    return change(ctl, shrink);
}
