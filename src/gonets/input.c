#include "gonets/input.h"

#include <stdio.h>
#include <stdlib.h>

#include "gonets/gonets.h"
#include "mail/scan.h"

#define MESSAGE_MAX ((size_t)1 << 30) /* bytes of standard input */
#define READ_SIZE   65536

int gonets_input_failed(const char *command, const char *why, int code)
{
    fprintf(stderr, "%s: standard input: %s; nothing was sent\n", command, why);
    return code;
}

int gonets_input_read(const char *command, struct view *input)
{
    char *memory = NULL;
    size_t len = 0, size = 0;
    while (!feof(stdin) && !ferror(stdin)) {
        if (len == size) {
            char *larger = size < MESSAGE_MAX ? realloc(memory, size = size ? 2 * size : READ_SIZE) : NULL;
            if (!larger) {
                free(memory);
                return gonets_input_failed(command, "larger than this command takes", GONETS_DATA);
            }
            memory = larger;
        }
        len += fread(memory + len, 1, size - len, stdin);
    }
    *input = (struct view){ memory, len };
    return ferror(stdin) ? gonets_input_failed(command, "cannot be read", GONETS_IO) : GONETS_OK;
}

/* RFC 1870 section 5: as it goes over the wire, every line end being CRLF, without the dots of transparency. */
static uint64_t size_on_wire(struct view content)
{
    uint64_t size = content.len;
    char last = '\n';
    for (size_t i = 0; i < content.len; i++) {
        char c = content.at[i];
        size += (c == '\n' && last != '\r') || (c != '\n' && last == '\r');
        last = c;
    }
    return size + (last == '\r') + (last != '\r' && last != '\n' ? 2 : 0);
}

static bool has_eight_bit(struct view content)
{
    struct mail_scan scan;
    mail_scan_start(&scan);
    mail_scan_feed(&scan, content);
    return mail_scan_end(&scan)->eight_bit;
}

int gonets_input_measure(const char *command, struct view content, const struct smtp_client *client,
                         struct smtp_client_message *message)
{
    message->size = size_on_wire(content);
    message->body = has_eight_bit(content) ? SMTP_BODY_8BITMIME : SMTP_BODY_UNSAID;
    if (message->body == SMTP_BODY_UNSAID || client->eight_bit)
        return GONETS_OK;
    fprintf(stderr,
            "%s: the message holds 8-bit text and the server does not offer 8BITMIME; encode it as quoted-printable or "
            "base64\n",
            command);
    return GONETS_DATA;
}
