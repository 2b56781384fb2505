#include "sim/trips.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_FIELD "X-Number: "

/* ghost and vanished are nobody there; of frank nobody ever knows whether he is. */
const char *const sim_paths[SIM_PATHS] = { "alice@example.org", "team@example.org",  "dave@example.net",
                                           "ghost@example.net", "frank@example.net", "lost@example.org" };

const struct sim_leaf sim_leaves[SIM_LEAVES] = {
    { "alice@example.org", SIM_HERE, "alice", 0 },     { "carol@example.org", SIM_HERE, "carol", 1 },
    { "erin@example.net", SIM_THERE, "erin", 1 },      { "dave@example.net", SIM_THERE, "dave", 2 },
    { "ghost@example.net", SIM_REPORTED, NULL, 3 },    { "frank@example.net", SIM_REPORTED, "frank", 4 },
    { "vanished@example.net", SIM_REPORTED, NULL, 5 },
};

void sim_trips_free(struct sim_trips *t)
{
    sim_ledger_free(&t->ledger);
    free(t->trips);
}

struct sim_trip *sim_trip(struct sim_trips *t, uint32_t letter)
{
    if (t->cap < t->ledger.count) {
        size_t cap = 2 * t->ledger.count;
        t->trips = realloc(t->trips, cap * sizeof *t->trips);
        if (!t->trips)
            abort();
        memset(t->trips + t->cap, 0, (cap - t->cap) * sizeof *t->trips);
        t->cap = cap;
    }
    return &t->trips[letter];
}

unsigned sim_leaf_find(struct view path)
{
    unsigned leaf = 0;
    while (leaf < SIM_LEAVES && !view_equal(path, view_of(sim_leaves[leaf].path)))
        leaf++;
    return leaf;
}

/* ---- counting ---- */

void sim_trips_count_begin(struct sim_trips *t)
{
    for (uint32_t i = 0; i < t->ledger.count; i++) {
        struct sim_trip *trip = sim_trip(t, i);
        memset(trip->copies, 0, sizeof trip->copies);
        memset(trip->failed, 0, sizeof trip->failed);
        memset(trip->delayed, 0, sizeof trip->delayed);
    }
}

bool sim_trips_count_copy(struct sim_trips *t, unsigned leaf, struct view file)
{
    struct view front;
    const struct sim_letter *letter = sim_ledger_recognize(&t->ledger, leaf, file, &front);
    if (!letter)
        return false;
    if (!view_starts(front, VIEW("Return-Path: <" SIM_SENDER "@example.org>\nReceived: from ")))
        return sim_ledger_complain(&t->ledger, letter, "a copy has another front");
    sim_trip(t, letter->number)->copies[leaf]++;
    return true;
}

/* The original is in the report: its number tells which letter it speaks of. */
static bool find_letter(struct sim_trips *t, struct view report, uint32_t *letter)
{
    uint64_t number;
    while (report.len) {
        struct view line = view_take_until(&report, '\n');
        if (!view_starts(line, VIEW(NUMBER_FIELD)))
            continue;
        view_take(&line, strlen(NUMBER_FIELD));
        if (!view_to_u64(view_trim(line), UINT32_MAX, &number) || number >= t->ledger.count)
            return false;
        *letter = (uint32_t)number;
        return true;
    }
    return false;
}

bool sim_trips_count_report(struct sim_trips *t, struct view file)
{
    static const struct view final = { "Final-Recipient: rfc822; ", 25 }, action = { "Action: ", 8 };
    struct view rest = file;
    uint32_t letter = 0;
    unsigned leaf = SIM_LEAVES, named = 0;
    bool good = view_starts(file, VIEW("Return-Path: <>\n")) && find_letter(t, file, &letter);
    while (good && rest.len) {
        struct view line = view_take_until(&rest, '\n');
        if (view_starts(line, final)) {
            view_take(&line, final.len);
            leaf = sim_leaf_find(line);
            good = leaf < SIM_LEAVES;
        } else if (leaf < SIM_LEAVES && view_starts(line, action)) {
            struct sim_trip *trip = sim_trip(t, letter);
            view_take(&line, action.len);
            ++*(view_equal(line, VIEW("failed")) ? &trip->failed[leaf] : &trip->delayed[leaf]);
            leaf = SIM_LEAVES;
            named++;
        }
    }
    if (!good || named == 0)
        snprintf(t->ledger.error, sizeof t->ledger.error, "a report that speaks of no letter or of a stranger: %.*s",
                 VIEW_FORMAT(view_slice(file, 0, 300)));
    return good && named > 0;
}

