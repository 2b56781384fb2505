/* Inside of the simulated world: events in order of time, chance, hosts and processes. */
#ifndef OS_MEM_WORLD_H
#define OS_MEM_WORLD_H

#include "base/heap.h"
#include "base/list.h"
#include "os/mem/os_mem.h"

struct mem_random {
    uint64_t s[4];
};

/* Something that will happen at its time. os: in whose turn; NULL: in nobody's. Lies in the object it is about. */
struct mem_event {
    struct heap_item item;
    struct list held; /* came while its process was paused */
    struct os *os;
    void (*run)(struct mem_event *event);
};

struct mem_world {
    uint64_t now_us, order, process_count, trace_hash;
    struct heap events;
    struct mem_random random;
    struct list hosts, scripts, names;
    bool dns_fails;
    struct os *turn; /* whose turn it is, NULL: nobody's */
    size_t handles;
    struct mem_flow flow;
    void (*on_connect)(void *ctx, struct mem_connect *connect);
    void *connect_ctx;
    void (*on_trace)(void *ctx, const struct mem_trace *trace);
    void *trace_ctx;
};

struct mem_user {
    struct os_user user;
    bool fails;
};

struct mem_host {
    struct mem_world *world;
    struct list in_world, processes;
    struct list listenings;
    const struct os_role *roles;
    size_t role_count;
    struct mem_user *users;
    size_t user_count;
    bool users_fail;
    unsigned core_count;
    struct address *addresses;
    size_t address_count;
    uint16_t last_port; /* given to a connection or listener that asked for any */
    bool off;           /* after a crash, until it is started again */
    char *name;
    struct mem_disk *disk;
    uint64_t booted_us;         /* the monotonic clock of a machine begins when it starts */
    uint64_t wall_minus_now_us; /* modulo 2^64 */
    int utc_offset_min;
    bool random_fails;
    uint64_t op_us_max, sync_us_max;
    void (*on_log)(void *ctx, struct os *os, struct view line);
    void *log_ctx;
    char *log;
    size_t log_len;
};

/* A process. Its role may be the code of a test: then there is no role here. */
struct os {
    struct mem_host *host;
    struct mem_world *world;
    struct list in_host;
    uint64_t number;
    uint32_t user, group;
    struct mem_random random; /* of its own, so that what others draw does not change it */

    struct list handles, queues, questions, children;
    size_t handle_count, handles_max;

    const struct os_role *role;
    void *object;               /* what the role's start() made */
    struct os_link *supervisor; /* for start() */
    struct os_child *birth;     /* what our parent holds; NULL: nobody waits for our end */

    bool cut;      /* nothing it does has an effect any more */
    bool stopping; /* ends tidily when its turn is over */
    bool paused;
    int code;         /* how it ended */
    struct list held; /* events that came while it was paused */
    struct mem_event start, alarm, turn, death, signals[2];
    void (*on_alarm)(void *ctx);
    void *alarm_ctx;
    void (*on_signal)(void *ctx, enum os_signal signal);
    void *signal_ctx;
    struct os_task *later, **later_end;
};

void *mem_take(size_t size); /* zeroed; never NULL */
char *mem_copy_text(struct view text);

void mem_event_set(struct mem_world *world, struct mem_event *event,
                   uint64_t at_us); /* moves it when it waits already */
void mem_event_cancel(struct mem_world *world, struct mem_event *event);
bool mem_event_waits(const struct mem_event *event);

void mem_random_seed(struct mem_random *random, uint64_t seed);
uint64_t mem_random_next(struct mem_random *random);
uint64_t mem_random_between(struct mem_random *random, uint64_t from, uint64_t to); /* both ends included */

/* os: NULL for the world itself. `what` is a literal. */
void mem_trace(struct mem_world *world, const struct os *os, const char *what, uint64_t a, uint64_t b);
uint64_t mem_hash(uint64_t hash, const void *bytes, size_t len); /* FNV-1a; not for strangers' keys */

uint64_t mem_from_now_us(const struct os *os, uint64_t now_us); /* from the host's monotonic clock to the world's */
void mem_users_free(struct mem_host *host);
void mem_dns_free(struct mem_world *world);
void mem_questions_cut(struct os *os);     /* no answer comes any more */
void mem_host_free(struct mem_host *host); /* ends its processes first */
void mem_process_end_turn(struct os *os);  /* runs what waits for the end of the turn; *os may be gone after it */

#endif
