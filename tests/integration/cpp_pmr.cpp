// SPDX-License-Identifier: MIT
//
// fastalloc.hpp: containers of the standard library in pools.
#include "cpp.hpp"

#include <map>
#include <memory>
#include <memory_resource>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace {

using fastalloc::memory_resource;
using fastalloc::pool_config;

// Counts what it is asked for, and what of that has not come back.
class counting_resource : public std::pmr::memory_resource {
public:
    int calls = 0, out = 0;

private:
    void *do_allocate(std::size_t bytes, std::size_t alignment) override
    {
        calls++;
        out++;
        return std::pmr::new_delete_resource()->allocate(bytes, alignment);
    }
    void do_deallocate(void *memory, std::size_t bytes, std::size_t alignment) override
    {
        out--;
        std::pmr::new_delete_resource()->deallocate(memory, bytes, alignment);
    }
    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
    {
        return this == &other;
    }
};

std::size_t in_use(memory_resource &memory)
{
    std::size_t sum = 0;

    for (std::size_t i = 0; i < memory.size(); i++)
        sum += memory[i].allocated();
    return sum;
}

TEST(containers_live_in_pools)
{
    counting_resource upstream;
    memory_resource memory({{64, 2000}, {32, 2000}, {256, 100}, {4096, 10}}, &upstream);

    REQUIRE(memory.size() == 4 && memory[0].info().object_size == 32);
    {
        std::pmr::map<int, std::pmr::string> map(&memory);
        std::pmr::unordered_map<int, int> hashed(&memory);
        std::pmr::vector<int> vector(&memory);
        std::pmr::string text(&memory);

        for (int i = 0; i < 500; i++) {
            map.emplace(i, std::string(std::size_t(i % 100), 'x'));
            vector.push_back(i);
            text += 'y';
            hashed[i] = i * 2;
        }
        for (int i = 0; i < 500; i += 2)
            map.erase(i);
        REQUIRE(map.size() == 250 && map.at(99).size() == 99 && vector[499] == 499);
        REQUIRE(hashed.at(7) == 14 && text.size() == 500);
        REQUIRE(in_use(memory) > 300);
    }
    REQUIRE(in_use(memory) == 0 && upstream.out == 0);
}

TEST(the_smallest_slot_that_fits_is_taken)
{
    counting_resource upstream;
    memory_resource memory({{256, 10}, {32, 10}, {64, 10, 64}, {64, 10}}, &upstream);
    struct {
        std::size_t bytes, alignment, pool;
    } const asked[] = {{1, 1, 0},   {0, 1, 0},   {32, 16, 0}, {33, 1, 1},  {64, 16, 1},
                       {64, 64, 2}, {16, 64, 2}, {65, 1, 3},  {256, 16, 3}};

    for (const auto &one : asked) {
        void *got = memory.allocate(one.bytes, one.alignment);

        REQUIRE(memory[one.pool].allocated() == 1 && in_use(memory) == 1);
        REQUIRE(reinterpret_cast<std::uintptr_t>(got) % one.alignment == 0);
        memory.deallocate(got, one.bytes, one.alignment);
        REQUIRE(in_use(memory) == 0);
    }
    REQUIRE(upstream.calls == 0);
    for (std::size_t alignment : {std::size_t(128), std::size_t(4096)}) {
        void *got = memory.allocate(16, alignment);

        REQUIRE(in_use(memory) == 0);
        memory.deallocate(got, 16, alignment);
    }
    memory.deallocate(memory.allocate(257), 257);
    REQUIRE(upstream.calls == 3 && upstream.out == 0);
}

TEST(what_no_pool_has_comes_from_upstream_and_goes_back_there)
{
    counting_resource upstream;
    memory_resource memory({{32, 3}}, &upstream), nowhere(std::pmr::null_memory_resource());
    std::vector<void *> all;
    bool thrown = false;

    REQUIRE(memory.upstream_resource() == &upstream);
    for (int i = 0; i < 8; i++)
        all.push_back(memory.allocate(32, 8));
    REQUIRE(memory[0].is_full() && upstream.out == 5);
    for (void *one : all)
        memory.deallocate(one, 32, 8);
    REQUIRE(memory[0].is_empty() && upstream.out == 0);
    try {
        (void)nowhere.allocate(1);
    } catch (const std::bad_alloc &) {
        thrown = true;
    }
    REQUIRE(thrown);
}

