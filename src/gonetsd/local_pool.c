#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "gonetsd/local.h"

/* A segment that a worker has. */
struct sent {
    struct list link;
    uint64_t number;
};

static void start(struct local_worker *w);
static void pump(struct local_worker *w);

static struct local_job *job_of(struct list *link)
{
    return list_entry(link, struct local_job, link);
}

static bool is_idle(const struct local_worker *w)
{
    return list_empty(&w->waiting) && list_empty(&w->given);
}

/* ---- processes are few: who must wait, who must go ---- */

static void drop(struct local_worker *w)
{
    w->dropped = true;
    heap_remove(&w->local->timers, &w->idle);
    ipc_close(&w->ipc);
    w->link_gone = true;
    if (w->exited)
        os_later(w->local->os, &w->end);
}

static bool drop_an_idle_one(struct local *local)
{
    list_each(link, &local->workers)
    {
        struct local_worker *w = list_entry(link, struct local_worker, link);
        if (w->running && !w->dropped && is_idle(w)) {
            drop(w);
            return true;
        }
    }
    return false;
}

static void start_waiting(struct local *local)
{
    list_each(link, &local->workers)
    {
        struct local_worker *w = list_entry(link, struct local_worker, link);
        if (w->running || list_empty(&w->waiting))
            continue;
        if (local->running < LOCAL_WORKERS_MAX)
            start(w);
        else if (drop_an_idle_one(local))
            return;
    }
}

static void rest(struct local_worker *w)
{
    struct local *local = w->local;
    if (!heap_set(&local->timers, &w->idle, os_now_us(local->os) + LOCAL_WORKER_IDLE_US))
        drop(w);
    local_arm(local);
    if (local->running >= LOCAL_WORKERS_MAX)
        start_waiting(local);
}

void local_worker_idle(struct heap_item *timer)
{
    drop(heap_entry(timer, struct local_worker, idle));
}

/* ---- the end of a process ---- */

static void set_aside(struct local *local, struct local_job *job)
{
    char id[MAIL_ID_TEXT_SIZE + 1];
    mail_id_text(&job->id, id);
    deliver_result_set(&job->result, IPC_DEFERRED, 451, 3, 0,
                       "message %s: delivery has crashed %u times; it is put off", id, job->crashes);
    event_note(&local->log, "alarm", deliver_result_text(&job->result));
    local_finish(local, job);
}

/* All that it had is suspect, and goes one by one from now on; unless it never came up. */
static void take_back(struct local_worker *w)
{
    struct list given = LIST_INIT(given);
    list_move_all(&given, &w->given);
    w->alone = NULL;
    for (struct list *link; (link = list_pop(&given));) {
        struct local_job *job = job_of(link);
        job->crashes += w->up;
        if (job->crashes >= LOCAL_CRASHES_MAX)
            set_aside(w->local, job);
        else
            list_append(&w->waiting, &job->link);
    }
}

static void fail_waiting(struct local_worker *w)
{
    event_note(&w->local->log, "alarm", VIEW("a worker for mailboxes does not start"));
    for (struct list *link; (link = list_pop(&w->waiting));) {
        struct local_job *job = job_of(link);
        deliver_result_set(&job->result, IPC_DEFERRED, 451, 3, 0, "cannot start a worker as %s",
                           *w->user ? w->user : "the account of the server");
        local_finish(w->local, job);
    }
    w->starts = 0;
}

static void free_sent(struct local_worker *w)
{
    for (struct list *link; (link = list_pop(&w->contents));)
        free(list_entry(link, struct sent, link));
}

static void free_worker(struct local_worker *w)
{
    heap_remove(&w->local->timers, &w->idle);
    free_sent(w);
    list_remove(&w->link);
    free(w);
}

static void log_crash(struct local_worker *w)
{
    struct event e;
    event_begin(&e, &w->local->log, "worker-ended");
    event_view(&e, "user", view_of(w->user));
    event_end(&e);
}

/* Both the link and the process are gone, so nothing more is heard from it. */
static void on_end(void *ctx)
{
    struct local_worker *w = ctx;
    struct local *local = w->local;
    w->running = false;
    local->running--;
    heap_remove(&local->timers, &w->idle);
    free_sent(w);
    if (!w->dropped && !local->stopping)
        log_crash(w);
    if (!local->stopping)
        take_back(w);
    if (!w->up && !w->dropped && ++w->starts >= LOCAL_STARTS_MAX)
        fail_waiting(w);
    if (is_idle(w))
        free_worker(w);
    if (local->stopping)
        local_end_when_idle(local);
    else
        start_waiting(local);
}

