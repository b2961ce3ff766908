/* SPDX-License-Identifier: MIT
 *
 * What is asked of a pool in passing: single figures, what a handle says, and the walk over the
 * slots in somebody's hands.
 */
#include "both.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define pool both_pool
#define SLOTS 2000
#define SMALL 40 /* slots of a pool without caches */

static fastalloc_handle held[SLOTS];

static void begin(int kind, size_t slots)
{
    fastalloc_pool_config config = api_config("operated on", 64, slots);

    config.max_sessions = 16;
    both_begin(kind, &config);
}

static fastalloc_pool_config config_of_orders(void)
{
    fastalloc_pool_config config = api_config("orders", 32, SLOTS);

    config.type_name = "struct order";
    config.type_version = 3;
    return config;
}

/* ---------------------------------------------------------------- figures */

static void require_figures(size_t capacity, size_t allocated)
{
    ck_assert_uint_eq(fastalloc_pool_capacity(pool), capacity);
    ck_assert_uint_eq(fastalloc_pool_allocated(pool), allocated);
    ck_assert_uint_eq(fastalloc_pool_available(pool), capacity - allocated);
    ck_assert_int_eq(fastalloc_pool_is_full(pool), allocated == capacity);
    ck_assert_int_eq(fastalloc_pool_is_empty(pool), allocated == 0);
}

static void follow_allocations(size_t slots)
{
    size_t i;

    require_figures(slots, 0);
    for (i = 0; i < slots; i++) {
        held[i] = api_alloc(pool);
        if (i < 3 || i + 3 >= slots)
            require_figures(slots, i + 1);
    }
    require_ok(fastalloc_free(pool, held[5]));
    require_figures(slots, slots - 1);
    held[5] = api_alloc(pool);
    api_free_all(pool, held, slots);
    require_figures(slots, 0);
    ck_assert_int_eq(fastalloc_pool_can_grow(pool), 0);
}

START_TEST(figures_follow_what_is_allocated)
{
    begin(_i, SLOTS);
    follow_allocations(SLOTS);
    both_end(_i);
}
END_TEST

START_TEST(figures_follow_what_is_allocated_without_caches)
{
    begin(_i, SMALL);
    follow_allocations(SMALL);
    both_end(_i);
}
END_TEST

START_TEST(a_pool_can_grow_until_it_has_grown_to_its_maximum)
{
    fastalloc_pool_config config = api_config("growing", 64, 300);

    config.max_capacity = 400;
    config.growth = FASTALLOC_GROWTH_LINEAR;
    config.growth_amount = 100;
    both_begin(_i, &config);
    ck_assert_uint_eq(api_fill(pool, held, 300), 300);
    ck_assert_int_eq(fastalloc_pool_is_full(pool), 1);
    ck_assert_int_eq(fastalloc_pool_can_grow(pool), 1);
    held[300] = api_alloc(pool);
    require_figures(400, 301);
    ck_assert_int_eq(fastalloc_pool_can_grow(pool), 0);
    api_free_all(pool, held, 301);
    both_end(_i);
}
END_TEST

START_TEST(a_pool_with_room_but_no_strategy_cannot_grow)
{
    fastalloc_pool_config config = api_config("roomy", 64, 300);

    config.max_capacity = 400;
    both_begin(_i, &config);
    ck_assert_int_eq(fastalloc_pool_can_grow(pool), 0);
    require_ok(fastalloc_pool_grow(pool, 350));
    require_figures(350, 0);
    both_end(_i);
}
END_TEST

static void look_at_figures(int channel, void *argument)
{
    (void)argument;
    /* The first call of each child is another of them. */
    switch (channel_take(channel)) {
    case 0:
        child_require(fastalloc_pool_capacity(pool) == SLOTS);
        break;
    case 1:
        child_require(fastalloc_pool_allocated(pool) == 10);
        break;
    case 2:
        child_require(fastalloc_pool_available(pool) == SLOTS - 10);
        break;
    case 3:
        child_require(!fastalloc_pool_is_full(pool));
        break;
    case 4:
        child_require(!fastalloc_pool_is_empty(pool));
        break;
    default:
        child_require(!fastalloc_pool_can_grow(pool));
        break;
    }
    child_require(fastalloc_pool_allocated(pool) == 10);
    child_require(fastalloc_pool_session(pool) != 1);
}

