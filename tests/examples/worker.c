/* SPDX-License-Identifier: MIT
 *
 * worker: see worker.h.
 */
#include "worker.h"

#include "text.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static int open_pool(const char *daemon_socket, const char *pool_name, fastalloc_client **client,
                     blocks_pool *pool)
{
    fastalloc_connect_options options;
    int error;

    fastalloc_connect_options_init(&options);
    options.socket = daemon_socket;
    error = fastalloc_connect(client, &options);
    return error ? error : blocks_open(*client, pool_name, pool);
}

static void count_block(struct block *block)
{
    bool within = block->within != 0;
    uint32_t length = block->length;

    if (length > sizeof block->text)
        length = sizeof block->text;
    block->words = text_count_words(block->text, length, &within);
}

/* Adopts, counts, gives back.  Returns what failed, or NULL. */
static const char *work_on(int socket, blocks_pool pool, struct message *message)
{
    uint32_t i;

    for (i = 0; i < message->count; i++)
        if (blocks_adopt(pool, message->handles[i]))
            return fastalloc_last_error();
    message->kind = TAKEN;
    if (send(socket, message, sizeof *message, MSG_NOSIGNAL) < 0)
        return NULL; /* the reader has gone: the next receive says so */
    for (i = 0; i < message->count; i++) {
        struct block *block = blocks_get(pool, message->handles[i]);

        if (!block)
            return fastalloc_last_error();
        count_block(block);
    }
    message->kind = DONE;
    send(socket, message, sizeof *message, MSG_NOSIGNAL);
    return NULL;
}

int worker_live(int socket, const char *daemon_socket, const char *pool_name)
{
    fastalloc_client *client = NULL;
    blocks_pool pool = {NULL};
    struct message message;
    const char *wrong = NULL;

    while (!wrong && recv(socket, &message, sizeof message, 0) == sizeof message) {
        if (!client && open_pool(daemon_socket, pool_name, &client, &pool))
            wrong = fastalloc_last_error();
        else
            wrong = work_on(socket, pool, &message);
    }
    if (wrong)
        fprintf(stderr, "worker %d: %s\n", (int)getpid(), wrong);
    fastalloc_disconnect(client);
    return wrong != NULL;
}
