// SPDX-License-Identifier: MIT
//
// What a pool is to be, in C++; and a program's functions that run when its slots are initialised,
// acquired and released.  Part of fastalloc.hpp.
#ifndef FASTALLOC_HOOKS_HPP
#define FASTALLOC_HOOKS_HPP

#include <fastalloc/fastalloc.h>
#include <fastalloc/handle.hpp>
#include <fastalloc/result.hpp>
#include <fastalloc/traits.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace fastalloc {

// fastalloc_pool_config with its defaults.  The name, and what the type says, are set for you.
struct pool_config : fastalloc_pool_config {
    pool_config(std::size_t slots = 0) noexcept
    {
        fastalloc_pool_config_init(this);
        this->capacity = slots;
    }
};

namespace detail {

// A program's hooks are any class with some of these members; `reclaimed` says that who had the
// slot last never freed it.  See "What a pool's slots go through" in fastalloc.h.
//
//     int  initialize(T &object, handle_value<T> handle, bool reclaimed)     or void
//     int  reset     (T &object, handle_value<T> handle, bool reclaimed)     or void
//     int  on_acquire(T &object, handle_value<T> handle, bool reclaimed)     or void
//     void on_release(T &object, handle_value<T> handle)
//
// They see slots: on_acquire what make() will construct over, on_release what it has left.
//
// FASTALLOC_HOOK_ makes of one: whether there is such a member at all, and whether it can be
// called so: one that is there and cannot is a mistake, not a member to be passed over.
#define FASTALLOC_HOOK_(hook, ...)                                                                 \
    template <class Hooks, class = void> struct names_##hook : std::false_type {                   \
    };                                                                                             \
    template <class Hooks>                                                                         \
    struct names_##hook<Hooks, std::void_t<decltype(&Hooks::hook)>> : std::true_type {             \
    };                                                                                             \
    template <class Hooks, class T, class = void> struct calls_##hook : std::false_type {          \
    };                                                                                             \
    template <class Hooks, class T>                                                                \
    struct calls_##hook<Hooks, T,                                                                  \
                        std::void_t<decltype(std::declval<Hooks &>().hook(__VA_ARGS__))>>          \
        : std::true_type {                                                                         \
    };                                                                                             \
    template <class Hooks, class T> constexpr bool has_##hook() noexcept                           \
    {                                                                                              \
        static_assert(calls_##hook<Hooks, T>::value || !names_##hook<Hooks>::value,                \
                      "fastalloc: the member " #hook " of these hooks cannot be "                  \
                      "called as hooks.hpp says");                                                 \
        return calls_##hook<Hooks, T>::value;                                                      \
    }

FASTALLOC_HOOK_(initialize, std::declval<T &>(), handle_value<T>(), bool())
FASTALLOC_HOOK_(reset, std::declval<T &>(), handle_value<T>(), bool())
FASTALLOC_HOOK_(on_acquire, std::declval<T &>(), handle_value<T>(), bool())
FASTALLOC_HOOK_(on_release, std::declval<T &>(), handle_value<T>())
#undef FASTALLOC_HOOK_

// Calls one that may refuse.  What it throws cannot pass through the library, and refuses as
// well.
template <class Call> int answer_of(const Call &call) noexcept
{
#if FASTALLOC_EXCEPTIONS
    try {
#endif
        if constexpr (std::is_void_v<decltype(call())>) {
            call();
            return 0;
        } else {
            return static_cast<int>(call());
        }
#if FASTALLOC_EXCEPTIONS
    } catch (...) {
        return -1;
    }
#endif
}

template <class T, class Hooks>
int call_initialize(fastalloc_pool *, fastalloc_handle handle, void *object, std::uint32_t flags,
                    void *hooks) noexcept
{
    return answer_of([&]() {
        return static_cast<Hooks *>(hooks)->initialize(
            *static_cast<T *>(object), handle_value<T>(handle), (flags & FASTALLOC_RECLAIMED) != 0);
    });
}

template <class T, class Hooks>
int call_reset(fastalloc_pool *, fastalloc_handle handle, void *object, std::uint32_t flags,
               void *hooks) noexcept
{
    return answer_of([&]() {
        return static_cast<Hooks *>(hooks)->reset(
            *static_cast<T *>(object), handle_value<T>(handle), (flags & FASTALLOC_RECLAIMED) != 0);
    });
}

template <class T, class Hooks>
int call_on_acquire(fastalloc_pool *, fastalloc_handle handle, void *object, std::uint32_t flags,
                    void *hooks) noexcept
{
    return answer_of([&]() {
        return static_cast<Hooks *>(hooks)->on_acquire(
            *static_cast<T *>(object), handle_value<T>(handle), (flags & FASTALLOC_RECLAIMED) != 0);
    });
}

// Like a destructor, one that throws ends the program.
template <class T, class Hooks>
void call_on_release(fastalloc_pool *, fastalloc_handle handle, void *object, void *hooks) noexcept
{
    static_cast<Hooks *>(hooks)->on_release(*static_cast<T *>(object), handle_value<T>(handle));
}

template <class T, class Hooks> void set_hooks(fastalloc_pool_config &config, Hooks &hooks) noexcept
{
    constexpr bool initializes = has_initialize<Hooks, T>(), resets = has_reset<Hooks, T>();
    constexpr bool acquires = has_on_acquire<Hooks, T>(), releases = has_on_release<Hooks, T>();

    static_assert(initializes || resets || acquires || releases,
                  "fastalloc: these hooks have none of initialize, reset, on_acquire, on_release");
    static_assert(std::is_trivially_copyable_v<T>,
                  "fastalloc: hooks see slots before an object is constructed there and after it "
                  "is destroyed, so its type has to be trivially copyable");
    static_assert(!std::is_const_v<Hooks>, "fastalloc: hooks are called as what is not const");
    if constexpr (initializes)
        config.initialize = call_initialize<T, Hooks>;
    if constexpr (resets)
        config.reset = call_reset<T, Hooks>;
    if constexpr (acquires)
        config.on_acquire = call_on_acquire<T, Hooks>;
    if constexpr (releases)
        config.on_release = call_on_release<T, Hooks>;
    config.hook_argument = &hooks;
}

// Fills in what the type says.
template <class T> void set_type(fastalloc_pool_config &config) noexcept
{
    config.type_name = traits<T>::name;
    config.type_version = traits<T>::version;
    config.object_size = sizeof(T);
}

} // namespace detail
} // namespace fastalloc

#endif // FASTALLOC_HOOKS_HPP
