#include "spool/folder.h"

#include <stdlib.h>
#include <string.h>

bool folder_each(struct os *os, struct os_dir *dir, bool (*each)(void *ctx, struct view name), void *ctx)
{
    struct buffer names = { 0 };
    char part[8192];
    struct os_op op = { .kind = OS_LIST, .dir = dir, .buf = part, .len = sizeof(part) };
    bool ok;
    for (;;) {
        os_run_ops(os, &op, 1);
        ok = op.status == OS_OK;
        if (!ok || op.value == 0)
            break;
        char *at = realloc(names.at, names.len + (size_t)op.value);
        ok = at != NULL;
        if (!ok)
            break;
        memcpy(at + names.len, part, (size_t)op.value);
        names.at = at;
        names.len += (size_t)op.value;
    }
    for (struct view rest = buffer_view(&names); ok && rest.len;)
        ok = each(ctx, view_take_until(&rest, 0));
    free(names.at);
    return ok;
}
