/* Role smtp over the simulated world: what becomes of messages, whatever the servers do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/test.h"
#include "gonetsd/relay_stage_test.h"
#include "smtp/client.h"

static struct stage stage;

static const struct stage_result *result(unsigned n)
{
    return &stage.results[n];
}

static bool is(unsigned n, enum ipc_outcome outcome, unsigned code)
{
    return result(n)->count == 1 && result(n)->last.outcome == outcome && result(n)->last.code == code;
}

/* ---- what goes well ---- */

static void test_delivery(void **state)
{
    (void)state;
    stage_open(&stage);
    stage_job(&stage, 0, "out", "dest.example", 0, 2);
    stage_run(&stage, 1);
    for (unsigned n = 0; n < 2; n++) {
        assert_true(is(n, IPC_DELIVERED, 250));
        assert_string_equal(result(n)->text, "taken\nas 42");
        assert_string_equal(result(n)->remote, "mx1.example [192.0.2.1]:25");
        assert_true(result(n)->last.phase == SMTP_PHASE_END && result(n)->last.status[0] == 2);
        assert_true(result(n)->last.reach == IPC_REACHED && !result(n)->last.uncertain);
    }
    const struct stage_server *server = &stage.servers[0];
    assert_int_equal(server->messages, 1);
    assert_true(
        view_equal((struct view){ server->content, server->content_len }, VIEW("Subject: 0\r\n\r\n..body\r\n")));
    assert_true(view_equal((struct view){ server->heard, server->heard_len },
                           VIEW("EHLO mx.own.example|MAIL FROM:<me@own.example> SIZE=21|RCPT TO:<r0@dest.example>|"
                                "RCPT TO:<r1@dest.example>|DATA|.|")));
    assert_int_equal(stage_credit(&stage), 1002); /* both slots are free again */
    stage_run(&stage, 10);
    assert_int_equal(stage_heard(server, "QUIT|"), 1);
    assert_int_equal(server->open, 0);
    stage_close(&stage);
}

/* Several messages go over one session, as long as it is not idle for long. */
static void test_session_is_reused(void **state)
{
    (void)state;
    stage_open(&stage);
    for (unsigned n = 0; n < 5; n++) {
        stage_job(&stage, n, "out", "dest.example", n, 1);
        stage_run(&stage, n == 3 ? 10 : 2);
    }
    for (unsigned n = 0; n < 5; n++)
        assert_true(is(n, IPC_DELIVERED, 250));
    assert_int_equal(stage.servers[0].connects, 2);
    assert_int_equal(stage.servers[0].messages, 5);
    stage_close(&stage);
}

/* A slow session does not hold up the next job while another may be opened, and no more are opened than are allowed. */
static void test_no_job_waits_for_a_slow_session(void **state)
{
    (void)state;
    stage_open(&stage);
    stage.servers[0].rules[0] = (struct stage_rule){ ".", "", 1 };
    for (unsigned n = 0; n < 6; n++)
        stage_job(&stage, n, "out", "dest.example", n, 1);
    stage_run(&stage, 2);
    unsigned done = 0;
    for (unsigned n = 0; n < 6; n++)
        done += is(n, IPC_DELIVERED, 250);
    assert_int_equal(done, 5);
    assert_int_equal(stage.servers[0].connects, 4); /* relay_destination */
    stage_close(&stage);
}

/* More destinations than sessions: idle ones make room. */
static void test_limit_of_sessions(void **state)
{
    (void)state;
    stage_open(&stage);
    for (unsigned n = 0; n < 20; n++) {
        char domain[32];
        snprintf(domain, sizeof domain, "d%u.example", n);
        mem_dns_add(stage.scene.world, domain, OS_DNS_A, "192.0.2.2");
        stage_job(&stage, n % 8, "out", domain, n, 1);
    }
    stage_run(&stage, 3);
    for (unsigned n = 0; n < 20; n++)
        assert_true(is(n, IPC_DELIVERED, 250));
    assert_true(stage.servers[1].open <= 8);
    stage_close(&stage);
}

