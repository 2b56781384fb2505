/* Who may be written to: the decision at RCPT. It is about acceptance only; where the mail goes is found again at each
 * attempt to deliver it. */
#include <stdlib.h>
#include <string.h>

#include "gonetsd/session.h"

#define ACCOUNT_US_MAX (60 * UINT64_C(1000000)) /* how long an answer of auth is believed */
#define ACCOUNTS_MAX 10000

struct account {
    struct map_item key;
    enum os_status status;
    uint64_t until_us;
    char name[];
};

struct lookup {
    struct list link;
    uint64_t ticket;
    struct session *session; /* NULL: gone meanwhile */
    const struct conf_action *action;
    char name[SMTP_LOCAL_PART_MAX + 1];
    size_t name_len;
};

static const struct smtp_reply unknown_mailbox = SMTP_REPLY_INIT(550, 5, 1, 1, "no such mailbox here");
static const struct smtp_reply relaying_denied = SMTP_REPLY_INIT(550, 5, 7, 1, "relaying denied: this domain is not served here for you");
static const struct smtp_reply lookup_failed = SMTP_REPLY_INIT(451, 4, 3, 0, "cannot look up this mailbox at the moment, try again later");

static bool is_own_literal(const struct session *s, struct view domain)
{
    struct address literal, here = os_stream_local(s->stream);
    return smtp_literal_parse(domain, &literal) && memcmp(literal.ip, here.ip, sizeof here.ip) == 0;
}

/* Local names are those without a domain and those at our own names. */
static bool is_local_domain(const struct session *s, struct view domain)
{
    return domain.len == 0 || is_own_literal(s, domain) || view_equal_nocase(domain, smtpd_conf(s->listener)->hostname) ||
           view_equal_nocase(domain, VIEW("localhost"));
}

struct view rules_canonical(const struct session *s, const struct smtp_path *path, struct arena *arena)
{
    const struct conf *conf = smtpd_conf(s->listener);
    bool postmaster = view_equal_nocase(path->local, VIEW("postmaster")) && is_local_domain(s, path->domain);
    if (postmaster && conf->postmaster.len)
        return arena_copy(arena, conf->postmaster);
    struct view domain = path->domain.len && !is_own_literal(s, path->domain) ? path->domain : conf->hostname;
    struct buffer text;
    size_t cap = path->local.len + domain.len + 1;
    char *memory = arena_alloc(arena, cap);
    if (!memory)
        return VIEW_NONE;
    buffer_init(&text, memory, cap);
    smtp_path_add_local(&text, path);
    buffer_add_char(&text, '@');
    for (size_t i = 0; i < domain.len; i++)
        buffer_add_char(&text, ascii_lower(domain.at[i]));
    return buffer_view(&text);
}

static bool in_table(const struct conf_table *table, struct view local, struct view path)
{
    return conf_table_find(table, path) || conf_table_find(table, local);
}

static struct account *find_account(struct smtpd *smtpd, struct view name)
{
    struct map_item *item = map_find(&smtpd->accounts, name);
    struct account *account = item ? map_entry(item, struct account, key) : NULL;
    if (account && account->until_us < os_now_us(smtpd->os)) {
        map_remove(&smtpd->accounts, item);
        free(account);
        return NULL;
    }
    return account;
}

static void forget_accounts(struct smtpd *smtpd)
{
    for (struct map_item *item; (item = map_next(&smtpd->accounts, NULL));) {
        map_remove(&smtpd->accounts, item);
        free(map_entry(item, struct account, key));
    }
}

static void remember_account(struct smtpd *smtpd, struct view name, enum os_status status)
{
    if (smtpd->accounts.count >= ACCOUNTS_MAX)
        forget_accounts(smtpd);
    struct account *account = status == OS_AGAIN || find_account(smtpd, name) ? NULL : malloc(sizeof *account + name.len);
    if (!account)
        return;
    memcpy(account->name, name.at, name.len);
    account->status = status;
    account->until_us = os_now_us(smtpd->os) + ACCOUNT_US_MAX;
    account->key.key = (struct view){ account->name, name.len };
    if (!map_add(&smtpd->accounts, &account->key))
        free(account);
}

