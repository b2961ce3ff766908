// SPDX-License-Identifier: MIT
//
// A pool of objects of one type, in C++.  Part of fastalloc.hpp.
#ifndef FASTALLOC_POOL_HPP
#define FASTALLOC_POOL_HPP

#include <fastalloc/attachment.hpp>
#include <fastalloc/client.hpp>
#include <fastalloc/fastalloc.h>
#include <fastalloc/handle.hpp>
#include <fastalloc/hooks.hpp>
#include <fastalloc/result.hpp>
#include <fastalloc/traits.hpp>
#include <fastalloc/walk.hpp>

#include <cstddef>
#include <new>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace fastalloc {
namespace detail {

// A slot on its way to a handle: freed unless it got there.
class fresh_slot {
public:
    fresh_slot() noexcept = default;
    fresh_slot(fastalloc_pool *pool, fastalloc_handle number) noexcept
        : pool_(pool), number_(number)
    {
    }
    fresh_slot(fresh_slot &&from) noexcept
        : pool_(from.pool_), number_(std::exchange(from.number_, FASTALLOC_NONE))
    {
    }
    fresh_slot &operator=(fresh_slot &&) = delete;

    ~fresh_slot()
    {
        if (number_)
            fastalloc_free(pool_, number_);
    }

    template <class T> handle_value<T> release() noexcept
    {
        return handle_value<T>(std::exchange(number_, FASTALLOC_NONE));
    }

private:
    fastalloc_pool *pool_ = nullptr;
    fastalloc_handle number_ = FASTALLOC_NONE;
};

// Aggregates too.
template <class T, class... Args> T *construct(void *place, Args &&...args)
{
    if constexpr (std::is_constructible_v<T, Args...>)
        return ::new (place) T(std::forward<Args>(args)...);
    else
        return ::new (place) T{std::forward<Args>(args)...};
}

// Allocates at once, or waits until there is a slot.  (In parentheses it is the function, which
// says that there is no pool; the inlined form does not.)
class at_once {
public:
    int operator()(fastalloc_pool *pool, fastalloc_handle *number, void **object) const noexcept
    {
        return pool ? fastalloc_alloc(pool, number, object)
                    : (fastalloc_alloc)(pool, number, object);
    }
};

class waiting {
public:
    explicit waiting(deadline until) noexcept : until_(until.nanoseconds())
    {
    }
    int operator()(fastalloc_pool *pool, fastalloc_handle *number, void **object) const noexcept
    {
        return fastalloc_alloc_wait(pool, number, object, until_);
    }

private:
    std::uint64_t until_;
};

} // namespace detail

