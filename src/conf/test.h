/* Helpers for the tests of src/conf. */
#ifndef CONF_TEST_H
#define CONF_TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/test.h"
#include "conf/conf.h"

/* Files by name; "c" is the configuration. */
struct test_file {
    const char *name, *text;
};

static inline bool test_read(void *ctx, struct view path, struct arena *arena, struct view *text, struct view *error)
{
    (void)arena;
    for (const struct test_file *file = ctx; file->name; file++)
        if (view_equal(path, view_of(file->name))) {
            *text = view_of(file->text);
            return true;
        }
    *error = VIEW("not found");
    return false;
}

static inline const struct conf_error *test_parse(struct conf *conf, const struct test_file *files)
{
    struct test_file copy[8] = { 0 };
    for (size_t i = 0; files[i].name; i++)
        copy[i] = files[i];
    return conf_parse(conf, VIEW("c"), &(struct conf_source){ copy, test_read });
}

static inline const struct conf_error *test_parse_text(struct conf *conf, const char *text)
{
    return test_parse(conf, (struct test_file[]){ { "c", text }, { NULL, NULL } });
}

/* "c:1:2: words\n" for each error. */
static inline const char *test_errors(const struct conf_error *error, char *to, size_t size)
{
    struct buffer out = { to, 0, size - 1, false };
    for (; error; error = error->next) {
        conf_error_add(&out, error);
        buffer_add_char(&out, '\n');
    }
    to[out.len] = '\0';
    return to;
}

#endif
