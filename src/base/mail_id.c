#include "base/mail_id.h"

#include <string.h>

#define TIME_MAX ((UINT64_C(1) << 56) - 1)

static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

struct mail_id mail_id_make(struct mail_id_maker *maker, uint64_t wall_us, uint64_t random)
{
    struct mail_id id;
    wall_us &= TIME_MAX;
    if (wall_us > maker->last_us) {
        maker->last_us = wall_us;
        maker->last_random = random;
    } else if (++maker->last_random == 0) {
        maker->last_us++;
    }
    for (int i = 0; i < 7; i++)
        id.at[i] = (uint8_t)(maker->last_us >> (8 * (6 - i)));
    for (int i = 0; i < 8; i++)
        id.at[7 + i] = (uint8_t)(maker->last_random >> (8 * (7 - i)));
    return id;
}

/* 5 bytes make 8 characters, 15 make 24. */
void mail_id_text(const struct mail_id *id, char text[MAIL_ID_TEXT_SIZE + 1])
{
    for (int group = 0; group < 3; group++) {
        uint64_t bits = 0;
        for (int i = 0; i < 5; i++)
            bits = bits << 8 | id->at[group * 5 + i];
        for (int i = 0; i < 8; i++)
            text[group * 8 + i] = alphabet[bits >> (5 * (7 - i)) & 31];
    }
    text[MAIL_ID_TEXT_SIZE] = 0;
}

bool mail_id_parse(struct view text, struct mail_id *id)
{
    if (text.len != MAIL_ID_TEXT_SIZE)
        return false;
    for (int group = 0; group < 3; group++) {
        uint64_t bits = 0;
        for (int i = 0; i < 8; i++) {
            char c = ascii_lower(text.at[group * 8 + i]);
            const char *hit = c ? strchr(alphabet, c) : NULL;
            if (!hit)
                return false;
            bits = bits << 5 | (uint64_t)(hit - alphabet);
        }
        for (int i = 0; i < 5; i++)
            id->at[group * 5 + i] = (uint8_t)(bits >> (8 * (4 - i)));
    }
    return true;
}

uint64_t mail_id_time_us(const struct mail_id *id)
{
    uint64_t us = 0;
    for (int i = 0; i < 7; i++)
        us = us << 8 | id->at[i];
    return us;
}

int mail_id_compare(const struct mail_id *a, const struct mail_id *b)
{
    int order = memcmp(a->at, b->at, MAIL_ID_SIZE);
    return order < 0 ? -1 : order > 0;
}
