/* Statements, files, and what belongs to all of them. */
#include "conf/parser.h"

#define ACTION_USAGE                                                                                                   \
    "NAME maildir|mbox TEMPLATE [user ACCOUNT] [users <TABLE>] [aliases <TABLE>] [biff], NAME relay [via HOST[:PORT] " \
    "...] [port NUMBER] or NAME discard|hold"

struct statement {
    const char *name;
    bool (*parse)(struct conf_parser *p);
    const char *usage; /* arguments, as the manual page writes them */
};

static bool parse_limit(struct conf_parser *p);
static bool parse_include(struct conf_parser *p);
static bool parse_tenant(struct conf_parser *p);
static bool parse_relay(struct conf_parser *p);

static const struct statement statements[] = {
    { "listen", conf_parse_listen, "ADDRESS:PORT [lenient]" },
    { "table", conf_parse_table, "NAME { KEY, ... } or NAME file PATH" },
    { "action", conf_parse_action, ACTION_USAGE },
    { "relay", parse_relay, "..." },
    { "match", conf_parse_match, "[from any|local|network NETWORK] for any|local|domain DOMAIN action NAME|reject" },
    { "retry", conf_parse_retry, "TIME ... [expire TIME] [warn TIME|never]" },
    { "dns", conf_parse_dns, "forward ADDRESS[:PORT] or stub ZONE ADDRESS[:PORT] or insecure ZONE" },
    { "limit", parse_limit, "NAME VALUE" },
    { "include", parse_include, "PATH" },
    { "tenant", parse_tenant, "NAME { ... }" },
};
static const size_t statement_count = sizeof statements / sizeof *statements;

void conf_next(struct conf_parser *p)
{
    conf_lexer_next(p->lexer, &p->word);
}

bool conf_more(const struct conf_parser *p)
{
    return p->word.kind != CONF_LINE_END && p->word.kind != CONF_FILE_END;
}

/* "write: listen ADDRESS:PORT [lenient]" */
static void say_usage(struct conf_parser *p, const char *what, bool show)
{
    struct view keyword = p->statement.text, word = view_slice(p->word.text, 0, 64);
    if (show)
        conf_say(p, &p->word, "%s '%.*s'; write: %.*s %s", what, VIEW_FORMAT(word), VIEW_FORMAT(keyword), p->usage);
    else
        conf_say(p, &p->word, "%s; write: %.*s %s", what, VIEW_FORMAT(keyword), p->usage);
}

bool conf_take(struct conf_parser *p, struct conf_word *word)
{
    *word = p->word;
    if (word->kind == CONF_WORD) {
        conf_next(p);
        return true;
    }
    if (word->kind == CONF_BAD)
        conf_say(p, word, "%.*s", VIEW_FORMAT(word->text));
    else if (conf_more(p))
        say_usage(p, "unexpected", true);
    else
        say_usage(p, "missing argument", false);
    return false;
}

int conf_choose(struct conf_parser *p, const char *const *words)
{
    struct conf_word word;
    if (!conf_take(p, &word))
        return -1;
    struct conf_guess guess = { .word = word.text };
    for (int i = 0; words[i]; i++) {
        if (view_equal(word.text, view_of(words[i])))
            return i;
        conf_guess_add(&guess, view_of(words[i]));
    }
    conf_say_unknown(p, &word, "word", &guess);
    return -1;
}

bool conf_below_max(struct conf_parser *p, unsigned *count, const char *what)
{
    if (++*count <= CONF_STATEMENTS_MAX)
        return true;
    if (*count == CONF_STATEMENTS_MAX + 1)
        conf_say(p, &p->statement, "more than %u %s", CONF_STATEMENTS_MAX, what);
    return false;
}

/* ---- settings and limits: one value each ---- */

static bool parse_value(struct conf_parser *p, const struct conf_setting *setting, bool again)
{
    struct conf_word value;
    char text[128];
    struct buffer reason = BUFFER_OF(text);
    if (!conf_take(p, &value))
        return false;
    const char *bad = conf_setting_set(p->conf, setting, value.text, &reason);
    if (bad)
        conf_say_bad(p, &value, bad);
    else if (again)
        conf_say(p, &p->statement, "duplicate '%s': it was given before", setting->name);
    return !bad && !again;
}

static bool mark_seen(uint64_t *seen, size_t row)
{
    bool again = *seen >> row & 1;
    *seen |= (uint64_t)1 << row;
    return again;
}

