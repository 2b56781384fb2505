#include "conf/test.h"

#define ACTION_USAGE                                                                                                   \
    "NAME maildir|mbox TEMPLATE [user ACCOUNT] [users <TABLE>] [aliases <TABLE>] [biff], NAME relay [via HOST[:PORT] " \
    "...] [port NUMBER] or NAME discard|hold"
#define GOOD "hostname mx.example.org\nlisten *:25\naction a discard\nmatch for any action a\n"

/* In a file after which everything that must be there is there; line 1 is the row's. */
struct row {
    const char *text, *errors;
};

static void check_rows(const struct row *rows, size_t count, const char *rest)
{
    static char text[4096], errors[8192];
    unsigned bad = 0;
    for (size_t i = 0; i < count; i++) {
        struct conf conf;
        snprintf(text, sizeof text, "%s\n%s", rows[i].text, rest);
        const struct test_file files[] = { { "c", text },
                                           { "/t", "alice\nbob: x  # and so on\n\"carl x\": \"1 2\"\n" },
                                           { "/bad", "a b\n{\nx:\n\"y\n" },
                                           { "/i", "table inc { a }\n" },
                                           { "/loop", "\ninclude /loop\n" },
                                           { "/nul", "\1" },
                                           { NULL, NULL } };
        test_errors(test_parse(&conf, files), errors, sizeof errors);
        conf_free(&conf);
        if (strcmp(errors, rows[i].errors) != 0)
            bad++, print_error("row %zu: %s\n--- expected\n%s--- got\n%s", i, rows[i].text, rows[i].errors, errors);
    }
    assert_int_equal(bad, 0);
}

/* H76 */
static void test_statements(void **state)
{
    static const struct row rows[] = {
        { "", "" },
        { "# a comment", "" },
        { "  \t ", "" },
        { "\r", "" },
        { "\xef\xbb\xbf# with a mark", "" },
        /* keywords */
        { "hostnam x.example", "c:1:1: unknown word 'hostnam'; did you mean 'hostname'?\n" },
        { "lsiten *:26", "c:1:1: unknown word 'lsiten'; did you mean 'listen'?\n" },
        { "mat for any reject", "c:1:1: unknown word 'mat'; did you mean 'match'?\n" },
        { "tls certificate /x", "c:1:1: unknown word 'tls'\n" },
        { "relay via x.example",
          "c:1:1: 'relay' is an action; write: action out relay, and: match from local for any action out\n" },
        { "\x1b[2J", "c:1:1: a control character; is this a text file?\n" },
        { "b\xc3\xbc"
          "cher",
          "c:1:1: unknown word 'b?\?cher'\n" },
        { "{ a }", "c:1:1: unexpected '{'\n" },
        { ", a", "c:1:1: unexpected ','\n" },
        { "tenant x {\n action b discard\n}", "c:1:1: 'tenant' is reserved: this version has no tenants\n" },
        { "tabel x {\n a b\n c\n}", "c:1:1: unknown word 'tabel'; did you mean 'table'?\n" },
        { "tenant x {", "c:1:1: 'tenant' is reserved: this version has no tenants\nc:1:10: missing brace: nothing "
                        "closes this one\n" },
        /* quotes and escapes */
        { "greeting \"a \\\"b\\\" \\\\ # c\"", "" },
        { "greeting \"a", "c:1:10: missing quote: nothing closes this one on the same line\n" },
        { "greeting a\"", "c:1:11: a quote inside of a word: quotes go around the whole of it\n" },
        { "greeting \"a\\n\"", "c:1:12: a backslash in quotes stands only before \" or \\\n" },
        { "greeting \\\n  a", "" },
        { "greeting \\\r\n  a\r", "" },
        { "greeting \\\n  a b", "c:2:5: extra argument 'b'; write: greeting \"WORDS\"\n" },
        { "\"greeting\" a", "" },
    };
    (void)state;
    check_rows(rows, ROWS(rows), GOOD);
}

