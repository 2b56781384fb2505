#include "gonetsd/qmgr_rig_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/test.h"
#include "gonetsd/qmgr.h"
#include "gonetsd/roles.h"

/* What a killed process leaves is no leak, see sim/scene.c. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_options(void);

const char *__lsan_default_options(void)
{
    return "print_suppressions=0";
}

const char *__lsan_default_suppressions(void)
{
    return "leak:src/spool/\nleak:src/gonetsd/jobs.c\nleak:src/gonetsd/marks.c\nleak:src/gonetsd/reports.c\n";
}

static void send_type(struct ipc *ipc, enum ipc_type type)
{
    char memory[1];
    struct buffer frame = BUFFER_OF(memory);
    ipc_type_pack(&frame, type);
    ipc_send(ipc, buffer_view(&frame));
}

static void on_nothing(void *ctx)
{
    (void)ctx;
}

void rig_run(struct rig *rig, uint64_t us)
{
    mem_world_run_until(rig->world, mem_world_now_us(rig->world) + us);
}

struct qmgr *rig_qmgr(struct rig *rig)
{
    return mem_process_object(mem_host_process(rig->host, "qmgr", 0));
}

/* ---- smtpd ---- */

static void need(void *ctx, enum spool_kind kind, unsigned count)
{
    struct rig *rig = ctx;
    char memory[16];
    struct buffer frame = BUFFER_OF(memory);
    ipc_need_pack(&frame, &(struct ipc_need){ (uint8_t)kind, count });
    ipc_send(&rig->smtpd, buffer_view(&frame));
}

static void send_segment(struct rig *rig, enum ipc_type type, enum spool_kind kind, uint64_t number, uint64_t upto)
{
    char memory[64];
    struct buffer frame = BUFFER_OF(memory);
    ipc_segment_pack(&frame, type, &(struct ipc_segment){ .kind = (uint8_t)kind, .number = number, .upto = upto });
    ipc_send(&rig->smtpd, buffer_view(&frame));
}

static void durable(void *ctx, uint64_t segment, uint64_t upto)
{
    send_segment(ctx, IPC_DURABLE, SPOOL_MAIL, segment, upto);
}

static void sealed(void *ctx, uint64_t segment, uint64_t end)
{
    send_segment(ctx, IPC_SEALED, SPOOL_MAIL, segment, end);
}

static void tell_held(void *ctx, enum spool_kind kind, uint64_t segment, uint64_t upto)
{
    send_segment(ctx, IPC_HELD, kind, segment, upto);
}

static void trouble(void *ctx, bool ok, struct view text)
{
    (void)ctx;
    (void)ok;
    (void)text;
}

static void on_smtpd_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct rig *rig = ctx;
    struct ipc_segment m;
    if (type != IPC_SEGMENT)
        return;
    assert_true(ipc_segment_unpack(body, &m));
    handle->kind = OS_HANDLE_NONE;
    spool_writer_give(rig->writer, (enum spool_kind)m.kind, m.number, m.nonce, m.size, handle->file);
}

static void on_stored(void *ctx, bool ok)
{
    struct rig *rig = ctx;
    assert_true(ok);
    rig->stored++;
}

static void add_recipients(struct buffer *tags, const char *recipients)
{
    struct view rest = view_of(recipients), path;
    while ((path = view_take_word(&rest)).len) {
        size_t place = spool_tag_open(tags, SPOOL_TAG_RECIPIENT);
        spool_tag_add(tags, SPOOL_RECIPIENT_PATH, path);
        spool_tag_close(tags, place);
    }
}

struct mail_id rig_store(struct rig *rig, const char *reverse_path, const char *client, const char *recipients,
                         unsigned received_count)
{
    static const struct view content = { "Subject: a letter\r\n\r\nbody\r\n", 27 };
    size_t cap = 4096 + 3 * strlen(recipients);
    char *memory = malloc(cap);
    struct buffer tags;
    struct mail_scan scan;
    struct spool_entry *entry = spool_entry_new(rig->writer);
    struct mail_id id = mail_id_make(&rig->ids, os_wall_us(rig->os), mem_world_random(rig->world));
    unsigned before = rig->stored;
    assert_non_null(entry);
    buffer_init(&tags, memory, cap);
    mail_scan_start(&scan);
    mail_scan_feed(&scan, content);
    struct mail_facts facts = *mail_scan_end(&scan);
    facts.received_count = received_count;
    spool_tag_add(&tags, SPOOL_TAG_ID, (struct view){ (const char *)id.at, MAIL_ID_SIZE });
    spool_tag_add(&tags, SPOOL_TAG_REVERSE_PATH, view_of(reverse_path));
    add_recipients(&tags, recipients);
    if (client)
        spool_tag_add(&tags, SPOOL_TAG_CLIENT, view_of(client));
    assert_int_equal(spool_entry_add(entry, content), SPOOL_TAKEN);
    assert_true(spool_entry_finish(entry, buffer_view(&tags), VIEW("Received: here\r\n"), &facts, on_stored, rig));
    for (int i = 0; i < 1000 && rig->stored == before; i++)
        rig_run(rig, 1000);
    assert_int_equal(rig->stored, before + 1);
    free(memory);
    return id;
}

