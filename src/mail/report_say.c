#include "mail/date.h"
#include "mail/report_inner.h"

#define WIDTH 76

/* ---- flowing text ---- */

struct flow {
    struct buffer *to;
    struct view indent;
    size_t column; /* 0: at the start of a line */
};

static void flow_word(struct flow *flow, struct view word)
{
    if (flow->column && flow->column + 1 + word.len > WIDTH) {
        buffer_add(flow->to, VIEW("\r\n"));
        flow->column = 0;
    }
    buffer_add(flow->to, flow->column ? VIEW(" ") : flow->indent);
    flow->column += (flow->column ? 1 : flow->indent.len) + word.len;
    mail_report_clean(flow->to, word);
}

static void flow_words(struct flow *flow, struct view text)
{
    for (struct view word; (word = view_take_word(&text)).len;)
        while (word.len)
            flow_word(flow, view_take(&word, MAIL_REPORT_WORD_MAX));
}

static void flow_end(struct flow *flow)
{
    buffer_add(flow->to, VIEW("\r\n"));
    flow->column = 0;
}

static void say(struct buffer *to, struct view indent, struct view text)
{
    struct flow flow = { .to = to, .indent = indent };
    flow_words(&flow, text);
    flow_end(&flow);
}

static void say_date(struct flow *flow, uint64_t wall_us)
{
    char memory[64];
    struct buffer date = BUFFER_OF(memory);
    mail_date_add(&date, wall_us, 0);
    flow_words(flow, buffer_view(&date));
}

/* ---- what the sender can do ---- */

#define ANY 999

/* By enhanced status code, RFC 3463 sections 3.2 to 3.8; the first row that fits. */
static const struct advice {
    uint16_t subject, detail;
    const char *text;
} advices[] = {
    { 1, 2, "The part of the address behind the @ names no domain that takes mail. Check how it is spelled." },
    { 1, 10, "The domain of this address takes no mail. Ask the person for another address." },
    { 1, 8, "The other server does not accept your own address. Check the address you send from." },
    { 1, 7, "The other server does not accept your own address. Check the address you send from." },
    { 1, 6, "The person has moved to another address. Ask for it in another way." },
    { 1, ANY,
      "Check how the address is spelled. If it is right, the mailbox is no longer there: ask the person for "
      "another address." },
    { 2, 2, "The mailbox is full. Tell the person in another way, and send your message again later." },
    { 2, 3, "Your message is too large for this mailbox. Send less, or put large files where they can be fetched." },
    { 2, ANY, "The mailbox cannot take mail now. Ask the person in another way." },
    { 3, 4,
      "Your message is too large for the other server. Send less, or put large files where they can be fetched." },
    { 4, 6,
      "Your message went in a circle between servers, which is a mistake in how they were set up. Tell your "
      "administrator." },
    { 4, ANY,
      "The other server could not be reached, or took no mail for too long. Send your message again later, and "
      "if that does not help, tell the person in another way." },
    { 6, ANY, "The other server cannot handle the form of your message. Send it as plain text, or in another format." },
    { 7, ANY,
      "The other server refused your message by a rule of its own. What it answered may say why; only those who "
      "run that server can change it. Pass this report on to your administrator." },
    { ANY, ANY,
      "What was answered may say what is wrong. If you do not understand it, pass this report on to your "
      "administrator." },
};

static const char *advice_for(const uint16_t status[3])
{
    const struct advice *a = advices;
    while ((a->subject != ANY && a->subject != status[1]) || (a->detail != ANY && a->detail != status[2]))
        a++;
    return a->text;
}

/* ---- one recipient ---- */

static void say_answer(struct buffer *to, const struct mail_report_recipient *r)
{
    struct flow flow = { .to = to, .indent = VIEW("    ") };
    struct view text = r->text;
    if (r->remote.len) {
        flow_words(&flow, VIEW("The server"));
        flow_words(&flow, r->remote);
        flow_words(&flow, VIEW("answered:"));
    } else {
        flow_words(&flow, VIEW("The reason:"));
    }
    flow_end(&flow);
    flow.indent = VIEW("      ");
    do {
        char memory[MAIL_REPORT_LINE_MAX];
        struct buffer reply = BUFFER_OF(memory);
        mail_report_line(&reply, r, &text, r->remote.len > 0);
        flow_words(&flow, buffer_view(&reply));
        flow_end(&flow);
    } while (text.len);
}

static void say_recipient(struct buffer *to, const struct mail_report *report, const struct mail_report_recipient *r)
{
    struct flow flow = { .to = to, .indent = VIEW("  ") };
    size_t semicolon = view_find(r->original, ';');
    struct view original = view_trim(view_slice(r->original, semicolon + 1, r->original.len));
    flow_words(&flow, r->path);
    if (original.len && !view_equal_nocase(original, r->path)) {
        flow_words(&flow, VIEW("- you wrote to"));
        flow_words(&flow, original);
    }
    flow_end(&flow);
    if (r->text.len || (r->code && r->remote.len))
        say_answer(to, r);
    if (report->kind == MAIL_REPORT_FAILED) {
        flow.indent = VIEW("    ");
        flow_words(&flow, VIEW("What you can do:"));
        flow_words(&flow, view_of(advice_for(r->status)));
        flow_end(&flow);
    } else if (r->will_retry_until_us) {
        flow.indent = VIEW("    ");
        flow_words(&flow, VIEW("It will be tried again until"));
        say_date(&flow, r->will_retry_until_us);
        flow_end(&flow);
    }
    buffer_add(to, VIEW("\r\n"));
}

/* ---- all of it ---- */

static void say_what_happened(struct buffer *to, const struct mail_report *report)
{
    struct flow flow = { .to = to };
    flow_words(&flow, VIEW("Your message of"));
    say_date(&flow, report->arrived_us);
    flow_words(&flow, report->kind == MAIL_REPORT_FAILED ? VIEW("could not be delivered to:")
                                                         : VIEW("has not been delivered yet to:"));
    flow_end(&flow);
    buffer_add(to, VIEW("\r\n"));
}

static void say_whom_to_ask(struct buffer *to, const struct mail_report *report)
{
    char id[MAIL_ID_TEXT_SIZE + 1];
    struct flow flow = { .to = to };
    mail_id_text(&report->original, id);
    flow_words(&flow, VIEW("The server that wrote this report is"));
    flow_words(&flow, report->hostname);
    flow_words(&flow, VIEW("and its name for your message is"));
    flow_words(&flow, view_of(id));
    flow_end(&flow);
}

void mail_report_say(struct buffer *to, const struct mail_report *report)
{
    say_what_happened(to, report);
    for (size_t i = 0; i < report->count; i++)
        say_recipient(to, report, &report->recipients[i]);
    if (report->kind == MAIL_REPORT_FAILED)
        say(to, VIEW_NONE, VIEW("It will not be tried again. Other recipients of the message are not affected."));
    else
        say(to, VIEW_NONE,
            VIEW("You need not do anything, and should not send it again. If it cannot be delivered in the end, you "
                 "will be told."));
    buffer_add(to, VIEW("\r\n"));
    say_whom_to_ask(to, report);
}