template <class T> class pool : public attachment {
public:
    using element_type = T;

    pool() noexcept = default;

    // --------------------------------------------------- creating, opening
    // Hooks (hooks.hpp) are called where they are: they have to outlive the pool.

    static result<pool> try_create(const client &by, const char *name, pool_config config) noexcept
    {
        config.name = name;
        complete(config);
        return attached(by.connection(), [&](fastalloc_pool **out) {
            return fastalloc_pool_create(by.native(), &config, out);
        });
    }

    template <class Hooks>
    static result<pool> try_create(const client &by, const char *name, pool_config config,
                                   Hooks &hooks) noexcept
    {
        detail::set_hooks<T>(config, hooks);
        return try_create(by, name, config);
    }

    // Without a daemon, for this process and its forks.
    static result<pool> try_create_local(pool_config config) noexcept
    {
        complete(config);
        return attached(detail::connection(), [&](fastalloc_pool **out) {
            return fastalloc_pool_create_local(&config, out);
        });
    }

    template <class Hooks>
    static result<pool> try_create_local(pool_config config, Hooks &hooks) noexcept
    {
        detail::set_hooks<T>(config, hooks);
        return try_create_local(config);
    }

    // The pool has to hold objects of T's name, version and size, aligned as T needs or better.
    // Of `own` counts what is this process's own: advice, a growth function.
    static result<pool> try_open(const client &by, const char *name,
                                 pool_config own = pool_config()) noexcept
    {
        detail::check_type<T>();
        detail::set_type<T>(own);
        own.alignment = 0;
        result<pool> opened = opened_as(by, name, own);
        if (!opened || opened->info().alignment >= alignof(T))
            return opened;
        own.alignment = alignof(T); // the library refuses that, with the words for it
        return opened_as(by, name, own);
    }

    template <class Hooks>
    static result<pool> try_open(const client &by, const char *name, pool_config own,
                                 Hooks &hooks) noexcept
    {
        detail::set_hooks<T>(own, hooks);
        return try_open(by, name, own);
    }

    // -------------------------------------------------------------- objects

    // A slot with a T made of `args`.  When the constructor throws, the slot goes back.
    template <class... Args> result<handle<T>> try_make(Args &&...args)
    {
        return made(detail::at_once(), std::forward<Args>(args)...);
    }

    // The same; while there is no slot, waits for one.
    template <class... Args> result<handle<T>> try_make_wait(deadline until, Args &&...args)
    {
        return made(detail::waiting(until), std::forward<Args>(args)...);
    }

    // A slot as it is: with what hooks and earlier users left in it; zero at first.
    result<handle<T>> try_acquire() noexcept
    {
        return acquired(detail::at_once());
    }
    result<handle<T>> try_acquire_wait(deadline until) noexcept
    {
        return acquired(detail::waiting(until));
    }

    // `count` slots or none, each with a T made of `args`.
    template <class... Args>
    result<std::vector<handle<T>>> try_make_batch(std::size_t count, const Args &...args)
    {
        std::vector<fastalloc_handle> numbers(count);
        std::vector<void *> objects(count);
        std::vector<detail::fresh_slot> fresh;
        std::vector<handle<T>> handles;

        fresh.reserve(count);
        handles.reserve(count);
        if (int error = fastalloc_alloc_batch(pool_, count, numbers.data(), objects.data()))
            return failure{error};
        for (fastalloc_handle number : numbers)
            fresh.emplace_back(pool_, number);
        for (std::size_t i = 0; i < count; i++) {
            T *object = detail::construct<T>(objects[i], args...);

            handles.emplace_back(pool_, fresh[i].template release<T>(), object);
        }
        return result<std::vector<handle<T>>>(std::move(handles));
    }

    // ------------------------------------------------- slots that are named

    // The object, or nullptr when the handle is stale or none of this pool.
    T *get(handle_value<T> value) const noexcept
    {
        return static_cast<T *>(detail::object_of(pool_, value.number()));
    }

    // Owned by the handle returned: the receiving half of passing on, and what takes back a
    // handle<T>::release().
    result<handle<T>> try_adopt(handle_value<T> value) noexcept
    {
        void *object = nullptr;
        int error = pool_ ? fastalloc_receive(pool_, value.number(), &object)
                          : (fastalloc_receive)(pool_, value.number(), &object);

        if (error)
            return failure{error};
        return handle<T>(pool_, value, static_cast<T *>(object));
    }

    // Destroys and frees, whoever owns it.
    result<void> try_free(handle_value<T> value) noexcept
    {
        if constexpr (std::is_trivially_destructible_v<T>)
            return detail::checked(pool_ ? fastalloc_free(pool_, value.number())
                                         : (fastalloc_free)(pool_, value.number()));
        else
            return detail::checked(try_adopt(value).error());
    }

    // One reference more to a slot that is shared.
    result<shared_handle<T>> try_ref(handle_value<T> value) noexcept
    {
        return weak(value).try_lock();
    }

    weak_handle<T> weak(handle_value<T> value) const noexcept
    {
        return weak_handle<T>(pool_, value);
    }

    // The handle of an object that is allocated.
    result<handle_value<T>> try_value_of(const T *object) const noexcept
    {
        fastalloc_handle number;

        if (int error = fastalloc_handle_of(pool_, object, &number))
            return failure{error};
        return handle_value<T>(number);
    }

    std::size_t index(handle_value<T> value) const noexcept
    {
        return detail::index_of(pool_, value.number());
    }
    std::string text(handle_value<T> value) const
    {
        return detail::text_of(pool_, value.number());
    }

    // The pool's root: the way to its first object.
    handle_value<T> root() const noexcept
    {
        return handle_value<T>(fastalloc_pool_root(pool_));
    }
    result<void> try_set_root(handle_value<T> expected, handle_value<T> root) noexcept
    {
        return detail::checked(fastalloc_pool_set_root(pool_, expected.number(), root.number()));
    }

    // What the dead have left to this session, its own now: `most` of it, once there is any.
    result<std::vector<handle<T>>> try_inherited(std::size_t most, deadline until)
    {
        std::vector<fastalloc_inheritance> list(most);
        std::vector<handle<T>> handles;
        std::size_t count = 0;

        handles.reserve(most);
        if (int error = fastalloc_inherited(pool_, list.data(), most, &count, until.nanoseconds()))
            return failure{error};
        for (std::size_t i = 0; i < count; i++) {
            handle_value<T> value(list[i].handle);

            handles.emplace_back(pool_, value, get(value));
        }
        return result<std::vector<handle<T>>>(std::move(handles));
    }

    // Calls `visit` with a slot<T> for every slot in somebody's hands, until it answers false; one
    // that answers nothing sees all.  True when all were seen.  What it throws comes out here.
    template <class Visitor> result<bool> try_walk(Visitor &&visit)
    {
        return detail::walk<T>(pool_, visit);
    }

#if FASTALLOC_EXCEPTIONS
    static pool create(const client &by, const char *name, pool_config config)
    {
        return detail::unwrap(try_create(by, name, config));
    }
    template <class Hooks>
    static pool create(const client &by, const char *name, pool_config config, Hooks &hooks)
    {
        return detail::unwrap(try_create(by, name, config, hooks));
    }
    static pool create_local(pool_config config)
    {
        return detail::unwrap(try_create_local(config));
    }
    template <class Hooks> static pool create_local(pool_config config, Hooks &hooks)
    {
        return detail::unwrap(try_create_local(config, hooks));
    }
    static pool open(const client &by, const char *name, pool_config own = pool_config())
    {
        return detail::unwrap(try_open(by, name, own));
    }
    template <class Hooks>
    static pool open(const client &by, const char *name, pool_config own, Hooks &hooks)
    {
        return detail::unwrap(try_open(by, name, own, hooks));
    }
    template <class... Args> handle<T> make(Args &&...args)
    {
        return detail::unwrap(try_make(std::forward<Args>(args)...));
    }
    template <class... Args> handle<T> make_wait(deadline until, Args &&...args)
    {
        return detail::unwrap(try_make_wait(until, std::forward<Args>(args)...));
    }
    handle<T> acquire()
    {
        return detail::unwrap(try_acquire());
    }
    handle<T> acquire_wait(deadline until)
    {
        return detail::unwrap(try_acquire_wait(until));
    }
    template <class... Args>
    std::vector<handle<T>> make_batch(std::size_t count, const Args &...args)
    {
        return detail::unwrap(try_make_batch(count, args...));
    }
    handle<T> adopt(handle_value<T> value)
    {
        return detail::unwrap(try_adopt(value));
    }
    void free(handle_value<T> value)
    {
        detail::unwrap(try_free(value));
    }
    shared_handle<T> ref(handle_value<T> value)
    {
        return detail::unwrap(try_ref(value));
    }
    handle_value<T> value_of(const T *object) const
    {
        return detail::unwrap(try_value_of(object));
    }
    void set_root(handle_value<T> expected, handle_value<T> root)
    {
        detail::unwrap(try_set_root(expected, root));
    }
    std::vector<handle<T>> inherited(std::size_t most, deadline until)
    {
        return detail::unwrap(try_inherited(most, until));
    }
    template <class Visitor> bool walk(Visitor &&visit)
    {
        return detail::unwrap(try_walk(visit));
    }
#endif

private:
    static void complete(pool_config &config) noexcept
    {
        detail::check_type<T>();
        detail::set_type<T>(config);
        if (config.alignment < alignof(T))
            config.alignment = alignof(T);
    }

    template <class Attach>
    static result<pool> attached(const detail::connection &by, const Attach &attach) noexcept
    {
        pool made;

        if (int error = made.attach_by(by, attach))
            return failure{error};
        return result<pool>(std::move(made));
    }

    static result<pool> opened_as(const client &by, const char *name,
                                  const fastalloc_pool_config &expected) noexcept
    {
        return attached(by.connection(), [&](fastalloc_pool **out) {
            return fastalloc_pool_open(by.native(), name, &expected, out);
        });
    }

    template <class Allocate, class... Args>
    result<handle<T>> made(const Allocate &allocate, Args &&...args)
    {
        fastalloc_handle number;
        void *object;

        if (int error = allocate(pool_, &number, &object))
            return failure{error};
        detail::fresh_slot fresh(pool_, number);
        T *made = detail::construct<T>(object, std::forward<Args>(args)...);
        return result<handle<T>>(std::in_place, pool_, fresh.template release<T>(), made);
    }

    template <class Allocate> result<handle<T>> acquired(const Allocate &allocate) noexcept
    {
        static_assert(std::is_trivially_destructible_v<T> && std::is_trivially_copyable_v<T>,
                      "fastalloc: only an object that is its bytes can be had as it is: make() it");
        fastalloc_handle number;
        void *object;

        if (int error = allocate(pool_, &number, &object))
            return failure{error};
        return result<handle<T>>(std::in_place, pool_, handle_value<T>(number),
                                 static_cast<T *>(object));
    }
};

} // namespace fastalloc

#endif // FASTALLOC_POOL_HPP
