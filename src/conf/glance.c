#include "conf/glance.h"

#include <string.h>

#include "conf/lex.h"

static bool is_any(const struct address *address)
{
    static const uint8_t any4[16] = { [10] = 0xff, [11] = 0xff }, any6[16] = { 0 };
    return memcmp(address->ip, any4, sizeof any4) == 0 || memcmp(address->ip, any6, sizeof any6) == 0;
}

/* "*:25" listens on 127.0.0.1 too, and so does 0.0.0.0. */
static void take_listen(struct conf_glance *glance, struct view text)
{
    struct address address;
    if (glance->server.set || !address_parse(text, &address))
        return;
    if (is_any(&address))
        address_parse_ip(VIEW("127.0.0.1"), &address);
    if (address_is_loopback(&address) && address.port)
        glance->server = address;
}

static void take_statement(struct conf_glance *glance, struct view name, struct view argument)
{
    if (view_equal(name, VIEW("hostname")))
        glance->hostname = argument;
    else if (view_equal(name, VIEW("listen")))
        take_listen(glance, argument);
}

void conf_glance(struct conf_glance *glance, struct view text, struct arena *arena)
{
    struct conf_lexer lexer;
    struct conf_word word = { .kind = CONF_LINE_END };
    struct view name = VIEW_NONE;
    unsigned at = 0; /* word of the line */
    *glance = (struct conf_glance){ 0 };
    for (conf_lexer_init(&lexer, VIEW_NONE, 0, text, arena); word.kind != CONF_FILE_END;
         conf_lexer_next(&lexer, &word)) {
        if (word.kind == CONF_LINE_END)
            at = 0;
        else if (word.kind == CONF_WORD && at++ == 0)
            name = word.text;
        else if (word.kind == CONF_WORD && at == 2)
            take_statement(glance, name, word.text);
    }
}
