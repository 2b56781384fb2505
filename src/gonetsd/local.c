#include "gonetsd/local.h"

#include <stdlib.h>
#include <string.h>

#include "gonetsd/roles.h"

static void end_qmgr(struct local *local)
{
    ipc_end(&local->qmgr);
}

/* ---- contents ---- */

static struct local_content *find_content(struct local *local, uint64_t number)
{
    list_each(link, &local->contents)
    {
        struct local_content *c = list_entry(link, struct local_content, link);
        if (c->number == number)
            return c;
    }
    return NULL;
}

static void free_content(struct local_content *c)
{
    os_file_close(c->file);
    list_remove(&c->link);
    free(c);
}

static void let_go(struct local *local, struct local_content *c)
{
    if (c->jobs || c->announced)
        return;
    local_pool_content_gone(local, c->number);
    free_content(c);
}

static bool take_content(struct local *local, struct unpack *body, struct os_handle *handle)
{
    struct ipc_segment m;
    if (!ipc_segment_unpack(body, &m) || handle->kind != OS_HANDLE_FILE)
        return false;
    struct local_content *c = find_content(local, m.number);
    if (c) {
        c->announced = true;
        return true; /* numbers are never used twice: our handle is as good as this one, which is closed for us */
    }
    c = malloc(sizeof *c);
    if (!c)
        return false;
    *c = (struct local_content){ .number = m.number, .file = handle->file, .announced = true };
    handle->kind = OS_HANDLE_NONE;
    list_append(&local->contents, &c->link);
    return true;
}

static bool drop_content(struct local *local, struct unpack *body)
{
    struct ipc_segment m;
    struct local_content *c = ipc_segment_unpack(body, &m) ? find_content(local, m.number) : NULL;
    if (!c)
        return false;
    c->announced = false;
    let_go(local, c);
    return true;
}

/* ---- jobs ---- */

static void write_key(char *key, const struct mail_id *id, uint32_t recipient)
{
    memcpy(key, id->at, MAIL_ID_SIZE);
    put_u32(key + MAIL_ID_SIZE, recipient);
}

static struct local_job *find_job(struct local *local, const struct mail_id *id, uint32_t recipient)
{
    char key[MAIL_ID_SIZE + 4];
    write_key(key, id, recipient);
    struct map_item *item = map_find(&local->jobs, (struct view){ key, sizeof key });
    return item ? map_entry(item, struct local_job, by_id) : NULL;
}

static void free_job(struct local *local, struct local_job *job)
{
    map_remove(&local->jobs, &job->by_id);
    free(job->text);
    free(job);
}

static struct local_job *new_job(struct local *local, const struct ipc_job *m, struct local_content *content)
{
    struct local_job *job = calloc(1, sizeof *job);
    if (!job)
        return NULL;
    job->id = m->id;
    job->recipient = m->recipient;
    job->place = (struct spool_place){ m->segment, m->offset, m->head_size, m->content_size };
    list_init(&job->link);
    write_key(job->key, &m->id, m->recipient);
    job->by_id.key = (struct view){ job->key, sizeof job->key };
    if (!map_add(&local->jobs, &job->by_id)) {
        free(job);
        return NULL;
    }
    job->content = content;
    content->jobs++;
    return job;
}

static void say_result(struct local *local, const struct local_job *job)
{
    char memory[IPC_RESULT_MAX];
    struct buffer frame = BUFFER_OF(memory);
    const struct deliver_result *r = &job->result;
    ipc_result_pack(&frame, &(struct ipc_result){ .id = job->id,
                                                  .recipient = job->recipient,
                                                  .outcome = (uint8_t)r->outcome,
                                                  .code = r->code,
                                                  .status = { r->status[0], r->status[1], r->status[2] },
                                                  .text = deliver_result_text(r) });
    ipc_send(&local->qmgr, buffer_view(&frame));
}

