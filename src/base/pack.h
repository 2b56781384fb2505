/* Numbers and counted bytes in a fixed order, little-endian: what journal records and IPC frames are made of.
 * Reading past the end or writing past the room sets `bad` and gives zeros; check it once, at the end. */
#ifndef BASE_PACK_H
#define BASE_PACK_H

#include "base/buffer.h"

void pack_u8(struct buffer *to, uint8_t n);
void pack_u16(struct buffer *to, uint16_t n);
void pack_u32(struct buffer *to, uint32_t n);
void pack_u64(struct buffer *to, uint64_t n);
void pack_bytes(struct buffer *to, struct view bytes); /* as they are, no length */
void pack_view(struct buffer *to, struct view bytes);  /* u32 length, then the bytes */

struct unpack {
    struct view rest;
    bool bad;
};

struct unpack unpack_of(struct view bytes);
uint8_t unpack_u8(struct unpack *u);
uint16_t unpack_u16(struct unpack *u);
uint32_t unpack_u32(struct unpack *u);
uint64_t unpack_u64(struct unpack *u);
struct view unpack_bytes(struct unpack *u, size_t n);
struct view unpack_view(struct unpack *u);
bool unpack_done(const struct unpack *u); /* everything read, nothing bad */

/* The same numbers at a place that is known to have the room. */
void put_u32(void *at, uint32_t n);
void put_u64(void *at, uint64_t n);
uint32_t get_u32(const void *at);
uint64_t get_u64(const void *at);

#endif
