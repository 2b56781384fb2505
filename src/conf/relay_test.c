/* What goes out: relays, times, name servers, aliases; and what is said of configurations that are good to the letter.
 */
#include "conf/test.h"

#define BASE "hostname mx.example.org\nlisten *:25\naction in maildir %{home}/Maildir\nmatch for local action in\n"

struct row {
    const char *text, *said;
};

/* Line 1 is the row's. What is said: errors, or else warnings, or else nothing. */
static void check_rows(const struct row *rows, size_t count, const char *rest)
{
    static char text[4096], said[8192];
    unsigned bad = 0;
    for (size_t i = 0; i < count; i++) {
        struct conf conf;
        snprintf(text, sizeof text, "%s\n%s", rows[i].text, rest);
        const struct test_file files[] = {
            { "c", text },
            { "/aliases",
              "# as on Debian\nmailer-daemon: postmaster\npostmaster: root\nroot: alice,\n\tbob@example.net, "
              "carl\n" },
            { "/torn", "root: alice,\n" },
            { "/odd", "a: |prog\nb: /var/mail/b\nc: :include:/list\nd:e\nf: g h\ni: j@\nk: \"\"\nl\nm: \"a b\"\n" },
            { NULL, NULL },
        };
        const struct conf_error *errors = test_parse(&conf, files);
        test_errors(errors ? errors : conf.warnings, said, sizeof said);
        conf_free(&conf);
        if (strcmp(said, rows[i].said) != 0)
            bad++, print_error("row %zu: %s\n--- expected\n%s--- got\n%s", i, rows[i].text, rows[i].said, said);
    }
    assert_int_equal(bad, 0);
}

#define OUT "\nmatch from local for any action out"

static void test_relay(void **state)
{
    static const char hop[] = "is not a host: write mail.example.org, 192.0.2.1 or [2001:db8::1], with :PORT behind it "
                              "unless it is 25\n";
    static const struct row rows[] = {
        { "action out relay" OUT, "" },
        { "action out relay port 2525" OUT, "" },
        { "action out relay via hub.example.net" OUT, "" },
        { "action out relay via hub" OUT, "" },
        { "action out relay via 192.0.2.1 192.0.2.1:26 [2001:db8::1] 2001:db8::1 [2001:db8::1]:26 a.example:65535" OUT,
          "" },
        { "action out relay port 0" OUT, "c:1:23: '0' is not a port: 1 to 65535\n" },
        { "action out relay port 65536" OUT, "c:1:23: '65536' is not a port: 1 to 65535\n" },
        { "action out relay to hub.example" OUT, "c:1:18: unknown word 'to'\n" },
        { "action out relay via" OUT,
          "c:1:21: missing argument; write: action NAME maildir|mbox TEMPLATE [user ACCOUNT] [users <TABLE>] [aliases "
          "<TABLE>] [biff], NAME relay [via HOST[:PORT] ...] [port NUMBER] or NAME discard|hold\n" },
        { "action out relay via a.example port 26" OUT, "c:1:37: '26' " },
    };
    static const char *const bad_hosts[] = { "a.example:",      "a.example:0",    "a..example",
                                             "[2001:db8::1",    "[::1]26",        "192.0.2.1:x",
                                             "a.example:26:27", "[a.example]:25", "-" };
    (void)state;
    check_rows(rows, ROWS(rows) - 1, BASE);
    for (size_t i = 0; i < ROWS(bad_hosts); i++) {
        char text[128], said[512];
        snprintf(text, sizeof text, "action out relay via %s" OUT, bad_hosts[i]);
        snprintf(said, sizeof said, "c:1:22: '%s' %s", bad_hosts[i], hop);
        check_rows(&(struct row){ text, said }, 1, BASE);
    }
}

