#include "mail/date.h"
#include "mail/header.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define DAY_US       86400000000u

static const char *text_of(struct buffer *b)
{
    assert_false(b->full);
    buffer_add_char(b, '\0');
    assert_false(b->full);
    return b->at;
}

static void expect_text(const char *name, struct buffer *got, const char *want)
{
    if (strcmp(text_of(got), want) != 0)
        fail_msg("%s: \"%s\", wanted \"%s\"", name, got->at, want);
}

static const struct {
    uint64_t wall_us;
    int offset_min;
    const char *rfc, *iso, *asctime;
} writing[] = {
    { 0, 0, "Thu, 1 Jan 1970 00:00:00 +0000", "1970-01-01T00:00:00.000000Z", "Thu Jan  1 00:00:00 1970" },
    { 0, -210, "Wed, 31 Dec 1969 20:30:00 -0330", "1970-01-01T00:00:00.000000Z", "Thu Jan  1 00:00:00 1970" },
    { 951782400000001, 60, "Tue, 29 Feb 2000 01:00:00 +0100", "2000-02-29T00:00:00.000001Z",
      "Tue Feb 29 00:00:00 2000" },
    { 1795285800123456, 180, "Sat, 21 Nov 2026 21:30:00 +0300", "2026-11-21T18:30:00.123456Z",
      "Sat Nov 21 18:30:00 2026" },
    { 2147483647999999, 0, "Tue, 19 Jan 2038 03:14:07 +0000", "2038-01-19T03:14:07.999999Z",
      "Tue Jan 19 03:14:07 2038" },
    { 2147483648000000, 0, "Tue, 19 Jan 2038 03:14:08 +0000", "2038-01-19T03:14:08.000000Z",
      "Tue Jan 19 03:14:08 2038" },
    { 4102444800000000, -720, "Thu, 31 Dec 2099 12:00:00 -1200", "2100-01-01T00:00:00.000000Z",
      "Fri Jan  1 00:00:00 2100" },
    { 4107542400000000, 840, "Mon, 1 Mar 2100 14:00:00 +1400", "2100-03-01T00:00:00.000000Z",
      "Mon Mar  1 00:00:00 2100" },
};

static void writes_dates(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(writing); i++) {
        char memory[64];
        struct buffer got = BUFFER_OF(memory);
        mail_date_add(&got, writing[i].wall_us, writing[i].offset_min);
        expect_text("rfc", &got, writing[i].rfc);
        buffer_clear(&got);
        mail_date_add_iso(&got, writing[i].wall_us);
        expect_text("iso", &got, writing[i].iso);
        buffer_clear(&got);
        mail_date_add_asctime(&got, writing[i].wall_us);
        expect_text("asctime", &got, writing[i].asctime);
    }
}

static bool is_leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* A calendar that only counts, to compare with. */
struct counted {
    int year, month, day, weekday;
};

static void next_day(struct counted *at)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    at->weekday = (at->weekday + 1) % 7;
    if (at->day++ < days[at->month] + (at->month == 1 && is_leap(at->year)))
        return;
    at->day = 1;
    if (++at->month < 12)
        return;
    at->month = 0;
    at->year++;
}

static void every_day_to_2200(void **state)
{
    (void)state;
    static const int offsets[] = { 0, 60, -60, 345, -210, 840, -720 };
    struct counted at = { 1970, 0, 1, 4 };
    for (uint64_t us = 0; at.year <= 2200; us += DAY_US, next_day(&at)) {
        char memory[64], want[64];
        struct buffer got = BUFFER_OF(memory);
        int64_t read_us;
        int offset = offsets[us / DAY_US % COUNT(offsets)], read_offset;
        uint64_t second_us = us / DAY_US * 7919 % 86400 * 1000000;
        int seconds = (int)(second_us / 1000000);
        snprintf(want, sizeof want, "%.3s, %d %.3s %d %02d:%02d:%02d +0000", &"SunMonTueWedThuFriSat"[3 * at.weekday],
                 at.day, &"JanFebMarAprMayJunJulAugSepOctNovDec"[3 * at.month], at.year, seconds / 3600,
                 seconds / 60 % 60, seconds % 60);
        mail_date_add(&got, us + second_us, 0);
        expect_text("day", &got, want);
        if (us < DAY_US)
            continue; /* an offset may lead before 1970, which has a row of its own */
        buffer_clear(&got);
        mail_date_add(&got, us + second_us, offset);
        if (!mail_date_parse(buffer_view(&got), &read_us, &read_offset) || read_us != (int64_t)(us + second_us) ||
            read_offset != offset)
            fail_msg("not read back: %s", text_of(&got));
    }
}

