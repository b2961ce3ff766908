/* SPDX-License-Identifier: MIT
 *
 * check_kept_daemon: what the real fastallocd does with the slots of the dead, at once or by
 * and by; and what it leaves at its own end.
 */
#include "os/backing.h"
#include "shm/notes.h"
#include "shm/slot.h"
#include "shm/survey.h"
#include "shm/wait.h"
#include "user.h"

#include <check.h>
#include <fastalloc/fastalloc.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS UINT64_C(1000000)

/* ------------------------------------------------------------- death and what is kept */

/* A process that attaches, takes the first slots never used, and waits to be killed. */
static pid_t start_holder(const char *name, uint64_t slots)
{
    int ends[2];
    pid_t child;
    char byte;

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct user user;
        uint64_t i;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        user_attach(&user, name);
        for (i = 0; slots > 0 && i < segment_capacity(&user.segment); i++)
            slots -= slot_claim_fresh(&user.segment, i, user.attached.attached.session);
        if (slots == 0 && write(ends[1], "x", 1) == 1)
            for (;;)
                pause();
        _exit(1);
    }
    close(ends[1]);
    ck_assert_int_eq(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    return child;
}

static void kill_holder(pid_t holder)
{
    kill(holder, SIGKILL);
    ck_assert_int_eq(waitpid(holder, NULL, 0), holder);
}

static struct survey survey_of(const struct user *user)
{
    struct survey survey;

    survey_slots(&user->segment, &survey, NULL);
    return survey;
}

START_TEST(a_dead_ones_slots_are_quarantined_until_released)
{
    struct pool_spec spec = raw_spec("orders", 64, 1000);
    struct user user;
    fastalloc_handle handle;
    pid_t holder;

    spec.on_death = FASTALLOC_QUARANTINE;
    user_create(&user, &spec);
    ck_assert_int_eq(raw_release(user.socket, "orders", 0), 0);
    holder = start_holder("orders", 10);
    kill_holder(holder);
    ck_assert(user_sessions_become(&user, 1));
    ck_assert_uint_eq(survey_of(&user).quarantined, 10);
    ck_assert_uint_eq(notes_pid_of(shm_load(&user.segment.notes[3])), (uint32_t)holder);
    handle = slot_handle(&user.segment, shm_load(&user.segment.words[3]), 3);
    ck_assert_int_eq(raw_release(user.socket, "orders", handle), 1);
    ck_assert_int_eq(raw_release(user.socket, "orders", handle), 0);
    ck_assert_uint_eq(survey_of(&user).quarantined, 9);
    ck_assert_int_eq(raw_release(user.socket, "orders", 0), 9);
    ck_assert_uint_eq(survey_of(&user).quarantined, 0);
    ck_assert_uint_eq(survey_of(&user).returned, 10);
    ck_assert_int_eq(raw_release(user.socket, "others", 0), FASTALLOC_E_NOT_FOUND);
    user_leave(&user);
}
END_TEST

START_TEST(a_session_that_was_closed_is_no_death)
{
    struct pool_spec spec = raw_spec("orders", 64, 1000);
    struct user user, closes;
    uint64_t i;

    spec.on_death = FASTALLOC_QUARANTINE;
    user_create(&user, &spec);
    user_attach(&closes, "orders");
    for (i = 0; i < 5; i++)
        ck_assert(slot_claim_fresh(&closes.segment, i, closes.attached.attached.session));
    /* Closed while still mapped, and swept by the next daemon. */
    ck_assert_int_eq(raw_close(closes.socket, &closes.attached), 0);
    ck_assert_int_eq(raw_resume(closes.socket, &closes.attached), FASTALLOC_E_SESSION);
    test_daemon_kill(&daemon_);
    backing_unmap(closes.mapped, closes.attached.attached.bytes);
    close(closes.socket);
    test_daemon_run(&daemon_);
    close(user.socket);
    user.socket = raw_client(daemon_.socket);
    ck_assert_int_eq(raw_resume(user.socket, &user.attached), 0);
    ck_assert(user_sessions_become(&user, 1));
    ck_assert_uint_eq(survey_of(&user).quarantined, 0);
    ck_assert_uint_eq(survey_of(&user).returned, 5);
    user_leave(&user);
}
END_TEST

