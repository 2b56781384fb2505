#include "base/test.h"
#include "deliver/scene_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGES    5
#define LARGE_LINES 14000u
#define LARGE_LEN   (LARGE_LINES * 50)

static const char front[] = "Received: from client by mx; now\r\n";

/* Message n as it was received, and as it has to lie in the mailbox. The last one is large. */
static struct view content_of(unsigned n, bool stored)
{
    static char small[2][MESSAGES][256], large[2][LARGE_LEN + 4096];
    const char *end = stored ? "\r\n" : "\n";
    if (n < MESSAGES - 1) {
        snprintf(small[stored][n], sizeof small[stored][n], "Subject: %u%s%sbody of %u%s", n, end, end, n, end);
        return view_of(small[stored][n]);
    }
    struct buffer out;
    buffer_init(&out, large[stored], sizeof large[stored]);
    buffer_addf(&out, "Subject: large%s%s", end, end);
    for (unsigned line = 0; line < LARGE_LINES; line++)
        buffer_addf(&out, "%010u Received in pieces, cut anywhere.%s", line, end);
    return buffer_view(&out);
}

static const char *form_in_box(unsigned n, struct buffer *out)
{
    buffer_clear(out);
    buffer_addf(out, "Return-Path: <sender%u@example.org>\nReceived: from client by mx; now\n", n);
    buffer_add(out, content_of(n, false));
    assert_false(out->full);
    return out->at;
}

static void prepare(struct scene *scene)
{
    scene_open(scene, 1);
    for (unsigned n = 0; n < MESSAGES; n++) {
        char path[64];
        snprintf(path, sizeof path, "sender%u@example.org", n);
        scene_store(scene, n, view_of(path), view_of(front), content_of(n, true),
                    n == MESSAGES - 1 || n == 1 ? STORED_SPREAD : STORED_BODY);
    }
    scene_sync(scene);
}

static void deliver_all(struct scene *scene)
{
    scene_start(scene);
    for (unsigned n = 0; n < MESSAGES; n++)
        if (!scene->jobs[n].reports)
            scene_add(scene, n, false, "/home/joe", "Maildir");
    scene_run(scene);
}

/* What lies in new/. */
struct found {
    struct scene *scene;
    unsigned copies[MESSAGES], partial, other;
};

static void look_at(void *ctx, const char *name)
{
    static char memory[LARGE_LEN + 8192];
    struct found *found = ctx;
    struct buffer expected;
    char path[512];
    unsigned n = MESSAGES;
    buffer_init(&expected, memory, sizeof memory);
    snprintf(path, sizeof path, "/home/joe/Maildir/new/%s", name);
    struct view text = scene_read(found->scene, path);
    struct view subject = text;
    view_take_until(&subject, '\n');
    view_take_until(&subject, '\n');
    if (view_starts(subject, VIEW("Subject: large")))
        n = MESSAGES - 1;
    else if (view_starts(subject, VIEW("Subject: ")))
        n = (unsigned)(subject.at[9] - '0');
    if (n >= MESSAGES)
        found->other++;
    else if (form_in_box(n, &expected) && view_equal(text, buffer_view(&expected)))
        found->copies[n]++;
    else
        found->partial++;
    const char *size = strstr(name, ",S=");
    assert_true(size && strtoull(size + 3, NULL, 10) == text.len);
}

static struct found find_all(struct scene *scene)
{
    struct found found = { .scene = scene };
    scene_list(scene, "/home/joe/Maildir/new", look_at, &found);
    return found;
}

/* E2, E6 */
static void test_delivery(void **state)
{
    struct scene scene;
    (void)state;
    prepare(&scene);
    deliver_all(&scene);
    struct found found = find_all(&scene);
    for (unsigned n = 0; n < MESSAGES; n++) {
        assert_int_equal(scene.jobs[n].reports, 1);
        assert_int_equal(scene.jobs[n].result.outcome, IPC_DELIVERED);
        assert_int_equal(found.copies[n], 1);
    }
    assert_int_equal(found.partial + found.other, 0);
    assert_int_equal(scene_list(&scene, "/home/joe/Maildir/tmp", NULL, NULL), 0);
    assert_int_equal(scene_list(&scene, "/home/joe/Maildir", NULL, NULL), 3);
    assert_int_equal(scene.alarms, 0);
    scene_close(&scene);
}

