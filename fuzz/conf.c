/* Any text: errors are in order and printable; what is good prints as text that is read as the same. */
#include "conf/conf.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every file of the configuration has the same text. */
static bool read_same(void *ctx, struct view path, struct arena *arena, struct view *text, struct view *error)
{
    (void)path, (void)arena, (void)error;
    *text = *(struct view *)ctx;
    return true;
}

static const struct conf_error *parse(struct conf *conf, struct view text)
{
    return conf_parse(conf, VIEW("/c"), &(struct conf_source){ &text, read_same });
}

static void check_errors(const struct conf_error *error)
{
    unsigned count = 0;
    for (; error; error = error->next, count++) {
        assert(error->text.len && (error->line == 0) == (error->column == 0));
        for (size_t i = 0; i < error->text.len; i++)
            assert(ascii_is_print(error->text.at[i]));
    }
    assert(count <= CONF_ERRORS_MAX);
}

static struct view print(const struct conf *conf, char *memory, size_t size)
{
    struct buffer text = { memory, 0, size, false };
    assert(conf_print(conf, &text));
    return buffer_view(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct conf conf, copy;
    size_t room = 8 * size + 65536;
    const struct conf_error *error = parse(&conf, (struct view){ (const char *)data, size });
    check_errors(error);
    if (!error) {
        char *first = malloc(room), *second = malloc(room);
        assert(first && second);
        struct view text = print(&conf, first, room);
        assert(!parse(&copy, text));
        assert(view_equal(text, print(&copy, second, room)));
        conf_free(&copy);
        free(first);
        free(second);
    }
    conf_free(&conf);
    return 0;
}
