#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "os/linux/test_loop.h"

/* ---- a name server: the first label of a name says what to answer (RFC 1035 section 4.1) ---- */

static struct {
    int socket;
    pthread_t thread;
    char address[32];
} server;

static size_t put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return 2;
}

/* A record of the name that was asked for. */
static size_t put_record(uint8_t *at, unsigned type, const void *data, size_t len)
{
    size_t n = put16(at, 0xc00c);
    n += put16(at + n, type);
    n += put16(at + n, 1);
    n += put16(at + n, 0);
    n += put16(at + n, 300);
    n += put16(at + n, (unsigned)len);
    memcpy(at + n, data, len);
    return n + len;
}

static bool label_is(const uint8_t *label, const char *text)
{
    return *label == strlen(text) && strncasecmp((const char *)label + 1, text, *label) == 0;
}

static size_t answer(uint8_t *packet, size_t len)
{
    uint8_t *name = packet + 12;
    size_t n = 12;
    unsigned rcode = 0, records = 0;
    while (packet[n])
        n += packet[n] + 1u;
    unsigned type = (unsigned)packet[n + 1] << 8 | packet[n + 2];
    n += 5;
    if (label_is(name, "silent"))
        return 0;
    if (label_is(name, "nxdomain"))
        rcode = 3;
    else if (label_is(name, "servfail"))
        rcode = 2;
    else if (label_is(name, "refused"))
        rcode = 5;
    else if (label_is(name, "malformed"))
        records = 7; /* that are not there */
    else if (label_is(name, "mx") && type == OS_DNS_MX) {
        n += put_record(packet + n, type, "\0\12\4mail\xc0\x0c", 9); /* "mail" and the name asked for */
        n += put_record(packet + n, type, "\0\24\0", 3);             /* the root */
        records = 2;
    } else if (label_is(name, "host") && type == OS_DNS_A) {
        n += put_record(packet + n, type, "\300\0\2\1", 4);
        n += put_record(packet + n, type, "\300\0\2\2", 4);
        records = 2;
    } else if (label_is(name, "alias")) {
        n += put_record(packet + n, 5, "\4host\5other\4test", 17);
        records = 1;
    } else if (label_is(name, "text") && type == OS_DNS_TXT) {
        n += put_record(packet + n, type, "\3a\0b\1c", 6);
        records = 1;
    } else if (label_is(name, "short") && type == OS_DNS_MX) {
        n += put_record(packet + n, type, "\0", 1);
        records = 1;
    }
    (void)len;
    packet[2] = 0x85; /* an answer, authoritative, recursion desired */
    packet[3] = (uint8_t)(0x80 | rcode);
    put16(packet + 6, records);
    put16(packet + 8, 0);
    put16(packet + 10, 0);
    return n;
}

static void *serve(void *arg)
{
    uint8_t packet[2048];
    struct sockaddr_in from;
    (void)arg;
    for (;;) {
        socklen_t from_len = sizeof from;
        ssize_t n = recvfrom(server.socket, packet, 1024, 0, (struct sockaddr *)&from, &from_len);
        if (n < 12)
            return NULL;
        size_t len = answer(packet, (size_t)n);
        if (len)
            sendto(server.socket, packet, len, 0, (struct sockaddr *)&from, from_len);
    }
}

static int start_server(void **state)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    (void)state;
    server.socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server.socket, (struct sockaddr *)&at, sizeof at), 0);
    struct address bound = os_linux_socket_name(server.socket);
    snprintf(server.address, sizeof server.address, "127.0.0.1@%u", bound.port);
    return pthread_create(&server.thread, NULL, serve, NULL);
}

static int stop_server(void **state)
{
    struct address bound = os_linux_socket_name(server.socket);
    struct sockaddr_storage to;
    (void)state;
    socklen_t len = os_linux_to_sockaddr(&bound, &to);
    sendto(server.socket, "x", 1, 0, (struct sockaddr *)&to, len); /* too short: it ends */
    pthread_join(server.thread, NULL);
    close(server.socket);
    return 0;
}

/* ---- questions ---- */

struct question {
    struct os *os;
    struct os_dns_query query;
    unsigned done, *left;
    bool in_ask;
    char records[256]; /* in hexadecimal, separated by blanks, sorted */
};

static int compare_slices(const void *a, const void *b)
{
    const struct os_slice *x = a, *y = b;
    return memcmp(x->at, y->at, x->len < y->len ? x->len : y->len);
}