/* A second attempt at what was delivered, though nobody heard of it, makes no second copy. */
static void test_again(void **state)
{
    struct scene scene;
    (void)state;
    prepare(&scene);
    for (int attempt = 1; attempt <= 3; attempt++) {
        memset(scene.jobs, 0, sizeof scene.jobs);
        scene.reported = 0;
        deliver_all(&scene);
        struct found found = find_all(&scene);
        for (unsigned n = 0; n < MESSAGES; n++) {
            assert_int_equal(scene.jobs[n].result.outcome, IPC_DELIVERED);
            assert_int_equal(found.copies[n], 1);
        }
        deliver_free(scene.deliver);
        scene.deliver = NULL;
    }
    assert_int_equal(scene_list(&scene, "/home/joe/Maildir/new", NULL, NULL), MESSAGES);
    assert_int_equal(scene_list(&scene, "/home/joe/Maildir/tmp", NULL, NULL), 0);
    scene_close(&scene);
}

/* After the crash: nothing partial, everything that was reported; then the rest is delivered, each message once. */
static void check_after_crash(const struct scene *before, struct mem_disk *disk, struct mem_choice choice, uint64_t op)
{
    struct scene scene;
    mem_disk_crash(disk, choice);
    scene_open_on(&scene, 2, disk, before);
    struct found found = find_all(&scene);
    for (unsigned n = 0; n < MESSAGES; n++) {
        scene.jobs[n].reports = before->jobs[n].result.outcome == IPC_DELIVERED;
        if (scene.jobs[n].reports && found.copies[n] != 1)
            fail_msg("crash at operation %u, choice %d/%llu: message %u was reported and is gone", (unsigned)op,
                     (int)choice.how, (unsigned long long)choice.value, n);
    }
    if (found.partial || found.other)
        fail_msg("crash at operation %u, choice %d/%llu: a partial file", (unsigned)op, (int)choice.how,
                 (unsigned long long)choice.value);
    deliver_all(&scene);
    found = find_all(&scene);
    for (unsigned n = 0; n < MESSAGES; n++)
        if (found.copies[n] != 1)
            fail_msg("crash at operation %u: %u copies of message %u after the second attempt", (unsigned)op,
                     found.copies[n], n);
    scene_close(&scene);
}

static unsigned choices(size_t units, struct mem_choice *to, uint64_t seed)
{
    unsigned count = 0;
    to[count++] = (struct mem_choice){ MEM_KEEP_NONE, 0 };
    to[count++] = (struct mem_choice){ MEM_KEEP_ALL, 0 };
    for (uint64_t set = 0; units <= 4 && set < (UINT64_C(1) << units); set++)
        to[count++] = (struct mem_choice){ MEM_KEEP_SET, set };
    for (int i = 0; units > 4 && i < 10; i++)
        to[count++] = (struct mem_choice){ MEM_KEEP_RANDOM, test_random(&seed) };
    return count;
}

/* The file system cannot be synced as a whole. */
static const struct mem_fault no_syncfs = { MEM_OP(OS_SYNC_FS), 0, UINT64_MAX, OS_UNSUPPORTED, 0 };

static void crash_at_each(bool singly)
{
    struct scene prepared, scene;
    struct mem_disk *disk;
    bool cut = true;
    prepare(&prepared);
    for (uint64_t op = 0; cut; op++) {
        struct mem_choice list[32];
        scene_open_on(&scene, op + 10, mem_disk_clone(mem_host_disk(prepared.host)), &prepared);
        disk = mem_host_disk(scene.host);
        if (singly)
            mem_disk_fail_at(disk, &no_syncfs);
        mem_disk_cut_at(disk, op);
        deliver_all(&scene);
        cut = mem_disk_is_cut(disk);
        unsigned count = choices(mem_disk_unsynced_count(disk), list, op);
        for (unsigned i = 0; i < count; i++)
            check_after_crash(&scene, mem_disk_clone(disk), list[i], op);
        scene_close(&scene);
    }
    scene_close(&prepared);
}

/* H152 */
static void test_crash(void **state)
{
    (void)state;
    crash_at_each(false);
}

/* H152 */
static void test_crash_singly(void **state)
{
    (void)state;
    crash_at_each(true);
}

