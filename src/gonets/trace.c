/* gonets trace: all that is known of a message, from its arrival to the last attempt. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gonets/gonets.h"
#include "gonets/input.h"
#include "gonets/reach.h"
#include "gonets/tell.h"
#include "mail/header.h"
#include "os/linux/os_linux.h"

#define COMMAND  "gonets trace"
#define HEAD_MAX 65536 /* bytes of a message in which its Message-ID is looked for */
#define IDS_MAX  10000 /* messages that the log tells of */

static const char help[] = "usage: gonets trace ID|ADDRESS|MESSAGE-ID [--json] [-c FILE | --spool DIR]\n"
                           "       gonets trace ID|ADDRESS --log <LOG\n\n"
                           "Tells what happened to messages: where they came from, and every attempt with the whole "
                           "answer of the other server.\n"
                           "The spool knows of messages that are not done, and for a while of those that are; --log "
                           "reads the rest from the log\n"
                           "of the server on standard input. See gonets-trace(1).\n";

struct trace {
    struct os *os;
    struct gonets_server server;
    struct view wanted, message_id; /* the one without brackets; empty: no Message-ID */
    struct mail_id id;
    bool is_id, json, log;
    size_t found;
};

/* ---- messages ---- */

/* The first bytes of the message as it will be delivered. */
static size_t read_head(struct os *os, const struct spool_message *message, struct os_file *file, char *memory)
{
    struct buffer head = { memory, 0, HEAD_MAX, false };
    struct spool_reader reader;
    struct spool_span span;
    spool_reader_init(&reader, message, VIEW_NONE);
    while (buffer_room(&head) && spool_reader_next(&reader, &span)) {
        size_t room = buffer_room(&head), len = span.len < room ? (size_t)span.len : room;
        struct os_op read = {
            .kind = OS_READ, .file = &file, .offset = span.offset, .buf = head.at + head.len, .len = len
        };
        if (span.bytes.at) {
            buffer_add(&head, view_slice(span.bytes, 0, room));
            continue;
        }
        os_run_ops(os, &read, 1);
        if (read.status != OS_OK || read.value == 0)
            break;
        head.len += (size_t)read.value;
    }
    return head.len;
}

static struct view without_brackets(struct view id)
{
    bool bracketed = id.len > 2 && id.at[0] == '<' && id.at[id.len - 1] == '>';
    return bracketed ? view_slice(id, 1, id.len - 1) : id;
}

static bool has_message_id(const struct trace *t, const struct spool_message *message, struct os_file *file)
{
    char *memory = t->message_id.len ? malloc(HEAD_MAX) : NULL;
    if (!memory)
        return false;
    struct view rest = { memory, read_head(t->os, message, file, memory) };
    struct mail_field field;
    bool found = false;
    while (!found && mail_header_next(&rest, &field))
        found =
            mail_field_is(&field, "Message-ID") && view_equal(without_brackets(view_trim(field.value)), t->message_id);
    free(memory);
    return found;
}

static bool has_address(const struct trace *t, const struct spool_message *message, const struct gonets_story *story)
{
    struct view path = VIEW_NONE;
    spool_tag_find(message->envelope, SPOOL_TAG_REVERSE_PATH, &path);
    if (view_equal_nocase(path, t->wanted))
        return true;
    for (uint32_t i = 0; (path = gonets_story_path(message, story, i)).len; i++)
        if (view_equal_nocase(path, t->wanted))
            return true;
    return false;
}

static void tell(struct trace *t, const struct spool_message *message, const struct gonets_story *story)
{
    t->found++;
    (t->json ? gonets_tell_story_json : gonets_tell_story)(message, story);
}

static void on_message(void *ctx, const struct spool_message *message, const struct gonets_story *story,
                       struct os_file *file)
{
    struct trace *t = ctx;
    if (t->is_id ? mail_id_compare(&t->id, &message->id) == 0
                 : has_address(t, message, story) || has_message_id(t, message, file))
        tell(t, message, story);
}

/* The message is gone, but the log of the spool still has its events. */
static void tell_gone(struct trace *t, const struct gonets_stories *stories)
{
    struct map_item *item = map_find(&stories->stories, (struct view){ (const char *)t->id.at, MAIL_ID_SIZE });
    const struct gonets_story *story = item ? map_entry(item, struct gonets_story, item) : NULL;
    if (t->is_id && story && !story->told)
        tell(t, NULL, story);
}