static void test_smart_hosts(void **state)
{
    (void)state;
    stage_open(&stage);
    stage_job(&stage, 0, "hub", "anywhere.example", 0, 1);
    stage_run(&stage, 1);
    assert_true(is(0, IPC_DELIVERED, 250));
    assert_string_equal(result(0)->remote, "[192.0.2.3]:25");
    stage_run(&stage, 10);
    stage_server_down(&stage, 2);
    stage_job(&stage, 1, "hub", "elsewhere.example", 1, 1);
    stage_run(&stage, 1);
    assert_true(is(1, IPC_DELIVERED, 250));
    assert_string_equal(result(1)->remote, "mx4.example [192.0.2.4]:25");
    stage_close(&stage);
}

static void test_literal(void **state)
{
    (void)state;
    stage_open(&stage);
    stage_job(&stage, 0, "out", "[192.0.2.2]", 0, 1);
    stage_run(&stage, 1);
    assert_true(is(0, IPC_DELIVERED, 250));
    assert_int_equal(stage.servers[1].messages, 1);
    stage_close(&stage);
}

/* ---- content ---- */

static char *lines(size_t size)
{
    char *text = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        text[i] = "0123456789abcdef.hijklmnopqrstuvwxyz\r\n"[i % 38];
    memcpy(text + size - 2, "\r\n", 3);
    return text;
}

/* Small ones are read at once, large ones pass in pieces, and those in parts lie all over their segment. */
static void test_sizes(void **state)
{
    static const size_t sizes[] = { 2, 100, 65536, 65537, 130000 };
    (void)state;
    for (size_t i = 0; i < ROWS(sizes); i++)
        for (int form = STORED_BODY; form <= STORED_SPREAD; form++) {
            char row[32], *content = lines(sizes[i]);
            snprintf(row, sizeof row, "%zu, form %d", sizes[i], form);
            stage_open(&stage);
            scene_store(&stage.scene, 0, VIEW("me@own.example"), VIEW("Received: x\r\n"), view_of(content),
                        (enum stored_form)form);
            stage_job(&stage, 0, "out", "dest.example", 0, 1);
            stage_run(&stage, 3);
            assert_row(is(0, IPC_DELIVERED, 250), row);
            const struct stage_server *server = &stage.servers[0];
            assert_row(server->content_len == sizes[i] + 13, row);
            assert_row(memcmp(server->content, "Received: x\r\n", 13) == 0, row);
            assert_row(memcmp(server->content + 13, content, sizes[i]) == 0, row);
            free(content);
            stage_close(&stage);
        }
}

/* H138: what rotted on the disk is not sent, and least of all a part of it as if it were the whole. */
static void test_damage(void **state)
{
    static const size_t sizes[] = { 100, 100000 };
    (void)state;
    for (size_t i = 0; i < ROWS(sizes); i++) {
        char *content = lines(sizes[i]);
        stage_open(&stage);
        stage_store(&stage, 0, content);
        uint64_t end = stage.scene.end;
        scene_sync(&stage.scene);
        assert_true(mem_disk_rot(mem_host_disk(stage.scene.host), "/spool/1", end - 50, 1));
        stage_job(&stage, 0, "out", "dest.example", 0, 2);
        stage_run(&stage, 3);
        for (unsigned n = 0; n < 2; n++)
            assert_true(is(n, IPC_DEFERRED, 451) && result(n)->last.status[1] == 3);
        assert_int_equal(stage.servers[0].messages, 0);
        assert_int_equal(stage_heard(&stage.servers[0], "|.|"), 0);
        free(content);
        stage_close(&stage);
    }
}