/* A sync that fails once: what it was to make durable may be lost although all later ones succeed */
static void test_failed_barrier(void **state)
{
    static const unsigned kinds[] = { MEM_OP(OS_SYNC_FS), MEM_OP(OS_SYNC), MEM_OP(OS_SYNC_DIR) };
    struct scene prepared, scene;
    (void)state;
    prepare(&prepared);
    for (uint64_t n = 0; n < 8 * ROWS(kinds); n++) {
        scene_open_on(&scene, n, mem_disk_clone(mem_host_disk(prepared.host)), &prepared);
        struct mem_disk *disk = mem_host_disk(scene.host);
        if (kinds[n % ROWS(kinds)] != MEM_OP(OS_SYNC_FS))
            mem_disk_fail_at(disk, &no_syncfs);
        mem_disk_fail_at(disk, &(struct mem_fault){ kinds[n % ROWS(kinds)], n / ROWS(kinds), 1, OS_IO, 0 });
        deliver_all(&scene);
        struct mem_disk *after = mem_disk_clone(disk);
        check_after_crash(&scene, after, (struct mem_choice){ MEM_KEEP_NONE, 0 }, n);
        check_after_crash(&scene, mem_disk_clone(disk), (struct mem_choice){ MEM_KEEP_RANDOM, n }, n);
        scene_close(&scene);
    }
    scene_close(&prepared);
}

static void fail_at_each(enum os_status status, uint64_t times)
{
    struct scene prepared, scene;
    bool reached = true;
    prepare(&prepared);
    for (uint64_t op = 0; reached; op++) {
        scene_open_on(&scene, op + 10, mem_disk_clone(mem_host_disk(prepared.host)), &prepared);
        struct mem_disk *disk = mem_host_disk(scene.host);
        uint64_t before = mem_disk_op_count(disk);
        mem_disk_fail_at(disk, &(struct mem_fault){ 0, op, times, status, 3 });
        deliver_all(&scene);
        reached = mem_disk_op_count(disk) - before > op;
        mem_disk_heal(disk);
        struct found found = find_all(&scene);
        for (unsigned n = 0; n < MESSAGES; n++) {
            bool delivered = scene.jobs[n].result.outcome == IPC_DELIVERED;
            if (scene.jobs[n].reports != 1 || found.copies[n] > 1 || (delivered && found.copies[n] != 1) ||
                scene.jobs[n].result.outcome == IPC_FAILED)
                fail_msg("\"%s\" at operation %u: message %u, %u reports, %u copies: %.*s", os_status_text(status),
                         (unsigned)op, n, scene.jobs[n].reports, found.copies[n],
                         VIEW_FORMAT(deliver_result_text(&scene.jobs[n].result)));
        }
        assert_int_equal(found.partial + found.other, 0);
        scene_close(&scene);
    }
    scene_close(&prepared);
}

/* H157 */
static void test_failures(void **state)
{
    static const enum os_status statuses[] = { OS_NO_SPACE, OS_QUOTA, OS_TOO_LARGE, OS_DENIED, OS_IO, OS_READ_ONLY };
    (void)state;
    for (size_t i = 0; i < ROWS(statuses); i++) {
        fail_at_each(statuses[i], 1);
        fail_at_each(statuses[i], UINT64_MAX);
    }
}

/* H157 */
static void test_words(void **state)
{
    static const struct {
        enum os_status status;
        unsigned code, subject, detail;
    } rows[] = {
        { OS_QUOTA, 452, 2, 2 },     { OS_TOO_LARGE, 452, 2, 2 }, { OS_NO_SPACE, 452, 3, 1 },
        { OS_READ_ONLY, 451, 3, 0 }, { OS_IO, 451, 3, 0 },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct scene scene;
        prepare(&scene);
        mem_disk_fail_at(mem_host_disk(scene.host),
                         &(struct mem_fault){ MEM_OP(OS_WRITE), 0, UINT64_MAX, rows[i].status, 0 });
        deliver_all(&scene);
        const struct deliver_result *r = &scene.jobs[0].result;
        const char *row = os_status_text(rows[i].status);
        assert_row(r->outcome == IPC_DEFERRED && r->code == rows[i].code && r->status[0] == 4, row);
        assert_row(r->status[1] == rows[i].subject && r->status[2] == rows[i].detail, row);
        char expected[200];
        snprintf(expected, sizeof expected, "cannot write to /home/joe/Maildir: %s", row);
        assert_row(view_equal(deliver_result_text(r), view_of(expected)), row);
        assert_int_equal(scene_list(&scene, "/home/joe/Maildir/tmp", NULL, NULL), 0);
        scene_close(&scene);
    }
}

