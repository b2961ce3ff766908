/* SPDX-License-Identifier: MIT
 *
 * cmd_stat: all about one pool: what it is, where its slots are, who is attached.
 */
#include "ctl.h"
#include "output.h"
#include "pools.h"
#include "shm/session.h"
#include "shm/survey.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH(columns) (sizeof(columns) / sizeof *(columns))

static const struct output_column pool_columns[] = {
    {"name", "pool", OUTPUT_TEXT, false},
    {NULL, "type", OUTPUT_TEXT, false},
    {"type_name", NULL, OUTPUT_TEXT, false},
    {"type_version", NULL, OUTPUT_COUNT, false},
    {"object_size", "object size", OUTPUT_BYTES, false},
    {"alignment", "alignment", OUTPUT_BYTES, false},
    {"stride", "stride", OUTPUT_BYTES, false},
    {NULL, "capacity", OUTPUT_TEXT, false},
    {"capacity", NULL, OUTPUT_COUNT, false},
    {"max_capacity", NULL, OUTPUT_COUNT, false},
    {NULL, "growth", OUTPUT_TEXT, false},
    {"growth", NULL, OUTPUT_TEXT, false},
    {"low_water", NULL, OUTPUT_COUNT, false},
    {"growths", "steps so far", OUTPUT_COUNT, true},
    {"on_death", "on death", OUTPUT_TEXT, false},
    {"heir", "heir: session", OUTPUT_COUNT, true},
    {NULL, "features", OUTPUT_TEXT, true},
    {"sharing", NULL, OUTPUT_FLAG, false},
    {"deadlines", NULL, OUTPUT_FLAG, false},
    {NULL, "memory", OUTPUT_TEXT, false},
    {"bytes", NULL, OUTPUT_BYTES, false},
    {"metadata_bytes", NULL, OUTPUT_BYTES, false},
    {NULL, "lifetime", OUTPUT_TEXT, false},
    {"persistent", NULL, OUTPUT_FLAG, false},
    {"mode", "mode", OUTPUT_TEXT, false},
    {"uid", "owner", OUTPUT_USER, false},
    {"created", "created", OUTPUT_TIME, false},
    {"state", "state", OUTPUT_TEXT, false},
};

static const struct output_column slot_columns[] = {
    {"in_use", "in use", OUTPUT_COUNT, false},
    {"anyone", "left to anyone", OUTPUT_COUNT, true},
    {"shared", "shared", OUTPUT_COUNT, true},
    {"quarantined", "quarantined", OUTPUT_COUNT, true},
    {"cached", "cached", OUTPUT_COUNT, false},
    {"depots", "in depots", OUTPUT_COUNT, false},
    {"returned", "returned", OUTPUT_COUNT, false},
    {"never_used", "never used", OUTPUT_COUNT, false},
    {"depot_rebuilds", NULL, OUTPUT_COUNT, false},
};

/* clang-format off */
static const struct output_column session_columns[] = {
    {"session", "SESSION", OUTPUT_COUNT, false},
    {"pid", "PID", OUTPUT_COUNT, false},
    {"program", "PROGRAM", OUTPUT_TEXT, false},
    {"uid", "USER", OUTPUT_USER, false},
    {"since", "SINCE", OUTPUT_TIME, false},
    {"slots", "SLOTS", OUTPUT_COUNT, false},
    {"caches", "CACHES", OUTPUT_COUNT, false},
    {"state", "STATE", OUTPUT_TEXT, false},
};
/* clang-format on */

/* ------------------------------------------------------------------ looking */

struct attached {
    uint32_t session;
    enum session_state state;
    struct shm_session record;
    char comm[SESSION_COMM_MAX];
    uint64_t slots, caches;
};

/* What is read from the segment, in one go, before anything is shown. */
struct looked {
    const struct view *view;
    uint32_t state, heir, growths;
    struct survey survey;
    uint64_t *by_session;
    struct attached *attached; /* room for all there can be */
    size_t count;
};

