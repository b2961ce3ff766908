/* SPDX-License-Identifier: MIT
 *
 * check_spec: each bad input has its own code, and a text with the numbers.
 */
#include "tests/support/pool.h"

#include "shm/spec.h"

#include <string.h>

static struct reason why;

/* A name of `length` bytes is refused, and the text holds `words`. */
static void refuse_name(const char *bytes, size_t length, const char *words)
{
    why = (struct reason){0, ""};
    ck_assert_int_eq(spec_check_name(bytes, length, &why), FASTALLOC_E_NAME);
    ck_assert_int_eq(why.code, FASTALLOC_E_NAME);
    ck_assert_msg(strstr(why.text, words) != NULL, "\"%s\" lacks \"%s\"", why.text, words);
}

static void accept_name(const char *name)
{
    ck_assert_msg(spec_check_name(name, strlen(name), &why) == 0, "%s", why.text);
}

START_TEST(names_of_all_lengths_and_scripts_are_accepted)
{
    char longest[SPEC_NAME_MAX + 1];

    memset(longest, 'n', SPEC_NAME_MAX);
    longest[SPEC_NAME_MAX] = '\0';
    accept_name(longest);
    accept_name("a");
    accept_name("orders.2024 (new)");
    accept_name("...");
    accept_name(".hidden");
    accept_name("Größe");
    accept_name("注文");
    accept_name("\xf0\x9f\x90\x98");
    accept_name("\xf4\x8f\xbf\xbf");
}
END_TEST

START_TEST(an_empty_or_too_long_name_is_refused)
{
    char name[SPEC_NAME_MAX + 1];

    memset(name, 'n', sizeof name);
    refuse_name("", 0, "1 to 255");
    refuse_name(NULL, 0, "1 to 255");
    refuse_name(name, sizeof name, "256 bytes");
    refuse_name(name, sizeof name, "at most 255");
}
END_TEST

START_TEST(directories_names_are_refused)
{
    refuse_name(".", 1, "\".\"");
    refuse_name("..", 2, "\"..\"");
}
END_TEST

START_TEST(slashes_and_control_characters_are_refused_with_their_place)
{
    refuse_name("ab/c", 4, "byte 2");
    refuse_name("/", 1, "\"/\"");
    refuse_name("a\0b", 3, "0x00");
    refuse_name("ab\nc", 4, "0x0a");
    refuse_name("ab\nc", 4, "byte 2");
    refuse_name("\x7f", 1, "0x7f");
    refuse_name("a\xc2\x85", 3, "control");
}
END_TEST

START_TEST(what_is_not_utf8_is_refused_with_its_place)
{
    static const struct {
        const char *bytes;
        size_t length;
        const char *words;
    } bad[] = {
        {"a\x80", 2, "byte 1 (0x80)"},     /* a continuation alone */
        {"\xc3", 1, "byte 0 (0xc3)"},      /* cut short */
        {"\xc0\xaf", 2, "byte 0"},         /* overlong "/" */
        {"\xe0\x80\xaf", 3, "byte 0"},     /* overlong */
        {"\xf0\x80\x80\xaf", 4, "byte 0"}, /* overlong */
        {"x\xed\xa0\x80", 4, "byte 1"},    /* a surrogate */
        {"\xf4\x90\x80\x80", 4, "byte 0"}, /* past U+10FFFF */
        {"\xff", 1, "0xff"},
        {"\xe2\x82", 2, "byte 0"}, /* cut short */
        {"\xe2\x28\xa1", 3, "byte 0"},
    };
    size_t i;

    for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refuse_name(bad[i].bytes, bad[i].length, bad[i].words);
}
END_TEST

/* ------------------------------------------------------------- the numbers */

static struct pool_spec good(void)
{
    return (struct pool_spec){.name = "test", .object_size = 48, .capacity = 100};
}

static void refuse(struct pool_spec spec, int code, const char *words)
{
    why = (struct reason){0, ""};
    ck_assert_int_eq(spec_complete(&spec, &why), code);
    ck_assert_int_eq(why.code, code);
    ck_assert_msg(strstr(why.text, words) != NULL, "\"%s\" lacks \"%s\"", why.text, words);
}

START_TEST(defaults_are_put_where_nothing_is_said)
{
    struct pool_spec spec = good();

    ck_assert_int_eq(spec_complete(&spec, &why), 0);
    ck_assert_uint_eq(spec.alignment, 16);
    ck_assert_uint_eq(spec.max_capacity, 100);
    ck_assert_uint_eq(spec.max_threads, SPEC_THREADS_DEFAULT);
    ck_assert_uint_eq(spec.max_sessions, SPEC_SESSIONS_DEFAULT);
    ck_assert_uint_eq(spec.mode, SPEC_MODE_DEFAULT);
}
END_TEST

