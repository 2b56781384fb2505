/* The trace field of each hop: Received (RFC 5321 section 4.4) with all its clauses, and Return-Path. */
#ifndef MAIL_RECEIVED_H
#define MAIL_RECEIVED_H

#include "base/address.h"
#include "base/buffer.h"

struct mail_received {
    struct view hello;       /* what the client called itself; may be empty or hold anything: cleaned (H41) */
    struct view client_name; /* confirmed reverse name; empty: unknown */
    struct address client;   /* not set: no network */
    struct view host;        /* by */
    bool via_unix;           /* via UNIX, else TCP */
    struct view protocol;    /* with: SMTP, ESMTP, ESMTPS, ESMTPA, LMTP ... (RFC 3848) */
    struct view id;
    struct view recipient; /* for: only when the transaction has exactly one (H46); empty: clause left out */
    uint64_t wall_us;
    int utc_offset_min;
};

/* The whole field with folds, lines under 78 where they can be, CRLF at its end. */
void mail_received_add(struct buffer *to, const struct mail_received *received);
/* "Return-Path: <path>\r\n", path as smtp_path_add_whole gives it; empty: <>. */
void mail_return_path_add(struct buffer *to, struct view reverse_path);

#endif
