#include "spool/rig_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"

#define FRONT       "Received: from test\r\n"
#define BROKEN(...) broken(rig, __VA_ARGS__)

static void broken(struct rig *rig, const char *what, size_t which)
{
    fail_msg("%s [%zu], in: %s", what, which, rig->story ? rig->story : "?");
}

/* ---- between writer and store, where the roles have their links ---- */

static void on_need(void *ctx, enum spool_kind kind, unsigned count)
{
    struct rig *rig = ctx;
    if (rig->store)
        spool_store_need(rig->store, kind, count);
}

/* Behind a slow link several notices wait, and then come at once. */
static void on_durable(void *ctx, uint64_t segment, uint64_t upto)
{
    struct rig *rig = ctx;
    if (rig->slow && rig->late_count < LATE_MAX)
        rig->late[rig->late_count++] = (struct spool_held){ SPOOL_MAIL, segment, upto };
    else if (rig->store)
        spool_store_durable(rig->store, segment, upto);
}

static void hand_late(struct rig *rig)
{
    rig->slow = false;
    for (size_t i = 0; i < rig->late_count; i++)
        spool_store_durable(rig->store, rig->late[i].segment, rig->late[i].upto);
    rig->late_count = 0;
}

static void on_sealed(void *ctx, uint64_t segment, uint64_t end)
{
    struct rig *rig = ctx;
    if (rig->store)
        spool_store_sealed(rig->store, segment, end);
}

static void on_trouble(void *ctx, bool ok, struct view text)
{
    struct rig *rig = ctx;
    (void)text;
    rig->troubles += !ok;
    rig->in_trouble = !ok;
}

static void on_room(void *ctx)
{
    (void)ctx;
}

static void on_segment(void *ctx, enum spool_kind kind, uint64_t number, uint64_t nonce, uint64_t size,
                       struct os_file *file)
{
    struct rig *rig = ctx;
    if (rig->writer)
        spool_writer_give(rig->writer, kind, number, nonce, size, file);
    else
        os_file_close(file);
}

static void on_alarm(void *ctx, struct view text)
{
    struct rig *rig = ctx;
    rig->alarms++;
    for (size_t i = 0; i < text.len; i++)
        rig->damages += view_starts(view_slice(text, i, text.len), VIEW("damaged"));
    rig->left_alone += view_ends_nocase(text, VIEW("left alone"));
    if (rig->loud)
        printf("  alarm: %.*s\n", VIEW_FORMAT(text));
}

static struct letter *find(struct rig *rig, const struct mail_id *id)
{
    for (size_t i = 0; i < rig->letter_count; i++)
        if (mail_id_compare(&rig->letters[i].id, id) == 0)
            return &rig->letters[i];
    return NULL;
}

static void on_message(void *ctx, const struct spool_message *message)
{
    struct rig *rig = ctx;
    struct letter *letter = find(rig, &message->id);
    if (!letter) {
        BROKEN("a message came up that nobody sent", 0);
        return;
    }
    letter->place = message->place;
    letter->seen++;
    if (message->recipient_count != 1 || message->place.content_size != letter->size)
        BROKEN("its envelope is not what was sent", (size_t)(letter - rig->letters));
}

static void on_event(void *ctx, const struct spool_event *event)
{
    struct rig *rig = ctx;
    size_t which = event->recipient;
    if (which >= rig->event_count)
        BROKEN("an event came up that nobody logged", which);
    struct noted *noted = &rig->events[which];
    if (mail_id_compare(&rig->letters[noted->letter].id, &event->id) != 0 ||
        !view_equal(event->tags, VIEW("tags of the event")))
        BROKEN("an event is not what was logged", which);
    if (noted->seen++)
        BROKEN("an event came up twice", which);
    if (rig->last_event_seen > which)
        BROKEN("events came up out of order", which);
    rig->last_event_seen = which;
}

/* ---- life ---- */

static enum os_status make_dir(struct os *os, const char *path)
{
    enum os_status status;
    struct os_dir *root = os_dir_path(os, "/", &status);
    struct os_op ops[2] = { { .kind = OS_MAKE_DIR, .dir = root, .name = path + 1, .mode = 0700 },
                            { .kind = OS_SYNC_DIR, .dir = root } };
    os_run_ops(os, ops, 2);
    os_dir_close(root);
    return ops[0].status;
}

