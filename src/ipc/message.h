/* What roles say to each other: one struct and one pack/unpack pair for each frame. The first byte of a frame is its
 * type. Unpacking trusts nothing: false for any malformed frame. Views borrow the frame. */
#ifndef IPC_MESSAGE_H
#define IPC_MESSAGE_H

#include "base/mail_id.h"
#include "base/pack.h"
#include "os/os.h"

#define IPC_VERSION 1

enum ipc_type {
    IPC_HELLO = 1, /* both ways, first on every link: who I am */
    /* supervisor -> role */
    IPC_CONFIG = 10, /* a piece of the configuration's text, in order; `last` ends it */
    IPC_HANDLE,      /* something to work with, attached */
    IPC_START,       /* everything is there; after a new configuration: it is in force from now on */
    IPC_STOP,        /* finish what is owed, then exit */
    IPC_COUNT,       /* how much is there to do? */
    /* role -> supervisor */
    IPC_READY = 20, /* working */
    IPC_RELOADED,   /* working by the configuration of this generation */
    IPC_COUNTS,
    /* smtpd -> qmgr */
    IPC_NEED = 30, /* segments wanted */
    IPC_HELD,      /* a segment I hold, with what is durable in it: said to a new qmgr, ended by IPC_HELD_END */
    IPC_HELD_END,
    IPC_DURABLE,
    IPC_SEALED,
    /* qmgr -> smtpd */
    IPC_SEGMENT = 40, /* file attached */
    /* qmgr -> local */
    IPC_CONTENT = 50, /* segment to deliver from, read-only file attached: before its first job */
    IPC_CONTENT_GONE, /* no more jobs from it: close the file */
    IPC_JOB,
    IPC_KEPT, /* the result of this job is durable: forget it */
    /* local -> qmgr */
    IPC_CREDIT = 60, /* so many more jobs may be given */
    IPC_RESULT,      /* said again to a new qmgr until IPC_KEPT; results come before the first credit */
    /* smtpd -> auth and back */
    IPC_LOOKUP = 70,
    IPC_FOUND,
    /* local -> mailbox, its worker that runs as the mailboxes' user; also IPC_HANDLE, IPC_CONTENT, IPC_CONTENT_GONE and
     * IPC_STOP. Back come IPC_HELLO and IPC_RESULT. */
    IPC_MAIL_SETUP = 80,
    IPC_MAIL_JOB,
    /* qmgr -> smtp; besides IPC_CONTENT, IPC_CONTENT_GONE, IPC_KEPT, and back IPC_CREDIT, IPC_RESULT as with local. A
     * credit counts recipients. */
    IPC_RELAY_JOB = 90,
    /* smtp -> resolver and back */
    IPC_RESOLVE = 100,
    IPC_RESOLVED,
    /* command -> supervisor and back, over a link of the control socket */
    IPC_COMMAND = 110,
    IPC_PROCESS, /* status: one for each process */
    IPC_ANSWER,  /* the last frame */
    /* command <-> qmgr, over the link that the supervisor handed on */
    IPC_ORDER,
    IPC_ORDERED, /* the answer to each */
};

enum ipc_role { IPC_SUPERVISOR = 1, IPC_SMTPD, IPC_QMGR, IPC_LOCAL, IPC_MAILBOX, IPC_AUTH, IPC_SMTP, IPC_RESOLVER, IPC_COMMANDER };

struct ipc_hello {
    uint16_t version; /* IPC_VERSION, else the link is refused (H149) */
    uint8_t role;
    uint32_t instance;
};

struct ipc_config {
    bool last;
    uint64_t generation; /* from 1, grows with each reload */
    struct view text;
};

struct ipc_counts { /* of one role; what does not apply is 0 */
    uint64_t sessions; /* connections, in or out */
    uint64_t active;   /* recipients being delivered */
    uint64_t messages; /* in the queue */
};

/* IPC_COMMAND_QUEUE: the supervisor hands the link on to qmgr, as IPC_A_LINK of role IPC_COMMANDER; what the two say to each
 * other begins with the IPC_HELLO of qmgr. */
enum ipc_command { IPC_COMMAND_RELOAD = 1, IPC_COMMAND_STATUS, IPC_COMMAND_QUEUE };

struct ipc_process {
    struct view role;
    uint32_t instance;
    uint64_t number; /* pid; 0: not running at the moment */
    uint64_t uptime_us, generation;
    uint64_t starts; /* how often it was started */
    struct ipc_counts counts;
};

