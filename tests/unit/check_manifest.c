/* SPDX-License-Identifier: MIT
 *
 * check_manifest: manifests as bytes, damaged ones, and the directory they lie in.
 */
#include "server/store.h"
#include "shm/spec.h"
#include "wire/manifest.h"

#include <check.h>
#include <dirent.h>
#include <fastalloc/fastalloc.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static struct manifest_session sessions[] = {
    {.number = 1, .pid = 10, .uid = 100, .nonce = UINT64_MAX},
    {.number = 2, .pid = 20, .uid = 200, .nonce = 1},
    {.number = 256, .pid = 30, .uid = 300, .nonce = 2, .closed = true},
};

static struct manifest some_manifest(void)
{
    struct manifest manifest;

    memset(&manifest, 0, sizeof manifest);
    strcpy(manifest.segment, "/fatest-0123456789abcdef");
    strcpy(manifest.spec.name, "orders");
    strcpy(manifest.spec.type_name, "order");
    manifest.spec.type_version = 3;
    manifest.spec.object_size = 64;
    manifest.spec.capacity = 1000;
    manifest.spec.max_capacity = 5000;
    manifest.spec.growth = FASTALLOC_GROWTH_EXPONENTIAL;
    manifest.spec.growth_factor = 1.5;
    manifest.spec.low_water = 100;
    manifest.spec.on_death = FASTALLOC_QUARANTINE;
    manifest.spec.quarantine_ms = 60000;
    ck_assert_int_eq(spec_complete(&manifest.spec, NULL), 0);
    manifest.uid = 1000;
    manifest.gid = 1001;
    manifest.pool_id = UINT64_C(0xfedcba9876543210);
    manifest.first_generation = 12345;
    manifest.serial = 9;
    manifest.created = 1700000000;
    manifest.destroyed = true;
    manifest.capacity = 1500;
    manifest.reserved = 2250;
    manifest.session_count = 3;
    manifest.sessions = sessions;
    return manifest;
}

static uint8_t *packed(const struct manifest *manifest, size_t *length)
{
    uint8_t *bytes;

    ck_assert_int_eq(manifest_pack(manifest, &bytes, length, NULL), 0);
    return bytes;
}

START_TEST(a_manifest_comes_back_as_it_was)
{
    struct manifest sent = some_manifest(), got;
    size_t length;
    uint8_t *bytes = packed(&sent, &length);

    ck_assert_int_eq(manifest_unpack(&got, bytes, length, NULL), 0);
    ck_assert_uint_eq(got.session_count, 3);
    ck_assert_mem_eq(got.sessions, sessions, sizeof sessions);
    manifest_release(&got);
    /* All but the sessions' address. */
    sent.sessions = NULL;
    sent.session_count = 0;
    ck_assert_mem_eq(&got, &sent, sizeof got);
    free(bytes);
}
END_TEST

START_TEST(the_most_sessions_there_can_be_fit)
{
    struct manifest sent = some_manifest(), got;
    uint32_t i, count = SPEC_SESSIONS_MAX;
    size_t length;
    uint8_t *bytes;

    sent.spec.max_sessions = count;
    sent.session_count = count;
    sent.sessions = calloc(count, sizeof *sent.sessions);
    for (i = 0; i < count; i++) {
        sent.sessions[i].number = i + 1;
        sent.sessions[i].pid = sent.sessions[i].uid = UINT32_MAX;
        sent.sessions[i].nonce = UINT64_MAX - i;
    }
    bytes = packed(&sent, &length);
    ck_assert_uint_le(length, MANIFEST_MAX);
    ck_assert_int_eq(manifest_unpack(&got, bytes, length, NULL), 0);
    ck_assert_uint_eq(got.session_count, count);
    ck_assert_mem_eq(got.sessions, sent.sessions, count * sizeof *sent.sessions);
    manifest_release(&got);
    free(sent.sessions);
    free(bytes);
}
END_TEST

