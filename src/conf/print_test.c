#include "conf/test.h"

static char text[65536], again[65536];

static void print(const struct conf *conf, char *to)
{
    struct buffer out = { to, 0, sizeof text - 1, false };
    assert_true(conf_print(conf, &out));
    to[out.len] = '\0';
}

/* Everything that has a place in the file, none of it with its default value. */
static const struct test_file full[] = {
    { "c",
      "hostname MX.example.org\n"
      "greeting \"say \\\"hello\\\", or \\\\ #\"\n"
      "postmaster admin+x@example.org\n"
      "user post\nspool \"/srv/my spool\"\nsegment 16M\nlog text\nworkers 3\n"
      "listen *:25\nlisten [::1]:2525 lenient\nlisten [fe80::1%3]:26\nlisten 192.0.2.1:0\n"
      "table empty {}\n"
      "table users file /users\n"
      "table domains { Example.NET, .lists.example.org }\n"
      "table nets { 2001:db8::/32, 10.0.0.0/8, ::ffff:192.0.2.0/120, 198.51.100.7 }\n"
      "action inbox maildir %{home}/Maildir\n"
      "action virtual maildir \"/srv/all mail/%{domain}/%{local}\" user vmail users <users>\n"
      "action known mbox /var/mail/%{user} users <empty> biff\n"
      "action drop discard\naction keep hold\n"
      "table names file /names\n"
      "action posted mbox /var/mail/%{user} aliases <names> users <empty>\n"
      "action out relay\naction submit relay port 587\n"
      "action hub relay via 192.0.2.7:26 [2001:db8::1] Hub.example.net hub.example.net:2525\n"
      "match from network 0.0.0.0/0 for domain spam.example reject\n"
      "match from network ::ffff:10.0.0.0/104 for domain .Example.com action drop\n"
      "match from network ::/1 for domain x.example action drop\n"
      "match from network <nets> for any action keep\n"
      "match from local for local action inbox\n"
      "match for domain <domains> action virtual\n"
      "match from any for domain known.example action known\n"
      "match from any for domain posted.example action posted\n"
      "match for domain back.example action hub\nmatch from local for any action out\n"
      "retry 90s 2h expire 3d warn never\n"
      "dns forward 127.0.0.1:5353\ndns stub Test [::1]\ndns insecure test\n"
      "limit message_size 1000001\nlimit recipients 100\nlimit sessions 5\nlimit errors 7\n"
      "limit command_time 1500ms\nlimit data_time 2h\nlimit receive_memory 1M\nlimit spool_free 0\n"
      "limit local_jobs 9\nlimit relay_sessions 1\nlimit relay_destination 2\nlimit relay_jobs 3\nlimit hops 10\n" },
    { "/users", "alice\nbob@example.net: \"a: b\"\n\"a \\\"quoted\\\" one\"\n\"ends in:\" : v\n\"'}\"\n\"#no "
                "comment\"\n\"}\"\n%{x}\n" },
    { "/names", "root: alice, bob@example.org,\n  carl,\n# between\n\tdora\nInfo: root\nx@example.org: y\n" },
    { NULL, NULL },
};

static void same_entries(const struct conf_table *a, const struct conf_table *b)
{
    assert_int_equal(a->are_aliases, b->are_aliases);
    assert_int_equal(a->entry_count, b->entry_count);
    assert_int_equal(a->are_domains, b->are_domains);
    assert_int_equal(a->networks == NULL, b->networks == NULL);
    for (size_t i = 0; i < a->entry_count; i++) {
        assert_row(view_equal(a->entries[i].key, b->entries[i].key), a->name.at);
        assert_row(view_equal(a->entries[i].value, b->entries[i].value), a->name.at);
    }
    if (a->networks)
        assert_memory_equal(a->networks, b->networks, a->entry_count * sizeof *a->networks);
}

static bool same_name(const struct conf_table *a, const struct conf_table *b)
{
    return a && b ? view_equal(a->name, b->name) : a == b;
}

static void same_hops(const struct conf_hop *a, const struct conf_hop *b)
{
    for (; a && b; a = a->next, b = b->next) {
        assert_true(view_equal(a->host, b->host) && a->port == b->port && a->is_address == b->is_address);
        assert_memory_equal(&a->address, &b->address, sizeof a->address);
    }
    assert_true(!a && !b);
}