static void on_gone(void *ctx)
{
    struct local_worker *w = ctx;
    w->link_gone = true;
    if (w->exited)
        os_later(w->local->os, &w->end);
}

static void on_exit_of(void *ctx, int code)
{
    struct local_worker *w = ctx;
    (void)code;
    w->exited = true;
    w->child = NULL;
    if (w->link_gone)
        os_later(w->local->os, &w->end);
}

/* ---- results ---- */

static struct local_job *find_given(struct local_worker *w, const struct ipc_result *m)
{
    char key[MAIL_ID_SIZE + 4];
    memcpy(key, m->id.at, MAIL_ID_SIZE);
    put_u32(key + MAIL_ID_SIZE, m->recipient);
    struct map_item *item = map_find(&w->local->jobs, (struct view){ key, sizeof key });
    struct local_job *job = item ? map_entry(item, struct local_job, by_id) : NULL;
    return job && job->worker == w ? job : NULL; /* it may speak of what it was given, and of nothing else (H161) */
}

static bool take_result(struct local_worker *w, struct unpack *body)
{
    struct ipc_result m;
    struct local_job *job = ipc_result_unpack(body, &m) ? find_given(w, &m) : NULL;
    if (!job)
        return false;
    struct buffer text = BUFFER_OF(job->result.text);
    buffer_add_safe(&text, m.text, sizeof job->result.text);
    job->result.outcome = (enum ipc_outcome)m.outcome;
    job->result.code = m.code;
    memcpy(job->result.status, m.status, sizeof m.status);
    job->result.text_len = (uint16_t)text.len;
    list_remove(&job->link);
    if (w->alone == job)
        w->alone = NULL;
    local_finish(w->local, job);
    pump(w);
    if (is_idle(w))
        rest(w);
    return true;
}

static bool take_hello(struct local_worker *w, struct unpack *body)
{
    uint32_t instance;
    if (!role_check_hello(body, IPC_MAILBOX, &instance))
        return false;
    w->up = true;
    w->starts = 0;
    return true;
}

static void on_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct local_worker *w = ctx;
    bool good = false;
    (void)handle;
    if (type == IPC_RESULT)
        good = take_result(w, body);
    else if (type == IPC_HELLO)
        good = take_hello(w, body);
    if (!good)
        ipc_end(&w->ipc);
}

/* ---- giving ---- */

static bool has_content(const struct local_worker *w, uint64_t number)
{
    list_each(link, &w->contents)
    {
        if (list_entry(link, struct sent, link)->number == number)
            return true;
    }
    return false;
}

static bool send_content(struct local_worker *w, const struct local_content *c)
{
    char memory[64];
    struct buffer frame = BUFFER_OF(memory);
    const struct os_handle handle = { .kind = OS_HANDLE_FILE, .file = c->file };
    struct sent *sent = malloc(sizeof *sent);
    ipc_segment_pack(&frame, IPC_CONTENT, &(struct ipc_segment){ .number = c->number });
    if (!sent || !ipc_send_handle(&w->ipc, buffer_view(&frame), &handle)) {
        free(sent);
        return false;
    }
    sent->number = c->number;
    list_append(&w->contents, &sent->link);
    return true;
}

static bool send_job(struct local_worker *w, const struct local_job *job)
{
    char memory[2 * DELIVER_PATH_MAX + 128];
    struct buffer frame = BUFFER_OF(memory);
    if (!has_content(w, job->place.segment) && !send_content(w, job->content))
        return false;
    ipc_mail_job_pack(&frame,
                      &(struct ipc_mail_job){ .id = job->id,
                                              .recipient = job->recipient,
                                              .segment = job->place.segment,
                                              .offset = job->place.offset,
                                              .content_size = job->place.content_size,
                                              .head_size = job->place.head_size,
                                              .mbox = job->mbox,
                                              .owner = job->owner,
                                              .base = { job->text, job->base_len },
                                              .rest = { job->text + job->base_len, job->rest_len },
                                              .biff = { job->text + job->base_len + job->rest_len, job->biff_len } });
    return ipc_send(&w->ipc, buffer_view(&frame));
}

/* A job that was there at a crash is the only one that its worker has: then it is known who did it (H144). */
static bool may_give(const struct local_worker *w, const struct local_job *job)
{
    return !w->alone && (job->crashes == 0 || list_empty(&w->given));
}