static void deliver_rotten(enum stored_form form, size_t size)
{
    struct scene scene;
    struct arena memory;
    scene_open(&scene, 1);
    arena_init(&memory, size, size + 64);
    char *content = arena_alloc(&memory, size);
    memset(content, 'x', size);
    memcpy(content, "a: b\r\n\r\n", 8);
    memcpy(content + size - 2, "\r\n", 2);
    scene_store(&scene, 0, VIEW("a@b"), VIEW("Received: x\r\n"), (struct view){ content, size }, form);
    scene_sync(&scene);
    /* Spread content lies before the record, the other behind its head. */
    uint64_t at = scene.stored[0].place.offset;
    at = form == STORED_SPREAD ? at - size / 2 : at + scene.stored[0].place.head_size + size / 2;
    assert_true(mem_disk_rot(mem_host_disk(scene.host), "spool/1", at, 1));
    scene_start(&scene);
    scene_add(&scene, 0, false, "/home/joe", "Maildir");
    assert_true(scene_run(&scene));
    assert_int_equal(scene.jobs[0].reports, 1);
    assert_int_equal(scene.jobs[0].result.outcome, IPC_DEFERRED);
    assert_int_equal(scene_list(&scene, "/home/joe/Maildir/new", NULL, NULL), 0);
    assert_int_equal(scene_list(&scene, "/home/joe/Maildir/tmp", NULL, NULL), 0);
    arena_reset(&memory);
    scene_close(&scene);
}

/* Content that the disk gives back with one bit changed goes into no mailbox. */
static void test_rotten_content(void **state)
{
    (void)state;
    deliver_rotten(STORED_BODY, 4000);
    deliver_rotten(STORED_SPREAD, 4000);
    deliver_rotten(STORED_BODY, 2 * DELIVER_WHOLE_MAX);
    deliver_rotten(STORED_SPREAD, 2 * DELIVER_WHOLE_MAX);
}

/* A home that is not there is not made; a link where a folder belongs is not followed. */
static void test_places(void **state)
{
    struct scene scene;
    (void)state;
    prepare(&scene);
    mem_disk_symlink(mem_host_disk(scene.host), "/home/joe/Linked", "/var");
    scene_start(&scene);
    scene_add(&scene, 0, false, "/home/nobody", "Maildir");
    scene_add(&scene, 1, false, "/home/joe", "Linked");
    scene_add(&scene, 2, false, "/home/joe", "deep/er/Maildir");
    scene_add(&scene, 3, false, "/home/joe", "Linked/Maildir");
    scene_run(&scene);
    assert_int_equal(scene.jobs[0].result.outcome, IPC_DEFERRED);
    assert_int_equal(scene.jobs[1].result.outcome, IPC_DEFERRED);
    assert_int_equal(scene.jobs[2].result.outcome, IPC_DELIVERED);
    assert_int_equal(scene.jobs[3].result.outcome, IPC_DEFERRED);
    assert_int_equal(scene_list(&scene, "/home/joe/deep/er/Maildir/new", NULL, NULL), 1);
    assert_int_equal(scene_list(&scene, "/var", NULL, NULL), 1);
    assert_int_equal(scene_list(&scene, "/home/nobody", NULL, NULL), 0);
    scene_close(&scene);
}

/* H157: each number of bytes of each file is written, then there is no more */
static void test_quota_at_each_byte(void **state)
{
    static const enum os_status statuses[] = { OS_NO_SPACE, OS_QUOTA, OS_TOO_LARGE };
    struct scene prepared, scene;
    (void)state;
    prepare(&prepared);
    for (uint64_t n = 0; n < 3 * 130; n++) {
        scene_open_on(&scene, n, mem_disk_clone(mem_host_disk(prepared.host)), &prepared);
        mem_disk_fail_at(mem_host_disk(scene.host),
                         &(struct mem_fault){ MEM_OP(OS_WRITE), n % 4, UINT64_MAX, statuses[n % 3], n / 3 });
        deliver_all(&scene);
        mem_disk_heal(mem_host_disk(scene.host));
        struct found found = find_all(&scene);
        unsigned delivered = 0;
        for (unsigned i = 0; i < MESSAGES; i++)
            delivered += scene.jobs[i].result.outcome == IPC_DELIVERED;
        assert_true(delivered < MESSAGES && delivered == scene_list(&scene, "/home/joe/Maildir/new", NULL, NULL));
        assert_int_equal(found.partial + found.other, 0);
        assert_int_equal(scene_list(&scene, "/home/joe/Maildir/tmp", NULL, NULL), 0);
        scene_close(&scene);
    }
    scene_close(&prepared);
}

/* ---- links that change under us ---- */

struct flip {
    struct os *os;
    struct mem_disk *disk;
    uint64_t at, seen;
    bool busy;
};

