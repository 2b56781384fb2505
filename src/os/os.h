/* The platform: everything outside of our own memory comes through here, and through nothing else.
 *
 * There are two of it, chosen at link time: os/linux (libuv, threads, descriptors) and os/mem (a simulated world:
 * seeded random, a clock that jumps, streams cut into any pieces, a disk that forgets what was not synced).
 * The same role code runs over either. Above this header there is no descriptor, no errno, no getpid, no environ.
 *
 * The rules of the house:
 *  - One struct os is one process. It runs one event loop; every callback comes from that loop, never from inside
 *    the call that asked for it. os_now_us() stands still within one turn of the loop.
 *  - Streams and links work by readiness: read and write return at once; a watch tells when to try again.
 *    Nothing is lent between calls.
 *  - Files work by completion: a request lies in the caller's object, and its buffers stay untouched until `done`,
 *    which comes exactly once. There is no cancelling.
 *  - Names are relative to directory handles.
 *  - Handles are opaque and owned by one holder, who closes them; sending one over a link sends a copy. */
#ifndef OS_OS_H
#define OS_OS_H

#include "base/address.h"
#include "base/buffer.h"
#include "base/view.h"

struct os;
struct os_stream;   /* a connection: bytes both ways */
struct os_listener; /* where connections come in */
struct os_link;     /* whole frames to and from another process of ours */
struct os_dir;
struct os_file;
struct os_queue;    /* runs file requests one after another, off the loop */
struct os_child;

enum os_status {
    OS_OK,
    OS_AGAIN,       /* not now: watch and try again */
    OS_END,         /* the other side has finished (end of file) */
    OS_SKIPPED,     /* file operation not tried because an earlier one failed */
    OS_NOT_FOUND,
    OS_EXISTS,
    OS_DENIED,      /* permission */
    OS_NO_SPACE,
    OS_QUOTA,
    OS_TOO_LARGE,   /* file size limit; frame over the limit */
    OS_READ_ONLY,
    OS_NOT_DIR,
    OS_IS_DIR,
    OS_IS_LINK,     /* a symbolic link where none is allowed */
    OS_LOCKED,      /* somebody else holds the lock */
    OS_IN_USE,      /* address taken */
    OS_REFUSED,
    OS_RESET,       /* the link broke */
    OS_UNREACHABLE,
    OS_TIMED_OUT,
    OS_TOO_MANY,    /* handles, processes, threads */
    OS_NO_MEMORY,
    OS_INVALID,
    OS_UNSUPPORTED,
    OS_IO,          /* the device failed */
};

const char *os_status_text(enum os_status status); /* "no space left on the disk" */

/* ---- time and chance ---- */

uint64_t os_now_us(struct os *os);  /* monotonic; fixed for one turn */
uint64_t os_wall_us(struct os *os); /* µs since 1970 UTC; may jump */
/* Minutes east of UTC at that moment, for Date and Received. */
int os_utc_offset_min(struct os *os, uint64_t wall_us);
bool os_random(struct os *os, void *to, size_t n); /* false: no randomness, do not go on (H166) */

/* The one timer of the process: calls on(ctx) once, at or after deadline_us (monotonic). Setting it again replaces it;
 * OS_NEVER takes it away. A deadline that has passed rings in a later turn. A role keeps its deadlines in a heap. */
#define OS_NEVER UINT64_MAX
void os_alarm(struct os *os, uint64_t deadline_us, void (*on)(void *ctx), void *ctx);

/* Runs once at the end of the present turn, when all events at hand have been seen. The task is the caller's and stays
 * until it ran; asking again before it ran changes nothing, asking from inside a task means the end of the next turn. */
struct os_task {
    void (*run)(void *ctx);
    void *ctx;
    struct os_task *next; /* belongs to the platform */
    bool waiting;         /* belongs to the platform */
};
void os_later(struct os *os, struct os_task *task);

/* Ends the loop after this turn, then the process. The first call counts. */
void os_stop(struct os *os, int exit_code);

/* ---- streams ---- */

enum { OS_READABLE = 1, OS_WRITABLE = 2 };

struct os_slice {
    const void *at;
    size_t len;
};

typedef void os_event(void *ctx, unsigned events);