TEST(pool_memory_that_is_freed_twice_is_left_alone)
{
    counting_resource upstream;
    memory_resource memory({{32, 3}}, &upstream);
    void *first = memory.allocate(32, 8), *second = memory.allocate(32, 8);

    memory.deallocate(first, 32, 8);
    memory.deallocate(first, 32, 8);
    REQUIRE(memory[0].allocated() == 1 && upstream.calls == 0 && upstream.out == 0);
    memory.deallocate(second, 32, 8);
    REQUIRE(memory[0].is_empty());
}

TEST(resources_are_equal_to_themselves)
{
    memory_resource one({{32, 3}}), other({{32, 3}});

    REQUIRE(one == one && one != other && one.is_equal(one));
    REQUIRE(one != *std::pmr::new_delete_resource());
}

TEST(pools_that_grow_and_pools_of_a_daemon_serve_as_well)
{
    counting_resource upstream;
    fastalloc::client client = test::connected();
    memory_resource memory(&upstream);
    pool_config small(4), large(4);

    small.object_size = 32;
    small.growth = FASTALLOC_GROWTH_EXPONENTIAL;
    small.growth_factor = 2;
    small.max_capacity = 4096;
    large.object_size = 128;
    memory.add(client, test::fresh_name(), small);
    memory.add(large);
    REQUIRE(memory.try_add(pool_config(0)).error() < 0 && memory.size() == 2);
    client = fastalloc::client();
    {
        std::pmr::map<int, char> map(&memory);

        std::vector<void *> all;
        for (int i = 0; i < 1000; i++)
            all.push_back(memory.allocate(32, 8));
        REQUIRE(upstream.calls == 0 && memory[0].capacity() >= 1000);
        for (void *one : all)
            memory.deallocate(one, 32, 8);
        map[1] = 'x';
    }
    REQUIRE(in_use(memory) == 0);
}

TEST(threads_free_what_other_threads_allocated)
{
    memory_resource memory({{32, 1000}, {64, 1000}, {512, 1000}});
    std::vector<std::thread> threads;

    for (int i = 0; i < 4; i++)
        threads.emplace_back([&, i]() {
            for (int j = 0; j < 2000; j++) {
                std::pmr::string text(std::size_t(20 + (i + j) % 400), 'x', &memory);
                std::pmr::vector<int> numbers(std::size_t(j % 10), i, &memory);

                REQUIRE(text.back() == 'x' && (numbers.empty() || numbers.back() == i));
            }
        });
    for (std::thread &thread : threads)
        thread.join();
    REQUIRE(in_use(memory) == 0);

    auto produced = std::make_unique<std::pmr::map<int, int>>(&memory);
    std::thread producer([&]() {
        for (int i = 0; i < 500; i++)
            (*produced)[i] = i;
    });
    producer.join();
    REQUIRE(in_use(memory) == 500);
    std::thread([&]() { produced.reset(); }).join();
    REQUIRE(in_use(memory) == 0);
}

TEST(shared_pointers_within_one_process_live_in_pools)
{
    memory_resource memory({{64, 10}}, std::pmr::null_memory_resource());
    std::shared_ptr<std::pmr::vector<int>> shared = std::allocate_shared<std::pmr::vector<int>>(
        std::pmr::polymorphic_allocator<std::pmr::vector<int>>(&memory));

    shared->push_back(1);
    REQUIRE(memory[0].allocated() == 2);
    shared.reset();
    REQUIRE(memory[0].is_empty());
}

TEST(a_forked_child_frees_nothing_of_its_parents)
{
    memory_resource memory({{64, 100}});
    std::pmr::string text(50, 'x', &memory);
    test::child other([&](test::child &) {
        {
            std::pmr::string own(40, 'y', &memory);

            REQUIRE(own.size() == 40 && in_use(memory) == 2);
        }
        memory.deallocate(text.data(), text.capacity() + 1, 1);
        REQUIRE(in_use(memory) == 1);
    });

    other.join();
    REQUIRE(in_use(memory) == 1 && text.size() == 50);
}

} // namespace