static uint64_t count_caches(const struct segment *segment, uint32_t session)
{
    uint64_t count = 0;
    uint32_t c;

    for (c = 0; c < segment->geometry.caches; c++)
        count += cache_session_of(shm_load(&segment->caches[c].holder)) == session;
    return count;
}

static void look(void *argument)
{
    struct looked *looked = argument;
    const struct segment *segment = &looked->view->segment;
    uint32_t session;

    looked->state = segment_state(segment);
    looked->heir = shm_load(&segment->header->heir);
    looked->growths = shm_load(&segment->header->growths);
    survey_slots(segment, &looked->survey, looked->by_session);
    for (session = 1; session <= segment->geometry.sessions; session++) {
        struct attached *attached = &looked->attached[looked->count];
        const struct shm_session *record = &segment->sessions[session];

        attached->state = session_state(segment, session);
        if (attached->state != SESSION_LIVE && attached->state != SESSION_DYING)
            continue;
        attached->session = session;
        attached->record.pid = shm_load(&record->pid);
        attached->record.uid = shm_load(&record->uid);
        attached->record.started = shm_load(&record->started);
        session_comm(segment, session, attached->comm);
        attached->slots = looked->by_session[session];
        attached->caches = count_caches(segment, session);
        looked->count++;
    }
}

static int by_slots(const void *left, const void *right)
{
    const struct attached *a = left, *b = right;

    if (a->slots != b->slots)
        return a->slots < b->slots ? 1 : -1;
    return a->session < b->session ? -1 : 1;
}

/* ------------------------------------------------------------------ showing */

static const char *state_name(const struct looked *looked)
{
    if (looked->state == POOL_POISONED)
        return "poisoned";
    return looked->state == POOL_DESTROYED || looked->view->pool.destroyed ? "destroyed" : "live";
}

/* Appends a text made for the purpose, and frees it. */
static void add_made(struct output_rows *rows, char *text)
{
    output_text(rows, text);
    free(text);
}

static void add_capacity(struct output_rows *rows, uint64_t capacity, uint64_t most)
{
    if (most > capacity)
        add_made(rows, text_format("%llu slots, of at most %llu", (unsigned long long)capacity,
                                   (unsigned long long)most));
    else
        add_made(rows, text_format("%llu slots", (unsigned long long)capacity));
    output_number(rows, capacity);
    output_number(rows, most);
}

static void add_growth(struct output_rows *rows, const struct looked *looked)
{
    const struct pool_spec *spec = &looked->view->pool.spec;
    uint64_t low = spec_low_water(spec, looked->survey.capacity);
    char *growth = pools_growth(spec);

    if (low)
        add_made(rows, text_format("%s, ahead of need below %llu free slots", growth,
                                   (unsigned long long)low));
    else
        output_text(rows, growth);
    add_made(rows, growth);
    output_number(rows, low);
    output_number(rows, looked->growths);
}

static void add_policy(struct output_rows *rows, const struct looked *looked)
{
    uint32_t flags = looked->view->pool.spec.flags;

    add_made(rows, pools_on_death(&looked->view->pool.spec));
    output_number(rows, looked->heir);
    add_made(rows, text_format("%s%s%s", flags & SPEC_SHARING ? "sharing" : "",
                               flags == (SPEC_SHARING | SPEC_NOTES) ? ", " : "",
                               flags & SPEC_NOTES ? "deadlines" : ""));
    output_number(rows, flags & SPEC_SHARING);
    output_number(rows, flags & SPEC_NOTES);
}

static void add_memory(struct output_rows *rows, uint64_t total, uint64_t metadata)
{
    char *all = text_bytes(total), *beside = text_bytes(metadata);

    add_made(rows, text_format("%s, of which %s metadata", all, beside));
    free(beside);
    free(all);
}

