/* What was promised to senders, letter by letter, and the judgement whether it was kept (oracles):
 *
 *   no loss             each recipient that was accepted by a 250 to the final dot has its copy
 *   bounded duplicates  no more copies than one and those that an uncertain window explains: a worker that delivers, or
 * all of the host, ended after the copy was there and before it was surely noted equal bytes         but for
 * Return-Path and Received in front, and CRLF as LF nothing else        no copy of what was refused, or sent to
 * somebody else; no file that is no letter
 *
 * Each try to send is a letter of its own: its number is in its first header field, so a copy tells which try it comes
 * from. The ledger lies outside of the world and outlives it. */
#ifndef SIM_LEDGER_H
#define SIM_LEDGER_H

#include "base/buffer.h"

#define SIM_USERS 3

enum sim_fate {
    SIM_OPEN,     /* under way */
    SIM_ACCEPTED, /* 2xx to the final dot */
    SIM_REFUSED,  /* another answer, or the session broke before the final dot */
    SIM_UNKNOWN,  /* no answer came after the final dot */
};

struct sim_letter {
    uint32_t number;
    size_t size;       /* of its content with CRLF, about */
    unsigned to;       /* bit n: user n */
    unsigned accepted; /* those whose RCPT had a 2xx */
    bool dotted;       /* the final dot was written */
    enum sim_fate fate;
    bool settled;                  /* all copies are there and noted: no more may come */
    uint32_t window_of[SIM_USERS]; /* last fault that was counted */
    unsigned windows[SIM_USERS];   /* times that a copy could be made once more */
    unsigned copies[SIM_USERS];    /* as last counted */
};

struct sim_ledger {
    struct sim_letter *letters; /* by number */
    size_t count, cap;
    uint32_t faults;
    char error[512]; /* of the last judgement */
};

void sim_ledger_free(struct sim_ledger *ledger);
void sim_ledger_copy(struct sim_ledger *to, const struct sim_ledger *from);
struct sim_letter *sim_ledger_add(struct sim_ledger *ledger, size_t size, unsigned to); /* lives until the next one */
struct sim_letter *sim_ledger_find(struct sim_ledger *ledger, uint32_t number);
/* The world of its senders has ended: what was under way has its fate. */
void sim_ledger_abandon(struct sim_ledger *ledger);

/* The bytes of a letter, with CRLF, from its number and size alone; to be freed. */
char *sim_letter_text(const struct sim_letter *letter, size_t *len);

/* The letter whose content stands at the end of a file, behind *front; NULL: error says what is wrong with it. */
struct sim_letter *sim_ledger_recognize(struct sim_ledger *ledger, unsigned user, struct view file, struct view *front);
/* Says what is wrong with the letter, in error; false. */
bool sim_ledger_complain(struct sim_ledger *ledger, const struct sim_letter *letter, const char *what);

/* Counting: begin, then every file of every mailbox. false: error says what is wrong with it. */
void sim_ledger_count_begin(struct sim_ledger *ledger);
bool sim_ledger_count(struct sim_ledger *ledger, unsigned user, struct view file);

/* With the present count: */
void sim_ledger_window(struct sim_ledger *ledger,
                       uint32_t fault);                      /* a fault after which what is there may come once more */
bool sim_ledger_complete(const struct sim_ledger *ledger);   /* all that was accepted is there */
void sim_ledger_settle(struct sim_ledger *ledger);           /* everything is at rest: what is there is noted */
bool sim_ledger_judge(struct sim_ledger *ledger);            /* at the end, when the world has healed */
size_t sim_ledger_accepted(const struct sim_ledger *ledger); /* letters */

#endif
