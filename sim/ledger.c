#include "sim/ledger.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_FIELD "X-Number: "
#define FRONT_MAX   1024 /* Return-Path and Received */

static void *taken(void *memory)
{
    if (!memory)
        abort(); /* the simulator's own memory is not what is tested */
    return memory;
}

void sim_ledger_free(struct sim_ledger *l)
{
    free(l->letters);
    *l = (struct sim_ledger){ 0 };
}

void sim_ledger_copy(struct sim_ledger *to, const struct sim_ledger *from)
{
    *to = *from;
    to->letters = taken(malloc((from->cap + 1) * sizeof *to->letters));
    if (from->count)
        memcpy(to->letters, from->letters, from->count * sizeof *to->letters);
}

struct sim_letter *sim_ledger_add(struct sim_ledger *l, size_t size, unsigned to)
{
    if (l->count == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 16;
        l->letters = taken(realloc(l->letters, l->cap * sizeof *l->letters));
    }
    struct sim_letter *letter = &l->letters[l->count];
    *letter = (struct sim_letter){ .number = (uint32_t)l->count, .size = size, .to = to };
    l->count++;
    return letter;
}

struct sim_letter *sim_ledger_find(struct sim_ledger *l, uint32_t number)
{
    return number < l->count ? &l->letters[number] : NULL;
}

void sim_ledger_abandon(struct sim_ledger *l)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->letters[i].fate == SIM_OPEN)
            l->letters[i].fate = l->letters[i].dotted ? SIM_UNKNOWN : SIM_REFUSED;
}

/* ---- content ---- */

static uint64_t chance(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

/* Lines of all lengths up to 78, among them empty ones, ones of dots, and ones that look like a new message. */
static void add_line(struct buffer *to, uint64_t *seed)
{
    static const char *const odd[] = { ".", "..", ".x", "From x", "", "MAIL FROM:<evil@example.net>", "\xc3\xa4.\t." };
    uint64_t n = chance(seed);
    if (n % 8 == 0) {
        buffer_add_text(to, odd[n / 8 % (sizeof odd / sizeof odd[0])]);
    } else {
        char line[78];
        memset(line, 'a' + (int)(n / 8 % 26), sizeof line);
        buffer_add(to, (struct view){ line, 1 + n / 256 % sizeof line });
    }
    buffer_add_text(to, "\r\n");
}

char *sim_letter_text(const struct sim_letter *letter, size_t *len)
{
    struct buffer text;
    size_t cap = letter->size + 512;
    uint64_t seed = letter->number * UINT64_C(0x9e3779b97f4a7c15) + letter->size;
    char *memory = taken(malloc(cap));
    buffer_init(&text, memory, cap);
    buffer_addf(&text, FIRST_FIELD "%u\r\nX-Size: %zu\r\nSubject: a letter\r\n\r\n", letter->number, letter->size);
    while (text.len < letter->size)
        add_line(&text, &seed);
    *len = text.len;
    return memory;
}

/* ---- counting ---- */

void sim_ledger_count_begin(struct sim_ledger *l)
{
    for (size_t i = 0; i < l->count; i++)
        memset(l->letters[i].copies, 0, sizeof l->letters[i].copies);
}

static bool complain(struct sim_ledger *l, const struct sim_letter *letter, const char *what, unsigned user)
{
    struct buffer text;
    buffer_init(&text, l->error, sizeof l->error - 1);
    buffer_addf(&text, "letter %u (%zu bytes, to %x, accepted %x, fate %d) user %u: %s, %u copies, %u windows",
                letter->number, letter->size, letter->to, letter->accepted, (int)letter->fate, user, what,
                letter->copies[user], letter->windows[user]);
    l->error[text.len] = 0;
    return false;
}

bool sim_ledger_complain(struct sim_ledger *l, const struct sim_letter *letter, const char *what)
{
    struct buffer text;
    buffer_init(&text, l->error, sizeof l->error - 1);
    buffer_addf(&text, "letter %u (%zu bytes, to %x, accepted %x, fate %d): %s", letter->number, letter->size,
                letter->to, letter->accepted, (int)letter->fate, what);
    l->error[text.len] = 0;
    return false;
}

static bool complain_of_file(struct sim_ledger *l, unsigned user, struct view file, const char *what)
{
    struct buffer text;
    buffer_init(&text, l->error, sizeof l->error - 1);
    buffer_addf(&text, "a file of %zu bytes of user %u %s: ", file.len, user, what);
    buffer_add_safe(&text, file, 200);
    l->error[text.len] = 0;
    return false;
}

/* Where the first field stands: behind what was put in front; file.len: nowhere. */
static size_t find_content(struct view file)
{
    struct view rest = view_slice(file, 0, FRONT_MAX);
    while (rest.len) {
        if (view_starts(rest, VIEW(FIRST_FIELD)))
            return (size_t)(rest.at - file.at);
        view_take_until(&rest, '\n');
    }
    return file.len;
}

static struct sim_letter *letter_of(struct sim_ledger *l, struct view content)
{
    uint64_t number;
    struct view line = view_take_until(&content, '\n');
    view_take(&line, strlen(FIRST_FIELD));
    return view_to_u64(line, UINT32_MAX, &number) ? sim_ledger_find(l, (uint32_t)number) : NULL;
}

static bool is_equal(const struct sim_letter *letter, struct view content)
{
    size_t len, kept = 0;
    char *text = sim_letter_text(letter, &len);
    for (size_t i = 0; i < len; i++)
        if (text[i] != '\r')
            text[kept++] = text[i];
    bool equal = view_equal(content, (struct view){ text, kept });
    free(text);
    return equal;
}

struct sim_letter *sim_ledger_recognize(struct sim_ledger *l, unsigned user, struct view file, struct view *front)
{
    size_t at = find_content(file);
    struct view content = view_slice(file, at, file.len);
    struct sim_letter *letter = content.len ? letter_of(l, content) : NULL;
    *front = view_slice(file, 0, at);
    if (letter && is_equal(letter, content))
        return letter;
    complain_of_file(l, user, file, letter ? "differs from what was sent" : "is no letter");
    return NULL;
}

bool sim_ledger_count(struct sim_ledger *l, unsigned user, struct view file)
{
    struct view front;
    struct sim_letter *letter = sim_ledger_recognize(l, user, file, &front);
    if (!letter)
        return false;
    if (!view_starts(front, VIEW("Return-Path: <sender@example.net>\nReceived: from ")) ||
        front.at[front.len - 1] != '\n')
        return complain_of_file(l, user, file, "has another front");
    letter->copies[user]++;
    return true;
}

/* ---- judging ---- */

void sim_ledger_window(struct sim_ledger *l, uint32_t fault)
{
    for (size_t i = 0; i < l->count; i++)
        for (unsigned user = 0; user < SIM_USERS; user++) {
            struct sim_letter *letter = &l->letters[i];
            if (letter->settled || letter->copies[user] == 0 || letter->window_of[user] == fault)
                continue;
            letter->window_of[user] = fault;
            letter->windows[user]++;
        }
}

static bool is_complete(const struct sim_letter *letter)
{
    for (unsigned user = 0; user < SIM_USERS; user++)
        if (letter->accepted >> user & 1 && letter->copies[user] == 0)
            return false;
    return true;
}

bool sim_ledger_complete(const struct sim_ledger *l)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->letters[i].fate == SIM_ACCEPTED && !is_complete(&l->letters[i]))
            return false;
    return true;
}

