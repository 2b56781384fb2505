/* Roles local and mailbox over the simulated world; the test plays supervisor and qmgr. */
#include "base/test.h"
#include "deliver/scene_test.h"
#include "gonetsd/role.h"
#include "gonetsd/roles.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGES 8
#define POISON   3 /* the message that crashes fake workers */

static const char config[] = "hostname mx.example.org\n"
                             "spool /spool\n"
                             "listen 127.0.0.1:25\n"
                             "limit local_jobs 5\n"
                             "action home maildir %{home}/Maildir\n"
                             "action system mbox /var/mail/%{user}\n"
                             "action shared maildir /home/joe/%{domain}/%{local} user joe\n"
                             "action nobodys maildir /srv/%{local} user nosuch\n"
                             "action roots maildir /srv/%{local} user wheel\n"
                             "action drop discard\n"
                             "action keep hold\n"
                             "match for domain d1.example action home\n"
                             "match for domain d2.example action system\n"
                             "match for domain d3.example action shared\n"
                             "match for domain d4.example action nobodys\n"
                             "match for domain d5.example action roots\n"
                             "match for domain d6.example action drop\n"
                             "match for domain d7.example action keep\n";

struct seen {
    unsigned results;
    struct ipc_result last;
    char text[512];
};

struct stage {
    struct scene scene;
    struct os_child *child;
    struct ipc supervisor, qmgr;
    bool ready, exited, keeps; /* keeps: answers each result by IPC_KEPT */
    int code;
    uint32_t credit;
    struct seen seen[MESSAGES];
};

/* ---- workers that are not the real ones ---- */

static unsigned fake_starts, fake_jobs, real_starts;
static struct os *last_worker;

struct fake {
    struct os *os;
    struct ipc local;
};

static void fake_result(struct fake *fake, const struct mail_id *id, uint32_t recipient)
{
    char memory[256];
    struct buffer frame = BUFFER_OF(memory);
    ipc_result_pack(&frame, &(struct ipc_result){ .id = *id,
                                                  .recipient = recipient,
                                                  .outcome = IPC_DELIVERED,
                                                  .code = 250,
                                                  .status = { 2, 0, 0 },
                                                  .text = VIEW("fake\nevent: forged") });
    ipc_send(&fake->local, buffer_view(&frame));
}

static void fake_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct fake *fake = ctx;
    struct ipc_mail_job m;
    (void)handle;
    if (type != IPC_MAIL_JOB)
        return;
    assert_true(ipc_mail_job_unpack(body, &m));
    fake_jobs++;
    if (m.recipient == POISON)
        os_stop(fake->os, 9);
    else
        fake_result(fake, &m.id, m.recipient);
}

static void fake_gone(void *ctx)
{
    struct fake *fake = ctx;
    os_stop(fake->os, 0);
}

static void *fake_start(struct os *os, struct os_link *supervisor)
{
    struct fake *fake = calloc(1, sizeof *fake);
    fake->os = os;
    fake_starts++;
    ipc_open(&fake->local, os, supervisor, &(struct ipc_owner){ fake, fake_frame, NULL, fake_gone });
    role_say_hello(&fake->local, IPC_MAILBOX, 0);
    return fake;
}

static void fake_stop(void *role)
{
    struct fake *fake = role;
    ipc_close(&fake->local);
    free(fake);
}

/* Says that it delivered what another worker was given. */
static void liar_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct fake *fake = ctx;
    struct ipc_mail_job m;
    (void)handle;
    if (type == IPC_MAIL_JOB && ipc_mail_job_unpack(body, &m))
        fake_result(fake, &m.id, m.recipient + 1);
}

static void *liar_start(struct os *os, struct os_link *supervisor)
{
    struct fake *fake = fake_start(os, supervisor);
    fake->local.owner.frame = liar_frame;
    return fake;
}

static void *lame_start(struct os *os, struct os_link *supervisor)
{
    (void)os;
    (void)supervisor;
    fake_starts++;
    return NULL;
}

