/* SPDX-License-Identifier: MIT
 *
 * ctl_stats: see ctl_stats.h.
 */
#include "ctl_stats.h"

#include <fastalloc/fastalloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* --------------------------------------------------------------- a program */

#define HAND_MAX 4096

static void do_order(fastalloc_pool *pool, enum order order, uint64_t number)
{
    static fastalloc_handle hand[HAND_MAX];
    static size_t held;
    uint64_t i;

    switch (order) {
    case ORDER_ALLOC:
        for (i = 0; i < number; i++)
            child_require(fastalloc_alloc(pool, &hand[held++], NULL) == 0);
        break;
    case ORDER_FREE:
        for (i = 0; i < number; i++)
            child_require(fastalloc_free(pool, hand[--held]) == 0);
        break;
    case ORDER_FAIL:
        for (i = 0; i < number; i++)
            child_require(fastalloc_alloc(pool, &hand[held], NULL) == FASTALLOC_E_EXHAUSTED);
        break;
    case ORDER_WAIT:
        for (i = 0; i < number; i++)
            child_require(fastalloc_alloc_wait(pool, &hand[held], NULL, fastalloc_deadline(5)) ==
                          FASTALLOC_E_TIMEOUT);
        break;
    case ORDER_RESET:
        child_require(fastalloc_pool_stats_reset(pool) == 0);
        break;
    case ORDER_SEAL:
        child_require(fastalloc_pool_seal(pool) == 0);
        break;
    }
}

static void obey(int channel, void *name)
{
    fastalloc_client *client;
    fastalloc_pool *pool;
    uint64_t order;

    child_require(fastalloc_connect(&client, NULL) == 0);
    child_require(fastalloc_pool_open(client, name, NULL, &pool) == 0);
    for (;;) {
        channel_put(channel, 0);
        order = channel_take(channel);
        do_order(pool, (enum order)order, channel_take(channel));
    }
}

void program_start(struct child *program, const char *pool)
{
    child_start(program, obey, (void *)(uintptr_t)pool);
    channel_take(program->channel);
}

void program_tell(struct child *program, enum order order, uint64_t number)
{
    channel_put(program->channel, order);
    channel_put(program->channel, number);
    channel_take(program->channel);
}

/* ------------------------------------------------------------ what is shown */

json_t *stats_stat(const char *pool)
{
    return ctl_json(0, "stat", "--json", "--", pool, NULL);
}

json_t *stats_of(const json_t *stat)
{
    json_t *stats = json_object_get(stat, "statistics");

    ck_assert(json_is_object(stats));
    return stats;
}

double stats_real(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    ck_assert_msg(json_is_real(value), "\"%s\" is no real number", key);
    return json_real_value(value);
}

json_t *exposition_read(const char *text, char *says, size_t size)
{
    int in = memfd_create("exposition", MFD_CLOEXEC), out = memfd_create("samples", MFD_CLOEXEC);
    int err = memfd_create("says", MFD_CLOEXEC), status;
    const char *source = getenv("FASTALLOC_TEST_SRCDIR");
    char path[512];
    ssize_t length;
    json_t *samples;
    FILE *written;
    pid_t pid;

    ck_assert_int_eq(write(in, text, strlen(text)), (ssize_t)strlen(text));
    ck_assert_int_eq(lseek(in, 0, SEEK_SET), 0);
    snprintf(path, sizeof path, "%s/tests/integration/openmetrics.py", source ? source : ".");
    pid = fork();
    if (pid == 0) {
        dup2(in, 0);
        dup2(out, 1);
        dup2(err, 2);
        execlp("python3", "python3", "-B", path, (char *)NULL);
        _exit(127);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    length = pread(err, says, size - 1, 0);
    ck_assert_int_ge(length, 0);
    says[length] = '\0';
    written = fdopen(out, "r");
    rewind(written);
    /* A number may be too large for the library's integers. */
    samples = json_loadf(written, JSON_DECODE_INT_AS_REAL, NULL);
    fclose(written);
    close(in);
    close(err);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && samples)
        return samples;
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 1, "openmetrics.py: status 0x%x: %s",
                  status, says);
    json_decref(samples);
    return NULL;
}

json_t *exposition_written(void)
{
    char says[1024];
    json_t *samples = exposition_read(ctl_result.out, says, sizeof says);

    if (!samples)
        fputs(ctl_result.out, stderr); /* more than Check has room for */
    ck_assert_msg(samples != NULL, "no exposition: %s", says);
    return samples;
}

json_t *metrics_now(void)
{
    ck_assert_msg(ctl_run("stat", "--openmetrics", NULL) == 0, "%s", ctl_result.err);
    return exposition_written();
}

const json_t *metrics_find(const json_t *samples, const char *name, const char *pool,
                           const char *label, const char *value)
{
    const json_t *one, *found = NULL, *labels;
    const char *other;
    size_t i;

    json_array_foreach(samples, i, one)
    {
        labels = json_object_get(one, "labels");
        other = label ? json_string_value(json_object_get(labels, label)) : NULL;
        if (strcmp(ctl_string(one, "name"), name) != 0 ||
            strcmp(ctl_string(labels, "pool"), pool) != 0 ||
            (label && (!other || strcmp(other, value) != 0)))
            continue;
        ck_assert_msg(!found, "%s of \"%s\" is there twice", name, pool);
        found = one;
    }
    return found;
}

double metrics_value(const json_t *samples, const char *name, const char *pool)
{
    const json_t *found = metrics_find(samples, name, pool, NULL, NULL);

    ck_assert_msg(found != NULL, "%s of \"%s\" is missing", name, pool);
    return json_number_value(json_object_get(found, "value"));
}

double metrics_value_of(const json_t *samples, const char *name, const char *pool,
                        const char *label, const char *value)
{
    const json_t *found = metrics_find(samples, name, pool, label, value);

    ck_assert_msg(found != NULL, "%s of \"%s\" is missing", name, pool);
    return json_number_value(json_object_get(found, "value"));
}

struct awaited {
    const char *key;
    json_int_t number;
};

static bool has_come(void *argument)
{
    const struct awaited *awaited = argument;
    json_t *stat = stats_stat("orders");
    bool come = ctl_number(stats_of(stat), awaited->key) == awaited->number;

    json_decref(stat);
    return come;
}

void stats_await(const char *key, json_int_t number)
{
    struct awaited awaited = {key, number};

    ck_assert_msg(test_eventually(has_come, &awaited), "%s never becomes %lld", key,
                  (long long)number);
}

void stats_work(struct child *program)
{
    ctl_create("orders", "64", "100");
    stats_await("deaths", 1);
    program_start(program, "orders");
    program_tell(program, ORDER_ALLOC, 100);
    program_tell(program, ORDER_FAIL, 3);
    program_tell(program, ORDER_FREE, 40);
}
