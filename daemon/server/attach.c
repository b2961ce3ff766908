/* SPDX-License-Identifier: MIT
 *
 * attach: the sessions of a pool: opening, sweeping, forgetting them.
 *
 * Order of opening, and what a restarted daemon finds if we die after each step:
 *   1 manifest names the session     its fence is open: swept, which finds nothing
 *   2 record in the segment is live  the same; the record becomes free
 *   3 fence closed, descriptor sent  a session like any other
 * A number leaves the manifest only after its sweep, and is not given out before
 * session_reuse() says so.
 */
#include "guard.h"
#include "log.h"
#include "os/fence.h"
#include "pool.h"
#include "shm/session.h"
#include "shm/sweep.h"
#include "shm/tally.h"
#include "shm/wait.h"

#include <errno.h>
#include <fastalloc/fastalloc.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

/* Of records that are retired, this many are asked whether they are free: each asking
 * costs a pass over all records, and clients can write them. */
#define RETIRED_TRIES 8

struct session *pool_find_session(struct pool *pool, uint32_t number)
{
    struct session *session;

    HASH_FIND(by_number, pool->sessions, &number, sizeof number, session);
    return session;
}

uint32_t pool_session_count(const struct pool *pool)
{
    return HASH_CNT(by_number, pool->sessions);
}

bool pool_is_whole(const struct pool *pool)
{
    uint64_t size;

    return backing_size(pool->descriptor, &size, NULL) == 0 && size >= pool->geometry.total;
}

static int refuse_damaged(const struct pool *pool, struct reason *why)
{
    return reason_set(why, FASTALLOC_E_POISONED,
                      "the shared memory of pool \"%s\" is damaged: destroy the pool",
                      pool->spec.name);
}

/* --------------------------------------------------------------------- fences */

/* Of this thread, so that no pool pays for a machine that is busy otherwise. */
static uint64_t cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The kernel goes through all locks on the segment, which its users can make many.  Too
 * long is only what is so twice in succession: once may be an interrupt. */
static int measure(struct pool *pool, int (*operate)(int descriptor, uint32_t number),
                   int descriptor, uint32_t number)
{
    uint64_t most = LIMIT_FENCE_NS, begun;
    char what[160];
    int answer, tries = 0;

    most += (uint64_t)LIMIT_FENCE_NS_PER_SESSION * pool_session_count(pool);
    do {
        begun = cpu_ns();
        answer = operate(descriptor, number);
        pool->fence_ns = cpu_ns() - begun;
        pool->crowded = pool->fence_ns > most;
    } while (pool->crowded && ++tries < 2);
    if (pool->crowded && !pool->damaged) {
        snprintf(what, sizeof what,
                 "one of its users has set too many locks on it (to look at one took %llu us; "
                 "its %u sessions explain %llu)",
                 (unsigned long long)pool->fence_ns / 1000, pool_session_count(pool),
                 (unsigned long long)most / 1000);
        pool_mark_damaged(pool, what);
    }
    return answer;
}

int pool_look(struct pool *pool, uint32_t number)
{
    return measure(pool, fence_is_open, pool->descriptor, number);
}

/* ------------------------------------------------------------------- opening */

struct search {
    struct pool *pool;
    uint32_t number; /* 0: none is free */
};

static void search_number(void *argument)
{
    struct search *search = argument;
    struct pool *pool = search->pool;
    uint32_t most = pool->spec.max_sessions, tries = RETIRED_TRIES, i, number;

    for (i = 0; i < most; i++) {
        number = (pool->next_number - 1 + i) % most + 1;
        if (pool_find_session(pool, number))
            continue;
        if (session_state(&pool->segment, number) == SESSION_RETIRED && tries-- == 0)
            return;
        if (session_reuse(&pool->segment, number)) {
            search->number = number;
            return;
        }
    }
}

static int choose_number(struct pool *pool, uint32_t *number, struct reason *why)
{
    struct search search = {pool, 0};

    if (!pool_is_whole(pool) ||
        !guard_run(search_number, &search, pool->mapped, pool->geometry.total)) {
        pool_mark_damaged(pool, "its memory was truncated");
        return refuse_damaged(pool, why);
    }
    if (search.number == 0)
        return reason_set(why, FASTALLOC_E_TOO_MANY,
                          "pool \"%s\" has %u of %u sessions attached or not yet swept: detach "
                          "some, or create it with more max_sessions",
                          pool->spec.name, pool_session_count(pool), pool->spec.max_sessions);
    *number = search.number;
    return 0;
}

