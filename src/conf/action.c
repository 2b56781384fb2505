/* Actions: what happens to accepted mail. */
#include "conf/parser.h"

static bool parse_user(struct conf_parser *p, struct conf_action *action)
{
    struct conf_word word;
    if (!conf_take(p, &word))
        return false;
    const char *bad = conf_account_check(word.text, 32);
    if (view_equal(word.text, VIEW("root")))
        bad = "never owns mailboxes: name another account";
    if (!bad && action->user.len)
        bad = "is a second user of this action";
    if (bad)
        conf_say_bad(p, &word, bad);
    action->user = word.text;
    return !bad;
}

static bool parse_table(struct conf_parser *p, const struct conf_reference *reference, bool again)
{
    struct conf_reference known = *reference;
    if (!conf_take(p, &known.word))
        return false;
    const char *bad = again                            ? "is a second table of this kind"
                      : conf_is_reference(&known.word) ? NULL
                                                       : "is not a table: write <NAME>";
    if (bad)
        conf_say_bad(p, &known.word, bad);
    else
        conf_refer(p, &known);
    return !bad;
}

/* One option of a mailbox; *seen: bit for each that was there. */
static bool parse_option(struct conf_parser *p, struct conf_action *action, unsigned *seen)
{
    static const char *const maildir[] = { "user", "users", "aliases", NULL };
    static const char *const mbox[] = { "user", "users", "aliases", "biff", NULL };
    const struct conf_reference users = { .use = CONF_USE_USERS, .table = &action->users };
    const struct conf_reference aliases = { .use = CONF_USE_ALIASES, .table = &action->aliases };
    int option = conf_choose(p, action->kind == CONF_MBOX ? mbox : maildir);
    if (option < 0)
        return false;
    action->biff |= option == 3;
    bool again = *seen >> option & 1;
    *seen |= 1u << option;
    if (option == 3)
        return true;
    return option == 0 ? parse_user(p, action) : parse_table(p, option == 1 ? &users : &aliases, again);
}

static bool parse_mailbox(struct conf_parser *p, struct conf_action *action)
{
    struct conf_word template;
    bool good = true;
    unsigned seen = 0;
    if (!conf_take(p, &template))
        return false;
    const char *bad = conf_template_check(template.text);
    if (bad)
        conf_say_bad(p, &template, bad);
    action->path = template.text;
    while (good && conf_more(p))
        good = parse_option(p, action, &seen);
    return good && !bad;
}

/* The rest of the statement: hosts. */
static bool parse_via(struct conf_parser *p, struct conf_action *action)
{
    struct conf_hop **end = &action->hops;
    unsigned count = 0;
    do {
        struct conf_hop *hop = conf_alloc(p, sizeof *hop);
        if (!hop || !conf_parse_hop(p, hop))
            return false;
        if (++count > CONF_HOPS_MAX) {
            conf_say(p, &p->statement, "more than %u hosts", CONF_HOPS_MAX);
            return false;
        }
        *end = hop;
        end = &hop->next;
    } while (conf_more(p));
    return true;
}

static bool parse_relay(struct conf_parser *p, struct conf_action *action)
{
    static const char *const options[] = { "via", "port", NULL };
    action->port = CONF_SMTP_PORT;
    if (!conf_more(p))
        return true;
    if (p->word.kind == CONF_WORD && view_has(p->word.text, '.')) {
        conf_say_bad(p, &p->word, "lacks a word before it: write relay via HOST");
        return false;
    }
    int option = conf_choose(p, options);
    return option == 0 ? parse_via(p, action) : option == 1 && conf_parse_port(p, &action->port);
}

/* An action with an error in it is there all the same, so that what uses it is not wrong too. */
static struct conf_action *begin_action(struct conf_parser *p, const struct conf_word *name)
{
    const char *bad = conf_name_check(name->text);
    if (!bad && conf_action_find(p->conf, name->text))
        bad = "names two actions";
    if (bad)
        conf_say_bad(p, name, bad);
    if (bad || !conf_below_max(p, &p->action_count, "actions"))
        return NULL;
    struct conf_action *action = conf_alloc(p, sizeof *action);
    if (!action)
        return NULL;
    action->name = name->text;
    action->number = p->action_count - 1;
    action->file = name->file;
    action->line = name->line;
    action->column = name->column;
    *p->actions_end = action;
    p->actions_end = &action->next;
    return action;
}

bool conf_parse_action(struct conf_parser *p)
{
    static const char *const kinds[] = { /* enum conf_action_kind */
                                         "maildir", "mbox", "discard", "hold", "relay", NULL
    };
    struct conf_word name;
    if (!conf_take(p, &name))
        return false;
    struct conf_action *action = begin_action(p, &name);
    int kind = action ? conf_choose(p, kinds) : -1;
    if (kind < 0)
        return false;
    action->kind = (enum conf_action_kind)kind;
    if (kind == CONF_RELAY)
        return parse_relay(p, action);
    return (kind != CONF_MAILDIR && kind != CONF_MBOX) || parse_mailbox(p, action);
}
