#include "ipc/message.h"

void ipc_type_pack(struct buffer *to, enum ipc_type type)
{
    pack_u8(to, (uint8_t)type);
}

static void pack_id(struct buffer *to, const struct mail_id *id)
{
    pack_bytes(to, (struct view){ (const char *)id->at, MAIL_ID_SIZE });
}

static void unpack_id(struct unpack *from, struct mail_id *id)
{
    struct view bytes = unpack_bytes(from, MAIL_ID_SIZE);
    for (size_t i = 0; i < MAIL_ID_SIZE; i++)
        id->at[i] = bytes.len ? (uint8_t)bytes.at[i] : 0;
}

void ipc_hello_pack(struct buffer *to, const struct ipc_hello *m)
{
    ipc_type_pack(to, IPC_HELLO);
    pack_u16(to, m->version);
    pack_u8(to, m->role);
    pack_u32(to, m->instance);
}

bool ipc_hello_unpack(struct unpack *from, struct ipc_hello *m)
{
    m->version = unpack_u16(from);
    m->role = unpack_u8(from);
    m->instance = unpack_u32(from);
    return unpack_done(from);
}

void ipc_config_pack(struct buffer *to, const struct ipc_config *m)
{
    ipc_type_pack(to, IPC_CONFIG);
    pack_u8(to, m->last);
    pack_u64(to, m->generation);
    pack_view(to, m->text);
}

bool ipc_config_unpack(struct unpack *from, struct ipc_config *m)
{
    m->last = unpack_u8(from) != 0;
    m->generation = unpack_u64(from);
    m->text = unpack_view(from);
    return unpack_done(from);
}

static void pack_counts(struct buffer *to, const struct ipc_counts *m)
{
    pack_u64(to, m->sessions);
    pack_u64(to, m->active);
    pack_u64(to, m->messages);
}

static void unpack_counts(struct unpack *from, struct ipc_counts *m)
{
    m->sessions = unpack_u64(from);
    m->active = unpack_u64(from);
    m->messages = unpack_u64(from);
}

void ipc_counts_pack(struct buffer *to, const struct ipc_counts *m)
{
    ipc_type_pack(to, IPC_COUNTS);
    pack_counts(to, m);
}

bool ipc_counts_unpack(struct unpack *from, struct ipc_counts *m)
{
    unpack_counts(from, m);
    return unpack_done(from);
}

void ipc_reloaded_pack(struct buffer *to, uint64_t generation)
{
    ipc_type_pack(to, IPC_RELOADED);
    pack_u64(to, generation);
}

bool ipc_reloaded_unpack(struct unpack *from, uint64_t *generation)
{
    *generation = unpack_u64(from);
    return unpack_done(from);
}

void ipc_command_pack(struct buffer *to, uint8_t command)
{
    ipc_type_pack(to, IPC_COMMAND);
    pack_u8(to, command);
}

bool ipc_command_unpack(struct unpack *from, uint8_t *command)
{
    *command = unpack_u8(from);
    return unpack_done(from);
}

void ipc_process_pack(struct buffer *to, const struct ipc_process *m)
{
    ipc_type_pack(to, IPC_PROCESS);
    pack_view(to, m->role);
    pack_u32(to, m->instance);
    pack_u64(to, m->number);
    pack_u64(to, m->uptime_us);
    pack_u64(to, m->generation);
    pack_u64(to, m->starts);
    pack_counts(to, &m->counts);
}

bool ipc_process_unpack(struct unpack *from, struct ipc_process *m)
{
    m->role = unpack_view(from);
    m->instance = unpack_u32(from);
    m->number = unpack_u64(from);
    m->uptime_us = unpack_u64(from);
    m->generation = unpack_u64(from);
    m->starts = unpack_u64(from);
    unpack_counts(from, &m->counts);
    return unpack_done(from);
}

void ipc_answer_pack(struct buffer *to, const struct ipc_answer *m)
{
    ipc_type_pack(to, IPC_ANSWER);
    pack_u8(to, m->code);
    pack_view(to, m->text);
}