static void test_eight_bit(void **state)
{
    (void)state;
    for (int offered = 0; offered < 2; offered++) {
        stage_open(&stage);
        if (!offered)
            stage.servers[0].rules[0] = (struct stage_rule){ "EHLO", "250 mx1.example\r\n", 0 };
        stage_store(&stage, 0, "Subject: x\r\n\r\n\xc3\xa9\r\n");
        stage_job(&stage, 0, "out", "dest.example", 0, 1);
        stage_run(&stage, 1);
        assert_true(offered ? is(0, IPC_DELIVERED, 250) : is(0, IPC_FAILED, 554));
        assert_int_equal(stage_heard(&stage.servers[0], "BODY=8BITMIME"), offered);
        if (!offered)
            assert_true(result(0)->last.status[1] == 6 && result(0)->last.status[2] == 3);
        stage_job(&stage, 1, "out", "dest.example", 1, 1); /* the session goes on */
        stage_run(&stage, 1);
        assert_true(is(1, IPC_DELIVERED, 250));
        stage_close(&stage);
    }
}

static void test_size_limit_of_server(void **state)
{
    (void)state;
    stage_open(&stage);
    stage.servers[0].rules[0] = (struct stage_rule){ "EHLO", "250-mx1.example\r\n250 SIZE 10\r\n", 0 };
    stage_job(&stage, 0, "out", "dest.example", 0, 1);
    stage_run(&stage, 1);
    assert_true(is(0, IPC_FAILED, 552));
    assert_int_equal(stage_heard(&stage.servers[0], "MAIL"), 0);
    stage_close(&stage);
}

/* ---- what the DNS says ---- */

/* H95 H96 H97 */
static void test_names(void **state)
{
    static const struct {
        const char *domain, *mx; /* mx NULL: the name is not in the DNS */
        enum ipc_outcome outcome;
        unsigned code, subject, detail;
        enum ipc_reach reach;
    } rows[] = {
        { "a.example", "0 .", IPC_FAILED, 556, 1, 10, IPC_REACHED },
        { "nosuch.example", NULL, IPC_FAILED, 550, 1, 2, IPC_REACHED },
        { "b.example", "10 mx.own.example", IPC_FAILED, 554, 4, 6, IPC_REACHED },
        { "c.example", "10 nosuch.example", IPC_DEFERRED, 451, 4, 4, IPC_UNREACHED },
        { "[192.0.2]", NULL, IPC_FAILED, 550, 1, 2, IPC_REACHED },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        stage_open(&stage);
        if (rows[i].mx)
            mem_dns_add(stage.scene.world, rows[i].domain, OS_DNS_MX, rows[i].mx);
        stage_job(&stage, 0, "out", rows[i].domain, 0, 1);
        stage_run(&stage, 2);
        assert_row(is(0, rows[i].outcome, rows[i].code), rows[i].domain);
        assert_row(result(0)->last.status[1] == rows[i].subject && result(0)->last.status[2] == rows[i].detail,
                   rows[i].domain);
        assert_row(result(0)->last.reach == rows[i].reach, rows[i].domain);
        stage_close(&stage);
    }
}

/* H95: trouble at each question, never taken for absence. */
static void test_names_in_trouble(void **state)
{
    static const enum os_dns_type types[] = { OS_DNS_MX, OS_DNS_A, OS_DNS_AAAA };
    (void)state;
    for (size_t i = 0; i < ROWS(types); i++) {
        stage_open(&stage);
        mem_dns_remove(stage.scene.world, "mx1.example", OS_DNS_A);
        mem_dns_set(stage.scene.world,
                    &(struct mem_dns_answer){ .name = types[i] == OS_DNS_MX ? "dest.example" : "mx1.example",
                                              .type = types[i],
                                              .result = OS_DNS_TROUBLE });
        stage_job(&stage, 0, "out", "dest.example", 0, 1);
        stage_run(&stage, 2);
        assert_true(is(0, IPC_DEFERRED, 451));
        assert_true(result(0)->last.status[1] == 4 && result(0)->last.status[2] == 3);
        assert_int_equal(result(0)->last.reach, IPC_UNREACHED);
        stage_close(&stage);
    }
}

/* H101: a DNS that never answers does not hold mail for ever, nor mail for others at all. */
static void test_slow_names(void **state)
{
    (void)state;
    stage_open(&stage);
    mem_dns_set(stage.scene.world, &(struct mem_dns_answer){
                                       .name = "slow.example", .type = OS_DNS_MX, .delay_us = UINT64_C(3600000000) });
    stage_job(&stage, 0, "out", "slow.example", 0, 1);
    stage_job(&stage, 1, "out", "dest.example", 1, 1);
    stage_run(&stage, 1);
    assert_true(is(1, IPC_DELIVERED, 250));
    stage_run(&stage, 65);
    assert_true(is(0, IPC_DEFERRED, 451));
    stage_close(&stage);
}

