/* For tests and fuzzing alone: plays a client's bytes against the server machine, cut as one likes, with a caller that
 * decides by the addresses; writes down everything that is said and everything that happens. */
#ifndef SMTP_DIALOGUE_H
#define SMTP_DIALOGUE_H

#include "smtp/server.h"

/* Grows without limit; a failed allocation ends the test. */
struct text {
    char *at;
    size_t len, cap;
};

void text_add(struct text *text, struct view more);
void text_addf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct view text_view(const struct text *text);

/* The caller's rules, by the local part in MAIL and RCPT, or by the HELO name:
 * "refuse", "Green": 550 5.1.1; "later": 451; "nodata" in MAIL: DATA gets 451; "spoil": the content is spoiled with
 * 452 at its first piece; "badend": END gets 554; "hangup": 421 and close. Everything else is accepted. */
struct dialogue {
    struct text replies; /* what the client sees */
    struct text
        events; /* "MAIL <a@b> size=5 body=8BITMIME", "RCPT <c@d>", "END <content>", "RESET", "CLOSE": a line each */
    struct smtp_server server;
    bool closed;
    bool slow; /* every answer comes a step late */
    uint64_t now_us;
    struct text pending, content, sender;
    struct buffer out;
    char memory[SMTP_SERVER_OUT_MIN];
};

extern const struct smtp_server_profile dialogue_strict, dialogue_lenient;

void dialogue_start(struct dialogue *d, const struct smtp_server_profile *profile);
void dialogue_feed(struct dialogue *d, struct view bytes); /* as one read; bytes after CLOSE are lost */
void dialogue_free(struct dialogue *d);
/* Both with the same profile from the greeting to the end, in pieces of `piece` bytes, but for a first one of `first`.
 */
void dialogue_play(struct dialogue *d, const struct smtp_server_profile *profile, struct view bytes, size_t first,
                   size_t piece);

/* Well-formed replies and nothing else (O9); NULL, or what is wrong. Written apart from reply.c. */
const char *dialogue_grammar_fault(struct view replies);

#endif
