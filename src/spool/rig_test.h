/* A writer and a store on a simulated disk, worked by a script of a few words, and a ledger of what was promised.
 * When the disk is then spoiled in whatever way, rig_open() recovers and the ledger judges what came back.
 *
 * The script: words separated by blanks; after each word everything runs until nothing is left to do.
 *   m100      a message of 100 bytes; m100,m200: both in one turn
 *   d0        log the final event of message 0, then forget it; e0: log another event about it
 *   a0        a report about message 0: a message of our own with the final event of message 0, in one group
 *   A0        the same with 20000 bytes
 *   n         everything dies (no power cut) and opens again
 *   q         the store alone closes and opens again, with what the writer holds
 *   o         the writer alone dies and is replaced
 *   s, f      notices of what is durable are slow from now on; they come all at once, and are fast again */
#ifndef SPOOL_RIG_TEST_H
#define SPOOL_RIG_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "os/mem/os_mem.h"
#include "spool/spool.h"

#define LETTERS_MAX 64
#define EVENTS_MAX  64
#define LATE_MAX    16

enum promise {
    NOTHING, /* not sent, or no answer came */
    KEPT,    /* 250 */
    REFUSED, /* 451 */
};

struct letter {
    struct mail_id id;
    size_t size;
    enum promise promise;
    bool own;       /* came by spool_store_add */
    bool finished;  /* the writer was asked to store it */
    bool forgotten; /* its final event was durable, and the store was told */
    /* of this life of the store */
    unsigned seen;
    struct spool_place place;
};

struct noted {
    size_t letter;
    bool final;
    size_t report; /* the own message it was added with; 0: alone */
    enum promise promise;
    unsigned seen;
};

struct rig {
    struct mem_world *world;
    struct mem_host *host;
    struct os *os;
    struct os_dir *dir;
    struct spool_writer *writer;
    struct spool_store *store;
    uint64_t deadline; /* of the store, as it said */
    uint64_t segment_size;
    size_t large_min;
    size_t memory_max;
    struct letter letters[LETTERS_MAX];
    size_t letter_count;
    struct noted events[EVENTS_MAX];
    size_t event_count, last_event_seen;
    unsigned alarms, troubles;
    bool in_trouble;
    unsigned damages; /* alarms that speak of damage */
    int left_alone;   /* alarms about what could not be put away */
    bool closing, loud;
    bool opened, refused;
    unsigned moves;                   /* messages that compaction put elsewhere */
    uint64_t used;                    /* a job reads from this segment */
    struct spool_held late[LATE_MAX]; /* notices on their way */
    size_t late_count;
    bool slow;
    unsigned company; /* a commit waits until so many messages wait for it */
    bool tolerant;    /* content may be damaged, if only its checksum says so */
    bool may_refuse;  /* under a fault the store need not open */
    char error[512];
    const char *story; /* said when a promise is broken */
};

void rig_start(struct rig *rig, struct mem_disk *disk); /* disk NULL: a new one with an empty spool */
void rig_stop(struct rig *rig);                         /* the ledger stays */
struct mem_disk *rig_disk(struct rig *rig);
struct mem_disk *rig_take_disk(struct rig *rig); /* out of the world, which ends */
bool rig_open(struct rig *rig);                  /* false: refused, see rig->error */
void rig_run(struct rig *rig);                   /* until nothing is left to do, or the power is out */
void rig_play(struct rig *rig, const char *script);
/* Everything promised is there, nothing else is. */
void rig_judge(struct rig *rig);
/* Reads each message that was seen, and compares. */
void rig_compare(struct rig *rig);
size_t rig_size(const struct rig *rig, size_t which); /* as it goes out */
char rig_byte(const struct rig *rig, size_t which, size_t at);
void rig_finish_all(struct rig *rig); /* final events for all that were seen */
size_t rig_count(struct rig *rig, const char *folder);

#endif
