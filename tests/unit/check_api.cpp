// SPDX-License-Identifier: MIT
//
// The public functions as a C++17 program has them: inlined, typed, scope-bound.
// Compiled and run by api_cpp.sh.
#define FASTALLOC_INLINE
#include <fastalloc/fastalloc.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>

namespace {

struct alignas(32) order {
    double price[4];
    char who[40];
};

} // namespace

FASTALLOC_DEFINE_POOL(orders, order);
FASTALLOC_DEFINE_POOL(prices, double);

// Mixing two pools' handles, or pools, does not compile.
static_assert(!std::is_convertible<orders_handle, prices_handle>::value, "");
static_assert(!std::is_convertible<orders_pool, prices_pool>::value, "");
static_assert(!std::is_invocable<decltype(orders_free), orders_pool, prices_handle>::value, "");
static_assert(!std::is_invocable<decltype(orders_get), prices_pool, orders_handle>::value, "");
static_assert(std::is_same<decltype(orders_get(orders_pool(), orders_handle())), order *>::value,
              "");
static_assert(std::is_trivially_copyable<orders_handle>::value, "");
static_assert(sizeof(orders_handle) == sizeof(fastalloc_handle), "");

#define REQUIRE(condition)                                                                         \
    ((condition) ? (void)0 : fail(__LINE__, #condition))

static void fail(int line, const char *what)
{
    std::fprintf(stderr, "check_api.cpp:%d: %s does not hold; last error: %s\n", line, what,
                 fastalloc_last_error());
    std::exit(1);
}

static fastalloc_pool_config config_of(std::size_t capacity)
{
    fastalloc_pool_config config;

    fastalloc_pool_config_init(&config);
    config.capacity = capacity;
    return config;
}

static void typed_objects_are_made_and_freed()
{
    fastalloc_pool_config config = config_of(300);
    orders_handle handles[300];
    orders_pool pool;
    order *made = nullptr;

    REQUIRE(orders_create_local(&config, &pool) == 0);
    for (auto &handle : handles) {
        REQUIRE(orders_alloc(pool, &handle, &made) == 0);
        REQUIRE(reinterpret_cast<std::uintptr_t>(made) % alignof(order) == 0);
        made->price[3] = static_cast<double>(&handle - handles);
    }
    REQUIRE(orders_alloc(pool, &handles[0], &made) == FASTALLOC_E_EXHAUSTED);
    REQUIRE(std::strstr(fastalloc_last_error(), "300/300"));
    for (auto &handle : handles) {
        REQUIRE(orders_get(pool, handle)->price[3] == static_cast<double>(&handle - handles));
        REQUIRE(orders_adopt(pool, handle) == 0);
        REQUIRE(orders_free(pool, handle) == 0);
        REQUIRE(orders_get(pool, handle) == nullptr);
        REQUIRE(orders_free(pool, handle) == FASTALLOC_E_DOUBLE_FREE);
    }
    REQUIRE(orders_close(&pool) == 0);
}

static void typed_objects_are_shared_and_left()
{
    fastalloc_pool_config config = config_of(1);
    orders_handle handle;
    orders_pool pool;

    config.features = FASTALLOC_SHARING | FASTALLOC_DEADLINES;
    REQUIRE(orders_create_local(&config, &pool) == 0);
    REQUIRE(orders_alloc(pool, &handle, nullptr) == 0);
    REQUIRE(orders_ref(pool, handle) == FASTALLOC_E_SHARING);
    REQUIRE(orders_share(pool, handle) == 0);
    REQUIRE(orders_ref(pool, handle) == 0);
    REQUIRE(orders_free(pool, handle) == FASTALLOC_E_SHARING);
    REQUIRE(orders_unref(pool, handle) == 0 && orders_unref(pool, handle) == 0);
    REQUIRE(orders_ref(pool, handle) == FASTALLOC_E_STALE);
    REQUIRE(orders_alloc(pool, &handle, nullptr) == 0);
    REQUIRE(orders_leave(pool, handle, fastalloc_deadline(60000)) == 0);
    REQUIRE(orders_adopt(pool, handle) == 0 && orders_free(pool, handle) == 0);
    REQUIRE(orders_close(&pool) == 0);
}

static std::size_t allocated(fastalloc_pool *pool)
{
    fastalloc_pool_info info;

    info.struct_size = sizeof info;
    REQUIRE(fastalloc_pool_get_info(pool, &info) == 0);
    return info.allocated;
}

static void throw_with_a_box(fastalloc_pool *pool)
{
    FASTALLOC_AUTO fastalloc_owned box = fastalloc_own(pool);

    REQUIRE(box.object && allocated(pool) == 1);
    throw 1;
}

static void scope_bound_slots_go_back_when_something_is_thrown()
{
    fastalloc_pool_config config = config_of(10);
    fastalloc_pool *pool;
    bool caught = false;

    config.object_size = 8;
    REQUIRE(fastalloc_pool_create_local(&config, &pool) == 0);
    try {
        throw_with_a_box(pool);
    } catch (int) {
        caught = true;
    }
    REQUIRE(caught && allocated(pool) == 0);
    REQUIRE(fastalloc_pool_close(pool) == 0);
}

int main()
{
    typed_objects_are_made_and_freed();
    typed_objects_are_shared_and_left();
    scope_bound_slots_go_back_when_something_is_thrown();
}
