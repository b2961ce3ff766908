/* SPDX-License-Identifier: MIT
 *
 * reader: cuts the text into blocks, hands them out, collects the answers, and does
 * again what a dead worker had in its hands.
 */
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RECLAIM_MS 10000 /* until a dead worker's slots are back, at most */
#define CATCH_MS 20000   /* until a worker is caught with blocks in its hands, at most */

uint64_t job_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ------------------------------------------------------------------ reading */

static void open_file(size_t file)
{
    if (job.descriptor >= 0)
        close(job.descriptor);
    job.descriptor = open(job.text.files[file].path, O_RDONLY | O_CLOEXEC);
    if (job.descriptor < 0)
        job_fail("cannot open %s: %s", job.text.files[file].path, strerror(errno));
}

static void read_text(size_t file, int descriptor, uint64_t offset, char *bytes, size_t length)
{
    if (pread(descriptor, bytes, length, (off_t)offset) != (ssize_t)length)
        job_fail("%s changed while it was read", job.text.files[file].path);
}

/* The next block of the text into `block`.  False at the end of the last pass. */
static bool read_next(struct block *block, struct source *source)
{
    uint64_t left;
    size_t length;

    if (job.pass == job.repeat)
        return false;
    if (job.offset == 0)
        open_file(job.file);
    left = job.text.files[job.file].size - job.offset;
    length = left < sizeof block->text ? (size_t)left : sizeof block->text;
    read_text(job.file, job.descriptor, job.offset, block->text, length);
    length = text_cut(block->text, length, length == left);
    *source = (struct source){job.file, job.offset, (uint32_t)length, job.within};
    job.within = job.within || length == sizeof block->text;
    if (job.within) /* no white space to cut at: does the word go on? */
        text_count_words(block->text, length, &job.within);
    job.read += length;
    job.offset += length;
    if (length == left) {
        job.offset = 0;
        job.within = false;
        job.file = (job.file + 1) % job.text.count;
        job.pass += job.file == 0;
    }
    return true;
}

/* The block that a dead worker had, once more. */
static void read_again(struct block *block, const struct source *source)
{
    int descriptor = open(job.text.files[source->file].path, O_RDONLY | O_CLOEXEC);

    if (descriptor < 0)
        job_fail("cannot open %s: %s", job.text.files[source->file].path, strerror(errno));
    read_text(source->file, descriptor, source->offset, block->text, source->length);
    close(descriptor);
}

static void alloc_block(blocks_handle *handle, struct block **block)
{
    if (blocks_alloc(job.pool, handle, block))
        job_fail("%s", fastalloc_last_error());
}

/* Fills a batch: with blocks to be done again if there are any, else with new ones.
 * False when there is nothing left to do. */
static bool next_batch(struct batch *batch)
{
    struct block *block;
    uint32_t i;

    if (job.again_count > 0) {
        *batch = job.again[--job.again_count];
        for (i = 0; i < batch->count; i++) {
            /* Those that the dead never adopted are the reader's still. */
            if (blocks_get(job.pool, batch->handles[i]))
                continue;
            alloc_block(&batch->handles[i], &block);
            read_again(block, &batch->sources[i]);
            block->length = batch->sources[i].length;
            block->within = batch->sources[i].within;
        }
        batch->taken = false;
        return true;
    }
    memset(batch, 0, sizeof *batch);
    if (job.pass == job.repeat && job.kill && !job.victim && job_now_us() < job.catch_until)
        job.repeat++; /* until somebody has been caught */
    while (batch->count < BATCH && job.pass < job.repeat) {
        struct source *source = &batch->sources[batch->count];

        alloc_block(&batch->handles[batch->count], &block);
        read_next(block, source);
        block->length = source->length;
        block->within = source->within;
        batch->count++;
    }
    return batch->count > 0;
}

static void send_batch(struct worker *worker, const struct batch *batch)
{
    struct message message = {.kind = GO, .count = batch->count};

    memcpy(message.handles, batch->handles, sizeof message.handles);
    if (send(worker->socket, &message, sizeof message, MSG_NOSIGNAL) < 0)
        job_fail("cannot send to worker %d: %s", (int)worker->shown_pid, strerror(errno));
}

/* Gives every worker with a free place a batch, in turns. */
static void hand_out(void)
{
    unsigned place, i;

    for (place = 0; place < BATCHES; place++)
        for (i = 0; i <= job.workers; i++) {
            struct worker *worker = &job.worker[i];

            if (worker->fate == WORKING && worker->batches[place].count == 0 &&
                next_batch(&worker->batches[place]))
                send_batch(worker, &worker->batches[place]);
        }
}

/* ---------------------------------------------------------------- collecting */

/* Adds up a batch's answers, and frees its slots. */
static void collect(struct worker *worker, struct batch *batch)
{
    uint32_t i;

    for (i = 0; i < batch->count; i++) {
        struct block *block;

        if (blocks_adopt(job.pool, batch->handles[i]))
            job_fail("%s", fastalloc_last_error());
        block = blocks_get(job.pool, batch->handles[i]);
        worker->words += block->words;
        job.words += block->words;
        if (blocks_free(job.pool, batch->handles[i]))
            job_fail("%s", fastalloc_last_error());
    }
    worker->blocks += batch->count;
    batch->count = 0;
    batch->taken = false;
}

_Noreturn static void fail_for_dead(struct worker *worker)
{
    int status = 0;

    waitpid(worker->pid, &status, 0);
    worker->pid = 0;
    if (WIFSIGNALED(status))
        job_fail("worker %d was ended by signal %d, not by the demonstration",
                 (int)worker->shown_pid, WTERMSIG(status));
    job_fail("worker %d exited with %d in mid-work", (int)worker->shown_pid, WEXITSTATUS(status));
}

