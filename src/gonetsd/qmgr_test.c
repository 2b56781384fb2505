/* Role qmgr between fake neighbours: routes, retries, aliases, reports, restarts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/test.h"
#include "gonetsd/qmgr.h"
#include "gonetsd/qmgr_rig_test.h"

#define MINUTE (60 * RIG_S)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

#define HEAD  "hostname mx.example.org\nspool /spool\nlisten 127.0.0.1:25\nsegment 1M\nlog text\n"
#define RETRY "retry 1m 5m 30m 2h expire 5d warn 4h\n"
#define ALIASES                                                                                                        \
    "table aliases { \"list\": \"ann, bob@far.example\", \"nest\": \"list, carl\", \"self\": \"self, ann\", "          \
    "\"round\": \"trip\", "                                                                                            \
    "\"trip\": \"round\", \"both\": \"round2, ann\", \"round2\": \"both, bob\", "                                      \
    "\"ann@old.example\": \"ann@mx.example.org\" }\n"
#define ACTIONS                                                                                                        \
    "action inbox maildir %{home}/Maildir aliases <aliases>\naction out relay\naction hub relay via 192.0.2.7:25\n"    \
    "action drop discard\naction keep hold\n"
#define MATCHES                                                                                                        \
    "match for domain mx.example.org action inbox\nmatch for domain old.example action inbox\n"                        \
    "match for domain hub.example action hub\nmatch for domain drop.example action drop\n"                             \
    "match for domain keep.example action keep\nmatch from network 192.0.2.0/24 for any action out\n"                  \
    "match from local for any action out\n"

static const char config[] = HEAD RETRY ALIASES ACTIONS MATCHES;
static const char client[] = "192.0.2.9:4711";

static void say(struct rig *rig, struct ipc_result *result, enum ipc_outcome outcome, unsigned code, const char *text)
{
    snprintf(rig->text, sizeof rig->text, "%s", text);
    result->outcome = (uint8_t)outcome;
    result->code = (uint16_t)code;
    result->status[0] = (uint16_t)(code / 100);
    result->text = view_of(rig->text);
    result->remote = VIEW("mx.far.example [198.51.100.1]:25");
}

/* What the local part says: "fail...", "wait..."; "dead..." cannot be reached. */
static void by_name(struct rig *rig, const struct rig_seen *seen, struct ipc_result *result)
{
    if (strncmp(seen->path, "fail", 4) == 0)
        say(rig, result, IPC_FAILED, 550, "no such user\nreally");
    else if (strncmp(seen->path, "wait", 4) == 0)
        say(rig, result, IPC_DEFERRED, 450, "not now");
    else if (strncmp(seen->path, "dead", 4) == 0) {
        say(rig, result, IPC_DEFERRED, 0, "connection timed out");
        result->reach = IPC_UNREACHED;
        result->remote = VIEW_NONE;
    }
}

static size_t queued(struct rig *rig)
{
    return rig_qmgr(rig)->queue.messages.count;
}

/* ---- where it goes ---- */

/* H121: recipients of one message at one destination go together; each has its own fate. */
static void test_routes(void **state)
{
    struct rig rig;
    (void)state;
    rig_open(&rig, config);
    rig.answer = by_name;
    rig_store(&rig, "joe@sender.example", client,
              "a@far.example b@FAR.example x@hub.example y@hub.example ann@mx.example.org "
              "z@drop.example k@keep.example c@other.example",
              1);
    rig_run(&rig, RIG_S);
    assert_int_equal(rig.seen_count, 6);
    assert_int_equal(rig_find(&rig, "a@far.example", 0)->job, rig_find(&rig, "b@FAR.example", 0)->job);
    assert_string_equal(rig_find(&rig, "a@far.example", 0)->domain, "far.example");
    assert_string_equal(rig_find(&rig, "a@far.example", 0)->action, "out");
    assert_string_equal(rig_find(&rig, "x@hub.example", 0)->action, "hub");
    assert_int_equal(rig_find(&rig, "ann@mx.example.org", 0)->role, IPC_LOCAL);
    assert_int_equal(queued(&rig), 1); /* the held one */
    assert_true(rig_logged(&rig, "discarded by action drop"));
    for (size_t i = 0; i < rig.seen_count; i++)
        assert_true(rig.seen[i].kept);
    rig_close(&rig);
}

