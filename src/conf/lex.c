#include "conf/lex.h"

#include "conf/conf.h"

void conf_lexer_init(struct conf_lexer *lexer, struct view file, unsigned file_number, struct view text,
                     struct arena *arena)
{
    if (view_starts(text, VIEW("\xef\xbb\xbf"))) /* the mark that some editors put before UTF-8 */
        view_take(&text, 3);
    *lexer = (struct conf_lexer){ file, file_number, text, 1, text.at, arena };
}

static struct conf_word word_here(const struct conf_lexer *lexer, enum conf_word_kind kind)
{
    return (struct conf_word){ .kind = kind,
                               .file = lexer->file,
                               .file_number = lexer->file_number,
                               .line = lexer->line,
                               .column = (unsigned)(lexer->rest.at - lexer->line_start) + 1 };
}

static void start_line(struct conf_lexer *lexer)
{
    lexer->line++;
    lexer->line_start = lexer->rest.at;
}

static size_t line_end_len(struct view rest)
{
    return view_starts(rest, VIEW("\n")) ? 1 : view_starts(rest, VIEW("\r\n")) ? 2 : 0;
}

static bool skip_blank(struct conf_lexer *lexer)
{
    struct view *rest = &lexer->rest;
    if (rest->len && ascii_is_blank(rest->at[0])) {
        view_take(rest, 1);
        return true;
    }
    if (rest->len > 1 && rest->at[0] == '\\') {
        size_t len = line_end_len(view_slice(*rest, 1, 3));
        if (len) {
            view_take(rest, 1 + len);
            start_line(lexer);
            return true;
        }
    }
    return false;
}

static void skip_comment(struct conf_lexer *lexer)
{
    struct view *rest = &lexer->rest;
    if (rest->len == 0 || rest->at[0] != '#')
        return;
    view_take(rest, view_find(*rest, '\n'));
}

static size_t plain_len(struct view rest)
{
    size_t n = 0, depth = 0;
    for (; n < rest.len; n++) {
        char c = rest.at[n];
        struct view here = view_slice(rest, n, rest.len);
        if (ascii_is_blank(c) || c == ',' || line_end_len(here) || (c == '}' && depth == 0))
            break;
        if (c == '\\' && line_end_len(view_slice(here, 1, 3)))
            break;
        if (c == '{')
            depth++;
        if (c == '}')
            depth--;
    }
    return n;
}

static void say_bad(struct conf_word *word, struct view text)
{
    word->kind = CONF_BAD;
    word->text = text;
}

/* At the opening quote. What is inside stays as it is when there is nothing to take off. */
static void take_quoted(struct conf_lexer *lexer, struct conf_word *word)
{
    struct view *rest = &lexer->rest;
    view_take(rest, 1);
    struct view line = view_slice(*rest, 0, view_find(*rest, '\n'));
    size_t n = 0, escapes = 0;
    for (; n < line.len && line.at[n] != '"'; n++)
        if (line.at[n] == '\\' && n + 1 < line.len) {
            n++;
            escapes++;
            if (line.at[n] != '"' && line.at[n] != '\\') {
                word->column += (unsigned)n;
                say_bad(word, VIEW("a backslash in quotes stands only before \" or \\"));
                return;
            }
        }
    if (n >= line.len) {
        say_bad(word, VIEW("missing quote: nothing closes this one on the same line"));
        return;
    }
    struct view inside = view_take(rest, n);
    view_take(rest, 1);
    word->quoted = true;
    word->text = inside;
    if (escapes == 0)
        return;
    char *to = arena_alloc(lexer->arena, inside.len);
    word->text = (struct view){ to, 0 };
    for (size_t i = 0; to && i < inside.len; i++) {
        i += inside.at[i] == '\\';
        to[word->text.len++] = inside.at[i];
    }
    if (!to)
        say_bad(word, VIEW("no memory"));
}

static void take_plain(struct conf_lexer *lexer, struct conf_word *word)
{
    word->text = view_take(&lexer->rest, plain_len(lexer->rest));
    size_t quote = view_find(word->text, '"');
    if (quote == word->text.len)
        return;
    word->column += (unsigned)quote;
    say_bad(word, VIEW("a quote inside of a word: quotes go around the whole of it"));
}

static enum conf_word_kind mark_kind(char c)
{
    return c == '{' ? CONF_OPEN : c == '}' ? CONF_CLOSE : c == ',' ? CONF_COMMA : CONF_WORD;
}

void conf_lexer_next(struct conf_lexer *lexer, struct conf_word *word)
{
    struct view *rest = &lexer->rest;
    while (skip_blank(lexer))
        ;
    skip_comment(lexer);
    *word = word_here(lexer, rest->len ? CONF_WORD : CONF_FILE_END);
    if (rest->len == 0)
        return;
    size_t line_end = line_end_len(*rest);
    if (line_end) {
        word->kind = CONF_LINE_END;
        view_take(rest, line_end);
        start_line(lexer);
        return;
    }
    word->kind = mark_kind(rest->at[0]);
    if (word->kind != CONF_WORD)
        word->text = view_take(rest, 1);
    else if (rest->at[0] == '"')
        take_quoted(lexer, word);
    else
        take_plain(lexer, word);
}

static bool is_control(struct view rest)
{
    char c = rest.at[0];
    return ((unsigned char)c < ' ' && c != '\t' && line_end_len(rest) == 0) || c == 127;
}

bool conf_lexer_check(struct conf_lexer lexer, struct conf_word *at)
{
    struct view *rest = &lexer.rest;
    while (rest->len) {
        bool too_long = rest->at - lexer.line_start >= CONF_LINE_MAX && line_end_len(*rest) == 0;
        if (too_long || is_control(*rest)) {
            *at = word_here(&lexer, CONF_BAD);
            at->text =
                too_long ? VIEW("a line of more than 65536 bytes") : VIEW("a control character; is this a text file?");
            return false;
        }
        if (view_take(rest, 1).at[0] == '\n')
            start_line(&lexer);
    }
    return true;
}