/* A resolver that dies is replaced, and the new one is asked. */
static void test_resolver_is_replaced(void **state)
{
    (void)state;
    stage_open(&stage);
    mem_dns_set(stage.scene.world,
                &(struct mem_dns_answer){
                    .name = "dest.example", .type = OS_DNS_MX, .result = OS_DNS_TROUBLE, .delay_us = 10000000 });
    stage_job(&stage, 0, "out", "dest.example", 0, 1);
    stage_run(&stage, 1);
    stage_mx(&stage, "10 mx2.example");
    stage_link_resolver(&stage); /* a new link is as good as a new process */
    stage_run(&stage, 2);
    assert_true(is(0, IPC_DELIVERED, 250));
    assert_int_equal(stage.servers[1].messages, 1);
    stage_close(&stage);
}

/* ---- which address ---- */

/* 5xx of both is final; everything else goes on. */
static void test_fallback(void **state)
{
    enum { WELL, DOWN, CUT, SAYS_4, SAYS_5, EHLO_4, MANNERS };
    static const char *const names[] = { "good", "dead", "cut", "greets 4xx", "greets 5xx", "EHLO 4xx" };
    (void)state;
    for (int a = 0; a < MANNERS; a++)
        for (int b = 0; b < MANNERS; b++) {
            static const struct stage_rule rules[] = {
                [CUT] = { "", "CUT", 0 },
                [SAYS_4] = { "", "450 4.7.1 later\r\n", 0 },
                [SAYS_5] = { "", "554 5.7.1 never\r\n", 0 },
                [EHLO_4] = { "EHLO", "421 busy\r\n", 0 },
            };
            char row[64];
            const int kinds[] = { a, b };
            snprintf(row, sizeof row, "%s, %s", names[a], names[b]);
            stage_open(&stage);
            stage_mx(&stage, "10 mx1.example, 20 mx2.example");
            for (unsigned n = 0; n < 2; n++)
                if (kinds[n] == DOWN)
                    stage_server_down(&stage, n);
                else if (kinds[n] != WELL)
                    stage.servers[n].rules[0] = rules[kinds[n]];
            stage_job(&stage, 0, "out", "dest.example", 0, 2);
            stage_run(&stage, 2);
            enum ipc_outcome want = a == WELL || b == WELL       ? IPC_DELIVERED
                                    : a == SAYS_5 && b == SAYS_5 ? IPC_FAILED
                                                                 : IPC_DEFERRED;
            for (unsigned n = 0; n < 2; n++) {
                assert_row(result(n)->count == 1 && result(n)->last.outcome == want, row);
                assert_row(want == IPC_DELIVERED || result(n)->last.reach == IPC_UNREACHED, row);
                assert_row(result(n)->remote[0], row);
            }
            assert_row(
                stage.servers[0].messages == (a == WELL) && stage.servers[1].messages == (a != WELL && b == WELL), row);
            stage_close(&stage);
        }
}

enum { GOOD, DEAD, GREETS_4, GREETS_5, KINDS };

static void expect_fallback(const int kinds[4])
{
    static const struct stage_rule rules[] = {
        [GREETS_4] = { "", "450 4.7.1 later\r\n", 0 }, [GREETS_5] = { "", "554 5.7.1 never\r\n", 0 }
    };
    char row[32];
    int taker = -1;
    enum ipc_outcome want = IPC_FAILED;
    snprintf(row, sizeof row, "%d %d %d %d", kinds[0], kinds[1], kinds[2], kinds[3]);
    for (int n = 0; n < 4; n++) {
        if (kinds[n] == DEAD)
            stage_server_down(&stage, (unsigned)n);
        else if (kinds[n] != GOOD)
            stage.servers[n].rules[0] = rules[kinds[n]];
        if (kinds[n] == GOOD && taker < 0)
            taker = n;
        want = taker >= 0 ? IPC_DELIVERED : kinds[n] == GREETS_5 ? want : IPC_DEFERRED;
    }
    stage_job(&stage, 0, "out", "both.example", 0, 1);
    stage_run(&stage, 2);
    assert_row(result(0)->count == 1 && result(0)->last.outcome == want, row);
    for (int n = 0; n < 4; n++)
        assert_row(stage.servers[n].messages == (n == taker), row);
}