static void same_outgoing(const struct conf *a, const struct conf *b)
{
    const struct conf_dns *d = a->dns, *e = b->dns;
    assert_memory_equal(&a->retry, &b->retry, sizeof a->retry);
    for (; d && e; d = d->next, e = e->next) {
        assert_true(d->kind == e->kind && view_equal(d->zone, e->zone));
        assert_memory_equal(&d->server, &e->server, sizeof d->server);
    }
    assert_true(!d && !e);
}

static void same_actions(const struct conf_action *a, const struct conf_action *b)
{
    for (; a && b; a = a->next, b = b->next) {
        assert_true(view_equal(a->name, b->name) && a->kind == b->kind && a->number == b->number);
        assert_int_equal(a->biff, b->biff);
        assert_true(view_equal(a->path, b->path) && view_equal(a->user, b->user) && same_name(a->users, b->users));
        assert_true(same_name(a->aliases, b->aliases) && a->port == b->port);
        same_hops(a->hops, b->hops);
    }
    assert_true(!a && !b);
}

static void same_matches(const struct conf_match *a, const struct conf_match *b)
{
    for (; a && b; a = a->next, b = b->next) {
        assert_true(a->from == b->from && a->to == b->to && view_equal(a->domain, b->domain));
        assert_memory_equal(&a->network, &b->network, sizeof a->network);
        assert_true(same_name(a->from_table, b->from_table) && same_name(a->to_table, b->to_table));
        assert_true(a->action && b->action ? view_equal(a->action->name, b->action->name) : a->action == b->action);
    }
    assert_true(!a && !b);
}

static void same_conf(const struct conf *a, const struct conf *b)
{
    assert_true(view_equal(a->hostname, b->hostname) && view_equal(a->greeting, b->greeting));
    assert_true(view_equal(a->spool, b->spool) && view_equal(a->postmaster, b->postmaster) &&
                view_equal(a->user, b->user));
    assert_true(a->segment_size == b->segment_size && a->workers == b->workers && a->log_text == b->log_text);
    assert_memory_equal(&a->limits, &b->limits, sizeof a->limits);
    const struct conf_listen *l = a->listens, *m = b->listens;
    for (; l && m; l = l->next, m = m->next) {
        assert_memory_equal(&l->address, &m->address, sizeof l->address);
        assert_int_equal(l->lenient, m->lenient);
    }
    assert_true(!l && !m);
    const struct conf_table *t = a->tables, *u = b->tables;
    for (; t && u; t = t->next, u = u->next)
        same_entries(t, u);
    assert_true(!t && !u);
    same_actions(a->actions, b->actions);
    same_matches(a->matches, b->matches);
    same_outgoing(a, b);
}

static void test_round_trip(void **state)
{
    struct conf conf, copy;
    (void)state;
    const struct conf_error *error = test_parse(&conf, full);
    if (error)
        fail_msg("%s", test_errors(error, text, sizeof text));
    print(&conf, text);
    error = test_parse_text(&copy, text);
    if (error)
        fail_msg("%s\n%s", text, test_errors(error, again, sizeof again));
    same_conf(&conf, &copy);
    print(&copy, again);
    assert_string_equal(text, again);
    conf_free(&conf);
    conf_free(&copy);
}

static void test_defaults(void **state)
{
    static const char expected[] =
        "hostname mx.example.org\nuser gonets\nspool /var/spool/gonets\nsegment 64M\nlog json\nworkers 0\n"
        "listen [::]:25\n"
        "action inbox maildir %{home}/Maildir\n"
        "match from any for domain example.org action inbox\n"
        "retry 1m 5m 30m 2h expire 5d warn 4h\n"
        "limit message_size 50M\nlimit recipients 1000\nlimit sessions 10000\nlimit errors 20\n"
        "limit command_time 5m\nlimit data_time 5m\nlimit receive_memory 256M\nlimit spool_free 64M\n"
        "limit local_jobs 256\nlimit relay_sessions 500\nlimit relay_destination 20\nlimit relay_jobs 10000\nlimit "
        "hops 100\n";
    struct conf conf;
    (void)state;
    assert_null(test_parse_text(&conf, "hostname mx.example.org\nlisten *:25\naction inbox maildir %{home}/Maildir\n"
                                       "match for domain Example.org action inbox\n"));
    print(&conf, text);
    assert_string_equal(text, expected);
    conf_free(&conf);
}