START_TEST(a_forked_child_asks_through_an_attachment_of_its_own)
{
    struct child child;
    uint64_t which;

    begin(_i, SLOTS);
    ck_assert_uint_eq(fastalloc_pool_session(pool), 1);
    api_fill(pool, held, 10);
    for (which = 0; which < 6; which++) {
        child_start(&child, look_at_figures, NULL);
        channel_put(child.channel, which);
        child_join(&child);
    }
    api_free_all(pool, held, 10);
    both_end(_i);
}
END_TEST

START_TEST(no_pool_has_no_figures)
{
    ck_assert_uint_eq(fastalloc_pool_capacity(NULL), 0);
    ck_assert_uint_eq(fastalloc_pool_allocated(NULL), 0);
    ck_assert_uint_eq(fastalloc_pool_available(NULL), 0);
    ck_assert_int_eq(fastalloc_pool_is_full(NULL), 0);
    ck_assert_int_eq(fastalloc_pool_is_empty(NULL), 0);
    ck_assert_int_eq(fastalloc_pool_can_grow(NULL), 0);
}
END_TEST

/* ---------------------------------------------------------------- handles */

START_TEST(a_handle_tells_its_slot_and_reads_as_text)
{
    char text[FASTALLOC_HANDLE_TEXT], again[FASTALLOC_HANDLE_TEXT];
    fastalloc_handle first, second;
    size_t index;
    char *object;
    char *end;

    begin(_i, SLOTS);
    first = api_alloc(pool);
    index = fastalloc_handle_index(pool, first);
    ck_assert_uint_lt(index, SLOTS);
    object = fastalloc_get(pool, first);
    ck_assert_ptr_eq(fastalloc_handle_text(pool, first, text), text);
    ck_assert_uint_eq(strtoull(text, &end, 10), index);
    ck_assert_int_eq(*end, '@');
    ck_assert_uint_ne(strtoull(end + 1, &end, 16), 0);
    ck_assert_int_eq(*end, '\0');

    /* The same slot, the next generation: another handle, another text, the same index. */
    require_ok(fastalloc_free(pool, first));
    second = api_alloc(pool);
    ck_assert_ptr_eq(fastalloc_get(pool, second), object);
    ck_assert_uint_ne(second, first);
    ck_assert_uint_eq(fastalloc_handle_index(pool, second), index);
    ck_assert_str_ne(fastalloc_handle_text(pool, second, again), text);
    ck_assert_uint_eq(strtoull(strchr(again, '@') + 1, NULL, 16),
                      strtoull(strchr(text, '@') + 1, NULL, 16) + 1);
    require_ok(fastalloc_free(pool, second));

    ck_assert_str_eq(fastalloc_handle_text(pool, FASTALLOC_NONE, text), "none");
    ck_assert_str_eq(fastalloc_handle_text(NULL, first, text), "none");
    /* The longest there is. */
    fastalloc_handle_text(pool, UINT64_MAX, text);
    ck_assert_uint_lt(strlen(text), FASTALLOC_HANDLE_TEXT);
    both_end(_i);
}
END_TEST

/* ------------------------------------------------------------------ typed */

struct order {
    uint64_t number;
    char who[24];
};
FASTALLOC_DEFINE_POOL(orders, struct order);
FASTALLOC_DEFINE_POOL(numbers, uint64_t);