/* Before operation number `at` the attacker puts a link where new/ was. */
static enum os_status before_op(void *ctx, const struct mem_disk_op *op)
{
    struct flip *flip = ctx;
    enum os_status status;
    (void)op;
    if (flip->busy || flip->seen++ != flip->at)
        return OS_OK;
    flip->busy = true;
    struct os_dir *root = os_dir_path(flip->os, "/", &status);
    struct os_op aside = { .kind = OS_RENAME, .dir = root, .name = "home/joe/Maildir/new", .to_dir = root };
    aside.to_name = "home/joe/Maildir/aside";
    os_run_ops(flip->os, &aside, 1);
    struct os_op tmp = { .kind = OS_RENAME, .dir = root, .name = "home/joe/Maildir/tmp", .to_dir = root };
    tmp.to_name = "home/joe/Maildir/aside2";
    os_run_ops(flip->os, &tmp, 1);
    os_dir_close(root);
    mem_disk_symlink(flip->disk, "/home/joe/Maildir/new", "/var/mail");
    mem_disk_symlink(flip->disk, "/home/joe/Maildir/tmp", "/var/mail");
    flip->busy = false;
    return OS_OK;
}

/* H155: at every step, not only now and then */
static void test_flipped_links(void **state)
{
    struct scene prepared, scene;
    bool reached = true;
    (void)state;
    prepare(&prepared);
    for (uint64_t at = 0; reached; at++) {
        scene_open_on(&scene, at, mem_disk_clone(mem_host_disk(prepared.host)), &prepared);
        struct flip flip = { .os = mem_process_new(scene.host), .disk = mem_host_disk(scene.host), .at = at };
        mem_disk_on_op(mem_host_disk(scene.host), before_op, &flip);
        deliver_all(&scene);
        mem_disk_on_op(mem_host_disk(scene.host), NULL, NULL);
        reached = flip.seen > at;
        assert_int_equal(scene_list(&scene, "/var/mail", NULL, NULL), 0);
        for (unsigned n = 0; n < MESSAGES; n++)
            assert_int_equal(scene.jobs[n].reports, 1);
        scene_close(&scene);
    }
    scene_close(&prepared);
}

/* ---- many ---- */

#define MANY  100000
#define BOXES 100

struct many {
    unsigned done;
    char (*names)[DELIVER_NAME_SIZE];
};

static void on_many(void *ctx, struct deliver_job *job)
{
    struct many *many = ctx;
    assert_int_equal(job->result.outcome, IPC_DELIVERED);
    strcpy(many->names[many->done++], job->new_name);
    free(job);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* H152: the clock stands still */
static void test_many(void **state)
{
    struct scene scene;
    static char boxes[BOXES][16];
    struct many many = { .names = calloc(MANY, sizeof *many.names) };
    struct mail_id_maker maker = { 0, 0 };
    (void)state;
    scene_open(&scene, 5);
    mem_host_set_delays(scene.host, 1, 1);
    mem_disk_fail_at(mem_host_disk(scene.host), &no_syncfs);
    scene_store(&scene, 0, VIEW("a@b"), VIEW_NONE, VIEW("\r\n"), STORED_BODY);
    struct deliver *deliver = deliver_new(scene.os, &(struct deliver_owner){ &many, on_many, NULL },
                                          &(struct deliver_settings){ VIEW("mx"), NULL, 0660 });
    for (unsigned n = 0; n < MANY; n++) {
        struct deliver_job *job = calloc(1, sizeof *job);
        snprintf(boxes[n % BOXES], sizeof *boxes, "box%u", n % BOXES);
        *job = (struct deliver_job){ .id = mail_id_make(&maker, 1795296600000000, 0), .place = scene.stored[0].place };
        job->content = scene.segment;
        job->recipient = n % 40;
        job->base = "/home/joe";
        job->rest = boxes[n % BOXES];
        deliver_add(deliver, job);
        if (n % 1000 == 999)
            mem_world_run(scene.world, 3600000000);
    }
    mem_world_run(scene.world, 3600000000);
    assert_int_equal(many.done, MANY);
    unsigned files = 0;
    for (unsigned n = 0; n < BOXES; n++) {
        char path[64];
        snprintf(path, sizeof path, "/home/joe/box%u/new", n);
        files += scene_list(&scene, path, NULL, NULL);
    }
    assert_int_equal(files, MANY);
    qsort(many.names, MANY, sizeof *many.names, compare_names);
    for (unsigned n = 1; n < MANY; n++)
        assert_string_not_equal(many.names[n - 1], many.names[n]);
    free(many.names);
    deliver_free(deliver);
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delivery),
        cmocka_unit_test(test_again),
        cmocka_unit_test(test_crash),
        cmocka_unit_test(test_crash_singly),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_rotten_content),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_quota_at_each_byte),
        cmocka_unit_test(test_flipped_links),
        cmocka_unit_test(test_failed_barrier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
