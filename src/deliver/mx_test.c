#include "deliver/mx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/test.h"

#define OWN  VIEW("mx.own.example")
#define PORT 25

/* ---- answers from text ---- */

struct answer {
    struct ipc_resolved said;
    struct buffer records;
    char memory[OS_FRAME_MAX];
};

static void add_name(struct buffer *to, struct view name)
{
    while (name.len && !view_equal(name, VIEW("."))) {
        struct view label = view_take_until(&name, '.');
        buffer_add_char(to, (char)label.len);
        buffer_add(to, label);
    }
    buffer_add_char(to, 0);
}

static void add_mx(struct answer *a, unsigned preference, struct view name)
{
    char memory[300];
    struct buffer rdata = BUFFER_OF(memory);
    buffer_add_char(&rdata, (char)(preference >> 8));
    buffer_add_char(&rdata, (char)preference);
    add_name(&rdata, name);
    ipc_record_add(&a->records, buffer_view(&rdata));
}

static void begin(struct answer *a, enum os_dns_result result)
{
    a->records = BUFFER_OF(a->memory);
    a->said = (struct ipc_resolved){ .result = (uint8_t)result };
}

/* "10 a.example, 20 b.example"; "none", "no name", "trouble". */
static const struct ipc_resolved *mx_answer(struct answer *a, const char *text)
{
    struct view rest = view_of(text);
    begin(a, strcmp(text, "none") == 0      ? OS_DNS_NO_DATA
             : strcmp(text, "no name") == 0 ? OS_DNS_NO_NAME
             : strcmp(text, "trouble") == 0 ? OS_DNS_TROUBLE
                                            : OS_DNS_FOUND);
    while (a->said.result == OS_DNS_FOUND && rest.len) {
        uint64_t preference;
        struct view record = view_trim(view_take_until(&rest, ','));
        assert_true(view_to_u64(view_take_word(&record), UINT16_MAX, &preference));
        add_mx(a, (unsigned)preference, view_trim(record));
    }
    a->said.records = buffer_view(&a->records);
    return &a->said;
}

/* Addresses of one family, separated by blanks. */
static const struct ipc_resolved *address_answer(struct answer *a, const char *text, bool v4)
{
    struct view rest = view_of(text), word;
    begin(a, strcmp(text, "trouble") == 0 ? OS_DNS_TROUBLE : *text ? OS_DNS_FOUND : OS_DNS_NO_DATA);
    while (a->said.result == OS_DNS_FOUND && (word = view_take_word(&rest)).len) {
        struct address address = { 0 };
        assert_true(address_parse_ip(word, &address));
        struct view ip = { (const char *)address.ip, 16 };
        ipc_record_add(&a->records, v4 ? view_slice(ip, 12, 16) : ip);
    }
    a->said.records = buffer_view(&a->records);
    return &a->said;
}

static void show_hosts(const struct deliver_mx *mx, struct buffer *text)
{
    buffer_clear(text);
    for (size_t i = 0; i < mx->host_count; i++)
        buffer_addf(text, "%s%s", i ? " " : "", mx->hosts[i].name);
}

/* ---- which hosts, in which order ---- */

/* H95 H96 H97 */
static void test_hosts(void **state)
{
    static const struct {
        const char *records;
        enum deliver_mx_result result;
        const char *hosts;
    } rows[] = {
        { "10 a.example", DELIVER_MX_OK, "a.example" },
        { "20 b.example, 10 a.example, 30 c.example", DELIVER_MX_OK, "a.example b.example c.example" },
        { "65535 b.example, 0 a.example", DELIVER_MX_OK, "a.example b.example" },
        { "none", DELIVER_MX_OK, "dest.example" },
        { "no name", DELIVER_MX_NO_DOMAIN, "" },
        { "trouble", DELIVER_MX_TROUBLE, "" },
        { "0 .", DELIVER_MX_NO_MAIL, "" },
        { "10 .", DELIVER_MX_NO_MAIL, "" },
        { "0 ., 10 a.example", DELIVER_MX_OK, "a.example" },
        { "10 MX.own.Example", DELIVER_MX_LOOP, "" },
        { "10 mx.own.example, 20 a.example", DELIVER_MX_LOOP, "" },
        { "10 mx.own.example, 10 a.example", DELIVER_MX_LOOP, "" },
        { "20 mx.own.example, 10 a.example, 20 b.example, 30 c.example", DELIVER_MX_OK, "a.example" },
        { "10 a b.example", DELIVER_MX_NO_HOST, "" },
        { "10 a_b.example", DELIVER_MX_OK, "a_b.example" },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        static struct answer answer;
        struct deliver_mx mx;
        char memory[1024];
        struct buffer hosts = BUFFER_OF(memory);
        deliver_mx_init(&mx);
        enum deliver_mx_result result =
            deliver_mx_take(&mx, VIEW("dest.example"), PORT, OWN, i, mx_answer(&answer, rows[i].records));
        show_hosts(&mx, &hosts);
        assert_row(result == rows[i].result, rows[i].records);
        if (result == DELIVER_MX_OK)
            assert_row(view_equal(buffer_view(&hosts), view_of(rows[i].hosts)), rows[i].records);
    }
}