bool ipc_answer_unpack(struct unpack *from, struct ipc_answer *m)
{
    m->code = unpack_u8(from);
    m->text = unpack_view(from);
    return unpack_done(from);
}

void ipc_handle_pack(struct buffer *to, const struct ipc_handle *m)
{
    ipc_type_pack(to, IPC_HANDLE);
    pack_u8(to, m->what);
    pack_u8(to, m->role);
    pack_u32(to, m->index);
}

bool ipc_handle_unpack(struct unpack *from, struct ipc_handle *m)
{
    m->what = unpack_u8(from);
    m->role = unpack_u8(from);
    m->index = unpack_u32(from);
    return unpack_done(from);
}

void ipc_segment_pack(struct buffer *to, enum ipc_type type, const struct ipc_segment *m)
{
    ipc_type_pack(to, type);
    pack_u8(to, m->kind);
    pack_u64(to, m->number);
    pack_u64(to, m->nonce);
    pack_u64(to, m->size);
    pack_u64(to, m->upto);
}

bool ipc_segment_unpack(struct unpack *from, struct ipc_segment *m)
{
    m->kind = unpack_u8(from);
    m->number = unpack_u64(from);
    m->nonce = unpack_u64(from);
    m->size = unpack_u64(from);
    m->upto = unpack_u64(from);
    return unpack_done(from);
}

void ipc_need_pack(struct buffer *to, const struct ipc_need *m)
{
    ipc_type_pack(to, IPC_NEED);
    pack_u8(to, m->kind);
    pack_u32(to, m->count);
}

bool ipc_need_unpack(struct unpack *from, struct ipc_need *m)
{
    m->kind = unpack_u8(from);
    m->count = unpack_u32(from);
    return unpack_done(from);
}

void ipc_job_pack(struct buffer *to, const struct ipc_job *m)
{
    ipc_type_pack(to, IPC_JOB);
    pack_id(to, &m->id);
    pack_u32(to, m->recipient);
    pack_u64(to, m->segment);
    pack_u64(to, m->offset);
    pack_u64(to, m->content_size);
    pack_u32(to, m->head_size);
    pack_view(to, m->action);
    pack_view(to, m->path);
}

bool ipc_job_unpack(struct unpack *from, struct ipc_job *m)
{
    unpack_id(from, &m->id);
    m->recipient = unpack_u32(from);
    m->segment = unpack_u64(from);
    m->offset = unpack_u64(from);
    m->content_size = unpack_u64(from);
    m->head_size = unpack_u32(from);
    m->action = unpack_view(from);
    m->path = unpack_view(from);
    return unpack_done(from);
}

void ipc_result_pack(struct buffer *to, const struct ipc_result *m)
{
    ipc_type_pack(to, IPC_RESULT);
    pack_id(to, &m->id);
    pack_u32(to, m->recipient);
    pack_u8(to, m->outcome);
    pack_u16(to, m->code);
    for (int i = 0; i < 3; i++)
        pack_u16(to, m->status[i]);
    pack_view(to, view_slice(m->text, 0, IPC_TEXT_MAX));
    pack_view(to, view_slice(m->remote, 0, IPC_REMOTE_MAX));
    pack_u8(to, m->phase);
    pack_u8(to, m->reach);
    pack_u8(to, m->uncertain);
}

bool ipc_result_unpack(struct unpack *from, struct ipc_result *m)
{
    unpack_id(from, &m->id);
    m->recipient = unpack_u32(from);
    m->outcome = unpack_u8(from);
    m->code = unpack_u16(from);
    for (int i = 0; i < 3; i++)
        m->status[i] = unpack_u16(from);
    m->text = unpack_view(from);
    m->remote = unpack_view(from);
    m->phase = unpack_u8(from);
    m->reach = unpack_u8(from);
    m->uncertain = unpack_u8(from) != 0;
    return unpack_done(from) && m->outcome >= IPC_DELIVERED && m->outcome <= IPC_FAILED && m->reach <= IPC_UNREACHED &&
           m->text.len <= IPC_TEXT_MAX && m->remote.len <= IPC_REMOTE_MAX;
}

