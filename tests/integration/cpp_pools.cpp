// SPDX-License-Identifier: MIT
//
// fastalloc.hpp: pools: types, failures, waiting, batches, hooks, walking, sealing; and handles
// between processes.
#include "cpp.hpp"

#include <chrono>
#include <cstring>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

struct order {
    int number;
    double price;
};

struct wider {
    int number;
    double price, tax;
};

struct alignas(64) line {
    char bytes[64];
};

struct order_named_so {
    int number;
    double price;
};

struct newer_order {
    int number;
    double price;
};

} // namespace

template <> struct fastalloc::traits<order_named_so> : fastalloc::default_traits<order_named_so> {
    static constexpr const char *name = "order";
    static constexpr std::uint32_t version = 1;
};
template <> struct fastalloc::traits<newer_order> : fastalloc::default_traits<newer_order> {
    static constexpr const char *name = "order";
    static constexpr std::uint32_t version = 2;
};

namespace {

using namespace std::chrono_literals;
using fastalloc::client;
using fastalloc::handle;
using fastalloc::handle_value;
using fastalloc::pool;
using fastalloc::pool_config;

bool same(const char *a, const char *b)
{
    return std::strcmp(a, b) == 0;
}

template <class A, class B> struct a_template_whose_name_is_long_enough_to_be_cut_short {
};

TEST(types_have_names_that_fit)
{
    using both = a_template_whose_name_is_long_enough_to_be_cut_short<order, wider>;
    using other = a_template_whose_name_is_long_enough_to_be_cut_short<wider, order>;

    REQUIRE(same(fastalloc::traits<unsigned long>::name, "uint64"));
    REQUIRE(same(fastalloc::traits<unsigned long long>::name, "uint64"));
    REQUIRE(same(fastalloc::traits<signed char>::name, "int8"));
    REQUIRE(same(fastalloc::traits<double>::name, "float64"));
    REQUIRE(same(fastalloc::traits<bool>::name, "bool"));
    REQUIRE(same(fastalloc::traits<fastalloc::failure>::name, "fastalloc::failure"));
    REQUIRE(std::strstr(fastalloc::traits<order>::name, "::order"));
    REQUIRE(std::strlen(fastalloc::traits<both>::name) == 63);
    REQUIRE(std::strlen(fastalloc::traits<other>::name) == 63);
    REQUIRE(!same(fastalloc::traits<both>::name, fastalloc::traits<other>::name));
}

TEST(a_pool_is_opened_by_its_type_only)
{
    client client = test::connected();
    const char *name = test::fresh_name();
    pool<order_named_so> made = pool<order_named_so>::create(client, name, 100);

    REQUIRE_ERROR(FASTALLOC_E_EXISTS, name, pool<order>::create(client, name, 100));
    REQUIRE_ERROR(FASTALLOC_E_TYPE, "order", pool<order>::open(client, name));
    REQUIRE_ERROR(FASTALLOC_E_TYPE_VERSION, "2", pool<newer_order>::open(client, name));
    REQUIRE_ERROR(FASTALLOC_E_NOT_FOUND, "nowhere", pool<order>::open(client, "nowhere"));
    REQUIRE(pool<wider>::try_open(client, name).error() == FASTALLOC_E_TYPE);

    pool<order_named_so> opened = pool<order_named_so>::open(client, name);
    handle_value<order_named_so> value = made.make(3, 1.0).release();
    REQUIRE(opened.get(value)->number == 3 && opened.session() != made.session());
    REQUIRE(opened.info().type_version == 1 && same(opened.info().type_name, "order"));
}

struct order_of_another_size {
    char bytes[48];
};
struct alignas(32) aligned_order {
    char bytes[32];
};
struct unaligned_order {
    char bytes[32];
};

} // namespace

#define NAMED(type)                                                                                \
    template <> struct fastalloc::traits<type> : fastalloc::default_traits<type> {                 \
        static constexpr const char *name = "struct order";                                        \
    }
NAMED(order_of_another_size);
NAMED(aligned_order);
NAMED(unaligned_order);

