/* The power goes at every operation on the disk while a few mails are received and delivered; of what was not durable
 * then nothing, all or any part survives. After the next start everything that was answered 250 is delivered, nothing
 * else is, and mail is taken again; and that start, too, is cut short at its operations. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/test.h"
#include "sim/effort.h"
#include "sim/scene.h"

struct effort {
    uint64_t step;        /* the power goes at every so-manieth operation */
    size_t random;        /* choices of what survives, beside none and all */
    uint64_t second_from; /* of so many of these states one is cut short again, */
    uint64_t second_step; /* at every so-manieth operation */
};

static const struct effort quick = { SIM_THIN, 2, 131, 5 }, deep = { 1, 60, 7, 1 };

static const struct sim_mail mails[] = { { 300, 1 }, { 2500, 3 }, { 270000, 4 } };
static const struct sim_mail later[] = { { 400, 7 } };

struct tally {
    uint64_t cuts, states, second_states;
};

static const struct effort *effort(void)
{
    const char *text = getenv("GONETS_DEEP");
    return text && *text == '1' ? &deep : &quick;
}

/* Without syncfs the Maildir's barriers are fsyncs of files and folders. */
static void without_syncfs(struct sim *sim)
{
    const struct mem_fault fault = { .kinds = MEM_OP(OS_SYNC_FS), .times = UINT64_MAX, .status = OS_UNSUPPORTED };
    mem_disk_fail_at(mem_host_disk(sim->host), &fault);
}

/* What is left after a cut: told in the words that make it again. */
struct left {
    struct mem_disk *disk;
    struct sim_ledger ledger;
    bool syncfs;
    char story[200];
};

/* Plays a scene that the power cut ends at the nth operation; false: it came to its end before. */
static bool play(struct sim *sim, bool syncfs, uint64_t nth, const char *story, const struct sim_plan *plan,
                 struct left *left)
{
    if (!syncfs)
        without_syncfs(sim);
    mem_disk_cut_at(mem_host_disk(sim->host), nth);
    sim_send(sim, plan);
    bool finished = sim_finish(sim);
    if (!finished && !mem_disk_is_cut(mem_host_disk(sim->host)))
        fail_msg("%s: %s", story, sim->ledger.error);
    *left = (struct left){ .disk = sim_take_disk(sim), .syncfs = syncfs };
    sim_ledger_copy(&left->ledger, &sim->ledger);
    snprintf(left->story, sizeof left->story, "%s, cut at operation %" PRIu64, story, nth);
    sim_ledger_free(&sim->ledger);
    return !finished;
}

static void drop(struct left *left)
{
    mem_disk_free(left->disk);
    sim_ledger_free(&left->ledger);
}

static void restart(struct sim *sim, const struct left *left, struct mem_choice choice)
{
    struct mem_disk *disk = mem_disk_clone(left->disk);
    mem_disk_crash(disk, choice);
    sim_begin(sim, 7, disk, &left->ledger, false);
    sim_uncertain(sim);
}

static void describe(char *to, size_t size, const struct left *left, struct mem_choice choice)
{
    snprintf(to, size, "%s, choice %d %" PRIu64, left->story, (int)choice.how, choice.value);
}

static void go_on(const struct left *left, struct mem_choice choice)
{
    struct sim sim;
    struct left after;
    char story[256];
    describe(story, sizeof story, left, choice);
    restart(&sim, left, choice);
    play(&sim, left->syncfs, UINT64_MAX, story, &(struct sim_plan){ .mails = later, .count = ROWS(later) }, &after);
    if (sim_ledger_accepted(&after.ledger) <= sim_ledger_accepted(&left->ledger))
        fail_msg("%s: no mail is taken after it", story);
    drop(&after);
}

static void second_cuts(struct tally *tally, const struct left *left, struct mem_choice choice)
{
    static const struct mem_choice choices[] = { { MEM_KEEP_NONE, 0 }, { MEM_KEEP_ALL, 0 }, { MEM_KEEP_RANDOM, 9 } };
    char story[256];
    bool cut = true;
    describe(story, sizeof story, left, choice);
    for (uint64_t nth = tally->states % effort()->second_step; cut; nth += effort()->second_step) {
        struct sim sim;
        struct left again;
        restart(&sim, left, choice);
        cut = play(&sim, left->syncfs, nth, story, &(struct sim_plan){ .mails = later, .count = ROWS(later) }, &again);
        for (size_t i = 0; cut && i < ROWS(choices); i++, tally->second_states++)
            go_on(&again, choices[i]);
        drop(&again);
    }
}

static void try_state(struct tally *tally, const struct left *left, struct mem_choice choice)
{
    go_on(left, choice);
    if (tally->states++ % effort()->second_from == 0)
        second_cuts(tally, left, choice);
}

static void cut_everywhere(bool syncfs)
{
    static const struct sim_plan plan = { .mails = mails, .count = ROWS(mails) };
    struct tally tally = { 0 };
    bool cut = true;
    for (uint64_t nth = 0; cut; nth += effort()->step) {
        struct sim sim;
        struct left left;
        sim_begin(&sim, 11, NULL, NULL, false);
        cut = play(&sim, syncfs, nth, syncfs ? "with syncfs" : "without syncfs", &plan, &left);
        tally.cuts += cut;
        if (cut) {
            try_state(&tally, &left, (struct mem_choice){ MEM_KEEP_NONE, 0 });
            try_state(&tally, &left, (struct mem_choice){ MEM_KEEP_ALL, 0 });
        }
        for (size_t i = 0; cut && i < effort()->random; i++)
            try_state(&tally, &left, (struct mem_choice){ MEM_KEEP_RANDOM, nth * 100 + i });
        drop(&left);
    }
    printf("%s syncfs: %" PRIu64 " cuts, %" PRIu64 " states, %" PRIu64 " states of cut recovery\n",
           syncfs ? "with" : "without", tally.cuts, tally.states, tally.second_states);
}

/* H26 H134 H139 H140 H143 H152 */
static void test_power_cuts(void **state)
{
    (void)state;
    cut_everywhere(true);
}

/* H134 H139 H140 H152 */
static void test_power_cuts_without_syncfs(void **state)
{
    (void)state;
    cut_everywhere(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_power_cuts),
        cmocka_unit_test(test_power_cuts_without_syncfs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
