#include "deliver/mbox.h"

#include "base/test.h"
#include "deliver/scene_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGES 4
#define LINES    9000u /* of the large message */

static struct view content_of(unsigned n)
{
    static char memory[MESSAGES][LINES * 40];
    struct buffer out = BUFFER_OF(memory[n]);
    buffer_addf(&out, "Subject: %u\r\n\r\nFrom inside %u\r\n", n, n);
    for (unsigned line = 0; n == 2 && line < LINES; line++)
        buffer_addf(&out, "%08u From of a large one\r\n", line);
    return buffer_view(&out);
}

static void prepare(struct scene *scene)
{
    scene_open(scene, 1);
    for (unsigned n = 0; n < MESSAGES; n++)
        scene_store(scene, n, VIEW("a@b"), VIEW_NONE, content_of(n), n == 2 ? STORED_SPREAD : STORED_BODY);
    scene_sync(scene);
}

/* An mbox of message 0..count-1 in the order found; how many whole ones, and whether there is nothing else. */
struct parsed {
    unsigned whole[MESSAGES], count, other;
};

static bool is_from_line(struct view line)
{
    return view_starts(line, VIEW("From a@b ")) && line.len == sizeof "From a@b Sat Nov 21 21:30:00 2026\n" - 1;
}

static struct view take_line(struct view *text)
{
    return view_take(text, view_find(*text, '\n') + 1);
}

/* The text after its From_ line, up to the next one. */
static struct view take_message(struct view *text)
{
    const char *start = text->at;
    bool empty = true;
    while (text->len && !(empty && view_starts(*text, VIEW("From "))))
        empty = take_line(text).len == 1;
    return (struct view){ start, (size_t)(text->at - start) };
}

static unsigned message_in(struct view text)
{
    static char memory[LINES * 40];
    for (unsigned n = 0; n < MESSAGES; n++) {
        struct buffer out = BUFFER_OF(memory);
        struct view content = content_of(n);
        buffer_add_text(&out, "Return-Path: <a@b>\n");
        while (content.len) {
            struct view line = take_line(&content);
            if (view_starts(line, VIEW("From ")))
                buffer_add_char(&out, '>');
            buffer_add(&out, view_slice(line, 0, line.len - 2));
            buffer_add_char(&out, '\n');
        }
        buffer_add_char(&out, '\n');
        if (view_equal(text, buffer_view(&out)))
            return n;
    }
    return MESSAGES;
}

static struct parsed parse(struct view text)
{
    struct parsed parsed = { 0 };
    while (text.len) {
        struct view line = take_line(&text);
        unsigned n = is_from_line(line) ? message_in(take_message(&text)) : MESSAGES;
        if (n < MESSAGES)
            parsed.whole[n]++;
        else
            parsed.other++;
        parsed.count++;
    }
    return parsed;
}

static struct parsed parse_file(struct scene *scene)
{
    struct view text = scene_read(scene, "/var/mail/joe");
    struct parsed parsed = parse(text);
    return parsed;
}

static void deliver_all(struct scene *scene)
{
    scene_start(scene);
    for (unsigned n = 0; n < MESSAGES; n++)
        if (!scene->jobs[n].reports)
            scene_add(scene, n, true, "/var/mail", "joe");
    scene_run(scene);
}

static void make_file(struct scene *scene, const char *name, const char *text)
{
    enum os_status status;
    struct os_file *file = NULL;
    const struct os_slice slice = { text, strlen(text) };
    struct os_dir *root = os_dir_path(scene->os, "/", &status);
    struct os_op ops[] = {
        { .kind = OS_OPEN, .dir = root, .name = name, .file = &file, .flags = OS_FOR_WRITE | OS_CREATE, .mode = 0660 },
        { .kind = OS_WRITE, .file = &file, .slices = &slice, .slice_count = 1 },
        { .kind = OS_SYNC, .file = &file },
        { .kind = OS_CLOSE, .file = &file },
    };
    os_run_ops(scene->os, ops, 4);
    assert_int_equal(ops[1].status, OS_OK);
    os_dir_close(root);
    scene_sync(scene);
}