static void on_answer(void *ctx, struct os_dns_query *query)
{
    struct question *q = ctx;
    struct os_slice sorted[8];
    assert_ptr_equal(query, &q->query);
    assert_false(q->in_ask);
    assert_int_equal(q->done++, 0);
    assert_true(query->record_count <= ROWS(sorted));
    if (query->record_count)
        memcpy(sorted, query->records, query->record_count * sizeof *sorted);
    qsort(sorted, query->record_count, sizeof *sorted, compare_slices);
    for (size_t i = 0; i < query->record_count; i++) {
        for (size_t j = 0; j < sorted[i].len; j++)
            sprintf(q->records + strlen(q->records), "%02x", ((const uint8_t *)sorted[i].at)[j]);
        if (i + 1 < query->record_count)
            strcat(q->records, " ");
    }
    if (--*q->left == 0)
        os_stop(q->os, 0);
}

static void ask(struct question *q, struct os *os, const char *name, enum os_dns_type type, unsigned *left)
{
    *q = (struct question){ .os = os, .left = left };
    q->query = (struct os_dns_query){ .type = type, .done = on_answer, .ctx = q };
    snprintf(q->query.name, sizeof q->query.name, "%s", name);
    q->in_ask = true;
    os_dns_ask(os, &q->query);
    q->in_ask = false;
}

static void test_answers(void **state)
{
    static const struct {
        const char *name;
        enum os_dns_type type;
        enum os_dns_result result;
        const char *records;
    } rows[] = {
        { "host.test", OS_DNS_A, OS_DNS_FOUND, "c0000201 c0000202" },
        { "host.test", OS_DNS_AAAA, OS_DNS_NO_DATA, "" },
        { "mx.test", OS_DNS_MX, OS_DNS_FOUND, "000a046d61696c026d78047465737400 001400" }, /* without pointers */
        { "mx.test", OS_DNS_A, OS_DNS_NO_DATA, "" },
        { "alias.test", OS_DNS_A, OS_DNS_FOUND, "c0000201 c0000202" },
        { "text.test", OS_DNS_TXT, OS_DNS_FOUND, "036100620163" },
        { "nxdomain.test", OS_DNS_A, OS_DNS_NO_NAME, "" },
        { "nxdomain.test", OS_DNS_MX, OS_DNS_NO_NAME, "" },
        { "servfail.test", OS_DNS_A, OS_DNS_TROUBLE, "" },
        { "refused.test", OS_DNS_MX, OS_DNS_TROUBLE, "" },
        { "malformed.test", OS_DNS_A, OS_DNS_TROUBLE, "" },
        { "short.test", OS_DNS_MX, OS_DNS_TROUBLE, "" }, /* (H98) */
        { "..", OS_DNS_A, OS_DNS_TROUBLE, "" },          /* no name at all */
    };
    static struct question questions[ROWS(rows)];
    struct os *os = os_linux_new(NULL, 0);
    unsigned left = ROWS(rows);
    (void)state;
    os_linux_set_dns(os, server.address);
    for (size_t i = 0; i < ROWS(rows); i++)
        ask(&questions[i], os, rows[i].name, rows[i].type, &left);
    os_alarm(os, os_now_us(os) + 20000000, test_give_up, os);
    assert_int_equal(os_linux_run(os), 0);
    for (size_t i = 0; i < ROWS(rows); i++) {
        if (questions[i].query.result != rows[i].result || strcmp(questions[i].records, rows[i].records) != 0)
            fail_msg("%s %d: %d \"%s\"", rows[i].name, (int)rows[i].type, (int)questions[i].query.result,
                     questions[i].records);
        assert_false(questions[i].query.secure);
        assert_row(rows[i].result != OS_DNS_FOUND || questions[i].query.ttl_s == 300, rows[i].name);
    }
    os_linux_free(os);
}

static void test_many_at_once(void **state)
{
    enum { COUNT = 500 };
    static struct question questions[COUNT];
    struct os *os = os_linux_new(NULL, 0);
    unsigned left = COUNT;
    char name[64];
    (void)state;
    os_linux_set_dns(os, server.address);
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "host.number%d.test", i);
        ask(&questions[i], os, name, OS_DNS_A, &left);
    }
    os_alarm(os, os_now_us(os) + 20000000, test_give_up, os);
    assert_int_equal(os_linux_run(os), 0);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(questions[i].query.result, OS_DNS_FOUND);
    os_linux_free(os);
}

