// SPDX-License-Identifier: MIT
//
// What all pools have in C++, whatever they hold: being closed, figures, statistics, sealing,
// growing.  Part of fastalloc.hpp.
#ifndef FASTALLOC_ATTACHMENT_HPP
#define FASTALLOC_ATTACHMENT_HPP

#include <fastalloc/client.hpp>
#include <fastalloc/fastalloc.h>
#include <fastalloc/result.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>

namespace fastalloc {

// A report, in one of the forms FASTALLOC_REPORT_...
inline std::string report(const fastalloc_stats &stats, std::uint32_t form = FASTALLOC_REPORT_TEXT)
{
    int length = fastalloc_stats_report(&stats, form, nullptr, 0);
    std::string text(length > 0 ? static_cast<std::size_t>(length) : 0, '\0');

    if (!text.empty())
        fastalloc_stats_report(&stats, form, &text[0], text.size() + 1);
    return text;
}

// This process's attachment to a pool: closed when it goes.  Moves, and is empty then.
class attachment {
public:
    attachment() noexcept = default;

    attachment(attachment &&from) noexcept
        : connection_(std::move(from.connection_)), pool_(std::exchange(from.pool_, nullptr))
    {
    }

    attachment &operator=(attachment &&from) noexcept
    {
        attachment moved(std::move(from));

        std::swap(connection_, moved.connection_);
        std::swap(pool_, moved.pool_);
        return *this;
    }

    // Nobody may be inside a call any more, but those who wait for a slot: the first try calls
    // them off, and they are given a second to leave.  What is not closed then stays attached
    // until the connection or the process ends.
    ~attachment()
    {
        for (int tries = 0; !try_close() && tries < 1000; tries++)
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }

    // FASTALLOC_E_BUSY, with nothing changed, while another thread is inside a call.  What is
    // empty is closed.
    result<void> try_close() noexcept
    {
        if (int error = pool_ ? fastalloc_pool_close(pool_) : 0)
            return failure{error};
        pool_ = nullptr;
        connection_ = detail::connection();
        return {};
    }

    explicit operator bool() const noexcept
    {
        return pool_ != nullptr;
    }

    fastalloc_pool *native() const noexcept
    {
        return pool_;
    }

    // -------------------------------------------------------------- figures
    // Snapshots, as fastalloc.h has them; 0 and "" when empty.

    fastalloc_pool_info info() const noexcept
    {
        fastalloc_pool_info info = {};

        info.struct_size = sizeof info;
        if (pool_)
            fastalloc_pool_get_info(pool_, &info);
        return info;
    }
    std::size_t capacity() const noexcept
    {
        return fastalloc_pool_capacity(pool_);
    }
    std::size_t allocated() const noexcept
    {
        return fastalloc_pool_allocated(pool_);
    }
    std::size_t available() const noexcept
    {
        return fastalloc_pool_available(pool_);
    }
    bool is_full() const noexcept
    {
        return fastalloc_pool_is_full(pool_) != 0;
    }
    bool is_empty() const noexcept
    {
        return fastalloc_pool_is_empty(pool_) != 0;
    }
    bool can_grow() const noexcept
    {
        return fastalloc_pool_can_grow(pool_) != 0;
    }

    // This attachment's, to have slots given to.
    std::uint32_t session() const noexcept
    {
        return fastalloc_pool_session(pool_);
    }

    result<fastalloc_stats> try_statistics() const noexcept
    {
        fastalloc_stats stats = {};

        stats.struct_size = sizeof stats;
        if (int error = fastalloc_pool_stats(pool_, &stats))
            return failure{error};
        return stats;
    }
    result<fastalloc_stats> try_statistics(std::uint32_t session) const noexcept
    {
        fastalloc_stats stats = {};

        stats.struct_size = sizeof stats;
        if (int error = fastalloc_session_stats(pool_, session, &stats))
            return failure{error};
        return stats;
    }
    result<void> try_reset_statistics() noexcept
    {
        return detail::checked(fastalloc_pool_stats_reset(pool_));
    }

    // ----------------------------------------------------------- operations

    result<void> try_seal() noexcept
    {
        return detail::checked(fastalloc_pool_seal(pool_));
    }
    result<void> try_unseal() noexcept
    {
        return detail::checked(fastalloc_pool_unseal(pool_));
    }
    result<void> try_drain(deadline when = deadline::forever()) noexcept
    {
        return detail::checked(fastalloc_pool_drain(pool_, when.nanoseconds()));
    }

    // To `slots` at least; 0: by one step of the pool's strategy.
    result<void> try_grow(std::size_t slots = 0) noexcept
    {
        return detail::checked(fastalloc_pool_grow(pool_, slots));
    }

    // To `slots`, or as far as slots at the top are free: the capacity then.
    result<std::size_t> try_shrink(std::size_t slots) noexcept
    {
        std::size_t now = 0;

        if (int error = fastalloc_pool_shrink(pool_, slots, &now))
            return failure{error};
        return now;
    }

    // A descriptor for event loops, which stays the pool's.
    result<int> try_event() noexcept
    {
        int descriptor = -1;

        if (int error = fastalloc_pool_event(pool_, &descriptor))
            return failure{error};
        return descriptor;
    }

    result<void> try_become_heir() noexcept
    {
        return detail::checked(fastalloc_pool_become_heir(pool_));
    }

    // Gives back what this thread has cached: before a long sleep.
    void flush_thread() noexcept
    {
        fastalloc_thread_flush(pool_);
    }

#if FASTALLOC_EXCEPTIONS
    void close()
    {
        detail::unwrap(try_close());
    }
    fastalloc_stats statistics() const
    {
        return detail::unwrap(try_statistics());
    }
    fastalloc_stats statistics(std::uint32_t session) const
    {
        return detail::unwrap(try_statistics(session));
    }
    void reset_statistics()
    {
        detail::unwrap(try_reset_statistics());
    }
    void seal()
    {
        detail::unwrap(try_seal());
    }
    void unseal()
    {
        detail::unwrap(try_unseal());
    }
    void drain(deadline when = deadline::forever())
    {
        detail::unwrap(try_drain(when));
    }
    void grow(std::size_t slots = 0)
    {
        detail::unwrap(try_grow(slots));
    }
    std::size_t shrink(std::size_t slots)
    {
        return detail::unwrap(try_shrink(slots));
    }
    int event()
    {
        return detail::unwrap(try_event());
    }
    void become_heir()
    {
        detail::unwrap(try_become_heir());
    }
#endif

protected:
    // Attaches as `attach` does, a function of fastalloc_pool **.
    template <class Attach>
    int attach_by(const detail::connection &by, const Attach &attach) noexcept
    {
        int error = attach(&pool_);

        if (!error)
            connection_ = by;
        return error;
    }

    detail::connection connection_; // after pool_ in time: closed, then disconnected
    fastalloc_pool *pool_ = nullptr;
};

} // namespace fastalloc

#endif // FASTALLOC_ATTACHMENT_HPP