static struct os_stat stat_of(struct scene *scene, const char *name)
{
    enum os_status status;
    struct os_stat stat = { 0 };
    struct os_dir *root = os_dir_path(scene->os, "/", &status);
    struct os_op op = { .kind = OS_STAT, .dir = root, .name = name, .stat = &stat };
    os_run_ops(scene->os, &op, 1);
    os_dir_close(root);
    return stat;
}

/* E1 */
static void test_delivery(void **state)
{
    struct scene scene;
    (void)state;
    prepare(&scene);
    deliver_all(&scene);
    struct os_stat stat = stat_of(&scene, "var/mail/joe");
    struct parsed parsed = parse_file(&scene);
    for (unsigned n = 0; n < MESSAGES; n++) {
        assert_int_equal(scene.jobs[n].result.outcome, IPC_DELIVERED);
        assert_int_equal(parsed.whole[n], 1);
    }
    assert_int_equal(parsed.other, 0);
    assert_int_equal(stat.mode, 0660);
    assert_true(stat.accessed_us < stat.modified_us); /* "You have new mail" */
    assert_int_equal(scene_list(&scene, "/var/mail", NULL, NULL), 1);
    scene_close(&scene);
}

/* H153: whatever the last writer left, our first line stands alone */
static void test_torn_end(void **state)
{
    static const struct {
        const char *before, *between;
    } rows[] = {
        { "From x\nS: 1\n\nb\n\n", "" },
        { "From x\nS: 1\n\nb\n", "\n" },
        { "From x\nS: 1\n\ntor", "\n\n" },
        { "\n", "" },
        { "x", "\n\n" },
        { "", "" },
        { "From x\nS: 1\n\n", "" },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct scene scene;
        char expected[200];
        prepare(&scene);
        make_file(&scene, "var/mail/joe", rows[i].before);
        deliver_all(&scene);
        struct view text = scene_read(&scene, "/var/mail/joe");
        snprintf(expected, sizeof expected, "%s%sFrom a@b ", rows[i].before, rows[i].between);
        assert_row(view_starts(text, view_of(expected)), rows[i].before);
        view_take(&text, strlen(rows[i].before) + strlen(rows[i].between));
        struct parsed parsed = parse(text);
        assert_row(parsed.count == MESSAGES && parsed.other == 0, rows[i].before);
        scene_close(&scene);
    }
}

/* ---- locks ---- */

static void remove_lock(void *ctx)
{
    struct scene *scene = ctx;
    enum os_status status;
    struct os_dir *root = os_dir_path(scene->os, "/", &status);
    struct os_op op = { .kind = OS_UNLINK, .dir = root, .name = "var/mail/joe.lock" };
    os_run_ops(scene->os, &op, 1);
    os_dir_close(root);
}