static void *real_start(struct os *os, struct os_link *supervisor)
{
    real_starts++;
    last_worker = os;
    return mailbox_start(os, supervisor);
}

static const struct os_role real_roles[] = { { "local", local_start, local_stop },
                                             { "mailbox", real_start, mailbox_stop } };
static const struct os_role fake_roles[] = { { "local", local_start, local_stop },
                                             { "mailbox", fake_start, fake_stop } };
static const struct os_role liar_roles[] = { { "local", local_start, local_stop },
                                             { "mailbox", liar_start, fake_stop } };
static const struct os_role lame_roles[] = { { "local", local_start, local_stop },
                                             { "mailbox", lame_start, fake_stop } };

/* ---- supervisor ---- */

static void on_supervisor_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct stage *stage = ctx;
    (void)body;
    (void)handle;
    stage->ready = stage->ready || type == IPC_READY;
}

static void on_nothing(void *ctx)
{
    (void)ctx;
}

static void on_exit_of(void *ctx, int code)
{
    struct stage *stage = ctx;
    stage->exited = true;
    stage->code = code;
}

static void send_config(struct stage *stage)
{
    char memory[4096];
    struct buffer frame = BUFFER_OF(memory);
    ipc_config_pack(&frame, &(struct ipc_config){ true, 1, view_of(config) });
    ipc_send(&stage->supervisor, buffer_view(&frame));
}

static void send_type(struct ipc *ipc, enum ipc_type type)
{
    char memory[1];
    struct buffer frame = BUFFER_OF(memory);
    ipc_type_pack(&frame, type);
    ipc_send(ipc, buffer_view(&frame));
}

/* ---- qmgr ---- */

static void send_kept(struct stage *stage, const struct mail_id *id, uint32_t recipient)
{
    char memory[64];
    struct buffer frame = BUFFER_OF(memory);
    ipc_kept_pack(&frame, &(struct ipc_kept){ *id, recipient });
    ipc_send(&stage->qmgr, buffer_view(&frame));
}

static void take_result(struct stage *stage, struct unpack *body)
{
    struct ipc_result m;
    assert_true(ipc_result_unpack(body, &m));
    assert_true(m.recipient < MESSAGES);
    struct seen *seen = &stage->seen[m.recipient];
    seen->results++;
    seen->last = m;
    snprintf(seen->text, sizeof seen->text, "%.*s", VIEW_FORMAT(m.text));
    if (stage->keeps)
        send_kept(stage, &m.id, m.recipient);
}

static void on_qmgr_frame(void *ctx, uint8_t type, struct unpack *body, struct os_handle *handle)
{
    struct stage *stage = ctx;
    uint32_t count = 0;
    (void)handle;
    if (type == IPC_RESULT)
        take_result(stage, body);
    else if (type == IPC_CREDIT && ipc_credit_unpack(body, &count))
        stage->credit += count;
}

static void link_qmgr(struct stage *stage)
{
    char memory[64];
    struct buffer frame = BUFFER_OF(memory);
    struct os_link *ours, *theirs;
    ipc_close(&stage->qmgr);
    stage->credit = 0;
    assert_int_equal(os_link_pair(stage->scene.os, &ours, &theirs), OS_OK);
    ipc_open(&stage->qmgr, stage->scene.os, ours, &(struct ipc_owner){ stage, on_qmgr_frame, NULL, on_nothing });
    role_say_hello(&stage->qmgr, IPC_QMGR, 0);
    ipc_handle_pack(&frame, &(struct ipc_handle){ .what = IPC_A_LINK, .role = IPC_QMGR });
    const struct os_handle handle = { .kind = OS_HANDLE_LINK, .link = theirs };
    assert_true(ipc_send_handle(&stage->supervisor, buffer_view(&frame), &handle));
    os_link_close(theirs);
}

