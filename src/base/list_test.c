#include "base/list.h"

#include "base/test.h"

struct member {
    char name;
    struct list link;
};

static void expect(struct list *head, const char *names)
{
    list_each(link, head)
    {
        assert_int_equal(list_entry(link, struct member, link)->name, *names);
        assert_ptr_equal(link->next->prev, link);
        names++;
    }
    assert_int_equal(*names, 0);
}

static void test_order(void **state)
{
    struct member a = { .name = 'a' }, b = { .name = 'b' }, c = { .name = 'c' };
    struct list head = LIST_INIT(head);
    (void)state;
    assert_true(list_empty(&head));
    assert_null(list_pop(&head));
    list_append(&head, &b.link);
    list_append(&head, &c.link);
    list_prepend(&head, &a.link);
    expect(&head, "abc");
    list_remove(&b.link);
    list_remove(&b.link);
    expect(&head, "ac");
    list_insert_after(&a.link, &b.link);
    expect(&head, "abc");
    assert_ptr_equal(list_pop(&head), &a.link);
    expect(&head, "bc");
}

static void test_removal_while_walking(void **state)
{
    struct member members[6];
    struct list head = LIST_INIT(head);
    (void)state;
    for (int i = 0; i < 6; i++) {
        members[i].name = (char)('a' + i);
        list_append(&head, &members[i].link);
    }
    list_each_safe(link, &head)
    {
        if ((list_entry(link, struct member, link)->name - 'a') % 2 == 0)
            list_remove(link);
    }
    expect(&head, "bdf");
}

static void test_move_all(void **state)
{
    struct member a = { .name = 'a' }, b = { .name = 'b' }, c = { .name = 'c' };
    struct list to = LIST_INIT(to), from = LIST_INIT(from);
    (void)state;
    list_move_all(&to, &from);
    assert_true(list_empty(&to));
    list_append(&from, &b.link);
    list_append(&from, &c.link);
    list_append(&to, &a.link);
    list_move_all(&to, &from);
    expect(&to, "abc");
    assert_true(list_empty(&from));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_removal_while_walking),
        cmocka_unit_test(test_move_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
