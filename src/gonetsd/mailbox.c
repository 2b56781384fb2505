/* Role mailbox: puts messages into the mailboxes of one user, as that user. It is started by role local, which is its
 * only neighbour, and ends when that one does or closes its link; what it had not reported then is tried again by
 * another. */
#include <stdlib.h>
#include <string.h>

#include "deliver/deliver.h"
#include "deliver/place.h"
#include "gonetsd/event.h"
#include "gonetsd/role.h"
#include "gonetsd/roles.h"

#define BIFF_PORT     512 /* comsat(8) */
#define BIFF_NAME_MAX 64

/* A segment of the spool that jobs are delivered from. */
struct content {
    struct list link;
    uint64_t number;
    struct os_file *file;
    unsigned jobs;
    bool gone; /* no more jobs from it */
};

struct mailbox {
    struct os *os;
    struct ipc local;
    struct event_log log;
    struct deliver *deliver;
    struct os_dir *mail_dir;
    struct list contents;
    bool stopping;
};

struct work {
    struct deliver_job job;
    struct content *content;
    struct view biff; /* in text */
    char text[];      /* base and rest, each ended by NUL; whom to tell */
};

/* ---- contents ---- */

static struct content *find_content(struct mailbox *mailbox, uint64_t number)
{
    list_each(link, &mailbox->contents)
    {
        struct content *c = list_entry(link, struct content, link);
        if (c->number == number && !c->gone)
            return c;
    }
    return NULL;
}

static void close_content(struct content *c)
{
    os_file_close(c->file);
    list_remove(&c->link);
    free(c);
}

static bool add_content(struct mailbox *mailbox, struct unpack *body, struct os_handle *handle)
{
    struct ipc_segment m;
    if (!ipc_segment_unpack(body, &m) || handle->kind != OS_HANDLE_FILE || find_content(mailbox, m.number))
        return false;
    struct content *c = malloc(sizeof *c);
    if (!c)
        return false;
    *c = (struct content){ .number = m.number, .file = handle->file };
    handle->kind = OS_HANDLE_NONE;
    list_append(&mailbox->contents, &c->link);
    return true;
}

static bool drop_content(struct mailbox *mailbox, struct unpack *body)
{
    struct ipc_segment m;
    struct content *c = ipc_segment_unpack(body, &m) ? find_content(mailbox, m.number) : NULL;
    if (!c)
        return false;
    c->gone = true;
    if (!c->jobs)
        close_content(c);
    return true;
}

/* ---- jobs ---- */

static void end_when_idle(struct mailbox *mailbox)
{
    if (mailbox->stopping && (!mailbox->deliver || mailbox->deliver->jobs == 0) && ipc_ready(&mailbox->local))
        os_stop(mailbox->os, 0);
}

static void send_result(struct mailbox *mailbox, const struct deliver_job *job)
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
    ipc_send(&mailbox->local, buffer_view(&frame));
}

/* comsat(8) is told account and place, and shows the first lines of the mail to those who asked for it with biff(1). */
static void tell_biff(struct mailbox *mailbox, const struct work *work)
{
    char memory[BIFF_NAME_MAX + 32];
    struct buffer text = BUFFER_OF(memory);
    if (!work->biff.len || work->biff.len > BIFF_NAME_MAX || work->job.result.outcome != IPC_DELIVERED)
        return;
    buffer_add(&text, work->biff);
    buffer_add_char(&text, '@');
    buffer_add_u64(&text, work->job.start);
    os_notify(mailbox->os, BIFF_PORT, buffer_view(&text));
}

static void on_done(void *ctx, struct deliver_job *job)
{
    struct mailbox *mailbox = ctx;
    struct work *work = list_entry(job, struct work, job);
    struct content *c = work->content;
    if (job->result.outcome)
        send_result(mailbox, job);
    tell_biff(mailbox, work);
    free(work);
    if (--c->jobs == 0 && c->gone)
        close_content(c);
    end_when_idle(mailbox);
}

static void on_alarm(void *ctx, struct view text)
{
    struct mailbox *mailbox = ctx;
    event_note(&mailbox->log, "alarm", text);
}

static bool is_place(const struct ipc_mail_job *m)
{
    struct view rest = m->rest, part;
    bool last = false;
    while (!last)
        if (!deliver_place_part(&rest, &part, &last))
            return false;
    return m->base.len < DELIVER_PATH_MAX && m->rest.len < DELIVER_PATH_MAX;
}