static void send_content(struct stage *stage)
{
    char memory[64];
    struct buffer frame = BUFFER_OF(memory);
    const struct os_handle handle = { .kind = OS_HANDLE_FILE, .file = stage->scene.segment };
    ipc_segment_pack(&frame, IPC_CONTENT, &(struct ipc_segment){ .number = 1 });
    assert_true(ipc_send_handle(&stage->qmgr, buffer_view(&frame), &handle));
}

/* Message n goes to recipient number n. */
static void send_job(struct stage *stage, unsigned n, const char *action, const char *path)
{
    char memory[512];
    struct buffer frame = BUFFER_OF(memory);
    const struct stored *stored = &stage->scene.stored[n];
    ipc_job_pack(&frame,
                 &(struct ipc_job){ stored->id, n, 1, stored->place.offset, stored->place.content_size,
                                    stored->place.head_size, view_of(action), view_of(path) });
    assert_true(ipc_send(&stage->qmgr, buffer_view(&frame)));
}

static void run_for(struct stage *stage, uint64_t s)
{
    mem_world_run_until(stage->scene.world, mem_world_now_us(stage->scene.world) + s * 1000000);
}

/* ---- the stage ---- */

static void make_home(struct stage *stage, const char *name, uint32_t number)
{
    enum os_status status;
    struct os_user user = { .user = number, .group = number };
    char path[64];
    snprintf(user.name, sizeof user.name, "%s", name);
    snprintf(user.home, sizeof user.home, "/home/%s", name);
    snprintf(path, sizeof path, "home/%s", name);
    mem_host_add_user(stage->scene.host, &user);
    struct os *os = mem_process_new(stage->scene.host);
    struct os_dir *root = os_dir_path(os, "/", &status);
    mem_process_set_user(os, number, number);
    struct os_op op = { .kind = OS_MAKE_DIR, .dir = root, .name = path, .mode = 0700 };
    os_run_ops(os, &op, 1);
    os_dir_close(root);
    mem_process_kill(os);
}

static void open_stage(struct stage *stage, const struct os_role roles[2])
{
    struct scene *scene = &stage->scene;
    enum os_status status;
    memset(stage, 0, sizeof *stage);
    fake_starts = fake_jobs = real_starts = 0;
    last_worker = NULL;
    scene_open(scene, 3);
    mem_host_set_roles(scene->host, roles, 2);
    /* Homes are made by their users; the directories around them by the system. */
    struct os_dir *root = os_dir_path(scene->os, "/", &status);
    struct os_op dirs[] = { { .kind = OS_REMOVE_DIR, .dir = root, .name = "home/joe" },
                            { .kind = OS_REMOVE_DIR, .dir = root, .name = "home" },
                            { .kind = OS_MAKE_DIR, .dir = root, .name = "home", .mode = 0777 },
                            { .kind = OS_REMOVE_DIR, .dir = root, .name = "var/mail" },
                            { .kind = OS_MAKE_DIR, .dir = root, .name = "var/mail", .mode = 0777 } };
    os_run_ops(scene->os, dirs, ROWS(dirs));
    os_dir_close(root);
    make_home(stage, "joe", 1000);
    make_home(stage, "ann", 1001);
    mem_host_add_user(scene->host, &(struct os_user){ 0, 0, "root", "/root" });
    mem_host_add_user(scene->host, &(struct os_user){ 1002, 0, "wheel", "/home/wheel" });
    for (unsigned n = 0; n < MESSAGES; n++) {
        char content[64];
        snprintf(content, sizeof content, "Subject: %u\r\n\r\nbody\r\n", n);
        scene_store(scene, n, VIEW("a@b"), VIEW_NONE, view_of(content), STORED_BODY);
    }
    scene_sync(scene);
    struct os_link *link;
    const struct os_spawn what = { .role = "local" };
    assert_int_equal(os_spawn(scene->os, &what, &link, &stage->child, on_exit_of, stage), OS_OK);
    ipc_open(&stage->supervisor, scene->os, link, &(struct ipc_owner){ stage, on_supervisor_frame, NULL, on_nothing });
    role_say_hello(&stage->supervisor, IPC_SUPERVISOR, 0);
    send_config(stage);
    send_type(&stage->supervisor, IPC_START);
    stage->keeps = true;
    link_qmgr(stage);
    send_content(stage);
    run_for(stage, 1);
    assert_true(stage->ready);
    assert_int_equal(stage->credit, 5);
}

