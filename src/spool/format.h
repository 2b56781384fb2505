/* The bytes of a spool on disk: headers of segments, groups and records, to and from memory. ARCHITECTURE.md, "The
 * spool", says what they are for. Nothing here is trusted: every get checks magic, place, checksum and bounds. */
#ifndef SPOOL_FORMAT_H
#define SPOOL_FORMAT_H

#include "spool/spool.h"

#define FORMAT_VERSION 1
#define SEAL_AT        SPOOL_BLOCK       /* the seal's block */
#define DATA_START     (2 * SPOOL_BLOCK) /* the first group */
#define SEGMENT_MIN    (DATA_START + SPOOL_BLOCK)
#define SEGMENT_MAX    (UINT64_C(1) << 46) /* no file of ours is larger: sums of two places cannot overflow */

#define SPOOL_ID_SIZE       16
#define MARKER_SIZE         64
#define SEGMENT_HEADER_SIZE 96
#define SEGMENT_HEADER_COPY 2048 /* the header stands in the first block twice, in different sectors */
#define SEAL_SIZE           64
#define GROUP_HEADER_SIZE   64
#define RECORD_HEADER_SIZE  48
#define ANNUL_SIZE          16

#define HEAD_MAX   (1u << 20) /* tags of one record */
#define BODY_MAX   (1u << 20) /* body of one record */
#define RECORD_MAX (RECORD_HEADER_SIZE + HEAD_MAX + BODY_MAX + 8)
#define FOOTER_MAX (16u << 20)

struct marker {
    uint8_t id[SPOOL_ID_SIZE];
    uint64_t number_limit; /* no segment number from here on has ever been given out */
    unsigned copy;         /* which of the two in the file it is */
};

struct segment_header {
    uint64_t number, nonce;
    uint64_t size; /* 0: it grows */
    uint64_t created_us;
    uint64_t evacuates; /* the segment, or the first of those, that this is a copy of; 0: it is none */
    enum spool_kind kind;
    uint8_t spool_id[SPOOL_ID_SIZE];
};

struct seal {
    uint64_t end; /* of the groups; the footer begins there */
    uint64_t footer_size;
    uint32_t footer_crc;
    bool footer;     /* there is one */
    uint32_t annuls; /* segments that it annuls: those records are wanted before all others */
};

struct group_header {
    uint64_t place;
    uint64_t length;    /* header and records, without the padding to the next block */
    uint64_t synced_to; /* everything before was durable when this was written */
    uint32_t group, records;
    uint32_t annuls; /* how many of the records annul a segment: those are wanted before all others */
};

enum record_type {
    RECORD_MESSAGE = 1,
    RECORD_CONTENT,
    RECORD_EVENT,
    RECORD_ANNUL,
};

struct record_header {
    uint64_t place;
    uint16_t type;
    uint32_t head_size; /* without this header */
    uint32_t head_crc;
    uint64_t body_size;
    uint32_t body_crc;
};

enum format_result {
    FORMAT_OK,
    FORMAT_BAD, /* damaged, or not ours */
    FORMAT_VERSION_UNKNOWN,
};

static inline uint64_t block_up(uint64_t n)
{
    return (n + SPOOL_BLOCK - 1) & ~(uint64_t)(SPOOL_BLOCK - 1);
}

void marker_put(char to[MARKER_SIZE], const struct marker *marker);
enum format_result marker_get(struct view from, struct marker *marker);

/* Two blocks: the header, twice, and no seal. */
void segment_header_put(char to[DATA_START], const struct segment_header *header);
enum format_result segment_header_get(struct view from, struct segment_header *header);

void seal_put(char to[SEAL_SIZE], const struct segment_header *segment, const struct seal *seal);
bool seal_get(struct view from, const struct segment_header *segment, struct seal *seal);

void group_header_put(char to[GROUP_HEADER_SIZE], uint64_t number, uint64_t nonce, const struct group_header *group);
/* The header of the group at `place`. */
bool group_header_get(struct view from, uint64_t number, uint64_t nonce, uint64_t place, struct group_header *group);

void record_header_put(char to[RECORD_HEADER_SIZE], uint64_t number, uint64_t nonce,
                       const struct record_header *record);
bool record_header_get(struct view from, uint64_t number, uint64_t nonce, uint64_t place, struct record_header *record);
/* The same, for whoever does not know the nonce; checks bounds and checksum only. */
bool record_header_read(struct view from, uint64_t number, uint64_t place, struct record_header *record);
bool record_nonce_is(const char *at, uint64_t nonce);        /* a quick look at what may be a record's header */
uint64_t record_size(const struct record_header *record);    /* from its header to the next record */
uint64_t record_body_at(const struct record_header *record); /* from its header on */

void annul_put(char to[ANNUL_SIZE], uint64_t segment, uint64_t end);
bool annul_get(struct view from, uint64_t *segment, uint64_t *end);

#define SEGMENT_NAME_SIZE 17
void segment_name(char to[SEGMENT_NAME_SIZE], uint64_t number);
bool segment_name_read(struct view name, uint64_t *number);

#endif
