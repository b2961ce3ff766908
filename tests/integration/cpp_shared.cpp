// SPDX-License-Identifier: MIT
//
// fastalloc.hpp: objects that several hold, and that some only remember.
#include "cpp.hpp"

#include <thread>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

namespace {

using fastalloc::client;
using fastalloc::handle;
using fastalloc::handle_value;
using fastalloc::pool;
using fastalloc::pool_config;
using fastalloc::shared_handle;
using fastalloc::weak_handle;

struct page {
    int number;
};

static_assert(std::is_copy_constructible_v<shared_handle<page>>);
static_assert(std::is_nothrow_move_constructible_v<shared_handle<page>>);
static_assert(std::is_convertible_v<shared_handle<page>, weak_handle<page>>);
static_assert(!std::is_convertible_v<shared_handle<page>, handle<page>>);

pool_config shared_config(std::size_t slots)
{
    pool_config config(slots);

    config.features = FASTALLOC_SHARING;
    return config;
}

TEST(the_last_shared_handle_frees)
{
    pool<page> pages = pool<page>::create_local(shared_config(10));
    handle<page> owner = pages.make(7);
    weak_handle<page> early(pages.native(), owner.value());

    REQUIRE(!early.lock() && early.try_lock().error() == FASTALLOC_E_SHARING);
    shared_handle<page> first = owner.share();
    REQUIRE(!owner && first && first->number == 7 && first.get() == &*first);
    {
        shared_handle<page> second = first, third;

        third = second;
        REQUIRE(second == first && third == first && !(third < first));
        first.reset();
        REQUIRE(!first && pages.allocated() == 1 && third->number == 7);
        second = shared_handle<page>();
        REQUIRE(pages.allocated() == 1);
        third = static_cast<const shared_handle<page> &>(third);
        REQUIRE(third.get());
    }
    REQUIRE(pages.is_empty());
}

TEST(a_weak_handle_locks_while_somebody_holds)
{
    pool<page> pages = pool<page>::create_local(shared_config(10));
    shared_handle<page> held = pages.make(7).share();
    weak_handle<page> weak = held, copy = weak, empty;
    std::unordered_set<weak_handle<page>> seen = {weak, copy};

    REQUIRE(seen.size() == 1 && !weak.expired() && weak == held.weak());
    {
        shared_handle<page> locked = weak.lock();

        REQUIRE(locked == held && locked->number == 7);
        held.reset();
        REQUIRE(!weak.expired() && copy.lock());
    }
    REQUIRE(weak.expired() && !weak.lock() && weak.try_lock().error() == FASTALLOC_E_STALE);
    REQUIRE(empty.expired() && !empty.lock());
    REQUIRE(empty.try_lock().error() == FASTALLOC_E_INVALID);
    REQUIRE_ERROR(FASTALLOC_E_STALE, "", pages.ref(weak.value()));
    REQUIRE(pages.is_empty());
}

TEST(handles_are_equal_in_one_pool_only)
{
    pool<page> pages = pool<page>::create_local(1), others = pool<page>::create_local(1);
    handle_value<page> value = pages.make().release();

    REQUIRE(pages.weak(value) == pages.weak(value));
    REQUIRE(pages.weak(value) != others.weak(value));
    REQUIRE((pages.weak(value) < others.weak(value)) != (others.weak(value) < pages.weak(value)));
}

TEST(empty_shared_handles_do_nothing)
{
    pool<page> pages = pool<page>::create_local(shared_config(10));
    shared_handle<page> empty, copied = empty, held = pages.make().share();
    shared_handle<page> moved = std::move(held), again = held;

    REQUIRE(!empty && !copied && !held && !again && moved);
    REQUIRE(copied == nullptr && empty.get() == nullptr && empty.text() == "none");
    empty.reset();
    held.reset();
    swap(empty, held);
    shared_handle<page> &self = moved;
    moved = std::move(self);
    REQUIRE(moved && pages.allocated() == 1);
    moved = empty;
    REQUIRE(pages.is_empty());
}

TEST(a_pool_without_sharing_says_so_and_keeps_the_owner)
{
    pool<page> pages = pool<page>::create_local(10);
    handle<page> owner = pages.make(3);

    REQUIRE_ERROR(FASTALLOC_E_SHARING, "FASTALLOC_SHARING", owner.share());
    REQUIRE(owner && owner->number == 3 && handle<page>().try_share().error() < 0);
}

TEST(processes_share_and_the_last_of_them_frees)
{
    client client = test::connected();
    const char *name = test::fresh_name();
    pool<page> pages = pool<page>::create(client, name, shared_config(10));
    shared_handle<page> mine = pages.make(7).share();
    test::child other([&](test::child &parent) {
        pool<page> theirs = pool<page>::open(test::connected(), name);
        shared_handle<page> held = theirs.ref(handle_value<page>(parent.take()));

        REQUIRE(held->number == 7);
        parent.put(0);
        parent.take();
        REQUIRE(held.get() && held->number == 7);
        held.reset();
        REQUIRE(theirs.is_empty());
    });

    other.put(mine.value().number());
    other.take();
    mine.reset();
    REQUIRE(pages.allocated() == 1);
    other.put(0);
    other.join();
    REQUIRE(pages.is_empty());
}

TEST(references_that_a_forked_child_inherits_are_its_parents)
{
    pool<page> pages = pool<page>::create_local(shared_config(10));
    shared_handle<page> held = pages.make(7).share();
    test::child other([&](test::child &parent) {
        shared_handle<page> own = held; // the child's own

        held.reset(); // is not
        parent.put(0);
        parent.take();
        REQUIRE(own.get() && own->number == 7);
        held = own;
        own.reset();
        REQUIRE(held.get());
        held.reset();
        REQUIRE(pages.is_empty());
    });

    other.take();
    REQUIRE(held.get() && held->number == 7);
    held.reset();
    REQUIRE(pages.allocated() == 1);
    other.put(0);
    other.join();
    REQUIRE(pages.is_empty());
}

TEST(threads_copy_and_drop_one_reference)
{
    pool<page> pages = pool<page>::create_local(shared_config(300));
    shared_handle<page> held = pages.make(1).share();
    std::vector<std::thread> threads;

    for (int i = 0; i < 4; i++)
        threads.emplace_back([&pages, copy = held]() {
            for (int j = 0; j < 2000; j++) {
                shared_handle<page> more = copy, locked = copy.weak().lock();
                handle<page> other = pages.make(j);

                REQUIRE(more->number == 1 && locked == copy && other->number == j);
            }
        });
    for (std::thread &thread : threads)
        thread.join();
    threads.clear();
    REQUIRE(pages.allocated() == 1);
    held.reset();
    REQUIRE(pages.is_empty());
}

} // namespace