static void test_groups_are_limited(void **state)
{
    struct rig rig;
    char recipients[8192];
    struct buffer text = BUFFER_OF(recipients);
    (void)state;
    for (int i = 0; i < 150; i++)
        buffer_addf(&text, "u%d@far.example ", i);
    buffer_add_char(&text, 0);
    rig_open(&rig, config);
    rig.silent = true;
    rig_store(&rig, "joe@sender.example", client, recipients, 1);
    rig_run(&rig, RIG_S);
    assert_int_equal(rig.seen_count, 150);
    assert_int_equal(rig.smtp[0].jobs + rig.smtp[1].jobs, 2);
    assert_true(rig.smtp[0].jobs == 1 && rig.smtp[1].jobs == 1); /* the first has no credit left */
    rig_close(&rig);
}

/* ---- retries ---- */

/* H118, H128: gaps grow with the attempts and are spread; there is one count of attempts, and it outlives the process.
 */
static void test_retries(void **state)
{
    static const uint64_t gaps[] = { MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 2 * HOUR, 2 * HOUR };
    struct rig rig;
    (void)state;
    rig_open(&rig, config);
    rig.answer = by_name;
    rig_store(&rig, "", client, "wait@far.example", 1);
    rig_run(&rig, RIG_S);
    for (unsigned n = 0; n < ROWS(gaps); n++) {
        uint64_t from = rig_find(&rig, "wait@far.example", n)->at_us;
        if (n % 2)
            rig_restart(&rig);
        rig_run(&rig, from + gaps[n] - gaps[n] / 8 - mem_world_now_us(rig.world));
        assert_int_equal(rig_count(&rig, "wait@far.example"), n + 1);
        rig_run(&rig, gaps[n] / 4 + 3 * RIG_S);
        assert_int_equal(rig_count(&rig, "wait@far.example"), n + 2);
    }
    rig.answer = NULL;
    rig_run(&rig, 3 * HOUR);
    assert_int_equal(queued(&rig), 0);
    rig_close(&rig);
}

/* H128: ten days without power, and nothing expires before it was tried. */
static void test_outage(void **state)
{
    struct rig rig;
    char recipient[64];
    (void)state;
    rig_open(&rig, config);
    rig.answer = by_name;
    rig.silent = true;
    for (int i = 0; i < 50; i++) {
        snprintf(recipient, sizeof recipient, "wait%d@d%d.example", i, i % 10);
        rig_store(&rig, "joe@mx.example.org", client, recipient, 1);
    }
    rig_kill(&rig);
    rig_run(&rig, 10 * DAY);
    rig.seen_count = 0;
    rig.silent = false;
    rig_restart(&rig);
    rig_run(&rig, RIG_S);
    for (int i = 0; i < 50; i++) {
        snprintf(recipient, sizeof recipient, "wait%d@d%d.example", i, i % 10);
        assert_int_equal(rig_count(&rig, recipient), 1);
    }
    rig_run(&rig, MINUTE);
    assert_int_equal(rig_count(&rig, "joe@mx.example.org"), 50); /* one report for each */
    assert_int_equal(queued(&rig), 0);
    rig_close(&rig);
}

/* H147: steps of the wall clock expire nothing and keep nothing waiting, also over a restart. */
static void test_clock_steps(void **state)
{
    static const int64_t steps_s[] = { 10 * 365 * 86400, -86400, 3600 * 5, -10 * 365 * 86400 };
    struct rig rig;
    unsigned before = 0;
    (void)state;
    rig_open(&rig, config);
    rig.answer = by_name;
    rig_store(&rig, "joe@mx.example.org", client, "wait@far.example", 1);
    for (unsigned n = 0; n < ROWS(steps_s); n++) {
        rig_run(&rig, 30 * MINUTE);
        mem_host_set_wall(rig.host, os_wall_us(rig.os) + (uint64_t)steps_s[n] * RIG_S);
        if (n == 0)
            rig_restart(&rig);
        rig_run(&rig, 150 * MINUTE);
        assert_true(rig_count(&rig, "wait@far.example") > before);
        before = rig_count(&rig, "wait@far.example");
        assert_int_equal(queued(&rig), 1);
    }
    assert_true(rig_logged(&rig, "clock-step"));
    assert_true(rig_count(&rig, "joe@mx.example.org") <= 1); /* told of the delay, no more */
    rig_close(&rig);
}