START_TEST(a_flipped_bit_anywhere_is_noticed)
{
    struct manifest sent = some_manifest(), got;
    size_t length, i;
    uint8_t *bytes = packed(&sent, &length);
    int bit;

    for (i = 0; i < length; i++) {
        for (bit = 0; bit < 8; bit++) {
            bytes[i] ^= (uint8_t)(1 << bit);
            ck_assert_int_eq(manifest_unpack(&got, bytes, length, NULL), FASTALLOC_E_POISONED);
            bytes[i] ^= (uint8_t)(1 << bit);
        }
    }
    free(bytes);
}
END_TEST

START_TEST(a_manifest_cut_at_any_length_is_noticed)
{
    struct manifest sent = some_manifest(), got;
    size_t length, i;
    uint8_t *bytes = packed(&sent, &length), *cut;

    for (i = 0; i < length; i++) {
        cut = malloc(i ? i : 1);
        memcpy(cut, bytes, i);
        ck_assert_int_eq(manifest_unpack(&got, cut, i, NULL), FASTALLOC_E_POISONED);
        free(cut);
    }
    free(bytes);
}
END_TEST

static void require_poisoned(const struct manifest *sent)
{
    struct manifest got;
    struct reason why;
    size_t length;
    uint8_t *bytes = packed(sent, &length);

    ck_assert_int_eq(manifest_unpack(&got, bytes, length, &why), FASTALLOC_E_POISONED);
    free(bytes);
}

START_TEST(what_cannot_be_is_noticed_behind_a_valid_checksum)
{
    struct manifest sent = some_manifest();

    sent.spec.max_sessions = 0;
    require_poisoned(&sent);
    sent = some_manifest();
    sent.spec.object_size = 0;
    require_poisoned(&sent);
    sent = some_manifest();
    sent.spec.name[0] = '/';
    require_poisoned(&sent);
    sent = some_manifest();
    strcpy(sent.segment, "/../etc/passwd");
    require_poisoned(&sent);
    sent = some_manifest();
    sent.pool_id = 0;
    require_poisoned(&sent);
    sent = some_manifest();
    sent.capacity = 0;
    require_poisoned(&sent);
    sent.capacity = sent.reserved + 1;
    require_poisoned(&sent);
    sent = some_manifest();
    sent.reserved = sent.spec.max_capacity + 1;
    require_poisoned(&sent);
    sent = some_manifest();
    sent.spec.growth_factor = 1;
    require_poisoned(&sent);
    sent = some_manifest();
    sent.spec.flags = 0; /* quarantine needs notes */
    require_poisoned(&sent);
    sent = some_manifest();
    sessions[1].number = 1;
    require_poisoned(&sent);
    sessions[1].number = 257;
    require_poisoned(&sent);
    sessions[1].number = 0;
    require_poisoned(&sent);
    sessions[1].number = 2;
}
END_TEST

/* ------------------------------------------------------------------ the store */

static char directory[64], base[80], in_store[100];
static struct store store;