static bool parse_limit(struct conf_parser *p)
{
    struct conf_word name;
    if (!conf_take(p, &name))
        return false;
    struct conf_guess guess = { .word = name.text };
    for (size_t i = 0; i < conf_limit_count; i++) {
        if (view_equal(name.text, view_of(conf_limits[i].name)))
            return parse_value(p, &conf_limits[i], mark_seen(&p->limits_seen, i));
        conf_guess_add(&guess, view_of(conf_limits[i].name));
    }
    conf_say_unknown(p, &name, "limit", &guess);
    return false;
}

static bool parse_tenant(struct conf_parser *p)
{
    conf_say(p, &p->statement, "'tenant' is reserved: this version has no tenants");
    return false;
}

/* Not a statement, but easily taken for one. */
static bool parse_relay(struct conf_parser *p)
{
    conf_say(p, &p->statement,
             "'relay' is an action; write: action out relay, and: match from local for any action out");
    return false;
}

/* ---- statements ---- */

/* To the end of a statement that has an error; a block in braces goes with it. */
static void skip_statement(struct conf_parser *p)
{
    struct conf_word open;
    unsigned depth = 0;
    while (p->word.kind != CONF_FILE_END && (depth || p->word.kind != CONF_LINE_END)) {
        if (p->word.kind == CONF_OPEN && depth++ == 0)
            open = p->word;
        if (p->word.kind == CONF_CLOSE && depth)
            depth--;
        conf_next(p);
    }
    if (depth == 0)
        return;
    conf_say(p, &open, "missing brace: nothing closes this one");
    p->cut_short = true;
}

static bool is_keyword(const struct conf_parser *p, struct conf_guess *guess, const char *name)
{
    conf_guess_add(guess, view_of(name));
    return view_equal(p->statement.text, view_of(name));
}

static const struct statement *find_statement(struct view name)
{
    for (size_t i = 0; i < statement_count; i++)
        if (view_equal(name, view_of(statements[i].name)))
            return &statements[i];
    return NULL;
}

bool conf_is_keyword(struct view word)
{
    for (size_t i = 0; i < conf_setting_count; i++)
        if (view_equal(word, view_of(conf_settings[i].name)))
            return true;
    return find_statement(word) != NULL;
}

static void mark_statement(struct conf_parser *p, const struct statement *statement)
{
    p->listen_seen |= statement->parse == conf_parse_listen;
    p->match_seen |= statement->parse == conf_parse_match;
}

/* What was meant is not missed at the end. */
static void say_unknown_statement(struct conf_parser *p, const struct conf_guess *guess)
{
    const struct statement *meant = find_statement(guess->best);
    conf_say_unknown(p, &p->statement, "word", guess);
    if (meant) {
        mark_statement(p, meant);
        p->accept_seen = true;
    }
    p->hostname_seen |= view_equal(guess->best, VIEW("hostname"));
}

static bool parse_keyword(struct conf_parser *p)
{
    struct conf_guess guess = { .word = p->statement.text };
    for (size_t i = 0; i < conf_setting_count; i++)
        if (is_keyword(p, &guess, conf_settings[i].name)) {
            p->usage = conf_settings[i].argument;
            p->hostname_seen |= i == 0;
            return parse_value(p, &conf_settings[i], mark_seen(&p->settings_seen, i));
        }
    for (size_t i = 0; i < statement_count; i++)
        if (is_keyword(p, &guess, statements[i].name)) {
            p->usage = statements[i].usage;
            mark_statement(p, &statements[i]);
            return statements[i].parse(p);
        }
    say_unknown_statement(p, &guess);
    return false;
}

static bool parse_statement(struct conf_parser *p)
{
    p->statement = p->word;
    p->usage = "...";
    if (p->word.kind == CONF_BAD)
        conf_say(p, &p->word, "%.*s", VIEW_FORMAT(p->word.text));
    else if (p->word.kind != CONF_WORD)
        conf_say(p, &p->word, "unexpected '%.*s'", VIEW_FORMAT(p->word.text));
    if (p->word.kind != CONF_WORD)
        return false;
    conf_next(p);
    return parse_keyword(p);
}

static void parse_statements(struct conf_parser *p)
{
    conf_next(p);
    while (p->word.kind != CONF_FILE_END && !p->no_memory) {
        if (conf_more(p) && parse_statement(p) && conf_more(p)) {
            if (p->word.kind == CONF_BAD)
                conf_say(p, &p->word, "%.*s", VIEW_FORMAT(p->word.text));
            else
                say_usage(p, "extra argument", true);
        }
        skip_statement(p);
        if (p->word.kind == CONF_LINE_END)
            conf_next(p);
    }
}

