/* Makes a small text message (RFC 5322) of its parts. */
#ifndef GONETS_COMPOSE_H
#define GONETS_COMPOSE_H

#include "smtp/client.h"

struct gonets_letter {
    struct view from; /* mailbox */
    const struct smtp_client_recipient *to;
    size_t to_count;
    struct view subject; /* UTF-8; .at NULL: none */
    struct view text;    /* UTF-8, lines end by LF or CRLF */
    uint64_t wall_us;
    int utc_offset_min;
    struct view id; /* of Message-ID, without its domain */
};

/* eight_bit: 8-bit text may go as it is. The memory is from malloc; .at NULL: there is none. */
struct buffer gonets_compose(const struct gonets_letter *letter, bool eight_bit);

#endif