namespace {

TEST(size_and_alignment_have_to_suit_the_type)
{
    client client = test::connected();
    const char *name = test::fresh_name();

    {
        pool<unaligned_order> made = pool<unaligned_order>::create(client, name, 10);

        REQUIRE_ERROR(FASTALLOC_E_TYPE_SIZE, "48", pool<order_of_another_size>::open(client, name));
        REQUIRE_ERROR(FASTALLOC_E_TYPE_SIZE, "32", pool<aligned_order>::open(client, name));
    }
    pool<aligned_order> made = pool<aligned_order>::create(client, name, 10);
    pool<unaligned_order> better = pool<unaligned_order>::open(client, name);
    REQUIRE(better.info().alignment == 32);

    pool<line> lines = pool<line>::create_local(3);
    handle<line> one = lines.make();
    REQUIRE(reinterpret_cast<std::uintptr_t>(one.get()) % 64 == 0);
}

TEST(failures_come_as_errors_or_as_values)
{
    pool<order> orders = pool<order>::create_local(2);
    handle<order> first = orders.make(), second = orders.make();

    REQUIRE_ERROR(FASTALLOC_E_EXHAUSTED, "2/2", orders.make());
    fastalloc::result<handle<order>> third = orders.try_make();
    REQUIRE(!third && !third.has_value() && third.error() == FASTALLOC_E_EXHAUSTED);
    REQUIRE(std::strstr(fastalloc_last_error(), "2/2"));
    REQUIRE_ERROR(FASTALLOC_E_EXHAUSTED, fastalloc_strerror(FASTALLOC_E_EXHAUSTED), third.value());
    first.reset();
    third = orders.try_make(9, 9.0);
    REQUIRE(third && third.error() == 0 && (*third)->number == 9 && third->get());
    REQUIRE_ERROR(FASTALLOC_E_CAPACITY, "", pool<order>::create_local(0));
    REQUIRE(pool<order>::try_create(client(), "x", 1).error() == FASTALLOC_E_INVALID);
}

TEST(a_pool_outlives_its_client_and_moves)
{
    client client = test::connected();
    pool<order> moved, orders = pool<order>::create(client, test::fresh_name(), 1000);
    handle<order> first = orders.make(1, 0.0);

    client = fastalloc::client();
    moved = std::move(orders);
    REQUIRE(!orders && moved && moved.make());
    first.reset();
    REQUIRE(moved.is_empty());
    moved.grow(1000);
}

TEST(waiting_ends_by_a_deadline_or_with_a_slot)
{
    pool<order> orders = pool<order>::create_local(1);
    handle<order> only = orders.make(1, 0.0);
    auto start = std::chrono::steady_clock::now();

    REQUIRE_ERROR(FASTALLOC_E_TIMEOUT, "", orders.make_wait(50ms));
    REQUIRE(std::chrono::steady_clock::now() - start >= 50ms);
    REQUIRE(orders.try_acquire_wait(start).error() == FASTALLOC_E_TIMEOUT);
    std::thread other([&]() {
        std::this_thread::sleep_for(50ms);
        only.reset();
    });
    handle<order> next = orders.make_wait(start + std::chrono::hours(1), 2, 0.0);
    other.join();
    REQUIRE(next->number == 2);
}

TEST(deadlines_do_not_overflow)
{
    using fastalloc::deadline;
    using clock = std::chrono::steady_clock;
    std::uint64_t now = fastalloc_deadline(0);

    REQUIRE(deadline(std::chrono::hours::max()).nanoseconds() == FASTALLOC_FOREVER);
    REQUIRE(deadline(std::chrono::duration<double>(1e300)).nanoseconds() == FASTALLOC_FOREVER);
    REQUIRE(deadline(clock::time_point::max()).nanoseconds() == FASTALLOC_FOREVER);
    REQUIRE(deadline(clock::time_point::min()).nanoseconds() == 0);
    REQUIRE(deadline(std::chrono::hours::min()).nanoseconds() >= now);
    REQUIRE(deadline(-1s).nanoseconds() - now < UINT64_C(1000000000));
    REQUIRE(deadline(1h).nanoseconds() - now >= UINT64_C(3600000000000));
    REQUIRE(deadline(1h).nanoseconds() - now < UINT64_C(3601000000000));
    REQUIRE(deadline(clock::time_point(7ns)).nanoseconds() == 7);
    REQUIRE(deadline::forever().nanoseconds() == FASTALLOC_FOREVER);
}

TEST(a_batch_is_made_whole_or_not_at_all)
{
    pool<order> orders = pool<order>::create_local(10);

    REQUIRE(orders.make_batch(0).empty());
    REQUIRE_ERROR(FASTALLOC_E_EXHAUSTED, "", orders.make_batch(11));
    REQUIRE(orders.is_empty());
    std::vector<handle<order>> all = orders.make_batch(10, 4, 2.0);
    REQUIRE(all.size() == 10 && orders.is_full());
    for (const handle<order> &one : all)
        REQUIRE(one->number == 4 && one->price == 2.0);
    all.resize(5);
    REQUIRE(orders.allocated() == 5);
}

struct counting_hooks {
    int initialized = 0, reset_ = 0, acquired = 0, released = 0, reclaimed = 0;
    bool refuse = false;