/* H125: every combination over two mail exchangers with an address of each family. */
static void test_fallback_over_families(void **state)
{
    (void)state;
    for (int i = 0; i < KINDS * KINDS * KINDS * KINDS; i++) {
        const int kinds[4] = { i % KINDS, i / KINDS % KINDS, i / KINDS / KINDS % KINDS, i / KINDS / KINDS / KINDS };
        stage_open(&stage);
        mem_dns_add(stage.scene.world, "both.example", OS_DNS_MX, "10 a.both.example");
        mem_dns_add(stage.scene.world, "both.example", OS_DNS_MX, "20 b.both.example");
        mem_dns_add(stage.scene.world, "a.both.example", OS_DNS_AAAA, "2001:db8::1");
        mem_dns_add(stage.scene.world, "a.both.example", OS_DNS_A, "192.0.2.2");
        mem_dns_add(stage.scene.world, "b.both.example", OS_DNS_AAAA, "2001:db8::3");
        mem_dns_add(stage.scene.world, "b.both.example", OS_DNS_A, "192.0.2.4");
        expect_fallback(kinds);
        stage_close(&stage);
    }
}

static void black_hole(void *ctx, struct mem_connect *connect)
{
    (void)ctx;
    if (connect->to.ip[15] == 1) {
        connect->fate = OS_TIMED_OUT;
        connect->delay_us = UINT64_C(3600000000);
    }
}

/* An address that swallows everything costs its patience once; those that come after it pass it over. */
static void test_black_hole(void **state)
{
    (void)state;
    stage_open(&stage);
    mem_world_on_connect(stage.scene.world, black_hole, NULL);
    stage_mx(&stage, "10 mx1.example, 20 mx2.example");
    stage_job(&stage, 0, "out", "dest.example", 0, 1);
    stage_run(&stage, 29);
    assert_int_equal(result(0)->count, 0);
    stage_run(&stage, 2);
    assert_true(is(0, IPC_DELIVERED, 250));
    stage_run(&stage, 7);
    stage_job(&stage, 1, "out", "dest.example", 1, 1);
    stage_run(&stage, 1);
    assert_true(is(1, IPC_DELIVERED, 250));
    stage_close(&stage);
}

/* H97: we are a backup by another name. As long as the better one may come back the mail waits. */
static void test_talking_to_ourselves(void **state)
{
    static const struct {
        const char *mx;
        bool first_down;
        enum ipc_outcome outcome;
    } rows[] = {
        { "10 mx2.example", false, IPC_FAILED },
        { "10 mx2.example, 20 mx3.example", false, IPC_FAILED },
        { "10 mx1.example, 20 mx2.example, 30 mx3.example", true, IPC_DEFERRED },
        { "10 mx1.example, 20 mx2.example", false, IPC_DELIVERED },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        stage_open(&stage);
        stage_mx(&stage, rows[i].mx);
        stage.servers[1].name = "MX.own.example";
        if (rows[i].first_down)
            stage_server_down(&stage, 0);
        stage_job(&stage, 0, "out", "dest.example", 0, 1);
        stage_run(&stage, 2);
        assert_row(result(0)->count == 1 && result(0)->last.outcome == rows[i].outcome, rows[i].mx);
        if (rows[i].outcome == IPC_FAILED)
            assert_row(result(0)->last.status[1] == 4 && result(0)->last.status[2] == 6, rows[i].mx);
        assert_row(stage.servers[1].messages == 0 && stage.servers[2].messages == 0, rows[i].mx);
        stage_close(&stage);
    }
}

