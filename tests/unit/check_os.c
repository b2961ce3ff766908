/* SPDX-License-Identifier: MIT
 *
 * check_os: shared memory, fences, packets and paths, against the real kernel.
 */
#include "os/backing.h"
#include "os/fence.h"
#include "os/packet.h"
#include "os/paths.h"
#include "os/room.h"
#include "tests/support/daemon.h"

#include <check.h>
#include <errno.h>
#include <fastalloc/fastalloc.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096u

/* -------------------------------------------------------------------- backing */

START_TEST(names_begin_with_the_prefix_and_differ)
{
    char one[BACKING_NAME_MAX], other[BACKING_NAME_MAX];
    char longest[BACKING_NAME_MAX - 19 + 1], longer[BACKING_NAME_MAX - 19 + 2];

    ck_assert_int_eq(backing_name(one, "fatest", NULL), 0);
    ck_assert_int_eq(backing_name(other, "fatest", NULL), 0);
    ck_assert_int_eq(strncmp(one, "/fatest-", 8), 0);
    ck_assert_uint_eq(strlen(one), 8 + 16);
    ck_assert_str_ne(one, other);
    memset(longest, 'p', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    ck_assert_int_eq(backing_name(one, longest, NULL), 0);
    ck_assert_uint_eq(strlen(one), BACKING_NAME_MAX - 1);
    memset(longer, 'p', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    ck_assert_int_eq(backing_name(one, longer, NULL), FASTALLOC_E_INVALID);
    ck_assert_int_eq(backing_name(one, "", NULL), FASTALLOC_E_INVALID);
    ck_assert_int_eq(backing_name(one, "a/b", NULL), FASTALLOC_E_INVALID);
}
END_TEST

static void require_inheritance_closed(int descriptor)
{
    ck_assert_int_eq(fcntl(descriptor, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

START_TEST(a_named_object_is_private_new_and_sized)
{
    char name[BACKING_NAME_MAX];
    struct stat status;
    struct reason why;
    uint64_t size;
    int one, two = -7;

    ck_assert_int_eq(backing_name(name, "fatest-os", NULL), 0);
    ck_assert_int_eq(backing_create(name, 10 * PAGE, &one, NULL), 0);
    require_inheritance_closed(one);
    ck_assert_int_eq(fstat(one, &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0600);
    ck_assert_int_eq(backing_size(one, &size, NULL), 0);
    ck_assert_uint_eq(size, 10 * PAGE);
    ck_assert_int_eq(backing_create(name, PAGE, &two, &why), FASTALLOC_E_SYSTEM);
    ck_assert_int_eq(two, -7);
    ck_assert_ptr_nonnull(strstr(why.text, name));
    ck_assert_int_eq(shm_unlink(name), 0);
    close(one);
}
END_TEST

START_TEST(a_nameless_object_is_private_and_sealed)
{
    struct stat status;
    int made;

    ck_assert_int_eq(backing_create_nameless("orders", 3 * PAGE, &made, NULL), 0);
    require_inheritance_closed(made);
    ck_assert_int_eq(fstat(made, &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0600);
    ck_assert_int_eq(status.st_size, 3 * PAGE);
    ck_assert_int_eq(fcntl(made, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    ck_assert_int_ne(ftruncate(made, PAGE), 0);
    ck_assert_int_eq(backing_reserve(made, 0, 3 * PAGE, NULL), 0);
    close(made);
}
END_TEST

START_TEST(reserving_takes_the_memory)
{
    struct stat status;
    int made;

    ck_assert_int_eq(backing_create_nameless("reserve", 200u << 20, &made, NULL), 0);
    ck_assert_int_eq(backing_reserve(made, 0, 130u << 20, NULL), 0);
    ck_assert_int_eq(fstat(made, &status), 0);
    ck_assert_uint_eq((uint64_t)status.st_blocks * 512, 130u << 20);
    close(made);
}
END_TEST

/* Stands before the C library's: kernels differ in whether a signal interrupts it. */
static unsigned interruptions;
static off_t smallest_step;

int posix_fallocate(int descriptor, off_t from, off_t length)
{
    if (interruptions > 0) {
        interruptions--;
        return EINTR;
    }
    if (smallest_step == 0 || length < smallest_step)
        smallest_step = length;
    return fallocate(descriptor, 0, from, length) < 0 ? errno : 0;
}

START_TEST(reserving_goes_on_after_interruptions_in_smaller_steps)
{
    struct stat status;
    int made;

    ck_assert_int_eq(backing_create_nameless("storm", 130u << 20, &made, NULL), 0);
    interruptions = 3;
    smallest_step = 0;
    ck_assert_int_eq(backing_reserve(made, 0, 128u << 20, NULL), 0);
    ck_assert_uint_eq(interruptions, 0);
    ck_assert_int_eq(smallest_step, 8 << 20);
    ck_assert_int_eq(fstat(made, &status), 0);
    ck_assert_uint_eq((uint64_t)status.st_blocks * 512, 128u << 20);
    close(made);
}
END_TEST

START_TEST(more_than_there_is_is_refused_with_numbers)
{
    char name[BACKING_NAME_MAX];
    struct reason why;
    struct stat status;
    int made;

    ck_assert_int_eq(backing_name(name, "fatest-os", NULL), 0);
    ck_assert_int_eq(backing_create(name, UINT64_C(1) << 45, &made, NULL), 0);
    shm_unlink(name);
    ck_assert_int_eq(backing_reserve(made, 0, UINT64_C(1) << 45, &why), FASTALLOC_E_NO_MEMORY);
    ck_assert_ptr_nonnull(strstr(why.text, "needs 32 TiB"));
    ck_assert_ptr_nonnull(strstr(why.text, "/dev/shm"));
    ck_assert_int_eq(fstat(made, &status), 0);
    ck_assert_int_eq(status.st_blocks, 0);
    close(made);

    /* Without a file system's limit the machine's counts. */
    ck_assert_int_eq(backing_create_nameless("huge", UINT64_C(1) << 45, &made, NULL), 0);
    ck_assert_int_eq(backing_reserve(made, 0, UINT64_C(1) << 45, &why), FASTALLOC_E_NO_MEMORY);
    ck_assert_ptr_nonnull(strstr(why.text, "the machine has only"));
    close(made);
}
END_TEST

/* A cgroup's directory, made up. */
static void put(const char *directory, const char *file, const char *text)
{
    char path[200];
    FILE *out;

    snprintf(path, sizeof path, "%s/%s", directory, file);
    out = fopen(path, "w");
    ck_assert_ptr_nonnull(out);
    fputs(text, out);
    fclose(out);
}

static void take_away(const char *directory, const char *file)
{
    char path[200];

    snprintf(path, sizeof path, "%s/%s", directory, file);
    unlink(path);
}

START_TEST(the_room_in_a_cgroup_leaves_out_what_can_be_dropped)
{
    char directory[] = "/tmp/fastalloc-cgroup-XXXXXX";
    const uint64_t margin = 4u << 20;

    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_uint_eq(room_in_cgroup(directory, 1), UINT64_MAX);
    put(directory, "memory.max", "max\n");
    put(directory, "memory.current", "104857600\n");
    ck_assert_uint_eq(room_in_cgroup(directory, 1), UINT64_MAX);
    put(directory, "memory.max", "209715200\n");
    ck_assert_uint_eq(room_in_cgroup(directory, 1), 104857600 - margin);
    put(directory, "memory.stat", "anon 1\nfile 7\ninactive_file 1000000\nactive_file 2000000\n");
    ck_assert_uint_eq(room_in_cgroup(directory, 1), 104857600 + 3000000 - margin);
    put(directory, "memory.current", "309715200\n");
    ck_assert_uint_eq(room_in_cgroup(directory, 1), 0);
    put(directory, "memory.limit_in_bytes", "9223372036854771712\n");
    put(directory, "memory.usage_in_bytes", "1000\n");
    ck_assert_uint_eq(room_in_cgroup(directory, 0), UINT64_MAX);
    put(directory, "memory.limit_in_bytes", "104857600\n");
    ck_assert_uint_eq(room_in_cgroup(directory, 0), 104857600 - 1000 - margin);
    take_away(directory, "memory.max");
    take_away(directory, "memory.current");
    take_away(directory, "memory.stat");
    take_away(directory, "memory.limit_in_bytes");
    take_away(directory, "memory.usage_in_bytes");
    ck_assert_int_eq(rmdir(directory), 0);
}
END_TEST

START_TEST(a_read_only_reopening_cannot_be_written)
{
    void *mapped;
    int made, again;

    ck_assert_int_eq(backing_create_nameless("reopen", PAGE, &made, NULL), 0);
    ck_assert_int_eq(backing_reopen(made, false, &again, NULL), 0);
    require_inheritance_closed(again);
    ck_assert_ptr_eq(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, again, 0), MAP_FAILED);
    ck_assert_int_eq(backing_map(again, PAGE, false, NULL, 0, &mapped, NULL), 0);
    backing_unmap(mapped, PAGE);
    close(again);
    close(made);
}
END_TEST

/* The signal that ends a child which writes to `address`; 0: none. */
static int signal_of_write(char *address)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        struct rlimit none = {0, 0};

        setrlimit(RLIMIT_CORE, &none);
        signal(SIGSEGV, SIG_DFL);
        *(volatile char *)address = 1;
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

START_TEST(the_guard_page_cannot_be_touched)
{
    void *mapped, *again;
    int made;

    ck_assert_int_eq(backing_create_nameless("guard", 3 * PAGE, &made, NULL), 0);
    ck_assert_int_eq(backing_map(made, 3 * PAGE, true, NULL, PAGE, &mapped, NULL), 0);
    ck_assert_int_eq(signal_of_write((char *)mapped), 0);
    ck_assert_int_eq(signal_of_write((char *)mapped + 2 * PAGE), 0);
    ck_assert_int_ne(signal_of_write((char *)mapped + PAGE), 0);
    ck_assert_int_ne(signal_of_write((char *)mapped + 2 * PAGE - 1), 0);
    /* Over itself, at the same address. */
    ck_assert_int_eq(backing_map(made, 3 * PAGE, true, mapped, 0, &again, NULL), 0);
    ck_assert_ptr_eq(again, mapped);
    ck_assert_int_eq(signal_of_write((char *)mapped + PAGE), 0);
    backing_unmap(mapped, 3 * PAGE);
    close(made);
}
END_TEST

START_TEST(a_mapping_is_left_out_of_core_dumps)
{
    char line[512];
    unsigned long from, to;
    bool here = false, dumped = true;
    void *mapped;
    FILE *smaps;
    int made;

    ck_assert_int_eq(backing_create_nameless("dump", PAGE, &made, NULL), 0);
    ck_assert_int_eq(backing_map(made, PAGE, true, NULL, 0, &mapped, NULL), 0);
    smaps = fopen("/proc/self/smaps", "re");
    ck_assert_ptr_nonnull(smaps);
    while (fgets(line, sizeof line, smaps)) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            here = from == (unsigned long)mapped;
        if (here && strncmp(line, "VmFlags:", 8) == 0)
            dumped = !strstr(line, " dd");
    }
    fclose(smaps);
    ck_assert(!dumped);
    backing_unmap(mapped, PAGE);
    close(made);
}
END_TEST

START_TEST(amounts_read_well)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {12, "12 bytes"},    {1023, "1023 bytes"},           {1024, "1 KiB"},
        {655360, "640 KiB"}, {UINT64_C(3) << 29, "1.5 GiB"}, {UINT64_MAX, "15.9 EiB"},
    };
    char text[32];
    size_t i;

    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        backing_amount(text, sizeof text, cases[i].bytes);
        ck_assert_str_eq(text, cases[i].text);
    }
}
END_TEST

/* --------------------------------------------------------------------- fences */

static int segment;

static void make_segment(void)
{
    ck_assert_int_eq(backing_create_nameless("fence", PAGE, &segment, NULL), 0);
}

static void drop_segment(void)
{
    close(segment);
}

static int close_fence(uint32_t session)
{
    int description;

    ck_assert_int_eq(backing_reopen(segment, true, &description, NULL), 0);
    ck_assert_int_eq(fence_close(description, session), 0);
    return description;
}

START_TEST(a_fence_is_closed_while_a_descriptor_is_open)
{
    int description, copy;

    ck_assert_int_eq(fence_is_open(segment, 3), 1);
    description = close_fence(3);
    ck_assert_int_eq(fence_is_open(segment, 3), 0);
    ck_assert_int_eq(fence_is_open(segment, 2), 1);
    ck_assert_int_eq(fence_is_open(segment, 4), 1);
    copy = dup(description);
    close(description);
    ck_assert_int_eq(fence_is_open(segment, 3), 0);
    close(copy);
    ck_assert_int_eq(fence_is_open(segment, 3), 1);
}
END_TEST

START_TEST(a_fence_is_closed_while_a_mapping_lives)
{
    int description = close_fence(1);
    void *mapped, *over;

    ck_assert_int_eq(backing_map(description, PAGE, true, NULL, 0, &mapped, NULL), 0);
    close(description);
    ck_assert_int_eq(fence_is_open(segment, 1), 0);
    /* Mapping over it through another description lets go of it. */
    ck_assert_int_eq(backing_map(segment, PAGE, true, mapped, 0, &over, NULL), 0);
    ck_assert_int_eq(fence_is_open(segment, 1), 1);
    backing_unmap(over, PAGE);
}
END_TEST

START_TEST(a_fence_is_closed_while_the_descriptor_is_in_flight)
{
    int ends[2], description = close_fence(9), received;
    char bytes[PACKET_MAX];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    ck_assert_int_eq(packet_send(ends[0], "x", 1, description), 0);
    close(description);
    ck_assert_int_eq(fence_is_open(segment, 9), 0);
    ck_assert_int_eq(packet_receive(ends[1], bytes, &received), 1);
    ck_assert_int_eq(fence_is_open(segment, 9), 0);
    close(received);
    ck_assert_int_eq(fence_is_open(segment, 9), 1);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

/* A child that lives until the descriptor is closed. */
static pid_t start_child(int *leash)
{
    int ends[2];
    pid_t child;
    char byte;

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        close(ends[1]);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (read(ends[0], &byte, 1) < 0)
            ;
        _exit(0);
    }
    close(ends[0]);
    *leash = ends[1];
    return child;
}

START_TEST(a_forked_child_keeps_the_fence_closed)
{
    int description = close_fence(5), leash;
    void *mapped;
    pid_t child;

    ck_assert_int_eq(backing_map(description, PAGE, true, NULL, 0, &mapped, NULL), 0);
    child = start_child(&leash);
    close(description);
    backing_unmap(mapped, PAGE);
    ck_assert_int_eq(fence_is_open(segment, 5), 0);
    close(leash);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    ck_assert_int_eq(fence_is_open(segment, 5), 1);
}
END_TEST

START_TEST(a_kill_opens_the_fence)
{
    pid_t child = fork();
    void *mapped;

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        backing_map(close_fence(5), PAGE, true, NULL, 0, &mapped, NULL);
        raise(SIGSTOP);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, NULL, WUNTRACED), child);
    ck_assert_int_eq(fence_is_open(segment, 5), 0);
    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    ck_assert_int_eq(fence_is_open(segment, 5), 1);
}
END_TEST

START_TEST(the_sweepers_role_is_one_holders)
{
    int other;

    ck_assert_int_eq(backing_reopen(segment, true, &other, NULL), 0);
    ck_assert_int_eq(fence_take_role(segment), 0);
    ck_assert_int_eq(fence_take_role(segment), 0);
    ck_assert_int_eq(fence_take_role(other), EAGAIN);
    fence_drop_role(segment);
    ck_assert_int_eq(fence_take_role(other), 0);
    close(other);
    ck_assert_int_eq(fence_take_role(segment), 0);
    /* It stands in no fence's way. */
    other = close_fence(1);
    ck_assert_int_eq(fence_is_open(segment, 1), 0);
    close(other);
}
END_TEST

START_TEST(session_zero_has_no_fence)
{
    ck_assert_int_eq(fence_close(segment, 0), EINVAL);
    ck_assert_int_eq(fence_is_open(segment, 0), -EINVAL);
    ck_assert_int_eq(fence_is_open(-1, 1), -EBADF);
}
END_TEST

/* -------------------------------------------------------------------- packets */

static int ends[2];

static void make_pair(void)
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends),
                     0);
}