void local_finish(struct local *local, struct local_job *job)
{
    struct local_content *content = job->content;
    job->worker = NULL;
    job->done = true;
    job->content = NULL;
    free(job->text);
    job->text = NULL;
    say_result(local, job);
    content->jobs--;
    let_go(local, content);
}

/* A qmgr that was started anew gives out what it does not know the end of; the slot of the job is taken once. */
static void adopt(struct local *local, struct local_job *job)
{
    local->owed_credit++;
    os_later(local->os, &local->say_credit);
    if (job->done)
        say_result(local, job);
}

static bool take_job(struct local *local, struct unpack *body)
{
    struct ipc_job m;
    char user[sizeof((struct os_user *)0)->name];
    if (!ipc_job_unpack(body, &m))
        return false;
    struct local_job *job = find_job(local, &m.id, m.recipient);
    if (job) {
        adopt(local, job);
        return true;
    }
    struct local_content *content = find_content(local, m.segment);
    if (!content || local->jobs.count >= local->role.conf.limits.local_jobs_max)
        return false;
    if (local->stopping)
        return true;
    job = new_job(local, &m, content);
    if (!job)
        return false;
    if (local_route(local, job, m.action, m.path, user))
        local_pool_give(local, job, user);
    else
        local_finish(local, job);
    return true;
}

static bool take_kept(struct local *local, struct unpack *body)
{
    struct ipc_kept m;
    if (!ipc_kept_unpack(body, &m))
        return false;
    struct local_job *job = find_job(local, &m.id, m.recipient);
    if (!job || !job->done)
        return true;
    free_job(local, job);
    local->owed_credit++;
    os_later(local->os, &local->say_credit);
    return true;
}

/* ---- the link to qmgr ---- */

static void say_credit(void *ctx)
{
    struct local *local = ctx;
    char memory[8];
    struct buffer frame = BUFFER_OF(memory);
    if (!local->owed_credit || local->stopping || !ipc_is_open(&local->qmgr))
        return;
    ipc_credit_pack(&frame, local->owed_credit);
    if (ipc_send(&local->qmgr, buffer_view(&frame)))
        local->owed_credit = 0;
}

static void on_qmgr_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct local *local = ctx;
    uint32_t instance;
    bool good = false;
    if (type == IPC_JOB)
        good = take_job(local, body);
    else if (type == IPC_KEPT)
        good = take_kept(local, body);
    else if (type == IPC_CONTENT)
        good = take_content(local, body, handle);
    else if (type == IPC_CONTENT_GONE)
        good = drop_content(local, body);
    else if (type == IPC_HELLO)
        good = role_check_hello(body, IPC_QMGR, &instance);
    if (!good)
        end_qmgr(local);
}

static void on_qmgr_room(void *ctx)
{
    local_end_when_idle(ctx);
}

/* Deliveries go on; the supervisor brings a new one, which hears what came of them. */
static void on_qmgr_gone(void *ctx)
{
    struct local *local = ctx;
    event_note(&local->log, "neighbour-gone", VIEW("qmgr"));
    local_end_when_idle(local);
}

static void say_results(struct local *local)
{
    for (struct map_item *item = NULL; (item = map_next(&local->jobs, item));) {
        struct local_job *job = map_entry(item, struct local_job, by_id);
        if (job->done)
            say_result(local, job);
    }
}

static void link_qmgr(struct local *local, struct os_link *link)
{
    uint64_t jobs_max = local->role.conf.limits.local_jobs_max;
    ipc_close(&local->qmgr);
    ipc_open(&local->qmgr, local->os, link, &(struct ipc_owner){ local, on_qmgr_frame, on_qmgr_room, on_qmgr_gone });
    role_say_hello(&local->qmgr, IPC_LOCAL, local->role.instance);
    list_each_safe(content, &local->contents)
    {
        struct local_content *c = list_entry(content, struct local_content, link);
        c->announced = false;
        let_go(local, c);
    }
    say_results(local);
    local->owed_credit = local->jobs.count < jobs_max ? (uint32_t)(jobs_max - local->jobs.count) : 0;
    say_credit(local);
}

