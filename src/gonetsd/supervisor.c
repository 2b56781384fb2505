#include <stdlib.h>
#include <string.h>

#include "gonetsd/supervisor_inner.h"

#define CONFIG_PIECE 32768
#define RESTART_US_MIN UINT64_C(50000)
#define RESTART_US_MAX UINT64_C(1000000) /* whoever can make a role crash should not gain more by it */
#define RESTART_SHARE  2 /* who worked this many times as long as the pause before is not in a crash loop */
#define TRY_TEXT_MAX 10240 /* with two paths */
#define STOP_US_MAX UINT64_C(10000000) /* then what is left is ended by force */

/* A frame, with its handle, that waits until the child's link has room. */
struct parcel {
    struct list link;
    struct os_handle handle;
    bool give; /* the handle is closed once it is sent */
    size_t len;
    char frame[];
};

struct kind {
    enum ipc_role role;
    const char *name, *account; /* suffix of the account; NULL: as we are */
};

static const struct kind kinds[] = {
    { IPC_QMGR, "qmgr", "queue" },
    { IPC_AUTH, "auth", "auth" },
    { IPC_LOCAL, "local", NULL },
    { IPC_RESOLVER, "resolver", "resolver" },
    { IPC_SMTP, "smtp", "smtp" },
    { IPC_SMTPD, "smtpd", "smtpd" },
};

/* Who is joined to whom. */
static const enum ipc_role pairs[][2] = { { IPC_SMTPD, IPC_QMGR }, { IPC_SMTPD, IPC_AUTH },    { IPC_QMGR, IPC_LOCAL },
                                          { IPC_QMGR, IPC_SMTP },  { IPC_SMTP, IPC_RESOLVER } };

static void start_child(struct child *c);

static const struct kind *kind_of(enum ipc_role role)
{
    const struct kind *kind = kinds;
    while (kind->role != role)
        kind++;
    return kind;
}

const char *child_name(const struct child *child)
{
    return kind_of(child->role)->name;
}

/* ---- parcels ---- */

static void drop_parcel(struct parcel *p)
{
    list_remove(&p->link);
    if (p->give)
        os_handle_close(&p->handle);
    free(p);
}

static void deliver_parcels(void *ctx)
{
    struct child *c = ctx;
    while (!list_empty(&c->parcels) && ipc_is_open(&c->ipc)) {
        struct parcel *p = list_entry(c->parcels.next, struct parcel, link);
        const struct os_handle *handle = p->handle.kind == OS_HANDLE_NONE ? NULL : &p->handle;
        if (!ipc_send_handle(&c->ipc, (struct view){ p->frame, p->len }, handle))
            return;
        drop_parcel(p);
    }
}

static void post(struct child *c, const struct buffer *frame, struct os_handle handle, bool give)
{
    struct parcel *p = frame->full ? NULL : malloc(sizeof *p + frame->len);
    if (!p) {
        if (give)
            os_handle_close(&handle);
        os_child_kill(c->process); /* it could not do its work without; another is started */
        return;
    }
    p->handle = handle;
    p->give = give;
    p->len = frame->len;
    memcpy(p->frame, frame->at, frame->len);
    list_append(&c->parcels, &p->link);
    deliver_parcels(c);
}

void child_post_type(struct child *c, enum ipc_type type)
{
    char memory[1];
    struct buffer frame = BUFFER_OF(memory);
    ipc_type_pack(&frame, type);
    post(c, &frame, (struct os_handle){ .kind = OS_HANDLE_NONE }, false);
}

void child_post_handle(struct child *c, struct ipc_handle what, struct os_handle handle, bool give)
{
    char memory[16];
    struct buffer frame = BUFFER_OF(memory);
    ipc_handle_pack(&frame, &what);
    post(c, &frame, handle, give);
}

void child_post_config(struct child *c)
{
    char memory[CONFIG_PIECE + 16];
    struct view rest = c->supervisor->setup.text;
    do {
        struct buffer frame = BUFFER_OF(memory);
        struct view piece = view_take(&rest, CONFIG_PIECE);
        ipc_config_pack(&frame, &(struct ipc_config){ rest.len == 0, c->supervisor->setup.generation, piece });
        post(c, &frame, (struct os_handle){ .kind = OS_HANDLE_NONE }, false);
    } while (rest.len);
}

void child_post_listeners(struct child *c)
{
    const struct setup *setup = &c->supervisor->setup;
    for (uint32_t i = 0; i < setup->listen_count; i++) {
        struct os_handle handle = { .kind = OS_HANDLE_LISTENER,
                                    .listener = setup->listeners[c->instance * setup->listen_count + i] };
        child_post_handle(c, (struct ipc_handle){ IPC_A_LISTENER, 0, i }, handle, false);
    }
}

