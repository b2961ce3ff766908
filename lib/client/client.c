/* SPDX-License-Identifier: MIT
 *
 * client: see client.h.
 */
#include "client.h"

#include "connection.h"
#include "fault.h"
#include "fork.h"
#include "pool.h"
#include "process.h"
#include "shm/wait.h"
#include "spawn.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT_DEFAULT_MS 5000u
#define RECONNECT_DEFAULT_MS 2000u
#define PAUSE_FIRST_NS UINT64_C(1000000)
#define PAUSE_LAST_NS UINT64_C(100000000)
#define NS_PER_MS UINT64_C(1000000)

/* A session this client has attached, for the daemon's successor to be told of. */
struct attachment {
    struct wire_session session;
    uint64_t generation; /* of the process that has it */
};

struct fastalloc_client {
    pthread_mutex_t mutex; /* one request at a time */
    struct connection connection;
    uint32_t reconnect_ms;
    bool given_up; /* on reaching the daemon: one try a request */
    struct attachment *attachments;
    size_t count, room;
    fastalloc_client *next; /* process.clients */
};

fastalloc_client **client_next(fastalloc_client *client)
{
    return &client->next;
}

void client_become_child(fastalloc_client *client)
{
    pthread_mutex_init(&client->mutex, NULL);
    /* With a copy of its parent's socket here the daemon would not hear of the parent's end. */
    connection_drop(&client->connection);
}

uint32_t client_timeout_ms(const fastalloc_client *client)
{
    return client->connection.timeout_ms;
}

/* -------------------------------------------------------------- attachments */

/* Room for one more, before it is asked for. */
static int reserve_attachment(fastalloc_client *client, struct reason *why)
{
    size_t room = client->room ? 2 * client->room : 8;
    struct attachment *more;

    if (client->count < client->room)
        return 0;
    more = realloc(client->attachments, room * sizeof *more);
    if (!more)
        return reason_set(why, FASTALLOC_E_NO_MEMORY, "no memory to attach to a pool");
    client->attachments = more;
    client->room = room;
    return 0;
}

static void note_attachment(fastalloc_client *client, const struct wire_reply *reply)
{
    struct attachment *attachment = &client->attachments[client->count++];

    attachment->session.pool_id = reply->attached.pool_id;
    attachment->session.session = reply->attached.session;
    attachment->session.nonce = reply->attached.nonce;
    attachment->generation = process_here()->generation;
}

static void forget_attachment(fastalloc_client *client, const struct wire_session *session)
{
    size_t i;

    for (i = 0; i < client->count; i++)
        if (client->attachments[i].session.pool_id == session->pool_id &&
            client->attachments[i].session.session == session->session &&
            client->attachments[i].session.nonce == session->nonce) {
            client->attachments[i] = client->attachments[--client->count];
            return;
        }
}

/* Those of a forked child's parent are not the child's. */
static void forget_inherited(fastalloc_client *client)
{
    uint64_t generation = process_here()->generation;
    size_t i = 0;

    while (i < client->count)
        if (client->attachments[i].generation == generation)
            i++;
        else
            client->attachments[i] = client->attachments[--client->count];
}

/* Tells a daemon that is new to this client of its sessions.  What it says to one is not
 * of interest: it knows the session, or the session's pool is gone. */
static int resume(fastalloc_client *client, struct reason *why)
{
    struct wire_request request = {.op = WIRE_RESUME};
    struct wire_reply reply;
    int descriptor, error = 0;
    bool sent;
    size_t i;

    forget_inherited(client);
    for (i = 0; i < client->count && !error; i++) {
        request.resume = client->attachments[i].session;
        error = connection_exchange(&client->connection, &request, CONNECTION_FOREVER, &reply,
                                    &descriptor, &sent, why);
        if (!error && descriptor >= 0)
            close(descriptor);
    }
    return error;
}

static int ensure_connected(fastalloc_client *client, struct reason *why)
{
    int error;

    if (connection_is_open(&client->connection))
        return 0;
    error = connection_open(&client->connection, why);
    return error ? error : resume(client, why);
}

