/* What the files of os/linux share. Nothing outside of this folder includes it.
 *
 * How a turn goes. libuv's iteration is: timers, prepare, poll, check, closing. For us it holds two turns, one of the
 * events (poll to check) and one of the alarm (timers to prepare); each ends by running the tasks of os_later and by
 * forgetting the time, so that an alarm never sees a clock older than its deadline.
 *
 * What it costs: a read and an answer of 64 bytes over loopback take 6.4 µs of processor time, 0.3 of it outside of the
 * kernel; the same written by hand on epoll takes 6.2. A turn adds one epoll_wait for all its events. An idle stream
 * holds 290 bytes. Setting a watch again is free, and so is taking it away and setting it again (watch.c).
 */
#ifndef OS_LINUX_LINUX_H
#define OS_LINUX_LINUX_H

#include "base/list.h"
#include "os/linux/os_linux.h"

#include <pthread.h>
#include <sys/socket.h>
#include <uv.h>

struct ub_ctx;

/* loop.c: turns, tasks, the alarm, signals, the end. */
struct turns {
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle; /* active while tasks wait: keeps the loop from sleeping */
    uv_timer_t alarm, tidy;
    void (*on_alarm)(void *ctx);
    void *alarm_ctx;
    uv_signal_t signals[3];
    void (*on_signal)(void *ctx, enum os_signal signal);
    void *signal_ctx;
    struct os_task *first, **last;
    uint64_t now_us;             /* 0: not asked yet in this turn */
    bool running, stopped, over; /* over: the turn of os_stop has ended, no callback any more */
    int exit_code;
};

/* listener.c: when there are no descriptors left. */
struct accepting {
    int reserve;
    struct list paused;
    uv_timer_t pause;
};

/* queue.c: the way back from the threads. */
struct completions {
    uv_async_t wake;
    pthread_mutex_t lock;
    struct os_request *newest; /* under lock */
    struct list queues;
};

/* process.c */
struct processes {
    const struct os_role *roles;
    size_t role_count;
    const char *program;
    struct list children;
    uv_signal_t ended;
};

/* dns.c */
struct resolver {
    const char *forwarder, *anchors;
    struct ub_ctx *context; /* NULL: no query yet */
    bool unusable;          /* what it was told to use is no good */
    uv_poll_t *poll;
    struct os_dns_query *failed; /* could not be asked; told at the end of the turn */
    struct os_task tell_failed;
};

/* log.c */
struct log {
    struct buffer waiting; /* whole lines, and the rest of one */
    uint64_t dropped;
    bool is_socket, watching;
    uv_poll_t *poll;
};

/* control.c */
struct control_socket {
    struct os_listener *listener; /* NULL: none */
    void (*on)(void *ctx, struct os_link *link);
    void *ctx;
};

/* service.c: listening sockets that whoever started us has opened, from descriptor 3 on. */
struct handed {
    int count;
};

struct os {
    uv_loop_t loop;
    struct turns turns;
    struct accepting accepting;
    struct completions completions;
    struct processes processes;
    struct resolver resolver;
    struct log log;
    struct control_socket control;
    struct handed handed;
};

/* One descriptor in the loop. First member of its owner, which is freed with it. */
struct watch {
    uv_poll_t poll;
    struct os *os;
    os_event *on;
    void *ctx;
    struct os_task failed; /* the loop could not take it */
    int fd;
    uint8_t wanted;    /* what the owner asked for */
    uint8_t armed;     /* what libuv looks for: at least what is wanted, perhaps more */
    bool ends_process; /* the link to the supervisor: when it is cut we end */
    bool known;        /* to libuv */
    bool closed;
};

void os_linux_watch_init(struct watch *watch, struct os *os, int fd);
void os_linux_watch_set(struct watch *watch, unsigned wanted, os_event *on, void *ctx);
/* From now on, when the other side is gone, the process ends. */
void os_linux_watch_for_end(struct watch *watch);
void os_linux_watch_close(struct watch *watch); /* closes the descriptor, frees the owner when libuv has let go of it */
bool os_linux_watch_is(const uv_handle_t *handle);

struct os_stream {
    struct watch watch;
    struct address peer;
};

struct os_listener {
    struct watch watch;
    struct list paused;
    bool wanted;
};

struct os_link {
    struct watch watch;
};

struct os_file {
    int fd;
};

struct os_dir {
    int fd;
};

/* Each takes the descriptor over, also when it returns NULL (no memory). */
struct os_stream *os_linux_stream_new(struct os *os, int fd,
                                      const struct address *peer); /* peer NULL: ask the socket */
struct os_listener *os_linux_listener_new(struct os *os, int fd);
struct os_link *os_linux_link_new(struct os *os, int fd);
struct os_file *os_linux_file_new(int fd);
struct os_dir *os_linux_dir_new(int fd);

socklen_t os_linux_to_sockaddr(const struct address *address, struct sockaddr_storage *to);
struct address os_linux_from_sockaddr(const struct sockaddr_storage *from);
struct address os_linux_socket_name(int fd);
bool os_linux_link_sockets(int ends[2]); /* false: errno */

enum os_status os_linux_status(int error); /* of an errno */

#define OS_LINUX_LINK_FD 3 /* in a process that os_spawn started: the link to its supervisor */
const struct os_role *os_linux_find_role(const struct os *os, const char *name);
enum os_status os_linux_group_find(const char *name, uint32_t *group);

void os_linux_processes_free(struct os *os);
void os_linux_handed_init(struct os *os);
/* A copy of the listening socket at this address that was handed to us, or -1. */
int os_linux_handed(struct os *os, const struct address *at);
void os_linux_listeners_init(struct os *os, int reserve);
void os_linux_tidy_later(struct os *os); /* memory was freed: in a moment what is free goes back to the kernel */
void os_linux_queues_init(struct os *os);
void os_linux_queues_rest(struct os *os); /* waits until no queue has work */
void os_linux_queues_free(struct os *os);
void os_linux_dns_init(struct os *os);
void os_linux_dns_free(struct os *os);
bool os_linux_log_init(struct os *os);
void os_linux_log_flush(struct os *os); /* at the end of each turn */
void os_linux_log_free(struct os *os);

/* For system calls that want a pointer to what they only read. */
static inline void *os_linux_unconst(const void *p)
{
    return (void *)(uintptr_t)p;
}

#endif
