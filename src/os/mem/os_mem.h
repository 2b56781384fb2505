/* A simulated world behind os.h, and the levers by which a test moves it.
 *
 * A world is one process of ours and one seed. In it are hosts (a machine: disk, wall clock, addresses, users), and on
 * each host processes (a struct os each). Nothing happens by itself: mem_world_step() runs the next event, and when
 * everybody waits, time jumps to the earliest deadline. Same seed and same calls: same everything. No real time, no
 * address of memory and no order of hashing has a say in what happens.
 *
 * Whoever made a thing through these functions need not free it: mem_world_free() ends all processes and takes
 * everything down. Memory that the simulator itself cannot get ends the program; it is not what is tested. */
#ifndef OS_MEM_OS_MEM_H
#define OS_MEM_OS_MEM_H

#include "os/os.h"

struct mem_world;
struct mem_host;
struct mem_disk;

/* ---- the world ---- */

struct mem_world *mem_world_new(uint64_t seed);
void mem_world_free(struct mem_world *world);
/* One turn of one process, or one happening of the world. False: nothing is left to happen. */
bool mem_world_step(struct mem_world *world);
/* Everything up to this moment of the world's time; the time is then exactly this. */
void mem_world_run_until(struct mem_world *world, uint64_t us);
/* Until nothing is left to happen (true), or for_us has passed (false). */
bool mem_world_run(struct mem_world *world, uint64_t for_us);
uint64_t mem_world_now_us(const struct mem_world *world); /* never stops, never jumps back; starts at 1 s */
/* A script: run(ctx) at that moment, outside of every process. */
void mem_world_at(struct mem_world *world, uint64_t us, void (*run)(void *ctx), void *ctx);
uint64_t mem_world_random(struct mem_world *world);
/* Handles that are open in all processes and on their way between them. */
size_t mem_world_open_handles(const struct mem_world *world);

/* What happened: each step is put into a hash, and told to the hook. */
struct mem_trace {
    uint64_t us;
    const char *host; /* NULL: of the world */
    uint64_t process; /* number, 0: of the world */
    const char *what;
    uint64_t a, b; /* depends on what */
};
uint64_t mem_world_trace_hash(const struct mem_world *world);
void mem_world_on_trace(struct mem_world *world, void (*on)(void *ctx, const struct mem_trace *trace), void *ctx);

/* What survives a crash, see disks. */
enum mem_survival {
    MEM_KEEP_NONE,
    MEM_KEEP_ALL,
    MEM_KEEP_SET,     /* unit n survives when bit n of value is set; none past 63 */
    MEM_KEEP_FIRST,   /* the oldest `value` units */
    MEM_KEEP_ALL_BUT, /* all except unit `value` */
    MEM_KEEP_RANDOM,  /* value: a seed */
};

struct mem_choice {
    enum mem_survival how;
    uint64_t value;
};

/* ---- hosts ---- */

struct mem_host *mem_host_new(struct mem_world *world, const char *name);
void mem_host_set_wall(struct mem_host *host, uint64_t wall_us); /* starts at 2026-01-01 00:00 UTC */
void mem_host_set_utc_offset(struct mem_host *host, int minutes_east);
void mem_host_fail_random(struct mem_host *host, bool fail);
/* How long one file operation and one sync take in a queue, in µs: anything from..to. */
void mem_host_set_delays(struct mem_host *host, uint64_t op_us_max, uint64_t sync_us_max);
struct mem_disk *mem_host_disk(struct mem_host *host);
/* Puts another disk in and returns the old one, which is now the caller's. Handles stay with the old one. */
struct mem_disk *mem_host_swap_disk(struct mem_host *host, struct mem_disk *disk);

/* Lines that os_log was given. They are kept (see mem_host_log) unless a hook takes them. */
void mem_host_on_log(struct mem_host *host, void (*on)(void *ctx, struct os *os, struct view line), void *ctx);
struct view mem_host_log(struct mem_host *host); /* all lines so far, each ended by '\n' */

/* Accounts that os_user_find knows; os_user_find gives OS_AGAIN while it fails. */
void mem_host_add_user(struct mem_host *host, const struct os_user *user);
void mem_host_fail_users(struct mem_host *host, bool fail);
void mem_host_fail_user(struct mem_host *host, const char *name, bool fail); /* of one account alone */
void mem_host_set_cores(struct mem_host *host, unsigned count); /* 1 at first */

/* The power goes, or the kernel dies: all processes are gone, the disk keeps what was durable or is chosen, and nobody
 * outside is told. Not from inside a turn: see mem_world_at. The host is off until it is started; then its monotonic
 * clock begins anew, and it is for the caller to start processes. */