static void count_live(struct rig *rig, unsigned *dead, unsigned *live)
{
    *dead = *live = 0;
    for (size_t i = 0; i < rig->seen_count; i++) {
        *dead += strcmp(rig->seen[i].domain, "dead.example") == 0;
        *live += strcmp(rig->seen[i].domain, "far.example") == 0;
    }
}

/* H92: a destination that cannot be reached is asked now and then by one job, whatever waits for it; the others do not
 * notice. */
static void test_dead_destination(void **state)
{
    struct rig rig;
    char recipient[64];
    unsigned dead, live;
    (void)state;
    rig_open(&rig, config);
    rig.answer = by_name;
    for (int i = 0; i < 300; i++) {
        snprintf(recipient, sizeof recipient, "dead%d@dead.example", i);
        rig_store(&rig, "", client, recipient, 1);
    }
    rig_store(&rig, "", client, "live@far.example", 1);
    count_live(&rig, &dead, &live);
    assert_int_equal(live, 1);
    assert_true(dead <= 5);
    rig_run(&rig, 2 * HOUR);
    count_live(&rig, &dead, &live);
    assert_in_range(dead, 3, 12);
    assert_int_equal(queued(&rig), 300);
    rig.answer = NULL;
    rig_run(&rig, 3 * HOUR);
    assert_int_equal(queued(&rig), 0);
    rig_close(&rig);
}

/* The lines of paused destinations are looked through: what is too old fails though it was never tried by itself. */
static void test_dead_destination_expires(void **state)
{
    struct rig rig;
    char recipient[64];
    (void)state;
    rig_open(&rig, config);
    rig.answer = by_name;
    for (int i = 0; i < 100; i++) {
        snprintf(recipient, sizeof recipient, "dead%d@dead.example", i);
        rig_store(&rig, "joe@mx.example.org", client, recipient, 1);
    }
    rig_run(&rig, 4 * DAY);
    assert_int_equal(queued(&rig), 100);
    assert_int_equal(rig_count(&rig, "joe@mx.example.org"), 100); /* of the delay, once each */
    rig_run(&rig, DAY + 5 * HOUR);
    assert_int_equal(queued(&rig), 0);
    assert_int_equal(rig_count(&rig, "joe@mx.example.org"), 200);
    rig_close(&rig);
}

/* ---- reports ---- */

static bool content_has(struct rig *rig, const struct rig_seen *seen, const char *text)
{
    size_t len;
    char *bytes = rig_content(rig, seen, &len);
    bool has = rig_has((struct view){ bytes, len }, text);
    free(bytes);
    return has;
}

/* H132: several that failed together are told of by one report. */
static void test_failure(void **state)
{
    struct rig rig;
    (void)state;
    rig_open(&rig, config);
    rig.answer = by_name;
    rig_store(&rig, "@route.example:joe@mx.example.org", client,
              "fail1@far.example ann@mx.example.org fail2@far.example", 1);
    rig_run(&rig, RIG_S);
    assert_int_equal(rig_count(&rig, "joe@mx.example.org"), 1);
    struct rig_seen *report = rig_find(&rig, "joe@mx.example.org", 0);
    assert_true(content_has(&rig, report, "fail1@far.example"));
    assert_true(content_has(&rig, report, "fail2@far.example"));
    assert_true(content_has(&rig, report, "really"));
    assert_true(content_has(&rig, report, "Subject: a letter"));
    assert_false(content_has(&rig, report, "ann@mx.example.org"));
    assert_int_equal(queued(&rig), 0);
    for (size_t i = 0; i < rig.seen_count; i++)
        assert_true(rig.seen[i].kept);
    rig_close(&rig);
}

/* H130: nobody is told of a report, or of anything else with the null reverse-path. */
static void test_no_bounce_of_bounce(void **state)
{
    struct rig rig;
    (void)state;
    rig_open(&rig, config);
    rig.answer = by_name;
    rig_store(&rig, "", client, "fail@far.example", 1);
    rig_store(&rig, "fail@sender.example", client, "fail@far.example", 1);
    rig_run(&rig, RIG_S);
    assert_int_equal(rig.seen_count, 3);
    assert_int_equal(rig_count(&rig, "fail@sender.example"), 1);
    assert_int_equal(queued(&rig), 0);
    assert_true(rig_logged(&rig, "double-bounce"));
    rig_close(&rig);
}