static void drop_pair(void)
{
    close(ends[0]);
    close(ends[1]);
}

/* `count` descriptors at once, in a packet of `length` bytes. */
static void send_many(unsigned count, size_t length)
{
    static char bytes[2 * PACKET_MAX];
    struct iovec part = {bytes, length};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(253 * sizeof(int))];
    } control;
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control};
    int *place = (int *)CMSG_DATA(&control.header);
    unsigned i;

    memset(&control, 0, sizeof control);
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
    for (i = 0; i < count; i++)
        place[i] = ends[0];
    ck_assert_int_eq(sendmsg(ends[0], &message, 0), (int)length);
}

START_TEST(a_packet_arrives_whole_with_its_descriptor)
{
    char sent[PACKET_MAX], got[PACKET_MAX];
    int before = test_descriptors(0), descriptor = -7;

    memset(sent, 'p', sizeof sent);
    ck_assert_int_eq(packet_send(ends[0], sent, sizeof sent, ends[1]), 0);
    ck_assert_int_eq(packet_receive(ends[1], got, &descriptor), PACKET_MAX);
    ck_assert_mem_eq(got, sent, sizeof sent);
    ck_assert_int_ge(descriptor, 0);
    require_inheritance_closed(descriptor);
    close(descriptor);
    ck_assert_int_eq(packet_send(ends[0], sent, 1, -1), 0);
    ck_assert_int_eq(packet_receive(ends[1], got, &descriptor), 1);
    ck_assert_int_eq(descriptor, -1);
    ck_assert_int_eq(packet_receive(ends[1], got, NULL), -EAGAIN);
    ck_assert_int_eq(test_descriptors(0), before);
}
END_TEST