START_TEST(typed_handles_are_compared_indexed_printed_and_batched)
{
    char text[FASTALLOC_HANDLE_TEXT], plain[FASTALLOC_HANDLE_TEXT];
    fastalloc_pool_config config = config_of_orders();
    struct order *objects[3];
    orders_handle handles[3], found, none = {0};
    size_t freed = 0;
    orders_pool face;

    both_begin(_i, &config);
    face.pool = pool;
    require_ok(orders_alloc_batch(face, 3, handles, objects));
    objects[2]->number = 41;
    ck_assert_ptr_eq(orders_get(face, handles[2]), objects[2]);
    ck_assert_int_eq(orders_equal(handles[0], handles[0]), 1);
    ck_assert_int_eq(orders_equal(handles[0], handles[1]), 0);
    ck_assert_int_eq(orders_is_none(handles[0]), 0);
    ck_assert_int_eq(orders_is_none(none), 1);
    ck_assert_int_eq(orders_equal(orders_none(), none), 1);
    ck_assert_uint_eq(orders_index(face, handles[1]),
                      fastalloc_handle_index(pool, handles[1].value));
    ck_assert_str_eq(orders_text(face, handles[1], text),
                     fastalloc_handle_text(pool, handles[1].value, plain));
    ck_assert_str_eq(orders_text(face, none, text), "none");
    require_ok(orders_handle_of(face, objects[2], &found));
    ck_assert_int_eq(orders_equal(found, handles[2]), 1);
    ck_assert_int_eq(orders_is_mine(face, found), 1);
    ck_assert_int_eq(orders_is_none(orders_root(face)), 1);
    require_ok(orders_set_root(face, none, found));
    ck_assert_int_eq(orders_equal(orders_root(face), found), 1);
    require_ok(orders_free_batch(face, 3, handles, &freed));
    ck_assert_uint_eq(freed, 3);
    ck_assert_int_eq(orders_is_mine(face, found), 0);
    require_ok(orders_alloc_batch(face, 0, NULL, NULL));
    require_ok(orders_free_batch(face, 0, NULL, NULL));
    require_ok(orders_alloc_batch(face, 2, handles, NULL));
    require_ok(orders_free_batch(face, 2, handles, NULL));
    both_end(_i);
}
END_TEST

START_TEST(a_handle_of_another_pool_of_the_same_face_is_refused)
{
    fastalloc_pool_config config = config_of_orders();
    orders_handle foreign;
    orders_pool face, other;

    both_begin(_i, &config);
    face.pool = pool;
    require_ok(orders_create_local(&config, &other));
    require_ok(orders_alloc(other, &foreign, NULL));
    ck_assert_ptr_null(orders_get(face, foreign));
    require_failure(orders_free(face, foreign), FASTALLOC_E_HANDLE, "orders");
    require_failure(orders_adopt(face, foreign), FASTALLOC_E_HANDLE, "adopt");
    ck_assert_int_eq(orders_is_mine(face, foreign), 0);
    require_ok(orders_free(other, foreign));
    require_ok(orders_close(&other));
    both_end(_i);
}
END_TEST

START_TEST(a_pool_opens_only_as_the_face_that_made_it)
{
    fastalloc_pool_config config = config_of_orders(), expected;
    fastalloc_pool *nothing = NULL;
    orders_pool face;
    numbers_pool wrong = {NULL};

    both_begin(BOTH_DAEMON, &config);
    require_failure(numbers_open(both_client, "orders", &wrong), FASTALLOC_E_TYPE, "struct order",
                    "uint64_t");
    ck_assert_ptr_null(wrong.pool);
    fastalloc_pool_config_init(&expected);
    expected.type_version = 3;
    require_ok(orders_open_with(both_client, "orders", &expected, &face));
    require_ok(orders_close(&face));
    expected.type_version = 4;
    require_failure(orders_open_with(both_client, "orders", &expected, &face),
                    FASTALLOC_E_TYPE_VERSION, "version 3", "4");
    /* The name of the type may be right, and what it stands for another. */
    fastalloc_pool_config_init(&expected);
    expected.type_name = "struct order";
    expected.object_size = sizeof(struct order) + 8;
    require_failure(fastalloc_pool_open(both_client, "orders", &expected, &nothing),
                    FASTALLOC_E_TYPE_SIZE, "32", "40");
    ck_assert_ptr_null(nothing);
    both_end(BOTH_DAEMON);
}
END_TEST

/* ------------------------------------------------------------------- walk */

struct seen {
    fastalloc_slot slots[SLOTS];
    size_t count;
};

static struct seen seen;

static int note(const fastalloc_slot *slot, void *argument)
{
    struct seen *into = argument;

    ck_assert_uint_lt(into->count, SLOTS);
    into->slots[into->count++] = *slot;
    return 0;
}

/* The visit of a handle; fails unless it was met once. */
static const fastalloc_slot *visit_of(fastalloc_handle handle)
{
    const fastalloc_slot *found = NULL;
    size_t i;

    for (i = 0; i < seen.count; i++)
        if (seen.slots[i].handle == handle) {
            ck_assert_ptr_null(found);
            found = &seen.slots[i];
        }
    ck_assert_ptr_nonnull(found);
    ck_assert_ptr_eq(found->object, fastalloc_get(pool, handle));
    return found;
}