/* ---- what servers say ---- */

/* Each answer at each command, and the link cut there (H119): the outcome, and whether another server was tried. */
static void test_replies(void **state)
{
    static const struct {
        const char *command, *reply;
        enum ipc_outcome outcome;
        unsigned code;
        enum smtp_client_phase phase;
        bool goes_on; /* the second mail exchanger gets it */
        bool uncertain;
    } rows[] = {
        { "MAIL", "450 4.7.1 later\r\n", IPC_DEFERRED, 450, SMTP_PHASE_MAIL, false, false },
        { "MAIL", "550 5.7.1 no\r\n", IPC_FAILED, 550, SMTP_PHASE_MAIL, false, false },
        { "MAIL", "421 busy\r\n", IPC_DELIVERED, 250, SMTP_PHASE_END, true, false },
        { "MAIL", "CUT", IPC_DELIVERED, 250, SMTP_PHASE_END, true, false },
        { "MAIL", "nonsense\r\n", IPC_DELIVERED, 250, SMTP_PHASE_END, true, false },
        { "MAIL", "250 a\r\n250 b\r\n250 c\r\n250 d\r\n", IPC_DELIVERED, 250, SMTP_PHASE_END, true, false },
        { "RCPT", "451 4.2.1 later\r\n", IPC_DEFERRED, 451, SMTP_PHASE_RCPT, false, false },
        { "RCPT", "550-5.1.1 no\r\n550 5.1.1 such user\r\n", IPC_FAILED, 550, SMTP_PHASE_RCPT, false, false },
        { "RCPT", "552 too many\r\n", IPC_DEFERRED, 552, SMTP_PHASE_RCPT, false, false },
        { "RCPT", "421 busy\r\n", IPC_DELIVERED, 250, SMTP_PHASE_END, true, false },
        { "RCPT", "CUT", IPC_DELIVERED, 250, SMTP_PHASE_END, true, false },
        { "DATA", "451 later\r\n", IPC_DEFERRED, 451, SMTP_PHASE_DATA, false, false },
        { "DATA", "554 no\r\n", IPC_FAILED, 554, SMTP_PHASE_DATA, false, false },
        { "DATA", "250 ok\r\n", IPC_DELIVERED, 250, SMTP_PHASE_END, true, false },
        { "DATA", "CUT", IPC_DELIVERED, 250, SMTP_PHASE_END, true, false },
        { ".", "451 4.3.0 later\r\n", IPC_DEFERRED, 451, SMTP_PHASE_END, false, false },
        { ".", "554 5.6.0 no\r\n", IPC_FAILED, 554, SMTP_PHASE_END, false, false },
        { ".", "421 busy\r\n", IPC_DELIVERED, 250, SMTP_PHASE_END, true, false },
        { ".", "CUT", IPC_DEFERRED, 451, SMTP_PHASE_END, false, true },
        { ".", "354 what\r\n", IPC_DEFERRED, 451, SMTP_PHASE_END, false, true },
        { ".", "nonsense\r\n", IPC_DEFERRED, 451, SMTP_PHASE_END, false, true },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        char row[80];
        snprintf(row, sizeof row, "%s: %.40s", rows[i].command, rows[i].reply);
        stage_open(&stage);
        stage_mx(&stage, "10 mx1.example, 20 mx2.example");
        stage.servers[0].rules[0] = (struct stage_rule){ rows[i].command, rows[i].reply, 0 };
        stage_job(&stage, 0, "out", "dest.example", 0, 1);
        stage_run(&stage, 3);
        const struct ipc_result *m = &result(0)->last;
        assert_row(is(0, rows[i].outcome, rows[i].code), row);
        assert_row(m->phase == rows[i].phase && m->uncertain == rows[i].uncertain, row);
        assert_row(m->reach == IPC_REACHED && result(0)->remote[0], row);
        assert_row(stage.servers[1].messages == rows[i].goes_on, row);
        stage_close(&stage);
    }
}