void sim_ledger_settle(struct sim_ledger *l)
{
    for (size_t i = 0; i < l->count; i++)
        l->letters[i].settled = l->letters[i].fate != SIM_OPEN;
}

/* Of a letter without an answer all recipients get it, or none. */
static bool is_taken(const struct sim_letter *letter)
{
    if (letter->fate != SIM_UNKNOWN)
        return letter->fate == SIM_ACCEPTED;
    for (unsigned user = 0; user < SIM_USERS; user++)
        if (letter->copies[user])
            return true;
    return false;
}

static bool judge(struct sim_ledger *l, const struct sim_letter *letter)
{
    bool taken_over = is_taken(letter);
    for (unsigned user = 0; user < SIM_USERS; user++) {
        bool due = taken_over && letter->accepted >> user & 1;
        if (due && letter->copies[user] == 0)
            return complain(l, letter, "lost", user);
        if (!due && letter->copies[user] > 0)
            return complain(l, letter, "delivered though it was not accepted", user);
        if (due && letter->copies[user] > 1 + letter->windows[user])
            return complain(l, letter, "duplicate that nothing explains", user);
    }
    return true;
}

bool sim_ledger_judge(struct sim_ledger *l)
{
    for (size_t i = 0; i < l->count; i++)
        if (!judge(l, &l->letters[i]))
            return false;
    return true;
}

size_t sim_ledger_accepted(const struct sim_ledger *l)
{
    size_t count = 0;
    for (size_t i = 0; i < l->count; i++)
        count += l->letters[i].fate == SIM_ACCEPTED;
    return count;
}
