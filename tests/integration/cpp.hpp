// SPDX-License-Identifier: MIT
//
// What the tests of fastalloc.hpp share: tests that run in processes of their own, requiring, and
// children that are told and tell numbers.
#ifndef TESTS_INTEGRATION_CPP_HPP
#define TESTS_INTEGRATION_CPP_HPP

#include <fastalloc/fastalloc.hpp>

#include <cstdint>
#include <functional>

namespace test {

// Registers a test; cpp_main.cpp runs them all.  A test ends well by returning.
struct registered {
    registered(const char *name, void (*run)());
};

#define TEST(name)                                                                                 \
    static void name();                                                                            \
    static const test::registered name##_registered(#name, name);                                  \
    static void name()

[[noreturn]] void fail(const char *file, int line, const char *what);

#define REQUIRE(...) ((__VA_ARGS__) ? (void)0 : test::fail(__FILE__, __LINE__, #__VA_ARGS__))

// Requires that something throws a fastalloc::error of the code, with `words` in its text.
#if FASTALLOC_EXCEPTIONS
bool throws(int code, const char *words, const std::function<void()> &what);
#define REQUIRE_ERROR(code, words, ...)                                                            \
    REQUIRE(test::throws(code, words, [&]() { (void)(__VA_ARGS__); }))
#endif

// A child process that runs `what`, which ends well by returning, and a channel to it.
class child {
public:
    explicit child(const std::function<void(child &parent)> &what);
    void put(std::uint64_t value); // to the other side
    std::uint64_t take();          // from the other side; fails when it is gone
    void join();                   // requires that it ended well
    void kill();

private:
    child() = default;
    int pid_ = 0, channel_ = -1;
};

// A client of the daemon that the tests run beside.
fastalloc::client connected();

// Waits until it holds, for a few seconds.
bool becomes(const std::function<bool()> &holds);

// A name for a pool that no other test has.
const char *fresh_name();

} // namespace test

#endif // TESTS_INTEGRATION_CPP_HPP
