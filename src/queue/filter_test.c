#include "queue/filter.h"

#include "base/test.h"

#include <string.h>

#define TEXT(literal)                                                                                                  \
    {                                                                                                                  \
        literal, sizeof(literal) - 1                                                                                   \
    } /* a struct view in a table */
#define HOUR_US 3600000000ull
#define NOW_US  (1000000ull * HOUR_US)

static struct queue_entry entry(void)
{
    struct queue_entry e = {
        .recipient = 1,
        .from = VIEW("Ann@Here.example"),
        .to = VIEW("bob@mail.there.example"),
        .arrived_us = NOW_US - 2 * HOUR_US,
        .next_us = NOW_US + HOUR_US / 2,
        .attempts = 3,
        .state = QUEUE_ENTRY_DEFERRED,
        .code = 452,
        .reason = VIEW("mailbox \"full\""),
    };
    assert_true(mail_id_parse(VIEW("0k000000000000000000000b"), &e.id));
    return e;
}

static const struct {
    const char *filter;
    bool matches;
} rows[] = {
    { "", true },
    { "all", true },
    { "not all", false },
    { "from=ann@here.example", true },
    { "from=ann", false },
    { "from~HERE", true },
    { "from=<>", false },
    { "not from=<>", true },
    { "to=bob@mail.there.example", true },
    { "to~ann", false },
    { "domain=mail.there.example", true },
    { "domain=there.example", false },
    { "domain=.there.example", true },
    { "domain=.mail.there.example", true },
    { "domain=.ere.example", false },
    { "age>1h", true },
    { "age>2h", false },
    { "age<121m", true },
    { "next<31m", true },
    { "next<1800s", false },
    { "next>1d", false },
    { "attempts=3", true },
    { "attempts>3", false },
    { "attempts<4", true },
    { "state=deferred", true },
    { "state=Held", false },
    { "reason~box", true },
    { "reason~\"mailbox \\\"FULL\\\"\"", true },
    { "\"reason=mailbox \\\"full\\\"\"", true },
    { "reason=mailbox", false },
    { "0k000000000000000000000b", true },
    { "0K000000000000000000000B", true },
    { "id=0k000000000000000000000b", true },
    { "0k000000000000000000000c", false },
    { "from~ann to~bob", true },
    { "from~ann to~joe", false },
    { "from~joe or to~bob", true },
    { "from~joe to~bob or from~ann to~joe", false },
    { "from~joe or from~jim or not to~joe age>1h", true },
    { "from~ann not to~bob", false },
    { "  from~ann \t\n ", true },
};

static void matches(void **state)
{
    (void)state;
    struct queue_entry e = entry();
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct queue_filter filter;
        char text[128], memory[256];
        struct buffer error = BUFFER_OF(memory);
        strcpy(text, rows[i].filter);
        assert_row(queue_filter_parse(&filter, text, strlen(text), &error), rows[i].filter);
        assert_row(queue_filter_matches(&filter, &e, NOW_US) == rows[i].matches, rows[i].filter);
    }
}

static const struct {
    const char *filter, *error;
} wrong[] = {
    { "form=x", "'form=x': no filter; there are from= to= domain= id= state= reason~ age> next< attempts>, and 'all'" },
    { "example.org",
      "'example.org': no filter; there are from= to= domain= id= state= reason~ age> next< attempts>, and 'all'" },
    { "from>x", "'from>x': a filter like from=ann@example.org" },
    { "age=1h", "'age=1h': a filter like age>1h" },
    { "age>1", "'age>1': a filter like age>1h" },
    { "age>h", "'age>h': a filter like age>1h" },
    { "age>99999999d", "'age>99999999d': a filter like age>1h" },
    { "state=gone", "'state=gone': a filter like state=deferred" },
    { "id=x", "'id=x': a filter like id=06fexample00000000000000" },
    { "attempts>x", "'attempts>x': a filter like attempts>3" },
    { "domain=", "'domain=': a filter like domain=example.net" },
    { "reason~\"a", "'reason~a': the quote is not closed" },
    { "or from~a", "'or': no filter; there are from= to= domain= id= state= reason~ age> next< attempts>, and 'all'" },
    { "from~a or", "'or, not': a filter must follow" },
    { "not", "'or, not': a filter must follow" },
    { "not not from~a",
      "'not': no filter; there are from= to= domain= id= state= reason~ age> next< attempts>, and 'all'" },
    { "x\x1b[2J=1",
      "'x?[2J=1': no filter; there are from= to= domain= id= state= reason~ age> next< attempts>, and 'all'" },
};

static void complains(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(wrong); i++) {
        struct queue_filter filter;
        char text[128], memory[256] = "";
        struct buffer error = { memory, 0, sizeof memory - 1, false };
        strcpy(text, wrong[i].filter);
        assert_row(!queue_filter_parse(&filter, text, strlen(text), &error), wrong[i].filter);
        assert_string_equal(memory, wrong[i].error);
    }
}

static void states_differ(void **state)
{
    (void)state;
    struct queue_entry e = entry();
    struct queue_filter filter;
    char memory[256];
    struct buffer error = BUFFER_OF(memory);
    char held[] = "state=held", due[] = "next<100d";
    e.state = QUEUE_ENTRY_HELD;
    assert_true(queue_filter_parse(&filter, held, strlen(held), &error));
    assert_true(queue_filter_matches(&filter, &e, NOW_US));
    assert_true(queue_filter_parse(&filter, due, strlen(due), &error));
    assert_false(queue_filter_matches(&filter, &e, NOW_US)); /* it is not due before it is released */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches),
        cmocka_unit_test(complains),
        cmocka_unit_test(states_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