static void new_process(struct rig *rig)
{
    enum os_status status;
    rig->os = mem_process_new(rig->host);
    rig->dir = os_dir_path(rig->os, "/spool", &status);
    if (rig->dir || !rig->may_refuse)
        return;
    mem_disk_heal(rig_disk(rig));
    rig->dir = os_dir_path(rig->os, "/spool", &status);
}

void rig_start(struct rig *rig, struct mem_disk *disk)
{
    if (!rig->segment_size)
        rig->segment_size = 64 << 10;
    if (!rig->memory_max)
        rig->memory_max = 4 << 20;
    rig->world = mem_world_new(7);
    rig->host = mem_host_new(rig->world, "host");
    if (disk)
        mem_disk_free(mem_host_swap_disk(rig->host, disk));
    if (!disk)
        assert_int_equal(make_dir(mem_process_new(rig->host), "/spool"), OS_OK);
    new_process(rig);
    if (!disk)
        assert_int_equal(spool_create(rig->os, rig->dir), OS_OK);
}

static void close_all(struct rig *rig)
{
    rig->closing = true;
    if (rig->store)
        spool_store_close(rig->store);
    if (rig->writer)
        spool_writer_free(rig->writer);
    rig->store = NULL;
    rig->writer = NULL;
    if (rig->os)
        mem_world_run(rig->world, 1000000);
    rig->closing = false;
}

/* Nothing is under way when it dies, so that it can tidy up its memory; unless the power is out. */
static void end_process(struct rig *rig)
{
    if (rig->os && !mem_disk_is_cut(rig_disk(rig)))
        close_all(rig);
    if (rig->dir)
        os_dir_close(rig->dir);
    rig->dir = NULL;
    if (rig->os)
        mem_process_kill(rig->os);
    rig->os = NULL;
    rig->writer = NULL;
    rig->store = NULL;
}

void rig_stop(struct rig *rig)
{
    if (!rig->world)
        return;
    end_process(rig);
    mem_world_free(rig->world);
    rig->world = NULL;
    rig->host = NULL;
}

struct mem_disk *rig_disk(struct rig *rig)
{
    return mem_host_disk(rig->host);
}

struct mem_disk *rig_take_disk(struct rig *rig)
{
    struct mem_disk *disk = mem_disk_clone(rig_disk(rig));
    rig_stop(rig);
    return disk;
}

static void forget_sightings(struct rig *rig)
{
    for (size_t i = 0; i < rig->letter_count; i++)
        rig->letters[i].seen = 0;
    for (size_t i = 0; i < rig->event_count; i++)
        rig->events[i].seen = 0;
    rig->last_event_seen = 0;
}

static bool has_final_event(const struct rig *rig, size_t which)
{
    for (size_t i = 0; i < rig->event_count; i++)
        if (rig->events[i].letter == which && rig->events[i].final && rig->events[i].seen)
            return true;
    return false;
}

/* As the queue does: what the events say is finished is forgotten once more. */
static void forget_finished(struct rig *rig)
{
    for (size_t i = 0; i < rig->letter_count; i++)
        if (rig->letters[i].seen && has_final_event(rig, i)) {
            rig->letters[i].forgotten = true;
            spool_store_forget(rig->store, &rig->letters[i].id, &rig->letters[i].place);
        }
}

static void on_deadline(void *ctx)
{
    struct rig *rig = ctx;
    rig->deadline = rig->store ? spool_store_deadline(rig->store) : OS_NEVER;
}

static void on_opened(void *ctx, bool ok, struct view error)
{
    struct rig *rig = ctx;
    struct buffer text = BUFFER_OF(rig->error);
    rig->opened = ok;
    if (ok) {
        forget_finished(rig);
        return;
    }
    buffer_add(&text, view_slice(error, 0, error.len < sizeof(rig->error) ? error.len : sizeof(rig->error) - 1));
    rig->error[text.len] = 0;
    rig->refused = true;
}

static bool on_live(void *ctx, const struct mail_id *id, const struct spool_place *place)
{
    const struct letter *letter = find(ctx, id);
    return letter && letter->seen && !letter->forgotten &&
           (!place || (place->segment == letter->place.segment && place->offset == letter->place.offset));
}

