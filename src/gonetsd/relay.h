/* Role smtp: sends mail to other servers.
 *
 *   smtp.c               the role: links, timers, start and stop
 *   relay_job.c          jobs of qmgr: one message for one next hop; what becomes of each recipient
 *   relay_content.c      reads messages from the spool: many at once, large ones in pieces
 *   relay_names.c        questions to role resolver
 *   relay_destination.c  a next hop: its addresses, its sessions, the jobs that wait for one
 *   relay_session.c      one connection: drives smtp/client
 *
 * A recipient lives from the job of qmgr until qmgr has said that its result is durable; a qmgr that was started anew
 * hears all results again, and what it gives once more while it is under way is not begun twice. */
#ifndef GONETSD_RELAY_H
#define GONETSD_RELAY_H

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "deliver/mx.h"
#include "gonetsd/event.h"
#include "gonetsd/role.h"
#include "smtp/client.h"
#include "spool/spool.h"

#define RELAY_CONNECT_US_MAX     30000000 /* for one address */
#define RELAY_NAMES_US_MAX       60000000 /* for all answers of the DNS about one destination */
#define RELAY_NAMES_FRESH_US     60000000 /* addresses are used so long, or as long as the DNS says if that is more ... */
#define RELAY_NAMES_FRESH_US_MAX UINT64_C(3600000000) /* ... up to this */
#define RELAY_IDLE_US            5000000              /* a session without work is kept for the next message */
#define RELAY_BAD_US             30000000             /* an address that failed is passed over while there are others */
#define RELAY_LINGER_US          60000000             /* a destination without work is remembered */
#define RELAY_LINGERING_MAX      1000                 /* destinations without work */
#define RELAY_STOP_US_MAX        8000000              /* time to finish what is under way */
#define RELAY_WHOLE_MAX          (64u << 10)          /* content up to this size is read in one piece */
#define RELAY_CHUNK              (256u << 10)         /* a larger one goes through memory in pieces of this size */
#define RELAY_HEAD_MAX           (16u << 20)          /* bytes of one envelope */
#define RELAY_AHEAD_MAX          (16u << 20)          /* bytes of messages that are read before they have a session */
#define RELAY_MEMORY_MAX         (256u << 20)         /* bytes of all messages that are being sent */
#define RELAY_CREDIT_MAX         65536                /* recipients at a time, whatever the configuration says */
#define RELAY_READS_MAX          64                   /* messages read with one request */
#define RELAY_IO_MAX             (128u << 10)

struct relay;
struct relay_destination;
struct relay_session;

struct relay_timer {
    struct heap_item item;
    void (*run)(struct relay_timer *timer);
};

/* A segment of the spool. */
struct relay_content {
    struct list link;
    uint64_t number;
    struct os_file *file;
    unsigned jobs;  /* that may read from it */
    bool announced; /* by the present qmgr; else it goes with its last job */
};

/* What became of a recipient, or why an address was no good. */
struct relay_verdict {
    enum ipc_outcome outcome;
    uint16_t code;
    struct smtp_status status;
    struct view text, remote;
    enum smtp_client_phase phase;
    enum ipc_reach reach;
    bool uncertain;
};

struct relay_recipient {
    struct map_item by_id;
    char key[MAIL_ID_SIZE + 4];
    struct relay_job *job;
    uint32_t number;
    struct view path; /* in the job's memory */
    bool done;        /* its result was said */
    char *frame;      /* its result */
    size_t frame_len;
};

enum relay_read { RELAY_UNREAD, RELAY_READING, RELAY_READ, RELAY_UNREADABLE, RELAY_NO_MEMORY };

struct relay_job {
    struct relay *relay;
    struct list link;    /* in its destination while it waits for a session */
    struct list reading; /* in the line for the disk */
    struct relay_destination *destination;
    struct relay_session *session; /* NULL: it waits, or is over */
    struct mail_id id;
    struct spool_place place;
    struct relay_content *content; /* NULL: over, only the results are kept */
    /* The message, once it is read. */
    enum relay_read read;
    char *record;
    size_t record_len, record_cap; /* what was read of it; what was asked for */
    bool over;                     /* only the end of its reading is waited for */
    bool whole;                    /* all of it is in the record, and its checksums are right */
    struct spool_message message;
    char reverse_path[SMTP_PATH_MAX];
    /* The attempt. */
    uint64_t tried; /* targets of the destination, a bit for each */
    bool has_trouble, reached;
    struct relay_verdict trouble; /* of the targets so far; texts in trouble_text */
    char *trouble_text;
    struct smtp_client_message send;
    struct smtp_client_recipient *to; /* those that are left, and which they are */
    size_t *order;
    size_t recipient_count, open_count; /* open: not forgotten yet */
    struct relay_recipient recipients[];
};

