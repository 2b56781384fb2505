#include "mail/date.h"

#include <assert.h>

#define US_PER_S       1000000
#define DAY_S          86400
#define OFFSET_MAX_MIN (99 * 60 + 59) /* RFC 5322 section 3.3: -9959 to +9959 */

struct civil {
    int64_t year;
    int month, day, hour, minute, second; /* month and day from 1 */
    int weekday;                          /* 0: Sunday */
};

static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char weekday_names[] = "SunMonTueWedThuFriSat";

/* ---- the calendar ----
 * Years are counted from the 1st of March, so that the leap day is the last of its year, and in eras of 400 years,
 * which all have the same number of days. */

#define ERA_YEARS 400
#define ERA_DAYS  146097
#define EPOCH_DAY 719468 /* 1970-01-01, counted from 0000-03-01 */

static int64_t floor_div(int64_t n, int64_t by)
{
    return n / by - (n % by < 0);
}

/* Days before the month in a year that begins in March. */
static int month_start(int month)
{
    return (153 * ((month + 9) % 12) + 2) / 5;
}

static int64_t days_of_date(int64_t year, int month, int day)
{
    int64_t march_year = year - (month <= 2);
    int64_t era = floor_div(march_year, ERA_YEARS);
    int64_t in_era = march_year - era * ERA_YEARS;
    return era * ERA_DAYS + in_era * 365 + in_era / 4 - in_era / 100 + month_start(month) + day - 1 - EPOCH_DAY;
}

static struct civil civil_of(int64_t seconds)
{
    int64_t days = floor_div(seconds, DAY_S), rest = seconds - days * DAY_S;
    int64_t era = floor_div(days + EPOCH_DAY, ERA_DAYS);
    int64_t in_era = days + EPOCH_DAY - era * ERA_DAYS;
    int64_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / (ERA_DAYS - 1)) / 365;
    int in_year = (int)(in_era - (year * 365 + year / 4 - year / 100));
    int month = ((5 * in_year + 2) / 153 + 2) % 12 + 1;
    return (struct civil){ .year = era * ERA_YEARS + year + (month <= 2),
                           .month = month,
                           .day = in_year - month_start(month) + 1,
                           .hour = (int)(rest / 3600),
                           .minute = (int)(rest / 60 % 60),
                           .second = (int)(rest % 60),
                           .weekday = (int)((days % 7 + 11) % 7) };
}

static int64_t month_days(int64_t year, int month)
{
    return days_of_date(year + month / 12, month % 12 + 1, 1) - days_of_date(year, month, 1);
}

/* ---- writing ---- */

static const char *weekday_name(const struct civil *at)
{
    return weekday_names + 3 * at->weekday;
}

static const char *month_name(const struct civil *at)
{
    return month_names + 3 * (at->month - 1);
}

void mail_date_add(struct buffer *to, uint64_t wall_us, int utc_offset_min)
{
    assert(utc_offset_min >= -OFFSET_MAX_MIN && utc_offset_min <= OFFSET_MAX_MIN);
    struct civil at = civil_of((int64_t)(wall_us / US_PER_S) + utc_offset_min * 60);
    int offset = utc_offset_min < 0 ? -utc_offset_min : utc_offset_min;
    buffer_addf(to, "%.3s, %d %.3s %04lld %02d:%02d:%02d %c%02d%02d", weekday_name(&at), at.day, month_name(&at),
                (long long)at.year, at.hour, at.minute, at.second, utc_offset_min < 0 ? '-' : '+', offset / 60,
                offset % 60);
}

void mail_date_add_asctime(struct buffer *to, uint64_t wall_us)
{
    struct civil at = civil_of((int64_t)(wall_us / US_PER_S));
    buffer_addf(to, "%.3s %.3s %2d %02d:%02d:%02d %04lld", weekday_name(&at), month_name(&at), at.day, at.hour,
                at.minute, at.second, (long long)at.year);
}

void mail_date_add_iso(struct buffer *to, uint64_t wall_us)
{
    struct civil at = civil_of((int64_t)(wall_us / US_PER_S));
    buffer_addf(to, "%04lld-%02d-%02dT%02d:%02d:%02d.%06dZ", (long long)at.year, at.month, at.day, at.hour, at.minute,
                at.second, (int)(wall_us % US_PER_S));
}

/* ---- reading ----
 * Forgiving about what stands between the parts, strict about the parts themselves. */

enum token_kind { TOKEN_END, TOKEN_WORD, TOKEN_NUMBER };

struct token {
    enum token_kind kind;
    struct view text; /* letters, or digits without their sign */
    char sign;        /* 0: none */
};

static bool is_between(char c)
{
    return ascii_is_blank(c) || c == '\r' || c == '\n' || c == ',' || c == ':';
}