void ipc_order_pack(struct buffer *to, enum ipc_type type, const struct ipc_order *m)
{
    ipc_type_pack(to, type);
    pack_u8(to, m->kind);
    pack_u8(to, m->result);
    pack_id(to, &m->id);
    pack_u32(to, m->recipient);
}

bool ipc_order_unpack(struct unpack *from, struct ipc_order *m)
{
    m->kind = unpack_u8(from);
    m->result = unpack_u8(from);
    unpack_id(from, &m->id);
    m->recipient = unpack_u32(from);
    return unpack_done(from);
}

void ipc_kept_pack(struct buffer *to, const struct ipc_kept *m)
{
    ipc_type_pack(to, IPC_KEPT);
    pack_id(to, &m->id);
    pack_u32(to, m->recipient);
}

bool ipc_kept_unpack(struct unpack *from, struct ipc_kept *m)
{
    unpack_id(from, &m->id);
    m->recipient = unpack_u32(from);
    return unpack_done(from);
}

void ipc_credit_pack(struct buffer *to, uint32_t count)
{
    ipc_type_pack(to, IPC_CREDIT);
    pack_u32(to, count);
}

bool ipc_credit_unpack(struct unpack *from, uint32_t *count)
{
    *count = unpack_u32(from);
    return unpack_done(from);
}

void ipc_lookup_pack(struct buffer *to, const struct ipc_lookup *m)
{
    ipc_type_pack(to, IPC_LOOKUP);
    pack_u64(to, m->ticket);
    pack_view(to, m->name);
}

bool ipc_lookup_unpack(struct unpack *from, struct ipc_lookup *m)
{
    m->ticket = unpack_u64(from);
    m->name = unpack_view(from);
    return unpack_done(from);
}

void ipc_found_pack(struct buffer *to, const struct ipc_found *m)
{
    ipc_type_pack(to, IPC_FOUND);
    pack_u64(to, m->ticket);
    pack_u8(to, m->status);
}

bool ipc_found_unpack(struct unpack *from, struct ipc_found *m)
{
    m->ticket = unpack_u64(from);
    m->status = unpack_u8(from);
    return unpack_done(from);
}

void ipc_mail_setup_pack(struct buffer *to, const struct ipc_mail_setup *m)
{
    ipc_type_pack(to, IPC_MAIL_SETUP);
    pack_u8(to, m->log_text);
    pack_u16(to, m->mbox_mode);
    pack_view(to, m->hostname);
}

bool ipc_mail_setup_unpack(struct unpack *from, struct ipc_mail_setup *m)
{
    m->log_text = unpack_u8(from) != 0;
    m->mbox_mode = unpack_u16(from);
    m->hostname = unpack_view(from);
    return unpack_done(from);
}

void ipc_mail_job_pack(struct buffer *to, const struct ipc_mail_job *m)
{
    ipc_type_pack(to, IPC_MAIL_JOB);
    pack_id(to, &m->id);
    pack_u32(to, m->recipient);
    pack_u64(to, m->segment);
    pack_u64(to, m->offset);
    pack_u64(to, m->content_size);
    pack_u32(to, m->head_size);
    pack_u8(to, m->mbox);
    pack_u32(to, m->owner);
    pack_view(to, m->base);
    pack_view(to, m->rest);
    pack_view(to, m->biff);
}

bool ipc_mail_job_unpack(struct unpack *from, struct ipc_mail_job *m)
{
    unpack_id(from, &m->id);
    m->recipient = unpack_u32(from);
    m->segment = unpack_u64(from);
    m->offset = unpack_u64(from);
    m->content_size = unpack_u64(from);
    m->head_size = unpack_u32(from);
    m->mbox = unpack_u8(from) != 0;
    m->owner = unpack_u32(from);
    m->base = unpack_view(from);
    m->rest = unpack_view(from);
    m->biff = unpack_view(from);
    return unpack_done(from) && !view_has(m->base, '\0') && !view_has(m->rest, '\0');
}

