/* Every script is cut short at every operation on the disk, and after each cut every subset of what was not durable is
 * tried (all of them while they are few, else chosen and random ones). From each such disk recovery must give back what
 * was promised and nothing else, and go on working; and recovery is itself cut short at every operation. */
#include "spool/rig_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* When the power goes, a process has no turn any more in which it could free its memory. */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

struct effort {
    size_t all_below;   /* units: every subset of so many */
    size_t random;      /* else so many random ones */
    size_t singles;     /* and at most so many with one unit alone, or missing */
    size_t second;      /* of each operation's states, so many get second cuts */
    size_t second_step; /* recovery is cut at every so-manieth operation, beginning with another one each time */
};

/* Sanitizers take ten times as long, and look for something else. */
#ifdef __has_feature
#define SANITIZED __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static const struct effort quick = { 5, 4, 4, 1, 13 }, sanitized = { 3, 1, 1, 1, 67 }, deep = { 12, 200, 64, 20, 1 };

/* Pairs that fill a segment each, and a log full of reports. */
#define PAIRS "m30000,m101 m30000,m103 m30000,m105 m30000,m107 m30000,m109 m30000,m111 m30000,m113 "
#define REPORTS                                                                                                        \
    "m100 e0 m101,m102,m103,m104,m105,m106,m107,m108,m109,m110,m111,m112,m113,m114,m115,m116,m117 e17 "                \
    "A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14 A15 A16 "

static const struct script {
    const char *name, *before, *words; /* before: is not cut */
    const char *fault;                 /* sync that fails during words: "0": the first */
    size_t all_below; /* where one commit alone is under way: every subset of so many units, also in the quick run */
} scripts[] = {
    { "prepare", NULL, "", NULL, 0 },
    { "group", "", "m100", NULL, 9 },
    { "groups", "", "m100 m200,m5000 m10", NULL, 9 },
    { "change", "", "m20000 m20000 m20000", NULL, 0 },
    { "seal", "m30000", "m30000 n", NULL, 0 },
    { "large", "", "m40000 m10", NULL, 0 },
    { "log", "m100,m200", "e0,e1 d0", NULL, 9 },
    { "forget", "m30000 m30000", "d0 d1 n", NULL, 0 },
    { "recycle", "m30000 m30000 m30000 d0 d1 d2", "m30000 m30000", NULL, 0 },
    { "add", "m100,m200", "a0", NULL, 9 },
    { "add again", "m100,m200", "a0,a1", NULL, 0 },
    { "add forget", "m100 m30000 m30000", "a0 d3 a1 n d4 d2 n", NULL, 0 },
    { "add change", "m100,m200,m300", "A0 A1 A2 d3 d4", NULL, 0 },
    { "add annul", "m100,m200", "a0 e1 a1", "0", 9 },
    { "compact", PAIRS "d0,d2,d4", "d6,d8 m9", NULL, 0 },
    { "compacted", PAIRS "d0,d2,d4,d6,d8,d10,d12 m9", "d1 d3,d5 q n d7,d9", NULL, 0 },
    { "compact log", REPORTS "d18 d19 d20 d21 d22 d23 d24 d25 d26", "d27 m9 A17", NULL, 0 },
    { "annul", "m100", "m200 m300", "0", 9 },
    { "annul again", "m100", "m200 m300", "01", 0 },
    { "annul large", "m100", "m40000 m300", "0", 9 },
    { "annul log", "m100,m200", "e0 d1 d0", "0", 9 },
    { "evacuate", "m100,m5000 m200 d1", "m300 m400 d0 n", "0", 0 },
    { "evacuated", "m100,m200 d0", "m300 m400 n d1 n", "0", 0 },
    { "restart", "m100", "m200 n m300 n d0", NULL, 0 },
    { "store restart", "m100", "m200 q m300 d0", NULL, 0 },
    { "writer restart", "m100", "m200 o m300 d0", NULL, 0 },
};

struct tally {
    uint64_t cuts, states, second_states;
};

static const struct effort *chosen_effort(void)
{
    const char *text = getenv("GONETS_DEEP");
    if (text && *text == '1')
        return &deep;
    return SANITIZED ? &sanitized : &quick;
}

static void set_faults(struct rig *rig, const char *fault)
{
    for (; fault && *fault; fault++) {
        struct mem_fault f = {
            .kinds = MEM_OP(OS_COMMIT), .nth = (uint64_t)(*fault - '0'), .times = 1, .status = OS_IO, .written = 700
        };
        /* The sync of a commit counts as the commit; writes are of their own kind. */
        mem_disk_fail_at(rig_disk(rig), &f);
    }
}

/* The same again on the same kind of disk, up to the nth operation of `words`. UINT64_MAX: to the end. */
static void play_until(struct rig *rig, const struct script *script, uint64_t nth)
{
    *rig = (struct rig){ .story = script->name };
    rig_start(rig, NULL);
    if (script->before) {
        assert_true(rig_open(rig));
        rig_play(rig, script->before);
    }
    if (nth != UINT64_MAX)
        mem_disk_cut_at(rig_disk(rig), nth);
    set_faults(rig, script->fault);
    if (!script->before)
        rig_open(rig);
    rig_play(rig, script->words);
}

static void go_on(struct rig *rig)
{
    size_t first = rig->letter_count;
    if (rig->damages)
        fail_msg("a power cut was taken for damage: %s", rig->story);
    rig_judge(rig);
    rig_compare(rig);
    rig_play(rig, "m300,m9");
    for (size_t i = first; i < rig->letter_count; i++)
        if (rig->letters[i].promise != KEPT)
            fail_msg("no mail is taken after recovery: %s", rig->story);
    rig_finish_all(rig);
}

