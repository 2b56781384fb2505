#include "base/heap.h"

#include "base/test.h"

enum { ITEMS = 500, STEPS = 100000 };

struct timer {
    int number;
    struct heap_item item;
};

static const struct heap_item *smallest(const struct timer timers[ITEMS])
{
    const struct heap_item *best = NULL;
    for (int i = 0; i < ITEMS; i++)
        if (timers[i].item.place && (!best || timers[i].item.key < best->key))
            best = &timers[i].item;
    return best;
}

static void check_order(const struct heap *h)
{
    for (size_t place = 1; place <= h->count; place++) {
        assert_int_equal(h->items[place]->place, place);
        assert_true(place == 1 || h->items[place / 2]->key <= h->items[place]->key);
    }
}

/* Set, move and remove at random, against a search through all items. */
static void test_random_changes(void **state)
{
    struct timer timers[ITEMS] = { 0 };
    struct heap h;
    uint64_t seed = 2;
    (void)state;
    heap_init(&h);
    assert_null(heap_first(&h));
    for (int step = 0; step < STEPS; step++) {
        struct heap_item *item = &timers[test_random(&seed) % ITEMS].item;
        uint64_t roll = test_random(&seed);
        if (roll % 3)
            assert_true(heap_set(&h, item, roll >> 32 & 1023)); /* few keys: many are equal */
        else
            heap_remove(&h, item);
        const struct heap_item *best = smallest(timers);
        assert_int_equal(heap_first(&h) == NULL, best == NULL);
        if (best)
            assert_int_equal(heap_first(&h)->key, best->key);
        if (step % 100 == 0)
            check_order(&h);
    }
    heap_free(&h);
}

static void test_sorts(void **state)
{
    struct timer timers[ITEMS] = { 0 };
    struct heap h;
    uint64_t seed = 3, last = 0;
    (void)state;
    heap_init(&h);
    for (int i = 0; i < ITEMS; i++) {
        timers[i].number = i;
        assert_true(heap_set(&h, &timers[i].item, i ? test_random(&seed) : UINT64_MAX));
    }
    for (int i = 0; i < ITEMS; i++) {
        struct heap_item *first = heap_first(&h);
        assert_true(first->key >= last);
        last = first->key;
        heap_remove(&h, first);
        assert_int_equal(first->place, 0);
        heap_remove(&h, first);
        assert_int_equal(h.count, ITEMS - 1 - i);
        assert_true(i < ITEMS - 1 || heap_entry(first, struct timer, item)->number == 0);
    }
    heap_free(&h);
    assert_null(heap_first(&h));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_changes),
        cmocka_unit_test(test_sorts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