static void walk(void)
{
    seen.count = 0;
    require_ok(fastalloc_pool_walk(pool, note, &seen));
}

static void require_visit(fastalloc_handle handle, uint32_t state, uint32_t session, pid_t pid)
{
    const fastalloc_slot *slot = visit_of(handle);

    ck_assert_uint_eq(slot->state, state);
    ck_assert_uint_eq(slot->session, session);
    ck_assert_uint_eq(slot->pid, (uint32_t)pid);
}

START_TEST(an_empty_pool_has_nothing_to_visit)
{
    begin(_i, SLOTS);
    walk();
    ck_assert_uint_eq(seen.count, 0);
    api_fill(pool, held, 300);
    api_free_all(pool, held, 300);
    walk();
    ck_assert_uint_eq(seen.count, 0);
    both_end(_i);
}
END_TEST

static void visit_all(size_t slots)
{
    size_t i;

    for (i = 0; i < slots; i++)
        held[i] = api_alloc(pool);
    for (i = 0; i < slots; i += 3)
        require_ok(fastalloc_free(pool, held[i]));
    walk();
    ck_assert_uint_eq(seen.count, slots - (slots + 2) / 3);
    for (i = 0; i < slots; i++)
        if (i % 3) {
            require_visit(held[i], FASTALLOC_OWNED, fastalloc_pool_session(pool), getpid());
            require_ok(fastalloc_free(pool, held[i]));
        }
    for (i = 1; i < seen.count; i++)
        ck_assert_uint_lt(fastalloc_handle_index(pool, seen.slots[i - 1].handle),
                          fastalloc_handle_index(pool, seen.slots[i].handle));
}

START_TEST(each_allocated_slot_is_visited_once_in_order)
{
    begin(_i, SLOTS);
    visit_all(SLOTS);
    both_end(_i);
}
END_TEST

START_TEST(each_allocated_slot_is_visited_once_in_a_pool_without_caches)
{
    begin(_i, SMALL);
    visit_all(SMALL);
    both_end(_i);
}
END_TEST

static void hold_one(int channel, void *argument)
{
    (void)argument;
    channel_put(channel, api_alloc(pool));
    channel_put(channel, fastalloc_pool_session(pool));
    channel_take(channel);
}

START_TEST(a_visit_tells_whose_the_slot_is)
{
    fastalloc_pool_config config = api_config("all kinds", 64, SLOTS);
    fastalloc_handle own, left, shared, others, kept;
    struct child living, mortal;
    uint32_t session;

    config.max_sessions = 16;
    config.features = FASTALLOC_SHARING;
    config.on_death = FASTALLOC_QUARANTINE;
    both_begin(_i, &config);
    own = api_alloc(pool);
    left = api_alloc(pool);
    require_ok(fastalloc_leave(pool, left, FASTALLOC_FOREVER));
    shared = api_alloc(pool);
    require_ok(fastalloc_share(pool, shared));
    child_start(&living, hold_one, NULL);
    others = channel_take(living.channel);
    session = (uint32_t)channel_take(living.channel);
    child_start(&mortal, hold_one, NULL);
    kept = channel_take(mortal.channel);
    channel_take(mortal.channel);
    child_kill(&mortal);
    /* The local pool's dead are swept by whoever needs a slot. */
    do {
        api_sleep_ms(5);
        if (_i == BOTH_LOCAL)
            fastalloc_pool_seal(pool), fastalloc_pool_drain(pool, 0), fastalloc_pool_unseal(pool);
        walk();
    } while (visit_of(kept)->state == FASTALLOC_OWNED);

    ck_assert_uint_eq(seen.count, 5);
    require_visit(own, FASTALLOC_OWNED, fastalloc_pool_session(pool), getpid());
    require_visit(left, FASTALLOC_LEFT, 0, 0);
    require_visit(shared, FASTALLOC_SHARED, 0, 0);
    require_visit(others, FASTALLOC_OWNED, session, living.pid);
    require_visit(kept, FASTALLOC_QUARANTINED, 0, 0);

    channel_put(living.channel, 0);
    child_join(&living);
    require_ok(fastalloc_free(pool, own));
    require_ok(fastalloc_free(pool, left));
    require_ok(fastalloc_unref(pool, shared));
    both_end(_i);
}
END_TEST

