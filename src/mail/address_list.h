/* The mailboxes of an address-list as it stands in To, Cc, Bcc and the like (RFC 5322 section 3.4): names, comments,
 * quoted strings, groups, folds, and of the obsolete forms (section 4.4) source routes, empty elements and blanks
 * around dots. Forward only, linear time, no recursion (H37). */
#ifndef MAIL_ADDRESS_LIST_H
#define MAIL_ADDRESS_LIST_H

#include "base/buffer.h"

#define MAIL_ADDRESS_MAX 1024 /* bytes of one mailbox, written or read; a valid one is shorter */

struct mail_address_list {
    struct view rest; /* begin with the value of the field */
    struct view word; /* the element that the last call read, as it stands in the field */
};

enum mail_address_result {
    MAIL_ADDRESS_ONE, /* the mailbox: local@domain, or a bare local part */
    MAIL_ADDRESS_BAD, /* `word` is no address; the next call goes on behind it */
    MAIL_ADDRESS_END,
};

/* mailbox: cleared first; at least MAIL_ADDRESS_MAX of room. */
enum mail_address_result mail_address_next(struct mail_address_list *list, struct buffer *mailbox);

#endif