/* H153 */
static void test_dotlock(void **state)
{
    static const struct {
        const char *text;
        uint64_t age_s, freed_after_s; /* 0: never */
        bool delivered;
        uint64_t took_s_min, took_s_max;
    } rows[] = {
        { "1234\n", 10, 0, false, 30, 32 }, { "1234\n", 10, 5, true, 5, 7 },   { "1234\n", 290, 0, true, 10, 12 },
        { "1234\n", 400, 0, true, 0, 1 },   { "gonets\n", 10, 0, true, 0, 1 }, { "gonets", 10, 0, false, 30, 32 },
        { "", 10, 0, false, 30, 32 },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct scene scene;
        char row[40];
        snprintf(row, sizeof row, "\"%.7s\", %u s old", rows[i].text, (unsigned)rows[i].age_s);
        prepare(&scene);
        make_file(&scene, "var/mail/joe.lock", rows[i].text);
        mem_host_set_wall(scene.host, os_wall_us(scene.os) + rows[i].age_s * 1000000);
        uint64_t begin = mem_world_now_us(scene.world);
        if (rows[i].freed_after_s)
            mem_world_at(scene.world, begin + rows[i].freed_after_s * 1000000, remove_lock, &scene);
        deliver_all(&scene);
        uint64_t took = (scene.jobs[0].reported_us - begin) / 1000000;
        assert_row(scene.jobs[0].reports == 1, row);
        assert_row((scene.jobs[0].result.outcome == IPC_DELIVERED) == rows[i].delivered, row);
        if (took < rows[i].took_s_min || took > rows[i].took_s_max)
            fail_msg("%s: took %u s", row, (unsigned)took);
        if (!rows[i].delivered)
            assert_row(view_equal(deliver_result_text(&scene.jobs[0].result),
                                  VIEW("cannot lock /var/mail/joe: somebody else holds the lock")) ||
                           scene.jobs[0].result.code == 450,
                       row);
        assert_row(scene_list(&scene, "/var/mail", NULL, NULL) == 1 || !rows[i].delivered, row);
        scene_close(&scene);
    }
}

/* H153: the fcntl lock of another program */
static void test_range_lock(void **state)
{
    struct scene scene;
    struct os_file *file = NULL;
    enum os_status status;
    (void)state;
    prepare(&scene);
    make_file(&scene, "var/mail/joe", "");
    struct os *other = mem_process_new(scene.host);
    struct os_dir *root = os_dir_path(other, "/", &status);
    struct os_op ops[] = {
        { .kind = OS_OPEN, .dir = root, .name = "var/mail/joe", .file = &file, .flags = OS_FOR_WRITE | OS_FOR_READ },
        { .kind = OS_LOCK_RANGE, .file = &file },
    };
    os_run_ops(other, ops, 2);
    assert_int_equal(ops[1].status, OS_OK);
    deliver_all(&scene);
    for (unsigned n = 0; n < MESSAGES; n++)
        assert_int_equal(scene.jobs[n].result.outcome, IPC_DEFERRED);
    os_file_close(file);
    os_dir_close(root);
    deliver_free(scene.deliver);
    memset(scene.jobs, 0, sizeof scene.jobs);
    deliver_all(&scene);
    assert_int_equal(parse_file(&scene).count, MESSAGES);
    scene_close(&scene);
}

/* A directory that only others may write to: no NAME.lock, but the mail comes. */
static void test_no_dotlock(void **state)
{
    struct scene scene;
    (void)state;
    prepare(&scene);
    make_file(&scene, "var/mail/joe", "");
    struct os *root = scene.os;
    enum os_status status;
    struct os_file *file = NULL;
    struct os_dir *dir = os_dir_path(root, "/var/mail", &status);
    struct os_op own[] = { { .kind = OS_OPEN, .dir = dir, .name = "joe", .file = &file, .flags = OS_FOR_WRITE },
                           { .kind = OS_CHOWN, .file = &file, .owner = { 1000, 8 } } };
    os_run_ops(root, own, 2);
    os_file_close(file);
    os_dir_close(dir);
    mem_process_set_user(scene.os, 1000, 1000);
    deliver_all(&scene);
    assert_int_equal(scene.jobs[0].result.outcome, IPC_DELIVERED);
    struct parsed parsed = parse_file(&scene);
    assert_true(parsed.count == MESSAGES && parsed.other == 0);
    scene_close(&scene);
}