/* ---- files ---- */

static bool read_text(struct conf_parser *p, const struct conf_word *at, struct view path, struct conf_lexer *lexer)
{
    struct view text = VIEW_NONE, error = VIEW("no reason given");
    struct conf_word bad;
    if (!p->source->read(p->source->ctx, path, &p->conf->arena, &text, &error)) {
        conf_say(p, at, "cannot read '%.*s': %.*s", VIEW_FORMAT(path), VIEW_FORMAT(error));
        return false;
    }
    if (text.len > CONF_TEXT_MAX) {
        conf_say(p, at, "'%.*s' is longer than 64M", VIEW_FORMAT(path));
        return false;
    }
    conf_lexer_init(lexer, path, p->file_count++, text, &p->conf->arena);
    if (conf_lexer_check(*lexer, &bad))
        return true;
    conf_say(p, &bad, "%.*s", VIEW_FORMAT(bad.text));
    return false;
}

/* Reads a file from its beginning with `parse`, then goes on where we were. */
bool conf_read_words(struct conf_parser *p, const struct conf_word *at, struct view path,
                     void (*parse)(struct conf_parser *p))
{
    struct conf_lexer lexer, *outer_lexer = p->lexer;
    struct conf_word word = p->word, statement = p->statement;
    const char *usage = p->usage;
    if (!read_text(p, at, path, &lexer))
        return false;
    p->lexer = &lexer;
    parse(p);
    p->lexer = outer_lexer;
    p->word = word;
    p->statement = statement;
    p->usage = usage;
    return true;
}

static void parse_file(struct conf_parser *p, const struct conf_word *at, const struct conf_file *file)
{
    const struct conf_file *outer = p->file;
    p->file = file;
    if (!conf_read_words(p, at, file->name, parse_statements))
        p->cut_short = true;
    p->file = outer;
}

static bool may_include(struct conf_parser *p, const struct conf_word *path)
{
    const char *bad = conf_path_check(path->text);
    for (const struct conf_file *file = p->file; file && !bad; file = file->parent)
        if (view_equal(file->name, path->text))
            bad = "includes itself";
    if (!bad && p->file->depth == CONF_DEPTH_MAX)
        bad = "is included too deep: 20 files at most";
    if (bad)
        conf_say_bad(p, path, bad);
    p->cut_short |= bad != NULL;
    return !bad;
}

static bool parse_include(struct conf_parser *p)
{
    struct conf_word path;
    if (!conf_take(p, &path) || !may_include(p, &path))
        return false;
    struct conf_file file = { path.text, p->file, p->file->depth + 1 };
    parse_file(p, &path, &file);
    return true;
}

static void set_defaults(struct conf *conf, const struct conf_setting *settings, size_t count)
{
    char text[128];
    for (size_t i = 0; i < count; i++) {
        struct buffer reason = BUFFER_OF(text);
        if (settings[i].initial)
            conf_setting_set(conf, &settings[i], view_of(settings[i].initial), &reason);
    }
}

const struct conf_error *conf_parse(struct conf *conf, struct view name, const struct conf_source *source)
{
    static const char too_large[] = "no memory: the configuration is too large";
    static const struct conf_error no_memory = { .text = { too_large, sizeof too_large - 1 } };
    struct conf_file file = { name, NULL, 1 };
    struct conf_word whole = { .file = name };
    struct conf_parser p = { .conf = conf, .source = source, .statement = whole };
    *conf = (struct conf){ 0 };
    arena_init(&conf->arena, 16384, CONF_MEMORY_MAX);
    set_defaults(conf, conf_settings, conf_setting_count);
    set_defaults(conf, conf_limits, conf_limit_count);
    p.listens_end = &conf->listens;
    p.tables_end = &conf->tables;
    p.actions_end = &conf->actions;
    p.matches_end = &conf->matches;
    p.dns_end = &conf->dns;
    p.warnings_end = &conf->warnings;
    conf_retry_defaults(&conf->retry);
    parse_file(&p, &whole, &file);
    conf_resolve(&p, &whole);
    return p.no_memory ? &no_memory : p.errors;
}

void conf_free(struct conf *conf)
{
    arena_reset(&conf->arena);
    *conf = (struct conf){ 0 };
}