/* Takes one message, if there is one.  Returns whether there was. */
static bool hear(struct worker *worker)
{
    struct message message;
    ssize_t length = recv(worker->socket, &message, sizeof message, MSG_DONTWAIT);
    unsigned place;

    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (length == 0 || (length < 0 && errno == ECONNRESET))
        fail_for_dead(worker);
    if (length != sizeof message)
        job_fail("worker %d sent no whole message", (int)worker->shown_pid);
    for (place = 0; place < BATCHES; place++) {
        struct batch *batch = &worker->batches[place];

        if (batch->count == 0 || batch->handles[0].value != message.handles[0].value)
            continue;
        if (message.kind == TAKEN)
            batch->taken = true;
        else
            collect(worker, batch);
        return true;
    }
    job_fail("worker %d speaks of blocks it was not sent", (int)worker->shown_pid);
}

static bool has_work(const struct worker *worker)
{
    unsigned place;

    for (place = 0; place < BATCHES; place++)
        if (worker->batches[place].count > 0)
            return true;
    return false;
}

/* Waits for messages of all workers at work but `not_of`, and takes them.  False when
 * none of those has anything to do.  How long it may take is for the job's alarm. */
static bool listen_to_all(const struct worker *not_of)
{
    struct pollfd ready[WORKERS_MAX + 1];
    unsigned who[WORKERS_MAX + 1], count = 0, i;

    for (i = 0; i <= job.workers; i++)
        if (&job.worker[i] != not_of && has_work(&job.worker[i])) {
            ready[count] = (struct pollfd){.fd = job.worker[i].socket, .events = POLLIN};
            who[count++] = i;
        }
    if (count == 0)
        return false;
    if (poll(ready, count, -1) < 0 && errno != EINTR)
        job_fail("cannot wait for the workers: %s", strerror(errno));
    for (i = 0; i < count; i++)
        if (ready[i].revents)
            while (has_work(&job.worker[who[i]]) && hear(&job.worker[who[i]]))
                continue;
    return true;
}

/* ------------------------------------------------------------------- killing */

uint64_t job_in_use(void)
{
    fastalloc_pool_info info = {.struct_size = sizeof info};

    if (fastalloc_pool_get_info(job.pool.pool, &info))
        job_fail("%s", fastalloc_last_error());
    return info.allocated;
}

static uint32_t held_by(const struct worker *worker)
{
    uint32_t held = 0;
    unsigned place;

    for (place = 0; place < BATCHES; place++)
        held += worker->batches[place].taken ? worker->batches[place].count : 0;
    return held;
}

static uint32_t stale_of(const struct worker *worker)
{
    uint32_t stale = 0, i;
    unsigned place;

    for (place = 0; place < BATCHES; place++)
        for (i = 0; i < worker->batches[place].count; i++)
            stale += blocks_get(job.pool, worker->batches[place].handles[i]) == NULL;
    return stale;
}

/* Stops the worker and hears what it has said so far.  True if it has several blocks in
 * its hands now; otherwise it runs on. */
static bool catch_worker(struct worker *worker)
{
    int status;

    kill(worker->pid, SIGSTOP);
    if (waitpid(worker->pid, &status, WUNTRACED) != worker->pid || !WIFSTOPPED(status))
        job_fail("worker %d ended by itself", (int)worker->shown_pid);
    while (hear(worker))
        continue;
    if (held_by(worker) >= 2)
        return true;
    kill(worker->pid, SIGCONT);
    return false;
}

/* Kills the worker, which is stopped with blocks in its hands, and waits until the pool
 * has its slots back.  Everybody else rests meanwhile, so that the numbers of slots in use
 * before and after tell what came back. */
static void bury(struct worker *worker)
{
    uint64_t since;
    unsigned place;

    while (listen_to_all(worker))
        continue;
    worker->lost = held_by(worker);
    job_run(job.at_kill);
    job.in_use_before = job_in_use();
    since = job_now_us();
    kill(worker->pid, SIGKILL);
    waitpid(worker->pid, NULL, 0);
    worker->pid = 0;
    worker->fate = KILLED;
    close(worker->socket);
    while (stale_of(worker) < worker->lost || job_in_use() + worker->lost > job.in_use_before) {
        if (job_now_us() - since > RECLAIM_MS * 1000)
            job_fail("of the %u slots of the killed worker %u came back within %d s", worker->lost,
                     stale_of(worker), RECLAIM_MS / 1000);
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    job.reclaim_us = job_now_us() - since;
    job.in_use_after = job_in_use();
    for (place = 0; place < BATCHES; place++)
        if (worker->batches[place].count > 0) {
            job.again[job.again_count++] = worker->batches[place];
            worker->batches[place].count = 0;
        }
}

/* Once a third of the text is read, kills the first worker that is caught with
 * several blocks in its hands.  That takes a few tries: a worker may have finished when it
 * is stopped, or not have begun. */
static void kill_one(void)
{
    uint64_t third = job.text.bytes * job.repeat / 3;
    unsigned i;

    if (!job.kill || job.victim || job.read < third)
        return;
    if (!job.catch_until)
        job.catch_until = job_now_us() + CATCH_MS * 1000;
    for (i = 0; i < job.workers; i++)
        if (has_work(&job.worker[i]) && catch_worker(&job.worker[i])) {
            job.victim = i + 1;
            bury(&job.worker[i]);
            job.worker[job.workers].fate = WORKING;
            return;
        }
}

void job_count(void (*progress)(void))
{
    do {
        hand_out();
        progress();
        kill_one();
        hand_out();
    } while (listen_to_all(NULL));
}
