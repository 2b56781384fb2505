#include "conf/test.h"

static const struct conf_match *find(const struct conf *conf, const char *client, const char *domain)
{
    struct address address;
    assert_row(address_parse_ip(view_of(client), &address), client);
    return conf_match_find(conf, &address, view_of(domain));
}

/* First match wins; what nothing takes is refused. */
/* H75 */
static void test_match(void **state)
{
    static const char text[] =
        "hostname mx.example.org\nlisten *:25\n"
        "action a1 hold\naction a2 hold\naction a3 hold\naction a4 hold\naction a5 hold\naction a6 hold\n"
        "table domains { one.example, .two.example, x.three.example }\n"
        "table nets { 198.51.100.0/24, 198.51.100.7, 2001:db8:1::/48, 10.1.0.0/16 }\n"
        "match from network 203.0.113.66 for any reject\n"
        "match from local for domain nine.example action a1\n"
        "match for domain example.org action a2\n"
        "match for domain .sub.example.org action a3\n"
        "match for domain <domains> action a4\n"
        "match from network <nets> for any action a5\n"
        "match from local for local action a6\n";
    static const struct {
        const char *client, *domain, *action; /* NULL: refused */
    } rows[] = {
        { "192.0.2.1", "example.org", "a2" },
        { "192.0.2.1", "EXAMPLE.ORG", "a2" },
        { "203.0.113.66", "example.org", NULL },
        { "::ffff:203.0.113.66", "example.org", NULL },
        { "192.0.2.1", "x.example.org", NULL },
        { "192.0.2.1", "xexample.org", NULL },
        { "192.0.2.1", "example.or", NULL },
        { "192.0.2.1", "example.org.", NULL },
        { "192.0.2.1", "sub.example.org", "a3" },
        { "192.0.2.1", "Sub.Example.org", "a3" },
        { "192.0.2.1", "a.b.sub.example.org", "a3" },
        { "192.0.2.1", "asub.example.org", NULL },
        { "192.0.2.1", "one.example", "a4" },
        { "192.0.2.1", "ONE.example", "a4" },
        { "192.0.2.1", "a.one.example", NULL },
        { "192.0.2.1", "two.example", "a4" },
        { "192.0.2.1", "a.b.two.example", "a4" },
        { "192.0.2.1", "atwo.example", NULL },
        { "192.0.2.1", "three.example", NULL },
        { "192.0.2.1", "x.three.example", "a4" },
        { "192.0.2.1", "nine.example", NULL },
        { "127.0.0.1", "nine.example", "a1" },
        { "127.9.9.9", "nine.example", "a1" },
        { "::1", "nine.example", "a1" },
        { "::ffff:127.0.0.1", "nine.example", "a1" },
        { "198.51.100.7", "any.example", "a5" },
        { "198.51.100.8", "any.example", "a5" },
        { "198.51.101.8", "any.example", NULL },
        { "::ffff:198.51.100.8", "", "a5" },
        { "2001:db8:1:2::3", "any.example", "a5" },
        { "2001:db8:2::", "any.example", NULL },
        { "10.1.255.255", "any.example", "a5" },
        { "10.2.0.0", "any.example", NULL },
        { "127.0.0.1", "mx.example.org", "a6" },
        { "127.0.0.1", "localhost", "a6" },
        { "127.0.0.1", "", "a6" },
        { "192.0.2.1", "", NULL },
        { "192.0.2.1", "localhost", NULL },
        { "127.0.0.1", "any.example", NULL },
        { "127.0.0.1", "[127.0.0.1]", NULL },
        { "127.0.0.1", ".", NULL },
        { "127.0.0.1", ".two.example", "a4" },
    };
    struct conf conf;
    char errors[1024];
    (void)state;
    const struct conf_error *error = test_parse_text(&conf, text);
    if (error)
        fail_msg("%s", test_errors(error, errors, sizeof errors));
    for (size_t i = 0; i < ROWS(rows); i++) {
        const struct conf_match *match = find(&conf, rows[i].client, rows[i].domain);
        const char *got = match ? match->action->name.at : "-", *wanted = rows[i].action ? rows[i].action : "-";
        if (strncmp(got, wanted, strlen(wanted)) != 0)
            fail_msg("row %zu: %s %s: %.2s, not %s", i, rows[i].client, rows[i].domain, got, wanted);
    }
    char longest[400];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_null(find(&conf, "192.0.2.1", longest));
    conf_free(&conf);
}

static void test_any(void **state)
{
    struct conf conf;
    (void)state;
    assert_null(
        test_parse_text(&conf, "hostname mx.example.org\nlisten *:25\naction a hold\nmatch for any action a\n"));
    assert_non_null(find(&conf, "192.0.2.1", ""));
    assert_non_null(find(&conf, "2001:db8::1", "x.example"));
    assert_non_null(conf_action_find(&conf, VIEW("a")));
    assert_null(conf_action_find(&conf, VIEW("A")));
    conf_free(&conf);
}

/* Every key is found, and nothing else, in tables of every small size and in the largest. */
static void test_tables(void **state)
{
    (void)state;
    for (unsigned size = 0; size < 40; size++) {
        char text[2048], key[16];
        struct conf conf;
        int len = snprintf(text, sizeof text,
                           "hostname localhost\nlisten *:1\naction a hold\nmatch for any action a\ntable t {\n");
        for (unsigned i = 0; i < size; i++)
            len += snprintf(text + len, sizeof text - (size_t)len, "K%u: v%u\n", i * 7 % 41 * 2, i);
        snprintf(text + len, sizeof text - (size_t)len, "}\n");
        assert_null(test_parse_text(&conf, text));
        for (unsigned i = 0; i < 84; i++) {
            unsigned count = 0;
            for (unsigned j = 0; j < size; j++)
                count += j * 7 % 41 * 2 == i;
            snprintf(key, sizeof key, "k%u", i);
            const struct conf_entry *entry = conf_table_find(conf.tables, view_of(key));
            assert_row((entry != NULL) == (count == 1), key);
            assert_row(!entry || (view_equal_nocase(entry->key, view_of(key)) && entry->value.at[0] == 'v'), key);
        }
        conf_free(&conf);
    }
}

static void test_large_table(void **state)
{
    static const char head[] =
        "hostname localhost\nlisten *:1\naction a hold\nmatch for any action a\ntable t file /t\n";
    size_t len = 0, size = (CONF_TABLE_MAX + 1) * 8;
    char *keys = malloc(size + 1), errors[256];
    struct test_file files[] = { { "c", head }, { "/t", keys }, { NULL, NULL } };
    struct conf conf;
    (void)state;
    for (unsigned i = 0; i < CONF_TABLE_MAX; i++)
        len += (size_t)snprintf(keys + len, size - len, "%x\n", i * 7919 & 0xfffff);
    snprintf(keys + len, size - len, "more\n");
    assert_string_equal(test_errors(test_parse(&conf, files), errors, sizeof errors),
                        "/t:1000001:1: more than 1000000 keys in a table\n");
    assert_int_equal(conf.tables->entry_count, CONF_TABLE_MAX);
    assert_non_null(conf_table_find(conf.tables, VIEW("1eef")));
    conf_free(&conf);
    free(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_match),
        cmocka_unit_test(test_any),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_large_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