void mem_host_crash(struct mem_host *host, struct mem_choice choice);
void mem_host_start(struct mem_host *host);

/* ---- processes ---- */

/* A process without a role, whose code is the test itself; it belongs to root. Any test can be a supervisor by it. */
struct os *mem_process_new(struct mem_host *host);
/* The roles that os_spawn and mem_process_start know on this host; borrowed. */
void mem_host_set_roles(struct mem_host *host, const struct os_role *roles, size_t count);
/* A role at the top, without a supervisor; its start() comes in the next turn. */
struct os *mem_process_start(struct mem_host *host, const char *role);
/* The nth (from 0) of those that live with this role, oldest first; NULL: there is none. */
struct os *mem_host_process(struct mem_host *host, const char *role, size_t nth);
void *mem_process_object(const struct os *os); /* what start() made; NULL before, and without a role */
void mem_process_set_user(struct os *os, uint32_t user, uint32_t group);
void mem_process_set_handles_max(struct os *os, size_t max); /* over it: OS_TOO_MANY */
/* Kill -9. Its handles are cut first; then the role's stop() is called, for its memory is ours, but nothing that it
 * does reaches the world. From inside a turn of the process itself the end of it comes when the turn is over. */
void mem_process_kill(struct os *os);
void mem_process_pause(struct os *os); /* nothing of it runs, what comes for it waits */
void mem_process_resume(struct os *os);
/* Without a handler OS_SIGNAL_STOP kills and OS_SIGNAL_RELOAD does nothing. */
void mem_process_signal(struct os *os, enum os_signal signal);
size_t mem_process_open_handles(const struct os *os);

/* ---- connections ----
 * Bytes go in pieces, each after its time on the way; the order is kept. */

enum mem_split {
    MEM_WHOLE,  /* all that is on its way comes at once */
    MEM_BYTES,  /* byte by byte */
    MEM_AT,     /* a piece ends after split_at bytes of the stream, otherwise whole */
    MEM_RANDOM, /* pieces of any size */
};

enum mem_break {
    MEM_GOES_ON,
    MEM_FIN,   /* the reader sees the end, the writer a broken connection */
    MEM_RST,   /* both see a broken connection */
    MEM_STALL, /* nothing more arrives, until the flow is set anew */
};

/* How bytes go one way. */
struct mem_flow {
    enum mem_split split;
    uint64_t split_at;
    size_t window; /* bytes written and not yet read, at most */
    uint64_t delay_us_min, delay_us_max;
    enum mem_break then; /* what happens after the first break_at bytes have arrived */
    uint64_t break_at;
};

extern const struct mem_flow mem_flow_plain; /* whole, 64 KiB, 10 to 100 µs */

void mem_world_set_flow(struct mem_world *world, const struct mem_flow *flow);   /* of new connections, both ways */
void mem_stream_set_flow(struct os_stream *stream, const struct mem_flow *flow); /* of what this stream writes */
/* Two ends, connected: of one process or of two. They have no addresses. */
void mem_stream_pair(struct os *a_os, struct os *b_os, struct os_stream **a, struct os_stream **b);

/* Adds "192.0.2.1" or "2001:db8::1". Loopback every host has for itself. */
bool mem_host_add_address(struct mem_host *host, const char *ip);

/* Sees every os_connect and may decide otherwise. */
struct mem_connect {
    const char *host; /* where it comes from */
    struct address from, to;
    enum os_status fate; /* OS_OK: as the world is; OS_TIMED_OUT: nobody ever answers */
    uint64_t delay_us;   /* until the answer; for OS_TIMED_OUT until giving up */
    struct mem_flow there, back;
};
void mem_world_on_connect(struct mem_world *world, void (*on)(void *ctx, struct mem_connect *connect), void *ctx);

/* ---- names ----
 * A name that is not in the table does not exist (OS_DNS_NO_NAME); of one that is, other types give OS_DNS_NO_DATA. */

struct mem_dns_answer {
    const char *name;
    enum os_dns_type type;
    enum os_dns_result result;
    bool secure;
    uint32_t ttl_s;                 /* 0: an hour */
    uint64_t delay_us;              /* 0: any up to 20 ms */
    const struct os_slice *records; /* RDATA; copied */
    size_t record_count;
};
void mem_dns_set(struct mem_world *world, const struct mem_dns_answer *answer); /* replaces */
/* One more record from text: A, AAAA "192.0.2.1"; MX "10 mx.example.org"; PTR "mx.example.org"; TXT "any text". */
bool mem_dns_add(struct mem_world *world, const char *name, enum os_dns_type type, const char *text);
void mem_dns_remove(struct mem_world *world, const char *name, enum os_dns_type type);
void mem_dns_fail(struct mem_world *world, bool fail); /* every question gives OS_DNS_TROUBLE */

