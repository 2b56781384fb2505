#include "deliver/place.h"

#include "base/test.h"

#include <string.h>

/* H35 */
static void test_place(void **state)
{
    static const struct {
        const char *pattern, *local, *base, *rest; /* base NULL: no such mailbox */
    } rows[] = {
        { "%{home}/Maildir", "joe", "/home/joe", "Maildir" },
        { "%{home}/mail/in/", "joe", "/home/joe", "mail/in" },
        { "/var/mail/%{user}", "joe", "/var/mail", "acct" },
        { "/var/vmail/%{domain}/%{local}/Maildir", "Joe", "/var/vmail", "example.org/joe/Maildir" },
        { "/var/vmail/x%{local}", "joe", "/var/vmail", "xjoe" },
        { "/%{address}", "joe", "/", "joe@example.org" },
        { "/srv/all", "joe", "/srv", "all" },
        { "Maildir", "joe", "", "Maildir" },
        { "%{domain}/%{local}", "joe", "", "example.org/joe" },
        { "/v/%{local}", "../../x", "/v", "%2E.%2F..%2Fx" },
        { "/v/%{local}", ".", "/v", "%2E" },
        { "/v/%{local}", "a/b", "/v", "a%2Fb" },
        { "/v/%{local}", "a%2Fb", "/v", "a%252fb" },
        { "/v/%{local}", "a+../../b", "/v", "a+..%2F..%2Fb" },
        { "/v/../%{local}", "x", "/v/..", "x" }, /* what the administrator wrote is taken as it is */
        { "/v/%{local}/../x", "y", NULL, NULL },
        { "/v/%{local}//x", "y", NULL, NULL },
        { "/v/%{nothing}", "y", NULL, NULL },
        { "", "y", NULL, NULL },
        { "/", "y", NULL, NULL },
        { "%{home}", "y", NULL, NULL },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct deliver_place place;
        const struct conf_values values = { view_of(rows[i].local), VIEW("example.org"), VIEW("acct"),
                                            VIEW("/home/joe") };
        bool good = deliver_place_fill(&place, view_of(rows[i].pattern), &values);
        assert_row(good == (rows[i].base != NULL), rows[i].pattern);
        if (!good)
            continue;
        assert_row(strcmp(place.base, rows[i].base) == 0, rows[i].pattern);
        assert_row(strcmp(place.rest, rows[i].rest) == 0, rows[i].pattern);
    }
}

/* H35 */
static void test_long_names(void **state)
{
    char local[301];
    struct deliver_place place;
    (void)state;
    memset(local, 'x', sizeof local);
    for (size_t len = 1; len <= 300; len++) {
        const struct conf_values values = { { local, len }, VIEW("d"), VIEW("u"), VIEW("/h") };
        assert_true(deliver_place_fill(&place, VIEW("/v/%{local}"), &values) == (len <= DELIVER_NAME_MAX));
        assert_true(deliver_place_fill(&place, VIEW("/v/abc%{local}"), &values) == (len + 3 <= DELIVER_NAME_MAX));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_place), cmocka_unit_test(test_long_names) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
