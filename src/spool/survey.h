/* Finds where the valid groups of a segment end, when nobody can tell: after a crash. */
#ifndef SPOOL_SURVEY_H
#define SPOOL_SURVEY_H

#include "spool/source.h"

struct survey {
    uint64_t end;      /* everything before is valid, or was and is now damaged */
    uint64_t synced;   /* what the groups say was durable */
    uint64_t torn_end; /* from end to here are parts of a group that is not whole; 0: none */
    bool annuls;       /* there are annul records before end */
};

/* Looks at groups up to `limit` (the file's size). False: no memory. */
bool survey_segment(struct source *source, const struct segment_header *segment, uint64_t limit, struct survey *survey);

#endif