/* The same with one server alone: what would go on waits, with the server's own words. */
static void test_replies_of_the_only_server(void **state)
{
    static const struct {
        const char *command, *reply;
        unsigned code;
        const char *text;
    } rows[] = {
        { "", "450 4.7.1 later\r\n", 450, "later" },
        { "", "CUT", 451, "the server closed the connection before the greeting" },
        { "EHLO", "450 x\r\n", 450, "x" },
        { "EHLO", "CUT", 451, "the server closed the connection after EHLO" },
        { "MAIL", "421-4.3.2 closing\r\n421 4.3.2 down\r\n", 421, "closing\ndown" },
        { "MAIL", "CUT", 451, "the server closed the connection after MAIL" },
        { "RCPT", "CUT", 451, "the server closed the connection after RCPT" },
        { "DATA", "CUT", 451, "the server closed the connection after DATA" },
        { "MAIL", "1\r\n", 451, "replies that are out of step or none by their grammar after MAIL" },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        stage_open(&stage);
        stage.servers[0].rules[0] = (struct stage_rule){ rows[i].command, rows[i].reply, 0 };
        stage_job(&stage, 0, "out", "dest.example", 0, 1);
        stage_run(&stage, 3);
        assert_row(is(0, IPC_DEFERRED, rows[i].code), rows[i].text);
        assert_row(strcmp(result(0)->text, rows[i].text) == 0, rows[i].text);
        assert_row(stage.servers[0].connects == 1, rows[i].text);
        stage_close(&stage);
    }
}

/* H121: to each recipient his own. */
static void test_mixed_recipients(void **state)
{
    (void)state;
    stage_open(&stage);
    stage.servers[0].rules[0] = (struct stage_rule){ "RCPT TO:<r1@", "550 5.1.1 unknown\r\n", 0 };
    stage.servers[0].rules[1] = (struct stage_rule){ "RCPT TO:<r2@", "451 4.2.1 later\r\n", 0 };
    stage_job(&stage, 0, "out", "dest.example", 0, 4);
    stage_run(&stage, 1);
    assert_true(is(0, IPC_DELIVERED, 250) && is(1, IPC_FAILED, 550) && is(2, IPC_DEFERRED, 451) &&
                is(3, IPC_DELIVERED, 250));
    assert_string_equal(result(1)->text, "unknown");
    assert_int_equal(result(1)->last.phase, SMTP_PHASE_RCPT);
    assert_int_equal(stage.servers[0].messages, 1);
    stage_close(&stage);
}

/* H121: those that were too many come in the next transaction of the session. */
static void test_too_many_recipients(void **state)
{
    (void)state;
    stage_open(&stage);
    for (unsigned n = 0; n < 3; n++)
        stage.servers[0].rules[n] = (struct stage_rule){ "RCPT", "452 4.5.3 too many\r\n", 2 + n };
    stage_job(&stage, 0, "out", "dest.example", 0, 5);
    stage_run(&stage, 1);
    for (unsigned n = 0; n < 5; n++)
        assert_true(is(n, IPC_DELIVERED, 250));
    assert_int_equal(stage.servers[0].connects, 1);
    assert_true(stage.servers[0].messages >= 2);
    stage_close(&stage);
}

/* H120: a 250 to the empty content of nobody is no delivery. */
static void test_no_recipient_left(void **state)
{
    (void)state;
    stage_open(&stage);
    stage.servers[0].rules[0] = (struct stage_rule){ "RCPT", "550 5.1.1 no\r\n", 0 };
    stage_job(&stage, 0, "out", "dest.example", 0, 2);
    stage_run(&stage, 1);
    assert_true(is(0, IPC_FAILED, 550) && is(1, IPC_FAILED, 550));
    stage_job(&stage, 1, "out", "dest.example", 2, 1); /* the session is in step */
    stage_run(&stage, 1);
    assert_true(is(2, IPC_FAILED, 550));
    assert_int_equal(stage.servers[0].connects, 1);
    stage_close(&stage);
}

