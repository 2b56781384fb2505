/* Errors: said in words, kept in the order of the files, with a guess at what was meant. */
#include "conf/parser.h"

#define SAID_MAX       128 /* bytes of a word that are repeated in an error */
#define GUESS_MAX      2   /* edits */
#define GUESS_WORD_MAX 64

void *conf_alloc(struct conf_parser *p, size_t size)
{
    void *memory = arena_alloc(&p->conf->arena, size);
    if (!memory)
        p->no_memory = true;
    return memory;
}

static bool comes_before(const struct conf_noted_error *a, const struct conf_noted_error *b)
{
    if (a->file_number != b->file_number)
        return a->file_number < b->file_number;
    if (a->error.line != b->error.line)
        return a->error.line < b->error.line;
    return a->error.column < b->error.column;
}

/* What is said may be shown anywhere: only printable characters (H42). NULL: no memory. */
static struct conf_noted_error *new_error(struct conf_parser *p, const struct conf_word *at, struct view text)
{
    struct conf_noted_error *noted = conf_alloc(p, sizeof *noted);
    struct buffer safe = { conf_alloc(p, text.len), 0, text.len, false };
    if (!noted || !safe.at)
        return NULL;
    buffer_add_safe(&safe, text, text.len);
    noted->file_number = at->file_number;
    noted->error = (struct conf_error){ at->file, at->line, at->column, buffer_view(&safe), NULL };
    return noted;
}

static void note(struct conf_parser *p, const struct conf_word *at, struct view text)
{
    struct conf_error **place = &p->errors;
    struct conf_noted_error *noted = p->error_count < CONF_ERRORS_MAX ? new_error(p, at, text) : NULL;
    if (!noted)
        return;
    while (*place && !comes_before(noted, (const struct conf_noted_error *)*place))
        place = &(*place)->next;
    noted->error.next = *place;
    *place = &noted->error;
    p->error_count++;
}

void conf_warn(struct conf_parser *p, const struct conf_word *at, const char *format, ...)
{
    char memory[CONF_ERROR_MAX / 2];
    struct buffer text = BUFFER_OF(memory);
    va_list args;
    va_start(args, format);
    buffer_addv(&text, format, args);
    va_end(args);
    struct conf_noted_error *noted = text.full ? NULL : new_error(p, at, buffer_view(&text));
    if (!noted)
        return;
    *p->warnings_end = &noted->error;
    p->warnings_end = &noted->error.next;
}

void conf_say(struct conf_parser *p, const struct conf_word *at, const char *format, ...)
{
    char memory[CONF_ERROR_MAX / 2];
    struct buffer text = BUFFER_OF(memory);
    va_list args;
    va_start(args, format);
    buffer_addv(&text, format, args);
    va_end(args);
    note(p, at, text.full ? VIEW("an error too long to say") : buffer_view(&text));
}

/* For "%s": quoted, and cut. */
struct said {
    char text[SAID_MAX + 8];
};

static struct said said(struct view word)
{
    struct said s;
    struct buffer to = BUFFER_OF(s.text);
    buffer_add_char(&to, '\'');
    buffer_add(&to, view_slice(word, 0, SAID_MAX));
    buffer_add_text(&to, word.len > SAID_MAX ? "...'" : "'");
    buffer_add_char(&to, '\0');
    return s;
}

void conf_say_bad(struct conf_parser *p, const struct conf_word *at, const char *reason)
{
    conf_say(p, at, "%s %s", said(at->text).text, reason);
}

void conf_say_unknown(struct conf_parser *p, const struct conf_word *at, const char *what,
                      const struct conf_guess *guess)
{
    if (guess->best.len)
        conf_say(p, at, "unknown %s %s; did you mean %s?", what, said(at->text).text, said(guess->best).text);
    else
        conf_say(p, at, "unknown %s %s", what, said(at->text).text);
}

void conf_error_add(struct buffer *to, const struct conf_error *error)
{
    buffer_add_safe(to, error->file, CONF_ERROR_MAX / 4);
    if (error->line)
        buffer_addf(to, ":%u:%u", error->line, error->column);
    buffer_add_text(to, error->file.len ? ": " : "");
    buffer_add(to, error->text);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Edits (insert, remove, replace, swap neighbours) that lead from a to b; three rows of the usual table. */
static size_t distance(struct view a, struct view b)
{
    size_t rows[3][GUESS_WORD_MAX + 1];
    for (size_t j = 0; j <= b.len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            bool same = ascii_lower(a.at[i - 1]) == ascii_lower(b.at[j - 1]);
            row[j] = least(above[j - 1] + !same, least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a.at[i - 1] == b.at[j - 2] && a.at[i - 2] == b.at[j - 1])
                row[j] = least(row[j], two_above[j - 2] + 1);
        }
    }
    return rows[a.len % 3][b.len];
}

/* The fewer edits the better, and the same length before another; what only begins as the word does comes last. */
void conf_guess_add(struct conf_guess *guess, struct view candidate)
{
    struct view word = guess->word;
    size_t max = word.len > 3 ? GUESS_MAX : 1, score = 2 * GUESS_MAX + 2;
    if (word.len < 2 || word.len > GUESS_WORD_MAX || candidate.len > GUESS_WORD_MAX)
        return;
    size_t edits = distance(word, candidate);
    if (edits <= max)
        score = 2 * edits + (word.len != candidate.len);
    else if (!view_starts_nocase(candidate, word))
        return;
    if (guess->best.len && score >= guess->score)
        return;
    guess->best = candidate;
    guess->score = score;
}
