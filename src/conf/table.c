/* Tables: keys in braces or in a file of their own. */
#include "conf/parser.h"

#include <stdlib.h>
#include <string.h>

static bool add_entry(struct conf_parser *p, const struct conf_word *key, struct view value)
{
    struct conf_table *table = &p->table->table;
    if (table->entry_count == CONF_TABLE_MAX) {
        conf_say(p, key, "more than %u keys in a table", CONF_TABLE_MAX);
        return false;
    }
    if (table->entry_count == p->table_size) {
        size_t size = p->table_size ? 2 * p->table_size : 16;
        struct conf_entry *grown = conf_alloc(p, size * sizeof *grown);
        if (!grown)
            return false;
        if (table->entry_count)
            memcpy(grown, table->entries, table->entry_count * sizeof *grown);
        table->entries = grown;
        p->table_size = size;
    }
    table->entries[table->entry_count++] = (struct conf_entry){ key->text, value, key->line, key->column };
    return true;
}

/* The colon stands at the end of a plain key, or behind a quoted one. */
static bool take_colon(struct conf_parser *p, struct conf_word *key)
{
    if (!key->quoted && key->text.len > 1 && key->text.at[key->text.len - 1] == ':') {
        key->text.len--;
        return true;
    }
    bool colon = p->word.kind == CONF_WORD && !p->word.quoted && view_equal(p->word.text, VIEW(":"));
    if (colon)
        conf_next(p);
    return colon;
}

/* key, or key: value */
static bool parse_entry(struct conf_parser *p)
{
    struct conf_word key = p->word, value = { 0 };
    if (key.kind == CONF_WORD) {
        conf_next(p);
        if (take_colon(p, &key)) {
            value = p->word;
            if (value.kind == CONF_WORD)
                conf_next(p);
        }
    }
    if (key.kind == CONF_BAD || value.kind == CONF_BAD)
        conf_say(p, &p->word, "%.*s", VIEW_FORMAT(p->word.text));
    else if (key.kind != CONF_WORD)
        conf_say_bad(p, &key, "stands where a key should be");
    else if (value.kind != CONF_WORD)
        conf_say_bad(p, &key, "has a colon and no value; a key that ends in a colon is quoted");
    else if (key.text.len == 0)
        conf_say(p, &key, "an empty key");
    else
        return add_entry(p, &key, value.text);
    return false;
}

static bool ends_entry(enum conf_word_kind kind)
{
    return kind == CONF_COMMA || kind == CONF_CLOSE || kind == CONF_LINE_END || kind == CONF_FILE_END;
}

static bool parse_inline_entry(struct conf_parser *p)
{
    bool good = parse_entry(p);
    if (good && !ends_entry(p->word.kind)) {
        conf_say_bad(p, &p->word, "is unexpected: keys are separated by commas or line ends");
        good = false;
    }
    while (!ends_entry(p->word.kind))
        conf_next(p);
    return good;
}

/* At the first word of a line that looks like a statement: the closing brace was forgotten before it. */
static bool is_statement(const struct conf_parser *p)
{
    struct conf_lexer ahead = *p->lexer;
    struct conf_word next;
    if (p->word.kind != CONF_WORD || p->word.quoted || !conf_is_keyword(p->word.text))
        return false;
    conf_lexer_next(&ahead, &next);
    return next.kind == CONF_WORD || next.kind == CONF_BAD;
}

static bool say_unclosed(struct conf_parser *p, const struct conf_word *open)
{
    conf_say(p, open, "missing brace: nothing closes this one");
    p->cut_short |= p->word.kind == CONF_FILE_END;
    return false;
}

/* The word at hand is the opening brace. */
static bool parse_inline(struct conf_parser *p)
{
    struct conf_word open = p->word;
    bool good = true;
    do {
        struct conf_lexer before = *p->lexer;
        struct conf_word separator = p->word;
        conf_next(p);
        if (separator.kind == CONF_LINE_END && is_statement(p)) {
            *p->lexer = before;
            p->word = separator;
            return say_unclosed(p, &open);
        }
        if (!ends_entry(p->word.kind))
            good &= parse_inline_entry(p);
    } while (p->word.kind == CONF_COMMA || p->word.kind == CONF_LINE_END);
    if (p->word.kind == CONF_FILE_END)
        return say_unclosed(p, &open);
    conf_next(p);
    return good;
}