/* ---- disks ----
 * A disk has two states: what everybody reads (the cache), and what is durable. What lies between them is a list of
 * units, oldest first: one 512-byte sector of one write; one growth or cutting of a file; one name made, removed or
 * renamed; one change of times or owner. After a crash any subset of the units may have survived, with these rules:
 *  - A file that grew without its bytes reads as zeros there; bytes without the growth are not seen.
 *  - A rename between two directories is two units; the old name never goes before the new one is there.
 *  - OS_SYNC, OS_SYNC_DATA, OS_COMMIT and OS_FILL make bytes and size of one file durable, not its name; OS_SYNC also
 *    times and owner; OS_SYNC_DIR the names of one directory; OS_SYNC_FS everything.
 *  - After a sync that failed the sectors look clean: the next sync reports success without making them durable. They
 *    may or may not survive the next crash, like the pages of a Linux file system (H135). Who else had the file open then,
 *    or a directory for OS_SYNC_FS, is told by its own next sync, once.
 * Every operation has a number, counted over the disk's life. OS_COMMIT and OS_FILL are two operations: OS_WRITE, and
 * then the sync under their own kind. */

#define MEM_SECTOR 512

struct mem_disk *mem_disk_new(void);
struct mem_disk *
mem_disk_clone(const struct mem_disk *disk); /* cheap: content is shared until written; no faults set */
void mem_disk_free(struct mem_disk *disk);   /* no handle of it may be open */

size_t mem_disk_unsynced_count(const struct mem_disk *disk);
/* Says what unit n is, for the message of a failing test. */
void mem_disk_describe(const struct mem_disk *disk, size_t unit, struct buffer *to);
/* The power comes back: only what is durable or was chosen is there. Old handles answer OS_IO. Ends mem_disk_cut_at. */
void mem_disk_crash(struct mem_disk *disk, struct mem_choice choice);

uint64_t mem_disk_op_count(const struct mem_disk *disk);
/* The power goes before the nth operation from now (0: the next one): it and all later ones have no effect and give
 * OS_IO, and processes of that host get no turn any more, until mem_disk_crash(). */
void mem_disk_cut_at(struct mem_disk *disk, uint64_t nth);
bool mem_disk_is_cut(const struct mem_disk *disk);

#define MEM_OP(kind)   (1u << (kind))
#define MEM_SYNCS      (MEM_OP(OS_COMMIT) | MEM_OP(OS_SYNC) | MEM_OP(OS_SYNC_DATA) | MEM_OP(OS_FILL) | MEM_OP(OS_SYNC_FS))
#define MEM_FAULTS_MAX 8

struct mem_fault {
    unsigned kinds; /* MEM_OP() of those that count; 0: all */
    uint64_t nth,
        times; /* fails from the nth of them from now (0: the next one), so many times; UINT64_MAX: for ever */
    enum os_status status;
    uint64_t written; /* a write that fails puts so many of its bytes all the same */
};
void mem_disk_fail_at(struct mem_disk *disk, const struct mem_fault *fault); /* up to MEM_FAULTS_MAX at a time */
void mem_disk_heal(struct mem_disk *disk);                                   /* no faults, writable, room again */
void mem_disk_set_read_only(struct mem_disk *disk, bool read_only);
void mem_disk_set_room(struct mem_disk *disk, uint64_t bytes); /* full after so many more bytes of file size */

/* Called before each operation that is about to have an effect; any status but OS_OK is its outcome. */
struct mem_disk_op {
    uint64_t number;
    enum os_op_kind kind;
    const char *name; /* NULL for operations on an open file */
};
void mem_disk_on_op(struct mem_disk *disk, enum os_status (*before)(void *ctx, const struct mem_disk_op *op),
                    void *ctx);

/* Looking on from outside: what everybody reads, without an operation. Paths begin at the root; false, or NULL: no such
 * folder, or file. */
bool mem_disk_names(const struct mem_disk *disk, const char *path, void (*on)(void *ctx, const char *name), void *ctx);
char *mem_disk_read(const struct mem_disk *disk, const char *path, size_t *len); /* the caller's to free() */

/* For scenes that no operation of os.h can set. Paths begin at the root; both give false when it cannot be done. */
bool mem_disk_symlink(struct mem_disk *disk, const char *path, const char *target); /* durable at once */
bool mem_disk_rot(struct mem_disk *disk, const char *path, uint64_t offset,
                  uint8_t flip); /* in cache and on the platter */

#endif
