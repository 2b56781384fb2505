#include "deliver/copy.h"

#include "base/crc32c.h"

#include <stdlib.h>

#define OUT_SIZE (DELIVER_FILTER_ROOM(DELIVER_CHUNK) + 16384) /* one piece, and what begins and ends a message */

static void step(struct deliver_copy *copy);

bool deliver_copy_good(const struct deliver_copy *copy)
{
    return copy->read_status == OS_OK && copy->write_status == OS_OK && !copy->damaged;
}

static void finish(struct deliver_copy *copy)
{
    free(copy->memory);
    copy->memory = NULL;
    copy->done(copy->ctx);
}

static void on_written(struct deliver_copy *copy)
{
    copy->write_status = copy->ops[0].status;
    copy->offset += copy->out.len;
    buffer_clear(&copy->out);
}

static void on_read(struct deliver_copy *copy)
{
    const struct os_op *read = &copy->ops[1];
    copy->read_status = read->status;
    copy->damaged = read->status == OS_OK && read->value < read->len;
    if (!deliver_copy_good(copy))
        return;
    const struct view bytes = { copy->in, read->len };
    deliver_letter_feed(copy->letter, &copy->filter, copy->content_at, bytes, &copy->out);
    copy->content_at += bytes.len;
    copy->crc = crc32c(copy->crc, bytes);
    if (copy->span.len == 0)
        copy->damaged = copy->crc != copy->span.crc; /* other bytes than the disk was given (H138) */
}

static void on_done(void *ctx)
{
    struct deliver_copy *copy = ctx;
    if (copy->request.ops == copy->ops)
        on_written(copy);
    if (copy->reading && copy->write_status == OS_OK)
        on_read(copy);
    step(copy);
}

/* Writes what is there, and reads the next piece. */
static void submit(struct deliver_copy *copy, bool reading)
{
    size_t first = copy->out.len ? 0 : 1;
    copy->reading = reading;
    copy->slice = (struct os_slice){ copy->out.at, copy->out.len };
    copy->ops[0] = (struct os_op){
        .kind = OS_WRITE, .file = copy->to, .offset = copy->offset, .slices = &copy->slice, .slice_count = 1
    };
    if (reading && first == 0)
        copy->ops[1].after = &copy->ops[0];
    copy->request = (struct os_request){ copy->ops + first, (reading ? 2 : 1) - first, on_done, copy, NULL };
    os_submit(copy->queue, &copy->request);
}

/* Takes the next piece, at most a chunk, off the present span. */
static struct spool_span take_piece(struct deliver_copy *copy)
{
    struct spool_span piece = copy->span;
    if (piece.bytes.at) {
        piece.bytes = view_take(&copy->span.bytes, DELIVER_CHUNK);
        return piece;
    }
    if (piece.len > DELIVER_CHUNK)
        piece.len = DELIVER_CHUNK;
    copy->span.offset += piece.len;
    copy->span.len -= piece.len;
    return piece;
}

static bool next_span(struct deliver_copy *copy)
{
    while (copy->span.bytes.at ? copy->span.bytes.len == 0 : copy->span.len == 0)
        if (spool_reader_next(&copy->reader, &copy->span))
            copy->crc = 0;
        else
            return false;
    return true;
}

static void read_piece(struct deliver_copy *copy, const struct spool_span *piece)
{
    copy->ops[1] = (struct os_op){
        .kind = OS_READ, .file = &copy->from, .offset = piece->offset, .buf = copy->in, .len = (size_t)piece->len
    };
    submit(copy, true);
}

static void end(struct deliver_copy *copy)
{
    copy->damaged = copy->reader.bad;
    if (!copy->ended && !copy->damaged)
        deliver_filter_end(&copy->filter, &copy->out);
    copy->ended = true;
    if (copy->out.len && !copy->damaged)
        submit(copy, false);
    else
        finish(copy);
}

static void step(struct deliver_copy *copy)
{
    while (deliver_copy_good(copy) && next_span(copy)) {
        if (buffer_room(&copy->out) < DELIVER_FILTER_ROOM(DELIVER_CHUNK)) {
            submit(copy, false);
            return;
        }
        struct spool_span piece = take_piece(copy);
        if (!piece.bytes.at) {
            read_piece(copy, &piece);
            return;
        }
        deliver_filter_feed(&copy->filter, piece.bytes, false, &copy->out);
    }
    if (deliver_copy_good(copy))
        end(copy);
    else
        finish(copy);
}

bool deliver_copy_start(struct deliver_copy *copy, struct os_queue *queue, const struct deliver_letter *letter,
                        struct os_file *from, struct os_file **to, uint64_t offset, uint64_t wall_us,
                        void (*done)(void *ctx), void *ctx)
{
    *copy = (struct deliver_copy){ .queue = queue, .letter = letter, .from = from, .to = to, .offset = offset };
    copy->done = done;
    copy->ctx = ctx;
    copy->memory = malloc(DELIVER_CHUNK + OUT_SIZE);
    if (!copy->memory)
        return false;
    copy->in = copy->memory;
    buffer_init(&copy->out, copy->memory + DELIVER_CHUNK, OUT_SIZE);
    spool_reader_init(&copy->reader, &letter->message, VIEW_NONE);
    deliver_letter_begin(letter, &copy->filter, wall_us, &copy->out);
    submit(copy, false); /* never empty: there is a Return-Path */
    return true;
}
