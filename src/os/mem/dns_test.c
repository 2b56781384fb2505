/* The DNS of the world. */
#include "base/test.h"
#include "os/mem/os_mem.h"

#include <string.h>

struct asked {
    struct os_dns_query query;
    unsigned answers;
    char data[64]; /* all records, one behind the other */
    size_t len;
};

static void on_answer(void *ctx, struct os_dns_query *query)
{
    struct asked *a = ctx;
    a->answers++;
    for (size_t i = 0; i < query->record_count; i++) {
        memcpy(a->data + a->len, query->records[i].at, query->records[i].len);
        a->len += query->records[i].len;
    }
}

static void ask(struct os *os, struct asked *a, const char *name, enum os_dns_type type)
{
    *a = (struct asked){ .query = { .type = type, .done = on_answer, .ctx = a } };
    strcpy(a->query.name, name);
    os_dns_ask(os, &a->query);
    assert_int_equal(a->answers, 0); /* never from inside */
}

static void test_table(void **state)
{
    (void)state;
    static const char tlsa[] = "\3\1\1hash";
    static const struct os_slice record = { tlsa, sizeof(tlsa) - 1 };
    static const struct {
        const char *name;
        enum os_dns_type type;
        enum os_dns_result result;
        const char *data;
        size_t len;
    } rows[] = {
        { "example.org", OS_DNS_MX, OS_DNS_FOUND, "\0\12\2mx\7example\3org\0\0\24\1x\0", 23 },
        { "EXAMPLE.org", OS_DNS_MX, OS_DNS_FOUND, "\0\12\2mx\7example\3org\0\0\24\1x\0", 23 },
        { "example.org", OS_DNS_TXT, OS_DNS_FOUND, "\6v=spf1", 7 },
        { "example.org", OS_DNS_A, OS_DNS_NO_DATA, "", 0 },
        { "mx.example.org", OS_DNS_A, OS_DNS_FOUND, "\300\0\2\1", 4 },
        { "mx.example.org", OS_DNS_AAAA, OS_DNS_TROUBLE, "", 0 },
        { "no.example.org", OS_DNS_A, OS_DNS_NO_NAME, "", 0 },
        { "none.example", OS_DNS_MX, OS_DNS_FOUND, "\0\0\0", 3 },
        { "1.2.0.192.in-addr.arpa", OS_DNS_PTR, OS_DNS_FOUND, "\1a\0", 3 },
        { "_25._tcp.mx.example.org", OS_DNS_TLSA, OS_DNS_FOUND, tlsa, sizeof(tlsa) - 1 },
    };
    struct mem_world *world = mem_world_new(1);
    struct os *os = mem_process_new(mem_host_new(world, "a"));
    assert_true(mem_dns_add(world, "example.org", OS_DNS_MX, "10 mx.example.org"));
    assert_true(mem_dns_add(world, "example.org", OS_DNS_MX, "20 x"));
    assert_true(mem_dns_add(world, "example.org", OS_DNS_TXT, "v=spf1"));
    assert_true(mem_dns_add(world, "mx.example.org", OS_DNS_A, "192.0.2.1"));
    assert_true(mem_dns_add(world, "none.example", OS_DNS_MX, "0 ."));
    assert_true(mem_dns_add(world, "1.2.0.192.in-addr.arpa", OS_DNS_PTR, "a"));
    assert_false(mem_dns_add(world, "x", OS_DNS_A, "2001:db8::1"));
    assert_false(mem_dns_add(world, "x", OS_DNS_MX, "mx"));
    assert_false(mem_dns_add(world, "x", OS_DNS_PTR, "a..b"));
    mem_dns_set(world,
                &(struct mem_dns_answer){ .name = "mx.example.org", .type = OS_DNS_AAAA, .result = OS_DNS_TROUBLE });
    mem_dns_set(world, &(struct mem_dns_answer){ .name = "_25._tcp.mx.example.org",
                                                 .type = OS_DNS_TLSA,
                                                 .secure = true,
                                                 .ttl_s = 60,
                                                 .records = &record,
                                                 .record_count = 1 });
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct asked a;
        ask(os, &a, rows[i].name, rows[i].type);
        assert_true(mem_world_run(world, 1000000));
        assert_row(a.answers == 1, rows[i].name);
        assert_row(a.query.result == rows[i].result, rows[i].name);
        assert_row(a.len == rows[i].len && memcmp(a.data, rows[i].data, a.len) == 0, rows[i].name);
        assert_row(a.query.secure == (rows[i].type == OS_DNS_TLSA), rows[i].name);
    }
    mem_world_free(world);
}

static void test_trouble(void **state)
{
    (void)state;
    struct mem_world *world = mem_world_new(1);
    struct os *os = mem_process_new(mem_host_new(world, "a"));
    struct asked first, second;
    mem_dns_add(world, "a", OS_DNS_A, "192.0.2.1");
    mem_dns_set(world, &(struct mem_dns_answer){ .name = "slow", .type = OS_DNS_A, .delay_us = 5000000 });
    ask(os, &first, "slow", OS_DNS_A);
    ask(os, &second, "a", OS_DNS_A);
    mem_world_run(world, 100000);
    assert_int_equal(first.answers, 0);
    assert_int_equal(second.answers, 1);
    mem_dns_fail(world, true);
    ask(os, &second, "a", OS_DNS_A);
    assert_true(mem_world_run(world, 6000000));
    assert_int_equal(second.query.result, OS_DNS_TROUBLE);
    assert_int_equal(first.answers, 1);
    mem_dns_fail(world, false);
    mem_dns_remove(world, "a", OS_DNS_A);
    ask(os, &second, "a", OS_DNS_A);
    assert_true(mem_world_run(world, 6000000));
    assert_int_equal(second.query.result, OS_DNS_NO_NAME);
    ask(os, &second, "a", OS_DNS_A); /* goes with its process */
    mem_process_kill(os);
    assert_true(mem_world_run(world, 6000000));
    assert_int_equal(second.answers, 0);
    mem_world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_table), cmocka_unit_test(test_trouble) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