static void test_settings(void **state)
{
    static const struct row rows[] = {
        { "greeting", "c:1:9: missing argument; write: greeting \"WORDS\"\n" },
        { "greeting a b", "c:1:12: extra argument 'b'; write: greeting \"WORDS\"\n" },
        { "greeting \"\xc3\xa9t\xc3\xa9\"", "c:1:10: '?\?t?\?' has a character that is not printable ASCII\n" },
        { "greeting a\ngreeting b", "c:2:1: duplicate 'greeting': it was given before\n" },
        { "hostname y.example", "c:2:1: duplicate 'hostname': it was given before\n" },
        { "spool /x/y", "" },
        { "spool x", "c:1:7: 'x' is not absolute: a path begins with /\n" },
        { "spool /x/../y", "c:1:7: '/x/../y' has . or .. as a component\n" },
        { "segment 128M", "" },
        { "segment 1024k", "c:1:9: '1024k' is not a size: write bytes, or K, M or G behind the number\n" },
        { "segment 1024K", "" },
        { "segment 1023K", "c:1:9: '1023K' is out of range: 1M to 1G\n" },
        { "segment 1025K", "c:1:9: '1025K' is not a multiple of 4K\n" },
        { "segment 99999999999999G",
          "c:1:9: '99999999999999G' is not a size: write bytes, or K, M or G behind the number\n" },
        { "segment 99999999999999999999",
          "c:1:9: '99999999999999999999' is not a size: write bytes, or K, M or G behind the number\n" },
        { "workers 0", "" },
        { "workers 1024", "" },
        { "workers 1025", "c:1:9: '1025' is out of range: 0 to 1024\n" },
        { "workers -1", "c:1:9: '-1' is not a number\n" },
        { "workers 2K", "c:1:9: '2K' is not a number\n" },
        { "user mail_x-2", "" },
        { "user Mail", "c:1:6: 'Mail' is not the name of an account\n" },
        { "user 2x", "c:1:6: '2x' is not the name of an account\n" },
        { "user abcdefghijklmnopqrstuvwxy", "c:1:6: 'abcdefghijklmnopqrstuvwxy' is not the name of an account\n" },
        { "log text", "" },
        { "log json", "" },
        { "log xml", "c:1:5: 'xml' is neither text nor json\n" },
        { "postmaster admin@example.org", "" },
        { "postmaster admin", "c:1:12: 'admin' is not a whole address: write local@domain\n" },
        { "postmaster @example.org", "c:1:12: '@example.org' is not a whole address: write local@domain\n" },
        { "postmaster \"a b@example.org\"", "c:1:12: 'a b@example.org' is not a plain address: write local@domain\n" },
        { "postmaster a@-example.org", "c:1:12: 'a@-example.org' is not a domain\n" },
    };
    (void)state;
    check_rows(rows, ROWS(rows), GOOD);
}

static void test_listen_and_include(void **state)
{
    static const struct row rows[] = {
        { "listen [::1]:2525 lenient", "" },
        { "listen 127.0.0.1:0\nlisten 127.0.0.1:0", "" },
        { "listen [fe80::1%3]:25", "" },
        { "listen", "c:1:7: missing argument; write: listen ADDRESS:PORT [lenient]\n" },
        { "listen 25", "c:1:8: '25' is not an address with a port: write 192.0.2.1:25, [2001:db8::1]:25 or *:25\n" },
        { "listen ::1:25",
          "c:1:8: '::1:25' is not an address with a port: write 192.0.2.1:25, [2001:db8::1]:25 or *:25\n" },
        { "listen 1.2.3.4:65536",
          "c:1:8: '1.2.3.4:65536' is not an address with a port: write 192.0.2.1:25, [2001:db8::1]:25 or *:25\n" },
        { "listen [::]:25", "c:3:8: '*:25' is listened at twice\n" },
        { "listen *:26 leniet", "c:1:13: unknown word 'leniet'; did you mean 'lenient'?\n" },
        { "listen *:587 submission", "c:1:14: unknown word 'submission'\n" },
        { "listen *:26 lenient x", "c:1:21: extra argument 'x'; write: listen ADDRESS:PORT [lenient]\n" },
        /* include */
        { "include /i", "" },
        { "include /i\ninclude /i", "/i:1:7: 'inc' names two tables\n" },
        { "include i", "c:1:9: 'i' is not absolute: a path begins with /\n" },
        { "include /none", "c:1:9: cannot read '/none': not found\n" },
        { "include /loop", "/loop:2:9: '/loop' includes itself\n" },
        { "include /nul", "/nul:1:1: a control character; is this a text file?\n" },
        { "include /i x", "c:1:12: extra argument 'x'; write: include PATH\n" },
    };
    (void)state;
    check_rows(rows, ROWS(rows), GOOD);
}

