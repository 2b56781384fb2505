/* Sessions with clients that are slow, deaf, silent or without end, and a server that is asked to stop while they last.
 * The roles are the real ones; the clients write given text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/test.h"
#include "gonetsd/session.h"
#include "sim/scene.h"

#define SECOND_US UINT64_C(1000000)
#define HEARD_MAX 4096

/* Says the text, and then, or while nothing else is to be done, listens. */
struct talker {
    struct os *os;
    struct os_stream *stream;
    struct view text; /* what is left to say */
    uint64_t again;   /* so many times more */
    struct view repeat;
    bool deaf; /* never reads */
    bool over; /* the server has closed */
    uint64_t over_us;
    size_t lines;        /* heard */
    struct buffer heard; /* the last of it */
    char memory[HEARD_MAX];
};

static void on_talk(void *ctx, unsigned events);

static void watch(struct talker *t)
{
    unsigned wanted = (t->deaf ? 0u : OS_READABLE) | (t->text.len ? OS_WRITABLE : 0u);
    os_stream_watch(t->stream, t->over ? 0 : wanted, on_talk, t);
}

static void hear(struct talker *t)
{
    char bytes[HEARD_MAX / 2];
    size_t got;
    enum os_status status = os_stream_read(t->stream, bytes, sizeof bytes, &got);
    if (status == OS_AGAIN)
        return;
    if (status != OS_OK) {
        t->over = true;
        t->over_us = os_now_us(t->os);
        return;
    }
    for (size_t i = 0; i < got; i++)
        t->lines += bytes[i] == '\n';
    if (buffer_room(&t->heard) < got)
        buffer_remove(&t->heard, t->heard.len / 2);
    buffer_add(&t->heard, (struct view){ bytes, got });
}

static void talk(struct talker *t)
{
    while (t->text.len) {
        size_t put;
        const struct os_slice slice = { t->text.at, t->text.len };
        enum os_status status = os_stream_write(t->stream, &slice, 1, &put);
        if (status != OS_OK) {
            t->over = t->over || status != OS_AGAIN;
            return;
        }
        view_take(&t->text, put);
        if (t->text.len == 0 && t->again) {
            t->again--;
            t->text = t->repeat;
        }
    }
}

static void on_talk(void *ctx, unsigned events)
{
    struct talker *t = ctx;
    if (events & OS_READABLE && !t->deaf)
        hear(t);
    if (!t->over)
        talk(t);
    watch(t);
}

static void call(struct sim *sim, struct talker *t, const char *text)
{
    struct address to = { .set = true, .port = 25 };
    address_parse_ip(VIEW(SIM_HOST_IP), &to);
    t->os = mem_process_new(sim->clients);
    t->text = view_of(text);
    t->heard = BUFFER_OF(t->memory);
    assert_int_equal(os_connect(t->os, &to, NULL, &t->stream), OS_OK);
    watch(t);
}

static void say(struct talker *t, const char *text)
{
    t->text = view_of(text);
    watch(t);
}

static bool has_heard(const struct talker *t, const char *text)
{
    struct view heard = buffer_view(&t->heard), wanted = view_of(text);
    for (size_t i = 0; i + wanted.len <= heard.len; i++)
        if (view_equal(view_slice(heard, i, i + wanted.len), wanted))
            return true;
    return false;
}

static void begin(struct sim *sim, uint64_t seed)
{
    sim_begin(sim, seed, NULL, NULL, false);
    sim_run(sim, SECOND_US);
}

/* The most memory that any session holds for its client. */
static size_t most_held(struct sim *sim)
{
    size_t most = 0;
    for (size_t i = 0; i < 2; i++) {
        const struct smtpd *smtpd = mem_process_object(mem_host_process(sim->host, "smtpd", i));
        list_each(link, &smtpd->sessions)
        {
            const struct session *s = list_entry(link, struct session, link);
            size_t held = s->kept_len + s->owed_len + s->held_len;
            most = held > most ? held : most;
        }
    }
    return most;
}

