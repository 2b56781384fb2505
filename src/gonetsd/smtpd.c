#include "gonetsd/smtpd.h"

#include <stdlib.h>

#include "gonetsd/roles.h"
#include "gonetsd/session.h"

#define ACCEPTS_PER_TURN 64                /* then the sessions' turn */
#define SEGMENT_US_MAX   UINT64_C(3000000) /* wait for the first segment of the spool */
#define GATHER_US_MAX    1000              /* what a commit waits for company, at most */
#define GATHER_PASS      32                /* commits that wait for nobody after nobody came */
#define STARVE_US        UINT64_C(3000000) /* a message that waits for a segment is refused after one to two of these */

/* ---- the spool: segments come from qmgr, notices go there ---- */

static void send_segment(struct smtpd *smtpd, enum ipc_type type, enum spool_kind kind, uint64_t number, uint64_t upto)
{
    char memory[64];
    struct buffer frame = BUFFER_OF(memory);
    ipc_segment_pack(&frame, type, &(struct ipc_segment){ .kind = (uint8_t)kind, .number = number, .upto = upto });
    ipc_send(&smtpd->qmgr, buffer_view(&frame));
}

static void look_after_starving(struct smtpd *smtpd)
{
    if (smtpd->starve_due_us != OS_NEVER)
        return;
    smtpd->starve_due_us = os_now_us(smtpd->os) + STARVE_US;
    smtpd_arm(smtpd);
}

static void on_need(void *ctx, enum spool_kind kind, unsigned count)
{
    struct smtpd *smtpd = ctx;
    char memory[16];
    struct buffer frame = BUFFER_OF(memory);
    look_after_starving(smtpd);
    ipc_need_pack(&frame, &(struct ipc_need){ (uint8_t)kind, count });
    ipc_send(&smtpd->qmgr, buffer_view(&frame));
}

static void tell_notice(struct smtpd *smtpd)
{
    struct notice *n = &smtpd->notice;
    if (n->upto)
        send_segment(smtpd, IPC_DURABLE, 0, n->segment, n->upto);
    n->upto = 0;
    n->due_us = OS_NEVER;
    n->told_us = os_now_us(smtpd->os);
}

/* After a pause qmgr hears at once; under load the frontier of many groups goes with one notice. */
static void on_durable(void *ctx, uint64_t segment, uint64_t upto)
{
    struct smtpd *smtpd = ctx;
    struct notice *n = &smtpd->notice;
    uint64_t now = os_now_us(smtpd->os);
    if (n->upto && n->segment != segment)
        tell_notice(smtpd);
    n->segment = segment;
    n->upto = upto;
    if (now - n->told_us >= SMTPD_NOTICE_US) {
        tell_notice(smtpd);
    } else if (n->due_us == OS_NEVER) {
        n->due_us = n->told_us + SMTPD_NOTICE_US;
        smtpd_arm(smtpd);
    }
}

static void on_sealed(void *ctx, uint64_t segment, uint64_t end)
{
    struct smtpd *smtpd = ctx;
    tell_notice(smtpd);
    send_segment(smtpd, IPC_SEALED, 0, segment, end);
}

static void on_trouble(void *ctx, bool ok, struct view text)
{
    struct smtpd *smtpd = ctx;
    event_note(&smtpd->log, ok ? "spool-recovered" : "spool-failed", text);
    if (!ok)
        look_after_starving(smtpd);
}

/* It comes also from inside of a session's own call to the spool, while that session's input lies in the worker's
 * buffer. */
static void on_room(void *ctx)
{
    struct smtpd *smtpd = ctx;
    os_later(smtpd->os, &smtpd->room);
}

/* A sync costs as much for one message as for ten: a commit waits for half of the transactions that are under way. When
 * they did not come in time they are slow ones, and the next commits do not wait for them. */
static bool on_gather(void *ctx, unsigned waiting)
{
    struct smtpd *smtpd = ctx;
    struct gather *g = &smtpd->gather;
    if (2 * waiting >= smtpd->transactions || g->pass) {
        g->pass -= g->pass > 0;
        g->due_us = OS_NEVER;
        return false;
    }
    if (g->due_us == OS_NEVER) {
        g->due_us = os_now_us(smtpd->os) + GATHER_US_MAX;
        smtpd_arm(smtpd);
    }
    return true;
}

