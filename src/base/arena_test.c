#include "base/arena.h"

#include <string.h>

#include "base/test.h"

static void test_empty_holds_nothing(void **state)
{
    struct arena a;
    (void)state;
    arena_init(&a, 4096, 8192);
    assert_null(a.chunks);
    arena_reset(&a);
    assert_non_null(arena_alloc(&a, 1));
    assert_int_equal(a.used, 4096);
    arena_reset(&a);
    assert_null(a.chunks);
    assert_int_equal(a.used, 0);
}

static void test_limit_is_an_answer(void **state)
{
    struct arena a;
    (void)state;
    arena_init(&a, 64, 160);
    assert_non_null(arena_alloc(&a, 64));
    assert_non_null(arena_alloc(&a, 64));
    assert_null(arena_alloc(&a, 33));
    assert_non_null(arena_alloc(&a, 32)); /* less than a chunk is left: just what was asked */
    assert_null(arena_alloc(&a, 1));
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX - 15));
    assert_null(arena_copy(&a, (struct view){ "x", SIZE_MAX }).at);
    assert_null(arena_copy(&a, VIEW("x")).at);
    arena_reset(&a);
    assert_non_null(arena_alloc(&a, 160));
    arena_reset(&a);
}

/* Sizes at random against the rules: aligned, zeroed, disjoint, never over the limit. */
static void test_random_sizes(void **state)
{
    enum { COUNT = 200 };
    uint64_t seed = 1;
    (void)state;
    for (int round = 0; round < 200; round++) {
        struct arena a;
        unsigned char *at[COUNT];
        size_t size[COUNT];
        size_t count = 0;
        arena_init(&a, test_random(&seed) % 1024, test_random(&seed) % 16384);
        for (; count < COUNT; count++) {
            size[count] = test_random(&seed) % 300;
            at[count] = arena_alloc(&a, size[count]);
            assert_true(a.used <= a.limit);
            if (!at[count])
                break;
            assert_int_equal((uintptr_t)at[count] % 16, 0);
            for (size_t i = 0; i < size[count]; i++)
                assert_int_equal(at[count][i], 0);
            memset(at[count], (int)count, size[count]);
        }
        for (size_t n = 0; n < count; n++)
            for (size_t i = 0; i < size[n]; i++)
                assert_int_equal(at[n][i], n);
        arena_reset(&a);
    }
}

static void test_copy_is_ended(void **state)
{
    struct arena a;
    (void)state;
    arena_init(&a, 64, 64);
    struct view copy = arena_copy(&a, VIEW("a\0b"));
    assert_true(view_equal(copy, VIEW("a\0b")));
    assert_int_equal(copy.at[copy.len], 0);
    copy = arena_copy(&a, VIEW_NONE);
    assert_int_equal(copy.len, 0);
    assert_int_equal(copy.at[0], 0);
    arena_reset(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_holds_nothing),
        cmocka_unit_test(test_limit_is_an_answer),
        cmocka_unit_test(test_random_sizes),
        cmocka_unit_test(test_copy_is_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
