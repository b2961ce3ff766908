/* SPDX-License-Identifier: MIT
 *
 * boost: a worker whose implementations are those of Boost.Interprocess for objects of one
 * size in a segment of shared memory, as its users would take them:
 *
 *   boost-allocate      segment.allocate() and deallocate(): any size, a mutex each time
 *   boost-node          node_allocator: a list of nodes in the segment behind a mutex
 *   boost-cached-node   cached_node_allocator: the same, with a private list of up to 64 nodes
 *
 * The segment manager is managed_shared_memory's, upon anonymous shared memory: forked
 * processes share it, and whoever dies, nothing stays behind.
 *
 * Sizes are a matter of types there.  So each size has loops of its own, and what the suite
 * calls is only the way to them.
 */
#include "implementation.h"
#include "loops.h"
#include "loops_shared.h"
#include "worker.h"

#include <boost/interprocess/allocators/cached_node_allocator.hpp>
#include <boost/interprocess/allocators/node_allocator.hpp>
#include <boost/interprocess/indexes/iset_index.hpp>
#include <boost/interprocess/managed_external_buffer.hpp>
#include <boost/interprocess/mem_algo/rbtree_best_fit.hpp>
#include <boost/interprocess/sync/mutex_family.hpp>
#include <boost/version.hpp>
#include <cstdio>
#include <exception>
#include <new>
#include <sys/mman.h>

namespace ipc = boost::interprocess;

namespace
{

/* managed_external_buffer would have no mutex. */
using segment = ipc::basic_managed_external_buffer<char, ipc::rbtree_best_fit<ipc::mutex_family>,
                                                   ipc::iset_index>;
using manager = segment::segment_manager;

template <size_t Size> struct object {
    alignas(8) unsigned char bytes[Size];
};

/* --------------------------------------------------------- the three kinds */

/* take() and give() throw when there is no memory, which ends the process (give_up_boost). */

template <size_t Size> class allocated
{
    manager *from;

  public:
    using chain = manager::multiallocation_chain;
    using pointer = manager::void_pointer;
    static constexpr bool own_cache = false;

    explicit allocated(manager *segment_manager) : from(segment_manager)
    {
    }
    void *take()
    {
        return from->allocate(Size);
    }
    void give(void *taken)
    {
        from->deallocate(taken);
    }
    void take_many(size_t count, chain &many)
    {
        from->allocate_many(Size, count, many);
    }
    void give_many(chain &many)
    {
        from->deallocate_many(many);
    }
    manager *segment_manager()
    {
        return from;
    }
};

/* One at a time from either of the two allocators. */
template <class Allocator, bool OwnCache> class of_nodes
{
    Allocator allocator;

  public:
    using chain = typename Allocator::multiallocation_chain;
    using pointer = typename Allocator::pointer;
    static constexpr bool own_cache = OwnCache;

    explicit of_nodes(manager *segment_manager) : allocator(segment_manager)
    {
    }
    void *take()
    {
        return allocator.allocate_one().get();
    }
    void give(void *taken)
    {
        allocator.deallocate_one(pointer(static_cast<typename Allocator::value_type *>(taken)));
    }
    void take_many(size_t count, chain &many)
    {
        allocator.allocate_individual(count, many);
    }
    void give_many(chain &many)
    {
        allocator.deallocate_individual(many);
    }
    manager *segment_manager()
    {
        return allocator.get_segment_manager();
    }
};

template <size_t Size> using nodes = of_nodes<ipc::node_allocator<object<Size>, manager>, false>;
template <size_t Size>
using cached_nodes = of_nodes<ipc::cached_node_allocator<object<Size>, manager>, true>;

/* --------------------------------------------------- the loops, of one size */

template <class Pool> struct looped {
    using pool_state = Pool *;
    using pool_handle = void *;

    BENCH_INLINE void *pool_take(Pool *pool, void **handle)
    {
        return *handle = pool->take();
    }
    BENCH_INLINE void pool_give(Pool *pool, void *handle)
    {
        pool->give(handle);
    }
    BENCH_INLINE void *pool_at(Pool *, void *handle)
    {
        return handle;
    }
    /* Addresses are the same in all forked processes. */
    BENCH_INLINE uint64_t pool_token(Pool *, void *handle)
    {
        return reinterpret_cast<uintptr_t>(handle);
    }
    BENCH_INLINE void *pool_accept(Pool *, uint64_t token, void **object)
    {
        return *object = reinterpret_cast<void *>(token);
    }

    BENCH_DEFINE_LOOPS(pool)
    BENCH_DEFINE_LOOPS_SHARED(pool)

    /* The links of a chain are in the objects: who uses these takes them off it first. */
    static void pool_batches(void *state, size_t count, size_t batch)
    {
        Pool *pool = static_cast<Pool *>(state);
        typename Pool::pointer objects[BENCH_CALL_MAX];

        for (size_t done = 0; done < count; done += batch) {
            typename Pool::chain chain;

            pool->take_many(batch, chain);
            for (size_t i = 0; i < batch; i++) {
                objects[i] = chain.pop_front();
                bench_write(objects[i].get(), i);
            }
            for (size_t i = 0; i < batch; i++)
                chain.push_back(objects[i]);
            pool->give_many(chain);
        }
    }

    static void *pool_start(manager *segment_manager)
    {
        return new Pool(segment_manager);
    }
    /* A private list is one thread's alone. */
    static void *pool_join(void *state)
    {
        return Pool::own_cache ? new Pool(static_cast<Pool *>(state)->segment_manager()) : state;
    }
    static void pool_leave(void *state)
    {
        if (Pool::own_cache)
            delete static_cast<Pool *>(state);
    }
};

/* ------------------------------------------------------ the way to the size */

struct loops {
    void *(*start)(manager *);
    void *(*join)(void *);
    void (*leave)(void *);
    bench_loop *pair, *batch100, *churn1024;
    void (*batches)(void *, size_t, size_t);
    void (*sample)(void *, size_t, bench_histogram *);
    void (*produce)(void *, size_t, bench_ring *);
    void (*consume)(void *, size_t, bench_ring *);
    void (*exchange)(void *, size_t, bench_cells *, uint64_t);
};

template <class Pool> const loops *loops_of()
{
    using of = looped<Pool>;
    static const loops all = {of::pool_start,   of::pool_join,     of::pool_leave,
                              of::pool_pair,    of::pool_batch100, of::pool_churn1024,
                              of::pool_batches, of::pool_sample,   of::pool_produce,
                              of::pool_consume, of::pool_exchange};

    return &all;
}

struct started {
    const loops *of;
    void *pool;
};

/* Twice what the objects take, and some for the private lists of those who join.  What is not
 * used takes no memory. */
manager *new_segment(size_t object_size, size_t slots)
{
    size_t size = 2 * slots * (object_size + 32) + 4096 * object_size + (1 << 20);
    void *memory = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED)
        bench_give_up("boost", "no memory for a segment");
    return (new segment(ipc::create_only, memory, size))->get_segment_manager();
}

