/* Words of a configuration file, with their places. Only for src/conf. */
#ifndef CONF_LEX_H
#define CONF_LEX_H

#include "base/arena.h"

enum conf_word_kind {
    CONF_WORD,
    CONF_OPEN,  /* { */
    CONF_CLOSE, /* } */
    CONF_COMMA,
    CONF_LINE_END,
    CONF_FILE_END,
    CONF_BAD, /* text: what is wrong, in words */
};

struct conf_word {
    enum conf_word_kind kind;
    bool quoted;
    struct view text; /* quotes and escapes taken off */
    struct view file;
    unsigned file_number, line, column;
};

struct conf_lexer {
    struct view file;
    unsigned file_number;
    struct view rest;
    unsigned line;
    const char *line_start;
    struct arena *arena; /* for words with escapes */
};

void conf_lexer_init(struct conf_lexer *lexer, struct view file, unsigned file_number, struct view text,
                     struct arena *arena);
/* Words end at a blank, a line end, a comma, or a closing brace that was not opened within them. */
void conf_lexer_next(struct conf_lexer *lexer, struct conf_word *word);
/* The first thing that makes this no text at all: a control character, a line that is too long. *at->text says what. */
bool conf_lexer_check(struct conf_lexer lexer, struct conf_word *at);

#endif