enum ipc_order_kind { IPC_ORDER_RETRY = 1, IPC_ORDER_HOLD, IPC_ORDER_RELEASE, IPC_ORDER_FAIL, IPC_ORDER_DELETE };
enum ipc_order_result {
    IPC_ORDER_DONE,
    IPC_ORDER_GONE,    /* it is not in the queue any more */
    IPC_ORDER_BUSY,    /* it is being served at this moment */
    IPC_ORDER_NOT_SO,  /* nothing to release, held already */
    IPC_ORDER_TROUBLE, /* no memory, or the spool is not open yet */
};

struct ipc_order { /* about one recipient */
    uint8_t kind;   /* enum ipc_order_kind */
    uint8_t result; /* enum ipc_order_result, of IPC_ORDERED */
    struct mail_id id;
    uint32_t recipient;
};

struct ipc_answer {
    uint8_t code;     /* of sysexits(3), for the command to end with */
    struct view text; /* lines */
};

enum ipc_what { IPC_A_LISTENER = 1, IPC_A_LINK, IPC_A_SPOOL, IPC_A_LOCK, IPC_A_MAIL_DIR };

struct ipc_handle {
    uint8_t what;
    uint8_t role;   /* IPC_A_LINK: who is at the other end */
    uint32_t index; /* IPC_A_LISTENER: which `listen` of the configuration; IPC_A_LINK: instance */
};

struct ipc_segment { /* IPC_SEGMENT, IPC_HELD, IPC_DURABLE, IPC_SEALED; IPC_CONTENT and IPC_CONTENT_GONE use number */
    uint8_t kind;
    uint64_t number, nonce, size;
    uint64_t upto; /* durable up to, or the end when sealed */
};

struct ipc_need { /* so many more than were asked for before */
    uint8_t kind;
    uint32_t count;
};

/* A job is known by message and recipient. */
struct ipc_job {
    struct mail_id id;
    uint32_t recipient;
    uint64_t segment, offset, content_size; /* struct spool_place */
    uint32_t head_size;
    struct view action; /* name in the configuration */
    struct view path;   /* mailbox of the recipient */
};

/* Recipients of one message that go to the same next hop. */
struct ipc_relay_job {
    struct mail_id id;
    uint64_t segment, offset, content_size; /* struct spool_place */
    uint32_t head_size;
    struct view action;     /* name in the configuration: says by which hops, which port */
    struct view domain;     /* of the recipients: A-label or address literal, lower case; with hops it is for the log */
    struct view recipients; /* 1..IPC_RELAY_MAX, see ipc_recipient_add */
};
#define IPC_RELAY_MAX 100
#define IPC_PATH_MAX  1024 /* of a mailbox, far above what SMTP allows */

enum ipc_outcome { IPC_DELIVERED = 1, IPC_DEFERRED, IPC_FAILED };
enum ipc_reach {
    IPC_REACHED,   /* the destination answered, or it was not asked at all */
    IPC_UNREACHED, /* no session could be had: the whole destination is in trouble */
};
#define IPC_TEXT_MAX   2000 /* of struct ipc_result; more is cut by the packing */
#define IPC_REMOTE_MAX 400

struct ipc_result { /* of one recipient */
    struct mail_id id;
    uint32_t recipient;
    uint8_t outcome;
    uint16_t code; /* like an SMTP reply: 250, 451, 550 */
    uint16_t status[3];
    struct view text;   /* in words; for the log and the report. Of a server: its whole reply, lines separated by LF */
    struct view remote; /* "name [address]:port" of the server that said it; empty: none did */
    uint8_t phase;      /* enum smtp_client_phase: how far the session came; 0 without one */
    uint8_t reach;      /* enum ipc_reach */
    bool uncertain;     /* the link was lost after the final dot (RFC 1047); outcome is IPC_DEFERRED */
};
#define IPC_RESULT_MAX (IPC_TEXT_MAX + IPC_REMOTE_MAX + 64) /* room for its frame */

struct ipc_kept {
    struct mail_id id;
    uint32_t recipient;
};

struct ipc_lookup {
    uint64_t ticket;
    struct view name;
};

struct ipc_found {
    uint64_t ticket;
    uint8_t status; /* enum os_status: OS_OK, OS_NOT_FOUND, OS_AGAIN */
};

struct ipc_mail_setup {
    bool log_text;
    uint16_t mbox_mode; /* permission bits of an mbox that is made */
    struct view hostname;
};

struct ipc_mail_job {
    struct mail_id id;
    uint32_t recipient;
    uint64_t segment, offset, content_size; /* struct spool_place */
    uint32_t head_size;
    bool mbox;
    uint32_t owner;         /* to whom an mbox must belong; UINT32_MAX: anybody */
    struct view base, rest; /* struct deliver_place; no NUL in them */
    struct view biff;       /* mbox: whom to tell that mail has come; empty: nobody */
};