/* OS_OK (*got > 0), OS_AGAIN, OS_END, or an error. Fewer bytes than max mean: no more at the moment. */
enum os_status os_stream_read(struct os_stream *stream, void *to, size_t max, size_t *got);
/* OS_OK with *put bytes written (perhaps fewer than asked), OS_AGAIN with none, or an error. count <= 64. */
enum os_status os_stream_write(struct os_stream *stream, const struct os_slice *slices, size_t count, size_t *put);
/* Calls on(ctx, events) while one of the wanted events is true (level-triggered); the end of the stream counts as
 * readable, an error as readable and writable. Replaces an earlier watch; wanted 0 ends it. */
void os_stream_watch(struct os_stream *stream, unsigned wanted, os_event *on, void *ctx);
struct address os_stream_peer(struct os_stream *stream);
struct address os_stream_local(struct os_stream *stream);
void os_stream_shutdown(struct os_stream *stream); /* no more from us; reading goes on */
void os_stream_close(struct os_stream *stream);

/* Begins to connect; the stream is writable when connected, and read tells the error otherwise.
 * from: source address or NULL. */
enum os_status os_connect(struct os *os, const struct address *to, const struct address *from, struct os_stream **stream);

/* An address of :: takes IPv6 and IPv4. The first call for an address fails with OS_IN_USE when anybody else has it; further ones
 * make listeners beside it (SO_REUSEPORT): one for each worker. Port 0: any free one; *bound tells which. A socket that a manager of
 * services has opened for us at this address is taken in place of a new one. */
enum os_status os_listen(struct os *os, const struct address *at, bool first, struct os_listener **listener, struct address *bound);
/* OS_OK, OS_AGAIN or an error. OS_TOO_MANY: we are out of handles; the connection that waited was closed, and where
 * that was not possible the watch rests for a moment (H88). */
enum os_status os_accept(struct os_listener *listener, struct os_stream **stream);
void os_listener_watch(struct os_listener *listener, bool wanted, os_event *on, void *ctx);
void os_listener_close(struct os_listener *listener);

/* ---- links: frames between processes ---- */

#define OS_FRAME_MAX 65536

enum os_handle_kind { OS_HANDLE_NONE, OS_HANDLE_STREAM, OS_HANDLE_LISTENER, OS_HANDLE_LINK, OS_HANDLE_FILE, OS_HANDLE_DIR };

struct os_handle {
    enum os_handle_kind kind;
    union {
        struct os_stream *stream;
        struct os_listener *listener;
        struct os_link *link;
        struct os_file *file;
        struct os_dir *dir;
    };
};

/* Two ends of a new link. */
enum os_status os_link_pair(struct os *os, struct os_link **a, struct os_link **b);
/* Whole or not at all: OS_OK, OS_AGAIN (the other side is slow: keep the frame and watch for OS_WRITABLE),
 * OS_END (it is gone). handle: NULL, or one whose copy goes with the frame. */
enum os_status os_link_send(struct os_link *link, struct view frame, const struct os_handle *handle);
/* One frame into `to` (room OS_FRAME_MAX). handle->kind is OS_HANDLE_NONE when none came with it, else the receiver
 * owns the handle, which is of the kind that the sender said. OS_AGAIN, OS_END, or for this frame alone, which is gone:
 * OS_INVALID (none of ours: the other side is broken or hostile), OS_TOO_MANY (its handle found no room). */
enum os_status os_link_receive(struct os_link *link, struct buffer *to, struct os_handle *handle);
void os_link_watch(struct os_link *link, unsigned wanted, os_event *on, void *ctx);
void os_link_close(struct os_link *link);
void os_handle_close(struct os_handle *handle);

/* Commands of the administrator reach this process, which is the only one to do so, by a name in a folder: on(ctx, link) for
 * each that comes, whose link it owns from then on. Let in are root and who we are ourselves. A name that is there is
 * replaced: who holds the lock of the folder is the only server. os/mem: nobody comes. */
enum os_status os_control(struct os *os, struct os_dir *dir, const char *name,
                          void (*on)(void *ctx, struct os_link *link), void *ctx);
void os_control_end(struct os *os, struct os_dir *dir, const char *name);

/* ---- files ---- */