static void test_tables(void **state)
{
    static const struct row rows[] = {
        { "table t { a, b }", "" },
        { "table t {a,b}", "" },
        { "table t {}", "" },
        { "table t {\n a # one\n b: c\n \"d e\": \"f g\", h\n}", "" },
        { "table t file /t", "" },
        { "table t { %{x}, a }", "" },
        { "table t { 2001:db8::/32, \"fe80::\" }", "" },
        { "table t { user, spool }", "" },
        { "table", "c:1:6: missing argument; write: table NAME { KEY, ... } or NAME file PATH\n" },
        { "table t", "c:1:8: missing argument; write: table NAME { KEY, ... } or NAME file PATH\n" },
        { "table t fiel /t", "c:1:9: unknown word 'fiel'; did you mean 'file'?\n" },
        { "table t file", "c:1:13: missing argument; write: table NAME { KEY, ... } or NAME file PATH\n" },
        { "table t file t", "c:1:14: 't' is not absolute: a path begins with /\n" },
        { "table t file /none", "c:1:14: cannot read '/none': not found\n" },
        { "table t file /nul", "/nul:1:1: a control character; is this a text file?\n" },
        { "table t file /t x", "c:1:17: extra argument 'x'; write: table NAME { KEY, ... } or NAME file PATH\n" },
        { "table t file /bad",
          "/bad:1:3: 'b' is unexpected: there is one key on each line, and commas are between values\n"
          "/bad:2:1: '{' stands where a key should be\n"
          "/bad:3:1: 'x' has a colon and no value; a key that ends in a colon is quoted\n"
          "/bad:4:1: missing quote: nothing closes this one on the same line\n" },
        { "table t { a } x", "c:1:15: extra argument 'x'; write: table NAME { KEY, ... } or NAME file PATH\n" },
        { "table t { a b, c d }", "c:1:13: 'b' is unexpected: keys are separated by commas or line ends\n"
                                  "c:1:18: 'd' is unexpected: keys are separated by commas or line ends\n" },
        { "table t { a, A }", "c:1:14: 'A' is in this table twice\n" },
        { "table t { a: }", "c:1:11: 'a' has a colon and no value; a key that ends in a colon is quoted\n" },
        { "table t { \"\" }", "c:1:11: an empty key\n" },
        { "table t { a, b", "c:1:9: missing brace: nothing closes this one\n" },
        { "table t { a,\n b\naction b discard", "c:1:9: missing brace: nothing closes this one\n" },
        { "table t { a }\ntable t { b }", "c:2:7: 't' names two tables\n" },
        { "table a.b { a }", "c:1:7: 'a.b' is not a name: 1 to 64 letters, digits, - and _\n" },
    };
    (void)state;
    check_rows(rows, ROWS(rows), GOOD);
}