static int stop_at_third(const fastalloc_slot *slot, void *argument)
{
    size_t *count = argument;

    (void)slot;
    return ++*count == 3 ? 7 : 0;
}

START_TEST(a_walk_ends_when_the_visitor_says_so)
{
    size_t count = 0;

    begin(_i, SLOTS);
    api_fill(pool, held, 10);
    ck_assert_int_eq(fastalloc_pool_walk(pool, stop_at_third, &count), 7);
    ck_assert_uint_eq(count, 3);
    api_free_all(pool, held, 10);
    both_end(_i);
}
END_TEST

static int free_it(const fastalloc_slot *slot, void *argument)
{
    size_t *count = argument;

    ++*count;
    return fastalloc_free(pool, slot->handle);
}

START_TEST(a_visitor_may_free_what_it_visits)
{
    size_t count = 0;

    begin(_i, SLOTS);
    api_fill(pool, held, 1000);
    require_ok(fastalloc_pool_walk(pool, free_it, &count));
    ck_assert_uint_eq(count, 1000);
    api_require_whole(pool);
    both_end(_i);
}
END_TEST

static int alloc_another(const fastalloc_slot *slot, void *argument)
{
    size_t *count = argument;
    int error = fastalloc_alloc(pool, &held[*count], NULL);

    (void)slot;
    *count += error == 0;
    return error;
}

START_TEST(a_visitor_may_allocate)
{
    size_t count = 10;

    begin(_i, SLOTS);
    api_fill(pool, held, 10);
    /* It meets what it allocates ahead of itself, too. */
    require_ok(fastalloc_pool_walk(pool, alloc_another, &count));
    ck_assert_uint_ge(count, 20);
    ck_assert_uint_eq(fastalloc_pool_allocated(pool), count);
    api_free_all(pool, held, count);
    both_end(_i);
}
END_TEST

START_TEST(a_forked_child_walks_and_sees_its_parents_slots)
{
    struct child child;

    begin(_i, SLOTS);
    held[0] = api_alloc(pool);
    child_start(&child, hold_one, NULL);
    held[1] = channel_take(child.channel);
    walk();
    ck_assert_uint_eq(seen.count, 2);
    channel_put(child.channel, 0);
    child_join(&child);
    child.pid = fork();
    if (child.pid == 0) {
        size_t count = 0;

        child_require(fastalloc_pool_walk(pool, stop_at_third, &count) == 0);
        child_require(count == 1);
        _exit(0);
    }
    child.channel = dup(0);
    child_join(&child);
    require_ok(fastalloc_free(pool, held[0]));
    both_end(_i);
}
END_TEST

START_TEST(a_walk_needs_a_pool_and_a_visitor)
{
    begin(_i, SLOTS);
    require_failure(fastalloc_pool_walk(NULL, note, &seen), FASTALLOC_E_INVALID, "pool");
    require_failure(fastalloc_pool_walk(pool, NULL, &seen), FASTALLOC_E_INVALID, "visitor");
    both_end(_i);
}
END_TEST

/* ------------------------------------------------------- under concurrency */

#define CHURNERS 4
#define PROCESSES 2
#define HELD 200
#define CHURN_MS 700

static uint32_t stop;

/* Allocates and frees, keeping a few, at full speed. */
static void churn(unsigned seed, const uint32_t *until)
{
    fastalloc_handle mine[64] = {0};
    size_t at;

    while (!__atomic_load_n(until, __ATOMIC_RELAXED)) {
        at = (size_t)rand_r(&seed) % 64;
        if (mine[at] != FASTALLOC_NONE)
            require_ok(inlined_free(pool, mine[at]));
        mine[at] = FASTALLOC_NONE;
        if (rand_r(&seed) % 3)
            require_ok(inlined_alloc(pool, &mine[at], NULL));
    }
    for (at = 0; at < 64; at++)
        if (mine[at] != FASTALLOC_NONE)
            require_ok(fastalloc_free(pool, mine[at]));
}

