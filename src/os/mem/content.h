/* Bytes of a simulated file: pages that are shared by copies until one of them is written. What was never written
 * takes no memory. */
#ifndef OS_MEM_CONTENT_H
#define OS_MEM_CONTENT_H

#include <stddef.h>
#include <stdint.h>

struct pages;

struct content {
    struct pages *pages; /* NULL: all zeros */
    uint64_t size;       /* bytes past it may stand there until content_cut_tail() */
};

void content_copy(struct content *to, const struct content *from); /* *to is not freed */
void content_free(struct content *c);
size_t content_read(const struct content *c, uint64_t offset, void *to, size_t len); /* up to the size */
/* These do not change the size. */
void content_put(struct content *c, uint64_t offset, const void *from, size_t len);
void content_zero(struct content *c, uint64_t offset, uint64_t len);
void content_get(const struct content *c, uint64_t offset, void *to, size_t len); /* also past the size */
/* Cutting: what was past the new size reads as zeros when the file grows again. */
void content_resize(struct content *c, uint64_t size);
void content_cut_tail(struct content *c);

#endif