static void on_moved(void *ctx, const struct mail_id *id, const struct spool_place *from, const struct spool_place *to)
{
    struct rig *rig = ctx;
    struct letter *letter = find(rig, id);
    rig->moves++;
    if (on_live(rig, id, from))
        letter->place = *to;
}

static bool on_in_use(void *ctx, uint64_t segment)
{
    const struct rig *rig = ctx;
    return rig->used && rig->used == segment;
}

static bool open_store(struct rig *rig, const struct spool_held *held, size_t held_count)
{
    const struct spool_store_owner owner = { .ctx = rig,
                                             .message = on_message,
                                             .event = on_event,
                                             .segment = on_segment,
                                             .alarm = on_alarm,
                                             .deadline = on_deadline,
                                             .opened = on_opened,
                                             .live = on_live,
                                             .moved = on_moved,
                                             .in_use = on_in_use };
    const struct spool_store_limits limits = { rig->segment_size, 2, 0 };
    struct buffer error = BUFFER_OF(rig->error);
    forget_sightings(rig);
    rig->opened = rig->refused = false;
    rig->store = spool_store_open(rig->os, rig->dir, &owner, &limits, held, held_count, &error);
    rig->error[error.len < sizeof(rig->error) ? error.len : sizeof(rig->error) - 1] = 0;
    while (rig->store && !rig->opened && !rig->refused && !mem_disk_is_cut(rig_disk(rig)))
        mem_world_step(rig->world);
    if (rig->refused) {
        spool_store_close(rig->store);
        rig->store = NULL;
        mem_world_run(rig->world, 1000000); /* two at a time would be too many */
    }
    on_deadline(rig);
    return rig->opened;
}

static bool on_gather(void *ctx, unsigned waiting)
{
    const struct rig *rig = ctx;
    return waiting < rig->company;
}

static void open_writer(struct rig *rig)
{
    const struct spool_writer_owner owner = { rig, on_need, on_durable, on_sealed, on_trouble, on_room, on_gather };
    const struct spool_writer_limits limits = { rig->memory_max, rig->large_min ? rig->large_min : 32 << 10, 1 << 20 };
    rig->writer = spool_writer_new(rig->os, &owner, &limits);
}

bool rig_open(struct rig *rig)
{
    if (!open_store(rig, NULL, 0))
        return false;
    open_writer(rig);
    rig_run(rig);
    return true;
}

void rig_run(struct rig *rig)
{
    for (int i = 0; i < 100; i++) {
        if (mem_world_run(rig->world, 60000000) || mem_disk_is_cut(rig_disk(rig)))
            break;
    }
    /* What is tried again has its time. */
    for (int i = 0; i < 4 && rig->store && !mem_disk_is_cut(rig_disk(rig)); i++) {
        if (rig->deadline == OS_NEVER && !rig->in_trouble)
            break;
        rig->deadline = OS_NEVER;
        mem_world_run_until(rig->world, mem_world_now_us(rig->world) + 6000000);
        spool_store_tick(rig->store);
        if (rig->in_trouble)
            spool_writer_starve(rig->writer);
        mem_world_run(rig->world, 60000000);
    }
}

/* ---- letters ---- */

struct answer {
    struct rig *rig;
    size_t which;
};

static struct mail_id id_of(size_t which)
{
    struct mail_id_maker maker = { 0 };
    return mail_id_make(&maker, 1000 + which, 77 * which + 1);
}

static char content_byte(size_t which, size_t at)
{
    return (char)('a' + (which * 7 + at * 31 + at / 251) % 26);
}

static void promise(struct rig *rig, size_t which, bool ok)
{
    struct letter *letter = &rig->letters[which];
    if (letter->promise != NOTHING)
        BROKEN("a message was answered twice", which);
    letter->promise = ok ? KEPT : REFUSED;
}

static void on_stored(void *ctx, bool ok)
{
    struct answer *answer = ctx;
    promise(answer->rig, answer->which, ok);
    free(answer);
}

