// SPDX-License-Identifier: MIT
//
// Walking the slots of a pool with a function object.  Part of fastalloc.hpp.
#ifndef FASTALLOC_WALK_HPP
#define FASTALLOC_WALK_HPP

#include <fastalloc/fastalloc.h>
#include <fastalloc/handle.hpp>
#include <fastalloc/result.hpp>

#include <cstdint>
#include <exception>
#include <type_traits>

namespace fastalloc {

// A slot in somebody's hands, as a walk shows it.
template <class T> struct slot {
    handle_value<T> handle;
    T &object;
    std::uint32_t state;   // FASTALLOC_OWNED, ...
    std::uint32_t session; // the owner's; 0 where state is not FASTALLOC_OWNED
    std::uint32_t pid;     // the owner's, to show; 0 likewise
};

namespace detail {

constexpr int walk_stopped = 1; // what a visitor answers to end the walk

template <class T, class Visitor> struct walker {
    Visitor &visit;
#if FASTALLOC_EXCEPTIONS
    std::exception_ptr thrown = nullptr; // carried past the library, which is not to be left so
#endif

    int visited(const fastalloc_slot &seen)
    {
        slot<T> shown = {handle_value<T>(seen.handle), *static_cast<T *>(seen.object), seen.state,
                         seen.session, seen.pid};

        if constexpr (std::is_void_v<decltype(visit(shown))>) {
            visit(shown);
            return 0;
        } else {
            return visit(shown) ? 0 : walk_stopped;
        }
    }

    static int call(const fastalloc_slot *seen, void *argument) noexcept
    {
        walker *self = static_cast<walker *>(argument);

#if FASTALLOC_EXCEPTIONS
        try {
            return self->visited(*seen);
        } catch (...) {
            self->thrown = std::current_exception();
            return walk_stopped;
        }
#else
        return self->visited(*seen);
#endif
    }
};

// True when all slots were seen.
template <class T, class Visitor> result<bool> walk(fastalloc_pool *pool, Visitor &visit)
{
    walker<T, Visitor> walker{visit};
    int answer = fastalloc_pool_walk(pool, walker.call, &walker);

#if FASTALLOC_EXCEPTIONS
    if (walker.thrown)
        std::rethrow_exception(walker.thrown);
#endif
    if (answer < 0)
        return failure{answer};
    return answer == 0;
}

} // namespace detail
} // namespace fastalloc

#endif // FASTALLOC_WALK_HPP