    void initialize(order &object, handle_value<order>, bool)
    {
        object.number = 100;
        initialized++;
    }
    void reset(order &object, handle_value<order>, bool was_reclaimed)
    {
        object.price = 0;
        reset_++;
        reclaimed += was_reclaimed;
    }
    int on_acquire(order &object, handle_value<order> value, bool)
    {
        if (refuse)
            throw std::runtime_error("not now");
        acquired++;
        return object.number != 100 || !value;
    }
    void on_release(order &, handle_value<order>)
    {
        released++;
    }
};

struct one_hook {
    int released = 0;

    void on_release(order &, handle_value<order>) noexcept
    {
        released++;
    }
};

TEST(hooks_run_as_members_of_any_class)
{
    counting_hooks hooks;
    one_hook single;
    pool<order> orders = pool<order>::create_local(1, hooks);

    orders.acquire()->price = 5.0;
    REQUIRE(hooks.initialized == 1 && hooks.reset_ == 0);
    REQUIRE(hooks.acquired == 1 && hooks.released == 1);
    REQUIRE(orders.acquire()->price == 0.0);
    REQUIRE(hooks.initialized == 1 && hooks.reset_ == 1 && hooks.reclaimed == 0);
    hooks.refuse = true;
    REQUIRE_ERROR(FASTALLOC_E_HOOK, "on_acquire", orders.acquire());
    REQUIRE(orders.is_empty() && hooks.released == 2);
    hooks.refuse = false;

    test::child dying([&](test::child &parent) {
        handle_value<order> value = orders.acquire().release();

        parent.put(value.number());
        parent.take();
    });
    dying.take();
    dying.kill();
    REQUIRE(orders.acquire_wait(10s)->number == 100);
    REQUIRE(hooks.reclaimed == 1);

    pool<order> others = pool<order>::create_local(1, single);
    (void)others.make();
    REQUIRE(single.released == 1);
}

TEST(hooks_of_each_process_run_in_it)
{
    client client = test::connected();
    counting_hooks mine;
    one_hook theirs;
    const char *name = test::fresh_name();
    pool<order> made = pool<order>::create(client, name, 10, mine);
    pool<order> opened = pool<order>::open(client, name, pool_config(), theirs);

    opened.free(made.acquire().release());
    REQUIRE(mine.acquired == 1 && mine.released == 0 && theirs.released == 1);
}

TEST(a_walk_shows_the_slots_in_use_until_told_to_stop)
{
    pool<order> orders = pool<order>::create_local(10);
    std::vector<handle<order>> all = orders.make_batch(5, 8, 0.0);
    std::set<fastalloc_handle> seen;
    int calls = 0;
    bool caught = false;

    REQUIRE(orders.walk([&](const fastalloc::slot<order> &slot) {
        REQUIRE(slot.object.number == 8 && slot.state == FASTALLOC_OWNED);
        REQUIRE(slot.session == orders.session());
        seen.insert(slot.handle.number());
    }));
    REQUIRE(seen.size() == 5 && seen.count(all[3].value().number()));
    REQUIRE(!orders.walk([&](const fastalloc::slot<order> &) { return ++calls < 3; }));
    REQUIRE(calls == 3);
    try {
        orders.walk([](const fastalloc::slot<order> &) { throw std::logic_error("enough"); });
    } catch (const std::logic_error &) {
        caught = true;
    }
    REQUIRE(caught);
    REQUIRE(pool<order>().try_walk([](fastalloc::slot<order>) {}).error() == FASTALLOC_E_INVALID);
}

TEST(a_pool_is_sealed_drained_grown_and_counted)
{
    pool_config config(10);

    config.max_capacity = 100;
    pool<order> orders = pool<order>::create_local(config);
    handle<order> one = orders.make();

    orders.seal();
    REQUIRE_ERROR(FASTALLOC_E_SEALED, "", orders.make());
    REQUIRE_ERROR(FASTALLOC_E_TIMEOUT, "", orders.drain(20ms));
    one.reset();
    orders.drain(10s);
    orders.unseal();
    REQUIRE(orders.make());

    orders.grow(50);
    REQUIRE(orders.capacity() == 50);
    REQUIRE(orders.shrink(20) == 20 && orders.available() == 20);
    REQUIRE_ERROR(FASTALLOC_E_MAX_CAPACITY, "100", orders.grow(101));

    fastalloc_stats stats = orders.statistics();
    REQUIRE(stats.total_allocations == 2 && stats.total_deallocations == 2);
    REQUIRE(stats.allocation_failures == 1 && stats.current_usage == 0);
    REQUIRE(orders.statistics(orders.session()).total_allocations == 2);
    REQUIRE(fastalloc::report(stats, FASTALLOC_REPORT_LINE).find("0/20") != std::string::npos);
    REQUIRE(fastalloc::report(stats).size() > 100);
    orders.reset_statistics();
    REQUIRE(orders.statistics().total_allocations == 0);
}

TEST(handles_are_passed_on_between_processes)
{
    client client = test::connected();
    const char *name = test::fresh_name();
    pool<order> orders = pool<order>::create(client, name, 100);
    test::child receiver([&](test::child &parent) {
        pool<order> theirs = pool<order>::open(test::connected(), name);

        parent.put(theirs.session());
        handle<order> given = theirs.adopt(handle_value<order>(parent.take()));
        REQUIRE(given->number == 1);
        handle<order> left = theirs.adopt(handle_value<order>(parent.take()));
        REQUIRE(left->number == 2);
        handle<order> adopted = theirs.adopt(handle_value<order>(parent.take()));
        REQUIRE(adopted->number == 3);
        handle<order> root = theirs.adopt(theirs.root());
        REQUIRE(root->number == 4);
        parent.put(0);
        parent.take();
    });
    std::uint32_t session = static_cast<std::uint32_t>(receiver.take());
    handle<order> given = orders.make(1, 0.0), left = orders.make(2, 0.0);
    handle<order> sent = orders.make(3, 0.0), root = orders.make(4, 0.0);

    REQUIRE_ERROR(FASTALLOC_E_SESSION, "9999", given.give(9999));
    REQUIRE_ERROR(FASTALLOC_E_INVALID, "FASTALLOC_DEADLINES", left.leave(1s));
    REQUIRE(given && left);
    receiver.put(given.give(session).number());
    receiver.put(left.leave().number());
    REQUIRE(!given && !left);
    orders.set_root(handle_value<order>(), root.value());
    REQUIRE_ERROR(FASTALLOC_E_CHANGED, "", orders.set_root(sent.value(), root.value()));
    receiver.put(sent.value().number());
    receiver.take();
    REQUIRE(orders.allocated() == 4);
    sent.reset(); // theirs by now
    root.reset();
    REQUIRE(orders.allocated() == 4);
    receiver.put(0);
    receiver.join();
    REQUIRE(test::becomes([&]() { return orders.is_empty(); }));
}

TEST(what_the_dead_had_comes_to_the_heir)
{
    client client = test::connected();
    const char *name = test::fresh_name();
    pool_config config(100);

    config.on_death = FASTALLOC_HEIR;
    pool<order> orders = pool<order>::create(client, name, config);
    orders.become_heir();
    test::child dying([&](test::child &parent) {
        pool<order> theirs = pool<order>::open(test::connected(), name);

        theirs.make(6, 0.0).release();
        parent.put(0);
        parent.take();
    });
    dying.take();
    REQUIRE(orders.try_inherited(10, 0s).error() == FASTALLOC_E_TIMEOUT);
    dying.kill();
    std::vector<handle<order>> estate = orders.inherited(10, 10s);
    REQUIRE(estate.size() == 1 && estate[0]->number == 6);
    estate.clear();
    REQUIRE(orders.is_empty());
}

TEST(a_pool_can_be_closed_while_somebody_waits_in_it)
{
    auto orders = std::make_unique<pool<order>>(pool<order>::create_local(1));
    handle<order> only = orders->make();
    std::thread waiter([pool = orders.get()]() {
        REQUIRE(pool->try_make_wait(fastalloc::deadline::forever()).error() == FASTALLOC_E_BUSY);
    });

    std::this_thread::sleep_for(50ms);
    only.release();
    orders.reset();
    waiter.join();
}

} // namespace