/* What to show for the process: its name as the kernel has it. */
static void find_comm(char comm[SESSION_COMM_MAX], const struct client *client)
{
    char path[40], *c;
    ssize_t length = -1;
    int file;

    memset(comm, 0, SESSION_COMM_MAX);
    snprintf(path, sizeof path, "/proc/%u/comm", client->peer.pid);
    file = open(path, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        length = read(file, comm, SESSION_COMM_MAX - 1);
        close(file);
    }
    if (length <= 0)
        memcpy(comm, client->program, strnlen(client->program, SESSION_COMM_MAX - 1));
    comm[strcspn(comm, "\n")] = '\0';
    for (c = comm; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
}

struct opening {
    const struct session *session;
    char comm[SESSION_COMM_MAX];
};

static void open_record(void *argument)
{
    struct opening *opening = argument;
    const struct session *session = opening->session;

    session_open(&session->pool->segment, session->number, session->pid, session->uid,
                 opening->comm);
}

/* The descriptor that is the session's fence. */
static int make_fence(const struct session *session, const struct client *client, int *descriptor,
                      struct reason *why)
{
    struct pool *pool = session->pool;
    struct opening opening = {session, ""};
    int made, error;

    error = backing_reopen(pool->descriptor, true, &made, why);
    if (error)
        return error;
    error = measure(pool, fence_close, made, session->number);
    if (error) {
        close(made);
        return reason_system(why, FASTALLOC_E_SYSTEM, error,
                             "cannot lock the fence of session %u of pool \"%s\"", session->number,
                             pool->spec.name);
    }
    if (pool->damaged) {
        close(made);
        return refuse_damaged(pool, why);
    }
    find_comm(opening.comm, client);
    if (!guard_run(open_record, &opening, pool->mapped, pool->geometry.total)) {
        close(made);
        pool_mark_damaged(pool, "its memory was truncated");
        return refuse_damaged(pool, why);
    }
    *descriptor = made;
    return 0;
}

static int new_session(struct pool *pool, uint32_t number, const struct client *client,
                       struct session **session, struct reason *why)
{
    struct session *made = calloc(1, sizeof *made);
    int error = 0;

    if (made) {
        made->pool = pool;
        made->number = number;
        made->pid = client->peer.pid;
        made->uid = client->peer.uid;
        error = backing_random(&made->nonce, sizeof made->nonce, why);
        if (!error)
            HASH_ADD(by_number, pool->sessions, number, sizeof made->number, made);
    }
    if (error || !made || !made->by_number.tbl) {
        free(made);
        return error ? error
                     : reason_set(why, FASTALLOC_E_NO_MEMORY,
                                  "fastallocd has no memory for a session of pool \"%s\"",
                                  pool->spec.name);
    }
    *session = made;
    return 0;
}

int pool_attach(struct pool *pool, const struct store *store, struct client *client,
                struct session **session, int *descriptor, struct reason *why)
{
    struct session *made = NULL;
    uint32_t number = 0;
    int error;

    if (pool->damaged)
        return refuse_damaged(pool, why);
    if (client->session_count >= LIMIT_SESSIONS_PER_CLIENT)
        return reason_set(why, FASTALLOC_E_TOO_MANY,
                          "this connection has %u sessions open, the most it can have: close some",
                          client->session_count);
    error = choose_number(pool, &number, why);
    if (!error)
        error = new_session(pool, number, client, &made, why);
    if (error)
        return error;
    error = pool_save(pool, store, why);
    if (!error)
        error = make_fence(made, client, descriptor, why);
    if (error) {
        /* The manifest may name it until the next save: its fence is open, its
         * record free.  No harm. */
        pool_forget(pool, made);
        return error;
    }
    pool->next_number = number % pool->spec.max_sessions + 1;
    made->client = client;
    DL_APPEND(client->sessions, made);
    client->session_count++;
    *session = made;
    return 0;
}

void pool_forget(struct pool *pool, struct session *session)
{
    HASH_DELETE(by_number, pool->sessions, session);
    free(session);
}

/* ------------------------------------------------------------------ sweeping */

struct sweeping {
    struct pool *pool;
    const struct death *deaths;
    uint32_t count;
};

static void sweep_one(struct pool *pool, const struct death *death)
{
    static const struct sweep_policy reclaim;
    struct sweep_policy policy = {pool->spec.on_death, pool->spec.quarantine_ms};
    struct sweep_result result;

    sweep_session(&pool->segment, death->number, death->closed ? &reclaim : &policy, &result);
    if (result.slots && death->noticed)
        tally_reclaim_time(&pool->segment, wait_now() - death->noticed);
    session_reuse(&pool->segment, death->number);
    log_debug("pool \"%s\": session %u swept, %llu slots and %llu magazines taken back, %llu slots "
              "kept",
              pool->spec.name, death->number, (unsigned long long)result.slots,
              (unsigned long long)result.magazines, (unsigned long long)result.kept);
}

static void sweep_all(void *argument)
{
    const struct sweeping *sweeping = argument;
    uint32_t i;

    for (i = 0; i < sweeping->count; i++)
        sweep_one(sweeping->pool, &sweeping->deaths[i]);
}

int pool_sweep(struct pool *pool, const struct death *deaths, uint32_t count)
{
    struct sweeping sweeping = {pool, deaths, count};
    int error = pool_take_role(pool);

    if (error)
        return error;
    if (!guard_run(sweep_all, &sweeping, pool->mapped, pool->geometry.total))
        return FASTALLOC_E_POISONED;
    return 0;
}
