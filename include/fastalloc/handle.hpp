// SPDX-License-Identifier: MIT
//
// Slots in C++: who names one, who owns one, who holds one with others, who only remembers one.
// Part of fastalloc.hpp.
#ifndef FASTALLOC_HANDLE_HPP
#define FASTALLOC_HANDLE_HPP

#include <fastalloc/fastalloc.h>
#include <fastalloc/result.hpp>
#include <fastalloc/traits.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>

namespace fastalloc {

// A fastalloc_handle that knows its type: 8 bytes, to send to other processes and to keep inside
// objects.  Owns nothing, and may be stale.
template <class T> class handle_value {
public:
    using element_type = T;

    constexpr handle_value() noexcept = default;

    constexpr explicit handle_value(fastalloc_handle number) noexcept : number_(number)
    {
    }

    constexpr fastalloc_handle number() const noexcept
    {
        return number_;
    }

    constexpr explicit operator bool() const noexcept
    {
        return number_ != FASTALLOC_NONE;
    }

    friend constexpr bool operator==(handle_value a, handle_value b) noexcept
    {
        return a.number_ == b.number_;
    }
    friend constexpr bool operator!=(handle_value a, handle_value b) noexcept
    {
        return a.number_ != b.number_;
    }
    friend constexpr bool operator<(handle_value a, handle_value b) noexcept
    {
        return a.number_ < b.number_;
    }

private:
    fastalloc_handle number_ = FASTALLOC_NONE;
};

namespace detail {

// The functions of fastalloc.h that say so themselves when there is no pool; inlined ones do not.
inline void *object_of(fastalloc_pool *pool, fastalloc_handle handle) noexcept
{
    return pool ? fastalloc_get(pool, handle) : nullptr;
}

inline std::string text_of(fastalloc_pool *pool, fastalloc_handle handle)
{
    char text[FASTALLOC_HANDLE_TEXT] = "none";

    if (pool)
        fastalloc_handle_text(pool, handle, text);
    return text;
}

inline std::size_t index_of(fastalloc_pool *pool, fastalloc_handle handle) noexcept
{
    return pool ? fastalloc_handle_index(pool, handle) : 0;
}

// What owners, holders and rememberers of a slot have in common: which one of which pool.
// Compared by that; what is empty compares equal to nullptr.
template <class T, class Self> class named {
public:
    using element_type = T;

    // The object, or nullptr when the handle is empty or the slot has been freed by whomever.
    T *get() const noexcept
    {
        return static_cast<T *>(object_of(pool_, number_));
    }

    handle_value<T> value() const noexcept
    {
        return handle_value<T>(number_);
    }

    // Of the slot in its pool, from 0.
    std::size_t index() const noexcept
    {
        return index_of(pool_, number_);
    }

    // For people: "12@9f03c2", or "none".
    std::string text() const
    {
        return text_of(pool_, number_);
    }

    fastalloc_pool *native_pool() const noexcept
    {
        return pool_;
    }

    explicit operator bool() const noexcept
    {
        return number_ != FASTALLOC_NONE;
    }

    friend bool operator==(const Self &a, const Self &b) noexcept
    {
        return a.value() == b.value() && a.native_pool() == b.native_pool();
    }
    friend bool operator!=(const Self &a, const Self &b) noexcept
    {
        return !(a == b);
    }
    friend bool operator<(const Self &a, const Self &b) noexcept
    {
        return a.native_pool() != b.native_pool() ? std::less<>()(a.native_pool(), b.native_pool())
                                                  : a.value() < b.value();
    }
    friend bool operator==(const Self &a, std::nullptr_t) noexcept
    {
        return !a;
    }
    friend bool operator!=(const Self &a, std::nullptr_t) noexcept
    {
        return static_cast<bool>(a);
    }
    friend bool operator==(std::nullptr_t, const Self &a) noexcept
    {
        return !a;
    }
    friend bool operator!=(std::nullptr_t, const Self &a) noexcept
    {
        return static_cast<bool>(a);
    }

protected:
    named() noexcept = default;
    named(fastalloc_pool *pool, fastalloc_handle number) noexcept : pool_(pool), number_(number)
    {
    }

    void forget() noexcept
    {
        pool_ = nullptr;
        number_ = FASTALLOC_NONE;
    }

    fastalloc_pool *pool_ = nullptr;
    fastalloc_handle number_ = FASTALLOC_NONE;
};

} // namespace detail

template <class T> class shared_handle;
template <class T> class weak_handle;

// Owns a slot and the object in it, alone.  When it goes, the object is destroyed and the slot
// freed, if they are this process's still: not when somebody else has freed or adopted the slot,
// and not in a forked child, whose parent owns it.
//
// * and -> go to the object without asking; get() asks the pool whether it is still there.
template <class T> class [[nodiscard]] handle : public detail::named<T, handle<T>> {
    using base = detail::named<T, handle<T>>;
    using base::number_;
    using base::pool_;

public:
    handle() noexcept = default;
    handle(std::nullptr_t) noexcept
    {
    }

    // Takes over a slot that this process's session owns, and that has an object in it.
    handle(fastalloc_pool *pool, handle_value<T> value, T *object) noexcept
        : base(pool, value.number()), object_(object)
    {
    }

    handle(handle &&from) noexcept : base(from), object_(from.object_)
    {
        from.forget();
    }

    handle &operator=(handle &&from) noexcept
    {
        if (this != &from) {
            reset();
            swap(from);
        }
        return *this;
    }

    ~handle()
    {
        reset();
    }

    void swap(handle &other) noexcept
    {
        std::swap(pool_, other.pool_);
        std::swap(number_, other.number_);
        std::swap(object_, other.object_);
    }
    friend void swap(handle &a, handle &b) noexcept
    {
        a.swap(b);
    }

    T &operator*() const noexcept
    {
        return *object_;
    }
    T *operator->() const noexcept
    {
        return object_;
    }

    // Destroys the object and frees the slot now.
    void reset() noexcept
    {
        fastalloc_pool *pool = pool_;
        fastalloc_handle number = number_;
        [[maybe_unused]] T *object = object_;

        forget(); // before what the destructor may do with this handle
        if (!number || !fastalloc_handle_is_mine(pool, number))
            return;
        if constexpr (!std::is_trivially_destructible_v<T>)
            object->~T();
        fastalloc_free(pool, number);
    }

    // Lets go of the slot without freeing it: this session's still, nobody's to look after.
    // pool<T>::adopt() takes it back.
    handle_value<T> release() noexcept
    {
        handle_value<T> value = this->value();

        forget();
        return value;
    }

    // Makes another session the owner; the handle is empty then, and as before on failure.
    result<handle_value<T>> try_give(std::uint32_t session) noexcept
    {
        return passed_on(fastalloc_give(pool_, number_, session));
    }

    // Leaves the slot to whoever adopts it, until `when`; before for ever, that needs a pool with
    // FASTALLOC_DEADLINES.  The handle is empty then, and as before on failure.
    result<handle_value<T>> try_leave(deadline when = deadline::forever()) noexcept
    {
        return passed_on(fastalloc_leave(pool_, number_, when.nanoseconds()));
    }

    // Makes the slot one that is shared, in a pool with FASTALLOC_SHARING.  The handle is empty
    // then, and as before on failure.
    result<shared_handle<T>> try_share() noexcept;

#if FASTALLOC_EXCEPTIONS
    handle_value<T> give(std::uint32_t session)
    {
        return detail::unwrap(try_give(session));
    }
    handle_value<T> leave(deadline when = deadline::forever())
    {
        return detail::unwrap(try_leave(when));
    }
    shared_handle<T> share()
    {
        return detail::unwrap(try_share());
    }
#endif

private:
    void forget() noexcept
    {
        base::forget();
        object_ = nullptr;
    }

    result<handle_value<T>> passed_on(int error) noexcept
    {
        if (error)
            return failure{error};
        return release();
    }

    T *object_ = nullptr;
};

// One reference of this process's to a slot that several may hold.  Copying adds one, destroying
// takes one away, and the last of all processes' frees the slot.  Who holds it with whom has to
// agree on who writes when: a mutex in the object, atomics, or write once.
template <class T> class [[nodiscard]] shared_handle : public detail::named<T, shared_handle<T>> {
    using base = detail::named<T, shared_handle<T>>;
    using base::number_;
    using base::pool_;

    static_assert(std::is_trivially_destructible_v<T>,
                  "fastalloc: which process lets go of a shared object last is known only when it "
                  "is gone, so its destructor has to be trivial.  Within one process use "
                  "std::allocate_shared() with a fastalloc::memory_resource");

public:
    shared_handle() noexcept = default;
    shared_handle(std::nullptr_t) noexcept
    {
    }

    // Takes over one reference that fastalloc_share() or fastalloc_ref() has given.
    shared_handle(fastalloc_pool *pool, handle_value<T> value, T *object) noexcept
        : base(pool, value.number()), object_(object), session_(fastalloc_pool_session(pool))
    {
    }

    // One reference more.  Throws when there is no memory for it; without exceptions the copy is
    // empty then, and try_copy() says why.
    shared_handle(const shared_handle &from) : base()
    {
#if FASTALLOC_EXCEPTIONS
        detail::unwrap(from.try_copy()).swap(*this);
#else
        result<shared_handle> copy = from.try_copy();

        if (copy)
            copy->swap(*this);
#endif
    }

    shared_handle(shared_handle &&from) noexcept
    {
        swap(from);
    }

    shared_handle &operator=(const shared_handle &from)
    {
        shared_handle(from).swap(*this);
        return *this;
    }

    shared_handle &operator=(shared_handle &&from) noexcept
    {
        shared_handle(std::move(from)).swap(*this);
        return *this;
    }

    ~shared_handle()
    {
        reset();
    }

    result<shared_handle> try_copy() const noexcept
    {
        if (!number_)
            return shared_handle();
        if (int error = fastalloc_ref(pool_, number_))
            return failure{error};
        return result<shared_handle>(shared_handle(pool_, this->value(), object_));
    }

    void swap(shared_handle &other) noexcept
    {
        std::swap(pool_, other.pool_);
        std::swap(number_, other.number_);
        std::swap(object_, other.object_);
        std::swap(session_, other.session_);
    }
    friend void swap(shared_handle &a, shared_handle &b) noexcept
    {
        a.swap(b);
    }

    T &operator*() const noexcept
    {
        return *object_;
    }
    T *operator->() const noexcept
    {
        return object_;
    }

    // Lets go of the reference now.  One that a forked child has inherited is its parent's.
    void reset() noexcept
    {
        if (number_ && fastalloc_pool_session(pool_) == session_)
            fastalloc_unref(pool_, number_);
        this->forget();
        object_ = nullptr;
    }

    // Lets go of the variable alone: the reference stays this process's, until
    // fastalloc_unref() or its end.
    handle_value<T> release() noexcept
    {
        handle_value<T> value = this->value();

        this->forget();
        object_ = nullptr;
        return value;
    }

    weak_handle<T> weak() const noexcept;

private:
    T *object_ = nullptr;
    std::uint32_t session_ = 0;
};

// Remembers a slot that others may hold, or may have let go of.  Copies freely.
template <class T> class weak_handle : public detail::named<T, weak_handle<T>> {
    using base = detail::named<T, weak_handle<T>>;
    using base::number_;
    using base::pool_;

public:
    weak_handle() noexcept = default;

    weak_handle(fastalloc_pool *pool, handle_value<T> value) noexcept : base(pool, value.number())
    {
    }

    weak_handle(const shared_handle<T> &from) noexcept
        : base(from.native_pool(), from.value().number())
    {
    }

    // A reference, or something empty when the slot has been freed; try_lock() tells that from
    // other reasons.
    shared_handle<T> lock() const noexcept
    {
        result<shared_handle<T>> locked = try_lock();

        return locked ? *std::move(locked) : shared_handle<T>();
    }

    result<shared_handle<T>> try_lock() const noexcept
    {
        if (int error = fastalloc_ref(pool_, number_))
            return failure{error};
        return shared_handle<T>(pool_, this->value(), this->get());
    }

    // Whether the slot has been freed.
    bool expired() const noexcept
    {
        return !this->get();
    }
};

template <class T> result<shared_handle<T>> handle<T>::try_share() noexcept
{
    if (int error = fastalloc_share(pool_, number_))
        return failure{error};
    shared_handle<T> shared(pool_, this->value(), object_);
    forget();
    return result<shared_handle<T>>(std::move(shared));
}

template <class T> weak_handle<T> shared_handle<T>::weak() const noexcept
{
    return weak_handle<T>(*this);
}

} // namespace fastalloc

// Handles as keys.
template <class T> struct std::hash<fastalloc::handle_value<T>> {
    std::size_t operator()(fastalloc::handle_value<T> value) const noexcept
    {
        return std::hash<std::uint64_t>()(value.number() * 0x9e3779b97f4a7c15u);
    }
};
template <class T> struct std::hash<fastalloc::handle<T>> {
    std::size_t operator()(const fastalloc::handle<T> &handle) const noexcept
    {
        return std::hash<fastalloc::handle_value<T>>()(handle.value());
    }
};
template <class T> struct std::hash<fastalloc::shared_handle<T>> {
    std::size_t operator()(const fastalloc::shared_handle<T> &handle) const noexcept
    {
        return std::hash<fastalloc::handle_value<T>>()(handle.value());
    }
};
template <class T> struct std::hash<fastalloc::weak_handle<T>> {
    std::size_t operator()(const fastalloc::weak_handle<T> &handle) const noexcept
    {
        return std::hash<fastalloc::handle_value<T>>()(handle.value());
    }
};

#endif // FASTALLOC_HANDLE_HPP