/* RFC 5322 section 3.2.2: comments nest, and a backslash quotes. All is taken when the end is missing. */
static void skip_comment(struct view *text)
{
    size_t depth = 0;
    do {
        struct view c = view_take(text, 1);
        if (c.at[0] == '\\')
            view_take(text, 1);
        else if (c.at[0] == '(')
            depth++;
        else if (c.at[0] == ')')
            depth--;
    } while (depth && text->len);
}

static void skip_between(struct view *text)
{
    while (text->len)
        if (text->at[0] == '(')
            skip_comment(text);
        else if (is_between(text->at[0]))
            view_take(text, 1);
        else
            return;
}

static struct view take_while(struct view *text, bool (*wanted)(char c))
{
    size_t n = 0;
    while (n < text->len && wanted(text->at[n]))
        n++;
    return view_take(text, n);
}

/* Another byte where a token should begin ends the date. */
static struct token next_token(struct view *text)
{
    struct token token = { 0 };
    skip_between(text);
    if (text->len && (text->at[0] == '+' || text->at[0] == '-'))
        token.sign = view_take(text, 1).at[0];
    token.text = take_while(text, ascii_is_digit);
    if (token.text.len) {
        token.kind = TOKEN_NUMBER;
    } else if (!token.sign) {
        token.text = take_while(text, ascii_is_alpha);
        token.kind = token.text.len ? TOKEN_WORD : TOKEN_END;
    }
    return token;
}

static bool number_of(const struct token *token, uint64_t max, int *number)
{
    uint64_t value;
    if (token->kind != TOKEN_NUMBER || token->sign || !view_to_u64(token->text, max, &value))
        return false;
    *number = (int)value;
    return true;
}

/* Place of a word in names of three letters, from 0; -1: none of them. */
static int name_of(const struct token *token, const char *names, int count)
{
    if (token->kind == TOKEN_WORD)
        for (int i = 0; i < count; i++)
            if (view_starts_nocase(token->text, (struct view){ names + 3 * i, 3 }))
                return i;
    return -1;
}

static bool month_of(const struct token *token, int *month)
{
    if (number_of(token, 12, month))
        return *month > 0;
    *month = name_of(token, month_names, 12) + 1;
    return *month > 0;
}

/* RFC 5322 section 4.3: 00 to 49 are of this century, 50 to 99 and all three-digit years count from 1900. */
static bool year_of(const struct token *token, int *year)
{
    if (!number_of(token, 9999, year))
        return false;
    if (token->text.len == 2 && *year < 50)
        *year += 2000;
    else if (token->text.len == 2 || token->text.len == 3)
        *year += 1900;
    return *year >= 1900;
}

/* RFC 5322 section 4.3: zone names; all but these say nothing that could be trusted and mean -0000. */
static int zone_name_min(struct view name)
{
    static const struct {
        char name[4];
        int hours;
    } zones[] = { { "EST", -5 }, { "EDT", -4 }, { "CST", -6 }, { "CDT", -5 },
                  { "MST", -7 }, { "MDT", -6 }, { "PST", -8 }, { "PDT", -7 } };
    for (size_t i = 0; i < sizeof zones / sizeof zones[0]; i++)
        if (view_equal_nocase(name, view_of(zones[i].name)))
            return zones[i].hours * 60;
    return 0;
}

static bool zone_of(struct token token, int *offset_min)
{
    int number, sign = token.sign == '-' ? -1 : 1;
    *offset_min = token.kind == TOKEN_WORD ? zone_name_min(token.text) : 0;
    if (token.kind != TOKEN_NUMBER)
        return !token.sign;
    token.sign = 0;
    if (!number_of(&token, 9959, &number) || number % 100 > 59)
        return false;
    *offset_min = sign * (number / 100 * 60 + number % 100);
    return true;
}

/* hour ":" minute [":" second] zone */
static bool parse_time(struct view *text, struct civil *at, int *offset_min)
{
    struct token hour = next_token(text), minute = next_token(text), next = next_token(text);
    if (!number_of(&hour, 23, &at->hour) || !number_of(&minute, 59, &at->minute))
        return false;
    if (next.kind == TOKEN_NUMBER && !next.sign) {
        if (!number_of(&next, 60, &at->second)) /* 60: a leap second */
            return false;
        next = next_token(text);
    }
    return zone_of(next, offset_min);
}

bool mail_date_parse(struct view text, int64_t *wall_us, int *utc_offset_min)
{
    struct civil at = { 0 };
    int year;
    struct token token = next_token(&text);
    if (name_of(&token, weekday_names, 7) >= 0)
        token = next_token(&text);
    if (!number_of(&token, 31, &at.day) || at.day < 1)
        return false;
    token = next_token(&text);
    if (!month_of(&token, &at.month))
        return false;
    token = next_token(&text);
    if (!year_of(&token, &year) || at.day > month_days(year, at.month) || !parse_time(&text, &at, utc_offset_min))
        return false;
    int64_t days = days_of_date(year, at.month, at.day);
    *wall_us = (days * DAY_S + at.hour * 3600 + at.minute * 60 + at.second - *utc_offset_min * 60) * US_PER_S;
    return true;
}
