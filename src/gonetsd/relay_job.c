#include <stdlib.h>
#include <string.h>

#include "gonetsd/relay.h"

/* ---- results ---- */

struct relay_verdict relay_verdict_local(enum ipc_outcome outcome, unsigned code, unsigned subject, unsigned detail,
                                         struct view text)
{
    return (struct relay_verdict){ .outcome = outcome,
                                   .code = (uint16_t)code,
                                   .status = { (uint8_t)(code / 100), (uint16_t)subject, (uint16_t)detail },
                                   .text = text };
}

static void say_result(struct relay *relay, struct relay_recipient *r)
{
    relay->unkept += !r->done;
    r->done = true;
    if (r->frame && ipc_add(&relay->qmgr, (struct view){ r->frame, r->frame_len }))
        os_later(relay->os, &relay->say);
}

/* Writes its frame, which is kept until qmgr needs it no more. Without memory for it the recipient stays open, and qmgr
 * gives it again when this process is replaced. */
static void write_result(struct relay_recipient *r, const struct relay_verdict *v)
{
    char memory[IPC_RESULT_MAX];
    struct buffer frame = BUFFER_OF(memory);
    ipc_result_pack(&frame, &(struct ipc_result){ .id = r->job->id,
                                                  .recipient = r->number,
                                                  .outcome = (uint8_t)v->outcome,
                                                  .code = v->code,
                                                  .status = { v->status.class, v->status.subject, v->status.detail },
                                                  .text = v->text,
                                                  .remote = v->remote,
                                                  .phase = (uint8_t)v->phase,
                                                  .reach = (uint8_t)v->reach,
                                                  .uncertain = v->uncertain });
    free(r->frame);
    r->frame = malloc(frame.len);
    r->frame_len = frame.len;
    if (r->frame)
        memcpy(r->frame, frame.at, frame.len);
}

void relay_job_say_all(struct relay *relay)
{
    for (struct map_item *item = NULL; (item = map_next(&relay->recipients, item));) {
        struct relay_recipient *r = map_entry(item, struct relay_recipient, by_id);
        if (r->done)
            say_result(relay, r);
    }
}

/* ---- recipients and jobs ---- */

static void write_key(char *key, const struct mail_id *id, uint32_t number)
{
    memcpy(key, id->at, MAIL_ID_SIZE);
    put_u32(key + MAIL_ID_SIZE, number);
}

static struct relay_recipient *find_recipient(struct relay *relay, const struct mail_id *id, uint32_t number)
{
    char key[MAIL_ID_SIZE + 4];
    write_key(key, id, number);
    struct map_item *item = map_find(&relay->recipients, (struct view){ key, sizeof key });
    return item ? map_entry(item, struct relay_recipient, by_id) : NULL;
}

static void owe_credit(struct relay *relay)
{
    relay->owed_credit++;
    os_later(relay->os, &relay->say);
}

static void free_job(struct relay_job *job)
{
    relay_content_forget(job);
    free(job->trouble_text);
    free(job);
}

static void forget_recipient(struct relay *relay, struct relay_recipient *r)
{
    struct relay_job *job = r->job;
    map_remove(&relay->recipients, &r->by_id);
    relay->unkept -= r->done;
    free(r->frame);
    r->frame = NULL;
    if (--job->open_count == 0 && !job->content)
        free_job(job);
}

/* In one piece of memory: the job, its recipients, what smtp_client wants of them, their paths. */
static struct relay_job *new_job(struct relay *relay, const struct ipc_relay_job *m, size_t count, size_t path_bytes)
{
    struct relay_job *job;
    size_t recipients = count * sizeof job->recipients[0], to = count * sizeof *job->to;
    job = calloc(1, sizeof *job + recipients + to + count * sizeof *job->order + path_bytes);
    if (!job)
        return NULL;
    job->relay = relay;
    job->id = m->id;
    job->place = (struct spool_place){ m->segment, m->offset, m->head_size, m->content_size };
    job->to = (struct smtp_client_recipient *)(void *)(job->recipients + count);
    job->order = (size_t *)(void *)(job->to + count);
    job->send.recipients = job->to;
    list_init(&job->link);
    list_init(&job->reading);
    return job;
}