/* ---- deliverers ---- */

static void say_credit(struct rig_deliverer *d, uint32_t count)
{
    char memory[8];
    struct buffer frame = BUFFER_OF(memory);
    ipc_credit_pack(&frame, count);
    ipc_send(&d->ipc, buffer_view(&frame));
}

static struct rig_deliverer *deliverer_of(struct rig *rig, const struct rig_seen *seen)
{
    return seen->role == IPC_LOCAL ? &rig->local : &rig->smtp[seen->instance];
}

static void say_result(struct rig *rig, const struct rig_seen *seen)
{
    char memory[IPC_RESULT_MAX];
    struct buffer frame = BUFFER_OF(memory);
    ipc_result_pack(&frame, &seen->result);
    ipc_send(&deliverer_of(rig, seen)->ipc, buffer_view(&frame));
}

void rig_answer(struct rig *rig, struct rig_seen *seen)
{
    seen->result = (struct ipc_result){ .id = seen->id,
                                        .recipient = seen->number,
                                        .outcome = IPC_DELIVERED,
                                        .code = 250,
                                        .status = { 2, 0, 0 },
                                        .phase = 7,
                                        .text = VIEW("ok") };
    if (rig->answer)
        rig->answer(rig, seen, &seen->result);
    say_result(rig, seen);
}

static void see(struct rig_deliverer *d, const struct rig_seen *seen, struct view action, struct view domain,
                struct view path)
{
    struct rig *rig = d->rig;
    assert_true(rig->seen_count < RIG_SEEN_MAX);
    struct rig_seen *s = &rig->seen[rig->seen_count++];
    *s = *seen;
    s->role = d->role;
    s->instance = d->instance;
    s->job = d->jobs;
    s->at_us = mem_world_now_us(rig->world);
    snprintf(s->action, sizeof s->action, "%.*s", VIEW_FORMAT(action));
    snprintf(s->domain, sizeof s->domain, "%.*s", VIEW_FORMAT(domain));
    snprintf(s->path, sizeof s->path, "%.*s", VIEW_FORMAT(path));
    if (!rig->silent)
        rig_answer(rig, s);
}

static void take_job(struct rig_deliverer *d, struct unpack *body)
{
    struct ipc_job m;
    assert_true(ipc_job_unpack(body, &m));
    d->jobs++;
    see(d,
        &(struct rig_seen){
            .id = m.id, .number = m.recipient, .place = { m.segment, m.offset, m.head_size, m.content_size } },
        m.action, VIEW_NONE, m.path);
}

static void take_relay_job(struct rig_deliverer *d, struct unpack *body)
{
    struct ipc_relay_job m;
    struct rig_seen seen = { 0 };
    struct view path;
    assert_true(ipc_relay_job_unpack(body, &m));
    d->jobs++;
    seen.id = m.id;
    seen.place = (struct spool_place){ m.segment, m.offset, m.head_size, m.content_size };
    while (ipc_recipient_next(&m.recipients, &seen.number, &path))
        see(d, &seen, m.action, m.domain, path);
}

static void take_kept(struct rig_deliverer *d, struct unpack *body)
{
    struct ipc_kept m;
    assert_true(ipc_kept_unpack(body, &m));
    for (size_t i = 0; i < d->rig->seen_count; i++) {
        struct rig_seen *s = &d->rig->seen[i];
        if (s->result.outcome && s->number == m.recipient && mail_id_compare(&s->id, &m.id) == 0 && !s->kept) {
            s->kept = true;
            say_credit(d, 1);
        }
    }
}

/* Where the handle of a segment is, or may be put. */
static size_t content_of(const struct rig_deliverer *d, uint64_t segment)
{
    size_t n = 0;
    while (n < ROWS(d->content) && d->segment[n] && d->segment[n] != segment)
        n++;
    assert_true(n < ROWS(d->content));
    return n;
}

static void take_content(struct rig_deliverer *d, struct unpack *body, struct os_handle *handle)
{
    struct ipc_segment m;
    assert_true(ipc_segment_unpack(body, &m));
    size_t n = content_of(d, m.number);
    if (d->segment[n])
        return;
    handle->kind = OS_HANDLE_NONE;
    d->content[n] = handle->file;
    d->segment[n] = m.number;
}