/* H155 */
static void test_what_is_refused(void **state)
{
    static const struct {
        const char *row;
        bool symlink, hard_link, folder;
        uint32_t owner;
        bool delivered;
    } rows[] = {
        { "plain", .owner = DELIVER_ANY_USER, .delivered = true },
        { "its owner's", .owner = 0, .delivered = true },
        { "another's", .owner = 1000 },
        { "symbolic link", .symlink = true, .owner = DELIVER_ANY_USER },
        { "two names", .hard_link = true, .owner = DELIVER_ANY_USER },
        { "folder", .folder = true, .owner = DELIVER_ANY_USER },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct scene scene;
        enum os_status status;
        prepare(&scene);
        make_file(&scene, "var/secret", "secret");
        struct os_dir *root = os_dir_path(scene.os, "/", &status);
        struct os_op op = {
            .kind = OS_LINK, .dir = root, .name = "var/secret", .to_dir = root, .to_name = "var/mail/joe"
        };
        if (rows[i].folder)
            op = (struct os_op){ .kind = OS_MAKE_DIR, .dir = root, .name = "var/mail/joe", .mode = 0777 };
        if (rows[i].hard_link || rows[i].folder)
            os_run_ops(scene.os, &op, 1);
        if (rows[i].symlink)
            mem_disk_symlink(mem_host_disk(scene.host), "/var/mail/joe", "/var/secret");
        os_dir_close(root);
        scene_start(&scene);
        scene_add(&scene, 0, true, "/var/mail", "joe");
        scene.jobs[0].job.owner = rows[i].owner;
        scene_run(&scene);
        enum ipc_outcome expected = rows[i].delivered ? IPC_DELIVERED : IPC_DEFERRED;
        assert_row(scene.jobs[0].result.outcome == expected, rows[i].row);
        struct view secret = scene_read(&scene, "/var/secret");
        assert_row(view_equal(secret, VIEW("secret")), rows[i].row);
        scene_close(&scene);
    }
}

/* ---- links that change under us ---- */

struct flip {
    struct os *os;
    struct mem_disk *disk;
    uint64_t at, seen;
    bool busy, hard;
};

/* Before operation number `at` the attacker puts a link where the mbox was. */
static enum os_status before_op(void *ctx, const struct mem_disk_op *op)
{
    struct flip *flip = ctx;
    enum os_status status;
    (void)op;
    if (flip->busy || flip->seen++ != flip->at)
        return OS_OK;
    flip->busy = true;
    struct os_dir *root = os_dir_path(flip->os, "/", &status);
    struct os_op ops[] = {
        { .kind = OS_RENAME, .dir = root, .name = "var/mail/joe", .to_dir = root, .to_name = "var/mail/aside" },
        { .kind = OS_LINK, .dir = root, .name = "var/secret", .to_dir = root, .to_name = "var/mail/joe" },
    };
    os_run_ops(flip->os, ops, flip->hard ? 2 : 1);
    os_dir_close(root);
    if (!flip->hard)
        mem_disk_symlink(flip->disk, "/var/mail/joe", "/var/secret");
    flip->busy = false;
    return OS_OK;
}

/* H155: at every step, not only now and then */
static void test_flipped_links(void **state)
{
    (void)state;
    for (int hard = 0; hard < 2; hard++) {
        struct scene prepared, scene;
        bool reached = true;
        prepare(&prepared);
        make_file(&prepared, "var/secret", "secret");
        for (uint64_t at = 0; reached; at++) {
            scene_open_on(&scene, at, mem_disk_clone(mem_host_disk(prepared.host)), &prepared);
            struct flip flip = { mem_process_new(scene.host), mem_host_disk(scene.host), at, 0, false, hard };
            mem_disk_on_op(flip.disk, before_op, &flip);
            deliver_all(&scene);
            mem_disk_on_op(flip.disk, NULL, NULL);
            reached = flip.seen > at;
            if (!view_equal(scene_read(&scene, "/var/secret"), VIEW("secret")))
                fail_msg("written through a link that came before operation %u", (unsigned)at);
            scene_close(&scene);
        }
        scene_close(&prepared);
    }
}

/* ---- crash and failure ---- */

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