START_TEST(the_natural_alignment_divides_the_size)
{
    static const struct {
        uint64_t size, alignment;
    } natural[] = {{1, 1}, {2, 2}, {3, 1}, {12, 4}, {24, 8}, {48, 16}, {64, 16}, {4096, 16}};
    size_t i;

    for (i = 0; i < sizeof natural / sizeof natural[0]; i++) {
        struct pool_spec spec = good();

        spec.object_size = natural[i].size;
        ck_assert_int_eq(spec_complete(&spec, &why), 0);
        ck_assert_uint_eq(spec.alignment, natural[i].alignment);
    }
}
END_TEST

START_TEST(completing_twice_changes_nothing)
{
    struct pool_spec once = good(), twice;

    ck_assert_int_eq(spec_complete(&once, &why), 0);
    twice = once;
    ck_assert_int_eq(spec_complete(&twice, &why), 0);
    ck_assert_mem_eq(&once, &twice, sizeof once);
}
END_TEST

START_TEST(size_zero_is_refused)
{
    struct pool_spec spec = good();

    spec.object_size = 0;
    refuse(spec, FASTALLOC_E_SIZE, "object size is 0");
}
END_TEST

START_TEST(capacity_zero_or_above_its_maximum_is_refused)
{
    struct pool_spec spec = good();

    spec.capacity = 0;
    refuse(spec, FASTALLOC_E_CAPACITY, "capacity is 0");
    spec = good();
    spec.max_capacity = 99;
    refuse(spec, FASTALLOC_E_CAPACITY, "99");
    refuse(spec, FASTALLOC_E_CAPACITY, "100");
}
END_TEST

START_TEST(size_times_count_that_overflows_is_refused)
{
    struct pool_spec spec = good();

    spec.object_size = UINT64_C(1) << 40;
    spec.capacity = UINT64_C(1) << 30;
    refuse(spec, FASTALLOC_E_OVERFLOW, "1073741824 objects of 1099511627776 bytes");
    spec.object_size = UINT64_MAX;
    spec.capacity = 1;
    refuse(spec, FASTALLOC_E_OVERFLOW, "18446744073709551615");
    spec.object_size = UINT64_MAX - 14;
    spec.alignment = 16;
    refuse(spec, FASTALLOC_E_OVERFLOW, "bytes");
    spec.object_size = 2;
    spec.alignment = 0;
    spec.capacity = UINT64_C(1) << 63;
    refuse(spec, FASTALLOC_E_OVERFLOW, "9223372036854775808");
}
END_TEST

START_TEST(counts_beyond_the_format_are_refused)
{
    struct pool_spec spec = good();

    spec.object_size = 1;
    spec.capacity = SPEC_CAPACITY_MAX;
    ck_assert_int_eq(spec_complete(&spec, &why), 0);
    spec = good();
    spec.object_size = 1;
    spec.capacity = SPEC_CAPACITY_MAX + 1;
    refuse(spec, FASTALLOC_E_LIMIT, "2147483649");
    refuse(spec, FASTALLOC_E_LIMIT, "2147483648");
    spec = good();
    spec.max_threads = SPEC_THREADS_MAX + 1;
    refuse(spec, FASTALLOC_E_LIMIT, "max_threads 65537");
    spec = good();
    spec.max_sessions = SPEC_SESSIONS_MAX + 1;
    refuse(spec, FASTALLOC_E_LIMIT, "max_sessions 60001");
}
END_TEST

START_TEST(alignments_that_are_none_are_refused)
{
    struct pool_spec spec = good();

    spec.alignment = 3;
    refuse(spec, FASTALLOC_E_ALIGNMENT, "alignment 3");
    spec.alignment = 48;
    refuse(spec, FASTALLOC_E_ALIGNMENT, "alignment 48");
    spec.alignment = 8192;
    refuse(spec, FASTALLOC_E_ALIGNMENT, "alignment 8192");
    spec.alignment = UINT64_C(1) << 63;
    refuse(spec, FASTALLOC_E_ALIGNMENT, "9223372036854775808");
    spec.alignment = 4096;
    ck_assert_int_eq(spec_complete(&spec, &why), 0);
}
END_TEST

START_TEST(lifetimes_features_and_modes_unknown_are_refused)
{
    struct pool_spec spec = good();

    spec.lifetime = 7;
    refuse(spec, FASTALLOC_E_INVALID, "lifetime 7");
    spec = good();
    spec.flags = 0x40;
    refuse(spec, FASTALLOC_E_INVALID, "0x40");
    spec = good();
    spec.mode = 0777;
    refuse(spec, FASTALLOC_E_INVALID, "0777");
    spec.mode = 0666;
    ck_assert_int_eq(spec_complete(&spec, &why), 0);
}
END_TEST