static void end_gathering(struct smtpd *smtpd)
{
    smtpd->gather.due_us = OS_NEVER;
    smtpd->gather.pass = GATHER_PASS;
    spool_writer_go(smtpd->writer);
}

static void tell_room(void *ctx)
{
    session_room_all(ctx);
}

static void tell_held(void *ctx, enum spool_kind kind, uint64_t segment, uint64_t upto)
{
    send_segment(ctx, IPC_HELD, kind, segment, upto);
}

static void listen_all(struct smtpd *smtpd);

static void become_ready(struct smtpd *smtpd)
{
    smtpd->ready_due_us = OS_NEVER;
    if (smtpd->ready)
        return;
    smtpd->ready = true;
    listen_all(smtpd);
    role_ready(&smtpd->role);
}

/* A segment has come: mail can be taken. */
static void take_segment(struct smtpd *smtpd, struct unpack *body, struct os_handle *handle)
{
    struct ipc_segment m;
    if (!ipc_segment_unpack(body, &m) || handle->kind != OS_HANDLE_FILE) {
        ipc_end(&smtpd->qmgr);
        return;
    }
    handle->kind = OS_HANDLE_NONE;
    spool_writer_give(smtpd->writer, (enum spool_kind)m.kind, m.number, m.nonce, m.size, handle->file);
    if (spool_writer_ready(smtpd->writer))
        become_ready(smtpd);
}

static void on_qmgr_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct smtpd *smtpd = ctx;
    uint32_t instance;
    if (type == IPC_SEGMENT)
        take_segment(smtpd, body, handle);
    else if (type != IPC_HELLO || !role_check_hello(body, IPC_QMGR, &instance))
        ipc_end(&smtpd->qmgr);
}

/* qmgr is gone: mail is taken on as long as there are segments; the supervisor brings a new one. */
static void on_qmgr_gone(void *ctx)
{
    struct smtpd *smtpd = ctx;
    event_note(&smtpd->log, "neighbour-gone", VIEW("qmgr"));
}

static void link_qmgr(struct smtpd *smtpd, struct os_link *link)
{
    char memory[1];
    struct buffer frame = BUFFER_OF(memory);
    ipc_close(&smtpd->qmgr);
    ipc_open(&smtpd->qmgr, smtpd->os, link, &(struct ipc_owner){ smtpd, on_qmgr_frame, NULL, on_qmgr_gone });
    role_say_hello(&smtpd->qmgr, IPC_SMTPD, smtpd->role.instance);
    if (smtpd->writer)
        spool_writer_tell(smtpd->writer, tell_held, smtpd);
    ipc_type_pack(&frame, IPC_HELD_END);
    ipc_send(&smtpd->qmgr, buffer_view(&frame));
}

/* ---- auth: who exists ---- */

static void on_auth_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct smtpd *smtpd = ctx;
    struct ipc_found m;
    uint32_t instance;
    (void)handle;
    if (type == IPC_FOUND && ipc_found_unpack(body, &m))
        rules_found(smtpd, m.ticket, (enum os_status)m.status);
    else if (type != IPC_HELLO || !role_check_hello(body, IPC_AUTH, &instance))
        ipc_end(&smtpd->auth);
}

static void on_auth_gone(void *ctx)
{
    rules_auth_gone(ctx);
}

static void link_auth(struct smtpd *smtpd, struct os_link *link)
{
    ipc_close(&smtpd->auth);
    rules_auth_gone(smtpd);
    ipc_open(&smtpd->auth, smtpd->os, link, &(struct ipc_owner){ smtpd, on_auth_frame, NULL, on_auth_gone });
    role_say_hello(&smtpd->auth, IPC_SMTPD, smtpd->role.instance);
}

/* ---- listeners ---- */

static void on_connection(void *ctx, unsigned events)
{
    struct listener *l = ctx;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct os_stream *stream;
        if (os_accept(l->listener, &stream) != OS_OK)
            return;
        session_open(l->smtpd, l, stream);
    }
}

static void listen_all(struct smtpd *smtpd)
{
    list_each(link, &smtpd->listeners)
    {
        struct listener *l = list_entry(link, struct listener, link);
        os_listener_watch(l->listener, true, on_connection, l);
    }
}

static void free_listener(struct listener *l)
{
    list_remove(&l->link);
    generation_release(l->generation);
    free(l);
}