static const struct {
    const char *text;
    int64_t wall_s;
    int offset_min;
} reading[] = {
    { "Fri, 21 Nov 1997 09:55:06 -0600", 880127706, -360 },
    { "21 Nov 97 09:55:06 GMT", 880106106, 0 },
    { "Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", 880127706, -360 },
    { "(a (b \\) c) d) Fri,\r\n 21 Nov 1997\r\n\t09:55 -0600 (CST)", 880127700, -360 },
    { "21 Nov 097 09:55:06 UT", 880106106, 0 },
    { "21 Nov 97 09:55:06 est", 880124106, -300 },
    { "21 Nov 97 09:55:06 EDT", 880120506, -240 },
    { "21 Nov 97 09:55:06 CST", 880127706, -360 },
    { "21 Nov 97 09:55:06 CDT", 880124106, -300 },
    { "21 Nov 97 09:55:06 MST", 880131306, -420 },
    { "21 Nov 97 09:55:06 MDT", 880127706, -360 },
    { "21 Nov 97 09:55:06 PST", 880134906, -480 },
    { "21 Nov 97 09:55:06 PDT", 880131306, -420 },
    { "21 Nov 97 09:55:06 Z", 880106106, 0 },
    { "21 Nov 97 09:55:06 K", 880106106, 0 },
    { "21 Nov 97 09:55:06 CEST", 880106106, 0 },
    { "21 Nov 97 09:55:06", 880106106, 0 },
    { "21 Nov 97 09:55:06 -0000", 880106106, 0 },
    { "21 November 1997 09:55:06 +0000", 880106106, 0 },
    { "1 Jan 49 00:00:00 +0000", 2493072000, 0 },
    { "1 Jan 50 00:00:00 +0000", -631152000, 0 },
    { "Sat, 31 Dec 2016 23:59:60 +0000", 1483228800, 0 },
    { "29 Feb 2000 00:00 +0000", 951782400, 0 },
    { "1 Jan 1900 00:00 +0000", -2208988800, 0 },
    { "31 Dec 9999 23:59:59 +0000", 253402300799, 0 },
    { "1 Jan 1970 00:00 -9959", 359940, -5999 },
};

static void reads_dates(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(reading); i++) {
        int64_t wall_us = -1;
        int offset = -1;
        bool ok = mail_date_parse(view_of(reading[i].text), &wall_us, &offset);
        if (!ok || wall_us != reading[i].wall_s * 1000000 || offset != reading[i].offset_min)
            fail_msg("%s: %d %lld %d", reading[i].text, ok, (long long)wall_us, offset);
    }
}

static void refuses_dates(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        " ",
        "Fri",
        "Fri,",
        "21",
        "21 Nov",
        "21 Nov 1997",
        "21 Nov 1997 09",
        "0 Nov 1997 09:55 +0000",
        "32 Jan 1997 09:55 +0000",
        "31 Nov 1997 09:55 +0000",
        "29 Feb 1900 00:00 +0000",
        "29 Feb 2001 00:00 +0000",
        "21 Nof 1997 09:55 +0000",
        "21 No 1997 09:55 +0000",
        "21 13 1997 09:55 +0000",
        "21 Nov 1899 09:55 +0000",
        "21 Nov 10000 09:55 +0000",
        "21 Nov 1997 24:00 +0000",
        "21 Nov 1997 09:60 +0000",
        "21 Nov 1997 09:55:61 +0000",
        "21 Nov 1997 09:55:06 +0060",
        "21 Nov 1997 09:55:06 +9960",
        "21 Nov 1997 09:55:06 +99999",
        "21 Nov 1997 09:55:06 +",
        "-21 Nov 1997 09:55 +0000",
        "Some, 21 Nov 1997 09:55 +0000",
        "21 Nov 1997 (09:55 +0000",
        "(\\",
        "((((",
        "18446744073709551616 Nov 1997 09:55 +0000",
        "21 Nov 1997 0x9:55 +0000",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        int64_t wall_us;
        int offset;
        if (mail_date_parse(view_of(texts[i]), &wall_us, &offset))
            fail_msg("read: %s", texts[i]);
    }
}

