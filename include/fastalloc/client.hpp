// SPDX-License-Identifier: MIT
//
// A connection to the daemon in C++, and how pools keep theirs.  Part of fastalloc.hpp.
#ifndef FASTALLOC_CLIENT_HPP
#define FASTALLOC_CLIENT_HPP

#include <fastalloc/fastalloc.h>
#include <fastalloc/result.hpp>

#include <atomic>
#include <cstddef>
#include <new>
#include <utility>

namespace fastalloc {

// fastalloc_connect_options with its defaults.
struct connect_options : fastalloc_connect_options {
    connect_options() noexcept
    {
        fastalloc_connect_options_init(this);
    }
};

namespace detail {

// A share in a connection: the last one disconnects.  So that a client and the pools opened
// through it may go in any order.
class connection {
public:
    connection() noexcept = default;

    connection(const connection &from) noexcept : shared_(from.shared_)
    {
        if (shared_)
            shared_->users.fetch_add(1, std::memory_order_relaxed);
    }

    connection(connection &&from) noexcept : shared_(std::exchange(from.shared_, nullptr))
    {
    }

    connection &operator=(connection from) noexcept
    {
        std::swap(shared_, from.shared_);
        return *this;
    }

    ~connection()
    {
        if (!shared_ || shared_->users.fetch_sub(1, std::memory_order_acq_rel) != 1)
            return;
        fastalloc_disconnect(shared_->client);
        delete shared_;
    }

    static int open(const fastalloc_connect_options *options, connection &out) noexcept
    {
        shared *made = new (std::nothrow) shared;
        int error = FASTALLOC_E_NO_MEMORY;

        if (made)
            error = fastalloc_connect(&made->client, options);
        if (error) {
            delete made;
            return error;
        }
        out = connection(made);
        return 0;
    }

    fastalloc_client *native() const noexcept
    {
        return shared_ ? shared_->client : nullptr;
    }

private:
    struct shared {
        fastalloc_client *client = nullptr;
        std::atomic<std::size_t> users{1};
    };

    explicit connection(shared *made) noexcept : shared_(made)
    {
    }

    shared *shared_ = nullptr;
};

} // namespace detail

// A connection to the daemon.  Ends with the last of the client and the pools that came by it.
class client {
public:
    client() noexcept = default;
    client(client &&) noexcept = default;
    client &operator=(client &&) noexcept = default;
    client(const client &) = delete;
    client &operator=(const client &) = delete;

    static result<client> try_connect(const fastalloc_connect_options &options = connect_options())
    {
        client made;

        if (int error = detail::connection::open(&options, made.connection_))
            return failure{error};
        return result<client>(std::move(made));
    }

    // Destroys the pool of that name: see fastalloc_pool_destroy().
    result<void> try_destroy(const char *name) noexcept
    {
        return detail::checked(fastalloc_pool_destroy(native(), name));
    }

#if FASTALLOC_EXCEPTIONS
    static client connect(const fastalloc_connect_options &options = connect_options())
    {
        return detail::unwrap(try_connect(options));
    }
    void destroy(const char *name)
    {
        detail::unwrap(try_destroy(name));
    }
#endif

    explicit operator bool() const noexcept
    {
        return native() != nullptr;
    }

    fastalloc_client *native() const noexcept
    {
        return connection_.native();
    }

    // For what is to keep it.
    const detail::connection &connection() const noexcept
    {
        return connection_;
    }

private:
    detail::connection connection_;
};

} // namespace fastalloc

#endif // FASTALLOC_CLIENT_HPP