static bool ask_auth(struct session *s, struct view name, const struct conf_action *action)
{
    char memory[SMTP_LOCAL_PART_MAX + 32];
    struct buffer frame = BUFFER_OF(memory);
    struct lookup *lookup = name.len <= SMTP_LOCAL_PART_MAX ? calloc(1, sizeof *lookup) : NULL;
    if (!lookup)
        return false;
    *lookup = (struct lookup){ .ticket = ++s->smtpd->last_ticket, .session = s, .action = action, .name_len = name.len };
    memcpy(lookup->name, name.at, name.len);
    ipc_lookup_pack(&frame, &(struct ipc_lookup){ lookup->ticket, name });
    if (!ipc_send(&s->smtpd->auth, buffer_view(&frame))) {
        free(lookup);
        return false;
    }
    list_append(&s->smtpd->lookups, &lookup->link);
    s->lookup = lookup;
    return true;
}

static enum verdict account_verdict(struct session *s, struct view name, const struct conf_action *action, struct smtp_reply *reply)
{
    struct account *account = find_account(s->smtpd, name);
    if (account && account->status == OS_OK)
        return VERDICT_ACCEPT;
    *reply = account ? unknown_mailbox : lookup_failed;
    if (account || !ask_auth(s, name, action))
        return VERDICT_REFUSE;
    return VERDICT_LATER;
}

static bool needs_account(const struct conf_action *action)
{
    return (action->kind == CONF_MAILDIR || action->kind == CONF_MBOX) && action->user.len == 0;
}

enum verdict rules_recipient(struct session *s, struct view text, const struct conf_action **action, struct smtp_reply *reply)
{
    struct smtp_path path;
    char memory[SMTP_LOCAL_PART_MAX];
    struct buffer local = BUFFER_OF(memory);
    *reply = relaying_denied;
    if (smtp_mailbox_parse(text, 0, &path) != SMTP_PATH_OK || !smtp_path_local_plain(&path, &local))
        return VERDICT_REFUSE;
    const struct conf_match *match = conf_match_find(smtpd_conf(s->listener), &s->peer, path.domain);
    if (!match)
        return VERDICT_REFUSE;
    *action = match->action;
    *reply = unknown_mailbox;
    if (conf_alias_find(*action, buffer_view(&local), text))
        return VERDICT_ACCEPT;
    if ((*action)->users)
        return in_table((*action)->users, buffer_view(&local), text) ? VERDICT_ACCEPT : VERDICT_REFUSE;
    if (!needs_account(*action))
        return VERDICT_ACCEPT;
    return account_verdict(s, buffer_view(&local), *action, reply);
}

static void conclude(struct lookup *lookup, enum os_status status)
{
    struct session *s = lookup->session;
    list_remove(&lookup->link);
    if (s) {
        s->lookup = NULL;
        if (status == OS_OK)
            session_verdict(s, lookup->action, NULL);
        else
            session_verdict(s, NULL, status == OS_NOT_FOUND ? &unknown_mailbox : &lookup_failed);
    }
    free(lookup);
}

void rules_found(struct smtpd *smtpd, uint64_t ticket, enum os_status status)
{
    list_each_safe(link, &smtpd->lookups)
    {
        struct lookup *lookup = list_entry(link, struct lookup, link);
        if (lookup->ticket != ticket)
            continue;
        remember_account(smtpd, (struct view){ lookup->name, lookup->name_len }, status);
        conclude(lookup, status);
        return;
    }
}

void rules_auth_gone(struct smtpd *smtpd)
{
    for (struct list *link; (link = list_pop(&smtpd->lookups));)
        conclude(list_entry(link, struct lookup, link), OS_AGAIN);
}

void rules_forget(struct session *s)
{
    if (s->lookup)
        s->lookup->session = NULL;
    s->lookup = NULL;
}

void rules_free(struct smtpd *smtpd)
{
    for (struct list *link; (link = list_pop(&smtpd->lookups));)
        free(list_entry(link, struct lookup, link));
    forget_accounts(smtpd);
    map_free(&smtpd->accounts);
}