static void pump(struct local_worker *w)
{
    while (w->running && !w->dropped && ipc_is_open(&w->ipc) && !list_empty(&w->waiting) && !w->local->stopping) {
        struct local_job *job = job_of(w->waiting.next);
        if (!may_give(w, job) || !send_job(w, job))
            return;
        list_remove(&job->link);
        list_append(&w->given, &job->link);
        if (job->crashes)
            w->alone = job;
    }
}

static void on_room(void *ctx)
{
    pump(ctx);
}

static void greet(struct local_worker *w)
{
    struct local *local = w->local;
    char memory[512];
    struct buffer frame = BUFFER_OF(memory);
    role_say_hello(&w->ipc, IPC_LOCAL, local->role.instance);
    if (local->mail_dir) {
        const struct os_handle handle = { .kind = OS_HANDLE_DIR, .dir = local->mail_dir };
        ipc_handle_pack(&frame, &(struct ipc_handle){ .what = IPC_A_MAIL_DIR });
        if (!ipc_send_handle(&w->ipc, buffer_view(&frame), &handle))
            ipc_end(&w->ipc);
        buffer_clear(&frame);
    }
    ipc_mail_setup_pack(&frame, &(struct ipc_mail_setup){ .log_text = local->log.text,
                                                          .mbox_mode = w->mail_group ? 0660 : 0600,
                                                          .hostname = local->role.conf.hostname });
    ipc_send(&w->ipc, buffer_view(&frame));
}

static void start(struct local_worker *w)
{
    struct local *local = w->local;
    struct os_link *link;
    const struct os_spawn what = { .role = "mailbox",
                                   .user = *w->user ? w->user : NULL,
                                   .group = w->mail_group ? "mail" : NULL };
    w->running = true;
    w->link_gone = w->exited = w->up = w->dropped = false;
    local->running++;
    if (os_spawn(local->os, &what, &link, &w->child, on_exit_of, w) != OS_OK) {
        w->link_gone = w->exited = true; /* as one that ended at once */
        os_later(local->os, &w->end);
        return;
    }
    ipc_open(&w->ipc, local->os, link, &(struct ipc_owner){ w, on_frame, on_room, on_gone });
    greet(w);
    pump(w);
}

static struct local_worker *worker_of(struct local *local, const char *user, bool mail_group)
{
    list_each(link, &local->workers)
    {
        struct local_worker *w = list_entry(link, struct local_worker, link);
        if (strcmp(w->user, user) == 0 && w->mail_group == mail_group)
            return w;
    }
    struct local_worker *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->local = local;
    assert(strlen(user) < sizeof w->user);
    memcpy(w->user, user, strlen(user) + 1);
    w->mail_group = mail_group;
    list_init(&w->waiting);
    list_init(&w->given);
    list_init(&w->contents);
    w->end = (struct os_task){ on_end, w, NULL, false };
    list_append(&local->workers, &w->link);
    return w;
}

void local_pool_give(struct local *local, struct local_job *job, const char *user)
{
    struct local_worker *w = worker_of(local, user, *user && job->mbox);
    if (!w) {
        deliver_result_set(&job->result, IPC_DEFERRED, 451, 3, 0, "no memory for a worker");
        local_finish(local, job);
        return;
    }
    job->worker = w;
    heap_remove(&local->timers, &w->idle);
    list_append(&w->waiting, &job->link);
    if (w->running)
        pump(w);
    else
        start_waiting(local);
}

/* ---- from outside ---- */

void local_pool_content_gone(struct local *local, uint64_t number)
{
    char memory[64];
    struct buffer frame = BUFFER_OF(memory);
    ipc_segment_pack(&frame, IPC_CONTENT_GONE, &(struct ipc_segment){ .number = number });
    list_each(link, &local->workers)
    {
        struct local_worker *w = list_entry(link, struct local_worker, link);
        list_each_safe(at, &w->contents)
        {
            struct sent *sent = list_entry(at, struct sent, link);
            if (sent->number != number)
                continue;
            list_remove(&sent->link);
            free(sent);
            ipc_send(&w->ipc, buffer_view(&frame));
        }
    }
}

void local_pool_stop(struct local *local)
{
    char memory[1];
    struct buffer frame = BUFFER_OF(memory);
    ipc_type_pack(&frame, IPC_STOP);
    list_each(link, &local->workers)
    {
        struct local_worker *w = list_entry(link, struct local_worker, link);
        if (w->running && !w->dropped)
            ipc_send(&w->ipc, buffer_view(&frame));
    }
}

void local_pool_free(struct local *local)
{
    list_each_safe(link, &local->workers)
    {
        struct local_worker *w = list_entry(link, struct local_worker, link);
        ipc_close(&w->ipc);
        free_worker(w);
    }
}