/* Nobody relays to himself because his own domain has no MX. */
static void test_own_domain_without_mx(void **state)
{
    static struct answer answer;
    struct deliver_mx mx;
    (void)state;
    deliver_mx_init(&mx);
    assert_int_equal(deliver_mx_take(&mx, VIEW("mx.OWN.example"), PORT, OWN, 1, mx_answer(&answer, "none")),
                     DELIVER_MX_LOOP);
}

/* H98 */
static void test_malformed_records(void **state)
{
    static const struct {
        const char *name;
        struct view rdata;
    } rows[] = {
        { "nothing", { "", 0 } },
        { "half a preference", { "\0", 1 } },
        { "no name", { "\0\12", 2 } },
        { "name without end", { "\0\12\1a", 4 } },
        { "label past the end", { "\0\12\5ab", 5 } },
        { "pointer", { "\0\12\300\0", 4 } },
        { "something behind", { "\0\12\1a\0x", 6 } },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        static struct answer answer;
        struct deliver_mx mx;
        char *exact = malloc(rows[i].rdata.len + 1);
        deliver_mx_init(&mx);
        memcpy(exact, rows[i].rdata.at, rows[i].rdata.len);
        begin(&answer, OS_DNS_FOUND);
        add_mx(&answer, 10, VIEW("a.example"));
        ipc_record_add(&answer.records, (struct view){ exact, rows[i].rdata.len });
        answer.said.records = buffer_view(&answer.records);
        assert_row(deliver_mx_take(&mx, VIEW("d"), PORT, OWN, 1, &answer.said) == DELIVER_MX_TROUBLE, rows[i].name);
        free(exact);
    }
}

static void test_name_too_long(void **state)
{
    static struct answer answer;
    struct deliver_mx mx;
    char name[400];
    (void)state;
    for (size_t i = 0; i < sizeof name; i++)
        name[i] = i % 2 ? '.' : 'a';
    for (size_t len = 253; len < 260; len += 2) {
        deliver_mx_init(&mx);
        begin(&answer, OS_DNS_FOUND);
        add_mx(&answer, 10, (struct view){ name, len });
        answer.said.records = buffer_view(&answer.records);
        assert_int_equal(deliver_mx_take(&mx, VIEW("d"), PORT, OWN, 1, &answer.said),
                         len <= SMTP_DOMAIN_MAX ? DELIVER_MX_OK : DELIVER_MX_TROUBLE);
    }
}

/* RFC 5321 section 5.1: equals at random; every order comes. */
static void test_random_among_equals(void **state)
{
    static const char *const orders[] = { "a b c z", "a c b z", "b a c z", "b c a z", "c a b z", "c b a z" };
    unsigned seen[ROWS(orders)] = { 0 };
    (void)state;
    for (uint64_t seed = 0; seed < 600; seed++) {
        static struct answer answer;
        struct deliver_mx mx;
        char memory[64];
        struct buffer hosts = BUFFER_OF(memory);
        deliver_mx_init(&mx);
        deliver_mx_take(&mx, VIEW("d"), PORT, OWN, seed, mx_answer(&answer, "20 z, 10 a, 10 b, 10 c"));
        show_hosts(&mx, &hosts);
        for (size_t i = 0; i < ROWS(orders); i++)
            seen[i] += view_equal(buffer_view(&hosts), view_of(orders[i]));
    }
    for (size_t i = 0; i < ROWS(orders); i++)
        assert_row(seen[i] > 60, orders[i]);
}