static void add_pool(struct output_rows *rows, const struct looked *looked)
{
    const struct wire_pool *pool = &looked->view->pool;
    const struct geometry *geometry = &looked->view->segment.geometry;
    uint64_t total, metadata;

    output_text(rows, pool->spec.name);
    if (*pool->spec.type_name || pool->spec.type_version)
        add_made(rows, text_format("%s%sversion %u", pool->spec.type_name,
                                   *pool->spec.type_name ? ", " : "", pool->spec.type_version));
    else
        output_none(rows);
    output_text(rows, pool->spec.type_name);
    output_number(rows, pool->spec.type_version);
    output_number(rows, geometry->object_size);
    output_number(rows, geometry->alignment);
    output_number(rows, geometry->stride);
    add_capacity(rows, looked->survey.capacity, geometry->max_capacity);
    add_growth(rows, looked);
    add_policy(rows, looked);
    total = pools_memory(geometry, looked->survey.capacity, &metadata);
    add_memory(rows, total, metadata);
    output_number(rows, total);
    output_number(rows, metadata);
    output_text(rows, pools_lifetime(pool));
    output_number(rows, pool->spec.lifetime == FASTALLOC_PERSISTENT);
    add_made(rows, text_format("%04o", pool->spec.mode));
    output_number(rows, pool->uid);
    output_number(rows, pool->created);
    output_text(rows, state_name(looked));
}

static void add_slots(struct output_rows *rows, const struct survey *survey)
{
    output_number(rows, survey->live + survey->anyone + survey->shared + survey->quarantined);
    output_number(rows, survey->anyone);
    output_number(rows, survey->shared);
    output_number(rows, survey->quarantined);
    output_number(rows, survey->cached);
    output_number(rows, survey->stocked);
    output_number(rows, survey->returned);
    output_number(rows, survey->never_used);
    output_number(rows, survey->rebuilds);
}

static void add_session(struct output_rows *rows, const struct attached *attached)
{
    output_number(rows, attached->session);
    output_number(rows, attached->record.pid);
    output_text(rows, attached->comm);
    output_number(rows, attached->record.uid);
    output_number(rows, attached->record.started);
    output_number(rows, attached->slots);
    output_number(rows, attached->caches);
    output_text(rows, attached->state == SESSION_LIVE ? "live" : "dying");
}

static void heading(const char *title)
{
    printf("\n%s%s%s\n", output_colour(OUTPUT_BOLD), title, output_colour(OUTPUT_PLAIN));
}

static void show(const struct ctl *ctl, const struct looked *looked)
{
    struct output_rows pool, slots, sessions;
    size_t i;

    output_begin(&pool, pool_columns, WIDTH(pool_columns));
    output_begin(&slots, slot_columns, WIDTH(slot_columns));
    output_begin(&sessions, session_columns, WIDTH(session_columns));
    add_pool(&pool, looked);
    add_slots(&slots, &looked->survey);
    for (i = 0; i < looked->count; i++)
        add_session(&sessions, &looked->attached[i]);
    if (ctl->json) {
        json_t *object = output_object(&pool);

        output_put(object, "slots", output_object(&slots));
        output_put(object, "sessions", output_array(&sessions));
        output_json(object);
    } else {
        output_fields(&pool);
        heading("slots");
        output_fields(&slots);
        heading("sessions");
        if (looked->count)
            output_table(&sessions);
        else
            puts("none");
    }
    output_end(&sessions);
    output_end(&slots);
    output_end(&pool);
}

int cmd_stat(struct ctl *ctl)
{
    struct looked looked = {0};
    struct reason why;
    struct view view;
    uint32_t most;
    int error = view_open(&view, ctl->client, ctl->names[0], &why);

    if (error)
        return ctl_fail("%s", why.text);
    most = view.segment.geometry.sessions + 1;
    looked.view = &view;
    looked.by_session = calloc(most, sizeof *looked.by_session);
    looked.attached = calloc(most, sizeof *looked.attached);
    if (!looked.by_session || !looked.attached)
        text_no_memory();
    error = view_run(&view, look, &looked, &why);
    if (!error) {
        qsort(looked.attached, looked.count, sizeof *looked.attached, by_slots);
        show(ctl, &looked);
    }
    view_close(&view);
    free(looked.attached);
    free(looked.by_session);
    return error ? ctl_fail("%s", why.text) : CTL_OK;
}