struct ipc_resolve {
    uint64_t ticket;
    uint16_t type; /* enum os_dns_type */
    struct view name;
};

struct ipc_resolved {
    uint64_t ticket;
    uint8_t result; /* enum os_dns_result */
    bool secure;
    uint32_t ttl_s;
    struct view records; /* RDATA of each, see ipc_record_add */
};

void ipc_hello_pack(struct buffer *to, const struct ipc_hello *m);
bool ipc_hello_unpack(struct unpack *from, struct ipc_hello *m);
void ipc_config_pack(struct buffer *to, const struct ipc_config *m);
bool ipc_config_unpack(struct unpack *from, struct ipc_config *m);
void ipc_counts_pack(struct buffer *to, const struct ipc_counts *m);
bool ipc_counts_unpack(struct unpack *from, struct ipc_counts *m);
void ipc_reloaded_pack(struct buffer *to, uint64_t generation);
bool ipc_reloaded_unpack(struct unpack *from, uint64_t *generation);
void ipc_command_pack(struct buffer *to, uint8_t command); /* enum ipc_command */
bool ipc_command_unpack(struct unpack *from, uint8_t *command);
void ipc_process_pack(struct buffer *to, const struct ipc_process *m);
bool ipc_process_unpack(struct unpack *from, struct ipc_process *m);
void ipc_order_pack(struct buffer *to, enum ipc_type type, const struct ipc_order *m);
bool ipc_order_unpack(struct unpack *from, struct ipc_order *m);
void ipc_answer_pack(struct buffer *to, const struct ipc_answer *m);
bool ipc_answer_unpack(struct unpack *from, struct ipc_answer *m);
void ipc_handle_pack(struct buffer *to, const struct ipc_handle *m);
bool ipc_handle_unpack(struct unpack *from, struct ipc_handle *m);
void ipc_segment_pack(struct buffer *to, enum ipc_type type, const struct ipc_segment *m);
bool ipc_segment_unpack(struct unpack *from, struct ipc_segment *m);
void ipc_need_pack(struct buffer *to, const struct ipc_need *m);
bool ipc_need_unpack(struct unpack *from, struct ipc_need *m);
void ipc_job_pack(struct buffer *to, const struct ipc_job *m);
bool ipc_job_unpack(struct unpack *from, struct ipc_job *m);
void ipc_result_pack(struct buffer *to, const struct ipc_result *m);
bool ipc_result_unpack(struct unpack *from, struct ipc_result *m);
void ipc_kept_pack(struct buffer *to, const struct ipc_kept *m);
bool ipc_kept_unpack(struct unpack *from, struct ipc_kept *m);
void ipc_credit_pack(struct buffer *to, uint32_t count);
bool ipc_credit_unpack(struct unpack *from, uint32_t *count);
void ipc_lookup_pack(struct buffer *to, const struct ipc_lookup *m);
bool ipc_lookup_unpack(struct unpack *from, struct ipc_lookup *m);
void ipc_found_pack(struct buffer *to, const struct ipc_found *m);
bool ipc_found_unpack(struct unpack *from, struct ipc_found *m);
void ipc_mail_setup_pack(struct buffer *to, const struct ipc_mail_setup *m);
bool ipc_mail_setup_unpack(struct unpack *from, struct ipc_mail_setup *m);
void ipc_mail_job_pack(struct buffer *to, const struct ipc_mail_job *m);
bool ipc_mail_job_unpack(struct unpack *from, struct ipc_mail_job *m);
void ipc_relay_job_pack(struct buffer *to, const struct ipc_relay_job *m);
bool ipc_relay_job_unpack(struct unpack *from, struct ipc_relay_job *m); /* the recipients are well-formed, too */
/* The list of recipients in it: number and mailbox. */
void ipc_recipient_add(struct buffer *to, uint32_t number, struct view path);
bool ipc_recipient_next(struct view *rest, uint32_t *number, struct view *path); /* false: the end, or malformed */
void ipc_resolve_pack(struct buffer *to, const struct ipc_resolve *m);
bool ipc_resolve_unpack(struct unpack *from, struct ipc_resolve *m);
void ipc_resolved_pack(struct buffer *to, const struct ipc_resolved *m);
bool ipc_resolved_unpack(struct unpack *from, struct ipc_resolved *m); /* the records are well-formed, too */
/* The list of records in it. */
void ipc_record_add(struct buffer *to, struct view rdata);
bool ipc_record_next(struct view *rest, struct view *rdata); /* false: the end, or malformed */
/* Frames that are only their type: IPC_START, IPC_STOP, IPC_COUNT, IPC_READY, IPC_HELD_END. */
void ipc_type_pack(struct buffer *to, enum ipc_type type);

#endif