static void test_actions(void **state)
{
    static const struct row rows[] = {
        { "action b maildir %{home}/Maildir", "" },
        { "action b maildir /srv/%{domain}/%{local} user vmail users <t>\ntable t { a }", "" },
        { "action b maildir /srv/%{address} users <t> user vmail\ntable t { a }", "" },
        { "action b mbox /var/mail/%{user}", "" },
        { "action b mbox /var/mail/%{user} biff", "" },
        { "action b maildir /m biff", "c:1:21: unknown word 'biff'\n" },
        { "action b hold", "" },
        { "action b", "c:1:9: missing argument; write: action " ACTION_USAGE "\n" },
        { "action b maildri /x", "c:1:10: unknown word 'maildri'; did you mean 'maildir'?\n" },
        { "action b discard x", "c:1:18: extra argument 'x'; write: action " ACTION_USAGE "\n" },
        { "action b maildir", "c:1:17: missing argument; write: action " ACTION_USAGE "\n" },
        { "action b maildir Maildir", "c:1:18: 'Maildir' is not absolute: it begins with / or %{home}/\n" },
        { "action b maildir ~/Maildir", "c:1:18: '~/Maildir' is not absolute: it begins with / or %{home}/\n" },
        { "action b maildir /%{homee}",
          "c:1:18: '/%{homee}' has an unknown %: there are %{local} %{domain} %{address} %{user} %{home}\n" },
        { "action b maildir /%u",
          "c:1:18: '/%u' has an unknown %: there are %{local} %{domain} %{address} %{user} %{home}\n" },
        { "action b maildir /%",
          "c:1:18: '/%' has an unknown %: there are %{local} %{domain} %{address} %{user} %{home}\n" },
        { "action b maildir /%{local",
          "c:1:18: '/%{local' has an unknown %: there are %{local} %{domain} %{address} %{user} %{home}\n" },
        { "action b maildir /../%{local}", "c:1:18: '/../%{local}' has . or .. as a component\n" },
        { "action b maildir /%{local}/", "c:1:18: '/%{local}/' ends in a slash\n" },
        { "action b maildir /x/%{home}",
          "c:1:18: '/x/%{home}' has %{home} elsewhere than at its beginning, before a slash\n" },
        { "action b maildir %{home}x", "c:1:18: '%{home}x' is not absolute: it begins with / or %{home}/\n" },
        { "action b maildir /%{home}",
          "c:1:18: '/%{home}' has %{home} elsewhere than at its beginning, before a slash\n" },
        { "action b maildir /%{local}%{domain}", "c:1:18: '/%{local}%{domain}' has two values in one component, where "
                                                 "they could run together: use %{address}, or a slash between\n" },
        { "action b maildir /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%{local}",
          "c:1:18: '/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%{local}' has more than 55 bytes "
          "beside a value in one component\n" },
        { "action b maildir /a//b", "c:1:18: '/a//b' has an empty component\n" },
        { "action b maildir //b", "c:1:18: '//b' has an empty component\n" },
        { "action b maildir %{home}", "c:1:18: '%{home}' is not absolute: it begins with / or %{home}/\n" },
        { "action b maildir /", "c:1:18: '/' ends in a slash\n" },
        { "action b maildir /x/%{local}/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
          "" },
        { "action b maildir /x user root", "c:1:26: 'root' never owns mailboxes: name another account\n" },
        { "action b maildir /x user a user b", "c:1:33: 'b' is a second user of this action\n" },
        { "action b maildir /x usr a", "c:1:21: unknown word 'usr'; did you mean 'user'?\n" },
        { "action b maildir /x users t", "c:1:27: 't' is not a table: write <NAME>\n" },
        { "action b maildir /x users <ttt>\ntable tt { a }", "c:1:27: unknown table 'ttt'; did you mean 'tt'?\n" },
        { "action a hold", "c:4:8: 'a' names two actions\n" },
        /* what uses a bad one is not wrong */
        { "action b maildir x\nmatch from local for any action b",
          "c:1:18: 'x' is not absolute: it begins with / or %{home}/\n" },
    };
    (void)state;
    check_rows(rows, ROWS(rows), GOOD);
}