static void test_delay(void **state)
{
    struct rig rig;
    (void)state;
    rig_open(&rig, config);
    rig.answer = by_name;
    rig_store(&rig, "joe@mx.example.org", client, "wait1@far.example wait2@away.example", 1);
    rig_run(&rig, 3 * HOUR);
    assert_int_equal(rig_count(&rig, "joe@mx.example.org"), 0);
    rig_run(&rig, 4 * HOUR);
    assert_int_equal(rig_count(&rig, "joe@mx.example.org"), 1);
    struct rig_seen *report = rig_find(&rig, "joe@mx.example.org", 0);
    assert_true(content_has(&rig, report, "wait1@far.example"));
    assert_true(content_has(&rig, report, "wait2@away.example"));
    rig_restart(&rig);
    rig_run(&rig, 2 * DAY);
    assert_int_equal(rig_count(&rig, "joe@mx.example.org"), 1);
    rig_run(&rig, 4 * DAY);
    assert_in_range(rig_count(&rig, "joe@mx.example.org"), 2, 3); /* the end of it: together, or one after the other */
    assert_int_equal(queued(&rig), 0);
    rig_close(&rig);
}

/* H129: more Received fields than a way can have. */
static void test_too_many_hops(void **state)
{
    struct rig rig;
    (void)state;
    rig_open(&rig, config);
    rig_store(&rig, "joe@mx.example.org", client, "ann@mx.example.org x@far.example", 101);
    rig_run(&rig, RIG_S);
    assert_int_equal(rig.seen_count, 1);
    assert_true(content_has(&rig, rig_find(&rig, "joe@mx.example.org", 0), "5.4.6"));
    assert_int_equal(queued(&rig), 0);
    rig_close(&rig);
}

/* ---- aliases ---- */

struct alias_row {
    const char *to, *reached; /* whom it comes to, in order of their numbers */
    const char *said;         /* in the log; NULL: nothing special */
    size_t left;              /* messages that wait */
};

static const struct alias_row alias_rows[] = {
    { "list@mx.example.org", "ann@mx.example.org bob@far.example", NULL, 0 },
    { "nest@mx.example.org", "carl@mx.example.org ann@mx.example.org bob@far.example", NULL, 0 },
    { "list@mx.example.org ann@mx.example.org", "ann@mx.example.org bob@far.example", NULL, 0 },
    { "list@mx.example.org nest@mx.example.org", "ann@mx.example.org bob@far.example carl@mx.example.org", NULL, 0 },
    { "self@mx.example.org", "self@mx.example.org ann@mx.example.org", NULL, 0 },
    { "SELF@mx.example.org", "self@mx.example.org ann@mx.example.org", NULL, 0 },
    { "both@mx.example.org", "ann@mx.example.org bob@mx.example.org", "alias-loop", 0 },
    { "round@mx.example.org", "joe@sender.example", "leads only to itself", 0 },
    { "ann@old.example", "ann@mx.example.org", NULL, 0 },
};

static unsigned words(const char *text)
{
    struct view rest = view_of(text);
    unsigned count = 0;
    while (view_take_word(&rest).len)
        count++;
    return count;
}

static bool all_reached_once(struct rig *rig, const char *reached)
{
    struct view rest = view_of(reached), word;
    char path[128];
    while ((word = view_take_word(&rest)).len) {
        snprintf(path, sizeof path, "%.*s", VIEW_FORMAT(word));
        if (rig_count(rig, path) != 1)
            return false;
    }
    return rig->seen_count == words(reached);
}

/* H93: aliases that lead to each other, or to themselves, come to an end. */
static void test_aliases(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(alias_rows); i++) {
        const struct alias_row *row = &alias_rows[i];
        struct rig rig;
        rig_open(&rig, config);
        rig_store(&rig, "joe@sender.example", client, row->to, 1);
        rig_run(&rig, RIG_S);
        assert_row(all_reached_once(&rig, row->reached), row->to);
        assert_row(!row->said || rig_logged(&rig, row->said), row->to);
        assert_row(queued(&rig) == row->left, row->to);
        rig_close(&rig);
    }
}

