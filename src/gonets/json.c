#include "gonets/json.h"

#include <stdio.h>

#include "base/utf8.h"
#include "mail/date.h"

static void put_string(struct view text)
{
    putchar('"');
    while (text.len) {
        char c = text.at[0];
        size_t more = utf8_sequence(text);
        struct view taken = view_take(&text, more ? more : 1);
        if (more)
            fwrite(taken.at, 1, taken.len, stdout);
        else if (!ascii_is_print(c) && (unsigned char)c < 128)
            printf("\\u%04x", (unsigned)c);
        else if (!ascii_is_print(c))
            fputs("\\ufffd", stdout);
        else if (c == '"' || c == '\\')
            printf("\\%c", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void put_name(bool *first, const char *name)
{
    printf("%s\"%s\": ", *first ? "" : ", ", name);
    *first = false;
}

void gonets_json_begin(bool *first)
{
    *first = true;
    putchar('{');
}

void gonets_json_text(bool *first, const char *name, struct view text)
{
    put_name(first, name);
    put_string(text);
}

void gonets_json_number(bool *first, const char *name, uint64_t number)
{
    put_name(first, name);
    printf("%llu", (unsigned long long)number);
}

void gonets_json_time(bool *first, const char *name, uint64_t wall_us)
{
    char memory[64];
    struct buffer text = BUFFER_OF(memory);
    if (!wall_us)
        return;
    mail_date_add_iso(&text, wall_us);
    gonets_json_text(first, name, buffer_view(&text));
}

void gonets_json_id(bool *first, const char *name, const struct mail_id *id)
{
    char text[MAIL_ID_TEXT_SIZE + 1];
    mail_id_text(id, text);
    gonets_json_text(first, name, view_of(text));
}

void gonets_json_end(void)
{
    fputs("}\n", stdout);
}
