/* What came of one delivery, in the words of the log and of a report. */
#ifndef DELIVER_RESULT_H
#define DELIVER_RESULT_H

#include "ipc/message.h"
#include "os/os.h"

#define DELIVER_TEXT_MAX 400

struct deliver_result {
    enum ipc_outcome outcome;
    uint16_t code;
    uint16_t status[3]; /* RFC 3463 */
    char text[DELIVER_TEXT_MAX];
    uint16_t text_len;
};

/* Printable ASCII whatever the arguments hold; cut at the maximum. */
void deliver_result_set(struct deliver_result *result, enum ipc_outcome outcome, unsigned code, unsigned subject,
                        unsigned detail, const char *format, ...) __attribute__((format(printf, 6, 7)));
/* An operation on a mailbox failed: "cannot <do> <base>/<rest>: <why>". Always a deferral, since somebody can mend it:
 * a full mailbox too, whose owner may make room (4.2.2, H157). */
void deliver_result_trouble(struct deliver_result *result, enum os_status status, const char *act, const char *base,
                            const char *rest);
struct view deliver_result_text(const struct deliver_result *result);

#endif