/* ---- judging ---- */

/* Of a letter whose sender had no answer all recipients are served, or none. */
static bool is_taken(const struct sim_letter *letter, const struct sim_trip *trip)
{
    unsigned traces = 0;
    for (unsigned leaf = 0; leaf < SIM_LEAVES; leaf++)
        traces += trip->copies[leaf] + trip->failed[leaf] + trip->delayed[leaf];
    return letter->fate == SIM_ACCEPTED || (letter->fate == SIM_UNKNOWN && traces > 0);
}

static const char *fault_of(const struct sim_trip *trip, unsigned breaks, unsigned leaf, bool due)
{
    bool reported = sim_leaves[leaf].end == SIM_REPORTED;
    unsigned copies = trip->copies[leaf], failed = trip->failed[leaf];
    if (!due)
        return copies || failed || trip->delayed[leaf] ? "served though it was not accepted" : NULL;
    if (copies + failed == 0)
        return "neither delivered nor reported";
    if (copies && failed)
        return "delivered and reported";
    if (reported != (failed > 0))
        return reported ? "delivered to nobody" : "reported, and could be delivered";
    if (failed > 1 || trip->delayed[leaf] > 1)
        return "reported twice";
    return copies > 1 + trip->windows[leaf] + breaks ? "a copy too many" : NULL;
}

static bool judge(struct sim_trips *t, const struct sim_letter *letter)
{
    const struct sim_trip *trip = sim_trip(t, letter->number);
    bool taken = is_taken(letter, trip);
    for (unsigned leaf = 0; leaf < SIM_LEAVES; leaf++) {
        const char *fault = fault_of(trip, t->breaks, leaf, taken && letter->accepted >> sim_leaves[leaf].by & 1);
        char text[200];
        if (!fault)
            continue;
        snprintf(text, sizeof text, "%s: %s (%u copies, %u reports, %u delays, %u windows)", sim_leaves[leaf].path,
                 fault, trip->copies[leaf], trip->failed[leaf], trip->delayed[leaf], trip->windows[leaf]);
        return sim_ledger_complain(&t->ledger, letter, text);
    }
    return true;
}

bool sim_trips_complete(struct sim_trips *t)
{
    for (uint32_t i = 0; i < t->ledger.count; i++) {
        const struct sim_letter *letter = &t->ledger.letters[i];
        const struct sim_trip *trip = sim_trip(t, i);
        for (unsigned leaf = 0; leaf < SIM_LEAVES; leaf++)
            if (letter->fate == SIM_ACCEPTED && letter->accepted >> sim_leaves[leaf].by & 1 &&
                trip->copies[leaf] + trip->failed[leaf] == 0)
                return false;
    }
    return true;
}

bool sim_trips_judge(struct sim_trips *t)
{
    for (size_t i = 0; i < t->ledger.count; i++)
        if (!judge(t, &t->ledger.letters[i]))
            return false;
    return true;
}

void sim_trips_sum(struct sim_trips *t, struct sim_sums *sums)
{
    sums->accepted += sim_ledger_accepted(&t->ledger);
    for (uint32_t i = 0; i < t->ledger.count; i++) {
        const struct sim_trip *trip = sim_trip(t, i);
        for (unsigned leaf = 0; leaf < SIM_LEAVES; leaf++) {
            sums->delivered += trip->copies[leaf] > 0;
            sums->duplicates += trip->copies[leaf] > 1 ? trip->copies[leaf] - 1 : 0;
            sums->reports += trip->failed[leaf];
            sums->delays += trip->delayed[leaf];
        }
    }
}

void sim_sums_print(const struct sim_sums *sums)
{
    printf("%" PRIu64 " letters, %" PRIu64 " delivered, %" PRIu64 " reports, %" PRIu64 " told of delay, %" PRIu64
           " duplicates explained\n",
           sums->accepted, sums->delivered, sums->reports, sums->delays, sums->duplicates);
}