static void add_tags(struct buffer *tags)
{
    spool_tag_add(tags, SPOOL_TAG_REVERSE_PATH, VIEW("sender@example.org"));
    size_t place = spool_tag_open(tags, SPOOL_TAG_RECIPIENT);
    spool_tag_add(tags, SPOOL_RECIPIENT_PATH, VIEW("user@example.org"));
    spool_tag_add(tags, SPOOL_RECIPIENT_ACTION, VIEW("inbox"));
    spool_tag_close(tags, place);
    spool_tag_add(tags, SPOOL_TAG_HELLO, VIEW("client.example.org"));
}

static void refuse(struct rig *rig, struct letter *letter, struct spool_entry *entry)
{
    if (entry)
        spool_entry_drop(entry);
    letter->promise = REFUSED;
    (void)rig;
}

static void send(struct rig *rig, size_t size)
{
    size_t which = rig->letter_count++;
    struct letter *letter = &rig->letters[which];
    *letter = (struct letter){ .id = id_of(which), .size = size };
    struct spool_entry *entry = rig->writer ? spool_entry_new(rig->writer) : NULL;
    for (size_t at = 0; entry && at < size;) {
        char piece[1000];
        size_t len = size - at < sizeof(piece) ? size - at : sizeof(piece);
        for (size_t i = 0; i < len; i++)
            piece[i] = content_byte(which, at + i);
        enum spool_taken taken = spool_entry_add(entry, (struct view){ piece, len });
        if (taken == SPOOL_HOLD) {
            rig_run(rig);
            if (mem_disk_is_cut(rig_disk(rig)) || !mem_world_run(rig->world, 1))
                return;
            taken = spool_entry_add(entry, (struct view){ piece, len });
        }
        if (taken == SPOOL_TAKEN) {
            at += len;
            continue;
        }
        refuse(rig, letter, entry);
        return;
    }
    char memory[1024];
    struct buffer tags = BUFFER_OF(memory);
    struct mail_scan scan;
    mail_scan_start(&scan);
    spool_tag_add(&tags, SPOOL_TAG_ID, (struct view){ (const char *)letter->id.at, MAIL_ID_SIZE });
    add_tags(&tags);
    struct answer *answer = malloc(sizeof(*answer));
    *answer = (struct answer){ rig, which };
    letter->finished = entry != NULL;
    if (!entry ||
        !spool_entry_finish(entry, buffer_view(&tags), VIEW(FRONT), mail_scan_end(&scan), on_stored, answer)) {
        free(answer);
        refuse(rig, letter, entry);
    }
}

/* ---- events ---- */

static void on_logged(void *ctx, bool ok)
{
    struct answer *answer = ctx;
    struct rig *rig = answer->rig;
    struct noted *noted = &rig->events[answer->which];
    struct letter *letter = &rig->letters[noted->letter];
    noted->promise = ok ? KEPT : REFUSED;
    if (ok && noted->final && !rig->closing) {
        letter->forgotten = true;
        spool_store_forget(rig->store, &letter->id, &letter->place);
    }
    free(answer);
}

static void note(struct rig *rig, size_t which, bool final)
{
    struct letter *letter = &rig->letters[which];
    if (!letter->seen || letter->forgotten || !rig->store)
        return;
    size_t number = rig->event_count++;
    rig->events[number] = (struct noted){ .letter = which, .final = final };
    struct answer *answer = malloc(sizeof(*answer));
    *answer = (struct answer){ rig, number };
    struct spool_event event = { .id = letter->id,
                                 .segment = letter->place.segment,
                                 .recipient = (uint32_t)number,
                                 .kind = final ? SPOOL_EVENT_FINAL : 1,
                                 .tags = VIEW("tags of the event") };
    assert_true(spool_store_log(rig->store, &event, on_logged, answer));
}

/* ---- messages of our own ---- */

static void on_added(void *ctx, bool ok)
{
    struct answer *answer = ctx;
    promise(answer->rig, answer->rig->events[answer->which].report, ok);
    on_logged(answer, ok);
}