/* Recovers a copy of the disk with what the choice left of it, by the ledger of `before`. */
static void recover(struct rig *rig, const struct rig *before, const struct mem_disk *disk, struct mem_choice choice,
                    uint64_t cut_at)
{
    struct mem_disk *copy = mem_disk_clone(disk);
    mem_disk_crash(copy, choice);
    *rig = *before;
    rig->damages = 0; /* what could not be read when the power was out */
    rig->os = NULL;
    rig->dir = NULL;
    rig->writer = NULL;
    rig->store = NULL;
    rig_start(rig, copy);
    if (cut_at != UINT64_MAX)
        mem_disk_cut_at(copy, cut_at);
    if (!rig_open(rig) && !mem_disk_is_cut(copy))
        fail_msg("recovery refused: %s: %s", rig->error, rig->story);
}

static void recover_and_go_on(const struct rig *before, const struct mem_disk *disk, struct mem_choice choice)
{
    struct rig rig;
    recover(&rig, before, disk, choice, UINT64_MAX);
    go_on(&rig);
    rig_stop(&rig);
}

/* Recovery cut short at every operation, and again nothing, all or something of it survives. */
static void second_cuts(struct tally *tally, const struct effort *effort, const struct rig *before,
                        const struct mem_disk *disk, struct mem_choice choice, uint64_t salt)
{
    static const struct mem_choice second[] = {
        { MEM_KEEP_NONE, 0 }, { MEM_KEEP_ALL, 0 }, { MEM_KEEP_RANDOM, 5 }, { MEM_KEEP_RANDOM, 6 }
    };
    bool cut = true;
    for (uint64_t nth = salt % effort->second_step; cut; nth += effort->second_step) {
        struct rig rig;
        recover(&rig, before, disk, choice, nth);
        cut = mem_disk_is_cut(rig_disk(&rig));
        struct rig ledger = rig;
        struct mem_disk *left = rig_take_disk(&rig);
        for (size_t i = 0; cut && i < sizeof(second) / sizeof(second[0]); i++, tally->second_states++)
            recover_and_go_on(&ledger, left, second[i]);
        mem_disk_free(left);
    }
}

struct states {
    struct tally *tally;
    const struct effort *effort;
    const struct rig *before;
    const struct mem_disk *disk;
    size_t second_left, all_below;
    uint64_t salt;
};

static void try_state(struct states *states, enum mem_survival how, uint64_t value)
{
    struct mem_choice choice = { how, value };
    recover_and_go_on(states->before, states->disk, choice);
    states->tally->states++;
    if (states->second_left) {
        states->second_left--;
        second_cuts(states->tally, states->effort, states->before, states->disk, choice, states->salt);
    }
}

static void try_subsets(struct states *states)
{
    const struct effort *effort = states->effort;
    size_t units = mem_disk_unsynced_count(states->disk);
    try_state(states, MEM_KEEP_ALL, 0);
    try_state(states, MEM_KEEP_NONE, 0);
    if (units <= effort->all_below || units <= states->all_below) {
        for (uint64_t set = 1; set + 1 < UINT64_C(1) << units; set++)
            try_state(states, MEM_KEEP_SET, set);
        return;
    }
    for (size_t i = 0; i < units && i < 64 && i < effort->singles; i++) {
        try_state(states, MEM_KEEP_SET, UINT64_C(1) << (units <= 64 ? units - 1 - i : i));
        try_state(states, MEM_KEEP_ALL_BUT, units - 1 - i);
        try_state(states, MEM_KEEP_FIRST, units - 1 - i);
    }
    for (size_t i = 0; i < effort->random; i++)
        try_state(states, MEM_KEEP_RANDOM, states->salt * 1000 + i);
}

static void explore(const struct script *script, struct tally *total)
{
    const struct effort *effort = chosen_effort();
    struct tally tally = { 0 };
    bool cut = true;
    for (uint64_t nth = 0; cut; nth++, tally.cuts++) {
        char story[128];
        struct rig rig;
        play_until(&rig, script, nth);
        cut = mem_disk_is_cut(rig_disk(&rig));
        snprintf(story, sizeof(story), "%s, cut at operation %llu", script->name, (unsigned long long)nth);
        rig.story = story;
        struct rig ledger = rig;
        struct mem_disk *disk = rig_take_disk(&rig);
        struct states states = {
            &tally, effort, &ledger, disk, effort->second, SANITIZED ? 0 : script->all_below, nth
        };
        try_subsets(&states);
        mem_disk_free(disk);
    }
    printf("%-16s %4llu cuts, %6llu states, %6llu states of cut recovery\n", script->name,
           (unsigned long long)tally.cuts, (unsigned long long)tally.states, (unsigned long long)tally.second_states);
    total->cuts += tally.cuts;
    total->states += tally.states;
    total->second_states += tally.second_states;
}

/* H134 H135 H137 H139 H140 */
static void test_power_cuts(void **state)
{
    struct tally total = { 0 };
    const char *only = getenv("GONETS_SCRIPT");
    (void)state;
    for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++)
        if (!only || strcmp(only, scripts[i].name) == 0)
            explore(&scripts[i], &total);
    printf("spool: %llu cuts, %llu states, %llu states of cut recovery\n", (unsigned long long)total.cuts,
           (unsigned long long)total.states, (unsigned long long)total.second_states);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_power_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
