#include "conf/test.h"

static bool expand(const char *template, struct view local, struct view domain, char *to, size_t size)
{
    struct conf_values values = { local, domain, VIEW("First.Last"), VIEW("/home/al ice") };
    struct buffer out = { to, 0, size - 1, false };
    bool good = conf_expand(&out, view_of(template), &values);
    to[out.len] = '\0';
    return good;
}

/* H29: values are data, whatever they look like. H35: they stay within their component. */
/* H29 H35 */
static void test_rows(void **state)
{
    static const struct {
        const char *template, *local, *domain, *path; /* NULL: refused */
    } rows[] = {
        { "/srv/%{domain}/%{local}", "bob", "example.org", "/srv/example.org/bob" },
        { "/srv/%{domain}/%{local}", "Bob", "Example.ORG", "/srv/example.org/bob" },
        { "/srv/%{address}", "bob", "example.org", "/srv/bob@example.org" },
        { "/srv/%{address}", "b@b", "example.org", "/srv/b%40b@example.org" },
        { "/srv/x-%{local}.d/in", "bob", "", "/srv/x-bob.d/in" },
        { "%{home}/Maildir", "", "", "/home/al ice/Maildir" },
        { "%{home}", "", "", "/home/al ice" },
        { "/var/mail/%{user}", "", "", "/var/mail/First.Last" },
        { "/fixed", "", "", "/fixed" },
        { "/%{local}", "a/b", "", "/a%2Fb" },
        { "/%{local}", "../../etc/passwd", "", "/%2E.%2F..%2Fetc%2Fpasswd" },
        { "/%{local}", "..", "", "/%2E." },
        { "/%{local}", ".", "", "/%2E" },
        { "/%{local}", ".hidden", "", "/%2Ehidden" },
        { "/%{local}", "a.b.", "", "/a.b." },
        { "/%{local}", "a+b-c_d=e", "", "/a+b-c_d=e" },
        { "/%{local}", "-rf", "", "/-rf" },
        { "/%{local}", "a%2Fb", "", "/a%252fb" },
        { "/%{local}", "%{domain}", "x.example", "/%25%7Bdomain%7D" },
        { "/%{local}", "%{home}", "", "/%25%7Bhome%7D" },
        { "/%{local}", "${run{touch x}}", "", "/%24%7Brun%7Btouch%20x%7D%7D" },
        { "/%{local}", "$(id)`id`;id|id&", "", "/%24%28id%29%60id%60%3Bid%7Cid%26" },
        { "/%{local}", "%n%s", "", "/%25n%25s" },
        { "/%{local}", "~root", "", "/%7Eroot" },
        { "/%{local}", "\xc3\xa9\r\n\x1b", "", "/%C3%A9%0D%0A%1B" },
        { "/%{local}", "", "example.org", NULL },
        { "/%{domain}", "bob", "", NULL },
        { "/%{address}", "bob", "", NULL },
        { "/%{address}", "", "example.org", NULL },
    };
    char path[CONF_PATH_MAX + 1];
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        bool good = expand(rows[i].template, view_of(rows[i].local), view_of(rows[i].domain), path, sizeof path);
        if (good != (rows[i].path != NULL) || strcmp(path, good ? rows[i].path : "") != 0)
            fail_msg("row %zu: %s with '%s': %s", i, rows[i].template, rows[i].local, good ? path : "refused");
    }
    assert_true(expand("/%{local}", VIEW("a\0b"), VIEW_NONE, path, sizeof path));
    assert_string_equal(path, "/a%00b");
}

static void test_homes(void **state)
{
    static const struct {
        const char *home;
        bool good;
    } rows[] = { { "/home/a", true },        { "", false },    { "home/a", false },
                 { "/home/../root", false }, { "/..", false }, { "/a..b", true } };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        char path[CONF_PATH_MAX];
        struct buffer out = BUFFER_OF(path);
        struct conf_values values = { .home = view_of(rows[i].home) };
        assert_row(conf_expand(&out, VIEW("%{home}/Maildir"), &values) == rows[i].good, rows[i].home);
        assert_row((out.len > 0) == rows[i].good, rows[i].home);
    }
}

/* At most 200 bytes of a value; at most what the buffer holds; the buffer is as before when it does not fit. */
static void test_bounds(void **state)
{
    char value[300], path[CONF_PATH_MAX + 1];
    memset(value, 'a', sizeof value);
    (void)state;
    assert_true(expand("/%{local}", (struct view){ value, 200 }, VIEW_NONE, path, sizeof path));
    assert_int_equal(strlen(path), 201);
    assert_false(expand("/%{local}", (struct view){ value, 201 }, VIEW_NONE, path, sizeof path));
    assert_true(expand("/%{address}", (struct view){ value, 64 }, (struct view){ value, 135 }, path, sizeof path));
    assert_false(expand("/%{address}", (struct view){ value, 64 }, (struct view){ value, 136 }, path, sizeof path));
    memset(value, '/', sizeof value);
    assert_true(expand("/%{local}", (struct view){ value, 66 }, VIEW_NONE, path, sizeof path));
    assert_false(expand("/%{local}", (struct view){ value, 67 }, VIEW_NONE, path, sizeof path));
    for (size_t size = 1; size < 15; size++)
        assert_int_equal(expand("/abc/%{local}", VIEW("12/45"), VIEW_NONE, path, size), size > 12);
    struct buffer out = BUFFER_OF(path);
    buffer_add_text(&out, "kept");
    assert_false(conf_expand(&out, VIEW("/abc/%{local}"), &(struct conf_values){ 0 }));
    assert_true(view_equal(buffer_view(&out), VIEW("kept")));
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* No two values of up to two bytes share a path, letter case apart; none leaves its component. */
/* H35 */
static void test_injective(void **state)
{
    static char paths[256 + 65536][8];
    size_t count = 0;
    (void)state;
    for (unsigned n = 0; n < 256 + 65536; n++) {
        char value[2] = { n < 256 ? (char)n : (char)((n - 256) >> 8), (char)n };
        if (ascii_lower(value[0]) != value[0] || ascii_lower(value[1]) != value[1])
            continue;
        assert_true(
            expand("%{local}", (struct view){ value, n < 256 ? 1 : 2 }, VIEW_NONE, paths[count], sizeof *paths));
        assert_null(strchr(paths[count], '/'));
        assert_int_not_equal(paths[count][0], '.');
        count++;
    }
    qsort(paths, count, sizeof *paths, compare_paths);
    for (size_t i = 1; i < count; i++)
        assert_row(strcmp(paths[i - 1], paths[i]) != 0, paths[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_homes),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_injective),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