/* H169: neither locale nor time zone of the process changes a byte; 2038 and 2100 are among the rows. */
static void environment_does_not_matter(void **state)
{
    static const char *const zones[] = { "America/St_Johns", "Asia/Kathmandu", "XYZ-14", "EST5EDT", "" };
    static const char *const locales[] = { "tr_TR.UTF-8", "ar_SA.UTF-8", "de_DE.UTF-8",
                                           "C" }; /* those that are there */
    for (size_t i = 0; i < COUNT(zones); i++) {
        assert_int_equal(setenv("TZ", zones[i], 1), 0);
        tzset();
        for (size_t l = 0; l < COUNT(locales); l++) {
            setlocale(LC_ALL, locales[l]);
            writes_dates(state);
            reads_dates(state);
        }
    }
}

/* ---- the dates of mail-parser ---- */

static char *suite_text(const char *name)
{
    char path[4096];
    const char *suites = getenv("GONETS_SUITES"), *slash = strrchr(__FILE__, '/');
    if (suites)
        snprintf(path, sizeof path, "%s/%s", suites, name);
    else
        snprintf(path, sizeof path, "%.*s/../../../shared/conformance/%s", slash ? (int)(slash - __FILE__) : 1,
                 slash ? __FILE__ : ".", name);
    FILE *file = fopen(path, "r");
    if (!file)
        return NULL;
    char *text = calloc(1, 1 << 20);
    size_t got = fread(text, 1, (1 << 20) - 1, file);
    fclose(file);
    assert_true(got < (1 << 20) - 1);
    return text;
}

/* A JSON string that begins at `at`, as a field with its line end; returns what follows. */
static const char *json_field(const char *at, struct buffer *field)
{
    buffer_add_text(field, "Date: ");
    for (; *at != '"'; at++) {
        if (*at == '\\')
            at++;
        buffer_add_char(field, at[-1] != '\\' ? *at : *at == 'n' ? '\n' : *at == 't' ? '\t' : *at);
    }
    buffer_add_char(field, '\n');
    return at;
}

static int json_number(const char *at, const char *key)
{
    const char *found = strstr(at, key);
    assert_non_null(found);
    found = strchr(found, ':') + 1;
    found += strspn(found, " ");
    return *found == 't' ? 1 : atoi(found);
}

/* Local time and zone as numbers, the only thing the suite speaks of. */
static void check_case(const char *expected, const struct mail_field *field)
{
    int64_t wall_us;
    int offset, sign;
    struct view text = field->value;
    size_t semicolon = view_find_last(text, ';');
    if (semicolon < text.len) /* a whole Received field: RFC 5321 section 4.4 */
        text = view_slice(text, semicolon + 1, text.len);
    bool ok = mail_date_parse(text, &wall_us, &offset);
    if (ok != (*expected == '{'))
        fail_msg("%.*s: %s", VIEW_FORMAT(field->value), ok ? "read" : "refused");
    if (!ok)
        return;
    sign = json_number(expected, "tz_before_gmt") ? -1 : 1;
    assert_int_equal(offset, sign * (json_number(expected, "tz_hour") * 60 + json_number(expected, "tz_minute")));
    char again[64];
    int64_t same_us;
    snprintf(again, sizeof again, "%d %d %d %d:%d:%d", json_number(expected, "day"), json_number(expected, "month"),
             json_number(expected, "year"), json_number(expected, "hour"), json_number(expected, "minute"),
             json_number(expected, "second"));
    assert_true(mail_date_parse(view_of(again), &same_us, &sign));
    if (same_us - offset * 60000000ll != wall_us)
        fail_msg("%.*s: another time", VIEW_FORMAT(field->value));
}

static void suite_of_mail_parser(void **state)
{
    (void)state;
    char *text = suite_text("headers/mail-parser/date.json");
    size_t count = 0;
    if (!text) {
        print_message("NOT RUN: headers/mail-parser/date.json is not here\n");
        return;
    }
    for (const char *at = text; (at = strstr(at, "\"header\"")); count++) {
        char memory[1024];
        struct buffer whole = BUFFER_OF(memory);
        struct mail_field field;
        at = json_field(strchr(at + 8, '"') + 1, &whole);
        at = strstr(at, "\"expected\"") + 11;
        at += strspn(at, " ");
        struct view rest = buffer_view(&whole);
        assert_true(mail_header_next(&rest, &field));
        check_case(at, &field);
    }
    assert_true(count >= 40);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_dates),
        cmocka_unit_test(every_day_to_2200),
        cmocka_unit_test(reads_dates),
        cmocka_unit_test(refuses_dates),
        cmocka_unit_test(environment_does_not_matter),
        cmocka_unit_test(suite_of_mail_parser),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