START_TEST(surplus_descriptors_are_not_kept)
{
    char got[PACKET_MAX];
    int before = test_descriptors(0), descriptor;

    send_many(253, 1);
    ck_assert_int_eq(packet_receive(ends[1], got, NULL), 1);
    ck_assert_int_eq(test_descriptors(0), before);
    send_many(253, 1);
    ck_assert_int_eq(packet_receive(ends[1], got, &descriptor), 1);
    ck_assert_int_ge(descriptor, 0);
    ck_assert_int_eq(test_descriptors(0), before + 1);
    close(descriptor);
}
END_TEST

START_TEST(a_packet_too_long_is_an_error_and_keeps_nothing)
{
    char got[PACKET_MAX] = "";
    int before = test_descriptors(0), descriptor = -7;

    send_many(1, PACKET_MAX + 1);
    ck_assert_int_eq(packet_receive(ends[1], got, &descriptor), -EMSGSIZE);
    ck_assert_int_eq(descriptor, -7);
    ck_assert_int_eq(test_descriptors(0), before);
    ck_assert_int_eq(packet_send(ends[0], got, PACKET_MAX + 1, -1), EINVAL);
}
END_TEST

START_TEST(nothing_is_never_sent_and_the_end_is_seen)
{
    char got[PACKET_MAX] = "";

    ck_assert_int_eq(packet_send(ends[0], got, 0, -1), EINVAL);
    signal(SIGPIPE, SIG_DFL);
    shutdown(ends[0], SHUT_WR);
    ck_assert_int_eq(packet_receive(ends[1], got, NULL), 0);
    /* No SIGPIPE: it would end this test. */
    close(ends[1]);
    ck_assert_int_eq(packet_send(ends[0], "x", 1, -1), EPIPE);
    ends[1] = dup(ends[0]);
}
END_TEST

