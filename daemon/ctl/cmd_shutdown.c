/* SPDX-License-Identifier: MIT
 *
 * cmd_shutdown: ends the daemon.  The answer comes when it has ended.
 */
#include "client/client.h"
#include "ctl.h"
#include "output.h"

#include <stdio.h>

static const struct output_column columns[] = {
    {"ended", NULL, OUTPUT_FLAG, false},
    {"destroyed", NULL, OUTPUT_FLAG, false},
};

int cmd_shutdown(struct ctl *ctl)
{
    struct wire_request request = {.op = WIRE_SHUTDOWN, .shutdown = {ctl->destroy}};
    struct output_rows rows;
    struct wire_reply reply;
    struct reason why;

    if (client_request(ctl->client, &request, &reply, NULL, &why))
        return ctl_fail("%s", why.text);
    if (ctl->json) {
        output_begin(&rows, columns, sizeof columns / sizeof *columns);
        output_number(&rows, true);
        output_number(&rows, ctl->destroy);
        output_json(output_object(&rows));
        output_end(&rows);
    } else {
        puts(ctl->destroy ? "fastallocd has ended, and every pool is destroyed"
                          : "fastallocd has ended");
    }
    return CTL_OK;
}