enum os_op_kind {
    OS_OPEN,       /* dir, name, flags, mode -> *file */
    OS_OPEN_DIR,   /* dir, name -> *opened_dir; never through a symbolic link in its last part: OS_IS_LINK */
    OS_CLOSE,      /* *file, set to NULL; its failure counts (quota) */
    OS_READ,       /* *file, offset, buf, len -> value: bytes read, fewer only at the end of the file */
    OS_READ_CACHED, /* OS_READ of what needs no disk, else OS_AGAIN (perhaps also at the end of the file): never waits, so that
                       os_run_ops may do it in a loop */
    OS_WRITE,      /* *file, offset, slices: all of it or an error -> value: bytes written */
    OS_COMMIT,     /* OS_WRITE, then data durable, as one operation */
    OS_SYNC_DATA,  /* *file: data durable (fdatasync) */
    OS_SYNC,       /* *file: data and size and times (fsync) */
    OS_SYNC_DIR,   /* dir: names durable */
    OS_SYNC_FS,    /* dir: everything on its file system (syncfs); OS_UNSUPPORTED where its errors would go unseen */
    OS_TRUNCATE,   /* *file to `offset` bytes */
    OS_ALLOCATE,   /* *file: space for `offset` bytes from its start, size set */
    OS_FILL,       /* *file: `len` zero bytes written from `offset`, out of the way of the page cache, and synced */
    OS_STAT,       /* *file, or (file == NULL) dir and name, or (name == NULL too) dir -> stat; of a symbolic link itself with
                      OS_NO_FOLLOW */
    OS_LINK,       /* dir/name also as to_dir/to_name; OS_EXISTS if that is there */
    OS_RENAME,     /* dir/name becomes to_dir/to_name, replacing */
    OS_UNLINK,     /* dir/name */
    OS_REMOVE_DIR, /* dir/name; OS_EXISTS when something is in it */
    OS_MAKE_DIR,   /* dir/name, mode */
    OS_LIST,       /* dir: names, each ended by NUL, into buf/len from position `offset` on; value: bytes;
                      offset: where to go on; value 0: no more. "." and ".." are left out. len >= 256 */
    OS_LOCK,       /* *file: exclusive, tied to the open file (flock), tried for `offset` µs of real time -> OS_LOCKED */
    OS_LOCK_RANGE, /* *file: whole-file record lock for writing (fcntl) against other programs, tied to the open file, not
                      waiting -> OS_LOCKED */
    OS_SET_TIMES,  /* *file: access time := time[0], modification time := time[1]; µs since 1970, OS_NEVER: as it is */
    OS_CHOWN,      /* *file to user/group of `owner` */
};

enum os_open_flags {
    OS_FOR_READ = 1,
    OS_FOR_WRITE = 2,
    OS_CREATE = 4,
    OS_EXCLUSIVE = 8,  /* with OS_CREATE: OS_EXISTS when there */
    OS_TRUNCATED = 16,
    OS_NO_FOLLOW = 32, /* OS_IS_LINK for a symbolic link */
};

struct os_stat {
    uint64_t size, inode;
    uint64_t device; /* the same number: the same file system */
    uint64_t modified_us, accessed_us;
    uint32_t mode, links, user, group; /* mode: permission bits */
    bool regular, directory;
};

struct os_owner {
    uint32_t user, group;
};

/* One operation. Files are named by the place of their handle, so that a program of operations can open, write and
 * close in one go: OS_OPEN puts the handle there; an operation that finds NULL there is skipped. */
struct os_op {
    enum os_op_kind kind;
    unsigned flags, mode;
    struct os_dir *dir, *to_dir;
    const char *name, *to_name;
    struct os_file **file;
    struct os_dir **opened_dir;
    uint64_t offset;
    const struct os_slice *slices;
    size_t slice_count;
    void *buf;
    size_t len;
    const struct os_op *after; /* skipped unless this one, earlier in the same request, ended with OS_OK; NULL: none */
    uint64_t time[2];
    struct os_owner owner;
    /* what came of it */
    enum os_status status;
    uint64_t value;
    struct os_stat *stat;
};

/* Operations that run in order on one queue. done(ctx) comes from the loop once all have their status. */
struct os_request {
    struct os_op *ops;
    size_t count;
    void (*done)(void *ctx);
    void *ctx;
    struct os_request *next; /* belongs to the platform */
};

/* A queue has a thread of its own: a journal does not wait behind somebody's slow open. After os_queue_free nothing may
 * be submitted; what was is carried out, with its done(), and then the queue goes. */
struct os_queue *os_queue_new(struct os *os); /* NULL: no more threads */
void os_queue_free(struct os_queue *queue);
void os_submit(struct os_queue *queue, struct os_request *request);
/* The same at once, in place: for start-up, recovery and commands, where there is no loop to keep waiting. */
void os_run_ops(struct os *os, struct os_op *ops, size_t count);

struct os_dir *os_dir_path(struct os *os, const char *path, enum os_status *status); /* opens by path; NULL on error */
void os_dir_close(struct os_dir *dir);
void os_file_close(struct os_file *file); /* outcome of no interest (files that were only read) */
enum os_status os_disk_free(struct os_dir *dir, uint64_t *bytes, uint64_t *files);