template <template <size_t> class Kind> const loops *loops_of_size(size_t size)
{
    switch (size) {
    case 16:
        return loops_of<Kind<16>>();
    case 64:
        return loops_of<Kind<64>>();
    case 256:
        return loops_of<Kind<256>>();
    case 4096:
        return loops_of<Kind<4096>>();
    }
    bench_give_up("boost", "objects of this size have no loops: see loops_of_size()");
}

template <template <size_t> class Kind> void *start(size_t object_size, size_t slots)
{
    const loops *of = loops_of_size<Kind>(object_size);

    return new started{of, of->start(new_segment(object_size, slots))};
}

void *join(void *state)
{
    const started *self = static_cast<started *>(state);

    return new started{self->of, self->of->join(self->pool)};
}

void leave(void *state)
{
    started *self = static_cast<started *>(state);

    self->of->leave(self->pool);
    delete self;
}

/* Calls the loop of the state's size. */
template <auto Loop, class... Arguments> void call(void *state, Arguments... arguments)
{
    const started *self = static_cast<started *>(state);

    (self->of->*Loop)(self->pool, arguments...);
}

const char *version()
{
    static char text[32];

    std::snprintf(text, sizeof text, "Boost %d.%d", BOOST_VERSION / 100000,
                  BOOST_VERSION / 100 % 1000);
    return text;
}

template <template <size_t> class Kind> bench_implementation implementation(const char *name)
{
    bench_implementation all = {};

    all.name = name;
    all.reach = BENCH_PROCESSES;
    all.version = version;
    all.start = start<Kind>;
    all.join = join;
    all.leave = leave;
    all.pair = call<&loops::pair>;
    all.batch100 = call<&loops::batch100>;
    all.churn1024 = call<&loops::churn1024>;
    all.batches = call<&loops::batches>;
    all.sample = call<&loops::sample>;
    all.produce = call<&loops::produce>;
    all.consume = call<&loops::consume>;
    all.exchange = call<&loops::exchange>;
    return all;
}

[[noreturn]] void give_up_boost()
{
    try {
        throw;
    } catch (const std::exception &error) {
        bench_give_up("boost", error.what());
    } catch (...) {
        bench_give_up("boost", "an exception of unknown kind");
    }
}

} // namespace

int main(int argc, char **argv)
{
    static const bench_implementation allocate = implementation<allocated>("boost-allocate");
    static const bench_implementation node = implementation<nodes>("boost-node");
    static const bench_implementation cached = implementation<cached_nodes>("boost-cached-node");
    static const bench_implementation *const implementations[] = {&allocate, &node, &cached,
                                                                  nullptr};

    std::set_terminate(give_up_boost);
    return worker_main(implementations, argc, argv);
}
