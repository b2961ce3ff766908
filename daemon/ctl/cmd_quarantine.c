/* SPDX-License-Identifier: MIT
 *
 * cmd_quarantine: the slots of dead processes that a pool keeps for a look: which they are,
 * and giving them back.
 */
#include "client/client.h"
#include "ctl.h"
#include "output.h"
#include "pools.h"
#include "shm/notes.h"
#include "shm/slot.h"
#include "shm/wait.h"
#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TENTHS_PER_S 10u

static const struct output_column columns[] = {
    {"handle", "HANDLE", OUTPUT_TEXT, false},
    {"index", "SLOT", OUTPUT_COUNT, false},
    {"pid", "PID", OUTPUT_COUNT, false},
    {"until", "UNTIL", OUTPUT_TIME, false},
};

static const struct output_column release_columns[] = {
    {"name", NULL, OUTPUT_TEXT, false},
    {"released", NULL, OUTPUT_COUNT, false},
};

struct kept {
    uint64_t index, note;
    fastalloc_handle handle;
};

/* What is read from the segment, in one go, before anything is shown. */
struct looked {
    const struct view *view;
    struct kept *kept;
    size_t count, room;
};

static void look(void *argument)
{
    struct looked *looked = argument;
    const struct segment *segment = &looked->view->segment;
    uint64_t index, capacity = segment_capacity(segment);

    for (index = 0; segment->notes && index < capacity; index++) {
        uint64_t word = shm_load_ordered(&segment->words[index]);

        if (slot_owner_of(word) != SLOT_QUARANTINED)
            continue;
        if (looked->count == looked->room) {
            looked->room = looked->room ? 2 * looked->room : 64;
            looked->kept = realloc(looked->kept, looked->room * sizeof *looked->kept);
            if (!looked->kept)
                text_no_memory();
        }
        looked->kept[looked->count++] = (struct kept){
            index, shm_load_ordered(&segment->notes[index]), slot_handle(segment, word, index)};
    }
}

static void add(struct output_rows *rows, const struct kept *kept)
{
    char *handle = text_format("0x%016" PRIx64, kept->handle);
    uint64_t now = (uint64_t)time(NULL), until = notes_time_of(kept->note);
    uint64_t come = notes_clock(wait_now());

    output_text(rows, handle);
    output_number(rows, kept->index);
    output_number(rows, notes_pid_of(kept->note));
    if (until == NOTES_NEVER)
        output_none(rows);
    else
        output_number(rows, until > come ? now + (until - come) / TENTHS_PER_S : now);
    free(handle);
}

int cmd_quarantine(struct ctl *ctl)
{
    struct looked looked = {0};
    struct output_rows rows;
    struct reason why;
    struct view view;
    size_t i;
    int error = view_open(&view, ctl->client, ctl->names[0], &why);

    if (error)
        return ctl_fail("%s", why.text);
    looked.view = &view;
    error = view_run(&view, look, &looked, &why);
    view_close(&view);
    if (!error) {
        output_begin(&rows, columns, sizeof columns / sizeof *columns);
        for (i = 0; i < looked.count; i++)
            add(&rows, &looked.kept[i]);
        if (ctl->json)
            output_json(output_array(&rows));
        else if (looked.count)
            output_table(&rows);
        else
            puts("none");
        output_end(&rows);
    }
    free(looked.kept);
    return error ? ctl_fail("%s", why.text) : CTL_OK;
}

static void show_released(const struct ctl *ctl, uint64_t count)
{
    struct output_rows rows;
    char *name;

    if (ctl->json) {
        output_begin(&rows, release_columns, sizeof release_columns / sizeof *release_columns);
        output_text(&rows, ctl->names[0]);
        output_number(&rows, count);
        output_json(output_object(&rows));
        output_end(&rows);
        return;
    }
    name = text_safe(ctl->names[0]);
    printf("%s: %" PRIu64 " released\n", name, count);
    free(name);
}

/* A handle that is not in quarantine is a failure; all of none are not. */
int cmd_release(struct ctl *ctl)
{
    struct wire_request request = {.op = WIRE_RELEASE};
    struct wire_reply reply;
    struct reason why;

    strcpy(request.release.name, ctl->names[0]);
    request.release.handle = ctl->handle;
    if (client_request(ctl->client, &request, &reply, NULL, &why))
        return ctl_fail("%s", why.text);
    if (ctl->handle && !reply.released)
        return ctl_fail("pool \"%s\" has no slot of handle 0x%016" PRIx64
                        " in quarantine: \"fastallocctl quarantine\" shows which it has",
                        ctl->names[0], ctl->handle);
    show_released(ctl, reply.released);
    return CTL_OK;
}
