// SPDX-License-Identifier: MIT
//
// Runs the tests of fastalloc.hpp: see cpp.hpp.  Each in a process of its own, which has to end
// with 0, in time, with as many descriptors as it began with.
#include "cpp.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <poll.h>
#include <string>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <csignal>
#include <thread>
#include <unistd.h>
#include <vector>

namespace test {
namespace {

struct entry {
    const char *name;
    void (*run)();
};

std::vector<entry> &entries()
{
    static std::vector<entry> all;

    return all;
}

unsigned patience_seconds()
{
    const char *sanitizers = std::getenv("FASTALLOC_TEST_SANITIZERS");

    return sanitizers && *sanitizers ? 60 : 20;
}

int descriptors()
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;

    while (directory && readdir(directory))
        count++;
    closedir(directory);
    return count;
}

// Exits, rather than _exit(), so that a leak checker has its say.
[[noreturn]] void run_here(const entry &one)
{
    int before = descriptors();

    alarm(patience_seconds());
    one.run();
    REQUIRE(descriptors() == before);
    std::exit(0);
}

bool run(const entry &one)
{
    int status = 0;
    pid_t pid;

    std::fflush(nullptr);
    pid = fork();
    if (pid == 0)
        run_here(one);
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return false;
    std::printf("%s: %s\n", status ? "FAILED" : "ok", one.name);
    if (WIFSIGNALED(status))
        std::printf("    killed by signal %d\n", WTERMSIG(status));
    return status == 0;
}

} // namespace

registered::registered(const char *name, void (*run)())
{
    entries().push_back({name, run});
}

void fail(const char *file, int line, const char *what)
{
    std::fprintf(stderr, "%s:%d: %s does not hold; last error: %s\n", file, line, what,
                 fastalloc_last_error());
    std::fflush(nullptr);
    _exit(1);
}

#if FASTALLOC_EXCEPTIONS
bool throws(int code, const char *words, const std::function<void()> &what)
{
    try {
        what();
    } catch (const fastalloc::error &error) {
        if (error.code() == code && std::strstr(error.what(), words) &&
            std::string(error.name()) == fastalloc_error_name(code))
            return true;
        std::fprintf(stderr, "thrown: %s: \"%s\"\n", error.name(), error.what());
    }
    return false;
}
#endif

child::child(const std::function<void(child &)> &what)
{
    int ends[2];

    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    std::fflush(nullptr);
    pid_ = fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
        child parent;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[0]);
        parent.channel_ = ends[1];
        what(parent);
        _exit(0);
    }
    close(ends[1]);
    channel_ = ends[0];
}

void child::put(std::uint64_t value)
{
    REQUIRE(send(channel_, &value, sizeof value, MSG_NOSIGNAL) == sizeof value);
}

std::uint64_t child::take()
{
    struct pollfd wait = {channel_, POLLIN, 0};
    std::uint64_t value = 0;

    REQUIRE(poll(&wait, 1, 10000) == 1);
    REQUIRE(recv(channel_, &value, sizeof value, 0) == sizeof value);
    return value;
}

void child::join()
{
    int status = -1;

    REQUIRE(waitpid(pid_, &status, 0) == pid_);
    REQUIRE(status == 0);
    close(channel_);
}

void child::kill()
{
    ::kill(pid_, SIGKILL);
    REQUIRE(waitpid(pid_, nullptr, 0) == pid_);
    close(channel_);
}

fastalloc::client connected()
{
    fastalloc::result<fastalloc::client> client = fastalloc::client::try_connect();

    REQUIRE(client);
    return *std::move(client);
}

bool becomes(const std::function<bool()> &holds)
{
    for (int tries = 0; tries < 5000; tries++) {
        if (holds())
            return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
}

const char *fresh_name()
{
    static char name[64];

    std::snprintf(name, sizeof name, "cpp.%d", static_cast<int>(getpid()));
    return name;
}

} // namespace test

int main(int count, char **arguments)
{
    int ran = 0, failed = 0;

    for (const test::entry &one : test::entries())
        if (count < 2 || std::strstr(one.name, arguments[1])) {
            ran++;
            failed += !test::run(one);
        }
    std::printf("%d tests, %d failed\n", ran, failed);
    return failed || !ran;
}
