// SPDX-License-Identifier: MIT
//
// fastalloc.hpp: objects that are made and owned.
#include "cpp.hpp"

#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <sys/wait.h>
#include <type_traits>
#include <unistd.h>
#include <unordered_set>
#include <utility>

namespace {

struct order {
    int number;
    double price;
};

// Counts what is alive, and refuses to be made of a negative number.
struct counted {
    static int alive;

    explicit counted(int given) : number(given)
    {
        if (given < 0)
            throw std::invalid_argument("negative");
        alive++;
    }
    ~counted()
    {
        alive--;
    }
    int number;
};
int counted::alive = 0;

} // namespace

// Only this process touches them.
template <> struct fastalloc::traits<counted> : fastalloc::default_traits<counted> {
    static constexpr bool portable = true;
};
template <> struct fastalloc::traits<std::string> : fastalloc::default_traits<std::string> {
    static constexpr bool portable = true;
};

namespace {

using fastalloc::handle;
using fastalloc::handle_value;
using fastalloc::pool;

static_assert(!std::is_copy_constructible_v<handle<order>>);
static_assert(!std::is_copy_assignable_v<handle<order>>);
static_assert(std::is_nothrow_move_constructible_v<handle<order>>);
static_assert(!std::is_copy_constructible_v<pool<order>>);
static_assert(std::is_nothrow_move_constructible_v<pool<order>>);
static_assert(std::is_trivially_copyable_v<handle_value<order>>);
static_assert(sizeof(handle_value<order>) == sizeof(fastalloc_handle));
static_assert(!std::is_convertible_v<handle_value<order>, handle_value<counted>>);
static_assert(!std::is_convertible_v<fastalloc_handle, handle_value<order>>);

TEST(a_handle_frees_its_slot_at_the_end_of_its_scope)
{
    pool<order> orders = pool<order>::create_local(10);

    {
        handle<order> first = orders.make(order{7, 2.5});

        REQUIRE(first && first != nullptr);
        REQUIRE(first->number == 7 && (*first).price == 2.5);
        REQUIRE(first.get() == &*first);
        REQUIRE(orders.allocated() == 1);
    }
    REQUIRE(orders.allocated() == 0 && orders.available() == 10);
}

TEST(aggregates_are_made_of_their_members_and_of_nothing_as_zero)
{
    pool<order> orders = pool<order>::create_local(1);

    REQUIRE(orders.make(7, 2.5)->price == 2.5);
    REQUIRE(orders.make()->number == 0);
    REQUIRE(orders.acquire()->number == 0);
}

TEST(what_is_empty_or_moved_from_does_nothing)
{
    pool<order> orders = pool<order>::create_local(10), none;
    handle<order> empty, first = orders.make(), second = std::move(first);

    REQUIRE(!empty && !first && second);
    REQUIRE(first == empty && empty == nullptr && nullptr == first);
    REQUIRE(empty.get() == nullptr && first.get() == nullptr);
    REQUIRE(empty.text() == "none" && empty.index() == 0 && !empty.value());
    REQUIRE(!empty.release() && !first.release());
    empty.reset();
    first.reset();
    swap(empty, first);
    REQUIRE(empty.try_give(1).error() == FASTALLOC_E_INVALID);
    REQUIRE(first.try_leave().error() == FASTALLOC_E_INVALID);
    REQUIRE(orders.allocated() == 1);

    handle<order> &self = second;
    second = std::move(self);
    REQUIRE(second && orders.allocated() == 1);
    second = std::move(first);
    REQUIRE(!second && orders.allocated() == 0);

    REQUIRE(!none && none.get(handle_value<order>(77)) == nullptr);
    REQUIRE(none.try_make().error() == FASTALLOC_E_INVALID);
    REQUIRE(none.try_acquire().error() == FASTALLOC_E_INVALID);
    REQUIRE(none.try_make_wait(std::chrono::seconds(1)).error() == FASTALLOC_E_INVALID);
    REQUIRE(none.try_make_batch(2).error() == FASTALLOC_E_INVALID);
    REQUIRE(none.try_adopt(handle_value<order>(77)).error() == FASTALLOC_E_INVALID);
    REQUIRE(none.try_free(handle_value<order>(77)).error() == FASTALLOC_E_INVALID);
    REQUIRE(none.capacity() == 0 && none.session() == 0 && !none.root());
    REQUIRE(none.info().object_size == 0 && none.try_close());
}

TEST(assigning_a_handle_frees_what_it_had)
{
    pool<order> orders = pool<order>::create_local(2);
    handle<order> first = orders.make(1, 0.0), second = orders.make(2, 0.0);
    handle_value<order> gone = first.value();

    first = std::move(second);
    REQUIRE(first->number == 2 && !second && orders.allocated() == 1);
    REQUIRE(orders.get(gone) == nullptr);
    first = nullptr;
    REQUIRE(orders.is_empty());
}

TEST(a_released_handle_is_adopted_again_or_freed_by_value)
{
    pool<order> orders = pool<order>::create_local(2);
    handle_value<order> value = orders.make(5, 0.0).release();

    REQUIRE(orders.allocated() == 1 && orders.get(value)->number == 5);
    {
        handle<order> again = orders.adopt(value);

        REQUIRE(again->number == 5 && again.value() == value);
    }
    REQUIRE_ERROR(FASTALLOC_E_STALE, "stale", orders.adopt(value));
    value = orders.make().release();
    orders.free(value);
    REQUIRE_ERROR(FASTALLOC_E_DOUBLE_FREE, "free", orders.free(value));
    REQUIRE(orders.try_free(handle_value<order>(~UINT64_C(0))).error() == FASTALLOC_E_HANDLE);
}

TEST(handles_are_compared_hashed_numbered_and_printed)
{
    pool<order> orders = pool<order>::create_local(10), others = pool<order>::create_local(10);
    handle<order> first = orders.make(), second = orders.make(), other = others.make();
    std::unordered_set<handle_value<order>> values = {first.value(), second.value()};
    std::unordered_set<handle<order>> owners;
    std::map<handle<order>, int> ordered;

    REQUIRE(first == first && first != second && first != other && first.value() != second.value());
    REQUIRE((first < second) != (second < first) && (first < other) != (other < first));
    REQUIRE(values.count(first.value()) == 1 && values.size() == 2);
    REQUIRE(first.index() != second.index() && first.index() < 10);
    REQUIRE(first.index() == orders.index(first.value()));
    REQUIRE(first.text() == orders.text(first.value()) && first.text() != second.text());
    REQUIRE(first.text().find(std::to_string(first.index()) + "@") == 0);
    REQUIRE(orders.value_of(&*first) == first.value());
    REQUIRE(orders.try_value_of(&*other).error() == FASTALLOC_E_HANDLE);
    owners.insert(std::move(first));
    ordered.emplace(std::move(second), 2);
    REQUIRE(orders.allocated() == 2);
    owners.clear();
    ordered.clear();
    REQUIRE(orders.is_empty());
}

TEST(destructors_run_once)
{
    pool<counted> pool = fastalloc::pool<counted>::create_local(10);

    {
        handle<counted> first = pool.make(1), second = std::move(first);

        REQUIRE(counted::alive == 1 && second->number == 1);
    }
    REQUIRE(counted::alive == 0);
    pool.make(2).reset();
    REQUIRE(counted::alive == 0);
    pool.free(pool.make(3).release());
    REQUIRE(counted::alive == 0 && pool.is_empty());
}

TEST(a_slot_goes_back_when_the_constructor_throws)
{
    pool<counted> pool = fastalloc::pool<counted>::create_local(5);
    int caught = 0;

    for (int i = 0; i < 20; i++)
        try {
            (void)pool.make(-1);
        } catch (const std::invalid_argument &) {
            caught++;
        }
    try {
        pool.make_batch(3, -1);
    } catch (const std::invalid_argument &) {
        caught++;
    }
    REQUIRE(caught == 21 && counted::alive == 0 && pool.is_empty());
}

TEST(objects_may_own_memory_in_a_pool_of_one_process)
{
    pool<std::string> strings = pool<std::string>::create_local(100);
    handle<std::string> text = strings.make(std::size_t(1000), 'x');

    REQUIRE(text->size() == 1000);
    REQUIRE(strings.make("short")->size() == 5);
}

TEST(what_somebody_else_freed_is_left_alone)
{
    pool<counted> pool = fastalloc::pool<counted>::create_local(1);
    handle<counted> first = pool.make(1);

    REQUIRE(fastalloc_free(pool.native(), first.value().number()) == 0);
    REQUIRE(first && first.get() == nullptr);
    handle<counted> second = pool.make(2);
    REQUIRE(&*first == &*second); // the slot there is
    first.reset();
    REQUIRE(counted::alive == 2 && second.get()->number == 2);
}

TEST(handles_that_a_forked_child_inherits_are_its_parents)
{
    pool<order> orders = pool<order>::create_local(1000);
    handle<order> mine = orders.make(1, 0.0);
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        handle<order> own = orders.make(2, 0.0);

        REQUIRE(own.get() && mine.get()->number == 1);
        mine.reset();
        own.reset();
        REQUIRE(orders.allocated() == 1);
        _exit(0);
    }
    REQUIRE(waitpid(pid, &status, 0) == pid && status == 0);
    REQUIRE(mine.get() && mine->number == 1);

    // Also where it does nothing else.
    pid = fork();
    if (pid == 0) {
        mine.reset();
        _exit(0);
    }
    REQUIRE(waitpid(pid, &status, 0) == pid && status == 0);
    REQUIRE(mine.get());
}

} // namespace