/* ---- links between children ---- */

static bool are_pair(enum ipc_role a, enum ipc_role b)
{
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        if ((pairs[i][0] == a && pairs[i][1] == b) || (pairs[i][0] == b && pairs[i][1] == a))
            return true;
    return false;
}

static void join(struct child *a, struct child *b)
{
    struct os_link *to_a, *to_b;
    if (os_link_pair(a->supervisor->os, &to_a, &to_b) != OS_OK) {
        os_child_kill(a->process);
        return;
    }
    child_post_handle(a, (struct ipc_handle){ IPC_A_LINK, (uint8_t)b->role, b->instance },
                (struct os_handle){ .kind = OS_HANDLE_LINK, .link = to_a }, true);
    child_post_handle(b, (struct ipc_handle){ IPC_A_LINK, (uint8_t)a->role, a->instance },
                (struct os_handle){ .kind = OS_HANDLE_LINK, .link = to_b }, true);
}

static void join_all(struct child *c)
{
    list_each(link, &c->supervisor->children)
    {
        struct child *other = list_entry(link, struct child, link);
        if (other != c && other->process && are_pair(c->role, other->role))
            join(c, other);
    }
}

/* ---- life of a child ---- */

/* At half of the time that is allowed, as sd_watchdog_enabled(3) advises. */
static void feed_watchdog(struct supervisor *sv)
{
    uint64_t now = os_now_us(sv->os);
    if (now < sv->watchdog_due_us)
        return;
    os_service(sv->os, VIEW("WATCHDOG=1"));
    sv->watchdog_due_us = now + os_watchdog_us(sv->os) / 2;
}

static void on_alarm(void *ctx)
{
    struct supervisor *sv = ctx;
    uint64_t now = os_now_us(sv->os);
    for (struct heap_item *item; (item = heap_first(&sv->restarts)) && item->key <= now;) {
        heap_remove(&sv->restarts, item);
        start_child(heap_entry(item, struct child, restart));
    }
    control_alarm(sv);
    feed_watchdog(sv);
    if (sv->stopping && now >= sv->stop_deadline_us)
        list_each(link, &sv->children)
            if (list_entry(link, struct child, link)->process)
                os_child_kill(list_entry(link, struct child, link)->process);
    supervisor_arm(sv);
}

void supervisor_arm(struct supervisor *sv)
{
    struct heap_item *first = heap_first(&sv->restarts);
    uint64_t due = first ? first->key : OS_NEVER;
    if (sv->status_due_us < due)
        due = sv->status_due_us;
    if (sv->watchdog_due_us < due)
        due = sv->watchdog_due_us;
    if (sv->stopping && os_now_us(sv->os) < sv->stop_deadline_us && sv->stop_deadline_us < due)
        due = sv->stop_deadline_us;
    os_alarm(sv->os, due, on_alarm, sv);
}

static bool any_running(const struct supervisor *sv, enum ipc_role role)
{
    list_each(link, &sv->children)
    {
        const struct child *c = list_entry(link, struct child, link);
        if (c->role == role && c->process)
            return true;
    }
    return false;
}

static void tell_stop(struct supervisor *sv, enum ipc_role role)
{
    list_each(link, &sv->children)
    {
        struct child *c = list_entry(link, struct child, link);
        if (c->role != role || !c->process || c->told_stop)
            continue;
        c->told_stop = true;
        child_post_type(c, IPC_STOP);
    }
}

/* First no new mail, then no new deliveries, at last the queue: each finishes what it owes the next. */
static void go_on_stopping(struct supervisor *sv)
{
    static const enum ipc_role stages[][2] = {
        { IPC_SMTPD, IPC_SMTPD }, { IPC_LOCAL, IPC_SMTP }, { IPC_AUTH, IPC_RESOLVER }, { IPC_QMGR, IPC_QMGR }
    };
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++) {
        tell_stop(sv, stages[i][0]);
        tell_stop(sv, stages[i][1]);
        if (any_running(sv, stages[i][0]) || any_running(sv, stages[i][1]))
            return;
    }
    event_note(&sv->log, "stopped", VIEW("all roles have ended"));
    os_stop(sv->os, sv->exit_code);
}

static void begin_stop(struct supervisor *sv)
{
    if (sv->stopping)
        return;
    sv->stopping = true;
    os_service(sv->os, VIEW("STOPPING=1"));
    sv->stop_deadline_us = os_now_us(sv->os) + STOP_US_MAX;
    while (heap_first(&sv->restarts))
        heap_remove(&sv->restarts, heap_first(&sv->restarts));
    go_on_stopping(sv);
    supervisor_arm(sv);
}