static void close_listeners(struct smtpd *smtpd, struct list *list)
{
    for (struct list *link; (link = list_pop(list));) {
        struct listener *l = list_entry(link, struct listener, link);
        os_listener_close(l->listener);
        l->listener = NULL;
        list_append(&smtpd->closed, &l->link);
        if (l->sessions == 0)
            free_listener(l);
    }
}

static const struct conf_listen *listen_number(const struct conf *conf, uint32_t number)
{
    const struct conf_listen *l = conf->listens;
    while (l && number--)
        l = l->next;
    return l;
}

static void add_listener(struct smtpd *smtpd, uint32_t number, struct os_listener *listener)
{
    struct listener *l = calloc(1, sizeof *l);
    if (!l) {
        os_listener_close(listener);
        return;
    }
    *l = (struct listener){ .smtpd = smtpd, .listener = listener, .number = number };
    list_append(&smtpd->coming, &l->link);
}

static void set_profile(struct listener *l, const struct conf *conf, const struct conf_listen *listen)
{
    l->profile = (struct smtp_server_profile){
        .hostname = conf->hostname,
        .greeting = conf->greeting,
        .size_max = conf->limits.message_size_max,
        .recipients_max = (unsigned)conf->limits.recipients_max,
        .errors_max = (unsigned)conf->limits.errors_max,
        .command_us_max = conf->limits.command_us_max,
        .data_us_max = conf->limits.data_us_max,
        .lenient = listen->lenient,
        .bare_lf_commands = listen->lenient,
    };
}

/* The configuration in force has come with its listeners, which are other handles of the same sockets where nothing
 * changed: connections that wait in them are not lost when the former ones are closed. */
static void change_listeners(struct smtpd *smtpd)
{
    close_listeners(smtpd, &smtpd->listeners);
    for (struct list *link; (link = list_pop(&smtpd->coming));) {
        struct listener *l = list_entry(link, struct listener, link);
        const struct conf_listen *listen = listen_number(&smtpd->role.conf, l->number);
        list_append(&smtpd->listeners, &l->link);
        l->generation = role_hold(&smtpd->role);
        if (listen)
            set_profile(l, &l->generation->conf, listen);
    }
    if (smtpd->ready)
        listen_all(smtpd);
}

const struct conf *smtpd_conf(const struct listener *listener)
{
    return &listener->generation->conf;
}

/* ---- the role ---- */

struct mail_id smtpd_new_id(struct smtpd *smtpd)
{
    /* Without randomness the ids of this process still rise; os_random was seen to work at the start (H166). */
    if (smtpd->random_left == 0 && os_random(smtpd->os, smtpd->random, sizeof smtpd->random))
        smtpd->random_left = sizeof smtpd->random / sizeof smtpd->random[0];
    uint64_t random = smtpd->random_left ? smtpd->random[--smtpd->random_left] : 0;
    return mail_id_make(&smtpd->ids, os_wall_us(smtpd->os), random);
}

static void on_alarm(void *ctx)
{
    struct smtpd *smtpd = ctx;
    if (smtpd->notice.due_us <= os_now_us(smtpd->os))
        tell_notice(smtpd);
    if (smtpd->ready_due_us <= os_now_us(smtpd->os))
        become_ready(smtpd);
    if (smtpd->starve_due_us <= os_now_us(smtpd->os))
        smtpd->starve_due_us = spool_writer_starve(smtpd->writer) ? os_now_us(smtpd->os) + STARVE_US : OS_NEVER;
    if (smtpd->gather.due_us <= os_now_us(smtpd->os))
        end_gathering(smtpd);
    session_alarm(smtpd);
    smtpd_arm(smtpd);
}

void smtpd_arm(struct smtpd *smtpd)
{
    struct heap_item *first = heap_first(&smtpd->timers);
    uint64_t due = first ? first->key : OS_NEVER;
    if (smtpd->notice.due_us < due)
        due = smtpd->notice.due_us;
    if (smtpd->ready_due_us < due)
        due = smtpd->ready_due_us;
    if (smtpd->gather.due_us < due)
        due = smtpd->gather.due_us;
    if (smtpd->starve_due_us < due)
        due = smtpd->starve_due_us;
    os_alarm(smtpd->os, due, on_alarm, smtpd);
}

void smtpd_session_here(struct listener *listener)
{
    listener->sessions++;
    listener->smtpd->session_count++;
}

void smtpd_session_gone(struct listener *listener)
{
    struct smtpd *smtpd = listener->smtpd;
    smtpd->session_count--;
    if (--listener->sessions == 0 && !listener->listener)
        free_listener(listener);
    if (smtpd->stopping && smtpd->session_count == 0)
        os_stop(smtpd->os, 0);
}

