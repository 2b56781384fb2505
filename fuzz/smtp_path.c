/* What is taken as a path means the same when it is written and read again, and lies in what was read. */
#include "smtp/path.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct view part, struct view text)
{
    assert(part.len == 0 || (part.at >= text.at && part.at + part.len <= text.at + text.len));
}

static void check_again(const struct smtp_path *path, unsigned flags)
{
    char memory[2 * SMTP_PATH_MAX], plain_memory[SMTP_LOCAL_PART_MAX];
    struct buffer written = BUFFER_OF(memory), plain = BUFFER_OF(plain_memory);
    struct smtp_path again;
    buffer_add_char(&written, '<');
    smtp_path_add_whole(&written, path);
    buffer_add_char(&written, '>');
    assert(!written.full);
    struct view text = buffer_view(&written);
    assert(smtp_path_parse(&text, flags & ~(unsigned)SMTP_PATH_LENIENT, &again) == SMTP_PATH_OK && text.len == 0);
    assert(smtp_path_same(path, &again) && smtp_path_same(&again, path));
    assert(smtp_path_local_plain(path, &plain));
}

/* The first byte is the flags. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct smtp_path path;
    struct view text, rest;
    if (size == 0)
        return 0;
    text = rest = (struct view){ (const char *)data + 1, size - 1 };
    enum smtp_path_result result = smtp_path_parse(&rest, data[0], &path);
    check_inside(rest, text);
    if (result != SMTP_PATH_OK)
        return 0;
    assert(path.null == (path.local.len == 0) && (path.domain.len || path.null || data[0] & SMTP_PATH_BARE));
    check_inside(path.route, text);
    check_inside(path.local, text);
    check_inside(path.domain, text);
    check_again(&path, data[0]);
    return 0;
}