static bool has_returned(void *argument)
{
    const struct user_expected *expected = argument;

    return survey_of(expected->user).returned == (uint64_t)expected->number;
}

static bool returned_become(const struct user *user, int64_t slots)
{
    return test_eventually(has_returned, &(struct user_expected){user, slots});
}

START_TEST(what_is_left_or_quarantined_for_a_time_comes_back_in_time)
{
    struct pool_spec spec = raw_spec("orders", 64, 1000);
    uint64_t begun, took;
    struct user user;
    uint32_t me;

    spec.on_death = FASTALLOC_QUARANTINE;
    spec.quarantine_ms = 500;
    user_create(&user, &spec);
    me = user.attached.attached.session;
    ck_assert(slot_claim_fresh(&user.segment, 900, me));
    begun = wait_now();
    ck_assert_int_eq(
        notes_leave(&user.segment,
                    slot_handle(&user.segment, shm_load(&user.segment.words[900]), 900), me,
                    (uint32_t)getpid(), notes_time(begun + 300 * MS)),
        0);
    ck_assert(returned_become(&user, 1));
    took = (wait_now() - begun) / MS;
    ck_assert_msg(took >= 300 && took < 1500, "%" PRIu64 " ms", took);

    kill_holder(start_holder("orders", 10));
    begun = wait_now();
    ck_assert(returned_become(&user, 11));
    took = (wait_now() - begun) / MS;
    ck_assert_msg(took >= 400 && took < 2000, "%" PRIu64 " ms", took);
    user_leave(&user);
}
END_TEST

/* How often the process has gone to sleep. */
static long switches_of(pid_t pid)
{
    char path[64], line[128];
    long number = -1;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/status", pid);
    file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    while (number < 0 && fgets(line, sizeof line, file))
        sscanf(line, "voluntary_ctxt_switches: %ld", &number);
    fclose(file);
    ck_assert_int_ge(number, 0);
    return number;
}

START_TEST(without_notes_the_daemon_sleeps)
{
    struct pool_spec spec = user_growing(100, 1000, 2);
    struct user user;
    long before;

    user_create(&user, &spec);
    usleep(300000);
    before = switches_of(daemon_.pid);
    usleep(1000000);
    ck_assert_int_le(switches_of(daemon_.pid) - before, 2);
    user_leave(&user);

    /* With, while there may be something to come, it looks; and then no more. */
    spec.flags = SPEC_NOTES;
    spec.lifetime = FASTALLOC_PERSISTENT;
    user_create(&user, &spec);
    before = switches_of(daemon_.pid);
    usleep(1000000);
    ck_assert_int_ge(switches_of(daemon_.pid) - before, 5);
    user_leave(&user);
    usleep(300000);
    before = switches_of(daemon_.pid);
    usleep(1000000);
    ck_assert_int_le(switches_of(daemon_.pid) - before, 2);
    user.socket = raw_client(daemon_.socket);
    ck_assert_int_eq(raw_destroy(user.socket, "orders"), 0);
    close(user.socket);
}
END_TEST

#define KILLS 21

static int by_size(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;

    return *a < *b ? -1 : *a > *b;
}

/* The median of a series of kills, in ns. */
static uint64_t measure_kills(struct user *user)
{
    uint64_t took[KILLS], begun;
    pid_t holder;
    unsigned i;

    for (i = 0; i < KILLS; i++) {
        uint64_t held;

        /* The first ones never used, those returned for the next. */
        for (held = 0; held < 65536; held++)
            shm_store(&user->segment.words[held], UINT64_C(0));
        holder = start_holder("orders", 32768);
        begun = wait_now();
        kill(holder, SIGKILL);
        while (slot_owner_of(shm_load_ordered(&user->segment.words[32767])) != SLOT_RETURNED)
            ck_assert_uint_lt(wait_now() - begun, 5000 * MS);
        took[i] = wait_now() - begun;
        ck_assert_int_eq(waitpid(holder, NULL, 0), holder);
        ck_assert(user_sessions_become(user, 1));
    }
    qsort(took, KILLS, sizeof *took, by_size);
    printf("from SIGKILL to the last of 32,768 slots: median %" PRIu64 " us, least %" PRIu64
           ", most %" PRIu64 "\n",
           took[KILLS / 2] / 1000, took[0] / 1000, took[KILLS - 1] / 1000);
    return took[KILLS / 2];
}