static void report(struct rig *rig, size_t about, size_t size)
{
    struct letter *subject = &rig->letters[about];
    if (!subject->seen || subject->forgotten || !rig->store)
        return;
    size_t which = rig->letter_count++, number = rig->event_count++;
    rig->letters[which] = (struct letter){ .id = id_of(which), .size = size, .own = true, .finished = true };
    rig->events[number] = (struct noted){ .letter = about, .final = true, .report = which };
    char *content = malloc(size), memory[1024];
    struct buffer tags = BUFFER_OF(memory);
    for (size_t i = 0; i < size; i++)
        content[i] = content_byte(which, i);
    add_tags(&tags);
    struct spool_own own = { .id = id_of(which), .tags = buffer_view(&tags), .content = { content, size } };
    struct spool_event event = { .id = subject->id,
                                 .segment = subject->place.segment,
                                 .recipient = (uint32_t)number,
                                 .kind = SPOOL_EVENT_FINAL,
                                 .tags = VIEW("tags of the event") };
    struct answer *answer = malloc(sizeof(*answer));
    *answer = (struct answer){ rig, number };
    assert_true(spool_store_add(rig->store, &own, &event, 1, on_added, answer));
    free(content);
}

void rig_finish_all(struct rig *rig)
{
    for (size_t i = 0; i < rig->letter_count; i++)
        note(rig, i, true);
    rig_run(rig);
}

/* ---- the script ---- */

static void reopen_all(struct rig *rig)
{
    end_process(rig);
    new_process(rig);
    if (mem_disk_is_cut(rig_disk(rig)) || rig_open(rig) || mem_disk_is_cut(rig_disk(rig)))
        return;
    if (!rig->may_refuse)
        BROKEN(rig->error, 0);
    mem_disk_heal(rig_disk(rig));
    if (!rig_open(rig))
        BROKEN(rig->error, 0);
}

struct holdings {
    struct spool_held held[32];
    size_t count;
};

static void tell(void *ctx, enum spool_kind kind, uint64_t segment, uint64_t upto)
{
    struct holdings *holdings = ctx;
    holdings->held[holdings->count++] = (struct spool_held){ kind, segment, upto };
}

static void reopen_store(struct rig *rig)
{
    struct holdings holdings = { .count = 0 };
    spool_store_close(rig->store);
    rig->store = NULL;
    rig_run(rig);
    spool_writer_tell(rig->writer, tell, &holdings);
    if (!open_store(rig, holdings.held, holdings.count) && !mem_disk_is_cut(rig_disk(rig))) {
        mem_disk_heal(rig_disk(rig));
        if (!rig->may_refuse || !open_store(rig, holdings.held, holdings.count))
            BROKEN(rig->error, 0);
    }
    holdings.count = 0;
    spool_writer_tell(rig->writer, tell, &holdings);
}

static void replace_writer(struct rig *rig)
{
    struct holdings holdings = { .count = 0 };
    spool_writer_tell(rig->writer, tell, &holdings);
    spool_writer_free(rig->writer);
    rig->writer = NULL;
    for (size_t i = 0; i < holdings.count; i++)
        spool_store_orphaned(rig->store, holdings.held[i].segment);
    open_writer(rig);
}

static void act(struct rig *rig, const char *word)
{
    size_t number = strtoul(word + 1, NULL, 10);
    switch (*word) {
    case 'm':
        send(rig, number);
        break;
    case 'd':
    case 'e':
        note(rig, number, *word == 'd');
        break;
    case 'a':
    case 'A':
        report(rig, number, *word == 'a' ? 300 : 20000);
        break;
    case 'n':
        reopen_all(rig);
        break;
    case 'q':
        reopen_store(rig);
        break;
    case 'o':
        replace_writer(rig);
        break;
    case 's':
        rig->slow = true;
        break;
    case 'f':
        hand_late(rig);
        break;
    default:
        fail_msg("no such word: %s", word);
    }
}

void rig_play(struct rig *rig, const char *script)
{
    for (const char *word = script; *word && !mem_disk_is_cut(rig_disk(rig));) {
        act(rig, word);
        word += strcspn(word, " ,");
        if (*word != ',')
            rig_run(rig);
        word += *word != 0;
    }
}

/* ---- the judge ---- */

/* A report and what it reports are there both or neither. Events about what is gone do not come any more. */
static void judge_report(struct rig *rig, const struct noted *noted)
{
    const struct letter *own = &rig->letters[noted->report], *about = &rig->letters[noted->letter];
    if (!own->own || own->forgotten)
        return;
    if (noted->seen && !own->seen)
        BROKEN("an event came up without its report", noted->report);
    if (own->seen && !noted->seen && about->seen)
        BROKEN("a report came up without its event", noted->report);
}

