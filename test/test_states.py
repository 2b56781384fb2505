"""The session as a state machine, over real sockets: order, sizes, parameters, floods, and who may write to whom."""

import os
import re
import signal
import threading

import pytest

from server import BUILD, Client, content_of, serving, wait_for

pytestmark = pytest.mark.asan

SIZE_MAX = 64 << 10      # the smallest that a configuration can have
COMMAND_SECONDS = 2
RECIPIENTS = 1000
TRUSTED, STRANGER = "127.0.0.2", "127.0.0.3"
# `hold` stands for mail that would go out: what came there was taken for relaying.
CONFIG = f"""hostname mx.us.example
workers 1
segment 1M
spool %(spool)s
listen 127.0.0.1:%(port)d
table users {{ u, x.y, postmaster, "a b", "r@away.example", "u%%away.example", "away.example!u", a, b, c }}
action box maildir %(dir)s/Maildir user nobody users <users>
action all maildir %(dir)s/all/%%{{address}} user nobody
action out hold
action nowhere discard
match for domain us.example action box
match for local action box
match for domain many.example action all
match for domain last.example action nowhere
match from network {TRUSTED} for any action out
limit message_size {SIZE_MAX}
limit recipients {RECIPIENTS}
limit command_time {COMMAND_SECONDS}s
limit data_time 20s
"""
SANITIZED = "asan" in BUILD.name


@pytest.fixture(scope="module")
def gonets():
    with serving(CONFIG) as server:
        yield server


STATUS = re.compile(r"([245])\.\d{1,3}\.\d{1,3}( |$)")
GREETINGS = ("HELO", "EHLO")