/* Content on its way out, piece by piece. */
struct relay_source {
    struct relay_job *job;
    struct relay_content *content; /* NULL: not begun */
    struct spool_reader reader;
    struct spool_span span; /* what is left of it in the file */
    struct view piece;      /* to be sent next */
    uint32_t crc;
    char *chunk;
    bool reading, damaged;
    struct os_op op;
    struct os_request request;
    void (*ready)(void *ctx); /* after RELAY_SOURCE_WAIT */
    void *ctx;
};

enum relay_source_state { RELAY_SOURCE_PIECE, RELAY_SOURCE_WAIT, RELAY_SOURCE_END, RELAY_SOURCE_DAMAGED };

struct relay_question {
    struct map_item by_ticket;
    uint64_t ticket;
    struct relay_destination *destination;
    uint8_t host;
    enum os_dns_type type;
};

enum relay_names { RELAY_NAMES_UNKNOWN, RELAY_NAMES_ASKED, RELAY_NAMES_KNOWN };

struct relay_destination {
    struct map_item by_key;
    struct relay *relay;
    struct view action, domain; /* in its memory, like the key */
    struct list waiting;        /* jobs that have no session */
    struct list sessions, idle; /* all; those that wait for work, the one used last in front */
    size_t session_count, job_count;
    struct list woken; /* link: there is something to do */
    struct list short_of_sessions;
    struct relay_timer timer; /* patience with the DNS, or lingering */
    enum relay_names names;
    enum deliver_mx_result names_result;
    uint64_t known_until_us;
    uint32_t ttl_s; /* the least */
    uint16_t port;  /* of mail exchangers */
    size_t asked;   /* questions that are not answered */
    struct relay_question questions[1 + 2 * DELIVER_MX_HOSTS_MAX];
    struct deliver_mx mx, next_mx; /* those of targets[]; those that are being asked for */
    struct deliver_mx_target targets[DELIVER_MX_TARGETS_MAX];
    uint64_t bad_until_us[DELIVER_MX_TARGETS_MAX];
    size_t target_count;
    char key[];
};

struct relay_session {
    struct list link;           /* in its destination; when it is over, in relay->dead */
    struct list idle, all_idle; /* of its destination; of all */
    struct relay *relay;
    struct relay_destination *destination;
    struct os_stream *stream; /* NULL: over */
    size_t target;
    char remote[IPC_REMOTE_MAX]; /* "name [address]:port" */
    size_t remote_len;
    struct relay_job *job;
    struct generation *generation; /* whose host name it has said; NULL: none yet */
    struct smtp_client client;
    bool connecting, greeted;
    bool sending; /* the job's message is under way */
    bool reused;  /* it has done with a message before */
    struct relay_timer timer;
    uint64_t until_us; /* while connecting or idle */
    const char *why;   /* the link was lost; NULL: it was not */
    unsigned watched;
    char *rest; /* input that makes no whole reply yet */
    size_t rest_len;
    char *late; /* output that the stream did not take */
    size_t late_len;
    struct relay_source source;
};

struct relay {
    struct os *os;
    struct role role;
    struct event_log log;
    struct ipc qmgr, resolver;
    struct list contents;
    struct map recipients, destinations, questions;
    uint64_t last_ticket;
    uint32_t owed_credit;
    struct os_task say;            /* credit and results, at the end of the turn */
    struct list woken;             /* destinations */
    struct list short_of_sessions; /* destinations that wait for the end of any session */
    struct os_task work;
    size_t lingering;
    struct list idle;           /* sessions, the one used last in front */
    size_t session_count, busy; /* busy: with a message under way */
    struct list dead;           /* sessions that are over */
    struct os_task bury;
    struct heap timers;
    uint64_t alarm_us;
    struct relay_timer stop_timer;
    bool stopping;
    /* reading */
    struct os_queue *queue;
    struct list wanted, cold; /* jobs; cold: what they want is not in memory */
    bool reading;
    struct os_op ops[RELAY_READS_MAX];
    struct relay_job *being_read[RELAY_READS_MAX];
    size_t read_count;
    struct os_request request;
    struct os_task read_task;
    size_t memory; /* of records */
    /* scratch of the session at work */
    struct buffer out;
    char in[RELAY_IO_MAX], out_memory[RELAY_IO_MAX];
};