/* ---- the role ---- */

static void on_alarm(void *ctx)
{
    struct local *local = ctx;
    struct heap_item *first;
    while ((first = heap_first(&local->timers)) && first->key <= os_now_us(local->os)) {
        heap_remove(&local->timers, first);
        if (first == &local->stop_timer)
            os_stop(local->os, 0);
        else
            local_worker_idle(first);
    }
    local_arm(local);
}

void local_arm(struct local *local)
{
    struct heap_item *first = heap_first(&local->timers);
    os_alarm(local->os, first ? first->key : OS_NEVER, on_alarm, local);
}

static void on_handle(void *ctx, const struct ipc_handle *what, struct os_handle *handle)
{
    struct local *local = ctx;
    if (what->what == IPC_A_LINK && what->role == IPC_QMGR && handle->kind == OS_HANDLE_LINK) {
        handle->kind = OS_HANDLE_NONE;
        link_qmgr(local, handle->link);
    } else if (what->what == IPC_A_MAIL_DIR && handle->kind == OS_HANDLE_DIR && !local->mail_dir) {
        handle->kind = OS_HANDLE_NONE;
        local->mail_dir = handle->dir;
    }
}

static void on_start(void *ctx)
{
    struct local *local = ctx;
    local->log.text = local->role.conf.log_text;
    role_ready(&local->role);
}

void local_end_when_idle(struct local *local)
{
    if (local->stopping && local->running == 0 && (ipc_ready(&local->qmgr) || !ipc_is_open(&local->qmgr)))
        os_stop(local->os, 0);
}

static void on_stop(void *ctx)
{
    struct local *local = ctx;
    if (local->stopping)
        return;
    local->stopping = true;
    if (!heap_set(&local->timers, &local->stop_timer, os_now_us(local->os) + LOCAL_STOP_US_MAX))
        os_stop(local->os, 0);
    local_arm(local);
    local_pool_stop(local);
    local_end_when_idle(local);
}

/* Routes and accounts are looked up for each job. */
static void on_reloaded(void *ctx)
{
    struct local *local = ctx;
    local->log.text = local->role.conf.log_text;
}

static void on_count(void *ctx, struct ipc_counts *counts)
{
    const struct local *local = ctx;
    counts->active = local->jobs.count;
}

void *local_start(struct os *os, struct os_link *supervisor)
{
    uint8_t seed[16];
    struct local *local = os_random(os, seed, sizeof seed) ? calloc(1, sizeof *local) : NULL;
    if (!local)
        return NULL;
    local->os = os;
    local->log = (struct event_log){ os, false, "local" };
    local->say_credit = (struct os_task){ say_credit, local, NULL, false };
    list_init(&local->contents);
    list_init(&local->workers);
    map_init(&local->jobs, seed);
    map_init(&local->accounts, seed);
    heap_init(&local->timers);
    role_open(&local->role, os, supervisor, IPC_LOCAL,
              &(struct role_owner){ .ctx = local,
                                    .handle = on_handle,
                                    .start = on_start,
                                    .stop = on_stop,
                                    .reloaded = on_reloaded,
                                    .count = on_count });
    return local;
}

void local_stop(void *role)
{
    struct local *local = role;
    local->stopping = true;
    ipc_close(&local->qmgr);
    local_pool_free(local);
    for (struct map_item *item; (item = map_next(&local->jobs, NULL));)
        free_job(local, map_entry(item, struct local_job, by_id));
    map_free(&local->jobs);
    local_forget_accounts(local);
    map_free(&local->accounts);
    list_each_safe(link, &local->contents) free_content(list_entry(link, struct local_content, link));
    heap_free(&local->timers);
    if (local->mail_dir)
        os_dir_close(local->mail_dir);
    role_close(&local->role);
    free(local);
}
