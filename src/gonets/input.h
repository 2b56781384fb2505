/* Standard input, and a message as content for a server. */
#ifndef GONETS_INPUT_H
#define GONETS_INPUT_H

#include "smtp/client.h"

/* All of it. *input is from malloc, also on failure. An exit code. */
int gonets_input_read(const char *command, struct view *input);
/* Says that it failed, and why; returns code. */
int gonets_input_failed(const char *command, const char *why, int code);
/* Finds size and body of the content for its server. An exit code: GONETS_DATA when the server cannot have it. */
int gonets_input_measure(const char *command, struct view content, const struct smtp_client *client,
                         struct smtp_client_message *message);

#endif
