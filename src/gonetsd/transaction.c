#include "gonetsd/transaction.h"

#include <stdlib.h>
#include <string.h>

#include "mail/received.h"

static const struct smtp_reply no_memory = SMTP_REPLY_INIT(452, 4, 3, 1, "out of memory for this message, try again later");
static const struct smtp_reply no_space = SMTP_REPLY_INIT(452, 4, 3, 1, "new mail cannot be stored at the moment: no room, or a disk in trouble; try again later");
static const struct smtp_reply not_stored = SMTP_REPLY_INIT(451, 4, 3, 0, "the message could not be stored safely, try again later");

static struct transaction *new_transaction(struct session *s)
{
    struct smtpd *smtpd = s->smtpd;
    struct transaction *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    *t = (struct transaction){ .smtpd = smtpd, .session = s, .id = smtpd_new_id(smtpd), .body = s->server.mail.body };
    arena_init(&t->arena, 512, SESSION_TRANSACTION_MAX);
    list_init(&t->recipients);
    smtpd->transactions++;
    map_init(&t->known, smtpd->seed);
    return t;
}

static void free_transaction(struct transaction *t)
{
    t->smtpd->transactions--;
    map_free(&t->known);
    arena_reset(&t->arena);
    free(t);
}

static struct view whole_path(const struct smtp_path *path, struct arena *arena)
{
    struct buffer text;
    size_t cap = path->route.len + path->local.len + path->domain.len + 2;
    char *memory = arena_alloc(arena, cap);
    if (!memory)
        return VIEW_NONE;
    buffer_init(&text, memory, cap);
    smtp_path_add_whole(&text, path);
    return buffer_view(&text);
}

void transaction_mail(struct session *s, struct smtp_reply *reply)
{
    struct transaction *t = NULL;
    *reply = no_space;
    if (!spool_writer_ready(s->smtpd->writer))
        return;
    *reply = no_memory;
    t = new_transaction(s);
    if (!t)
        return;
    t->reverse_path = whole_path(&s->server.path, &t->arena);
    if (!t->reverse_path.at) {
        free_transaction(t);
        return;
    }
    s->transaction = t;
    *reply = SMTP_REPLY(250, 2, 1, 0, "sender ok");
}

void transaction_add(struct transaction *t, const struct conf_action *action, struct smtp_reply *reply)
{
    *reply = SMTP_REPLY(250, 2, 1, 5, "recipient ok");
    if (map_find(&t->known, t->asked))
        return;
    struct recipient *r = arena_alloc(&t->arena, sizeof *r);
    if (r) {
        r->path = r->key.key = t->asked;
        r->action = action;
    }
    if (!r || !map_add(&t->known, &r->key)) {
        *reply = no_memory;
        return;
    }
    list_append(&t->recipients, &r->link);
}

bool transaction_rcpt(struct session *s, struct smtp_reply *reply)
{
    struct transaction *t = s->transaction;
    const struct conf_action *action = NULL;
    t->asked = rules_canonical(s, &s->server.path, &t->arena);
    *reply = no_memory;
    if (!t->asked.at)
        return true;
    switch (rules_recipient(s, t->asked, &action, reply)) {
    case VERDICT_ACCEPT:
        transaction_add(t, action, reply);
        return true;
    case VERDICT_LATER:
        return false;
    case VERDICT_REFUSE:
        break;
    }
    return true;
}

void transaction_data(struct session *s, struct smtp_reply *reply)
{
    struct transaction *t = s->transaction;
    t->entry = spool_entry_new(s->smtpd->writer);
    mail_scan_start(&t->scan);
    *reply = t->entry ? SMTP_REPLY(354, 0, 0, 0, "send the message, end it with a line of one dot") : no_space;
}

bool transaction_content(struct session *s, struct view piece)
{
    struct transaction *t = s->transaction;
    enum spool_taken taken = t->entry ? spool_entry_add(t->entry, piece) : SPOOL_TAKEN;
    switch (taken) {
    case SPOOL_HOLD:
        return false;
    case SPOOL_TAKEN:
        mail_scan_feed(&t->scan, piece);
        return true;
    case SPOOL_FULL:
    case SPOOL_FAILED:
        spool_entry_drop(t->entry);
        t->entry = NULL;
        smtp_server_spoil(&s->server, taken == SPOOL_FULL ? &no_space : &not_stored);
    }
    return true;
}

static struct view protocol_of(const struct session *s)
{
    return s->server.extended ? VIEW("ESMTP") : VIEW("SMTP");
}

