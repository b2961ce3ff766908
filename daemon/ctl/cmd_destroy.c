/* SPDX-License-Identifier: MIT
 *
 * cmd_destroy: frees names of pools; the memory goes with the last who is attached.
 */
#include "ctl.h"
#include "output.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>

static const struct output_column columns[] = {
    {"name", NULL, OUTPUT_TEXT, false},
    {"destroyed", NULL, OUTPUT_FLAG, false},
};

/* Goes on after a failure: each pool is a job of its own. */
int cmd_destroy(struct ctl *ctl)
{
    struct output_rows rows;
    int result = CTL_OK, i;

    output_begin(&rows, columns, sizeof columns / sizeof *columns);
    for (i = 0; i < ctl->name_count; i++) {
        int error = fastalloc_pool_destroy(ctl->client, ctl->names[i]);

        output_text(&rows, ctl->names[i]);
        output_number(&rows, !error);
        if (error) {
            result = ctl_fail("%s", fastalloc_last_error());
        } else if (!ctl->json) {
            char *name = text_safe(ctl->names[i]);

            printf("%s: destroyed\n", name);
            free(name);
        }
    }
    if (ctl->json)
        output_json(output_array(&rows));
    output_end(&rows);
    return result;
}
