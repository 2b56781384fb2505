/* What lies in a spool, for an administrator: read whole and changed in nothing. Every checksum is looked at, also
 * those of content, which recovery and delivery leave alone until they must. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "spool/folder.h"
#include "spool/marker.h"
#include "spool/message.h"
#include "spool/survey.h"

#define LINE_MAX 512

struct looking {
    struct os *os;
    struct os_dir *segments;
    const struct spool_look *look;
    struct marker marker;
    uint64_t faults, segment_count, messages, events, annuls, content;
    /* the segment at hand */
    struct segment_header header;
    struct source source;
    char name[SEGMENT_NAME_SIZE];
};

static void say(struct looking *looking, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fault(struct looking *looking, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say_list(struct looking *looking, const char *format, va_list args)
{
    char text[LINE_MAX];
    int len = vsnprintf(text, sizeof(text), format, args);
    if (len > 0)
        looking->look->line(looking->look->ctx, (struct view){ text, len < LINE_MAX ? (size_t)len : sizeof(text) - 1 });
}

static void say(struct looking *looking, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say_list(looking, format, args);
    va_end(args);
}

static void fault(struct looking *looking, const char *format, ...)
{
    va_list args;
    looking->faults++;
    va_start(args, format);
    say_list(looking, format, args);
    va_end(args);
}

typedef unsigned long long number;

/* ---- records ---- */

static void look_at_message(struct looking *looking, const struct walk *walk)
{
    struct spool_message message;
    char id[MAIL_ID_TEXT_SIZE + 1];
    if (!message_of_record(looking->header.number, &walk->record, walk->head, &message)) {
        fault(looking, "FAULT segment %s: the message at %llu is malformed, or of another version", looking->name,
              (number)walk->record.place);
        return;
    }
    looking->messages++;
    looking->content += message.place.content_size;
    mail_id_text(&message.id, id);
    if (looking->look->dump)
        say(looking, "    message %s at %llu: %u recipients, %llu bytes of content", id, (number)walk->record.place,
            message.recipient_count, (number)message.place.content_size);
}

static void look_at_event(struct looking *looking, const struct walk *walk)
{
    struct spool_event event;
    char id[MAIL_ID_TEXT_SIZE + 1];
    if (!event_get(walk->head, &event)) {
        fault(looking, "FAULT segment %s: the event at %llu is malformed", looking->name, (number)walk->record.place);
        return;
    }
    looking->events++;
    mail_id_text(&event.id, id);
    if (looking->look->dump)
        say(looking, "    event %u%s about %s, recipient %d, in segment %016llx, at %llu us", event.kind,
            event.kind & SPOOL_EVENT_FINAL ? " (final)" : "", id, (int)event.recipient, (number)event.segment,
            (number)event.wall_us);
}

static void look_at_record(struct looking *looking, const struct walk *walk)
{
    uint64_t segment, end;
    switch (walk->record.type) {
    case RECORD_MESSAGE:
        look_at_message(looking, walk);
        break;
    case RECORD_EVENT:
        look_at_event(looking, walk);
        break;
    case RECORD_CONTENT:
        if (looking->look->dump)
            say(looking, "    content, %llu bytes", (number)walk->record.body_size);
        break;
    case RECORD_ANNUL:
        looking->annuls++;
        if (looking->look->dump && annul_get(walk->head, &segment, &end))
            say(looking, "    segment %016llx is annulled from %llu on", (number)segment, (number)end);
        break;
    default:
        fault(looking, "FAULT segment %s: the record at %llu is of an unknown type", looking->name,
              (number)walk->record.place);
    }
}

static void look_at_groups(struct looking *looking, uint64_t end)
{
    struct walk walk;
    walk_init(&walk, looking->header.number, looking->header.nonce, DATA_START, end);
    for (enum walk_step step; (step = source_walk(&looking->source, &walk)) != WALK_END;) {
        if (step == WALK_DAMAGE)
            fault(looking, "FAULT segment %s: bytes %llu to %llu are damaged", looking->name, (number)walk.damage_from,
                  (number)walk.damage_to);
        else if (step == WALK_RECORD)
            look_at_record(looking, &walk);
        else if (looking->look->dump)
            say(looking, "  group %u at %llu: %u records, %llu bytes, durable before: %llu", walk.group.group,
                (number)walk.group.place, walk.group.records, (number)walk.group.length, (number)walk.group.synced_to);
    }
}

/* ---- segments ---- */

static void look_at_footer(struct looking *looking, const struct seal *seal)
{
    struct view footer = source_read(&looking->source, seal->end, seal->footer_size ? seal->footer_size : 1);
    footer.len = seal->footer_size;
    if (seal->footer && (!footer.at || crc32c(0, footer) != seal->footer_crc))
        fault(looking, "FAULT segment %s: its footer is damaged (nothing is lost by that)", looking->name);
}

static void look_into(struct looking *looking, uint64_t file_size)
{
    static const char *const kinds[] = { "?", "mail", "large", "log", "cold" };
    struct view start = source_read(&looking->source, 0, DATA_START);
    struct seal seal;
    struct survey survey = { 0 };
    uint64_t told = 0;
    enum format_result result = start.at ? segment_header_get(start, &looking->header) : FORMAT_BAD;
    bool named = segment_name_read(view_of(looking->name), &told);
    if (result != FORMAT_OK || !named || told != looking->header.number) {
        fault(looking, "FAULT segment %s: %s", looking->name,
              result == FORMAT_VERSION_UNKNOWN ? "written by another version" : "its header is damaged");
        return;
    }
    if (memcmp(looking->header.spool_id, looking->marker.id, SPOOL_ID_SIZE) != 0)
        fault(looking, "FAULT segment %s: it belongs to another spool", looking->name);
    bool sealed = seal_get(view_slice(start, SEAL_AT, DATA_START), &looking->header, &seal);
    if (!sealed)
        survey_segment(&looking->source, &looking->header, block_up(file_size), &survey);
    uint64_t end = sealed ? seal.end : survey.end;
    if (looking->look->dump)
        say(looking, "segment %s: %s, %s, groups up to %llu", looking->name, kinds[looking->header.kind],
            sealed ? "sealed" : "not sealed", (number)end);
    if (looking->header.evacuates && looking->look->dump)
        say(looking, "  copied from segment %016llx", (number)looking->header.evacuates);
    look_at_groups(looking, end);
    if (sealed)
        look_at_footer(looking, &seal);
    if (survey.torn_end)
        say(looking, "segment %s: an unfinished group at %llu, never acknowledged", looking->name, (number)end);
}

static bool look_at_segment(void *ctx, struct view name)
{
    struct looking *looking = ctx;
    uint64_t segment_number;
    struct os_file *file = NULL;
    struct os_stat stat = { 0 };
    if (!segment_name_read(name, &segment_number)) {
        fault(looking, "FAULT segments/%.*s: not ours", (int)(name.len < 64 ? name.len : 64), name.at);
        return true;
    }
    segment_name(looking->name, segment_number);
    struct os_op ops[2] = { { .kind = OS_OPEN,
                              .dir = looking->segments,
                              .name = looking->name,
                              .file = &file,
                              .flags = OS_FOR_READ | OS_NO_FOLLOW },
                            { .kind = OS_STAT, .file = &file, .stat = &stat } };
    os_run_ops(looking->os, ops, 2);
    if (ops[1].status != OS_OK) {
        fault(looking, "FAULT segment %s: %s", looking->name,
              os_status_text(ops[0].status != OS_OK ? ops[0].status : ops[1].status));
        return true;
    }
    looking->segment_count++;
    source_init(&looking->source, looking->os, file);
    look_into(looking, stat.size);
    if (looking->source.unreadable || looking->source.no_memory)
        fault(looking, "FAULT segment %s: the disk could not be read in places", looking->name);
    source_free(&looking->source);
    os_file_close(file);
    return true;
}

/* ---- the spool ---- */

static bool count_name(void *ctx, struct view name)
{
    (void)name;
    ++*(uint64_t *)ctx;
    return true;
}

static struct os_dir *open_folder(struct looking *looking, struct os_dir *dir, const char *name)
{
    struct os_dir *folder = NULL;
    struct os_op op = { .kind = OS_OPEN_DIR, .dir = dir, .name = name, .opened_dir = &folder };
    os_run_ops(looking->os, &op, 1);
    if (op.status != OS_OK)
        fault(looking, "FAULT %s/: %s", name, os_status_text(op.status));
    return op.status == OS_OK ? folder : NULL;
}

static uint64_t count_names(struct looking *looking, struct os_dir *dir, const char *name)
{
    uint64_t count = 0;
    struct os_dir *folder = open_folder(looking, dir, name);
    if (!folder)
        return 0;
    folder_each(looking->os, folder, count_name, &count);
    os_dir_close(folder);
    return count;
}

uint64_t spool_look_at(struct os *os, struct os_dir *dir, const struct spool_look *look)
{
    struct looking looking = { .os = os, .look = look };
    enum format_result result;
    enum os_status status = marker_read(os, dir, &looking.marker, &result);
    if (status != OS_OK || result != FORMAT_OK) {
        fault(&looking, "FAULT there is no spool here: the file `spool` is %s",
              status == OS_NOT_FOUND             ? "missing"
              : status != OS_OK                  ? os_status_text(status)
              : result == FORMAT_VERSION_UNKNOWN ? "of another version"
                                                 : "damaged");
        return looking.faults;
    }
    looking.segments = open_folder(&looking, dir, "segments");
    if (looking.segments) {
        if (!folder_each(os, looking.segments, look_at_segment, &looking))
            fault(&looking, "FAULT segments/ cannot be read");
        os_dir_close(looking.segments);
    }
    uint64_t free_files = count_names(&looking, dir, "free");
    uint64_t quarantined = count_names(&looking, dir, "quarantine");
    say(&looking, "%llu segments: %llu messages with %llu bytes of content, %llu events, %llu annulments",
        (number)looking.segment_count, (number)looking.messages, (number)looking.content, (number)looking.events,
        (number)looking.annuls);
    say(&looking, "%llu files ready for new segments, %llu in quarantine, %llu faults", (number)free_files,
        (number)quarantined, (number)looking.faults);
    return looking.faults;
}