void ipc_recipient_add(struct buffer *to, uint32_t number, struct view path)
{
    pack_u32(to, number);
    pack_u16(to, (uint16_t)path.len);
    pack_bytes(to, path);
}

bool ipc_recipient_next(struct view *rest, uint32_t *number, struct view *path)
{
    struct unpack in = unpack_of(*rest);
    *number = unpack_u32(&in);
    *path = unpack_bytes(&in, unpack_u16(&in));
    if (in.bad || path->len == 0 || path->len > IPC_PATH_MAX)
        return false;
    *rest = in.rest;
    return true;
}

static bool recipients_valid(struct view recipients)
{
    uint32_t number;
    struct view path;
    unsigned count = 0;
    while (ipc_recipient_next(&recipients, &number, &path))
        count++;
    return recipients.len == 0 && count >= 1 && count <= IPC_RELAY_MAX;
}

void ipc_relay_job_pack(struct buffer *to, const struct ipc_relay_job *m)
{
    ipc_type_pack(to, IPC_RELAY_JOB);
    pack_id(to, &m->id);
    pack_u64(to, m->segment);
    pack_u64(to, m->offset);
    pack_u64(to, m->content_size);
    pack_u32(to, m->head_size);
    pack_view(to, m->action);
    pack_view(to, m->domain);
    pack_view(to, m->recipients);
}

bool ipc_relay_job_unpack(struct unpack *from, struct ipc_relay_job *m)
{
    unpack_id(from, &m->id);
    m->segment = unpack_u64(from);
    m->offset = unpack_u64(from);
    m->content_size = unpack_u64(from);
    m->head_size = unpack_u32(from);
    m->action = unpack_view(from);
    m->domain = unpack_view(from);
    m->recipients = unpack_view(from);
    return unpack_done(from) && recipients_valid(m->recipients);
}

void ipc_resolve_pack(struct buffer *to, const struct ipc_resolve *m)
{
    ipc_type_pack(to, IPC_RESOLVE);
    pack_u64(to, m->ticket);
    pack_u16(to, m->type);
    pack_view(to, m->name);
}

bool ipc_resolve_unpack(struct unpack *from, struct ipc_resolve *m)
{
    m->ticket = unpack_u64(from);
    m->type = unpack_u16(from);
    m->name = unpack_view(from);
    return unpack_done(from);
}

void ipc_record_add(struct buffer *to, struct view rdata)
{
    if (buffer_room(to) < 2 + rdata.len || rdata.len > UINT16_MAX) {
        to->full = true;
        return;
    }
    pack_u16(to, (uint16_t)rdata.len);
    pack_bytes(to, rdata);
}

bool ipc_record_next(struct view *rest, struct view *rdata)
{
    struct unpack in = unpack_of(*rest);
    if (rest->len == 0)
        return false;
    *rdata = unpack_bytes(&in, unpack_u16(&in));
    if (in.bad)
        return false;
    *rest = in.rest;
    return true;
}

void ipc_resolved_pack(struct buffer *to, const struct ipc_resolved *m)
{
    ipc_type_pack(to, IPC_RESOLVED);
    pack_u64(to, m->ticket);
    pack_u8(to, m->result);
    pack_u8(to, m->secure);
    pack_u32(to, m->ttl_s);
    pack_view(to, m->records);
}

bool ipc_resolved_unpack(struct unpack *from, struct ipc_resolved *m)
{
    m->ticket = unpack_u64(from);
    m->result = unpack_u8(from);
    m->secure = unpack_u8(from) != 0;
    m->ttl_s = unpack_u32(from);
    m->records = unpack_view(from);
    struct view rest = m->records, rdata;
    while (ipc_record_next(&rest, &rdata))
        ;
    return unpack_done(from) && rest.len == 0 && m->result <= OS_DNS_TROUBLE;
}