/* --------------------------------------------------------------- requesting */

/* How long a caller waits. */
struct patience {
    uint64_t deadline; /* for the answer */
    bool once;         /* does not look for a daemon that is gone */
};
static const struct patience patient = {CONNECTION_FOREVER, false};

static void pause_until(uint64_t ns)
{
    struct timespec until = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
}

/* What is asked of a daemon that is about to end is not asked of the next. */
static bool may_be_repeated(enum wire_op op)
{
    return op != WIRE_SHUTDOWN;
}

/* The search for a daemon that is gone. */
struct search {
    uint64_t until; /* ns of CLOCK_MONOTONIC */
    uint64_t pause;
    bool stale;    /* the connection was made before, and may have broken since */
    bool persists; /* it is a search at all, not one try */
};

/* A session ends with its mapping: nobody waits to tell of it. */
static struct search search_begin(const fastalloc_client *client, enum wire_op op,
                                  const struct patience *patience)
{
    struct search search = {.until = wait_now(), .pause = PAUSE_FIRST_NS};

    search.stale = connection_is_open(&client->connection);
    search.persists =
        !client->given_up && client->connection.met && op != WIRE_CLOSE && !patience->once;
    if (search.persists)
        search.until += client->reconnect_ms * NS_PER_MS;
    return search;
}

/* After there was none: whether to look again, and when it is time to. */
static bool search_again(fastalloc_client *client, struct search *search)
{
    uint64_t now = wait_now();

    /* A connection that broke while nobody looked says nothing about the daemon. */
    if (search->stale) {
        search->stale = false;
        return true;
    }
    if (now >= search->until) {
        client->given_up |= search->persists;
        return false;
    }
    pause_until(now + search->pause < search->until ? now + search->pause : search->until);
    search->pause = 2 * search->pause < PAUSE_LAST_NS ? 2 * search->pause : PAUSE_LAST_NS;
    return true;
}

/* Gets an answer, whatever it says.  *lost tells whether an answer before it was lost. */
static int converse(fastalloc_client *client, struct wire_request *request,
                    const struct patience *patience, struct wire_reply *reply, int *came,
                    bool *lost, struct reason *why)
{
    struct search search = search_begin(client, request->op, patience);
    bool sent;
    int error;

    do {
        sent = false;
        error = ensure_connected(client, why);
        if (!error)
            error = connection_exchange(&client->connection, request, patience->deadline, reply,
                                        came, &sent, why);
        if (!error) {
            client->given_up = false;
            return 0;
        }
        *lost |= sent;
    } while (error == FASTALLOC_E_NO_DAEMON && (!sent || may_be_repeated(request->op)) &&
             search_again(client, &search));
    return error;
}

/* A create whose answer was lost, and now the name is taken: by what it made, perhaps.  That has
 * no session that lives, so unless it is persistent it goes by itself, and the name is free. */
static int create_again(fastalloc_client *client, struct wire_request *request,
                        struct wire_reply *reply, int *came, struct reason *why)
{
    uint64_t until = wait_now() + client->reconnect_ms * NS_PER_MS;
    bool lost = true;
    int error = 0;

    while (!error && reply->error == FASTALLOC_E_EXISTS && wait_now() < until) {
        pause_until(wait_now() + PAUSE_LAST_NS / 10);
        error = converse(client, request, &patient, reply, came, &lost, why);
    }
    if (!error && reply->error == FASTALLOC_E_EXISTS)
        return reason_set(why, FASTALLOC_E_EXISTS,
                          "fastallocd ended before it answered, and pool \"%.200s\" exists now: it "
                          "may be the one asked for; open it, or destroy it",
                          request->create.name);
    return error;
}

/* With the mutex held: the answer, and what follows from it. */
static int request_locked(fastalloc_client *client, struct wire_request *request,
                          const struct patience *patience, struct wire_reply *reply, int *came,
                          struct reason *why)
{
    bool attaches = request->op == WIRE_CREATE || request->op == WIRE_OPEN, lost = false;
    int error = attaches ? reserve_attachment(client, why) : 0;

