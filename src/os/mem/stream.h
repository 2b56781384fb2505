/* Connections from inside: two ends, and a pipe to each. */
#ifndef OS_MEM_STREAM_H
#define OS_MEM_STREAM_H

#include "os/mem/watch.h"

struct connection;
struct end;

/* What comes to one end: first bytes that have arrived, then bytes on their way. */
struct pipe {
    struct mem_event arrive; /* the next piece, or the end */
    struct mem_flow flow;
    char *bytes;
    size_t start, arrived, flight, cap;
    uint64_t delivered;     /* bytes that ever arrived */
    uint64_t asks_since_us; /* the other side does not answer since then; 0: it does */
    bool fin, reset;        /* the writer has finished, or broken off; comes behind the bytes */
    bool finished;          /* the reader knows */
    bool blocked;           /* MEM_STALL, or broken */
};

struct end {
    struct connection *connection;
    struct mem_host *host;
    struct address address;
    struct list handles; /* in_end of each struct os_stream */
    unsigned refs;       /* handles, and the backlog; 0: closed */
    enum os_status error;
    bool connecting;
    struct pipe in;
};

struct listening;

struct connection {
    struct mem_world *world;
    struct end ends[2]; /* 0: who connected */
    struct mem_event connect;
    uint64_t began_us;
    enum os_status fate;
    struct list in_backlog;
};

struct os_stream {
    struct handle handle;
    struct watch watch;
    struct end *end; /* NULL: cut */
    struct list in_end;
};

struct connection *mem_connection_new(struct mem_world *world);
void mem_connection_start(struct connection *c);                  /* bytes begin to flow */
struct os_stream *mem_stream_new(struct os *os, struct end *end); /* takes over one reference to the end */
void mem_end_hold(struct end *end);
void mem_end_drop(struct end *end);
void mem_end_fail(struct end *end, enum os_status error);
void mem_end_wake(struct end *end);

#endif
