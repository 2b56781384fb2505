#include "deliver/result.h"

#include <stdarg.h>
#include <stdio.h>

void deliver_result_set(struct deliver_result *result, enum ipc_outcome outcome, unsigned code, unsigned subject,
                        unsigned detail, const char *format, ...)
{
    char line[DELIVER_TEXT_MAX];
    struct buffer text = BUFFER_OF(result->text);
    va_list args;
    va_start(args, format);
    int len = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    *result = (struct deliver_result){
        .outcome = outcome,
        .code = (uint16_t)code,
        .status = { (uint16_t)(code / 100), (uint16_t)subject, (uint16_t)detail },
    };
    size_t size = len < 0 ? 0 : (size_t)len < sizeof line ? (size_t)len : sizeof line - 1;
    buffer_add_safe(&text, (struct view){ line, size }, sizeof result->text);
    result->text_len = (uint16_t)text.len;
}

struct view deliver_result_text(const struct deliver_result *result)
{
    return (struct view){ result->text, result->text_len };
}

/* RFC 3463 sections 3.3 and 3.4. */
static const struct trouble {
    enum os_status status;
    unsigned code, subject, detail;
} troubles[] = {
    { OS_NO_SPACE, 452, 3, 1 }, /* mail system full */
    { OS_QUOTA, 452, 2, 2 },    /* mailbox full */
    { OS_TOO_LARGE, 452, 2, 2 }, { OS_LOCKED, 450, 2, 0 }, { OS_TIMED_OUT, 450, 2, 0 },
};

void deliver_result_trouble(struct deliver_result *result, enum os_status status, const char *act, const char *base,
                            const char *rest)
{
    struct trouble t = { status, 451, 3, 0 };
    for (size_t i = 0; i < sizeof troubles / sizeof *troubles; i++)
        if (troubles[i].status == status)
            t = troubles[i];
    const char *slash = *base && *rest ? "/" : "";
    deliver_result_set(result, IPC_DEFERRED, t.code, t.subject, t.detail, "cannot %s %s%s%s: %s", act, base, slash,
                       rest, os_status_text(status));
}