static void on_deliverer_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct rig_deliverer *d = ctx;
    if (type == IPC_JOB)
        take_job(d, body);
    else if (type == IPC_RELAY_JOB)
        take_relay_job(d, body);
    else if (type == IPC_KEPT)
        take_kept(d, body);
    else if (type == IPC_CONTENT)
        take_content(d, body, handle);
}

/* ---- links ---- */

static void give_handle(struct rig *rig, struct ipc_handle what, struct os_handle handle)
{
    char memory[64];
    struct buffer frame = BUFFER_OF(memory);
    ipc_handle_pack(&frame, &what);
    assert_true(ipc_send_handle(&rig->supervisor, buffer_view(&frame), &handle));
}

static void link_to(struct rig *rig, enum ipc_role role, uint32_t instance, struct ipc *ipc,
                    const struct ipc_owner *owner)
{
    struct os_link *ours, *theirs;
    ipc_close(ipc);
    assert_int_equal(os_link_pair(rig->os, &ours, &theirs), OS_OK);
    ipc_open(ipc, rig->os, ours, owner);
    role_say_hello(ipc, role, instance);
    give_handle(rig, (struct ipc_handle){ IPC_A_LINK, (uint8_t)role, instance },
                (struct os_handle){ .kind = OS_HANDLE_LINK, .link = theirs });
    os_link_close(theirs);
}

/* Results that were not kept are said again, before the first credit. */
static void link_deliverer(struct rig *rig, struct rig_deliverer *d, uint32_t credit)
{
    link_to(rig, d->role, d->instance, &d->ipc, &(struct ipc_owner){ d, on_deliverer_frame, NULL, on_nothing });
    for (size_t i = 0; i < rig->seen_count; i++)
        if (deliverer_of(rig, &rig->seen[i]) == d && rig->seen[i].result.outcome && !rig->seen[i].kept)
            say_result(rig, &rig->seen[i]);
    say_credit(d, credit);
}

static void on_supervisor_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct rig *rig = ctx;
    (void)body;
    (void)handle;
    rig->ready = rig->ready || type == IPC_READY;
}

static void on_exit_of(void *ctx, int code)
{
    struct rig *rig = ctx;
    (void)code;
    rig->child = NULL;
}

static void send_config(struct rig *rig, const char *config)
{
    char memory[62000];
    struct buffer frame = BUFFER_OF(memory);
    ipc_config_pack(&frame, &(struct ipc_config){ true, 1, view_of(config) });
    assert_false(frame.full);
    ipc_send(&rig->supervisor, buffer_view(&frame));
}

void rig_config(struct rig *rig, const char *config)
{
    rig->config = config;
    send_config(rig, config);
    send_type(&rig->supervisor, IPC_START);
    rig_run(rig, RIG_S / 10);
}

static void start(struct rig *rig)
{
    struct os_link *link;
    const struct os_spawn what = { .role = "qmgr" };
    rig->ready = false;
    assert_int_equal(os_spawn(rig->os, &what, &link, &rig->child, on_exit_of, rig), OS_OK);
    ipc_open(&rig->supervisor, rig->os, link, &(struct ipc_owner){ rig, on_supervisor_frame, NULL, on_nothing });
    role_say_hello(&rig->supervisor, IPC_SUPERVISOR, 0);
    send_config(rig, rig->config);
    give_handle(rig, (struct ipc_handle){ .what = IPC_A_SPOOL },
                (struct os_handle){ .kind = OS_HANDLE_DIR, .dir = rig->spool });
    link_to(rig, IPC_SMTPD, 0, &rig->smtpd, &(struct ipc_owner){ rig, on_smtpd_frame, NULL, on_nothing });
    spool_writer_tell(rig->writer, tell_held, rig);
    send_type(&rig->smtpd, IPC_HELD_END);
    link_deliverer(rig, &rig->local, 100);
    for (uint32_t i = 0; i < RIG_SMTPS; i++)
        link_deliverer(rig, &rig->smtp[i], 100);
    send_type(&rig->supervisor, IPC_START);
    rig_run(rig, RIG_S / 2);
    assert_true(rig->ready);
}

void rig_kill(struct rig *rig)
{
    struct os *os = mem_host_process(rig->host, "qmgr", 0);
    if (os)
        mem_process_kill(os);
    rig_run(rig, RIG_S / 10);
}

void rig_restart(struct rig *rig)
{
    rig_kill(rig);
    ipc_close(&rig->supervisor);
    start(rig);
}

static const struct os_role roles[] = { { "qmgr", qmgr_start, qmgr_stop } };

