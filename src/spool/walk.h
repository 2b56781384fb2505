/* Reads a segment group by group and record by record, for recovery, the live frontier and `spool check` alike.
 * It does no I/O: it says which bytes it wants and goes on when they are there. Everything it meets may be damaged: it
 * then looks for the next record or group that is whole. */
#ifndef SPOOL_WALK_H
#define SPOOL_WALK_H

#include "spool/format.h"

struct walk {
    uint64_t number, nonce;
    uint64_t pos;      /* everything before has been reported */
    uint64_t upto;     /* a multiple of SPOOL_BLOCK: nothing behind is looked at. May be raised at WALK_END. */
    bool skip_content; /* bodies of content records are not wanted, and so not checked */
    /* its own */
    uint64_t group_end; /* end of the records of the group; 0: outside of one */
    bool orphans;       /* outside of a group, but between records of one whose header is lost */
    uint64_t damage;    /* where unreadable bytes began; 0: none */
    /* what was found */
    uint64_t want_at;
    size_t want_len;
    struct group_header group;
    struct record_header record;
    struct view raw;        /* the record's header and head as they lie there */
    struct view head, body; /* in the window; body.at NULL when skipped */
    uint64_t damage_from, damage_to;
};

enum walk_step {
    WALK_READ,   /* give a window that holds want_at .. + want_len */
    WALK_GROUP,  /* a group begins */
    WALK_RECORD, /* a whole record */
    WALK_DAMAGE, /* nothing can be read from damage_from to damage_to */
    WALK_END,    /* at upto */
};

void walk_init(struct walk *walk, uint64_t number, uint64_t nonce, uint64_t from, uint64_t upto);
/* window: the bytes of the segment from window_at on; views that were given point into it. */
enum walk_step walk_next(struct walk *walk, struct view window, uint64_t window_at);
#endif