static void test_rules(void **state)
{
    static const struct row rows[] = {
        { "match for domain example.org action a", "" },
        { "match for domain .Example.ORG action a", "" },
        { "match from local for domain <d> action a\ntable d { example.org, .b.example }", "" },
        { "match from network <n> for local action a\ntable n { 10.0.0.0/8, 2001:db8::/32, 192.0.2.1 }", "" },
        { "match from network 10.0.0.0/8 for any reject", "" },
        { "match from any for local reject", "" },
        { "match", "c:1:6: missing argument; write: match [from any|local|network NETWORK] for any|local|domain DOMAIN "
                   "action NAME|reject\n" },
        { "match form local for any reject", "c:1:7: unknown word 'form'; did you mean 'from'?\n" },
        { "match from lokal for any reject", "c:1:12: unknown word 'lokal'; did you mean 'local'?\n" },
        { "match from any action a", "c:1:16: unknown word 'action'\n" },
        { "match from 10.0.0.0/8 for any reject",
          "c:1:12: '10.0.0.0/8' lacks a word before it: write from network NETWORK\n" },
        { "match from network 10.0.0.1/8 for any reject", "c:1:20: '10.0.0.1/8' is not a network: write 192.0.2.0/24 "
                                                          "or 2001:db8::/32, with zeros behind the prefix\n" },
        { "match from network <m> for any reject", "c:1:20: unknown table 'm'\n" },
        { "match from network <n> for any reject\ntable n { 10.0.0.0/8, x }", "c:2:23: 'x' is not a network\n" },
        { "match from authenticated for any reject", "c:1:12: unknown word 'authenticated'\n" },
        { "match for example.org action a", "c:1:11: 'example.org' lacks a word before it: write for domain DOMAIN\n" },
        { "match for domain b\xc3\xbc"
          "cher.example action a",
          "c:1:18: 'b?\?cher.example' is not ASCII: write it as xn--...\n" },
        { "match for domain example.org. action a",
          "c:1:18: 'example.org.' is not a domain: write it without the last dot\n" },
        { "match for domain a..b action a", "c:1:18: 'a..b' is not a domain\n" },
        { "match for domain 10.0.0.1 action a", "c:1:18: '10.0.0.1' is not a domain: it ends in a number\n" },
        { "match for domain <d> action a\ntable d { example.org, a@b }", "c:2:24: 'a@b' is not a domain\n" },
        { "match for domain <d> action a\nmatch from local for domain <d> action a\ntable d { a@b }",
          "c:2:1: this rule never wins: the one at c:1 takes everything before it\nc:3:11: 'a@b' is not a domain\n" },
        { "match for local", "c:1:16: missing argument; write: match [from any|local|network NETWORK] for "
                             "any|local|domain DOMAIN action NAME|reject\n" },
        { "match for local acton a", "c:1:17: unknown word 'acton'; did you mean 'action'?\n" },
        { "match for local action b", "c:1:24: unknown action 'b'\n" },
        { "match for local action inbux\naction inbox hold",
          "c:1:24: unknown action 'inbux'; did you mean 'inbox'?\n" },
        { "match for local action inb\naction inbox hold", "c:1:24: unknown action 'inb'; did you mean 'inbox'?\n" },
        { "match for local action a users <t>", "c:1:26: extra argument 'users'; write: match [from any|local|network "
                                                "NETWORK] for any|local|domain DOMAIN action NAME|reject\n" },
        /* rules that never win */
        { "match for any reject", "c:5:1: this rule never wins: the one at c:1 takes everything before it\n" },
        { "match from local for local action a\nmatch from local for local reject",
          "c:2:1: this rule never wins: the one at c:1 takes everything before it\n" },
        { "match from network 10.0.0.0/8 for any action a\nmatch from network 10.1.0.0/16 for local reject",
          "c:2:1: this rule never wins: the one at c:1 takes everything before it\n" },
        { "match from network 10.1.0.0/16 for any action a\nmatch from network 10.0.0.0/8 for local reject", "" },
        { "match from network <n> for any action a\nmatch from network 10.1.0.0/16 for local reject\ntable n { "
          "10.0.0.0/8 }",
          "c:2:1: this rule never wins: the one at c:1 takes everything before it\n" },
        { "match for domain .b.example action a\nmatch for domain a.b.example action a",
          "c:2:1: this rule never wins: the one at c:1 takes everything before it\n" },
        { "match for domain b.example action a\nmatch for domain .b.example action a", "" },
        { "match for domain <d> action a\nmatch for domain .a.b.example action a\ntable d { .b.example }",
          "c:2:1: this rule never wins: the one at c:1 takes everything before it\n" },
        { "match for domain <d> action a\nmatch for domain .b.example action a\ntable d { b.example, x.b.example }",
          "" },
        { "match from local for any action a\nmatch for local action a", "" },
    };
    (void)state;
    check_rows(rows, ROWS(rows), GOOD);
}