/* smtp.c */
void relay_timer_set(struct relay *relay, struct relay_timer *timer, uint64_t deadline_us);
void relay_timer_clear(struct relay *relay, struct relay_timer *timer);
void relay_end_when_idle(struct relay *relay);

/* relay_job.c */
uint64_t relay_job_max(const struct relay *relay);             /* recipients at a time */
bool relay_job_take(struct relay *relay, struct unpack *body); /* a job of qmgr; false: malformed */
bool relay_job_kept(struct relay *relay, struct unpack *body); /* a result is durable; the same */
void relay_job_say_all(struct relay *relay);                   /* all results, to a new qmgr */
void relay_job_free_all(struct relay *relay);
/* Those that are left get their outcome: all of them. The job may be gone then. */
void relay_job_finish(struct relay_job *job, const struct relay_verdict *verdict);
/* One that was said no to by itself: kept until relay_job_settle(). k: number in job->send. */
void relay_job_refuse(struct relay_job *job, size_t k, const struct relay_verdict *verdict);
void relay_job_unreadable(struct relay_job *job); /* its message cannot be had */
void relay_job_release(struct relay_job *job);    /* over, and nothing reads for it any more */
/* job->send with those that are left. */
void relay_job_prepare(struct relay_job *job);
/* The message is done with this outcome, as smtp_client says: some have their result then. verdict: of the others,
 * unless `again`, when they are to be tried once more. True: there are such; false: none is left, the job may be gone.
 */
bool relay_job_settle(struct relay_job *job, enum smtp_client_outcome outcome, const struct relay_verdict *verdict,
                      bool again);
/* An address was no good: remembered until all were tried. */
void relay_job_trouble(struct relay_job *job, const struct relay_verdict *verdict);
struct relay_verdict relay_verdict_local(enum ipc_outcome outcome, unsigned code, unsigned subject, unsigned detail,
                                         struct view text);

/* relay_content.c */
bool relay_content_take(struct relay *relay, struct unpack *body, struct os_handle *handle);
bool relay_content_drop(struct relay *relay, struct unpack *body);
struct relay_content *relay_content_find(struct relay *relay, uint64_t number);
void relay_content_release(struct relay_content *content); /* one user less */
void relay_content_renounce_all(struct relay *relay);      /* qmgr is a new one */
void relay_content_free_all(struct relay *relay);
void relay_content_read(struct relay_job *job); /* begins; then relay_session_go() for its session */
void relay_content_forget(struct relay_job *job);
void relay_content_run(void *relay); /* task */
void relay_source_start(struct relay_source *source, struct relay_job *job, void (*ready)(void *ctx), void *ctx);
enum relay_source_state relay_source_next(struct relay_source *source);
void relay_source_end(struct relay_source *source); /* not while it is reading */

/* relay_names.c */
void relay_names_link(struct relay *relay, struct os_link *link);
void relay_names_ask(struct relay_destination *d);     /* begins; then relay_destination_named() */
void relay_names_give_up(struct relay_destination *d); /* what is not answered is trouble */
void relay_names_forget(struct relay_destination *d);

/* relay_destination.c */
struct relay_destination *relay_destination_of(struct relay *relay, const struct conf_action *action,
                                               struct view domain); /* NULL: no memory */
void relay_destination_add(struct relay_destination *d, struct relay_job *job);
void relay_destination_return(struct relay_job *job); /* its session is gone or will not send it */
void relay_destination_job_over(struct relay_destination *d);
void relay_destination_named(struct relay_destination *d);
void relay_destination_wake(struct relay_destination *d);
void relay_destination_work(void *relay);                              /* task */
struct relay_job *relay_destination_next(struct relay_destination *d); /* for a session that is free; NULL: none */
void relay_destination_is_us(struct relay_destination *d, size_t target);
void relay_destination_renew_all(
    struct relay *relay); /* what is known of them is no longer true: a new configuration */
void relay_destination_free_all(struct relay *relay);

/* relay_session.c */
/* Begins to connect to a target for the job. false: cannot; the job has its trouble and is still the caller's. */
bool relay_session_open(struct relay_destination *d, struct relay_job *job, size_t target);
void relay_session_give(struct relay_session *s, struct relay_job *job); /* to an idle one */
void relay_session_go(struct relay_session *s);                          /* its job has been read, or cannot be */
bool relay_session_drop_idle(struct relay *relay);                       /* makes room for another; false: none */
void relay_session_stop_all(struct relay_destination *d);                /* but for those with a message under way */
void relay_session_free_all(struct relay_destination *d);
void relay_session_bury(void *relay); /* task: frees those that are over */

#endif