/* What was reported is there; the rest comes with the next attempt; nothing runs into a whole message. */
static void check_after_crash(const struct scene *before, struct mem_disk *disk, struct mem_choice choice, uint64_t op)
{
    struct scene scene;
    mem_disk_crash(disk, choice);
    scene_open_on(&scene, 2, disk, before);
    struct parsed parsed = parse_file(&scene);
    for (unsigned n = 0; n < MESSAGES; n++) {
        scene.jobs[n].reports = before->jobs[n].result.outcome == IPC_DELIVERED;
        if (scene.jobs[n].reports && parsed.whole[n] != 1)
            fail_msg("crash at operation %u, choice %d/%llu: message %u was reported and is gone", (unsigned)op,
                     (int)choice.how, (unsigned long long)choice.value, n);
    }
    /* A NAME.lock without its text may be anybody's: it has to grow old. */
    mem_host_set_wall(scene.host, os_wall_us(scene.os) + 2 * DELIVER_MBOX_LOCK_STALE_US);
    deliver_all(&scene);
    parsed = parse_file(&scene);
    for (unsigned n = 0; n < MESSAGES; n++)
        if (parsed.whole[n] < 1)
            fail_msg("crash at operation %u, choice %d/%llu: message %u is not there after the second attempt: %.*s",
                     (unsigned)op, (int)choice.how, (unsigned long long)choice.value, n,
                     VIEW_FORMAT(deliver_result_text(&scene.jobs[n].result)));
    scene_close(&scene);
}