static void test_limits(void **state)
{
    static const struct row rows[] = {
        { "limit message_size 0", "" },
        { "limit message_size 64K", "" },
        { "limit message_size 1024G", "" },
        { "limit message_size 1", "c:1:20: '1' is out of range: 0, or 64K to 1024G\n" },
        { "limit mesage_size 1M", "c:1:7: unknown limit 'mesage_size'; did you mean 'message_size'?\n" },
        { "limit message", "c:1:7: unknown limit 'message'; did you mean 'message_size'?\n" },
        { "limit message_size", "c:1:19: missing argument; write: limit NAME VALUE\n" },
        { "limit errors 3\nlimit errors 4", "c:2:1: duplicate 'errors': it was given before\n" },
        { "limit recipients 99", "c:1:18: '99' is out of range: 100 to 100000\n" },
        { "limit recipients 100", "" },
        { "limit sessions 0", "c:1:16: '0' is out of range: 1 to 1000000\n" },
        { "limit errors 1001", "c:1:14: '1001' is out of range: 1 to 1000\n" },
        { "limit command_time 300", "c:1:20: '300' is not a time: write us, ms, s, m, h or d behind the number\n" },
        { "limit command_time 5m", "" },
        { "limit command_time 1500ms", "" },
        { "limit command_time 999999us", "c:1:20: '999999us' is out of range: 1s to 1d\n" },
        { "limit data_time 25h", "c:1:17: '25h' is out of range: 1s to 1d\n" },
        { "limit data_time 1d", "" },
        { "limit receive_memory 1M", "" },
        { "limit receive_memory 1K", "c:1:22: '1K' is out of range: 1M to 1024G\n" },
        { "limit spool_free 0", "" },
        { "limit spool_free 2048G", "c:1:18: '2048G' is out of range: 0 to 1024G\n" },
        { "limit local_jobs 10001", "c:1:18: '10001' is out of range: 1 to 10000\n" },
    };
    (void)state;
    check_rows(rows, ROWS(rows), GOOD);
}

/* H76: a configuration that is empty or not whole is never good. */
static void test_missing(void **state)
{
    static const struct row rows[] = {
        { "", "c: missing: hostname DOMAIN\nc: missing: listen ADDRESS:PORT\nc: missing: match ... action "
              "NAME; nothing would be accepted\n" },
        { "hostname mx.example.org\nlisten *:25", "c: missing: match ... action NAME; nothing would be accepted\n" },
        { "hostname mx.example.org\nlisten *:25\nmatch for any reject",
          "c: every match rejects; nothing would be accepted\n" },
        { "listen *:25\naction a hold\nmatch for any action a", "c: missing: hostname DOMAIN\n" },
        { "hostname mx\nlisten *:25\naction a hold\nmatch for any action a",
          "c:1:10: 'mx' is not the full name of a host\n" },
        { "hostname localhost\nlisten *:25\naction a hold\nmatch for any action a", "" },
        { "hostname mx_1.example.org\nlisten *:25\naction a hold\nmatch for any action a",
          "c:1:10: 'mx_1.example.org' is not a domain\n" },
        { "hostname mx.example.org\naction a hold\nmatch for any action a", "c: missing: listen ADDRESS:PORT\n" },
        { "hostnmae mx.example.org\nlistem *:25\naction a hold\nmacht for any action a",
          "c:1:1: unknown word 'hostnmae'; did you mean 'hostname'?\n"
          "c:2:1: unknown word 'listem'; did you mean 'listen'?\n"
          "c:4:1: unknown word 'macht'; did you mean 'match'?\n" },
        { "include /none", "c:1:9: cannot read '/none': not found\n" },
    };
    (void)state;
    check_rows(rows, ROWS(rows), "");
}