/* Asked for proof, what has none is trouble, not an answer (H95). */
static void test_without_proof(void **state)
{
    char path[] = "/tmp/gonets-dns-test-XXXXXX";
    struct os *os = os_linux_new(NULL, 0);
    struct question q;
    unsigned left = 1;
    (void)state;
    FILE *file = fdopen(mkstemp(path), "w");
    fputs(". IN DS 1 8 2 0000000000000000000000000000000000000000000000000000000000000000\n", file);
    fclose(file);
    os_linux_set_dns(os, server.address);
    os_linux_set_dns_anchors(os, path);
    ask(&q, os, "host.test", OS_DNS_A, &left);
    os_alarm(os, os_now_us(os) + 20000000, test_give_up, os);
    assert_int_equal(os_linux_run(os), 0);
    assert_int_equal(q.query.result, OS_DNS_TROUBLE);
    unlink(path);
    os_linux_free(os);
}

static void test_bad_settings(void **state)
{
    static const struct {
        const char *forwarder, *anchors;
    } rows[] = { { "not an address", NULL }, { "127.0.0.1@1", "/no/such/file" } };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct os *os = os_linux_new(NULL, 0);
        struct question a, b;
        unsigned left = 2;
        os_linux_set_dns(os, rows[i].forwarder);
        os_linux_set_dns_anchors(os, rows[i].anchors);
        ask(&a, os, "host.test", OS_DNS_A, &left);
        ask(&b, os, "host.test", OS_DNS_A, &left);
        test_run(os);
        assert_true(a.query.result == OS_DNS_TROUBLE && b.query.result == OS_DNS_TROUBLE);
        os_linux_free(os);
    }
}

/* The same from os_dns_use: all of the DNS, and single zones, of which the library has some that it thinks are
 * nobody's. */
static void test_sources(void **state)
{
    static const struct {
        enum os_dns_source_kind kind;
        const char *zone, *name;
    } rows[] = {
        { OS_DNS_FORWARD, ".", "host.test" },
        { OS_DNS_STUB, "zone.test", "host.zone.test" },
        { OS_DNS_STUB, "zone.invalid", "host.zone.invalid" },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct os *os = os_linux_new(NULL, 0);
        struct question q;
        unsigned left = 1;
        struct os_dns_source sources[] = {
            { .kind = rows[i].kind, .zone = rows[i].zone, .server = os_linux_socket_name(server.socket) },
            { .kind = OS_DNS_INSECURE, .zone = rows[i].zone },
        };
        assert_row(os_dns_use(os, sources, ROWS(sources)), rows[i].name);
        ask(&q, os, rows[i].name, OS_DNS_A, &left);
        os_alarm(os, os_now_us(os) + 20000000, test_give_up, os);
        assert_row(os_linux_run(os) == 0, rows[i].name);
        assert_row(q.query.result == OS_DNS_FOUND && strcmp(q.records, "c0000201 c0000202") == 0, rows[i].name);
        os_linux_free(os);
    }
}

static void test_bad_sources(void **state)
{
    struct os *os = os_linux_new(NULL, 0);
    struct question q;
    unsigned left = 1;
    const struct os_dns_source source = { .kind = OS_DNS_STUB, .zone = "a..b" };
    (void)state;
    assert_false(os_dns_use(os, &source, 1));
    ask(&q, os, "host.test", OS_DNS_A, &left);
    test_run(os);
    assert_int_equal(q.query.result, OS_DNS_TROUBLE);
    os_linux_free(os);
}

/* A name server that says nothing holds neither the loop nor the end. */
static void test_silence(void **state)
{
    struct os *os = os_linux_new(NULL, 0);
    struct question silent, host;
    unsigned left = 2;
    (void)state;
    os_linux_set_dns(os, server.address);
    ask(&silent, os, "silent.test", OS_DNS_A, &left);
    ask(&host, os, "host.test", OS_DNS_A, &left);
    test_run_for(os, 300000);
    assert_true(host.done == 1 && silent.done == 0);
    os_linux_free(os);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),      cmocka_unit_test(test_many_at_once), cmocka_unit_test(test_without_proof),
        cmocka_unit_test(test_bad_settings), cmocka_unit_test(test_silence),      cmocka_unit_test(test_sources),
        cmocka_unit_test(test_bad_sources),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
