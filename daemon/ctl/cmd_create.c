/* SPDX-License-Identifier: MIT
 *
 * cmd_create: makes a pool, persistent unless told otherwise: fastallocctl detaches as
 * it ends, and would be the last to.
 */
#include "ctl.h"
#include "output.h"
#include "pools.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>

/* clang-format off */
static const struct output_column columns[] = {
    {"name", NULL, OUTPUT_TEXT, false},
    {"object_size", NULL, OUTPUT_BYTES, false},
    {"alignment", NULL, OUTPUT_BYTES, false},
    {"stride", NULL, OUTPUT_BYTES, false},
    {"capacity", NULL, OUTPUT_COUNT, false},
    {"max_capacity", NULL, OUTPUT_COUNT, false},
    {"bytes", NULL, OUTPUT_BYTES, false},
    {"persistent", NULL, OUTPUT_FLAG, false},
};
/* clang-format on */

static uint64_t memory_of(const struct view *view)
{
    return pools_memory(&view->segment.geometry, view->segment.geometry.capacity, NULL);
}

static void show_json(const struct view *view)
{
    struct output_rows rows;

    output_begin(&rows, columns, sizeof columns / sizeof *columns);
    output_text(&rows, view->pool.spec.name);
    output_number(&rows, view->segment.geometry.object_size);
    output_number(&rows, view->segment.geometry.alignment);
    output_number(&rows, view->segment.geometry.stride);
    output_number(&rows, view->segment.geometry.capacity);
    output_number(&rows, view->segment.geometry.max_capacity);
    output_number(&rows, memory_of(view));
    output_number(&rows, view->pool.spec.lifetime == FASTALLOC_PERSISTENT);
    output_json(output_object(&rows));
    output_end(&rows);
}

static void show(const struct view *view)
{
    const struct geometry *geometry = &view->segment.geometry;
    char *name = text_safe(view->pool.spec.name), *size = text_bytes(geometry->object_size),
         *total = text_bytes(memory_of(view));

    char *more = geometry->max_capacity > geometry->capacity
                     ? text_format(", up to %llu", (unsigned long long)geometry->max_capacity)
                     : text_format("%s", "");

    printf("%s: created: %llu slots%s of %s, %s of shared memory%s\n", name,
           (unsigned long long)geometry->capacity, more, size, total,
           view->pool.spec.lifetime == FASTALLOC_PERSISTENT
               ? ""
               : "; it goes again now, with its last session, fastallocctl's own");
    free(more);
    free(total);
    free(size);
    free(name);
}

int cmd_create(struct ctl *ctl)
{
    fastalloc_pool *pool;
    struct reason why;
    struct view view;
    int error;

    ctl->config.name = ctl->names[0];
    if (fastalloc_pool_create(ctl->client, &ctl->config, &pool))
        return ctl_fail("%s", fastalloc_last_error());
    error = view_open(&view, ctl->client, ctl->names[0], &why);
    if (!error) {
        if (ctl->json)
            show_json(&view);
        else
            show(&view);
        view_close(&view);
    }
    fastalloc_pool_close(pool);
    return error ? ctl_fail("%s", why.text) : CTL_OK;
}