static void add_received(struct buffer *to, const struct session *s, const struct transaction *t)
{
    char id[MAIL_ID_TEXT_SIZE + 1];
    uint64_t now = os_wall_us(s->smtpd->os);
    mail_id_text(&t->id, id);
    struct mail_received received = {
        .hello = { s->hello, s->hello_len },
        .client = s->peer,
        .host = smtpd_conf(s->listener)->hostname,
        .protocol = protocol_of(s),
        .id = view_of(id),
        .wall_us = now,
        .utc_offset_min = os_utc_offset_min(s->smtpd->os, now),
    };
    /* One recipient may be named; of several, none: the others would learn of it (H46). */
    if (t->recipients.next->next == &t->recipients)
        received.recipient = list_entry(t->recipients.next, struct recipient, link)->path;
    mail_received_add(to, &received);
}

static void add_u64(struct buffer *to, uint16_t tag, uint64_t n)
{
    char bytes[8];
    put_u64(bytes, n);
    spool_tag_add(to, tag, (struct view){ bytes, sizeof bytes });
}

static void add_recipients(struct buffer *to, const struct transaction *t)
{
    list_each(link, &t->recipients)
    {
        const struct recipient *r = list_entry(link, struct recipient, link);
        size_t place = spool_tag_open(to, SPOOL_TAG_RECIPIENT);
        spool_tag_add(to, SPOOL_RECIPIENT_PATH, r->path);
        spool_tag_add(to, SPOOL_RECIPIENT_ACTION, r->action->name);
        spool_tag_close(to, place);
    }
}

static void add_tags(struct buffer *to, const struct session *s, const struct transaction *t)
{
    char client[ADDRESS_TEXT_MAX];
    struct buffer text = BUFFER_OF(client);
    char body = (char)t->body;
    address_add(&text, &s->peer);
    spool_tag_add(to, SPOOL_TAG_ID, (struct view){ (const char *)t->id.at, MAIL_ID_SIZE });
    spool_tag_add(to, SPOOL_TAG_REVERSE_PATH, t->reverse_path);
    add_recipients(to, t);
    add_u64(to, SPOOL_TAG_ARRIVED_US, os_wall_us(s->smtpd->os));
    spool_tag_add(to, SPOOL_TAG_CLIENT, buffer_view(&text));
    spool_tag_add(to, SPOOL_TAG_HELLO, (struct view){ s->hello, s->hello_len });
    spool_tag_add(to, SPOOL_TAG_PROTOCOL, protocol_of(s));
    spool_tag_add(to, SPOOL_TAG_BODY, (struct view){ &body, 1 });
    spool_tag_add(to, SPOOL_TAG_SESSION, (struct view){ (const char *)s->id.at, MAIL_ID_SIZE });
}

static size_t tags_size(const struct session *s, const struct transaction *t)
{
    size_t size = 512 + t->reverse_path.len + s->hello_len;
    list_each(link, &t->recipients)
    {
        const struct recipient *r = list_entry(link, struct recipient, link);
        size += r->path.len + r->action->name.len + 32;
    }
    return size;
}

static void log_end(const struct transaction *t, const struct session *s, bool ok)
{
    struct event e;
    event_begin(&e, &t->smtpd->log, ok ? "accepted" : "not-stored");
    event_id(&e, &t->id);
    event_view(&e, "from", t->reverse_path);
    event_u64(&e, "recipients", t->known.count);
    event_u64(&e, "size", t->scan.facts.size);
    if (s)
        event_address(&e, "client", &s->peer);
    else
        event_view(&e, "reply", VIEW("lost: the session has ended, the message stays"));
    event_end(&e);
}

/* The spool has decided. The message stays stored also when nobody is left to hear it (H26). */
static void on_stored(void *ctx, bool ok)
{
    struct transaction *t = ctx;
    struct session *s = t->session;
    struct mail_id id = t->id;
    log_end(t, s, ok);
    if (s)
        s->transaction = NULL;
    free_transaction(t);
    if (s)
        session_done(s, ok, &id);
}

bool transaction_end(struct session *s, struct smtp_reply *reply)
{
    struct transaction *t = s->transaction;
    char memory[4096];
    struct buffer front = BUFFER_OF(memory), tags;
    size_t cap = tags_size(s, t);
    char *tag_memory = arena_alloc(&t->arena, cap);
    buffer_init(&tags, tag_memory, tag_memory ? cap : 0);
    const struct mail_facts *facts = mail_scan_end(&t->scan);
    add_received(&front, s, t);
    /* Content that does not begin with a field stays body, whatever is put before it (H7). */
    if (facts->headless)
        buffer_add_text(&front, "\r\n");
    if (tag_memory)
        add_tags(&tags, s, t);
    *reply = no_memory;
    if (front.full || tags.full || !tag_memory)
        transaction_drop(s);
    else if (!spool_entry_finish(t->entry, buffer_view(&tags), buffer_view(&front), facts, on_stored, t))
        transaction_drop(s);
    else
        return false;
    return true;
}

void transaction_drop(struct session *s)
{
    struct transaction *t = s->transaction;
    s->transaction = NULL;
    rules_forget(s);
    if (!t)
        return;
    if (t->entry)
        spool_entry_drop(t->entry);
    free_transaction(t);
}
