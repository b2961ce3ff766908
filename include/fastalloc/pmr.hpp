// SPDX-License-Identifier: MIT
//
// Memory for the containers of the standard library out of pools, one for each size.  Part of
// fastalloc.hpp.
#ifndef FASTALLOC_PMR_HPP
#define FASTALLOC_PMR_HPP

#include <fastalloc/attachment.hpp>
#include <fastalloc/client.hpp>
#include <fastalloc/fastalloc.h>
#include <fastalloc/hooks.hpp>
#include <fastalloc/result.hpp>

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <memory_resource>
#include <utility>
#include <vector>

namespace fastalloc {

// A std::pmr::memory_resource over pools of rising sizes.  An allocation comes from the pool with
// the smallest slots that have its size and alignment; when there is none, or it gives none, from
// the upstream resource.  An allocation can be freed from any thread, but by the process that made
// it alone: what a forked child inherited stays its parent's.
//
// What containers keep in pools are pointers, so they are of use within one process; the pools give
// them bounded memory, handles, statistics, and, made through a daemon, a place in fastallocctl(1).
class memory_resource : public std::pmr::memory_resource {
public:
    // Slots of one size: how many, and aligned how (0: as the size lets expect, at most 16).
    struct size_class {
        std::size_t size;
        std::size_t capacity;
        std::size_t alignment = 0;
    };

    explicit memory_resource(
        std::pmr::memory_resource *upstream = std::pmr::get_default_resource()) noexcept
        : upstream_(upstream)
    {
    }
    memory_resource(const memory_resource &) = delete;
    memory_resource &operator=(const memory_resource &) = delete;

    // One pool more, before the first allocation: without a daemon, or by a client, under a name.
    // config.object_size and config.capacity are needed.
    result<void> try_add(const pool_config &config)
    {
        return added(detail::connection(), [&](fastalloc_pool **out) {
            return fastalloc_pool_create_local(&config, out);
        });
    }
    result<void> try_add(const client &by, const char *name, pool_config config)
    {
        config.name = name;
        return added(by.connection(), [&](fastalloc_pool **out) {
            return fastalloc_pool_create(by.native(), &config, out);
        });
    }

#if FASTALLOC_EXCEPTIONS
    memory_resource(std::initializer_list<size_class> classes,
                    std::pmr::memory_resource *upstream = std::pmr::get_default_resource())
        : upstream_(upstream)
    {
        for (const size_class &one : classes) {
            pool_config config(one.capacity);

            config.object_size = one.size;
            config.alignment = one.alignment;
            add(config);
        }
    }

    void add(const pool_config &config)
    {
        detail::unwrap(try_add(config));
    }
    void add(const client &by, const char *name, const pool_config &config)
    {
        detail::unwrap(try_add(by, name, config));
    }
#endif

    std::pmr::memory_resource *upstream_resource() const noexcept
    {
        return upstream_;
    }

    // The pools, by size: for their figures and statistics.
    std::size_t size() const noexcept
    {
        return shelves_.size();
    }
    attachment &operator[](std::size_t i) noexcept
    {
        return shelves_[i].pool;
    }

protected:
    void *do_allocate(std::size_t bytes, std::size_t alignment) override
    {
        fastalloc_pool *pool = pool_for(bytes, alignment);
        fastalloc_handle handle;
        void *memory;

        if (pool && fastalloc_alloc(pool, &handle, &memory) == 0)
            return memory;
        return upstream_->allocate(bytes, alignment);
    }

    // Memory of a pool that is not allocated, or not by this process, stays as it is.
    void do_deallocate(void *memory, std::size_t bytes, std::size_t alignment) override
    {
        fastalloc_pool *pool = pool_for(bytes, alignment);
        fastalloc_handle handle;
        int error = FASTALLOC_E_HANDLE;

        if (pool)
            error = fastalloc_handle_of(pool, memory, &handle);
        if (error == FASTALLOC_E_HANDLE)
            upstream_->deallocate(memory, bytes, alignment);
        else if (!error && fastalloc_handle_is_mine(pool, handle))
            fastalloc_free(pool, handle);
    }

    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
    {
        return this == &other;
    }

private:
    struct opened : attachment {
        using attachment::attach_by;
    };

    struct shelf {
        opened pool;
        std::size_t size, alignment;
    };

    template <class Attach> result<void> added(const detail::connection &by, const Attach &attach)
    {
        shelf made = {};
        fastalloc_pool_info info;

        if (int error = made.pool.attach_by(by, attach))
            return failure{error};
        info = made.pool.info();
        made.size = info.object_size;
        made.alignment = info.alignment;
        shelves_.insert(std::upper_bound(shelves_.begin(), shelves_.end(), made, smaller),
                        std::move(made));
        return {};
    }

    static bool smaller(const shelf &a, const shelf &b) noexcept
    {
        return a.size != b.size ? a.size < b.size : a.alignment < b.alignment;
    }

    // The same for the same question, so that who frees looks where who allocated did.
    fastalloc_pool *pool_for(std::size_t bytes, std::size_t alignment) const noexcept
    {
        for (const shelf &one : shelves_)
            if (one.size >= bytes && one.alignment >= alignment)
                return one.pool.native();
        return nullptr;
    }

    std::vector<shelf> shelves_;
    std::pmr::memory_resource *upstream_;
};

} // namespace fastalloc

#endif // FASTALLOC_PMR_HPP