static void test_no_room(void **state)
{
    struct conf conf;
    (void)state;
    assert_null(test_parse(&conf, full));
    print(&conf, text);
    for (size_t size = 0; size < strlen(text); size++) {
        struct buffer out = { again, 0, size, false };
        assert_false(conf_print(&conf, &out));
        assert_in_range(out.len, 0, size);
    }
    struct buffer out = { again, 0, 100, false };
    assert_false(conf_print_limits(&conf, &out));
    conf_free(&conf);
}

static void test_limits(void **state)
{
    struct conf conf;
    struct buffer out = BUFFER_OF(text);
    (void)state;
    assert_null(test_parse(&conf, full));
    assert_true(conf_print_limits(&conf, &out));
    struct view rest = buffer_view(&out);
    static const char *const values[][2] = { { "message_size", "1000001" },
                                             { "recipients", "100" },
                                             { "sessions", "5" },
                                             { "errors", "7" },
                                             { "command_time", "1500ms" },
                                             { "data_time", "2h" },
                                             { "receive_memory", "1M" },
                                             { "spool_free", "0" },
                                             { "local_jobs", "9" },
                                             { "relay_sessions", "1" },
                                             { "relay_destination", "2" },
                                             { "relay_jobs", "3" },
                                             { "hops", "10" } };
    for (size_t i = 0; i < ROWS(values); i++) {
        struct view line = view_take_until(&rest, '\n');
        assert_row(view_equal(view_take_word(&line), view_of(values[i][0])), values[i][0]);
        assert_row(view_equal(view_take_word(&line), view_of(values[i][1])), values[i][0]);
        assert_row(line.len > 10, values[i][0]);
    }
    assert_int_equal(rest.len, 0);
    conf_free(&conf);
}

/* Whatever is read as good prints as text that is read as the same. */
static void try_text(const char *from, size_t len)
{
    struct conf conf, copy;
    struct test_file files[] = { { "c", from }, full[1], full[2], { NULL, NULL } };
    char *exact = malloc(len + 1); /* so that reading beyond is seen */
    memcpy(exact, from, len);
    exact[len] = '\0';
    files[0].text = exact;
    if (!test_parse(&conf, files)) {
        print(&conf, text);
        assert_null(test_parse_text(&copy, text));
        same_conf(&conf, &copy);
        conf_free(&copy);
    }
    conf_free(&conf);
    free(exact);
}

static void test_prefixes(void **state)
{
    (void)state;
    for (size_t len = 0; len <= strlen(full[0].text); len++)
        try_text(full[0].text, len);
}

static void test_mutations(void **state)
{
    static const char alphabet[] = "\"\\{}<>,:#%. \n\r\tab0159/@-*[]\1\x80\xff";
    static const char *const words[] = { "match ",  "for ",     "any ", "<users>",  "%{local}",
                                         "action ", "reject\n", "\\\n", "table x {" };
    uint64_t seed = 42;
    (void)state;
    for (int round = 0; round < 10000; round++) {
        char mutant[4096];
        size_t len = strlen(full[0].text);
        memcpy(mutant, full[0].text, len);
        for (uint64_t n = 1 + test_random(&seed) % 3; n; n--) {
            size_t at = test_random(&seed) % len, cut = test_random(&seed) % 4 ? 1 : test_random(&seed) % (len - at);
            const char *word = words[test_random(&seed) % ROWS(words)];
            switch (test_random(&seed) % 4) {
            case 0:
                mutant[at] = alphabet[test_random(&seed) % (sizeof alphabet - 1)];
                break;
            case 1:
                memmove(mutant + at, mutant + at + cut, len - at - cut);
                len -= cut;
                break;
            case 2:
                memmove(mutant + at + strlen(word), mutant + at, len - at);
                memcpy(mutant + at, word, strlen(word));
                len += strlen(word);
                break;
            default:
                mutant[at] = (char)test_random(&seed);
            }
        }
        try_text(mutant, len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_defaults), cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_limits),     cmocka_unit_test(test_prefixes), cmocka_unit_test(test_mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
