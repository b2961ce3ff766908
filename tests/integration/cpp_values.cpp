// SPDX-License-Identifier: MIT
//
// fastalloc.hpp where there are neither exceptions nor run-time type information: failures as
// values.  A program of its own, also compiled with -fno-exceptions -fno-rtti.
#include "cpp.hpp"

#include <chrono>
#include <memory_resource>
#include <vector>

namespace {

using fastalloc::handle;
using fastalloc::handle_value;
using fastalloc::pool;
using fastalloc::result;

struct order {
    int number;
    double price;
};

struct hooks {
    int released = 0;

    int on_acquire(order &object, handle_value<order>, bool)
    {
        return object.number == 13;
    }
    void on_release(order &, handle_value<order>)
    {
        released++;
    }
};

TEST(values_tell_of_failures)
{
    fastalloc::client client = test::connected();
    result<pool<order>> orders = pool<order>::try_create(client, test::fresh_name(), 2);

    REQUIRE(orders && orders.error() == 0);
    {
        result<handle<order>> first = orders->try_make(1, 0.5), second = orders->try_make();

        REQUIRE(first && second && (*first)->number == 1);
        REQUIRE(orders->try_make().error() == FASTALLOC_E_EXHAUSTED);
        REQUIRE(orders->try_make_wait(std::chrono::milliseconds(1)).error() == FASTALLOC_E_TIMEOUT);
        REQUIRE(orders->try_make_batch(1).error() == FASTALLOC_E_EXHAUSTED);
        handle<order> taken = orders->try_make().value_or(handle<order>());
        REQUIRE(!taken);
    }
    REQUIRE(orders->is_empty());
    REQUIRE(pool<order>::try_open(client, "nowhere").error() == FASTALLOC_E_NOT_FOUND);
    REQUIRE(client.try_destroy("nowhere").error() == FASTALLOC_E_NOT_FOUND);
    REQUIRE(client.try_destroy(test::fresh_name()));
    REQUIRE(orders->try_make().error() == FASTALLOC_E_DESTROYED);
}

TEST(values_go_with_hooks_walks_and_shares)
{
    fastalloc::pool_config config(10);
    hooks mine;
    int seen = 0;

    config.features = FASTALLOC_SHARING;
    result<pool<order>> orders = pool<order>::try_create_local(config, mine);
    REQUIRE(orders);
    {
        result<handle<order>> one = orders->try_make(5, 0.0);

        REQUIRE(one &&
                orders->try_walk([&](fastalloc::slot<order> slot) { seen += slot.object.number; }));
        REQUIRE(seen == 5);
        result<fastalloc::shared_handle<order>> shared = one->try_share();
        REQUIRE(shared && !*one);
        fastalloc::shared_handle<order> copy = *shared;
        REQUIRE(copy && copy.weak().lock());
    }
    REQUIRE(orders->is_empty() && mine.released == 1);
    result<handle<order>> unlucky = orders->try_acquire();
    REQUIRE(unlucky);
    (*unlucky)->number = 13;
    unlucky->reset();
    REQUIRE(orders->try_acquire().error() == FASTALLOC_E_HOOK || orders->allocated() == 0);
}

TEST(memory_resources_are_made_without_throwing)
{
    fastalloc::memory_resource memory;
    fastalloc::pool_config config(100);

    REQUIRE(memory.try_add(config).error() == FASTALLOC_E_SIZE);
    config.object_size = 64;
    REQUIRE(memory.try_add(config));
    {
        std::pmr::vector<int> numbers(10, 7, &memory);

        REQUIRE(memory[0].allocated() == 1 && numbers[9] == 7);
    }
    REQUIRE(memory[0].is_empty());
}

} // namespace