    if (error)
        return error;
    error = converse(client, request, patience, reply, came, &lost, why);
    if (!error && lost && request->op == WIRE_CREATE && reply->error == FASTALLOC_E_EXISTS)
        error = create_again(client, request, reply, came, why);
    if (error == FASTALLOC_E_NO_DAEMON && lost && request->op == WIRE_CREATE)
        reason_set(why, error,
                   "fastallocd at %s ended before it answered, and no other listens there: pool "
                   "\"%.200s\" may have been made; try again",
                   client->connection.path, request->create.name);
    if (error == FASTALLOC_E_NO_DAEMON && lost && request->op == WIRE_DESTROY)
        reason_set(why, error,
                   "fastallocd at %s ended before it answered, and no other listens there: pool "
                   "\"%.200s\" may have been destroyed; try again",
                   client->connection.path, request->destroy.name);
    if (request->op == WIRE_CLOSE)
        forget_attachment(client, &request->close);
    if (error)
        return error;
    if (attaches && !reply->error)
        note_attachment(client, reply);
    if (lost && request->op == WIRE_DESTROY && reply->error == FASTALLOC_E_NOT_FOUND)
        reply->error = 0; /* it was, by the daemon that could not say so */
    return 0;
}

static bool lock_until(fastalloc_client *client, uint64_t deadline)
{
    if (deadline == CONNECTION_FOREVER)
        return pthread_mutex_lock(&client->mutex) == 0;
    while (pthread_mutex_trylock(&client->mutex)) {
        if (wait_now() >= deadline)
            return false;
        pause_until(wait_now() + PAUSE_FIRST_NS);
    }
    return true;
}

static int request_with(fastalloc_client *client, struct wire_request *request,
                        const struct patience *patience, struct wire_reply *reply, int *descriptor,
                        struct reason *why)
{
    int came = -1, error, cancel_state;

    /* Receiving is a cancellation point, and the mutex would stay locked. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    if (lock_until(client, patience->deadline)) {
        error = request_locked(client, request, patience, reply, &came, why);
        pthread_mutex_unlock(&client->mutex);
    } else {
        error = reason_set(why, FASTALLOC_E_TIMEOUT,
                           "another thread's request to fastallocd at %s took too long",
                           client->connection.path);
    }
    pthread_setcancelstate(cancel_state, NULL);
    if (!error && reply->error)
        error = reason_set(why, reply->error, "%s", reply->message);
    if (!error && descriptor && came < 0)
        error = reason_set(why, FASTALLOC_E_PROTOCOL,
                           "fastallocd at %s sent no descriptor: has this process too many open "
                           "files?",
                           client->connection.path);
    if (came >= 0 && (error || !descriptor)) {
        close(came);
        if (request->op == WIRE_CREATE || request->op == WIRE_OPEN)
            fork_release();
    } else if (descriptor && !error) {
        *descriptor = came;
    }
    return error;
}

int client_request(fastalloc_client *client, struct wire_request *request, struct wire_reply *reply,
                   int *descriptor, struct reason *why)
{
    return request_with(client, request, &patient, reply, descriptor, why);
}

int client_request_once(fastalloc_client *client, struct wire_request *request, uint64_t deadline,
                        struct wire_reply *reply, struct reason *why)
{
    struct patience patience = {deadline, true};

    return request_with(client, request, &patience, reply, NULL, why);
}

void client_post(fastalloc_client *client, bool (*fill)(struct wire_request *, void *),
                 void *argument)
{
    struct wire_request request;

    if (pthread_mutex_trylock(&client->mutex))
        return;
    if (connection_is_open(&client->connection) && fill(&request, argument))
        connection_post(&client->connection, &request);
    pthread_mutex_unlock(&client->mutex);
}

int client_reach(fastalloc_client *client, struct reason *why)
{
    struct search search;
    int error;

    pthread_mutex_lock(&client->mutex);
    search = search_begin(client, WIRE_HELLO, &patient);
    do
        error = ensure_connected(client, why);
    while (error == FASTALLOC_E_NO_DAEMON && search_again(client, &search));
    pthread_mutex_unlock(&client->mutex);
    return error;
}

void client_keep(fastalloc_client *client)
{
    uint64_t generation = process_here()->generation;
    struct reason why;
    size_t i;

    for (i = 0; i < client->count; i++)
        client->attachments[i].generation = generation;
    /* A daemon that is not there hears of them by the next request. */
    pthread_mutex_lock(&client->mutex);
    ensure_connected(client, &why);
    pthread_mutex_unlock(&client->mutex);
}