START_TEST(a_full_socket_says_so)
{
    char bytes[PACKET_MAX] = "";
    int error = 0;
    unsigned i;

    for (i = 0; i < 10000 && !error; i++)
        error = packet_send(ends[0], bytes, sizeof bytes, -1);
    ck_assert_int_eq(error, EAGAIN);
}
END_TEST

/* ---------------------------------------------------------------------- paths */

static char runtime[40], in_runtime[80];

static void make_runtime(void)
{
    strcpy(runtime, "/tmp/fastalloc-paths-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(runtime));
    snprintf(in_runtime, sizeof in_runtime, "%s/fastalloc", runtime);
    ck_assert_int_eq(mkdir(in_runtime, 0700), 0);
    strcat(in_runtime, "/fastallocd.sock");
    setenv("XDG_RUNTIME_DIR", runtime, 1);
    unsetenv("FASTALLOC_SOCKET");
}

static void drop_runtime(void)
{
    unlink(in_runtime);
    *strrchr(in_runtime, '/') = '\0';
    ck_assert_int_eq(rmdir(in_runtime), 0);
    ck_assert_int_eq(rmdir(runtime), 0);
}

static void require_path(const char *explicit_path, bool to_create, const char *expected)
{
    char path[PATHS_MAX];
    struct reason why = {0, ""};

    ck_assert_msg(paths_socket(path, explicit_path, to_create, &why) == 0, "%s", why.text);
    ck_assert_str_eq(path, expected);
}

START_TEST(the_explicit_path_goes_first_then_the_variable)
{
    setenv("FASTALLOC_SOCKET", "/from/variable", 1);
    require_path("/explicit", false, "/explicit");
    require_path(NULL, false, "/from/variable");
    require_path(NULL, true, "/from/variable");
    setenv("FASTALLOC_SOCKET", "", 1);
    close(open(in_runtime, O_CREAT | O_WRONLY, 0600));
    require_path(NULL, false, in_runtime);
    require_path(NULL, true, in_runtime);
}
END_TEST

START_TEST(a_path_too_long_for_a_socket_is_refused)
{
    char path[PATHS_MAX] = "untouched", longest[PATHS_MAX], longer[PATHS_MAX + 1];
    struct reason why;

    memset(longest, 'l', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    memset(longer, 'l', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    ck_assert_int_eq(paths_socket(path, longer, false, &why), FASTALLOC_E_INVALID);
    ck_assert_str_eq(path, "untouched");
    ck_assert_ptr_nonnull(strstr(why.text, "108 bytes"));
    ck_assert_int_eq(paths_socket(path, "", false, &why), FASTALLOC_E_INVALID);
    require_path(longest, false, longest);
}
END_TEST

/* Runs as a user without rights, in a child. */
static int as_nobody(void (*check)(void))
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        if (chown(runtime, 65534, 65534) || setgid(65534) || setuid(65534))
            _exit(9);
        check();
        _exit(0);
    }
    waitpid(child, &status, 0);
    return status;
}

static void check_nobody(void)
{
    char path[PATHS_MAX], expected[80];

    rmdir(in_runtime);
    snprintf(expected, sizeof expected, "%s/fastalloc/fastallocd.sock", runtime);
    if (paths_socket(path, NULL, true, NULL) || strcmp(path, expected))
        _exit(1);
    unsetenv("XDG_RUNTIME_DIR");
    if (paths_socket(path, NULL, false, NULL) || strcmp(path, "/run/fastalloc/fastallocd.sock"))
        _exit(2);
    if (paths_socket(path, NULL, true, NULL) != FASTALLOC_E_INVALID)
        _exit(3);
}

START_TEST(a_user_creates_in_the_runtime_directory_and_only_there)
{
    if (geteuid() != 0 || access("/run/fastalloc", F_OK) == 0)
        return;
    *strrchr(in_runtime, '/') = '\0';
    ck_assert_int_eq(as_nobody(check_nobody), 0);
    mkdir(in_runtime, 0700);
    strcat(in_runtime, "/fastallocd.sock");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("os");
    TCase *backing = tcase_create("backing"), *fences = tcase_create("fence");
    TCase *packets = tcase_create("packet"), *paths = tcase_create("paths");

    tcase_set_timeout(backing, 30);
    tcase_add_test(backing, names_begin_with_the_prefix_and_differ);
    tcase_add_test(backing, a_named_object_is_private_new_and_sized);
    tcase_add_test(backing, a_nameless_object_is_private_and_sealed);
    tcase_add_test(backing, reserving_takes_the_memory);
    tcase_add_test(backing, reserving_goes_on_after_interruptions_in_smaller_steps);
    tcase_add_test(backing, more_than_there_is_is_refused_with_numbers);
    tcase_add_test(backing, the_room_in_a_cgroup_leaves_out_what_can_be_dropped);
    tcase_add_test(backing, a_read_only_reopening_cannot_be_written);
    tcase_add_test(backing, the_guard_page_cannot_be_touched);
    tcase_add_test(backing, a_mapping_is_left_out_of_core_dumps);
    tcase_add_test(backing, amounts_read_well);
    suite_add_tcase(suite, backing);

    tcase_add_checked_fixture(fences, make_segment, drop_segment);
    tcase_add_test(fences, a_fence_is_closed_while_a_descriptor_is_open);
    tcase_add_test(fences, a_fence_is_closed_while_a_mapping_lives);
    tcase_add_test(fences, a_fence_is_closed_while_the_descriptor_is_in_flight);
    tcase_add_test(fences, a_forked_child_keeps_the_fence_closed);
    tcase_add_test(fences, a_kill_opens_the_fence);
    tcase_add_test(fences, the_sweepers_role_is_one_holders);
    tcase_add_test(fences, session_zero_has_no_fence);
    suite_add_tcase(suite, fences);

    tcase_add_checked_fixture(packets, make_pair, drop_pair);
    tcase_add_test(packets, a_packet_arrives_whole_with_its_descriptor);
    tcase_add_test(packets, surplus_descriptors_are_not_kept);
    tcase_add_test(packets, a_packet_too_long_is_an_error_and_keeps_nothing);
    tcase_add_test(packets, nothing_is_never_sent_and_the_end_is_seen);
    tcase_add_test(packets, a_full_socket_says_so);
    suite_add_tcase(suite, packets);

    tcase_add_checked_fixture(paths, make_runtime, drop_runtime);
    tcase_add_test(paths, the_explicit_path_goes_first_then_the_variable);
    tcase_add_test(paths, a_path_too_long_for_a_socket_is_refused);
    tcase_add_test(paths, a_user_creates_in_the_runtime_directory_and_only_there);
    suite_add_tcase(suite, paths);
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
