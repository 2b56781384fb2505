/* For tests of role smtp: one host with roles smtp and resolver, whose supervisor and qmgr is the test, and other hosts
 * with servers that follow rules. */
#ifndef GONETSD_RELAY_STAGE_TEST_H
#define GONETSD_RELAY_STAGE_TEST_H

#include "base/list.h"
#include "deliver/scene_test.h"
#include "gonetsd/role.h"

#define STAGE_RECIPIENTS 128
#define STAGE_SERVERS    4
#define STAGE_RULES      8

/* What a server says to a command that begins so; "" is the greeting, "." the end of content. The first rule that fits
 * counts; else it is a good server with PIPELINING, 8BITMIME and SIZE. */
struct stage_rule {
    const char *command, *reply; /* "CUT": it closes; "": it says nothing */
    unsigned nth;                /* only to the nth such command of this server, from 1; 0: always */
};

struct stage_server {
    struct os *os;
    struct os_listener *listener;
    const char *name; /* in its greeting */
    struct stage_rule rules[STAGE_RULES];
    unsigned seen[STAGE_RULES];
    struct list connections;
    unsigned connects, messages, open;
    char heard[16384]; /* commands of all connections, each line ended by '|' */
    size_t heard_len;
    char *content; /* of the last message that it took, as it came over the wire */
    size_t content_len;
};

struct stage_result {
    unsigned count;
    struct ipc_result last;
    char text[IPC_TEXT_MAX + 1], remote[IPC_REMOTE_MAX + 1];
    uint64_t at_us;
};

struct stage {
    struct scene scene;
    struct os_child *child, *resolver_child;
    struct ipc supervisor, resolver, qmgr;
    bool ready, exited, keeps; /* keeps: answers each result by IPC_KEPT */
    uint64_t credit;
    struct stage_result results[STAGE_RECIPIENTS];
    struct stage_server servers[STAGE_SERVERS]; /* at 192.0.2.1, .2 ... */
};

/* 192.0.2.1 and so on, which are 2001:db8::1 and so on too, have good servers; mx1.example to mx4.example are their
 * names; dest.example has mx1 as its MX. */
void stage_open(struct stage *stage);
void stage_close(struct stage *stage);
void stage_run(struct stage *stage, uint64_t s);
void stage_link_qmgr(struct stage *stage);
void stage_link_resolver(struct stage *stage);
void stage_content(struct stage *stage);
void stage_mx(struct stage *stage,
              const char *records); /* of dest.example: "10 mx1.example, 20 mx2.example"; "": none */
/* The stored message n (scene_store before), with the job's recipients number first..first+count-1, which are
 * rNUMBER@DOMAIN. */
void stage_job(struct stage *stage, unsigned n, const char *action, const char *domain, uint32_t first, unsigned count);
void stage_store(struct stage *stage, unsigned n, const char *content); /* from me@own.example */
void stage_type(struct stage *stage, enum ipc_type type);
void stage_server_down(struct stage *stage, unsigned n); /* connections are refused */
uint64_t stage_credit(struct stage *stage);              /* given so far, or about to be with the next packet */
unsigned stage_heard(const struct stage_server *server, const char *text); /* how often */

#endif
