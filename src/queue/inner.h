/* Between the files of this folder. */
#ifndef QUEUE_INNER_H
#define QUEUE_INNER_H

#include "queue/queue.h"

#define CLOCK_BASE (1u << 30) /* seconds: no message is older than that */

void destination_line_up(struct queue *queue, struct queue_recipient *recipient, bool first);
void destination_leave(struct queue *queue, struct queue_recipient *recipient);
void destination_free_all(struct queue *queue);
uint64_t gap_us(const struct queue *queue, unsigned attempts, uint64_t chance);
uint64_t mix(uint64_t n);
void message_forget_texts(struct queue_message *message);

#endif