static void on_signal(void *ctx, enum os_signal signal)
{
    if (signal == OS_SIGNAL_RELOAD)
        reload_ask(ctx);
    else
        begin_stop(ctx);
}

static void log_exit(struct child *c, int code)
{
    struct event e;
    event_begin(&e, &c->supervisor->log, code == 0 ? "role-ended" : "role-died");
    event_view(&e, "name", view_of(kind_of(c->role)->name));
    event_u64(&e, "instance", c->instance);
    if (code >= 0)
        event_u64(&e, "exit", (uint64_t)code);
    else
        event_u64(&e, "signal", (uint64_t)-code);
    event_end(&e);
}

static void restart_later(struct child *c)
{
    uint64_t now = os_now_us(c->supervisor->os);
    bool was_well = c->ready && now - c->started_us > RESTART_SHARE * c->pause_us;
    c->pause_us = was_well || c->pause_us == 0 ? RESTART_US_MIN : c->pause_us * 2;
    if (c->pause_us > RESTART_US_MAX)
        c->pause_us = RESTART_US_MAX;
    heap_set(&c->supervisor->restarts, &c->restart, now + c->pause_us);
    supervisor_arm(c->supervisor);
}

static void on_child_exit(void *ctx, int code)
{
    struct child *c = ctx;
    struct supervisor *sv = c->supervisor;
    c->process = NULL;
    c->questions = 0;
    ipc_close(&c->ipc);
    while (!list_empty(&c->parcels))
        drop_parcel(list_entry(c->parcels.next, struct parcel, link));
    if (sv->stopping) {
        go_on_stopping(sv);
        return;
    }
    log_exit(c, code);
    if (c->role == IPC_QMGR && code == 2) { /* it refused the spool and said why: another try would end the same way */
        sv->exit_code = 69; /* EX_UNAVAILABLE */
        begin_stop(sv);
        return;
    }
    restart_later(c);
    control_counted(sv);
    reload_go_on(sv);
}

static void announce_try(struct supervisor *sv)
{
    char memory[TRY_TEXT_MAX];
    struct buffer text = BUFFER_OF(memory);
    unsigned port = sv->setup.addresses[0].port;
    buffer_addf(&text, "Gonets takes mail for every address on 127.0.0.1:%u. Send some from another shell:\n", port);
    buffer_addf(&text, "    %s send --server 127.0.0.1:%u --from me@example.org --to you@example.org --subject Hello --text Hi\n",
                sv->options.try_command, port);
    buffer_addf(&text, "    swaks --server 127.0.0.1:%u --from me@example.org --to you@example.org\n", port);
    buffer_addf(&text, "It lands in %s/Maildir/new. Nothing is relayed. Stop with Ctrl-C.", sv->options.try_dir);
    struct view rest = buffer_view(&text);
    while (rest.len)
        os_log(sv->os, view_take_until(&rest, '\n'));
}

static void announce(struct supervisor *sv)
{
    list_each(link, &sv->children)
        if (!list_entry(link, struct child, link)->ready)
            return;
    if (sv->announced)
        return;
    sv->announced = true;
    for (size_t i = 0; i < sv->setup.listen_count; i++) {
        struct event e;
        event_begin(&e, &sv->log, "listening");
        event_address(&e, "address", &sv->setup.addresses[i]);
        event_end(&e);
    }
    os_service(sv->os, VIEW("READY=1"));
    if (!sv->options.config)
        announce_try(sv);
}

static void on_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct child *c = ctx;
    uint32_t instance;
    (void)handle;
    if (type == IPC_READY) {
        c->ready = true;
        announce(c->supervisor);
    } else if (type == IPC_RELOADED && ipc_reloaded_unpack(body, &c->generation)) {
        reload_go_on(c->supervisor);
    } else if (type == IPC_COUNTS && c->questions && ipc_counts_unpack(body, &c->counts)) {
        c->questions--;
        control_counted(c->supervisor);
    } else if (type != IPC_HELLO || !role_check_hello(body, c->role, &instance)) {
        ipc_end(&c->ipc);
    }
}

static void on_gone(void *ctx)
{
    (void)ctx; /* on_child_exit follows */
}