static bool add_recipient(struct relay_job *job, uint32_t number, struct view path, char *memory)
{
    struct relay_recipient *r = &job->recipients[job->recipient_count];
    memcpy(memory, path.at, path.len);
    *r = (struct relay_recipient){ .job = job, .number = number, .path = { memory, path.len } };
    write_key(r->key, &job->id, number);
    r->by_id.key = (struct view){ r->key, sizeof r->key };
    if (!map_add(&job->relay->recipients, &r->by_id))
        return false;
    job->order[job->recipient_count] = job->recipient_count;
    job->send.recipient_count = ++job->recipient_count;
    job->open_count++;
    return true;
}

/* What is known already was given by a qmgr that is gone: its slot is taken once. */
static void adopt(struct relay *relay, struct relay_recipient *r)
{
    owe_credit(relay);
    if (r->done)
        say_result(relay, r);
}

/* Those of the list that are not known, and the bytes of their paths. */
static size_t count_new(struct relay *relay, const struct ipc_relay_job *m, size_t *path_bytes)
{
    struct view rest = m->recipients, path;
    uint32_t number;
    size_t count = 0;
    *path_bytes = 0;
    while (ipc_recipient_next(&rest, &number, &path)) {
        struct relay_recipient *known = find_recipient(relay, &m->id, number);
        if (known) {
            adopt(relay, known);
            continue;
        }
        count++;
        *path_bytes += path.len;
    }
    return count;
}

/* A number that stands twice in the list is taken once. */
static bool add_recipients(struct relay_job *job, const struct ipc_relay_job *m, char *memory)
{
    struct view rest = m->recipients, path;
    uint32_t number;
    while (ipc_recipient_next(&rest, &number, &path)) {
        if (find_recipient(job->relay, &m->id, number))
            continue;
        if (!add_recipient(job, number, path, memory))
            return false;
        memory += path.len;
    }
    return true;
}

static void begin(struct relay_job *job, const struct ipc_relay_job *m)
{
    struct relay *relay = job->relay;
    const struct conf_action *action = conf_action_find(&relay->role.conf, m->action);
    struct relay_verdict v = relay_verdict_local(IPC_DEFERRED, 451, 3, 5, VIEW("the configuration has no such relay"));
    if (action && action->kind == CONF_RELAY) {
        job->destination = relay_destination_of(relay, action, m->domain);
        v = relay_verdict_local(IPC_DEFERRED, 451, 3, 0, VIEW("out of memory"));
    }
    if (job->destination)
        relay_destination_add(job->destination, job);
    else
        relay_job_finish(job, &v);
}

uint64_t relay_job_max(const struct relay *relay)
{
    uint64_t max = relay->role.conf.limits.relay_jobs_max;
    return max < RELAY_CREDIT_MAX ? max : RELAY_CREDIT_MAX;
}

bool relay_job_take(struct relay *relay, struct unpack *body)
{
    struct ipc_relay_job m;
    size_t path_bytes;
    if (!ipc_relay_job_unpack(body, &m))
        return false;
    size_t count = count_new(relay, &m, &path_bytes);
    if (count == 0 || relay->stopping)
        return true;
    struct relay_content *content = relay_content_find(relay, m.segment);
    if (!content || relay->recipients.count + count > relay_job_max(relay))
        return false;
    struct relay_job *job = new_job(relay, &m, count, path_bytes);
    if (!job)
        return false;
    job->content = content;
    content->jobs++;
    if (add_recipients(job, &m, (char *)(job->order + count))) {
        begin(job, &m);
        return true;
    }
    const struct relay_verdict v = relay_verdict_local(IPC_DEFERRED, 451, 3, 0, VIEW("out of memory"));
    relay_job_finish(job, &v);
    return false;
}

bool relay_job_kept(struct relay *relay, struct unpack *body)
{
    struct ipc_kept m;
    if (!ipc_kept_unpack(body, &m))
        return false;
    struct relay_recipient *r = find_recipient(relay, &m.id, m.recipient);
    if (!r || !r->done)
        return true;
    forget_recipient(relay, r);
    owe_credit(relay);
    return true;
}

/* Those that have no recipient any more first: the others go with their last one, and must not be looked at then. */
void relay_job_free_all(struct relay *relay)
{
    for (size_t i = 0; relay->reading && i < relay->read_count; i++)
        if (relay->being_read[i]->over && relay->being_read[i]->open_count == 0)
            free_job(relay->being_read[i]);
    for (struct map_item *item; (item = map_next(&relay->recipients, NULL));) {
        struct relay_recipient *r = map_entry(item, struct relay_recipient, by_id);
        r->job->content = NULL;
        forget_recipient(relay, r);
    }
}