static void make_spool(struct rig *rig)
{
    enum os_status status;
    struct os_dir *root = os_dir_path(rig->os, "/", &status);
    struct os_op op = { .kind = OS_MAKE_DIR, .dir = root, .name = "spool", .mode = 0700 };
    os_run_ops(rig->os, &op, 1);
    rig->spool = os_dir_path(rig->os, "/spool", &status);
    assert_int_equal(spool_create(rig->os, rig->spool), OS_OK);
    struct os_op sync = { .kind = OS_SYNC_FS, .dir = root };
    os_run_ops(rig->os, &sync, 1);
    os_dir_close(root);
}

void rig_open(struct rig *rig, const char *config)
{
    rig_open_on(rig, config, NULL, NULL);
}

void rig_open_on(struct rig *rig, const char *config, struct mem_disk *disk, rig_answer_by *answer)
{
    const struct spool_writer_owner owner = {
        .ctx = rig, .need = need, .durable = durable, .sealed = sealed, .trouble = trouble, .room = on_nothing
    };
    const struct spool_writer_limits limits = { 1u << 20, SPOOL_LARGE_MIN, 1u << 20 };
    enum os_status status;
    *rig = (struct rig){ .world = mem_world_new(7), .seen = calloc(RIG_SEEN_MAX, sizeof(struct rig_seen)) };
    rig->config = config;
    rig->answer = answer;
    rig->host = mem_host_new(rig->world, "mx");
    mem_host_set_roles(rig->host, roles, 1);
    if (disk)
        mem_disk_free(mem_host_swap_disk(rig->host, disk));
    rig->os = mem_process_new(rig->host);
    if (disk)
        rig->spool = os_dir_path(rig->os, "/spool", &status);
    else
        make_spool(rig);
    rig->local = (struct rig_deliverer){ .rig = rig, .role = IPC_LOCAL };
    for (uint32_t i = 0; i < RIG_SMTPS; i++)
        rig->smtp[i] = (struct rig_deliverer){ .rig = rig, .role = IPC_SMTP, .instance = i };
    rig->writer = spool_writer_new(rig->os, &owner, &limits);
    start(rig);
    need(rig, SPOOL_MAIL, 1);
    rig_run(rig, RIG_S);
    assert_true(spool_writer_ready(rig->writer));
}

void rig_close(struct rig *rig)
{
    send_type(&rig->supervisor, IPC_STOP);
    rig_run(rig, RIG_S);
    assert_null(rig->child);
    ipc_close(&rig->supervisor);
    ipc_close(&rig->smtpd);
    ipc_close(&rig->local.ipc);
    for (unsigned i = 0; i < RIG_SMTPS; i++)
        ipc_close(&rig->smtp[i].ipc);
    spool_writer_free(rig->writer);
    rig_run(rig, RIG_S);
    mem_world_free(rig->world);
    free(rig->seen);
}

struct mem_disk *rig_cut(struct rig *rig, struct mem_choice choice)
{
    struct mem_disk *disk = mem_disk_clone(mem_host_disk(rig->host));
    mem_disk_crash(disk, choice);
    mem_world_free(rig->world);
    free(rig->seen);
    return disk;
}

/* ---- what was seen ---- */

struct rig_seen *rig_find(struct rig *rig, const char *path, unsigned nth)
{
    for (size_t i = 0; i < rig->seen_count; i++)
        if (strcmp(rig->seen[i].path, path) == 0 && nth-- == 0)
            return &rig->seen[i];
    return NULL;
}

unsigned rig_count(const struct rig *rig, const char *path)
{
    unsigned count = 0;
    for (size_t i = 0; i < rig->seen_count; i++)
        count += strcmp(rig->seen[i].path, path) == 0;
    return count;
}

char *rig_content(struct rig *rig, const struct rig_seen *seen, size_t *len)
{
    struct rig_deliverer *d = deliverer_of(rig, seen);
    size_t room = seen->place.head_size + seen->place.content_size + 64;
    char *bytes = calloc(1, room + 1);
    struct os_op op = { .kind = OS_READ,
                        .file = &d->content[content_of(d, seen->place.segment)],
                        .offset = seen->place.offset,
                        .buf = bytes,
                        .len = room };
    os_run_ops(rig->os, &op, 1);
    assert_int_equal(op.status, OS_OK);
    *len = op.value;
    for (size_t i = 0; i < *len; i++)
        bytes[i] = bytes[i] ? bytes[i] : ' ';
    return bytes;
}

bool rig_has(struct view bytes, const char *text)
{
    struct view wanted = view_of(text);
    for (; bytes.len >= wanted.len; view_take(&bytes, 1))
        if (view_starts(bytes, wanted))
            return true;
    return false;
}

bool rig_logged(struct rig *rig, const char *text)
{
    return rig_has(mem_host_log(rig->host), text);
}