void rig_judge(struct rig *rig)
{
    for (size_t i = 0; i < rig->letter_count; i++) {
        const struct letter *letter = &rig->letters[i];
        if (letter->seen > 1)
            BROKEN("a message came up twice", i);
        if (letter->promise == KEPT && !letter->forgotten && !letter->seen)
            BROKEN("a message that was answered 250 is lost", i);
        if (letter->promise == REFUSED && letter->seen)
            BROKEN("a message that was answered 451 is there", i);
        if (letter->forgotten && letter->seen && !has_final_event(rig, i))
            BROKEN("a message came back after its final event was logged", i);
    }
    for (size_t i = 0; i < rig->event_count; i++) {
        const struct noted *noted = &rig->events[i];
        if (noted->promise == KEPT && !noted->seen && rig->letters[noted->letter].seen)
            BROKEN("an event is lost", i);
        if (noted->promise == REFUSED && noted->seen)
            BROKEN("an event is there that was said not to be", i);
        judge_report(rig, noted);
    }
}

static size_t front_size(const struct letter *letter)
{
    return letter->own ? 0 : sizeof(FRONT) - 1;
}

size_t rig_size(const struct rig *rig, size_t which)
{
    return rig->letters[which].size + front_size(&rig->letters[which]);
}

char rig_byte(const struct rig *rig, size_t which, size_t at)
{
    size_t front = front_size(&rig->letters[which]);
    return at < front ? FRONT[at] : content_byte(which, at - front);
}

static void compare_span(struct rig *rig, size_t which, size_t at, const struct spool_span *span, const char *bytes)
{
    bool sound = span->bytes.at || crc32c(0, (struct view){ bytes, span->len }) == span->crc;
    if (!sound && !rig->tolerant)
        BROKEN("the checksum of a span is wrong", which);
    for (size_t i = 0; i < span->len && sound; i++)
        if (bytes[i] != rig_byte(rig, which, at + i))
            BROKEN("the bytes of a message are not what was sent", which);
}

static void compare(struct rig *rig, size_t which)
{
    const struct letter *letter = &rig->letters[which];
    struct os_file *file = spool_store_file(rig->store, letter->place.segment);
    char *head = malloc(letter->place.head_size + letter->size + 1), *content = head + letter->place.head_size;
    struct os_op op = {
        .kind = OS_READ, .file = &file, .offset = letter->place.offset, .buf = head, .len = letter->place.head_size
    };
    struct spool_message message;
    os_run_ops(rig->os, &op, 1);
    if (!spool_message_parse((struct view){ head, letter->place.head_size }, &letter->place, &message)) {
        if (!rig->tolerant)
            BROKEN("a message cannot be read at its place", which);
        free(head);
        return;
    }
    struct spool_reader reader;
    struct spool_span span;
    size_t at = 0;
    spool_reader_init(&reader, &message, VIEW_NONE);
    for (; spool_reader_next(&reader, &span); at += span.len) {
        if (!span.bytes.at) {
            op = (struct os_op){
                .kind = OS_READ, .file = &file, .offset = span.offset, .buf = content, .len = span.len
            };
            os_run_ops(rig->os, &op, 1);
        }
        compare_span(rig, which, at, &span, span.bytes.at ? span.bytes.at : content);
    }
    if (at != letter->size + front_size(letter) || at != spool_message_size(&message))
        BROKEN("a message has another length than was sent", which);
    free(head);
}

void rig_compare(struct rig *rig)
{
    for (size_t i = 0; i < rig->letter_count; i++)
        if (rig->letters[i].seen && !rig->letters[i].forgotten)
            compare(rig, i);
}

size_t rig_count(struct rig *rig, const char *folder)
{
    struct os_dir *dir = NULL;
    char names[4096];
    struct os_op open = { .kind = OS_OPEN_DIR, .dir = rig->dir, .name = folder, .opened_dir = &dir };
    struct os_op list = { .kind = OS_LIST, .buf = names, .len = sizeof(names) };
    os_run_ops(rig->os, &open, 1);
    list.dir = dir;
    os_run_ops(rig->os, &list, 1);
    size_t count = 0;
    for (struct view rest = { names, (size_t)list.value }; rest.len; count++)
        view_take_until(&rest, 0);
    os_dir_close(dir);
    return count;
}
