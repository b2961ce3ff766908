// SPDX-License-Identifier: MIT
//
// Failures in C++: thrown as an error, or returned in a result; and deadlines.  Part of
// fastalloc.hpp.
#ifndef FASTALLOC_RESULT_HPP
#define FASTALLOC_RESULT_HPP

#include <fastalloc/fastalloc.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

// Whether functions that throw are there.
#if defined(__cpp_exceptions) || defined(__EXCEPTIONS)
#define FASTALLOC_EXCEPTIONS 1
#else
#define FASTALLOC_EXCEPTIONS 0
#endif

namespace fastalloc {

#if FASTALLOC_EXCEPTIONS
// What throws says: what() is fastalloc_last_error() as it was, code() a FASTALLOC_E_...
class error : public std::runtime_error {
public:
    error(int code, const char *text) : std::runtime_error(text), code_(code)
    {
    }

    // Of a call that has just failed in this thread.
    explicit error(int code) : error(code, fastalloc_last_error())
    {
    }

    int code() const noexcept
    {
        return code_;
    }

    // "FASTALLOC_E_STALE"
    const char *name() const noexcept
    {
        return fastalloc_error_name(code_);
    }

private:
    int code_;
};
#endif

// A code on its way into a result.
struct failure {
    int code;
};

// A value, or why there is none.  Right after the call fastalloc_last_error() tells more.
template <class T> class [[nodiscard]] result {
public:
    using value_type = T;

    result(T &&value) noexcept(std::is_nothrow_move_constructible_v<T>) : value_(std::move(value))
    {
    }

    // A value made of `args`.
    template <class... Args>
    explicit result(std::in_place_t, const Args &...args) : value_(std::in_place, args...)
    {
    }

    result(failure why) noexcept : error_(why.code)
    {
    }

    bool has_value() const noexcept
    {
        return value_.has_value();
    }

    explicit operator bool() const noexcept
    {
        return value_.has_value();
    }

    // 0, or a FASTALLOC_E_...
    int error() const noexcept
    {
        return error_;
    }

    // Only where there is a value.
    T &operator*() & noexcept
    {
        return *value_;
    }
    const T &operator*() const & noexcept
    {
        return *value_;
    }
    T &&operator*() && noexcept
    {
        return std::move(*value_);
    }
    T *operator->() noexcept
    {
        return &*value_;
    }
    const T *operator->() const noexcept
    {
        return &*value_;
    }

    T value_or(T other) &&
    {
        return value_ ? std::move(*value_) : std::move(other);
    }

#if FASTALLOC_EXCEPTIONS
    // The value, or throws an error.  Since the call may be long ago, what() says in general what
    // the code means; the function that throws itself has the numbers.
    T &value() &
    {
        require();
        return *value_;
    }
    T &&value() &&
    {
        require();
        return std::move(*value_);
    }
#endif

private:
#if FASTALLOC_EXCEPTIONS
    void require() const
    {
        if (!value_)
            throw fastalloc::error(error_, fastalloc_strerror(error_));
    }
#endif

    std::optional<T> value_;
    int error_ = 0;
};

template <> class [[nodiscard]] result<void> {
public:
    using value_type = void;

    result() noexcept = default;

    result(failure why) noexcept : error_(why.code)
    {
    }

    bool has_value() const noexcept
    {
        return error_ == 0;
    }

    explicit operator bool() const noexcept
    {
        return error_ == 0;
    }

    int error() const noexcept
    {
        return error_;
    }

#if FASTALLOC_EXCEPTIONS
    void value() const
    {
        if (error_)
            throw fastalloc::error(error_, fastalloc_strerror(error_));
    }
#endif

private:
    int error_ = 0;
};

// A time to wait until: of the steady clock, or so long from now; longer than 280 years is for
// ever.
class deadline {
public:
    template <class Rep, class Period>
    deadline(std::chrono::duration<Rep, Period> from_now) noexcept
        : when_(after(since_boot(), std::chrono::duration<double>(from_now).count(), from_now))
    {
    }

    template <class Duration>
    deadline(std::chrono::time_point<std::chrono::steady_clock, Duration> when) noexcept
        : when_(after(0, std::chrono::duration<double>(when.time_since_epoch()).count(),
                      when.time_since_epoch()))
    {
    }

    static deadline forever() noexcept
    {
        return deadline(FASTALLOC_FOREVER, 0);
    }

    // In nanoseconds of CLOCK_MONOTONIC, as the functions of fastalloc.h take it.
    std::uint64_t nanoseconds() const noexcept
    {
        return when_;
    }

private:
    deadline(std::uint64_t when, int) noexcept : when_(when)
    {
    }

    static std::uint64_t since_boot() noexcept
    {
        return static_cast<std::uint64_t>(
            std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count());
    }

    // Casting a duration is defined as long as it fits: `seconds` is for looking at it before.
    template <class Rep, class Period>
    static std::uint64_t after(std::uint64_t start, double seconds,
                               std::chrono::duration<Rep, Period> step) noexcept
    {
        using std::chrono::nanoseconds;

        if (seconds <= 0)
            return start;
        if (!(seconds < 9e9))
            return FASTALLOC_FOREVER;
        return start +
               static_cast<std::uint64_t>(std::chrono::duration_cast<nanoseconds>(step).count());
    }

    std::uint64_t when_;
};

namespace detail {

#if FASTALLOC_EXCEPTIONS
[[noreturn]] __attribute__((cold, noinline)) inline void throw_last(int error)
{
    throw fastalloc::error(error);
}

// What the functions that throw do with what their twins return.
template <class T> inline T unwrap(result<T> &&got)
{
    if (!got)
        throw_last(got.error());
    if constexpr (!std::is_void_v<T>)
        return *std::move(got);
}
#endif

inline result<void> checked(int error) noexcept
{
    if (error)
        return failure{error};
    return {};
}

} // namespace detail
} // namespace fastalloc

#endif // FASTALLOC_RESULT_HPP