static void close_stage(struct stage *stage)
{
    ipc_close(&stage->supervisor);
    ipc_close(&stage->qmgr);
    scene_close(&stage->scene);
}

static unsigned count_in(struct stage *stage, const char *path)
{
    return scene_list(&stage->scene, path, NULL, NULL);
}

static struct os_stat stat_of(struct stage *stage, const char *name)
{
    enum os_status status;
    struct os_stat stat = { 0 };
    struct os_dir *root = os_dir_path(stage->scene.os, "/", &status);
    struct os_op op = { .kind = OS_STAT, .dir = root, .name = name, .stat = &stat };
    os_run_ops(stage->scene.os, &op, 1);
    os_dir_close(root);
    return stat;
}

/* E1, E2: each mailbox is written by its user. */
static void test_delivery(void **state)
{
    struct stage stage;
    (void)state;
    open_stage(&stage, real_roles);
    send_job(&stage, 0, "home", "joe@example.org");
    send_job(&stage, 1, "home", "ANN@example.org");
    send_job(&stage, 2, "system", "joe@example.org");
    send_job(&stage, 3, "shared", "Any.Body@example.org");
    send_job(&stage, 4, "drop", "joe@example.org");
    run_for(&stage, 2);
    for (unsigned n = 0; n < 5; n++) {
        assert_int_equal(stage.seen[n].results, 1);
        assert_int_equal(stage.seen[n].last.outcome, IPC_DELIVERED);
    }
    assert_string_equal(stage.seen[4].text, "discarded by action drop");
    assert_int_equal(stage.credit, 10);
    assert_int_equal(count_in(&stage, "/home/joe/Maildir/new"), 1);
    assert_int_equal(count_in(&stage, "/home/ann/Maildir/new"), 1);
    assert_int_equal(count_in(&stage, "/home/joe/example.org/any.body/new"), 1);
    assert_int_equal(stat_of(&stage, "home/joe/Maildir").user, 1000);
    assert_int_equal(stat_of(&stage, "home/joe/Maildir").mode, 0700);
    assert_int_equal(stat_of(&stage, "home/ann/Maildir/new").user, 1001);
    struct os_stat mbox = stat_of(&stage, "var/mail/joe");
    assert_true(mbox.user == 1000 && mbox.group == 8 && mbox.mode == 0660);
    assert_int_equal(real_starts, 3);
    run_for(&stage, 120);
    send_job(&stage, 5, "home", "joe@example.org");
    run_for(&stage, 2);
    assert_int_equal(stage.seen[5].last.outcome, IPC_DELIVERED);
    assert_int_equal(real_starts, 4); /* idle ones had gone */
    close_stage(&stage);
}