/* ---- names in the DNS ---- */

enum os_dns_type { OS_DNS_A = 1, OS_DNS_PTR = 12, OS_DNS_MX = 15, OS_DNS_TXT = 16, OS_DNS_AAAA = 28, OS_DNS_SRV = 33, OS_DNS_TLSA = 52 };
enum os_dns_result { OS_DNS_FOUND, OS_DNS_NO_NAME, OS_DNS_NO_DATA, OS_DNS_TROUBLE /* time-out, SERVFAIL, refused, malformed, bogus */ };

struct os_dns_query {
    char name[256]; /* without a final dot */
    enum os_dns_type type;
    void (*done)(void *ctx, struct os_dns_query *query);
    void *ctx;
    /* the answer; records borrow memory of the platform and live until `done` returns */
    enum os_dns_result result;
    bool secure; /* validated with DNSSEC */
    uint32_t ttl_s;
    const struct os_slice *records; /* RDATA, names uncompressed */
    size_t record_count;
    void *inner; /* belongs to the platform */
};

void os_dns_ask(struct os *os, struct os_dns_query *query);

/* Who is asked, instead of the machine's own name servers. */
enum os_dns_source_kind {
    OS_DNS_FORWARD,  /* server: for everything; several may be given */
    OS_DNS_STUB,     /* server has zone and what is below */
    OS_DNS_INSECURE, /* zone need not be signed, whatever its parent says */
};

struct os_dns_source {
    enum os_dns_source_kind kind;
    const char *zone;
    struct address server;
};

/* Before the first question. false: one of them is no good, or no memory; then every answer is OS_DNS_TROUBLE. */
bool os_dns_use(struct os *os, const struct os_dns_source *sources, size_t count);

/* ---- users ---- */

struct os_user {
    uint32_t user, group;
    char name[64];
    char home[256];
};

/* OS_NOT_FOUND only when the answer is sure; a directory that does not answer gives OS_AGAIN (H82). */
enum os_status os_user_find(struct os *os, struct view name, struct os_user *user);
bool os_is_root(struct os *os);
unsigned os_core_count(struct os *os); /* at least 1 */

/* ---- processes ---- */

/* A role is an object made by `start`; the process (or, over os/mem, the simulated process) is its alone.
 * `supervisor` is its link to the supervisor (NULL in the supervisor itself), from now on the role's. NULL from `start`: it
 * cannot work, and the process ends. When the link is cut the process ends, whatever the role does. */
struct os_role {
    const char *name;
    void *(*start)(struct os *os, struct os_link *supervisor);
    void (*stop)(void *role); /* frees it; os/mem calls it at the end of a tidy process, never at a crash */
};

struct os_spawn {
    const char *role;      /* a name of the table of roles */
    const char *user;      /* account to run as; NULL: as we are */
    const char *group;     /* with `user`: group to be in instead of its own (mail, for locks in /var/mail); NULL: its own */
    uint64_t files_max;    /* 0: as many as allowed */
};

/* Starts the role in a process of its own; *link is our end. on_exit comes once when it has ended:
 * code >= 0 as it said, < 0 by a signal; *child lives until on_exit returns. The child ends when our end of its link
 * is closed. OS_NOT_FOUND: no such role or user; OS_DENIED: the user is root or in its group, or we may not. */
enum os_status os_spawn(struct os *os, const struct os_spawn *what, struct os_link **link, struct os_child **child,
                        void (*on_exit)(void *ctx, int code), void *ctx);
void os_child_kill(struct os_child *child);
uint64_t os_child_number(struct os_child *child); /* what an administrator sees (the pid) */

enum os_signal { OS_SIGNAL_STOP, OS_SIGNAL_RELOAD };
void os_on_signal(struct os *os, void (*on)(void *ctx, enum os_signal signal), void *ctx);

/* One datagram to a port of 127.0.0.1, for whoever may listen there. Nobody hears whether it came. */
void os_notify(struct os *os, uint16_t port, struct view text);

/* Tells the manager of services that started us, if one did, of our state: lines as in sd_notify(3). */
void os_service(struct os *os, struct view state);
/* It wants to hear WATCHDOG=1 at least so often; 0: it does not. */
uint64_t os_watchdog_us(struct os *os);

/* One line (without its end) to the log; cut at 4095 bytes, with '?' for controls. Never waits: what the log does not
 * take is counted and said later (H94). */
void os_log(struct os *os, struct view line);

#endif