static struct work *work_new(const struct ipc_mail_job *m, struct content *content)
{
    struct work *work = calloc(1, sizeof *work + m->base.len + m->rest.len + m->biff.len + 2);
    if (!work)
        return NULL;
    char *base = work->text, *rest = work->text + m->base.len + 1;
    if (m->base.len)
        memcpy(base, m->base.at, m->base.len);
    memcpy(rest, m->rest.at, m->rest.len);
    work->biff = (struct view){ rest + m->rest.len + 1, m->biff.len };
    if (m->biff.len)
        memcpy(rest + m->rest.len + 1, m->biff.at, m->biff.len);
    work->content = content;
    work->job = (struct deliver_job){
        .id = m->id,
        .recipient = m->recipient,
        .place = { m->segment, m->offset, m->head_size, m->content_size },
        .content = content->file,
        .mbox = m->mbox,
        .owner = m->owner,
        .base = base,
        .rest = rest,
    };
    return work;
}

static bool add_job(struct mailbox *mailbox, struct unpack *body)
{
    struct ipc_mail_job m;
    struct content *c = NULL;
    if (mailbox->stopping)
        return true;
    if (mailbox->deliver && ipc_mail_job_unpack(body, &m) && is_place(&m))
        c = find_content(mailbox, m.segment);
    struct work *work = c ? work_new(&m, c) : NULL;
    if (!work)
        return false;
    c->jobs++;
    deliver_add(mailbox->deliver, &work->job);
    return true;
}

/* ---- the link ---- */

static bool set_up(struct mailbox *mailbox, struct unpack *body)
{
    struct ipc_mail_setup m;
    if (mailbox->deliver || !ipc_mail_setup_unpack(body, &m))
        return false;
    mailbox->log.text = m.log_text;
    mailbox->deliver = deliver_new(mailbox->os, &(struct deliver_owner){ mailbox, on_done, on_alarm },
                                   &(struct deliver_settings){ m.hostname, mailbox->mail_dir, m.mbox_mode });
    return mailbox->deliver != NULL;
}

static bool take_handle(struct mailbox *mailbox, struct unpack *body, struct os_handle *handle)
{
    struct ipc_handle m;
    if (!ipc_handle_unpack(body, &m) || m.what != IPC_A_MAIL_DIR || handle->kind != OS_HANDLE_DIR || mailbox->mail_dir)
        return false;
    mailbox->mail_dir = handle->dir;
    handle->kind = OS_HANDLE_NONE;
    return true;
}

static bool say_hello(struct mailbox *mailbox, struct unpack *body)
{
    uint32_t instance;
    if (!role_check_hello(body, IPC_LOCAL, &instance))
        return false;
    role_say_hello(&mailbox->local, IPC_MAILBOX, instance);
    return true;
}

static bool stop(struct mailbox *mailbox)
{
    mailbox->stopping = true;
    if (mailbox->deliver)
        deliver_stop(mailbox->deliver);
    end_when_idle(mailbox);
    return true;
}

static bool take_frame(struct mailbox *mailbox, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    switch (type) {
    case IPC_HELLO:
        return say_hello(mailbox, body);
    case IPC_HANDLE:
        return take_handle(mailbox, body, handle);
    case IPC_MAIL_SETUP:
        return set_up(mailbox, body);
    case IPC_CONTENT:
        return add_content(mailbox, body, handle);
    case IPC_CONTENT_GONE:
        return drop_content(mailbox, body);
    case IPC_MAIL_JOB:
        return add_job(mailbox, body);
    case IPC_STOP:
        return stop(mailbox);
    default:
        return false;
    }
}

static void on_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct mailbox *mailbox = ctx;
    if (!take_frame(mailbox, type, body, handle))
        ipc_end(&mailbox->local);
}

static void on_room(void *ctx)
{
    end_when_idle(ctx);
}

static void on_gone(void *ctx)
{
    struct mailbox *mailbox = ctx;
    os_stop(mailbox->os, 1);
}

/* Nothing is ever delivered as root (H156, H159). */
void *mailbox_start(struct os *os, struct os_link *supervisor)
{
    struct mailbox *mailbox = os_is_root(os) ? NULL : calloc(1, sizeof *mailbox);
    if (!mailbox)
        return NULL;
    mailbox->os = os;
    mailbox->log = (struct event_log){ os, false, "mailbox" };
    list_init(&mailbox->contents);
    ipc_open(&mailbox->local, os, supervisor, &(struct ipc_owner){ mailbox, on_frame, on_room, on_gone });
    return mailbox;
}

void mailbox_stop(void *role)
{
    struct mailbox *mailbox = role;
    ipc_close(&mailbox->local);
    if (mailbox->deliver)
        deliver_free(mailbox->deliver);
    list_each_safe(link, &mailbox->contents) close_content(list_entry(link, struct content, link));
    if (mailbox->mail_dir)
        os_dir_close(mailbox->mail_dir);
    free(mailbox);
}