/* H156 */
static void test_what_is_refused(void **state)
{
    static const struct {
        const char *action, *path;
        bool users_fail;
        enum ipc_outcome outcome;
        unsigned code, subject, detail;
    } rows[] = {
        { "home", "root@example.org", false, IPC_DEFERRED, 451, 3, 5 },
        { "home", "wheel@example.org", false, IPC_DEFERRED, 451, 3, 5 },
        { "system", "root@example.org", false, IPC_DEFERRED, 451, 3, 5 },
        { "roots", "x@example.org", false, IPC_DEFERRED, 451, 3, 5 },
        { "nobodys", "x@example.org", false, IPC_DEFERRED, 451, 3, 5 },
        { "home", "nosuch@example.org", false, IPC_FAILED, 550, 1, 1 },
        { "home", "joe@example.org", true, IPC_DEFERRED, 451, 3, 0 },
        { "shared", "joe@example.org", true, IPC_DEFERRED, 451, 3, 0 },
        { "gone", "joe@example.org", false, IPC_DEFERRED, 451, 3, 5 },
        { "keep", "joe@example.org", false, IPC_DEFERRED, 451, 3, 5 },
        { "home", "not an address", false, IPC_DEFERRED, 451, 3, 5 },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct stage stage;
        char row[80];
        snprintf(row, sizeof row, "%s for %s", rows[i].action, rows[i].path);
        open_stage(&stage, real_roles);
        mem_host_fail_users(stage.scene.host, rows[i].users_fail);
        send_job(&stage, 0, rows[i].action, rows[i].path);
        run_for(&stage, 2);
        const struct ipc_result *m = &stage.seen[0].last;
        assert_row(stage.seen[0].results == 1 && m->outcome == rows[i].outcome, row);
        assert_row(m->code == rows[i].code && m->status[0] == rows[i].code / 100, row);
        assert_row(m->status[1] == rows[i].subject && m->status[2] == rows[i].detail, row);
        assert_row(real_starts == 0, row);
        close_stage(&stage);
    }
}

/* A qmgr that was started anew hears what is not kept, and what it gives again is not begun twice. */
static void test_new_qmgr(void **state)
{
    struct stage stage;
    (void)state;
    open_stage(&stage, real_roles);
    stage.keeps = false;
    send_job(&stage, 0, "home", "joe@example.org");
    run_for(&stage, 2);
    assert_int_equal(stage.seen[0].results, 1);
    send_job(&stage, 1, "home", "joe@example.org");
    link_qmgr(&stage);
    send_content(&stage);
    send_job(&stage, 1, "home", "joe@example.org");
    run_for(&stage, 2);
    assert_int_equal(stage.seen[0].results, 2);
    assert_int_equal(count_in(&stage, "/home/joe/Maildir/new"), 2);
    send_job(&stage, 0, "home", "joe@example.org");
    run_for(&stage, 1);
    assert_int_equal(stage.seen[0].results, 3);
    send_kept(&stage, &stage.scene.stored[0].id, 0);
    send_kept(&stage, &stage.scene.stored[1].id, 1);
    run_for(&stage, 1);
    /* All slots are free again: what was granted, less the two jobs that were given. */
    assert_int_equal(stage.credit, 5 + 2);
    assert_int_equal(count_in(&stage, "/home/joe/Maildir/new"), 2);
    close_stage(&stage);
}

static unsigned alarms(struct stage *stage)
{
    struct view log = mem_host_log(stage->scene.host);
    unsigned count = 0;
    while (log.len) {
        struct view line = view_take_until(&log, '\n');
        for (size_t i = 0; i + 5 <= line.len; i++)
            if (view_starts(view_slice(line, i, line.len), VIEW("alarm"))) {
                count++;
                break;
            }
    }
    return count;
}

/* H144: one message crashes its worker each time; the others go through */
static void test_poison(void **state)
{
    struct stage stage;
    (void)state;
    open_stage(&stage, fake_roles);
    for (unsigned n = 1; n <= 5; n++)
        send_job(&stage, n, "home", "joe@example.org");
    run_for(&stage, 60);
    for (unsigned n = 1; n <= 5; n++) {
        assert_int_equal(stage.seen[n].results, 1);
        assert_int_equal(stage.seen[n].last.outcome, n == POISON ? IPC_DEFERRED : IPC_DELIVERED);
    }
    assert_int_equal(fake_starts, 3);
    assert_non_null(strstr(stage.seen[POISON].text, "crashed 3 times"));
    assert_int_equal(alarms(&stage), 1);
    assert_string_equal(stage.seen[1].text, "fake?event: forged"); /* H42: what a worker says is cleaned */
    close_stage(&stage);
}