static size_t session_count(struct sim *sim)
{
    size_t count = 0;
    for (size_t i = 0; i < 2; i++) {
        const struct smtpd *smtpd = mem_process_object(mem_host_process(sim->host, "smtpd", i));
        count += smtpd->session_count;
    }
    return count;
}

#define HELD_MAX (SMTPD_INPUT_MAX + SMTPD_OUTPUT_MAX)

/* H85: a client that never reads is not read from any more, holds little memory, and goes when its time is over; others
 * are served meanwhile. */
static void test_deaf(void **state)
{
    static const struct sim_mail mails[] = { { 1000, 7 }, { 300000, 2 } };
    static struct talker deaf[3];
    struct sim sim;
    (void)state;
    begin(&sim, 1);
    for (size_t i = 0; i < ROWS(deaf); i++) {
        deaf[i] = (struct talker){ .deaf = true, .again = 1000000, .repeat = VIEW("HELP\r\nNOOP\r\nEHLO again\r\n") };
        call(&sim, &deaf[i], "EHLO x\r\n");
    }
    for (size_t i = 0; i < 100; i++) {
        sim_run(&sim, SECOND_US);
        assert_true(most_held(&sim) <= HELD_MAX);
    }
    assert_int_equal(session_count(&sim), ROWS(deaf));
    sim_send(&sim, &(struct sim_plan){ .mails = mails, .count = ROWS(mails) });
    sim_run(&sim, 210 * SECOND_US);
    assert_int_equal(session_count(&sim), 0);
    assert_true(sim_finish(&sim));
    sim_end(&sim);
}

/* O6: commands without end, all answered in order. */
static void test_million(void **state)
{
    enum { COUNT = 1000000 };
    static struct talker t;
    struct sim sim;
    (void)state;
    begin(&sim, 2);
    t = (struct talker){ .again = COUNT / 10,
                         .repeat =
                             VIEW("NOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\n") };
    call(&sim, &t, "HELO x\r\n");
    for (size_t i = 0; i < 1000 && t.lines < COUNT + 2; i++) {
        sim_run(&sim, SECOND_US / 10);
        assert_true(most_held(&sim) <= HELD_MAX);
    }
    assert_int_equal(t.lines, COUNT + 2);
    say(&t, "QUIT\r\n");
    sim_run(&sim, SECOND_US);
    assert_true(t.over && has_heard(&t, "\r\n221 "));
    assert_int_equal(session_count(&sim), 0);
    sim_end(&sim);
}

/* RFC 5321 section 4.5.3.2.7: five minutes for a command; and for more of the content. */
static const struct {
    const char *text;
    const char *answer; /* before the time is over */
} silent[] = {
    { "", "220 " },
    { "EH", "220 " },
    { "EHLO x\r\n", "250 " },
    { "EHLO x\r\nMAIL FROM:<sender@example.net>\r\nRCPT TO:<alice@example.org>\r\n", "250 2.1.5" },
    { "EHLO x\r\nMAIL FROM:<sender@example.net>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n", "354 " },
    { "EHLO x\r\nMAIL FROM:<sender@example.net>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r",
      "354 " },
};

/* H123: for our side, as a server. */
static void test_silent(void **state)
{
    static struct talker t[ROWS(silent)];
    struct sim sim;
    (void)state;
    begin(&sim, 3);
    for (size_t i = 0; i < ROWS(silent); i++) {
        t[i] = (struct talker){ 0 };
        call(&sim, &t[i], silent[i].text);
    }
    sim_run(&sim, 299 * SECOND_US);
    for (size_t i = 0; i < ROWS(silent); i++)
        assert_row(!t[i].over && has_heard(&t[i], silent[i].answer) && !has_heard(&t[i], "421 "), silent[i].text);
    sim_run(&sim, 2 * SECOND_US);
    for (size_t i = 0; i < ROWS(silent); i++)
        assert_row(t[i].over && has_heard(&t[i], "421 4.4.2"), silent[i].text);
    sim_run(&sim, 2 * SECOND_US);
    assert_int_equal(session_count(&sim), 0);
    sim_end(&sim);
}