class Session(Client):
    """Holds each reply against RFC 2034: a status code in each line, of the reply's class, but for greetings and 3xx."""

    def __init__(self, server, source="127.0.0.1"):
        super().__init__(server.port, source=source)
        self.codes = set()
        assert self.checked(False)[0] == 220

    def checked(self, status):
        code, lines = self.reply()
        self.codes.add(code)
        for line in lines:
            found = STATUS.match(line)
            assert (found and found[1] == str(code // 100)) if status and code // 100 != 3 else not found, (code, line)
        return code, lines

    def do(self, line):
        """The code of the reply to a line."""
        return self.ask(line)[0]

    def ask(self, line):
        self.send(line if isinstance(line, bytes) else line.encode() + b"\r\n")
        return self.checked(line[:4].upper() not in (*GREETINGS, b"HELO", b"EHLO"))

    def open(self, *lines):
        for line in ("EHLO client.example", *lines):
            assert self.do(line) in (250, 354), line
        return self


MAIL, RCPT = "MAIL FROM:<me@far.example>", "RCPT TO:<u@us.example>"


# ---- order ----


def test_rejection_at_the_end_resets(gonets):
    """H14: after a message that is refused at its final dot, nothing of its transaction is left."""
    too_large = b"x" * 70 + b"\r\n"
    for content in (too_large * (SIZE_MAX // 72 + 1), b"Subject: \0\r\n"):
        with Session(gonets) as c:
            c.open(MAIL, RCPT, "DATA")
            assert c.do(content + b".\r\n") in (550, 552)
            assert [c.do("RCPT TO:<a@us.example>"), c.do("DATA")] == [503, 503]
            assert [c.do(line) for line in (MAIL, RCPT, "DATA")] == [250, 250, 354]
            assert c.do(b"good\r\n.\r\n") == 250


HARMLESS = ["VRFY a", "VRFY \u0436", "VRFY", "EXPN a", "HELP", "HELP nothing", "NOOP", "NOOP x", "XYZZY", "ETRN x", "TURN",
            "NOOP " + "x" * 3000, "\0", ""]
# Lines that bring a session into each state; then the reply to MAIL, RCPT and DATA there.
STATES = {(): (503, 503, 503), ("EHLO x.example",): (250, 503, 503), ("EHLO x.example", MAIL): (503, 250, 503),
          ("EHLO x.example", MAIL, RCPT): (503, 250, 354)}


def test_harmless_commands(gonets):
    """Commands that are no part of a transaction change nothing, whether they are understood or not."""
    for way, replies in STATES.items():
        for line in HARMLESS:
            for step, (probe, expected) in enumerate(zip((MAIL, RCPT, "DATA"), replies)):
                with Session(gonets) as c:
                    assert all(c.do(command) == 250 for command in way)
                    assert c.do(line) in (214, 250, 252, 500, 501, 502, 504), line
                    assert c.do(probe) == expected, (way, line, step)


def test_order(gonets):
    """Each command out of order is refused with 503 and changes nothing; EHLO and RSET begin anew."""
    with Session(gonets) as c:
        assert [c.do(line) for line in (MAIL, RCPT, "DATA")] == [503] * 3
        assert [c.do(line) for line in ("EHLO x.example", RCPT, "DATA", MAIL, MAIL, RCPT, MAIL, "NOOP")] == \
            [250, 503, 503, 250, 503, 250, 503, 250]
        assert [c.do(line) for line in ("EHLO x.example", RCPT, MAIL, RCPT, "RSET", "DATA", RCPT, MAIL)] == \
            [250, 503, 250, 250, 250, 503, 503, 250]
        assert [c.do(line) for line in ("DATA", RCPT, "RSET")] == [503, 250, 250]
        assert [c.do(line) for line in ("helo x.example", "mAiL fRoM:<>", "rcpt to:<u@us.example>", "Data")] == [250, 250, 250, 354]
        assert [c.do(line) for line in (b"once\r\n.\r\n", MAIL, RCPT, "DATA", b"again\r\n.\r\n", "quit")] == \
            [250, 250, 250, 354, 250, 221]
        assert c.at_end()


def test_lost_link(gonets):
    """QUIT and a lost link drop the unfinished transaction, never a message that was answered."""
    gonets.settle("you@last.example")
    before = set(gonets.mails())
    for end in (b"QUIT\r\n", b"", b"text", b"text\r\n", b"text\r\n."):
        with Session(gonets) as c:
            c.open(MAIL, RCPT, "DATA")
            assert c.do(b"kept\r\n.\r\n") == 250
            c.open(MAIL, RCPT)
            if not end.startswith(b"QUIT"):
                assert c.do("DATA") == 354
            c.send(end)
    gonets.settle("you@last.example")
    assert len(set(gonets.mails()) - before) == 5


# ---- sizes and parameters ----


def test_sizes(gonets):
    """H20: what SIZE says is believed only when it is too much; what comes is counted."""
    for declared in ("", " SIZE=1", f" SIZE={SIZE_MAX}"):
        for size in (SIZE_MAX - 1, SIZE_MAX, SIZE_MAX + 1):
            with Session(gonets) as c:
                c.open(MAIL + declared, RCPT, "DATA")
                content = b"Subject: x\r\n\r\n" + b"y" * (size - 16) + b"\r\n"
                assert len(content) == size
                code, lines = c.ask(content + b".\r\n")
                assert (code, lines[0][:5]) == ((552, "5.3.4") if size > SIZE_MAX else (250, "2.0.0"))
                assert c.do(MAIL) == 250
    with Session(gonets) as c:
        c.open()
        for size, code in (("99999999999999999999", 552), (str(SIZE_MAX + 1), 552), (str(2**64), 552), (str(10**20), 501),
                           (str(10**21), 501), ("-1", 501), ("1k", 501), ("", 501)):
            assert c.do(f"{MAIL} SIZE={size}") == code, size
        assert c.do(RCPT) == 503
        assert c.do(f"{MAIL} SIZE=00000000000000000001") == 250


PARAMETERS = [(" AUTH=", 501), (' AUTH="', 555), (" AUTH=<>", 555), (" =x", 501), (" =", 501), (" SIZE= 1", 501), (" SIZE=1 SIZE=2", 501),
              (" ", 250), ("  ", 250), (" SIZE", 501), (" SIZE=1=2", 501), (" BODY=8BITMIME BODY=7BIT", 501), (" BODY=", 501),
              (" BODY=BINARYMIME", 501), (" RET=FULL", 555), (" X-Y", 555), (" -X", 501), (" X_Y=1", 501), (" SIZE=1,BODY=7BIT", 501),
              (" X=\"a b\"", 555), (" body=7bit size=5", 250), (" SIZE=1\\", 501), ("SIZE=1", 501), (" SIZE=1" * 200, 501),
              (" BODY=7BIT" + " X=1" * 200, 555), ("\tSIZE=1", 250), (" ENVID=+00", 555), (" SMTPUTF8", 555)]


def test_parameters(gonets):
    """H21: malformed, unknown, doubled and very many parameters: unknown ones 555, the others 501."""
    for text, code in PARAMETERS:
        with Session(gonets) as c:
            c.open()
            assert c.do(MAIL + text) == code, text
            assert c.do(RCPT) == (250 if code == 250 else 503), text
    with Session(gonets) as c:
        c.open(MAIL)
        for text, code in ((" NOTIFY=NEVER", 555), (" ORCPT=rfc822;a+00", 555), (" =", 501), (" X=", 501), (" ", 250)):
            assert c.do(RCPT + text) == code, text


def test_nothing_is_echoed_raw(gonets):
    """H23: control characters and bytes above 127 of a client never come back; what comes back is short."""
    texts = [b"EHLO x\x1b]0;y\x07", b"HELO \xff\xfe", b"EHLO x\ry", b"EHLO " + b"x" * 255, b"MAIL FROM:<\x1b[2J@x>", b"MAIL FROM:<a@\xffx>",
             b"\x1b[31mred", b"VRFY \x1b[2J", b"HELP \x9b2J", b"XX\x7f", b"MAIL FROM:<a@b>\x08", b"EXPN %n%s", b"EHLO %n%s.example"]
    with Session(gonets) as c:
        c.open()
        for text in texts:
            c.send(text + b"\r\n")
            while True:
                line = c.line()
                assert re.fullmatch(rb"[ -~]*\r\n", line), (text, line)
                assert b"x" * 65 not in line, line
                if line[3:4] == b" ":
                    break


# ---- recipients ----


# Address in RCPT: the code for a stranger, and for a client that may send everywhere.
MATRIX = [
    # Ours.
    ("<u@us.example>", 250, 250), ("<u@US.EXAMPLE>", 250, 250), ("<U@us.example>", 250, 250), ("u@us.example", 250, 250),
    ("<\"u\"@us.example>", 250, 250), ("<\"\\u\"@us.example>", 250, 250), ("<x.y@us.example>", 250, 250),
    ("<\"x.y\"@us.example>", 250, 250), ("<\"a b\"@us.example>", 250, 250), ("<u@mx.us.example>", 250, 250),
    ("<u@localhost>", 250, 250), ("<u@[127.0.0.1]>", 250, 250), ("<u>", 250, 250), ("u", 250, 250), ("<postmaster>", 250, 250),
    ("<Postmaster@us.example>", 250, 250), ("<u@[IPv6:::ffff:127.0.0.1]>", 250, 250),
    # Ours, nobody there.
    ("<nobody@us.example>", 550, 550), ("<nobody@mx.us.example>", 550, 550), ("<nobody>", 550, 550), ("<\"\"@us.example>", 550, 550),
    # The rest of an address that is a name of ours, and taken as that alone.
    ("<\"r@away.example\"@us.example>", 250, 250), ("<u%away.example@us.example>", 250, 250), ("<away.example!u@us.example>", 250, 250),
    ("<v%away.example@us.example>", 550, 550), ("<away.example!v@us.example>", 550, 550), ("<\"v@away.example\"@us.example>", 550, 550),
    ("<\"u@away.example\"@mx.us.example>", 550, 550), ("<u%away.example>", 250, 250), ("<away.example!v>", 550, 550),
    ("<u%us.example@us.example>", 550, 550), ("<\"u\\\"@away.example\"@us.example>", 550, 550),
    # Source routes: the mailbox behind them decides (RFC 5321 section 4.1.1.3).
    ("<@us.example:u@us.example>", 250, 250), ("<@away.example:u@us.example>", 250, 250), ("<@us.example:r@away.example>", 550, 250),
    ("<@us.example,@mx.us.example:r@away.example>", 550, 250), ("<@us.example:@away.example:r@us.example>", 501, 501),
    # Elsewhere.
    ("<r@away.example>", 550, 250), ("<us.example@away.example>", 550, 250), ("<u@us.example.away.example>", 550, 250),
    ("<u@notus.example>", 550, 250), ("<u@us.examplex>", 550, 250), ("<u@sub.us.example>", 550, 250), ("<u@example>", 550, 250),
    ("<u@[127.0.0.2]>", 550, 250), ("<u@[192.0.2.1]>", 550, 250), ("<u@[IPv6:::1]>", 550, 250), ("<u%us.example@away.example>", 550, 250),
    ("<\"u@us.example\"@away.example>", 550, 250), ("<us.example!u@away.example>", 550, 250), ("<postmaster@away.example>", 550, 250),
    # No addresses.
    ("<u@us.example.>", 501, 501), ("<u@us@away.example>", 501, 501), ("<u@away.example@us.example>", 501, 501),
    ("<r@away.example\0@us.example>", 501, 501), ("<u@us.example\0>", 501, 501), ("<u@us.example> <r@away.example>", 501, 501),
    ("<u@us.example,r@away.example>", 501, 501), ("<u@us..example>", 501, 501), ("<u@.us.example>", 501, 501),
    ("<u @us.example>", 501, 501), ("<u@us.example", 501, 501), ("<u@[127.0.0.1>", 501, 501), ("<u@127.0.0.1]>", 501, 501),
    ("<u(r@away.example)@us.example>", 501, 501), ("<\"u\"r@us.example>", 501, 501), ("<u@[127.1]>", 501, 501), ("<>", 501, 501),
    ("<u@us\u0435xample>", 553, 553), ("u@us.example r@away.example", 501, 501),
]


def test_relaying(gonets):
    """H36: an address is served for its domain alone, however it is written; nothing goes elsewhere for a stranger."""
    assert len(MATRIX) >= 60
    wrong = []
    for source, column in ((STRANGER, 1), (TRUSTED, 2)):
        for row in MATRIX:
            with Session(gonets, source) as c:
                c.open(MAIL)
                code = c.do(f"RCPT TO:{row[0]}")
                if code != row[column]:
                    wrong.append((source, row, code))
                elif source == STRANGER:
                    assert c.do("DATA") == (354 if code == 250 else 503)
                    if code == 250:
                        assert c.do(b"Subject: x\r\n\r\ny\r\n.\r\n") == 250
    assert not wrong
    gonets.settle("you@last.example")
    # Nothing is held: all that a stranger got accepted has been delivered.
    assert not any("away" in event["to"].rsplit("@", 1)[1] for event in gonets.events("delivered"))


def test_each_recipient_is_judged(gonets):
    """H79: a recipient that is refused is refused in each place, among any number of others, and does not harm these."""
    for count in (1, 2, 100):
        for place in {0, 1, count - 1}:
            with Session(gonets, STRANGER) as c:
                c.open(MAIL)
                codes = [c.do("RCPT TO:<r@away.example>" if i == place else f"RCPT TO:<u{i}@last.example>") for i in range(count)]
                assert codes == [550 if i == place else 250 for i in range(count)]


def test_duplicates(gonets):
    """H40: a recipient who is named a thousand times is answered as often and gets one copy."""
    gonets.settle("you@last.example")
    before = len(gonets.mails())
    with Session(gonets) as c:
        c.open(MAIL)
        c.send(b"RCPT TO:<u@us.example>\r\n" * RECIPIENTS)
        assert {c.checked(True)[0] for _ in range(RECIPIENTS)} == {250}
        assert [c.do("DATA"), c.do(b"one copy\r\n.\r\n")] == [354, 250]
        c.open(MAIL)
        for form in ("<u@us.example>", "<u@US.example>", "<\"u\"@us.example>", "<@a.example:u@us.example>"):
            assert c.do("RCPT TO:" + form) == 250
        assert [c.do("DATA"), c.do(b"written otherwise\r\n.\r\n")] == [354, 250]
    gonets.settle("you@last.example")
    assert len(gonets.mails()) - before == 2


def test_nobody_learns_of_others(gonets):
    """H46: of several recipients none is named in any copy; a single one is."""
    gonets.settle("you@last.example")
    before = set(gonets.mails())
    for names in (("a", "b", "c"), ("a", "nobody"), ("b",)):
        with Session(gonets) as c:
            c.open(MAIL)
            for name in names:
                c.do(f"RCPT TO:<{name}@us.example>")
            assert [c.do("DATA"), c.do(b"To: a@far.example\r\n\r\nhello\r\n.\r\n")] == [354, 250]
    gonets.settle("you@last.example")
    copies = [path.read_bytes() for path in gonets.mails() if path not in before]
    named = sorted(re.findall(rb"\b[a-z]+@us\.example", b"".join(copies)))
    assert len(copies) == 5 and named == [b"a@us.example", b"b@us.example"]
    assert all(b"\n\tfor <" in copy or b" for <" in copy for copy in copies if b"@us.example" in copy)


def test_probing(gonets):
    """VRFY tells of nobody, EXPN gives no list."""
    with Session(gonets) as c:
        c.open()
        for name in ("u", "nobody", "u@us.example", "r@away.example", "<u@us.example>", "postmaster"):
            code, lines = c.ask("VRFY " + name)
            assert (code, lines[0][:6]) == (252, "2.5.2 ")
            assert lines == c.ask("VRFY x")[1]
        assert c.ask("EXPN users") == (502, ["5.5.1 lists are not expanded here"])


# ---- floods ----


def memory(server):
    pid, = (pid for pid, role in server.processes().items() if role == "smtpd")
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return 1024 * int(re.search(r"VmRSS:\s+(\d+)", file.read())[1])


def cpu_seconds(server):
    pid, = (pid for pid, role in server.processes().items() if role == "smtpd")
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0]) / 1e9


def flood(c, lines, count):
    """Sends so many lines while it reads as many replies: {code: how often}."""
    block = b"".join(lines)
    sender = threading.Thread(target=lambda: [c.send(block) for _ in range(count // len(lines))])
    sender.start()
    codes, left = {}, count
    while left:
        c.kept += c.socket.recv(1 << 20)
        whole, _, c.kept = c.kept.rpartition(b"\r\n")
        for line in whole.split(b"\r\n") if whole else ():
            codes[line[:3]] = codes.get(line[:3], 0) + 1
            left -= 1
    sender.join()
    return codes


def test_recipient_flood(gonets):
    """H86: of a million recipients the allowed ones are taken, the others cost the same little each and no memory."""
    count = 100_000 if SANITIZED else 1_000_000
    with Session(gonets) as c:
        c.open(MAIL)
        before, begin = memory(gonets), cpu_seconds(gonets)
        first = flood(c, [b"RCPT TO:<r%d@many.example>\r\n" % n for n in range(RECIPIENTS)], RECIPIENTS)
        rest = flood(c, [b"RCPT TO:<s%d@many.example>\r\n" % n for n in range(1000)], count - RECIPIENTS)
        assert first == {b"250": RECIPIENTS} and rest == {b"452": count - RECIPIENTS}
        grown, spent = memory(gonets) - before, cpu_seconds(gonets) - begin
        print(f"{count} RCPT: {spent:.2f} s of processor, {grown >> 10} KiB of memory")
        assert spent / count < (100e-6 if SANITIZED else 10e-6)
        assert grown < (16 << 20 if SANITIZED else 2 << 20)
        assert c.do("RSET") == 250


def test_client_that_never_reads(gonets):
    """H85: for a client that sends a million commands and never reads, the server stops reading, and at last closes."""
    before = memory(gonets)
    with Session(gonets) as c:
        c.open()
        c.socket.settimeout(COMMAND_SECONDS * 3)
        with pytest.raises(ConnectionError):     # never a time-out: it is the server that ends it
            for _ in range(1000):
                c.send(b"NOOP\r\nHELP\r\n" * 500)
        assert memory(gonets) - before < (16 << 20 if SANITIZED else 1 << 20)
    with Session(gonets) as c:
        assert c.do("QUIT") == 221


def test_slow_client_is_told(gonets):
    """A client that says nothing for too long is told so with 421 and a status code."""
    with Session(gonets) as c:
        c.open()
        code, lines = c.checked(True)
        assert code == 421 and lines[0].startswith("4.4.2 ") and c.at_end()


# ---- replies ----

OFFERED = ["PIPELINING", f"SIZE {SIZE_MAX}", "8BITMIME", "ENHANCEDSTATUSCODES", "HELP"]


def test_extensions(gonets):
    """The list names what works, HELO gives none, and what is listed does work."""
    with Session(gonets) as c:
        code, lines = c.ask("EHLO client.example")
        assert code == 250 and sorted(lines[1:]) == sorted(OFFERED)
        assert lines[0].startswith("mx.us.example ") and "client.example" in lines[0] and "127.0.0.1" in lines[0]
        code, lines = c.ask("HELO client.example")
        assert code == 250 and len(lines) == 1 and "127.0.0.1" in lines[0]
        c.open()
        content = "Subject: \u043f\u0440\u0438\u0432\u0435\u0442\r\n\r\n\u043c\u0438\u0440\r\n".encode()
        c.send(f"{MAIL} SIZE={len(content)} BODY=8BITMIME\r\n{RCPT}\r\nDATA\r\n".encode() + content + b".\r\nNOOP\r\n")
        assert [c.checked(True)[0] for _ in range(5)] == [250, 250, 354, 250, 250]
    gonets.settle("you@last.example")
    assert any(content_of(path) == content.replace(b"\r\n", b"\n") for path in gonets.mails())


# How each code is brought about, in the order of one session where it can be.
CODES = {
    250: ["EHLO client.example", "NOOP", "RSET"], 214: ["HELP", "HELP MAIL", "HELP EHLO"], 252: ["VRFY u"], 502: ["EXPN u", "TURN", "ETRN x"],
    504: ["HELP XYZZY"], 500: ["XYZZY", "VR\u0424Y", "NOOP " + "x" * 4000], 501: ["MAIL", "MAIL FROM:", "EHLO", "HELO a b", "RSET x"],
    555: [MAIL + " X=1"], 552: [f"{MAIL} SIZE={SIZE_MAX + 1}"], 553: ["MAIL FROM:<\u0436@far.example>"], 503: ["DATA", RCPT], 550: [],
    354: [], 421: [], 221: [], 220: [],
}


def test_codes(gonets):
    """Every code that this server can say so far, in the meaning of RFC 5321 section 4.2.3, each with its status code."""
    said = set()
    for code, lines in CODES.items():
        for line in lines:
            with Session(gonets, STRANGER) as c:
                if not line.startswith(("EHLO", "HELO")):
                    c.open()
                assert c.do(line) == code, line
                said |= c.codes
    with Session(gonets, STRANGER) as c:
        c.open(MAIL)
        assert [c.do(line) for line in ("RCPT TO:<r@away.example>", RCPT, "DATA", b"x\r\n.\r\n", "QUIT")] == [550, 250, 354, 250, 221]
        said |= c.codes
    with Session(gonets) as c:
        assert [c.do("XYZZY") for _ in range(20)] == [500] * 19 + [421]
        said |= c.codes
    assert said == set(CODES)        # 452: the flood of recipients; 451: below


ACCOUNTS = """hostname mx.us.example
workers 1
segment 1M
spool %(spool)s
listen 127.0.0.1:%(port)d
action own maildir %(dir)s/own/%%{user}
match for any action own
"""


def test_accounts():
    """Recipients that are accounts of the system: 550 for those that are not there and for root, 451 while nobody can tell."""
    with serving(ACCOUNTS) as server, Session(server) as c:
        c.open(MAIL)
        assert [c.do(f"RCPT TO:<{name}@us.example>") for name in ("nobody", "NoBody", "no-such-account", "root")] == [250, 250, 550, 550]
        auth, = (pid for pid, role in server.processes().items() if role == "auth")
        os.kill(auth, signal.SIGSTOP)
        c.send(b"RCPT TO:<daemon@us.example>\r\n")
        os.kill(auth, signal.SIGKILL)
        code, lines = c.checked(True)
        assert code == 451 and lines[0].startswith("4.3.0 ")
        wait_for(lambda: c.do("RCPT TO:<daemon@us.example>") == 250, 10, "a new auth")


NO_ROOM = """hostname mx.us.example
workers 1
segment 1M
spool %(spool)s
listen 127.0.0.1:%(port)d
action box maildir %(dir)s/Maildir user nobody
match for any action box
limit spool_free 1024G
"""


def test_no_room():
    """With less space on the disk than is to stay free, mail is put off with 452 4.3.1, and the log says why, once."""
    with serving(NO_ROOM) as server, Session(server) as c:
        c.open()
        code, lines = c.ask(MAIL)
        assert code == 452 and lines[0].startswith("4.3.1 ")
        assert c.do(RCPT) == 503
        alarm, = server.events("spool-alarm")
        assert "free" in alarm["text"]