static int nothing_found(const struct trace *t)
{
    if (t->found)
        return fflush(stdout) == 0 ? GONETS_OK : GONETS_IO;
    fprintf(stderr, COMMAND ": nothing is known of it%s\n",
            t->log ? "" : " here; what was done long ago is in the log of the server: gonets trace --log");
    return GONETS_NO_INPUT;
}

static int read_spool(struct trace *t)
{
    char memory[CONF_PATH_MAX + 1];
    struct buffer path = BUFFER_OF(memory);
    struct gonets_stories stories = { .os = t->os, .history = true, .ctx = t, .message = on_message };
    int code = gonets_find_spool(t->os, &t->server, &path);
    if (code != GONETS_OK)
        return code;
    code = gonets_stories_read(&stories, "trace", memory);
    if (code == GONETS_OK)
        tell_gone(t, &stories);
    gonets_stories_free(&stories);
    return code == GONETS_OK ? nothing_found(t) : code;
}

/* ---- the log ---- */

static bool contains(struct view text, struct view part)
{
    for (size_t i = 0; i + part.len <= text.len; i++)
        if (view_equal_nocase(view_slice(text, i, i + part.len), part))
            return true;
    return false;
}

/* The next word of 24 letters and digits that is an id, whatever the form of the log. */
static bool next_id(struct view *rest, struct view *word)
{
    struct mail_id id;
    while (rest->len) {
        size_t len = 0;
        while (len < rest->len && ascii_is_alnum(rest->at[len]))
            len++;
        *word = view_take(rest, len);
        view_take(rest, 1);
        if (len == MAIL_ID_TEXT_SIZE && mail_id_parse(*word, &id))
            return true;
    }
    return false;
}

static bool knows(const struct view *ids, size_t count, struct view line)
{
    for (struct view word; next_id(&line, &word);)
        for (size_t i = 0; i < count; i++)
            if (view_equal(word, ids[i]))
                return true;
    return false;
}

/* First which messages are meant, then every line that tells of one of them. */
static void trace_lines(struct trace *t, struct view input, struct view *ids)
{
    size_t count = 0;
    struct view word;
    for (struct view rest = input; rest.len && count < IDS_MAX;) {
        struct view line = view_take_until(&rest, '\n');
        if (contains(line, t->wanted) && next_id(&line, &word) && !knows(ids, count, word))
            ids[count++] = word;
    }
    for (struct view rest = input; count && rest.len;) {
        struct view line = view_take_until(&rest, '\n');
        if (!knows(ids, count, line))
            continue;
        fwrite(line.at, 1, line.len, stdout);
        putchar('\n');
        t->found++;
    }
}

static int read_log(struct trace *t)
{
    struct view input = VIEW_NONE;
    struct view *ids = calloc(IDS_MAX, sizeof *ids);
    int code = ids ? gonets_input_read(COMMAND, &input) : GONETS_OS;
    if (code == GONETS_OK)
        trace_lines(t, input, ids);
    free((void *)(uintptr_t)input.at);
    free(ids);
    return code == GONETS_OK ? nothing_found(t) : code;
}

/* ---- the command ---- */

static int parse_options(struct trace *t, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            t->json = true;
        else if (strcmp(argv[i], "--log") == 0)
            t->log = true;
        else if (gonets_server_option(&t->server, argc, argv, &i))
            continue;
        else if (argv[i][0] == '-' || t->wanted.len)
            return gonets_wrong("trace", "unknown or incomplete option", argv[i]);
        else
            t->wanted = view_of(argv[i]);
    }
    t->is_id = mail_id_parse(t->wanted, &t->id);
    t->message_id = t->is_id ? VIEW_NONE : without_brackets(t->wanted);
    if (t->is_id || view_has(t->wanted, '@'))
        return GONETS_OK;
    return gonets_wrong("trace", "no id of a message, address or Message-ID:", t->wanted.len ? t->wanted.at : "");
}

int gonets_trace(int argc, char **argv)
{
    struct trace t = { .server = { "trace", GONETS_CONFIG_FILE, NULL } };
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(help, stdout);
        return GONETS_OK;
    }
    int code = parse_options(&t, argc, argv);
    if (code != GONETS_OK)
        return code;
    if (t.log)
        return read_log(&t);
    t.os = os_linux_new(NULL, 0);
    if (!t.os)
        return GONETS_OS;
    code = read_spool(&t);
    os_linux_free(t.os);
    return code;
}
