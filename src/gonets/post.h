/* What programs post through sendmail: often without From, Date or Message-ID, sometimes without any header. Made into
 * a message of RFC 5322, and read for its recipients. */
#ifndef GONETS_POST_H
#define GONETS_POST_H

#include "base/arena.h"
#include "base/buffer.h"
#include "smtp/client.h"

#define GONETS_POST_RECIPIENTS_MAX 1000

struct gonets_post {
    struct view sender, full_name,
        host; /* of From and Message-ID when they are missing; the sender may have no domain */
    uint64_t wall_us;
    int utc_offset_min;
    struct view id; /* of Message-ID, without its domain */
};

struct gonets_recipients { /* each once */
    struct smtp_client_recipient at[GONETS_POST_RECIPIENTS_MAX];
    size_t count;
    struct arena *arena; /* of their paths */
};

/* Up to a line with a single dot. */
struct view gonets_post_until_dot(struct view input);
/* Adds the mailboxes of an address-list. An exit code; what is wrong has been told. */
int gonets_recipients_add(struct gonets_recipients *recipients, struct view list);
/* Those of To, Cc and Bcc; of Resent-To, Resent-Cc and Resent-Bcc when there is one (RFC 5322 section 3.6.6). */
int gonets_recipients_extract(struct gonets_recipients *recipients, struct view input);
/* The message: what is missing is added, Bcc is left out. The memory is from malloc; .at NULL: there is none. */
struct buffer gonets_post_write(const struct gonets_post *post, struct view input);

#endif