/* The best of 500 are kept, whatever order they come in (H96). */
static void test_many_hosts(void **state)
{
    static struct answer answer;
    struct deliver_mx mx;
    (void)state;
    deliver_mx_init(&mx);
    begin(&answer, OS_DNS_FOUND);
    for (unsigned i = 0; i < 500; i++) {
        char name[32];
        unsigned preference = i * 77 % 500;
        snprintf(name, sizeof name, "mx%u.example", preference);
        add_mx(&answer, preference, view_of(name));
    }
    answer.said.records = buffer_view(&answer.records);
    assert_false(answer.records.full);
    assert_int_equal(deliver_mx_take(&mx, VIEW("d"), PORT, OWN, 1, &answer.said), DELIVER_MX_OK);
    assert_int_equal(mx.host_count, DELIVER_MX_HOSTS_MAX);
    for (unsigned i = 0; i < DELIVER_MX_HOSTS_MAX; i++)
        assert_int_equal(mx.hosts[i].preference, i);
}

/* ---- which addresses, in which order ---- */

/* H95 H96 */
static void test_addresses(void **state)
{
    static const struct {
        const char *mx, *v4[2], *v6[2];
        enum deliver_mx_result result;
        const char *list;
    } rows[] = {
        { "1 a", { "192.0.2.1" }, { "" }, DELIVER_MX_OK, "192.0.2.1" },
        { "1 a", { "" }, { "2001:db8::1" }, DELIVER_MX_OK, "2001:db8::1" },
        { "1 a", { "192.0.2.1 192.0.2.2" }, { "2001:db8::1" }, DELIVER_MX_OK, "2001:db8::1 192.0.2.1 192.0.2.2" },
        { "1 a",
          { "192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5" },
          { "2001:db8::1 2001:db8::2 2001:db8::3" },
          DELIVER_MX_OK,
          "2001:db8::1 192.0.2.1 2001:db8::2 192.0.2.2" },
        { "1 a",
          { "192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5" },
          { "" },
          DELIVER_MX_OK,
          "192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4" },
        { "1 a, 2 b", { "192.0.2.1", "192.0.2.2" }, { "", "" }, DELIVER_MX_OK, "192.0.2.1 192.0.2.2" },
        { "1 a, 2 b", { "192.0.2.1", "192.0.2.1" }, { "", "" }, DELIVER_MX_OK, "192.0.2.1" },
        { "1 a, 2 b", { "trouble", "192.0.2.2" }, { "", "" }, DELIVER_MX_OK, "192.0.2.2" },
        { "1 a, 2 b", { "trouble", "" }, { "", "" }, DELIVER_MX_TROUBLE, "" },
        { "1 a", { "" }, { "trouble" }, DELIVER_MX_TROUBLE, "" },
        { "1 a", { "" }, { "" }, DELIVER_MX_NO_HOST, "" },
        { "none", { "" }, { "" }, DELIVER_MX_NO_DOMAIN, "" },
        { "none", { "192.0.2.1" }, { "" }, DELIVER_MX_OK, "192.0.2.1" },
        { "none", { "" }, { "trouble" }, DELIVER_MX_TROUBLE, "" },
        { "1 a", { "0.0.0.0 224.0.0.1 255.255.255.255" }, { ":: ff02::1" }, DELIVER_MX_NO_HOST, "" },
        { "1 a", { "0.0.0.0 192.0.2.1" }, { ":: 2001:db8::1" }, DELIVER_MX_OK, "2001:db8::1 192.0.2.1" },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        static struct answer answer;
        struct deliver_mx mx;
        struct deliver_mx_target targets[DELIVER_MX_TARGETS_MAX];
        size_t count;
        char memory[512], row[64];
        struct buffer list = BUFFER_OF(memory);
        snprintf(row, sizeof row, "%zu, %s", i, rows[i].mx);
        deliver_mx_init(&mx);
        assert_row(deliver_mx_take(&mx, VIEW("d"), PORT, OWN, 1, mx_answer(&answer, rows[i].mx)) == DELIVER_MX_OK, row);
        for (size_t n = 0; n < mx.host_count; n++) {
            deliver_mx_take_addresses(&mx, n, OS_DNS_A, address_answer(&answer, rows[i].v4[n], true));
            deliver_mx_take_addresses(&mx, n, OS_DNS_AAAA, address_answer(&answer, rows[i].v6[n], false));
        }
        assert_row(deliver_mx_list(&mx, targets, &count) == rows[i].result, row);
        for (size_t n = 0; n < count; n++) {
            buffer_add_text(&list, n ? " " : "");
            address_add_ip(&list, &targets[n].address);
            assert_row(targets[n].address.port == PORT, row);
        }
        assert_row(view_equal(buffer_view(&list), view_of(rows[i].list)), row);
    }
}