static void open_store(void)
{
    strcpy(directory, "/tmp/fastalloc-store-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(base, sizeof base, "%s/socket", directory);
    snprintf(in_store, sizeof in_store, "%s.d", base);
    ck_assert_int_eq(store_open(&store, base, NULL), 0);
}

static void close_store(void)
{
    store_close(&store);
    ck_assert_int_ne(access(in_store, F_OK), 0);
    ck_assert_int_eq(rmdir(directory), 0);
}

static struct manifest taken;
static unsigned taken_count;

static int take(void *taker, struct manifest *manifest, struct reason *why)
{
    (void)why;
    ck_assert_ptr_eq(taker, &taken);
    taken = *manifest;
    taken.sessions = NULL;
    taken_count++;
    return 0;
}

static void load(void)
{
    taken_count = 0;
    ck_assert_int_eq(store_load(&store, take, &taken, NULL), 0);
}

static void put_file(const char *name, const char *text)
{
    int file = openat(store.directory, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(write(file, text, strlen(text)), (int)strlen(text));
    close(file);
}

static bool has_file(const char *name)
{
    return faccessat(store.directory, name, F_OK, 0) == 0;
}

START_TEST(a_saved_manifest_is_loaded_and_private)
{
    struct manifest manifest = some_manifest();
    struct stat status;

    ck_assert_int_eq(store_save(&store, &manifest, NULL), 0);
    manifest.serial = 10;
    ck_assert_int_eq(store_save(&store, &manifest, NULL), 0);
    ck_assert_int_eq(fstatat(store.directory, "fedcba9876543210.pool", &status, 0), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0600);
    ck_assert_int_eq(stat(in_store, &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0700);
    load();
    ck_assert_uint_eq(taken_count, 1);
    ck_assert_uint_eq(taken.serial, 10);
    store_remove(&store, manifest.pool_id);
    load();
    ck_assert_uint_eq(taken_count, 0);
}
END_TEST

START_TEST(a_half_written_manifest_is_removed)
{
    put_file("0000000000000001.new", "half");
    load();
    ck_assert(!has_file("0000000000000001.new"));
}
END_TEST

START_TEST(a_damaged_manifest_is_put_aside_and_others_are_loaded)
{
    struct manifest manifest = some_manifest();

    ck_assert_int_eq(store_save(&store, &manifest, NULL), 0);
    put_file("0000000000000001.pool", "this is no manifest at all");
    load();
    ck_assert_uint_eq(taken_count, 1);
    ck_assert(!has_file("0000000000000001.pool"));
    ck_assert(has_file("0000000000000001.pool.bad"));
    unlinkat(store.directory, "0000000000000001.pool.bad", 0);
    store_remove(&store, manifest.pool_id);
}
END_TEST

START_TEST(a_manifest_that_cannot_be_read_now_is_left_alone)
{
    struct manifest manifest = some_manifest();
    int spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct rlimit before, few;
    struct reason why;

    ck_assert_int_eq(store_save(&store, &manifest, NULL), 0);
    getrlimit(RLIMIT_NOFILE, &before);
    few = before;
    few.rlim_cur = (rlim_t)spare + 1; /* for the directory */
    setrlimit(RLIMIT_NOFILE, &few);
    close(spare);
    taken_count = 0;
    ck_assert_int_eq(store_load(&store, take, &taken, &why), FASTALLOC_E_SYSTEM);
    setrlimit(RLIMIT_NOFILE, &before);
    ck_assert_ptr_nonnull(strstr(why.text, "fedcba9876543210.pool: Too many open files"));
    ck_assert_uint_eq(taken_count, 0);
    load();
    ck_assert_uint_eq(taken_count, 1);
    store_remove(&store, manifest.pool_id);
}
END_TEST

START_TEST(files_of_others_are_left_alone)
{
    put_file("README", "hello");
    load();
    ck_assert_uint_eq(taken_count, 0);
    ck_assert(has_file("README"));
    unlinkat(store.directory, "README", 0);
}
END_TEST

START_TEST(a_directory_that_others_can_write_to_is_refused)
{
    struct store second;
    struct reason why;

    ck_assert_int_eq(chmod(in_store, 0770), 0);
    ck_assert_int_eq(store_open(&second, base, &why), FASTALLOC_E_PERMISSION);
    ck_assert_ptr_nonnull(strstr(why.text, "0770"));
    ck_assert_int_eq(chmod(in_store, 0700), 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("manifest");
    TCase *bytes = tcase_create("bytes"), *files = tcase_create("files");

    tcase_add_test(bytes, a_manifest_comes_back_as_it_was);
    tcase_add_test(bytes, the_most_sessions_there_can_be_fit);
    tcase_add_test(bytes, a_flipped_bit_anywhere_is_noticed);
    tcase_add_test(bytes, a_manifest_cut_at_any_length_is_noticed);
    tcase_add_test(bytes, what_cannot_be_is_noticed_behind_a_valid_checksum);
    suite_add_tcase(suite, bytes);

    tcase_add_checked_fixture(files, open_store, close_store);
    tcase_add_test(files, a_saved_manifest_is_loaded_and_private);
    tcase_add_test(files, a_half_written_manifest_is_removed);
    tcase_add_test(files, a_damaged_manifest_is_put_aside_and_others_are_loaded);
    tcase_add_test(files, a_manifest_that_cannot_be_read_now_is_left_alone);
    tcase_add_test(files, files_of_others_are_left_alone);
    tcase_add_test(files, a_directory_that_others_can_write_to_is_refused);
    suite_add_tcase(suite, files);
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