START_TEST(half_of_65536_slots_are_back_within_10_ms_of_the_kill)
{
    const char *set = getenv("FASTALLOC_TEST_SANITIZERS"), *sanitizers = set ? set : "";
    struct pool_spec spec = raw_spec("orders", 64, 65536);
    uint64_t median;
    struct user user;

    user_create(&user, &spec);
    median = measure_kills(&user);
    /* The kernel takes its time over the address space of a process with sanitizers. */
    if (!*sanitizers)
        ck_assert_uint_le(median, 10 * MS);
    user_leave(&user);
}
END_TEST

/* --------------------------------------------------------------------- shutting down */

START_TEST(a_shutdown_keeps_live_pools)
{
    struct pool_spec spec = user_growing(100, 1000, 2);
    struct user user;
    int client = raw_client(daemon_.socket);

    user_create(&user, &spec);
    ck_assert_int_eq(raw_shutdown(client, false, &reply), 0);
    ck_assert(raw_is_closed(client));
    close(client);
    test_daemon_wait(&daemon_);
    ck_assert_uint_eq(test_daemon_segments(&daemon_), 1);
    ck_assert_uint_eq(segment_state(&user.segment), POOL_LIVE);
    test_daemon_run(&daemon_);
    close(user.socket);
    user.socket = raw_client(daemon_.socket);
    ck_assert_int_eq(raw_resume(user.socket, &user.attached), 0);
    user_leave(&user);
}
END_TEST

START_TEST(a_shutdown_that_destroys_leaves_nothing)
{
    struct pool_spec spec = user_growing(100, 1000, 2);
    struct user user, other;
    int client = raw_client(daemon_.socket);

    user_create(&user, &spec);
    strcpy(spec.name, "kept");
    spec.lifetime = FASTALLOC_PERSISTENT;
    user_create(&other, &spec);
    user_leave(&other);
    ck_assert_uint_eq(test_daemon_segments(&daemon_), 2);
    ck_assert_int_eq(raw_shutdown(client, true, &reply), 0);
    /* By the time of the answer. */
    ck_assert_uint_eq(test_daemon_segments(&daemon_), 0);
    ck_assert_uint_eq(segment_state(&user.segment), POOL_DESTROYED);
    ck_assert(raw_is_closed(client));
    close(client);
    test_daemon_wait(&daemon_);
    backing_unmap(user.mapped, user.attached.attached.bytes);
    close(user.socket);
}
END_TEST

START_TEST(only_root_and_its_own_user_may_shut_it_down)
{
    int status;
    pid_t child;

    if (geteuid() != 0)
        return; /* nobody else can be had */
    ck_assert_int_eq(chmod(daemon_.directory, 0755), 0);
    ck_assert_int_eq(chmod(daemon_.socket, 0666), 0);
    child = fork();
    if (child == 0) {
        int client;

        if (setgid(65534) || setuid(65534))
            _exit(1);
        client = raw_client(daemon_.socket);
        _exit(raw_shutdown(client, true, &reply) == FASTALLOC_E_PERMISSION &&
                      strstr(reply.message, "only that user and root can shut it down")
                  ? 0
                  : 2);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    close(raw_client(daemon_.socket));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("kept by the daemon");
    TCase *kept = tcase_create("kept"), *ends = tcase_create("ends");

    tcase_add_checked_fixture(kept, user_start, user_stop);
    tcase_set_timeout(kept, 30);
    tcase_add_test(kept, a_dead_ones_slots_are_quarantined_until_released);
    tcase_add_test(kept, a_session_that_was_closed_is_no_death);
    tcase_add_test(kept, what_is_left_or_quarantined_for_a_time_comes_back_in_time);
    tcase_add_test(kept, without_notes_the_daemon_sleeps);
    tcase_add_test(kept, half_of_65536_slots_are_back_within_10_ms_of_the_kill);
    suite_add_tcase(suite, kept);

    tcase_add_checked_fixture(ends, user_start, user_stop);
    tcase_set_timeout(ends, 30);
    tcase_add_test(ends, a_shutdown_keeps_live_pools);
    tcase_add_test(ends, a_shutdown_that_destroys_leaves_nothing);
    tcase_add_test(ends, only_root_and_its_own_user_may_shut_it_down);
    suite_add_tcase(suite, ends);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(make_suite());
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
