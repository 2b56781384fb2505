/* Reports of anything: they fit in the room that was asked for, and are ASCII in lines that are short enough. */
#include "mail/report.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct view take_text(struct view *rest)
{
    size_t len = rest->len ? (unsigned char)view_take(rest, 1).at[0] * 8u : 0;
    return view_take(rest, len);
}

static void expect_sound(struct view text)
{
    size_t column = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        assert((unsigned char)c < 128 && c);
        assert((c == '\n') == (i > 0 && text.at[i - 1] == '\r'));
        column = c == '\n' ? 0 : column + 1;
        assert(column <= 999);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view rest = { (const char *)data, size };
    struct mail_report_recipient recipient = { .code = 550, .status = { 5, 1, (uint16_t)size } };
    struct mail_report report = { .kind = size % 2, .recipients = &recipient, .count = 1, .head_cut = size % 3 == 0 };
    report.hostname = take_text(&rest);
    report.reverse_path = take_text(&rest);
    report.envelope_id = take_text(&rest);
    recipient.path = take_text(&rest);
    recipient.original = take_text(&rest);
    recipient.text = take_text(&rest);
    recipient.remote = take_text(&rest);
    report.head = rest;
    if (!report.reverse_path.len)
        return 0;
    struct buffer to = { .cap = mail_report_size(&report) };
    to.at = malloc(to.cap);
    assert(to.at && mail_report_write(&to, &report));
    expect_sound(buffer_view(&to));
    free(to.at);
    return 0;
}
