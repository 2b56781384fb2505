/* Gives one message to one server by SMTP: finds its addresses, connects, runs the client machine, and tells the user
 * what became of it. */
#ifndef GONETS_SUBMIT_H
#define GONETS_SUBMIT_H

#include "os/os.h"
#include "smtp/client.h"

struct gonets_submission {
    const char *command; /* as which it speaks to the user: "gonets send" */
    bool quiet;          /* success is not told */
    struct view server;  /* HOST, HOST:PORT; HOST a name or an address, IPv6 with a port in brackets */
    struct smtp_client_message message;
    /* Called once the server's offers are known: gives the content, and its size and body in message. An exit code
     * other than GONETS_OK when this server cannot have it (the user has been told why). */
    int (*content)(void *ctx, struct os *os, const struct smtp_client *client, struct smtp_client_message *message,
                   struct view *content);
    void *ctx;
};

/* Is it of a form that gonets_submit() takes? */
bool gonets_server_valid(struct view server);
int gonets_submit(struct gonets_submission *what); /* an exit code */

#endif