static void test_worker_that_does_not_start(void **state)
{
    struct stage stage;
    (void)state;
    open_stage(&stage, lame_roles);
    send_job(&stage, 0, "home", "joe@example.org");
    run_for(&stage, 60);
    assert_int_equal(stage.seen[0].results, 1);
    assert_int_equal(stage.seen[0].last.outcome, IPC_DEFERRED);
    assert_int_equal(fake_starts, 3);
    assert_int_equal(alarms(&stage), 1);
    assert_false(stage.exited);
    close_stage(&stage);
}

/* A worker's word counts for its own jobs alone. */
static void test_liar(void **state)
{
    struct stage stage;
    (void)state;
    open_stage(&stage, liar_roles);
    send_job(&stage, 0, "home", "joe@example.org");
    send_job(&stage, 1, "home", "ann@example.org");
    run_for(&stage, 60);
    assert_int_equal(stage.seen[0].last.outcome, IPC_DEFERRED);
    assert_int_equal(stage.seen[1].last.outcome, IPC_DEFERRED);
    assert_false(stage.exited);
    close_stage(&stage);
}

/* The worker is killed at any moment; each message is there once. */
static void test_killed_worker(void **state)
{
    (void)state;
    for (uint64_t us = 50; us < 6000; us += 50) {
        struct stage stage;
        open_stage(&stage, real_roles);
        mem_host_set_delays(stage.scene.host, 100, 200);
        for (unsigned n = 0; n < 5; n++)
            send_job(&stage, n, "home", "joe@example.org");
        mem_world_run_until(stage.scene.world, mem_world_now_us(stage.scene.world) + us);
        if (last_worker)
            mem_process_kill(last_worker);
        run_for(&stage, 10);
        for (unsigned n = 0; n < 5; n++)
            if (stage.seen[n].results != 1 || stage.seen[n].last.outcome != IPC_DELIVERED)
                fail_msg("killed after %u us: message %u: %s", (unsigned)us, n, stage.seen[n].text);
        if (count_in(&stage, "/home/joe/Maildir/new") != 5)
            fail_msg("killed after %u us: %u files", (unsigned)us, count_in(&stage, "/home/joe/Maildir/new"));
        close_stage(&stage);
    }
}

/* Without the supervisor there is nobody left. */
static void test_supervisor_gone(void **state)
{
    struct stage stage;
    (void)state;
    open_stage(&stage, real_roles);
    send_job(&stage, 0, "home", "joe@example.org");
    run_for(&stage, 1);
    assert_int_equal(count_in(&stage, "/home/joe/Maildir/new"), 1);
    ipc_close(&stage.supervisor);
    ipc_close(&stage.qmgr);
    run_for(&stage, 1);
    assert_true(stage.exited);
    assert_int_equal(mem_world_open_handles(stage.scene.world), 1); /* the segment, ours */
    close_stage(&stage);
}

static void test_stop(void **state)
{
    struct stage stage;
    (void)state;
    open_stage(&stage, real_roles);
    for (unsigned n = 0; n < 5; n++)
        send_job(&stage, n, "home", "joe@example.org");
    mem_world_run_until(stage.scene.world, mem_world_now_us(stage.scene.world) + 3000);
    send_type(&stage.supervisor, IPC_STOP);
    run_for(&stage, 11);
    assert_true(stage.exited);
    assert_int_equal(stage.code, 0);
    unsigned delivered = 0;
    for (unsigned n = 0; n < 5; n++)
        delivered += stage.seen[n].results && stage.seen[n].last.outcome == IPC_DELIVERED;
    assert_int_equal(delivered, count_in(&stage, "/home/joe/Maildir/new"));
    close_stage(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delivery),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_new_qmgr),
        cmocka_unit_test(test_poison),
        cmocka_unit_test(test_worker_that_does_not_start),
        cmocka_unit_test(test_liar),
        cmocka_unit_test(test_killed_worker),
        cmocka_unit_test(test_supervisor_gone),
        cmocka_unit_test(test_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
