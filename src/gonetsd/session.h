/* One SMTP session of role smtpd: joins a stream, the server machine, the rules and the spool.
 * While nothing goes on it owns no buffer: input and output pass through those of the worker. */
#ifndef GONETSD_SESSION_H
#define GONETSD_SESSION_H

#include "base/arena.h"
#include "gonetsd/smtpd.h"
#include "mail/scan.h"
#include "smtp/server.h"

#define SESSION_TRANSACTION_MAX (4u << 20) /* bytes of one transaction's envelope */

struct recipient {
    struct map_item key; /* "local@domain", domain in lower case: the same one twice is one (H40) */
    struct list link;
    struct view path;
    const struct conf_action *action;
};

/* A message on its way in. It outlives its session when the client goes before our answer. */
struct transaction {
    struct smtpd *smtpd;
    struct session *session;      /* NULL: gone */
    struct mail_id id;
    struct arena arena;
    struct view reverse_path;
    enum smtp_body body;
    struct list recipients;
    struct map known;             /* recipients by key */
    struct view asked;            /* path of the RCPT that waits for a verdict */
    struct spool_entry *entry;
    struct mail_scan scan;
};

struct session {
    struct list link;
    struct smtpd *smtpd;
    struct listener *listener;
    struct os_stream *stream;
    struct smtp_server server;
    struct heap_item timer;
    struct address peer;
    struct mail_id id;
    char *hello;                  /* what the client called itself */
    size_t hello_len;
    struct transaction *transaction;
    char *kept;                   /* input the machine has not consumed yet */
    size_t kept_len;
    char *held;                   /* content the spool did not take yet: the machine rests meanwhile */
    size_t held_len;
    char *owed;                   /* replies the client has not read yet */
    size_t owed_len;
    uint64_t owed_deadline_us;    /* when the client must have read them; closing: when the link ends at last */
    size_t leftover;              /* bytes that came after our last word */
    bool closing;                 /* our last word is said, or owed */
    bool waiting;                 /* an answer to the machine is outstanding */
    bool finishing;               /* it is the spool's, about the whole message */
    struct lookup *lookup;        /* question to auth that is open */
};

/* Takes over the stream; without memory it is closed. */
void session_open(struct smtpd *smtpd, struct listener *listener, struct os_stream *stream);
/* Answers the RCPT that waited. */
void session_verdict(struct session *session, const struct conf_action *action, const struct smtp_reply *refusal);
void session_shutdown_all(struct smtpd *smtpd); /* 421 for each, now or after the answer it is owed */
void session_free_all(struct smtpd *smtpd);
void session_room_all(struct smtpd *smtpd);     /* the spool takes content again */
void session_alarm(struct smtpd *smtpd);        /* ends those whose deadline has come */

/* rules.c: may this recipient be served here? *action is set with VERDICT_ACCEPT, *reply with VERDICT_REFUSE;
 * with VERDICT_LATER the answer comes by session_verdict(). */
enum verdict { VERDICT_ACCEPT, VERDICT_REFUSE, VERDICT_LATER };
enum verdict rules_recipient(struct session *session, struct view path, const struct conf_action **action, struct smtp_reply *reply);
/* "local@domain" as it is stored: a bare name, or one at our own address, gets our host name, postmaster its setting; VIEW_NONE: no memory. */
struct view rules_canonical(const struct session *session, const struct smtp_path *path, struct arena *arena);
void rules_forget(struct session *session); /* the session goes: its open question is dropped */
void rules_found(struct smtpd *smtpd, uint64_t ticket, enum os_status status); /* auth has answered */
void rules_auth_gone(struct smtpd *smtpd);  /* open questions get 451 */
void rules_free(struct smtpd *smtpd);

#endif