START_TEST(type_names_are_checked_but_may_have_slashes_or_be_empty)
{
    struct pool_spec spec = good();

    strcpy(spec.type_name, "struct a/b");
    ck_assert_int_eq(spec_complete(&spec, &why), 0);
    strcpy(spec.type_name, "bad\n");
    refuse(spec, FASTALLOC_E_NAME, "type name");
    strcpy(spec.type_name, "\xff");
    refuse(spec, FASTALLOC_E_NAME, "type name");
}
END_TEST

START_TEST(a_reason_is_not_needed)
{
    struct pool_spec spec = {.capacity = 1};

    ck_assert_int_eq(spec_complete(&spec, NULL), FASTALLOC_E_SIZE);
    ck_assert_int_eq(spec_check_name("", 0, NULL), FASTALLOC_E_NAME);
}
END_TEST

/* ---------------------------------------------------------------- matching */

static struct pool_spec actual(void)
{
    struct pool_spec spec = good();

    strcpy(spec.type_name, "struct order");
    spec.type_version = 3;
    spec_complete(&spec, NULL);
    return spec;
}

static void mismatch(const struct pool_spec *expected, int code, const char *words)
{
    struct pool_spec pool = actual();

    why = (struct reason){0, ""};
    ck_assert_int_eq(spec_match(expected, &pool, &why), code);
    ck_assert_msg(strstr(why.text, words) != NULL, "\"%s\" lacks \"%s\"", why.text, words);
}

START_TEST(what_is_not_said_matches)
{
    struct pool_spec nothing = {.name = ""}, all = actual(), pool = actual();

    ck_assert_int_eq(spec_match(&nothing, &pool, &why), 0);
    ck_assert_int_eq(spec_match(&all, &pool, &why), 0);
    all.alignment = 8; /* less than there is */
    ck_assert_int_eq(spec_match(&all, &pool, &why), 0);
}
END_TEST

START_TEST(another_type_version_or_size_is_told_apart)
{
    struct pool_spec expected = actual();

    strcpy(expected.type_name, "struct bill");
    mismatch(&expected, FASTALLOC_E_TYPE, "struct order");
    mismatch(&expected, FASTALLOC_E_TYPE, "struct bill");
    expected = actual();
    expected.type_version = 4;
    mismatch(&expected, FASTALLOC_E_TYPE_VERSION, "version 3");
    mismatch(&expected, FASTALLOC_E_TYPE_VERSION, "4");
    expected = actual();
    expected.object_size = 56;
    mismatch(&expected, FASTALLOC_E_TYPE_SIZE, "48");
    mismatch(&expected, FASTALLOC_E_TYPE_SIZE, "56");
    expected = actual();
    expected.alignment = 64;
    mismatch(&expected, FASTALLOC_E_TYPE_SIZE, "64");
}
END_TEST

START_TEST(long_texts_are_cut_at_a_whole_character)
{
    char text[REASON_MAX + 10];
    size_t length;
    int shift;

    for (shift = 0; shift < 3; shift++) {
        memset(text, 'x', sizeof text);
        for (length = (size_t)shift; length + 3 < sizeof text; length += 3)
            memcpy(text + length, "\xe6\xb3\xa8", 3);
        text[length] = '\0';
        ck_assert_int_eq(reason_set(&why, FASTALLOC_E_NAME, "%s", text), FASTALLOC_E_NAME);
        length = strlen(why.text);
        ck_assert_uint_ge(length, REASON_MAX - 4);
        ck_assert_uint_eq((length - (size_t)shift) % 3, 0);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        names_of_all_lengths_and_scripts_are_accepted,
        an_empty_or_too_long_name_is_refused,
        directories_names_are_refused,
        slashes_and_control_characters_are_refused_with_their_place,
        what_is_not_utf8_is_refused_with_its_place,
        defaults_are_put_where_nothing_is_said,
        the_natural_alignment_divides_the_size,
        completing_twice_changes_nothing,
        size_zero_is_refused,
        capacity_zero_or_above_its_maximum_is_refused,
        size_times_count_that_overflows_is_refused,
        counts_beyond_the_format_are_refused,
        alignments_that_are_none_are_refused,
        lifetimes_features_and_modes_unknown_are_refused,
        type_names_are_checked_but_may_have_slashes_or_be_empty,
        a_reason_is_not_needed,
        what_is_not_said_matches,
        another_type_version_or_size_is_told_apart,
        long_texts_are_cut_at_a_whole_character,
    };

    return test_run(TEST_SUITE("spec", tests, 10));
}