static void test_malformed_address(void **state)
{
    static struct answer answer;
    struct deliver_mx mx;
    struct deliver_mx_target targets[DELIVER_MX_TARGETS_MAX];
    size_t count;
    (void)state;
    deliver_mx_init(&mx);
    assert_true(deliver_mx_add_host(&mx, VIEW("hub.example"), 587, NULL));
    begin(&answer, OS_DNS_FOUND);
    ipc_record_add(&answer.records, VIEW("abc"));
    answer.said.records = buffer_view(&answer.records);
    deliver_mx_take_addresses(&mx, 0, OS_DNS_A, &answer.said);
    assert_int_equal(deliver_mx_list(&mx, targets, &count), DELIVER_MX_TROUBLE);
}

/* ---- hosts that are given ---- */

static void test_given_hosts(void **state)
{
    static struct answer answer;
    struct deliver_mx mx;
    struct deliver_mx_target targets[DELIVER_MX_TARGETS_MAX];
    size_t count;
    struct address address = { 0 };
    (void)state;
    deliver_mx_init(&mx);
    assert_true(address_parse_ip(VIEW("192.0.2.9"), &address));
    assert_true(deliver_mx_add_host(&mx, VIEW("192.0.2.9"), 2525, &address));
    assert_true(deliver_mx_add_host(&mx, VIEW("hub.example"), 587, NULL));
    assert_true(mx.hosts[0].fixed && !mx.hosts[1].fixed);
    deliver_mx_take_addresses(&mx, 1, OS_DNS_A, address_answer(&answer, "192.0.2.8", true));
    assert_int_equal(deliver_mx_list(&mx, targets, &count), DELIVER_MX_OK);
    assert_int_equal(count, 2);
    assert_true(targets[0].host == 0 && targets[0].address.port == 2525);
    assert_true(targets[1].host == 1 && targets[1].address.port == 587);
}

static void test_literals(void **state)
{
    static const struct {
        const char *literal, *address; /* NULL: none */
    } rows[] = {
        { "[192.0.2.1]", "192.0.2.1" },
        { "[IPv6:2001:db8::1]", "2001:db8::1" },
        { "[ipv6:2001:db8::1]", "2001:db8::1" },
        { "[192.0.2]", NULL },
        { "[x-other:1]", NULL },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct deliver_mx mx;
        struct deliver_mx_target targets[DELIVER_MX_TARGETS_MAX];
        size_t count;
        char memory[64];
        struct buffer text = BUFFER_OF(memory);
        deliver_mx_init(&mx);
        bool good = deliver_mx_add_literal(&mx, view_of(rows[i].literal), PORT);
        assert_row(good == (rows[i].address != NULL), rows[i].literal);
        if (!good)
            continue;
        assert_row(deliver_mx_list(&mx, targets, &count) == DELIVER_MX_OK && count == 1, rows[i].literal);
        address_add_ip(&text, &targets[0].address);
        assert_row(view_equal(buffer_view(&text), view_of(rows[i].address)), rows[i].literal);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_own_domain_without_mx),
        cmocka_unit_test(test_malformed_records),
        cmocka_unit_test(test_name_too_long),
        cmocka_unit_test(test_random_among_equals),
        cmocka_unit_test(test_many_hosts),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_malformed_address),
        cmocka_unit_test(test_given_hosts),
        cmocka_unit_test(test_literals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
