#include "conf/glance.h"

#include "base/test.h"

static const struct {
    const char *text, *hostname, *server;
} rows[] = {
    { "", "", "" },
    { "hostname mx.example.org\nlisten *:25\n", "mx.example.org", "127.0.0.1:25" },
    { "hostname \"mx.example.org\" # ours\nlisten 0.0.0.0:2525", "mx.example.org", "127.0.0.1:2525" },
    { "listen 192.0.2.1:25\nlisten [::1]:26\nlisten 127.0.0.1:27\n", "", "[::1]:26" },
    { "listen [::]:587 submission\nlisten *:25\n", "", "127.0.0.1:587" },
    { "listen 192.0.2.1:25\n", "", "" },
    { "listen unix:/x\nlisten *:0\nlisten\n\nhostname\nlisten *:24", "", "127.0.0.1:24" },
    { "table t { listen, *:25, hostname, x }\n", "", "" },
    { "match from any for domain \"broken\nlisten *:25\nnonsense { \nhostname h.example\n", "h.example",
      "127.0.0.1:25" },
    { "listen \\\n *:25\n", "", "127.0.0.1:25" },
};

static void glances(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        char memory[ADDRESS_TEXT_MAX];
        struct buffer server = BUFFER_OF(memory);
        struct conf_glance glance;
        struct arena arena;
        arena_init(&arena, 4096, 1u << 20);
        conf_glance(&glance, view_of(rows[i].text), &arena);
        if (glance.server.set)
            address_add(&server, &glance.server);
        assert_row(view_equal(glance.hostname, view_of(rows[i].hostname)), rows[i].text);
        assert_row(view_equal(buffer_view(&server), view_of(rows[i].server)), rows[i].text);
        arena_reset(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(glances) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