/* Members of an alias, and what came of each, are known to the next qmgr. */
static void test_alias_restart(void **state)
{
    struct rig rig;
    (void)state;
    rig_open(&rig, HEAD RETRY
             "table aliases { \"list\": \"ann, wait@far.example, self\", \"self\": \"self\" }\n" ACTIONS MATCHES);
    rig.answer = by_name;
    rig_store(&rig, "joe@sender.example", client, "list@mx.example.org", 1);
    rig_run(&rig, RIG_S);
    assert_int_equal(rig.seen_count, 3);
    rig_restart(&rig);
    rig_restart(&rig);
    rig.answer = NULL;
    rig_run(&rig, 10 * MINUTE);
    assert_int_equal(rig.seen_count, 4);
    assert_int_equal(rig_count(&rig, "wait@far.example"), 2);
    assert_int_equal(rig_find(&rig, "wait@far.example", 0)->number, rig_find(&rig, "wait@far.example", 1)->number);
    assert_int_equal(queued(&rig), 0);
    rig_close(&rig);
}

/* H93: ten thousand members and more. */
static void test_alias_fan_out(void **state)
{
    static char text[60000];
    struct buffer conf = BUFFER_OF(text);
    struct rig rig;
    (void)state;
    /* Each list has 20 members that are lists of 60: over the limit together. */
    buffer_add_text(&conf, HEAD RETRY "limit hops 50\ntable aliases { ");
    buffer_add_text(&conf, "\"all\": \"");
    for (int i = 0; i < 60; i++)
        buffer_addf(&conf, "%sl%d", i ? "," : "", i);
    buffer_add_text(&conf, "\"");
    for (int i = 0; i < 60; i++) {
        buffer_addf(&conf, ", \"l%d\": \"", i);
        for (int j = 0; j < 60; j++)
            buffer_addf(&conf, "%su%d.%d", j ? "," : "", i, j);
        buffer_add_text(&conf, "\"");
    }
    buffer_add_text(&conf, " }\n" ACTIONS MATCHES);
    buffer_add_char(&conf, 0);
    assert_false(conf.full);
    rig_open(&rig, text);
    rig_store(&rig, "", client, "all@mx.example.org", 1);
    rig_run(&rig, 5 * RIG_S);
    assert_int_equal(rig.seen_count, 3600);
    assert_int_equal(queued(&rig), 0);
    rig_close(&rig);
}

/* ---- the configuration changes ---- */

/* A recipient without a route waits and is shown; it is never bounced, however long that takes. */
static void test_route_is_gone(void **state)
{
    struct rig rig;
    (void)state;
    rig_open(&rig, config);
    rig.answer = by_name;
    rig_store(&rig, "joe@sender.example", client, "wait@hub.example", 1);
    rig_run(&rig, RIG_S);
    rig_config(&rig, HEAD RETRY ALIASES ACTIONS "match for domain mx.example.org action inbox\n");
    rig_run(&rig, 7 * DAY);
    assert_int_equal(rig.seen_count, 1);
    assert_int_equal(queued(&rig), 1);
    assert_true(rig_logged(&rig, "no rule of the configuration takes it any more"));
    rig.answer = NULL;
    rig_config(&rig, HEAD RETRY ALIASES ACTIONS "match for domain hub.example action inbox\n");
    rig_run(&rig, 3 * HOUR);
    assert_int_equal(rig.seen_count, 2);
    assert_int_equal(rig.seen[1].role, IPC_LOCAL);
    assert_int_equal(queued(&rig), 0);
    rig_close(&rig);
}

/* ---- what is durable ---- */

/* H140: a result is acknowledged when its event is durable, not before. */
static void test_kept_after_mark(void **state)
{
    static const char *const paths[] = { "ok@far.example", "wait@far.example", "fail@far.example" };
    (void)state;
    for (size_t i = 0; i < ROWS(paths); i++) {
        struct rig rig;
        rig_open(&rig, config);
        rig.answer = by_name;
        rig.silent = true;
        rig_store(&rig, "joe@sender.example", client, paths[i], 1);
        rig_run(&rig, RIG_S);
        assert_row(rig.seen_count == 1, paths[i]);
        uint64_t ops = mem_disk_op_count(mem_host_disk(rig.host));
        rig_answer(&rig, &rig.seen[0]);
        while (!rig.seen[0].kept)
            assert_row(mem_world_step(rig.world), paths[i]);
        assert_row(mem_disk_op_count(mem_host_disk(rig.host)) >= ops + 2, paths[i]); /* written and synced */
        rig_run(&rig, 20 * RIG_S);
        assert_row(rig.seen[0].kept, paths[i]);
        rig_close(&rig);
    }
}