/* H153 */
static void test_crash(void **state)
{
    struct scene prepared, scene;
    bool cut = true;
    (void)state;
    prepare(&prepared);
    for (uint64_t op = 0; cut; op++) {
        struct mem_choice list[32];
        scene_open_on(&scene, op + 10, mem_disk_clone(mem_host_disk(prepared.host)), &prepared);
        struct mem_disk *disk = mem_host_disk(scene.host);
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

/* A sync that fails once: what it was to make durable may be lost although all later ones succeed. */
static void test_failed_sync(void **state)
{
    static const unsigned kinds[] = { MEM_OP(OS_SYNC), MEM_OP(OS_SYNC_DIR) };
    struct scene prepared, scene;
    (void)state;
    prepare(&prepared);
    for (uint64_t n = 0; n < 4 * ROWS(kinds); n++) {
        scene_open_on(&scene, n, mem_disk_clone(mem_host_disk(prepared.host)), &prepared);
        struct mem_disk *disk = mem_host_disk(scene.host);
        mem_disk_fail_at(disk, &(struct mem_fault){ kinds[n % ROWS(kinds)], n / ROWS(kinds), 1, OS_IO, 0 });
        deliver_all(&scene);
        struct mem_disk *after = mem_disk_clone(disk);
        check_after_crash(&scene, after, (struct mem_choice){ MEM_KEEP_NONE, 0 }, n);
        check_after_crash(&scene, mem_disk_clone(disk), (struct mem_choice){ MEM_KEEP_RANDOM, n }, n);
        scene_close(&scene);
    }
    scene_close(&prepared);
}

static void check_failure(struct scene *scene, const char *what, uint64_t n)
{
    struct view text = scene_read(scene, "/var/mail/joe");
    bool kept = !text.at || view_starts(text, VIEW("From x\nold\n\n"));
    view_take(&text, sizeof "From x\nold\n\n" - 1);
    struct parsed parsed = parse(text);
    for (unsigned i = 0; i < MESSAGES; i++)
        if (!kept || scene->jobs[i].reports != 1 || parsed.other ||
            (scene->jobs[i].result.outcome == IPC_DELIVERED) != (parsed.whole[i] == 1))
            fail_msg("%s at %u: message %u: %u reports, %u copies, %u others: %.*s", what, (unsigned)n, i,
                     scene->jobs[i].reports, parsed.whole[i], parsed.other,
                     VIEW_FORMAT(deliver_result_text(&scene->jobs[i].result)));
}

/* H153, H157: one operation fails */
static void test_failures(void **state)
{
    static const enum os_status statuses[] = { OS_NO_SPACE, OS_QUOTA, OS_TOO_LARGE, OS_IO };
    struct scene prepared, scene;
    (void)state;
    prepare(&prepared);
    make_file(&prepared, "var/mail/joe", "From x\nold\n\n");
    for (size_t i = 0; i < ROWS(statuses); i++) {
        bool reached = true;
        for (uint64_t op = 0; reached; op++) {
            scene_open_on(&scene, op + 10, mem_disk_clone(mem_host_disk(prepared.host)), &prepared);
            struct mem_disk *disk = mem_host_disk(scene.host);
            uint64_t before = mem_disk_op_count(disk);
            mem_disk_fail_at(disk, &(struct mem_fault){ 0, op, 1, statuses[i], 100 });
            deliver_all(&scene);
            reached = mem_disk_op_count(disk) - before > op;
            mem_disk_heal(disk);
            check_failure(&scene, os_status_text(statuses[i]), op);
            scene_close(&scene);
        }
    }
    scene_close(&prepared);
}

/* H157: each number of bytes of a write is put, then there is no more */
static void test_quota_at_each_byte(void **state)
{
    static const enum os_status statuses[] = { OS_QUOTA, OS_TOO_LARGE };
    struct scene prepared, scene;
    (void)state;
    prepare(&prepared);
    make_file(&prepared, "var/mail/joe", "From x\nold\n\n");
    for (uint64_t n = 0; n < 3 * 130; n++) {
        scene_open_on(&scene, n, mem_disk_clone(mem_host_disk(prepared.host)), &prepared);
        struct mem_disk *disk = mem_host_disk(scene.host);
        mem_disk_fail_at(disk, &(struct mem_fault){ MEM_OP(OS_WRITE), 1 + n % 3, 1, statuses[n % 2], n / 3 });
        deliver_all(&scene);
        mem_disk_heal(disk);
        check_failure(&scene, os_status_text(statuses[n % 2]), n / 3);
        scene_close(&scene);
    }
    scene_close(&prepared);
}

/* H153, H157: the disk is full after each number of bytes */
static void test_full_at_each_byte(void **state)
{
    struct scene prepared, scene;
    (void)state;
    prepare(&prepared);
    make_file(&prepared, "var/mail/joe", "From x\nold\n\n");
    for (uint64_t room = 0; room < 600; room++) {
        scene_open_on(&scene, room + 10, mem_disk_clone(mem_host_disk(prepared.host)), &prepared);
        struct mem_disk *disk = mem_host_disk(scene.host);
        mem_disk_set_room(disk, room);
        deliver_all(&scene);
        mem_disk_heal(disk);
        check_failure(&scene, "full", room);
        assert_int_not_equal(scene.jobs[2].result.outcome, IPC_DELIVERED);
        scene_close(&scene);
    }
    scene_close(&prepared);
}

/* ---- many ---- */

#define EACH 1000

struct deliverer {
    struct scene *scene;
    struct os *os;
    struct os_file *segment;
    struct deliver *deliver;
    unsigned added, delivered;
};

static void add_next(void *ctx);

static void on_many(void *ctx, struct deliver_job *job)
{
    struct deliverer *d = ctx;
    d->delivered += job->result.outcome == IPC_DELIVERED;
    free(job);
}

/* A few at a time, so that the two come between each other. */
static void add_next(void *ctx)
{
    struct deliverer *d = ctx;
    for (unsigned i = 0; i < 20 && d->added < EACH; i++, d->added++) {
        struct deliver_job *job = calloc(1, sizeof *job);
        const struct stored *stored = &d->scene->stored[d->added % 2];
        *job = (struct deliver_job){ .id = stored->id, .place = stored->place, .content = d->segment, .mbox = true };
        job->owner = DELIVER_ANY_USER;
        job->base = "/var/mail";
        job->rest = "joe";
        deliver_add(d->deliver, job);
    }
    if (d->added < EACH)
        mem_world_at(d->scene->world, mem_world_now_us(d->scene->world) + 300000, add_next, d);
}

static void start_deliverer(struct deliverer *d, struct scene *scene)
{
    enum os_status status;
    *d = (struct deliverer){ .scene = scene, .os = mem_process_new(scene->host) };
    struct os_dir *root = os_dir_path(d->os, "/", &status);
    struct os_op op = { .kind = OS_OPEN, .dir = root, .name = "spool/1", .file = &d->segment, .flags = OS_FOR_READ };
    os_run_ops(d->os, &op, 1);
    os_dir_close(root);
    d->deliver = deliver_new(d->os, &(struct deliver_owner){ d, on_many, NULL },
                             &(struct deliver_settings){ VIEW("mx"), NULL, 0660 });
    mem_world_at(scene->world, mem_world_now_us(scene->world) + 1, add_next, d);
}

/* Another program reads the mbox now and then, under the same locks. */
struct reader {
    struct scene *scene;
    struct os *os;
    unsigned reads, whole;
};

static void read_once(void *ctx)
{
    struct reader *reader = ctx;
    enum os_status status;
    struct os_file *file = NULL, *lock = NULL;
    struct os_dir *dir = os_dir_path(reader->os, "/var/mail", &status);
    struct os_op take[] = {
        { .kind = OS_OPEN, .dir = dir, .name = "joe", .file = &file, .flags = OS_FOR_READ | OS_FOR_WRITE },
        { .kind = OS_LOCK_RANGE, .file = &file },
        { .kind = OS_OPEN,
          .dir = dir,
          .name = "joe.lock",
          .file = &lock,
          .flags = OS_FOR_WRITE | OS_CREATE | OS_EXCLUSIVE },
    };
    take[2].after = &take[1];
    os_run_ops(reader->os, take, 3);
    if (take[2].status == OS_OK) {
        struct parsed parsed = parse_file(reader->scene);
        struct os_op give = { .kind = OS_UNLINK, .dir = dir, .name = "joe.lock" };
        assert_int_equal(parsed.other, 0);
        assert_true(parsed.count >= reader->whole);
        reader->whole = parsed.count;
        reader->reads++;
        os_run_ops(reader->os, &give, 1);
        os_file_close(lock);
    }
    if (file)
        os_file_close(file);
    os_dir_close(dir);
    if (reader->whole < 2 * EACH)
        mem_world_at(reader->scene->world, mem_world_now_us(reader->scene->world) + 1700000, read_once, reader);
}

/* H153 */
static void test_two_deliverers(void **state)
{
    struct scene scene;
    struct deliverer a, b;
    (void)state;
    prepare(&scene);
    start_deliverer(&a, &scene);
    start_deliverer(&b, &scene);
    struct reader reader = { .scene = &scene, .os = mem_process_new(scene.host) };
    mem_world_at(scene.world, mem_world_now_us(scene.world) + 500000, read_once, &reader);
    assert_true(scene_run(&scene));
    assert_int_equal(a.delivered, EACH);
    assert_int_equal(b.delivered, EACH);
    struct parsed parsed = parse_file(&scene);
    assert_int_equal(parsed.whole[0], EACH);
    assert_int_equal(parsed.whole[1], EACH);
    assert_int_equal(parsed.other, 0);
    assert_true(reader.reads > 5 && reader.whole == 2 * EACH);
    deliver_free(a.deliver);
    deliver_free(b.deliver);
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delivery),
        cmocka_unit_test(test_torn_end),
        cmocka_unit_test(test_dotlock),
        cmocka_unit_test(test_range_lock),
        cmocka_unit_test(test_no_dotlock),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_crash),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_full_at_each_byte),
        cmocka_unit_test(test_two_deliverers),
        cmocka_unit_test(test_quota_at_each_byte),
        cmocka_unit_test(test_flipped_links),
        cmocka_unit_test(test_failed_sync),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