/* ---- the end of a job ---- */

void relay_job_release(struct relay_job *job)
{
    struct relay_content *content = job->content;
    relay_content_forget(job);
    job->content = NULL;
    relay_content_release(content);
    if (job->open_count == 0)
        free_job(job);
}

static void job_over(struct relay_job *job)
{
    struct relay_destination *destination = job->destination;
    bool in_flight = job->read == RELAY_READING && list_empty(&job->reading);
    list_remove(&job->link);
    job->session = NULL;
    job->destination = NULL;
    job->over = true;
    if (!in_flight)
        relay_job_release(job);
    if (destination)
        relay_destination_job_over(destination);
}

static void finish_recipient(struct relay_recipient *r, const struct relay_verdict *verdict)
{
    if (verdict)
        write_result(r, verdict);
    say_result(r->job->relay, r);
}

void relay_job_finish(struct relay_job *job, const struct relay_verdict *verdict)
{
    for (size_t i = 0; i < job->send.recipient_count; i++)
        finish_recipient(&job->recipients[job->order[i]], verdict);
    job->send.recipient_count = 0;
    job_over(job);
}

void relay_job_unreadable(struct relay_job *job)
{
    struct relay_verdict v = relay_verdict_local(IPC_DEFERRED, 452, 3, 1, VIEW("no memory for the message at present"));
    struct event e;
    if (job->read != RELAY_NO_MEMORY) {
        v = relay_verdict_local(IPC_DEFERRED, 451, 3, 0, VIEW("the stored message is damaged, or cannot be read"));
        event_begin(&e, &job->relay->log, "alarm");
        event_id(&e, &job->id);
        event_view(&e, "text", v.text);
        event_end(&e);
    }
    relay_job_finish(job, &v);
}

/* ---- an attempt ---- */

void relay_job_prepare(struct relay_job *job)
{
    for (size_t i = 0; i < job->send.recipient_count; i++)
        job->to[i] = (struct smtp_client_recipient){ .path = job->recipients[job->order[i]].path };
}

void relay_job_refuse(struct relay_job *job, size_t k, const struct relay_verdict *verdict)
{
    write_result(&job->recipients[job->order[k]], verdict);
}

/* RFC 5321 section 4.5.3.1.10: the server took some and wants the others in another transaction; 552 is what old
 * servers said instead. */
static bool is_too_many(const struct smtp_reply *reply)
{
    return reply->code == 452 || (reply->code == 552 && !reply->status.class);
}

bool relay_job_settle(struct relay_job *job, enum smtp_client_outcome outcome, const struct relay_verdict *verdict,
                      bool again)
{
    size_t left = 0;
    for (size_t k = 0; k < job->send.recipient_count; k++) {
        struct relay_recipient *r = &job->recipients[job->order[k]];
        const struct smtp_reply *reply = &job->to[k].reply;
        bool refused = reply->code >= 400;
        if (refused ? outcome == SMTP_CLIENT_SENT && is_too_many(reply) : again)
            job->order[left++] = job->order[k];
        else
            finish_recipient(r, refused && r->frame ? NULL : verdict);
    }
    job->send.recipient_count = left;
    if (left == 0)
        job_over(job);
    return left > 0;
}

/* A temporary one outweighs a permanent one: as long as some server may take the mail it is not refused. */
void relay_job_trouble(struct relay_job *job, const struct relay_verdict *verdict)
{
    job->reached = job->reached || verdict->reach == IPC_REACHED;
    if (job->has_trouble && job->trouble.outcome == IPC_DEFERRED && verdict->outcome != IPC_DEFERRED)
        return;
    size_t text = verdict->text.len, remote = verdict->remote.len;
    char *memory = malloc(text + remote + 1);
    job->has_trouble = true;
    job->trouble = memory ? *verdict : relay_verdict_local(IPC_DEFERRED, 451, 3, 0, VIEW("out of memory"));
    if (!memory)
        return;
    if (text)
        memcpy(memory, verdict->text.at, text);
    if (remote)
        memcpy(memory + text, verdict->remote.at, remote);
    free(job->trouble_text);
    job->trouble_text = memory;
    job->trouble.text.at = memory;
    job->trouble.remote.at = memory + text;
}