/* ", more" behind the value; *room is what was allocated for it. */
static bool append(struct conf_parser *p, struct conf_entry *entry, size_t *room, struct view more)
{
    struct view value = entry->value;
    size_t len = value.len + 2 + more.len;
    char *text = (char *)(uintptr_t)value.at;
    if (len > *room) {
        *room = 2 * len;
        text = conf_alloc(p, *room);
        if (!text)
            return false;
        memcpy(text, value.at, value.len);
    }
    memcpy(text + value.len, ", ", 2);
    memcpy(text + value.len + 2, more.at, more.len);
    entry->value = (struct view){ text, len };
    return true;
}

static bool is_comma(const struct conf_parser *p)
{
    return p->word.kind == CONF_COMMA;
}

static void skip_line_ends(struct conf_parser *p)
{
    while (p->word.kind == CONF_LINE_END)
        conf_next(p);
}

/* The rest of a value of several words, with the first comma at hand: after a comma it may go on in the next line. */
static bool parse_list(struct conf_parser *p, struct conf_entry *entry)
{
    size_t room = 0;
    while (is_comma(p)) {
        struct conf_word comma = p->word;
        conf_next(p);
        skip_line_ends(p);
        if (p->word.kind != CONF_WORD) {
            conf_say(p, &comma, "nothing follows this comma");
            return false;
        }
        if (!append(p, entry, &room, p->word.text))
            return false;
        conf_next(p);
    }
    return true;
}

static bool parse_line(struct conf_parser *p)
{
    struct conf_table *table = &p->table->table;
    if (!parse_entry(p) || (is_comma(p) && !parse_list(p, &table->entries[table->entry_count - 1])))
        return false;
    if (conf_more(p))
        conf_say_bad(p, &p->word, "is unexpected: there is one key on each line, and commas are between values");
    return true;
}

/* The file of a table. */
static void parse_lines(struct conf_parser *p)
{
    p->table->table.file = p->lexer->file;
    p->table->file_number = p->lexer->file_number;
    do {
        conf_next(p);
        if (conf_more(p))
            parse_line(p);
        while (conf_more(p))
            conf_next(p);
    } while (p->word.kind != CONF_FILE_END && !p->no_memory);
}

static bool parse_path(struct conf_parser *p)
{
    static const char *const words[] = { "file", NULL };
    struct conf_word path;
    if (conf_choose(p, words) < 0 || !conf_take(p, &path))
        return false;
    const char *bad = conf_path_check(path.text);
    if (bad)
        conf_say_bad(p, &path, bad);
    p->table->table.path = path.text;
    return !bad && conf_read_words(p, &path, path.text, parse_lines);
}

static int compare_entries(const void *a, const void *b)
{
    const struct conf_entry *x = a, *y = b;
    int order = conf_key_compare(x->key, y->key);
    if (order == 0)
        order = x->line < y->line ? -1 : x->line > y->line;
    return order ? order : x->column < y->column ? -1 : x->column > y->column;
}

static bool sort_entries(struct conf_parser *p)
{
    struct conf_table *table = &p->table->table;
    bool good = true;
    if (table->entry_count)
        qsort(table->entries, table->entry_count, sizeof *table->entries, compare_entries);
    for (size_t i = 1; i < table->entry_count; i++) {
        struct conf_entry *entry = &table->entries[i];
        struct conf_word at = { CONF_WORD,   false,        entry->key, table->file, p->table->file_number,
                                entry->line, entry->column };
        if (conf_key_compare(entry->key, entry[-1].key) != 0)
            continue;
        conf_say_bad(p, &at, "is in this table twice");
        good = false;
    }
    return good;
}

static struct conf_table *find_table(struct conf *conf, struct view name)
{
    struct conf_table *table = conf->tables;
    while (table && !view_equal(table->name, name))
        table = table->next;
    return table;
}

/* A table with an error in it is there all the same, so that what uses it is not wrong too. */
static bool begin_table(struct conf_parser *p, const struct conf_word *name)
{
    const char *bad = conf_name_check(name->text);
    if (!bad && find_table(p->conf, name->text))
        bad = "names two tables";
    if (bad)
        conf_say_bad(p, name, bad);
    if (bad || !conf_below_max(p, &p->table_count, "tables"))
        return false;
    p->table = conf_alloc(p, sizeof *p->table);
    p->table_size = 0;
    if (!p->table)
        return false;
    p->table->table.name = name->text;
    p->table->table.file = name->file;
    p->table->file_number = name->file_number;
    *p->tables_end = &p->table->table;
    p->tables_end = &p->table->table.next;
    return true;
}

bool conf_parse_table(struct conf_parser *p)
{
    struct conf_word name;
    if (!conf_take(p, &name) || !begin_table(p, &name))
        return false;
    bool good = p->word.kind == CONF_OPEN ? parse_inline(p) : parse_path(p);
    return sort_entries(p) && good;
}
