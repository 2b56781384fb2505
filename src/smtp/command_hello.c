/* HELO and EHLO (RFC 5321 section 4.1.1.1). */
#include "smtp/command.h"

#include <assert.h>

/* Neither controls, blanks nor bytes above 127 (H23, H41). Whether it is a name that exists, or one at all, is the
 * caller's question. */
static bool name_is_harmless(struct view name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!ascii_is_print(name.at[i]) || name.at[i] == ' ')
            return false;
    return name.len <= SMTP_HELLO_NAME_MAX;
}

static const char *name_fault(struct view name, struct view rest, bool lenient)
{
    if (!name.len)
        return lenient ? NULL : "a host name is needed: HELO host.example or EHLO host.example";
    if (!name_is_harmless(name))
        return "this is no host name";
    /* After an address literal some clients say more (the same section). */
    if (rest.len && name.at[0] != '[' && !lenient)
        return "only one host name is wanted";
    return NULL;
}

/* RFC 2034 section 4: no status code in any reply to HELO or EHLO. */
static void hello(struct smtp_server *server, struct view arguments, bool extended, struct buffer *out)
{
    struct view name = view_take_word(&arguments);
    const char *fault = name_fault(name, view_trim(arguments), server->profile->lenient);
    if (fault) {
        struct smtp_reply reply = { 501, { 0, 0, 0 }, view_of(fault), false };
        smtp_server_fault(server, &reply, out);
        return;
    }
    server->hello_name = name;
    server->was_extended = server->extended;
    server->extended = extended;
    smtp_server_ask(server, SMTP_SERVER_HELLO);
}

void smtp_command_helo(struct smtp_server *server, struct view arguments, struct buffer *out)
{
    hello(server, arguments, false, out);
}

void smtp_command_ehlo(struct smtp_server *server, struct view arguments, struct buffer *out)
{
    hello(server, arguments, true, out);
}

/* What works here, and nothing else. SIZE 0: no fixed maximum (RFC 1870 section 4). */
static void add_extensions(struct buffer *text, const struct smtp_server_profile *profile)
{
    buffer_add_text(text, "\nPIPELINING\nSIZE ");
    buffer_add_u64(text, profile->size_max);
    buffer_add_text(text, "\n8BITMIME\nENHANCEDSTATUSCODES\nHELP");
}

void smtp_hello_accept(struct smtp_server *server, struct view text, struct buffer *out)
{
    char memory[SMTP_LINE_MAX + 256];
    struct buffer whole = BUFFER_OF(memory);
    buffer_add(&whole, server->profile->hostname);
    /* A second line would read as an extension. */
    struct view words = view_slice(text, 0, view_find(text, '\n'));
    if (words.len) {
        buffer_add_char(&whole, ' ');
        buffer_add(&whole, view_slice(words, 0, SMTP_LINE_MAX - whole.len));
    }
    if (server->extended)
        add_extensions(&whole, server->profile);
    assert(!whole.full);
    struct smtp_reply reply = { 250, { 0, 0, 0 }, buffer_view(&whole), false };
    smtp_server_say(server, &reply, out);
}