static const char whole[] = "EHLO x\r\nMAIL FROM:<sender@example.net>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n"
                            "X-Number: 0\r\n\r\nunanswered\r\n.\r\n";

/* What each has heard at last when the server is stopped. */
static const struct {
    const char *text, *before, *last;
} stopped[] = {
    { "", "220 ", "421 4.3.2" },
    { "EHLO x\r\n", "250 ", "421 4.3.2" },
    { "EHLO x\r\nMAIL FROM:<sender@example.net>\r\n", "250 2.1.0", "421 4.3.2" },
    { "EHLO x\r\nMAIL FROM:<sender@example.net>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\nSubject: half\r\n", "354 ",
      "421 4.3.2" },
    { whole, "354 ", "250 2.0.0" }, /* the answer that is owed comes first */
};

static void stop_and_wait(struct sim *sim, uint64_t us_max)
{
    sim_host_stop(sim->host);
    sim_run(sim, us_max);
    assert_false(sim_host_runs(sim->host));
}

/* Asked to stop: each session gets its 421, first the answer that it is owed; and all roles have ended in ten seconds.
 */
static void test_stop(void **state)
{
    static struct talker t[ROWS(stopped)];
    struct sim sim;
    (void)state;
    begin(&sim, 4);
    mem_host_set_delays(sim.host, 50, SECOND_US);
    for (size_t i = 0; i < ROWS(stopped); i++) {
        t[i] = (struct talker){ 0 };
        call(&sim, &t[i], stopped[i].text);
    }
    sim_run(&sim, SECOND_US / 50);
    for (size_t i = 0; i < ROWS(stopped); i++)
        assert_row(!t[i].over && has_heard(&t[i], stopped[i].before) && !has_heard(&t[i], stopped[i].last),
                   stopped[i].text);
    stop_and_wait(&sim, 10 * SECOND_US + SECOND_US / 10);
    for (size_t i = 0; i < ROWS(stopped); i++)
        assert_row(t[i].over && has_heard(&t[i], stopped[i].last) && has_heard(&t[i], "421 4.3.2"), stopped[i].text);
    sim_end(&sim);
}

/* One who never reads holds nobody up for longer. */
static void test_stop_deaf(void **state)
{
    static struct talker deaf;
    struct sim sim;
    (void)state;
    begin(&sim, 5);
    deaf = (struct talker){ .deaf = true, .again = 1000000, .repeat = VIEW("HELP\r\n") };
    call(&sim, &deaf, "EHLO x\r\n");
    sim_run(&sim, SECOND_US);
    stop_and_wait(&sim, 10 * SECOND_US + SECOND_US / 10);
    sim_end(&sim);
}

/* Stopped at any moment of receiving and delivering, and started again: nothing is lost, nothing comes twice. */
static void test_stop_anywhere(void **state)
{
    static const struct sim_mail mails[] = { { 300, 1 }, { 2500, 3 }, { 270000, 4 } };
    (void)state;
    for (size_t steps = 10; steps < 400; steps += 3) {
        struct sim sim;
        sim_begin(&sim, steps, NULL, NULL, false);
        sim_send(&sim, &(struct sim_plan){ .mails = mails, .count = ROWS(mails) });
        for (size_t i = 0; i < steps; i++)
            mem_world_step(sim.world);
        stop_and_wait(&sim, 10 * SECOND_US);
        if (!sim_finish(&sim))
            fail_msg("stopped at step %zu: %s", steps, sim.ledger.error);
        sim_end(&sim);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deaf), cmocka_unit_test(test_million),   cmocka_unit_test(test_silent),
        cmocka_unit_test(test_stop), cmocka_unit_test(test_stop_deaf), cmocka_unit_test(test_stop_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
