/* A message on its way in: what a session's events about it lead to. Each function that answers a question of the server
 * machine returns true with *reply set, or false when the answer comes later. */
#ifndef GONETSD_TRANSACTION_H
#define GONETSD_TRANSACTION_H

#include "gonetsd/session.h"

void transaction_mail(struct session *session, struct smtp_reply *reply);
bool transaction_rcpt(struct session *session, struct smtp_reply *reply);
/* Adds the recipient that was asked about. */
void transaction_add(struct transaction *transaction, const struct conf_action *action, struct smtp_reply *reply);
void transaction_data(struct session *session, struct smtp_reply *reply);
/* False: the spool is behind; show the rest of the piece (all of it) again after session_room_all(). */
bool transaction_content(struct session *session, struct view piece);
bool transaction_end(struct session *session, struct smtp_reply *reply); /* later: session_done() */
void transaction_drop(struct session *session); /* RESET, or the session goes before the end of data */

/* session.c: the spool has decided; id is for the text of the 250. */
void session_done(struct session *session, bool ok, const struct mail_id *id);

#endif