static void test_retry(void **state)
{
    static const struct row rows[] = {
        { "retry 1s" OUT, "" },
        { "retry 1m 5m expire 2d warn 1h" OUT, "" },
        { "retry 1m warn never expire 2d" OUT, "" },
        { "retry 1m expire 1h" OUT, "" },
        { "retry 5" OUT, "c:1:7: '5' is not a time: write s, m, h or d behind the number\n" },
        { "retry expire 5d" OUT, "c:1:7: 'expire' is not a time: write s, m, h or d behind the number\n" },
        { "retry 1m 8d" OUT, "c:1:10: '8d' is out of range: 1s to 7d\n" },
        { "retry 1m expire 400d" OUT, "c:1:17: '400d' is out of range: 1s to 365d\n" },
        { "retry 1m expires 4d" OUT, "c:1:10: unknown word 'expires'; did you mean 'expire'?\n" },
        { "retry 1m expire 2h warn 2h" OUT, "c:1:20: the mail is given up before this warning; write a time before "
                                            "'expire', or: warn never\n" },
        { "retry 1m\nretry 2m" OUT, "c:2:1: duplicate 'retry': it was given before\n" },
        { "dns forward 192.0.2.53\ndns stub test [::1]:54\ndns insecure test" OUT, "" },
        { "dns forward ns.example" OUT,
          "c:1:13: 'ns.example' is not an address: write 192.0.2.53, [2001:db8::53] or 192.0.2.53:5353\n" },
        { "dns stub 192.0.2.53 test" OUT, "c:1:10: '192.0.2.53' is not a domain: it ends in a number\n" },
        { "dns server 192.0.2.53" OUT, "c:1:5: unknown word 'server'\n" },
    };
    (void)state;
    check_rows(rows, ROWS(rows), BASE "action out relay\n");
}

static void test_aliases(void **state)
{
    static const struct row rows[] = {
        { "table a file /aliases", "" },
        { "table a { root: alice, info: \"alice, bob@example.net\", x@example.org: y }", "" },
        { "table a { root: alice, bob@example.net }", "c:1:24: 'bob@example.net' has no address: write NAME: ADDRESS, "
                                                      "... and in braces quotes around several: NAME: "
                                                      "\"ADDRESS, ADDRESS\"\n" },
        { "table a file /torn", "/torn:1:12: nothing follows this comma\n" },
        { "table a file /odd",
          "/odd:1:1: '|prog' runs a program, which is not supported: name an address\n"
          "/odd:2:1: '/var/mail/b' is a file, which is not supported: write an action with a mailbox for it, and name "
          "an "
          "address\n"
          "/odd:3:1: ':include:/list' includes a file, which is not supported: name the addresses\n"
          "/odd:4:1: 'd:e' has no blank behind its colon: write NAME: ADDRESS, ...\n"
          "/odd:5:6: 'h' is unexpected: there is one key on each line, and commas are between values\n"
          "/odd:6:1: 'j@' is not a domain\n"
          "/odd:7:1: 'k' has no address: write NAME: ADDRESS, ...\n"
          "/odd:8:1: 'l' has no address: write NAME: ADDRESS, ... and in braces quotes around several: NAME: "
          "\"ADDRESS, "
          "ADDRESS\"\n"
          "/odd:9:1: 'a b' is not a plain address: write local@domain\n" },
        { "table aa file /aliases", "c:4:43: unknown table 'a'\n" },
    };
    (void)state;
    check_rows(rows, ROWS(rows),
               "hostname mx.example.org\nlisten *:25\naction in maildir %{home}/Maildir aliases "
               "<a>\nmatch for local action in\nmatch from local for any reject\n");
}

static void test_alias_find(void **state)
{
    static const char text[] = BASE "table a { root: \" alice ,, bob@example.net\", Root@Example.Net: carl }\n"
                                    "action with mbox /m/%{local} user m aliases <a>\n";
    struct conf conf;
    struct view address;
    (void)state;
    assert_null(test_parse_text(&conf, text));
    const struct conf_action *action = conf_action_find(&conf, VIEW("with"));
    assert_null(conf_alias_find(action, VIEW("x"), VIEW("x@example.org")));
    assert_null(conf_alias_find(conf_action_find(&conf, VIEW("in")), VIEW("root"), VIEW("root@example.org")));
    struct view rest = conf_alias_find(action, VIEW("ROOT"), VIEW("ROOT@example.org"))->value;
    assert_true(conf_alias_next(&rest, &address) && view_equal(address, VIEW("alice")));
    assert_true(conf_alias_next(&rest, &address) && view_equal(address, VIEW("bob@example.net")));
    assert_false(conf_alias_next(&rest, &address));
    rest = conf_alias_find(action, VIEW("root"), VIEW("root@example.net"))->value;
    assert_true(conf_alias_next(&rest, &address) && view_equal(address, VIEW("carl")));
    conf_free(&conf);
}

#define OPEN(n)                                                                                                        \
    "c:" n                                                                                                             \
    ":1: this rule relays for everybody, and an open relay is soon full of spam; write for this machine alone: "       \
    "match from local for any action out, for your network: match from network 192.0.2.0/24 for any action out\n"

#define POSTMASTER                                                                                                     \
    "c: nobody gets the mail for postmaster, which every mail server has to take; write: postmaster LOCAL@DOMAIN\n"