static void *churn_thread(void *argument)
{
    churn((unsigned)(uintptr_t)argument, &stop);
    return NULL;
}

static void *await_end(void *argument)
{
    channel_take(*(int *)argument);
    __atomic_store_n(&stop, 1u, __ATOMIC_RELAXED);
    return NULL;
}

static void churn_process(int channel, void *argument)
{
    pthread_t thread;

    (void)argument;
    child_require(pthread_create(&thread, NULL, await_end, &channel) == 0);
    channel_put(channel, 1);
    churn((unsigned)getpid(), &stop);
    pthread_join(thread, NULL);
}

/* Every slot held throughout is met once, in order, among many that come and go. */
static void require_held_ones(void)
{
    static unsigned char times[SLOTS];
    size_t i;

    memset(times, 0, sizeof times);
    for (i = 0; i < seen.count; i++) {
        const fastalloc_slot *slot = &seen.slots[i];
        size_t index = fastalloc_handle_index(pool, slot->handle);

        ck_assert_uint_lt(index, SLOTS);
        if (i)
            ck_assert_uint_gt(index, fastalloc_handle_index(pool, seen.slots[i - 1].handle));
        ck_assert_uint_eq(slot->state, FASTALLOC_OWNED);
        ck_assert_uint_ne(slot->session, 0);
        times[index]++;
    }
    for (i = 0; i < HELD; i++)
        ck_assert_uint_eq(times[fastalloc_handle_index(pool, held[i])], 1);
}

START_TEST(a_slot_held_throughout_is_visited_once_while_others_come_and_go)
{
    int processes = api_may_fork_beside_threads() ? PROCESSES : 0, i;
    struct child children[PROCESSES];
    pthread_t threads[CHURNERS];
    size_t walks = 0;
    int64_t until;

    begin(_i, SLOTS);
    ck_assert_uint_eq(api_fill(pool, held, HELD), HELD);
    for (i = 0; i < processes; i++) {
        child_start(&children[i], churn_process, NULL);
        channel_take(children[i].channel);
    }
    stop = 0;
    for (i = 0; i < CHURNERS; i++)
        ck_assert_int_eq(
            pthread_create(&threads[i], NULL, churn_thread, (void *)(uintptr_t)(i + 1)), 0);
    for (until = api_now_us() + CHURN_MS * 1000; api_now_us() < until || walks < 20; walks++) {
        walk();
        require_held_ones();
    }
    __atomic_store_n(&stop, 1u, __ATOMIC_RELAXED);
    for (i = 0; i < CHURNERS; i++)
        pthread_join(threads[i], NULL);
    for (i = 0; i < processes; i++) {
        channel_put(children[i].channel, 0);
        child_join(&children[i]);
    }
    api_free_all(pool, held, HELD);
    if (_i == BOTH_DAEMON)
        ck_assert(api_sessions_become(pool, 1));
    api_require_whole(pool);
    both_end(_i);
}
END_TEST

int main(void)
{
    const TTest *const of_both[] = {
        figures_follow_what_is_allocated,
        figures_follow_what_is_allocated_without_caches,
        a_pool_can_grow_until_it_has_grown_to_its_maximum,
        a_pool_with_room_but_no_strategy_cannot_grow,
        a_forked_child_asks_through_an_attachment_of_its_own,
        a_handle_tells_its_slot_and_reads_as_text,
        typed_handles_are_compared_indexed_printed_and_batched,
        a_handle_of_another_pool_of_the_same_face_is_refused,
        an_empty_pool_has_nothing_to_visit,
        each_allocated_slot_is_visited_once_in_order,
        each_allocated_slot_is_visited_once_in_a_pool_without_caches,
        a_visit_tells_whose_the_slot_is,
        a_walk_ends_when_the_visitor_says_so,
        a_visitor_may_free_what_it_visits,
        a_visitor_may_allocate,
        a_forked_child_walks_and_sees_its_parents_slots,
        a_walk_needs_a_pool_and_a_visitor,
        a_slot_held_throughout_is_visited_once_while_others_come_and_go,
        NULL,
    };
    const TTest *const once[] = {no_pool_has_no_figures, a_pool_opens_only_as_the_face_that_made_it,
                                 NULL};

    return both_run("operations", of_both, once, 20);
}
