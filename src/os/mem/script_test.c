#include "os/mem/script_test.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 128
#define SHOW_MAX 40

struct words {
    char at[4][WORD_MAX];
};

static enum os_status run_one(struct os *os, struct os_op op)
{
    os_run_ops(os, &op, 1);
    return op.status;
}

/* Opens, does the one operation, closes. */
static enum os_status on_file(struct os *os, struct os_dir *root, const char *name, struct os_op op)
{
    struct os_file *file = NULL;
    op.file = &file;
    struct os_op ops[] = {
        { .kind = OS_OPEN,
          .flags = OS_FOR_READ | OS_FOR_WRITE | OS_CREATE,
          .mode = 0600,
          .dir = root,
          .name = name,
          .file = &file },
        op,
    };
    os_run_ops(os, ops, 2);
    os_file_close(file);
    return ops[0].status != OS_OK ? ops[0].status : ops[1].status;
}

static enum os_status sync_dir(struct os *os, struct os_dir *root, const char *name)
{
    struct os_dir *dir = NULL;
    struct os_op open = { .kind = OS_OPEN_DIR, .dir = root, .name = name, .opened_dir = &dir };
    os_run_ops(os, &open, 1);
    if (open.status != OS_OK)
        return open.status;
    struct os_op sync = { .kind = OS_SYNC_DIR, .dir = dir };
    os_run_ops(os, &sync, 1);
    os_dir_close(dir);
    return sync.status;
}

static enum os_status command(struct os *os, struct os_dir *root, const struct words *w)
{
    const char *verb = w->at[0], *name = w->at[1];
    const struct os_slice text = { w->at[3], strlen(w->at[3]) };
    uint64_t number = strtoull(w->at[2], NULL, 10);
    const struct {
        const char *verb;
        bool file;
        struct os_op op;
    } table[] = {
        { "w", true, { .kind = OS_WRITE, .offset = number, .slices = &text, .slice_count = 1 } },
        { "commit", true, { .kind = OS_COMMIT, .offset = number, .slices = &text, .slice_count = 1 } },
        { "fsync", true, { .kind = OS_SYNC } },
        { "fdatasync", true, { .kind = OS_SYNC_DATA } },
        { "cut", true, { .kind = OS_TRUNCATE, .offset = number } },
        { "fill", true, { .kind = OS_FILL, .len = number } },
        { "own", true, { .kind = OS_CHOWN, .owner = { (uint32_t)number, 0 } } },
        { "syncfs", false, { .kind = OS_SYNC_FS } },
        { "ln", false, { .kind = OS_LINK, .to_dir = root, .to_name = w->at[2] } },
        { "mv", false, { .kind = OS_RENAME, .to_dir = root, .to_name = w->at[2] } },
        { "rm", false, { .kind = OS_UNLINK } },
        { "mkdir", false, { .kind = OS_MAKE_DIR, .mode = 0700 } },
        { "rmdir", false, { .kind = OS_REMOVE_DIR } },
    };
    if (strcmp(verb, "syncdir") == 0)
        return sync_dir(os, root, name);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (strcmp(verb, table[i].verb) != 0)
            continue;
        struct os_op op = table[i].op;
        op.dir = root;
        op.name = name;
        return table[i].file ? on_file(os, root, name, op) : run_one(os, op);
    }
    assert(!"no such command");
    return OS_INVALID;
}

enum os_status script_run(struct os *os, const char *script)
{
    enum os_status first = OS_OK, status;
    struct os_dir *root = os_dir_path(os, "/", &status);
    if (!root)
        return status;
    for (struct view rest = view_of(script); rest.len > 0;) {
        struct view line = view_take_until(&rest, ';');
        struct words words;
        memset(&words, 0, sizeof(words));
        for (size_t i = 0; i < 4; i++) {
            struct view word = view_take_word(&line);
            assert(word.len < WORD_MAX);
            if (word.len)
                memcpy(words.at[i], word.at, word.len);
        }
        status = words.at[0][0] ? command(os, root, &words) : OS_OK;
        first = first == OS_OK ? status : first;
    }
    os_dir_close(root);
    return first;
}

/* ---- the tree ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void show_content(struct os *os, struct os_dir *dir, const char *name, struct buffer *to)
{
    char text[SHOW_MAX];
    struct os_file *file = NULL;
    struct os_stat stat;
    struct os_op ops[] = {
        { .kind = OS_OPEN, .flags = OS_FOR_READ, .dir = dir, .name = name, .file = &file },
        { .kind = OS_STAT, .file = &file, .stat = &stat },
        { .kind = OS_READ, .file = &file, .buf = text, .len = sizeof(text) },
        { .kind = OS_CLOSE, .file = &file },
    };
    os_run_ops(os, ops, 4);
    assert(ops[2].status == OS_OK);
    if (stat.size > SHOW_MAX) {
        buffer_addf(to, "<%u>", (unsigned)stat.size);
        return;
    }
    for (size_t i = 0; i < ops[2].value; i++)
        buffer_add_char(to, text[i] ? text[i] : '.');
}

static void show_dir(struct os *os, struct os_dir *dir, const char *path, struct buffer *to)
{
    enum { NAMES_MAX = 64 };
    char names[NAMES_MAX][WORD_MAX], list[WORD_MAX];
    size_t count = 0;
    struct os_op op = { .kind = OS_LIST, .dir = dir, .buf = list, .len = sizeof(list) };
    for (os_run_ops(os, &op, 1); op.status == OS_OK && op.value > 0; os_run_ops(os, &op, 1))
        for (size_t at = 0; at < op.value; at += strlen(list + at) + 1)
            strcpy(names[count++], list + at);
    assert(op.status == OS_OK);
    qsort(names, count, WORD_MAX, compare_names);
    for (size_t i = 0; i < count; i++) {
        char inner[2 * WORD_MAX];
        struct os_dir *below = NULL;
        struct os_op open = { .kind = OS_OPEN_DIR, .dir = dir, .name = names[i], .opened_dir = &below };
        struct buffer inner_path = BUFFER_OF(inner);
        buffer_addf(&inner_path, "%s%s%c%c", path, names[i], '/', 0);
        os_run_ops(os, &open, 1);
        buffer_addf(to, "%s%s%s%c", to->len ? " " : "", path, names[i], below ? '/' : '=');
        if (below)
            show_dir(os, below, inner, to);
        else
            show_content(os, dir, names[i], to);
        os_dir_close(below);
    }
}

void script_tree(struct os *os, struct buffer *to)
{
    enum os_status status;
    struct os_dir *root = os_dir_path(os, "/", &status);
    assert(root);
    buffer_clear(to);
    show_dir(os, root, "", to);
    os_dir_close(root);
    buffer_add_char(to, 0);
}