/* H75 H76 */
static void test_open_relay(void **state)
{
    static const struct row rows[] = {
        { "match for any action out", OPEN("1") },
        { "match from any for any action out", OPEN("1") },
        { "match from network 0.0.0.0/0 for any action out", OPEN("1") },
        { "match from network ::/0 for any action out", OPEN("1") },
        { "match from network 2000::/3 for any action out", OPEN("1") },
        { "match from network <n> for any action out\ntable n { 10.0.0.0/8, 0.0.0.0/0 }", OPEN("1") },
        { "match from network 10.0.0.0/8 for any action out", POSTMASTER },
        { "match from network 2001:db8::/32 for any action out", POSTMASTER },
        { "match from local for any action out", POSTMASTER },
    };
    (void)state;
    check_rows(rows, ROWS(rows), "hostname mx.example.org\nlisten *:25\naction out relay\n");
}

static void test_advice(void **state)
{
    static const char start[] = "hostname mx.example.org\nlisten *:25\naction in maildir %{home}/Maildir\n";
    static const struct row rows[] = {
        { "match for local action in", "c: nothing is relayed: users here cannot write to other domains; if they "
                                       "should, add: action out relay, and: "
                                       "match from local for any action out\n" },
        { "match for local action in\nmatch from local for any reject", "" },
        { "match for local action in\naction out relay",
          "c:2:8: no rule uses 'out', so nothing is relayed by it; add: match from local for any action out\n" },
        { "match for local action in\naction out relay" OUT, "" },
        { "match for domain a.example action in\naction out relay" OUT, POSTMASTER },
        { "match for domain a.example action in\naction out relay\npostmaster x@a.example" OUT, "" },
        { "match for domain a.example action in\naction out relay\npostmaster x@b.example" OUT,
          "c: no rule takes mail from outside for x@b.example, who is postmaster\n" },
        { "match for local action in\nmatch for domain a.example action v\naction v maildir /v/%{local} user v users "
          "<u>\ntable u { x }\naction out relay" OUT,
          "c:2:1: postmaster@a.example is refused, which every mail domain has to take; add postmaster to its "
          "users\n" },
        { "match for local action in\nmatch for domain a.example action v\naction v maildir /v/%{local} user v users "
          "<u> "
          "aliases <n>\ntable u { x }\ntable n { Postmaster: x }\naction out relay" OUT,
          "" },
    };
    (void)state;
    check_rows(rows, ROWS(rows), start);
}

static void test_fit(void **state)
{
    static const char text[] = BASE "action out relay\nmatch from local for any action out\n";
    struct conf conf;
    struct address client;
    (void)state;
    assert_true(address_parse_ip(VIEW("192.0.2.1"), &client));
    assert_null(test_parse_text(&conf, text));
    const struct conf_match *first = conf.matches;
    assert_int_equal(conf_match_fit(&conf, first, &client, VIEW("x.example")), CONF_OTHER_RECIPIENT);
    assert_int_equal(conf_match_fit(&conf, first->next, &client, VIEW("x.example")), CONF_OTHER_CLIENT);
    assert_int_equal(conf_match_fit(&conf, first->next, NULL, VIEW("x.example")), CONF_FITS);
    assert_ptr_equal(conf_match_find(&conf, NULL, VIEW("x.example")), first->next);
    assert_null(conf_match_find(&conf, &client, VIEW("x.example")));
    conf_free(&conf);
}

static void test_fixed(void **state)
{
    static const struct {
        const char *text, *name;
    } rows[] = {
        { "", NULL },
        { "limit sessions 3\n", NULL },
        { "spool /other\n", "spool" },
        { "workers 3\n", "workers" },
        { "limit spool_free 3M\n", "spool_free" },
    };
    struct conf now, next;
    (void)state;
    assert_null(test_parse_text(&now, BASE));
    for (size_t i = 0; i < ROWS(rows); i++) {
        char text[1024];
        snprintf(text, sizeof text, "%s%s", BASE, rows[i].text);
        assert_null(test_parse_text(&next, text));
        const char *name = conf_fixed_change(&now, &next);
        assert_row(name ? rows[i].name && strcmp(name, rows[i].name) == 0 : !rows[i].name, rows[i].text);
        conf_free(&next);
    }
    conf_free(&now);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_relay),      cmocka_unit_test(test_retry),  cmocka_unit_test(test_aliases),
        cmocka_unit_test(test_alias_find), cmocka_unit_test(test_advice), cmocka_unit_test(test_open_relay),
        cmocka_unit_test(test_fit),        cmocka_unit_test(test_fixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
