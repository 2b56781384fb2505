/* Role smtpd: takes mail. One worker per core, each with its own listeners, sessions and journal. */
#ifndef GONETSD_SMTPD_H
#define GONETSD_SMTPD_H

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "gonetsd/event.h"
#include "gonetsd/role.h"
#include "smtp/server.h"
#include "spool/spool.h"

/* Bytes read from a client at a time, and kept at most while an answer is outstanding. */
#define SMTPD_INPUT_MAX 65536
/* qmgr is told what is durable at most so often: one wake-up for many messages. */
#define SMTPD_NOTICE_US UINT64_C(5000)
/* Replies waiting for a client that does not read (H85). */
#define SMTPD_OUTPUT_MAX 65536

struct smtpd {
    struct os *os;
    struct role role;
    struct event_log log;
    struct spool_writer *writer;
    struct ipc qmgr, auth;
    struct list listeners, sessions, lookups;
    struct list coming; /* listeners of the next configuration */
    struct list closed; /* listeners whose sessions are still there */
    size_t session_count;
    struct heap timers;
    struct mail_id_maker ids;
    uint64_t random[64]; /* for ids: taken from the kernel many at a time */
    size_t random_left;
    struct notice {             /* the frontier that qmgr was not told yet */
        uint64_t segment, upto; /* upto 0: none */
        uint64_t due_us, told_us;
    } notice;
    struct os_task room; /* tells sessions at the end of the turn that the spool takes content again */
    uint8_t seed[16];    /* of hash maps */
    struct map accounts; /* answers of auth, kept for a while */
    uint64_t last_ticket;
    unsigned transactions; /* under way */
    struct gather {        /* a commit waits a moment for messages that are about to be complete */
        uint64_t due_us;   /* until then, or OS_NEVER */
        unsigned pass;     /* so many commits wait for nobody */
    } gather;
    bool ready, stopping;
    uint64_t starve_due_us;          /* when it is looked whether messages wait for segments that do not come */
    uint64_t ready_due_us;           /* when it listens although it has no segment: there is no room for mail */
    char input[2 * SMTPD_INPUT_MAX]; /* what was kept, and what is read behind it */
    char output[SMTPD_OUTPUT_MAX];
};

/* One `listen` of one configuration. Its sessions go by that configuration to their end, whatever comes after it; it lives as
 * long as they do. */
struct listener {
    struct list link;
    struct smtpd *smtpd;
    struct os_listener *listener;  /* NULL: closed */
    uint32_t number;               /* which `listen` */
    struct generation *generation; /* held; NULL: not in force yet */
    size_t sessions;
    struct smtp_server_profile profile;
};

struct mail_id smtpd_new_id(struct smtpd *smtpd);
void smtpd_arm(struct smtpd *smtpd);          /* the alarm follows the heap of timers */
void smtpd_session_here(struct listener *listener);
void smtpd_session_gone(struct listener *listener);
const struct conf *smtpd_conf(const struct listener *listener);

#endif