/* H140, H143: qmgr is killed at any moment; what was answered is not asked again, and every failure is told of once. */
static void test_kills(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 60; n++) {
        struct rig rig;
        rig_open(&rig, config);
        rig.answer = by_name;
        rig_store(&rig, "joe@sender.example", client,
                  "ann@mx.example.org a@far.example fail@far.example list@mx.example.org", 1);
        for (unsigned step = 0; step < 4 * n; step++)
            mem_world_step(rig.world);
        rig_restart(&rig);
        rig_run(&rig, MINUTE);
        assert_int_equal(queued(&rig), 0);
        assert_int_equal(rig_count(&rig, "bob@far.example"), 1);
        assert_int_equal(rig_count(&rig, "joe@sender.example"), 1);
        assert_in_range(rig_count(&rig, "a@far.example"), 1, 1);
        rig_close(&rig);
    }
}

static const char *const mixed[] = { "ann@mx.example.org", "a@far.example", "b@away.example", "bob@far.example",
                                     "joe@sender.example" };

struct tally {
    unsigned seen[ROWS(mixed)], kept[ROWS(mixed)];
};

static void count_all(struct rig *rig, struct tally *tally)
{
    for (size_t i = 0; i < ROWS(mixed); i++)
        for (unsigned n = 0; n < rig_count(rig, mixed[i]); n++) {
            tally->seen[i]++;
            tally->kept[i] += rig_find(rig, mixed[i], n)->kept;
        }
}

/* Power goes before the nth operation on disk. false: there were not so many. */
static bool cut_once(uint64_t nth, struct mem_choice choice)
{
    struct rig rig;
    struct tally tally = { 0 };
    rig_open(&rig, config);
    rig.answer = by_name;
    rig_store(&rig, "joe@sender.example", client, "list@mx.example.org a@far.example fail@far.example b@away.example",
              1);
    mem_disk_cut_at(mem_host_disk(rig.host), nth);
    rig_run(&rig, RIG_S);
    bool cut = mem_disk_is_cut(mem_host_disk(rig.host));
    count_all(&rig, &tally);
    struct mem_disk *disk = rig_cut(&rig, choice);
    rig_open_on(&rig, config, disk, by_name);
    rig_run(&rig, MINUTE);
    struct tally before = tally;
    count_all(&rig, &tally);
    for (size_t i = 0; i < ROWS(mixed); i++) {
        assert_row(tally.seen[i] >= 1, mixed[i]);
        assert_row(tally.seen[i] <= 1 + before.seen[i], mixed[i]); /* one more for each that was under way */
        assert_row(before.kept[i] == 0 || tally.seen[i] == before.seen[i], mixed[i]);
    }
    assert_int_equal(queued(&rig), 0);
    rig_close(&rig);
    return cut;
}

/* H132, H140: a message for an alias and three other recipients, one of whom fails. Whenever power goes, everyone gets
 * it, nobody who was noted as served gets it again, and the report and the mark it reports are there together. */
static void test_power_cuts(void **state)
{
    static const struct mem_choice choices[] = { { MEM_KEEP_NONE, 0 }, { MEM_KEEP_ALL, 0 }, { MEM_KEEP_RANDOM, 5 } };
    (void)state;
    for (size_t i = 0; i < ROWS(choices); i++)
        for (uint64_t nth = 0; cut_once(nth, choices[i]); nth++)
            assert_true(nth < 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_groups_are_limited),
        cmocka_unit_test(test_retries),
        cmocka_unit_test(test_outage),
        cmocka_unit_test(test_clock_steps),
        cmocka_unit_test(test_dead_destination),
        cmocka_unit_test(test_dead_destination_expires),
        cmocka_unit_test(test_failure),
        cmocka_unit_test(test_no_bounce_of_bounce),
        cmocka_unit_test(test_delay),
        cmocka_unit_test(test_too_many_hops),
        cmocka_unit_test(test_aliases),
        cmocka_unit_test(test_alias_restart),
        cmocka_unit_test(test_alias_fan_out),
        cmocka_unit_test(test_route_is_gone),
        cmocka_unit_test(test_kept_after_mark),
        cmocka_unit_test(test_kills),
        cmocka_unit_test(test_power_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