/* What was refused stays refused when the link breaks later; only the others go on. */
static void test_refused_before_the_cut(void **state)
{
    (void)state;
    stage_open(&stage);
    stage_mx(&stage, "10 mx1.example, 20 mx2.example");
    stage.servers[0].rules[0] = (struct stage_rule){ "RCPT TO:<r0@", "550 5.1.1 no\r\n", 0 };
    stage.servers[0].rules[1] = (struct stage_rule){ "DATA", "CUT", 0 };
    stage_job(&stage, 0, "out", "dest.example", 0, 2);
    stage_run(&stage, 2);
    assert_true(is(0, IPC_FAILED, 550) && is(1, IPC_DELIVERED, 250));
    assert_int_equal(stage_heard(&stage.servers[1], "RCPT TO:<r0@"), 0);
    stage_close(&stage);
}

/* A session that died while it was idle, or a server that takes one message a session, is nobody's fault. */
static void test_stale_sessions(void **state)
{
    static const struct stage_rule rows[] = {
        { "MAIL", "CUT", 2 },
        { "MAIL", "421 4.7.0 one is enough\r\n", 2 },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        stage_open(&stage);
        stage_mx(&stage, "10 mx1.example, 20 mx2.example");
        stage.servers[0].rules[0] = rows[i];
        for (unsigned n = 0; n < 2; n++) {
            stage_job(&stage, n, "out", "dest.example", n, 1);
            stage_run(&stage, 1);
            assert_row(is(n, IPC_DELIVERED, 250), rows[i].reply);
        }
        assert_row(stage.servers[0].connects == 2 && stage.servers[1].connects == 0, rows[i].reply);
        stage_close(&stage);
    }
}

/* H117 H118 */
static void test_patience_after_the_dot(void **state)
{
    (void)state;
    stage_open(&stage);
    stage_mx(&stage, "10 mx1.example, 20 mx2.example");
    stage.servers[0].rules[0] = (struct stage_rule){ ".", "", 0 };
    stage_job(&stage, 0, "out", "dest.example", 0, 1);
    stage_run(&stage, 599);
    assert_int_equal(result(0)->count, 0);
    stage_run(&stage, 5);
    assert_true(is(0, IPC_DEFERRED, 451) && result(0)->last.uncertain);
    assert_int_equal(stage.servers[1].connects, 0); /* one window, not two */
    stage_close(&stage);
}

/* H123: nobody waits for ever, and the slot is free again. */
static void test_silence(void **state)
{
    static const char *const commands[] = { "", "EHLO", "MAIL", "RCPT", "DATA" };
    (void)state;
    for (size_t i = 0; i < ROWS(commands); i++) {
        stage_open(&stage);
        stage.servers[0].rules[0] = (struct stage_rule){ commands[i], "", 0 };
        stage_job(&stage, 0, "out", "dest.example", 0, 1);
        stage_run(&stage, 310);
        assert_row(is(0, IPC_DEFERRED, 451) && !result(0)->last.uncertain, commands[i]);
        assert_row(stage.servers[0].open == 0, commands[i]);
        assert_row(stage_credit(&stage) == 1001, commands[i]);
        stage_close(&stage);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delivery),
        cmocka_unit_test(test_session_is_reused),
        cmocka_unit_test(test_no_job_waits_for_a_slow_session),
        cmocka_unit_test(test_limit_of_sessions),
        cmocka_unit_test(test_smart_hosts),
        cmocka_unit_test(test_literal),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_eight_bit),
        cmocka_unit_test(test_size_limit_of_server),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_names_in_trouble),
        cmocka_unit_test(test_slow_names),
        cmocka_unit_test(test_resolver_is_replaced),
        cmocka_unit_test(test_fallback),
        cmocka_unit_test(test_fallback_over_families),
        cmocka_unit_test(test_black_hole),
        cmocka_unit_test(test_talking_to_ourselves),
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_replies_of_the_only_server),
        cmocka_unit_test(test_mixed_recipients),
        cmocka_unit_test(test_too_many_recipients),
        cmocka_unit_test(test_no_recipient_left),
        cmocka_unit_test(test_refused_before_the_cut),
        cmocka_unit_test(test_stale_sessions),
        cmocka_unit_test(test_patience_after_the_dot),
        cmocka_unit_test(test_silence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