static void on_handle(void *ctx, const struct ipc_handle *what, struct os_handle *handle)
{
    struct smtpd *smtpd = ctx;
    enum os_handle_kind kind = handle->kind;
    handle->kind = OS_HANDLE_NONE;
    if (what->what == IPC_A_LISTENER && kind == OS_HANDLE_LISTENER)
        add_listener(smtpd, what->index, handle->listener);
    else if (what->what == IPC_A_LINK && what->role == IPC_QMGR && kind == OS_HANDLE_LINK)
        link_qmgr(smtpd, handle->link);
    else if (what->what == IPC_A_LINK && what->role == IPC_AUTH && kind == OS_HANDLE_LINK)
        link_auth(smtpd, handle->link);
    else
        handle->kind = kind;
}

static void on_start(void *ctx)
{
    struct smtpd *smtpd = ctx;
    const struct conf_limits *limits = &smtpd->role.conf.limits;
    const struct spool_writer_owner owner = { smtpd, on_need, on_durable, on_sealed, on_trouble, on_room, on_gather };
    const struct spool_writer_limits writer_limits = { (size_t)limits->receive_memory_max, SPOOL_LARGE_MIN, 8u << 20 };
    if (!os_random(smtpd->os, smtpd->seed, sizeof smtpd->seed)) {
        event_note(&smtpd->log, "no-randomness", VIEW("the kernel gives no random bytes; not starting"));
        os_stop(smtpd->os, 1);
        return;
    }
    map_init(&smtpd->accounts, smtpd->seed);
    smtpd->log.text = smtpd->role.conf.log_text;
    smtpd->writer = spool_writer_new(smtpd->os, &owner, &writer_limits);
    if (!smtpd->writer)
        os_stop(smtpd->os, 1);
    smtpd->ready_due_us = os_now_us(smtpd->os) + SEGMENT_US_MAX;
    change_listeners(smtpd);
    smtpd_arm(smtpd);
}

static void on_reloaded(void *ctx)
{
    struct smtpd *smtpd = ctx;
    smtpd->log.text = smtpd->role.conf.log_text;
    if (smtpd->stopping)
        close_listeners(smtpd, &smtpd->coming);
    else
        change_listeners(smtpd);
}

static void on_count(void *ctx, struct ipc_counts *counts)
{
    const struct smtpd *smtpd = ctx;
    counts->sessions = smtpd->session_count;
}

static void on_stop(void *ctx)
{
    struct smtpd *smtpd = ctx;
    smtpd->stopping = true;
    close_listeners(smtpd, &smtpd->listeners);
    session_shutdown_all(smtpd);
    if (smtpd->session_count == 0)
        os_stop(smtpd->os, 0);
}

void *smtpd_start(struct os *os, struct os_link *supervisor)
{
    struct smtpd *smtpd = calloc(1, sizeof *smtpd);
    if (!smtpd)
        return NULL;
    smtpd->os = os;
    smtpd->log = (struct event_log){ os, false, "smtpd" };
    smtpd->notice.due_us = smtpd->ready_due_us = smtpd->starve_due_us = smtpd->gather.due_us = OS_NEVER;
    smtpd->room = (struct os_task){ tell_room, smtpd, NULL, false };
    list_init(&smtpd->listeners);
    list_init(&smtpd->coming);
    list_init(&smtpd->closed);
    list_init(&smtpd->sessions);
    list_init(&smtpd->lookups);
    heap_init(&smtpd->timers);
    role_open(&smtpd->role, os, supervisor, IPC_SMTPD,
              &(struct role_owner){ .ctx = smtpd, .handle = on_handle, .start = on_start, .stop = on_stop,
                                                                       .reloaded = on_reloaded, .count = on_count });
    return smtpd;
}

void smtpd_stop(void *role)
{
    struct smtpd *smtpd = role;
    smtpd->stopping = false;
    close_listeners(smtpd, &smtpd->listeners);
    close_listeners(smtpd, &smtpd->coming);
    session_free_all(smtpd);
    rules_free(smtpd);
    ipc_close(&smtpd->qmgr);
    ipc_close(&smtpd->auth);
    if (smtpd->writer)
        spool_writer_free(smtpd->writer);
    heap_free(&smtpd->timers);
    role_close(&smtpd->role);
    free(smtpd);
}
