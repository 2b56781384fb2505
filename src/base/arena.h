/* An arena hands out memory of one lifetime (connection, transaction, scratch) and frees it all at once.
 * It has a limit: reaching it gives NULL, which the caller answers (452, 421), never a crash.
 * An empty arena holds no memory at all. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/view.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks;
    size_t used;  /* bytes of its chunks; the 32 of each chunk's head are not counted */
    size_t limit; /* most bytes of chunks */
    size_t chunk; /* size of the next chunk */
};

void arena_init(struct arena *a, size_t chunk, size_t limit);
void *arena_alloc(struct arena *a, size_t size);           /* zeroed, aligned to 16; NULL at the limit */
struct view arena_copy(struct arena *a, struct view text); /* NUL put behind it; .at NULL at the limit */
void arena_reset(struct arena *a);                         /* frees everything; the arena can be used again */

#endif