/* ---- limits of the configuration itself: what is just inside is good, one more is an error like any other ---- */

static const char *errors_of(const char *text)
{
    static char errors[65536];
    struct conf conf;
    test_errors(test_parse_text(&conf, text), errors, sizeof errors);
    conf_free(&conf);
    return errors;
}

static void test_line_limit(void **state)
{
    static char text[CONF_LINE_MAX + sizeof GOOD + 2];
    (void)state;
    for (size_t len = CONF_LINE_MAX - 1; len <= CONF_LINE_MAX + 1; len++) {
        memset(text, '#', len);
        snprintf(text + len, sizeof text - len, "\n" GOOD);
        assert_string_equal(errors_of(text),
                            len <= CONF_LINE_MAX ? "" : "c:1:65537: a line of more than 65536 bytes\n");
    }
}

static void test_statement_limit(void **state)
{
    static const struct {
        const char *format, *what;
        unsigned others; /* in GOOD */
    } rows[] = { { "listen 10.0.%u.%u:1\n", "more than 1000 listeners", 1 },
                 { "action b%u-%u hold\n", "more than 1000 actions", 1 },
                 { "table t%u-%u {}\n", "more than 1000 tables", 0 },
                 { "match for domain a%u-%u.example action a\n", "more than 1000 rules", 1 } };
    static char text[65536];
    (void)state;
    for (size_t row = 0; row < ROWS(rows); row++)
        for (unsigned extra = 0; extra < 3; extra++) {
            size_t len = 0;
            for (unsigned i = 0; i < CONF_STATEMENTS_MAX - rows[row].others + extra; i++)
                len += (size_t)snprintf(text + len, sizeof text - len, rows[row].format, i / 250, i % 250);
            snprintf(text + len, sizeof text - len, GOOD);
            const char *errors = errors_of(text);
            assert_row(extra ? strstr(errors, rows[row].what) != NULL : !*errors, errors);
        }
}

static bool read_deep(void *ctx, struct view path, struct arena *arena, struct view *text, struct view *error)
{
    char memory[64];
    struct buffer next = BUFFER_OF(memory);
    (void)error;
    buffer_addf(&next, "include /%zu\n", path.len > 1 ? strtoul(path.at + 1, NULL, 10) + 1 : 2);
    *text = view_equal(path, view_of(ctx)) ? VIEW(GOOD) : arena_copy(arena, buffer_view(&next));
    return text->at != NULL;
}

static void test_depth_limit(void **state)
{
    struct conf conf;
    char errors[256], last[] = "/20";
    (void)state;
    assert_null(conf_parse(&conf, VIEW("c"), &(struct conf_source){ last, read_deep }));
    conf_free(&conf);
    last[2] = '1';
    last[1] = '3';
    test_errors(conf_parse(&conf, VIEW("c"), &(struct conf_source){ last, read_deep }), errors, sizeof errors);
    assert_string_equal(errors, "/20:1:9: '/21' is included too deep: 20 files at most\n");
    conf_free(&conf);
}

static void test_error_limit(void **state)
{
    static char text[4096];
    unsigned count = 0;
    (void)state;
    for (unsigned i = 0; i < 150; i++)
        strcat(text, "x\n");
    for (const char *error = errors_of(text); (error = strchr(error, '\n')); error++)
        count++;
    assert_int_equal(count, CONF_ERRORS_MAX);
}

static void test_long_word(void **state)
{
    static char text[2048], word[1501], expected[512];
    (void)state;
    memset(word, 'x', sizeof word - 1);
    snprintf(text, sizeof text, "%s\n" GOOD, word);
    snprintf(expected, sizeof expected, "c:1:1: unknown word '%.128s...'\n", word);
    assert_string_equal(errors_of(text), expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statements),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_listen_and_include),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_actions),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_line_limit),
        cmocka_unit_test(test_statement_limit),
        cmocka_unit_test(test_depth_limit),
        cmocka_unit_test(test_error_limit),
        cmocka_unit_test(test_long_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