static void equip(struct child *c)
{
    const struct setup *setup = &c->supervisor->setup;
    char memory[16];
    struct buffer frame = BUFFER_OF(memory);
    ipc_hello_pack(&frame, &(struct ipc_hello){ IPC_VERSION, IPC_SUPERVISOR, c->instance });
    post(c, &frame, (struct os_handle){ .kind = OS_HANDLE_NONE }, false);
    child_post_config(c);
    child_post_handle(c, (struct ipc_handle){ .what = IPC_A_LOCK }, (struct os_handle){ .kind = OS_HANDLE_FILE, .file = setup->locks.server }, false);
    if (c->role == IPC_QMGR)
        child_post_handle(c, (struct ipc_handle){ .what = IPC_A_SPOOL }, (struct os_handle){ .kind = OS_HANDLE_DIR, .dir = setup->spool }, false);
    if (c->role == IPC_LOCAL && setup->mail)
        child_post_handle(c, (struct ipc_handle){ .what = IPC_A_MAIL_DIR }, (struct os_handle){ .kind = OS_HANDLE_DIR, .dir = setup->mail }, false);
    if (c->role == IPC_SMTPD)
        child_post_listeners(c);
}

static bool account_of(const struct supervisor *sv, const struct kind *kind, char *name, size_t size)
{
    struct buffer text;
    buffer_init(&text, name, size);
    if (!os_is_root(sv->os) || !kind->account)
        return false;
    buffer_addf(&text, "%.*s-%s", VIEW_FORMAT(sv->setup.conf.user), kind->account);
    buffer_add_char(&text, 0);
    return !text.full;
}

static void start_child(struct child *c)
{
    struct supervisor *sv = c->supervisor;
    const struct kind *kind = kind_of(c->role);
    char account[64];
    bool other = account_of(sv, kind, account, sizeof account);
    const struct os_spawn what = { .role = kind->name, .user = other ? account : NULL };
    struct os_link *link;
    c->ready = false;
    c->starts++;
    c->counts = (struct ipc_counts){ 0 };
    c->started_us = os_now_us(sv->os);
    enum os_status status = os_spawn(sv->os, &what, &link, &c->process, on_child_exit, c);
    if (status != OS_OK) {
        event_note(&sv->log, "cannot-start-role", view_of(os_status_text(status)));
        c->process = NULL;
        restart_later(c);
        return;
    }
    ipc_open(&c->ipc, sv->os, link, &(struct ipc_owner){ c, on_frame, deliver_parcels, on_gone });
    c->generation = sv->setup.generation;
    equip(c);
    /* A new qmgr must know who holds segments before it opens the spool; the others get their links when they run. */
    if (c->role == IPC_QMGR)
        join_all(c);
    child_post_type(c, IPC_START);
    if (c->role != IPC_QMGR)
        join_all(c);
}

static bool add_child(struct supervisor *sv, enum ipc_role role, uint32_t instance)
{
    struct child *c = calloc(1, sizeof *c);
    if (!c)
        return false;
    *c = (struct child){ .supervisor = sv, .role = role, .instance = instance };
    list_init(&c->parcels);
    list_append(&sv->children, &c->link);
    return true;
}

/* ---- the supervisor ---- */

static unsigned count_of(const struct supervisor *sv, enum ipc_role role)
{
    return role == IPC_SMTPD || role == IPC_SMTP ? sv->setup.workers : 1;
}

static bool add_children(struct supervisor *sv)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        unsigned count = count_of(sv, kinds[i].role);
        for (unsigned n = 0; n < count; n++)
            if (!add_child(sv, kinds[i].role, n))
                return false;
    }
    return true;
}

struct supervisor *supervisor_new(struct os *os, const struct supervisor_options *options, int *exit_code)
{
    struct supervisor *sv = calloc(1, sizeof *sv);
    *exit_code = 71; /* EX_OSERR */
    if (!sv)
        return NULL;
    sv->os = os;
    sv->options = *options;
    sv->status_due_us = OS_NEVER;
    sv->watchdog_due_us = os_watchdog_us(os) ? os_now_us(os) : OS_NEVER;
    list_init(&sv->children);
    list_init(&sv->commanders);
    heap_init(&sv->restarts);
    if (!setup_open(&sv->setup, os, options, exit_code) || !add_children(sv)) {
        supervisor_free(sv);
        return NULL;
    }
    sv->log = (struct event_log){ os, sv->setup.conf.log_text, "super" };
    os_on_signal(os, on_signal, sv);
    control_open(sv);
    supervisor_arm(sv);
    list_each(link, &sv->children)
        start_child(list_entry(link, struct child, link));
    return sv;
}

void supervisor_free(struct supervisor *sv)
{
    control_close(sv);
    for (struct list *link; (link = list_pop(&sv->children));) {
        struct child *c = list_entry(link, struct child, link);
        while (!list_empty(&c->parcels))
            drop_parcel(list_entry(c->parcels.next, struct parcel, link));
        ipc_close(&c->ipc);
        free(c);
    }
    heap_free(&sv->restarts);
    reload_free(sv);
    setup_close(&sv->setup);
    free(sv);
}