/* ------------------------------------------------------------------- public */

void fastalloc_connect_options_init(fastalloc_connect_options *options)
{
    memset(options, 0, sizeof *options);
    options->struct_size = sizeof *options;
}

static bool wants_spawn(const fastalloc_connect_options *options)
{
    const char *value = secure_getenv("FASTALLOC_AUTOSPAWN");

    if (options->autospawn)
        return options->autospawn > 0;
    return value && value[0] && strcmp(value, "0") != 0;
}

static int connect_or_spawn(fastalloc_client *client, const fastalloc_connect_options *options,
                            struct reason *why)
{
    int error, cancel_state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    error = ensure_connected(client, why);
    if (error == FASTALLOC_E_NO_DAEMON && wants_spawn(options)) {
        error = spawn_daemon(client->connection.path, why);
        if (!error)
            error = ensure_connected(client, why);
    }
    pthread_setcancelstate(cancel_state, NULL);
    return error;
}

int fastalloc_connect(fastalloc_client **out, const fastalloc_connect_options *or_null)
{
    fastalloc_connect_options options;
    fastalloc_client *client;
    struct reason why;
    int error;

    if (!out || (or_null && or_null->struct_size != sizeof options))
        return fault_set(FASTALLOC_E_INVALID, "fastalloc_connect: %s",
                         !out ? "the output is NULL"
                              : "begin with fastalloc_connect_options_init()");
    fastalloc_connect_options_init(&options);
    if (or_null)
        options = *or_null;
    client = calloc(1, sizeof *client);
    if (!client)
        return fault_set(FASTALLOC_E_NO_MEMORY, "no memory to connect");
    client->connection.socket = -1;
    client->connection.timeout_ms = options.timeout_ms ? options.timeout_ms : TIMEOUT_DEFAULT_MS;
    client->reconnect_ms = options.reconnect_ms ? options.reconnect_ms : RECONNECT_DEFAULT_MS;
    pthread_mutex_init(&client->mutex, NULL);
    error = paths_socket(client->connection.path, options.socket, wants_spawn(&options), &why);
    if (!error)
        error = connect_or_spawn(client, &options, &why);
    if (error) {
        pthread_mutex_destroy(&client->mutex);
        free(client);
        return fault_say(&why);
    }
    process_add_client(client);
    *out = client;
    return 0;
}

/* Some pool that was opened through the client. */
static fastalloc_pool *pool_of(const fastalloc_client *client)
{
    struct process *process = process_lock();
    fastalloc_pool *pool;

    for (pool = process->pools; pool && pool->client != client; pool = pool->next)
        ;
    process_unlock(process);
    return pool;
}

/* Closes a pool; threads that wait for a slot in it are given the time to hear of it. */
static int close_patiently(const fastalloc_client *client, fastalloc_pool *pool)
{
    uint64_t until = wait_now() + client_timeout_ms(client) * NS_PER_MS;
    int error;

    while ((error = fastalloc_pool_close(pool)) == FASTALLOC_E_BUSY && wait_now() < until)
        pause_until(wait_now() + PAUSE_FIRST_NS);
    return error;
}

void fastalloc_disconnect(fastalloc_client *client)
{
    fastalloc_pool *pool;
    int cancel_state;

    if (!client)
        return;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    while ((pool = pool_of(client)) && close_patiently(client, pool) == 0)
        ;
    /* A pool that stays in use, against the rules, keeps its client. */
    if (!pool) {
        process_remove_client(client);
        connection_drop(&client->connection);
        pthread_mutex_destroy(&client->mutex);
        free(client->attachments);
        free(client);
    }
    pthread_setcancelstate(cancel_state, NULL);
}
