"""Where a command, a line and a message end, over real sockets: smuggling, bare line ends, NUL, long lines."""

import json
import re
import time

import pytest

from server import content_of, serving, suites

pytestmark = pytest.mark.asan

# Not `gonets try`, whose listener is lenient.
CONFIG = """hostname mx.example.org
workers 1
segment 1M
spool %(spool)s
listen 127.0.0.1:%(port)d
table users { a, b }
action box maildir %(dir)s/Maildir user nobody users <users>
action nowhere discard
match for domain example.org action box
match for domain last.example action nowhere
"""
INNER = b"MAIL FROM:<e@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nSubject: inner\r\n\r\nsmuggled\r\n.\r\n"


@pytest.fixture(scope="module")
def gonets():
    with serving(CONFIG) as server:
        yield server


def opened(server, commands=("MAIL FROM:<a@example.org>", "RCPT TO:<a@example.org>", "DATA")):
    client = server.client()
    assert client.reply()[0] == 220
    for line in ("EHLO client.example", *commands):
        assert client.say(line)[0] in (250, 354), line
    return client


def quiet(client, seconds=0.05):
    """Has the server nothing to say?"""
    client.socket.settimeout(seconds)
    try:
        return not client.kept and client.socket.recv(1) is None
    except TimeoutError:
        return True
    finally:
        client.socket.settimeout(20)


class Boxes:
    """The mails that come during a test."""

    def __init__(self, server):
        self.server = server
        server.settle("you@last.example")
        self.before = set(server.mails())

    def new(self, count):
        """Exactly so many, once everything that was taken is delivered."""
        self.server.settle("you@last.example")
        mails = [path for path in self.server.mails() if path not in self.before]
        assert len(mails) == count, mails
        return mails


def endings():
    listed = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r\n.\r\r\n", b"\r\n.\0\r\n"]
    folder = suites()
    if not folder:
        print("NOT RUN: smuggling suite (no suites)")
        return listed
    suite = json.loads((folder / "smtp/smuggling/endings.json").read_text())
    return listed + [text.encode() for text in suite["endings"].values()]


def test_no_other_end_of_data(gonets):
    """H1: what is no CRLF.CRLF ends no message: what follows it begins none, and its commands get no reply."""
    boxes = Boxes(gonets)
    taken = 0
    for ending in endings():
        for header in (b"Subject: outer\r\n\r\n", b""):
            with opened(gonets) as c:
                code, lines = c.say(header + b"text" + ending + INNER)
                if code == 250:          # CRLF.CR without LF behind, NUL: they were content
                    assert b"\0" in ending, ending
                    taken += 1
                    assert c.say("QUIT")[0] == 221
                else:
                    assert code == 550 and lines[0][:5] in ("5.5.2", "5.6.0"), (ending, code, lines)
                    assert lines[0].startswith("5.6.0") or c.at_end(), ending
                    if lines[0].startswith("5.6.0"):
                        assert c.say("QUIT")[0] == 221
                assert c.at_end(), ending
    for path in boxes.new(taken):
        assert b"smuggled" in content_of(path) and b"text" in content_of(path)


def test_bare_line_ends(gonets):
    """H2: refused with one reply after the true end of data, the connection closed, nothing kept."""
    boxes = Boxes(gonets)
    for body in (b"a\nb", b"a\rb", b"\na", b"\ra", b"a\n\r\nb", b"a\r\r\nb", b"a\r\n\nb", b"a\n", b"a\r"):
        with opened(gonets) as c:
            c.send(body)
            assert quiet(c), body
            c.send(b"\r\n.\r")
            assert quiet(c), body
            code, lines = c.say(b"\n")
            assert (code, lines[0][:5]) == (550, "5.5.2"), (body, code, lines)
            assert c.at_end(), body
    boxes.new(0)


def test_reply_survives_what_comes_behind(gonets):
    """A client that goes on talking behind the refused message still gets to read why, and an ordinary end."""
    with opened(gonets) as c:
        c.send(b"a\nb\r\n.\r\n" + b"NOOP\r\n" * 20000)
        time.sleep(0.2)
        assert c.reply()[0] == 550
        assert c.kept == b"" and c.socket.recv(1) == b""


BODIES = {
    "empty line": b"\r\n", "a dot": b".\r\n", "From": b"From x\r\n", "From with colon": b"From x:\r\n", "fold": b" folded\r\n",
    "tab": b"\tfolded\r\n", "nothing": b"", "dots": b"..\r\n.\r\n...\r\n.x\r\n", "blank": b" \r\n", "text": b"no header at all\r\n",
    "header": b"Subject: x\r\n", "header and gap": b"Subject: x\r\n\r\n", "folded header": b"Subject: x\r\n y\r\n\r\nz\r\n",
    "empty lines": b"\r\n\r\n\r\n", "colon": b": x\r\n\r\ny\r\n", "blank before colon": b"Subject : x\r\n\r\ny\r\n",
    "mixed": b"From x\r\nSubject: y\r\n\r\nFrom z\r\n.\r\n", "eight bits": b"Subject: \xd0\xbf\r\n\r\n\x80\xff\r\n",
}


def test_boundary_of_header_and_body(gonets):
    """H7: bodies that begin oddly are stored as they were sent, behind our two fields and nothing else."""
    for name, body in BODIES.items():
        boxes = Boxes(gonets)
        with opened(gonets) as c:
            stuffed = b"".join(b"." + line if line.startswith(b".") else line for line in body.splitlines(keepends=True))
            assert c.say(stuffed + b".\r\n")[0] == 250, name
        stored, = boxes.new(1)
        sent = body.replace(b"\r\n", b"\n")
        data = stored.read_bytes()
        # A body that would be taken for the rest of our fields, or ends our header, is set off by an empty line.
        assert data.endswith(b"\n" + sent), (name, data)
        front = data[:len(data) - len(sent)]
        assert re.fullmatch(rb"Return-Path: <a@example\.org>\nReceived: (?:[^\n]+\n)(?:[ \t][^\n]+\n)*\n?", front), (name, data)


def test_commands_behind_the_dot(gonets):
    """H8: bytes behind the final dot are commands, read once, in one segment and byte by byte."""
    text = b"a\r\n.\r\nRSET\r\nQUIT\r\n"
    for step in (len(text), 1):
        with opened(gonets) as c:
            for i in range(0, len(text), step):
                c.send(text[i:i + step])
            assert [c.reply()[0] for _ in range(3)] == [250, 250, 221]
            assert c.at_end()


def test_body_behind_a_refused_data(gonets):
    """H9: a body that comes although DATA was refused is no mail: the first line that is no command ends the session."""
    boxes = Boxes(gonets)
    with opened(gonets, ()) as c:
        c.send(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<nobody@example.org>\r\nDATA\r\n"
               b"Subject: x\r\n\r\n" + INNER + b".\r\nQUIT\r\n")
        assert [c.reply()[0] for _ in range(4)] == [250, 550, 503, 421]
        assert c.at_end()
    with opened(gonets, ()) as c:       # and one that consists of commands
        c.send(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<nobody@example.org>\r\nDATA\r\n" + INNER)
        assert [c.reply()[0] for _ in range(4)] == [250, 550, 503, 421]
        assert c.at_end()
    boxes.new(0)


def test_early_talk(gonets):
    """A client that does not wait for the greeting is answered in order."""
    for wait in (0, 0.05):
        with gonets.client() as c:
            c.send(b"EHLO x.example\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<a@example.org>\r\n")
            time.sleep(wait)
            c.send(b"RSET\r\nQUIT\r\n")
            assert [c.reply()[0] for _ in range(6)] == [220, 250, 250, 250, 250, 221]
            assert c.at_end()


FOREIGN = [b"%s / HTTP/1.1\r\nHost: x\r\n\r\n" % verb for verb in (b"POST", b"GET", b"PUT", b"CONNECT", b"HEAD", b"OPTIONS", b"get")]
FOREIGN += [b"Host: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256))]


def test_foreign_protocols(gonets):
    """H11: other protocols get one 421 and nothing more, wherever they begin."""
    boxes = Boxes(gonets)
    for begin in (b"", b"EHLO x.example\r\n"):
        for text in FOREIGN:
            with gonets.client() as c:
                assert c.reply()[0] == 220
                if begin:
                    assert c.say(begin)[0] == 250
                code, lines = c.say(text + b"EHLO x.example\r\n" + INNER)
                assert code == 421 and lines[0].startswith("4.7.0 "), lines
                assert c.at_end(), text
    boxes.new(0)


def with_nul(text):
    for i in range(len(text) + 1):
        yield text[:i] + b"\0" + text[i:]


def test_nul_in_commands(gonets):
    """H12: NUL at each position of each command is refused with 501 and changes nothing."""
    lines = [b"HELO x.example", b"EHLO x.example", b"MAIL FROM:<a@example.org> SIZE=9", b"RCPT TO:<a@example.org>", b"DATA",
             b"RSET", b"NOOP x", b"VRFY a", b"EXPN a", b"HELP MAIL", b"ETRN x", b"TURN"]
    for line in lines:
        for n, text in enumerate(with_nul(line)):
            if n % 15 == 0:           # fewer faults than end a session
                c = opened(gonets, ())
            code, reply = c.say(text + b"\r\n")
            assert code == 501 and reply[0].startswith("5.5.2 "), (text, code, reply)
            if n % 15 == 14 or n == len(line):
                assert c.say("MAIL FROM:<a@example.org>")[0] == 250, line     # no transaction was begun
                assert c.say("QUIT")[0] == 221
                c.socket.close()


def test_nul_in_content(gonets):
    """H12: NUL at each position of a header is refused, of a body it is kept; nothing is cut off there."""
    boxes = Boxes(gonets)
    header, body = b"Subject: nul\r\nX: y\r\n", b"one\r\ntwo\r\n"
    kept = []
    c = opened(gonets, ())
    for where, text in enumerate(with_nul(header + b"\r\n" + body)):
        in_header = where <= len(header)
        if not text.endswith(b"\r\n") or text.replace(b"\r\n", b"").count(b"\r"):
            continue                     # it would part a CR from its LF: that is H2's matter
        assert [c.say(line)[0] for line in ("MAIL FROM:<a@example.org>", "RCPT TO:<a@example.org>", "DATA")] == [250, 250, 354]
        code, lines = c.say(text + b".\r\n")
        assert (code, lines[0][:5]) == ((550, "5.6.0") if in_header else (250, "2.0.0")), (text, code, lines)
        if not in_header:
            kept.append(text.replace(b"\r\n", b"\n"))
    c.socket.close()
    assert sorted(map(content_of, boxes.new(len(kept)))) == sorted(kept)


def test_long_commands(gonets):
    """H13: an over-long command is thrown away and refused, with the second the session ends; none is cut into two."""
    for length in (513, 2049, 12289):
        with opened(gonets, ()) as c:
            line = b"NOOP " + b"x" * (length - 11) + b"MAIL\r\n"
            code, lines = c.say(line)
            if length <= 2048:           # the extensions lengthen commands, RFC 5321 section 4.5.3.1.4
                assert code == 250
                continue
            assert (code, lines[0][:5]) == (500, "5.5.2"), length
            assert c.say("NOOP")[0] == 250
            assert c.say(line)[0] == 421
            assert c.at_end()


def resident(server, role="smtpd"):
    """Bytes of memory of the processes of a role."""
    total = 0
    for pid, name in server.processes().items():
        if name == role:
            with open(f"/proc/{pid}/status", encoding="ascii") as file:
                total += 1024 * int(re.search(r"VmRSS:\s+(\d+)", file.read())[1])
    return total


def test_endless_command(gonets):
    """H13: 10^8 bytes without a line end are neither kept nor read to the end."""
    before = resident(gonets)
    with opened(gonets, ()) as c:
        sent = 0
        block = b"x" * 1_000_000
        try:
            while sent < 100_000_000:
                c.send(block)
                sent += len(block)
        except ConnectionError:
            pass
        assert sent < 100_000_000
        try:
            assert c.reply()[0] == 421 and c.at_end()
        except ConnectionError:
            pass                         # we were still sending when it had closed
    assert resident(gonets) - before < 4 << 20
    with opened(gonets, ()) as c:
        assert c.say("QUIT")[0] == 221


def marked(length):
    """A line with its place every 8 bytes."""
    return b"".join(b"%08x" % at for at in range(0, length + 8, 8))[:length]


def test_long_text_lines(gonets):
    """H13: long lines of text are neither cut nor lost."""
    for length in (998, 999, 1000, 1001, 2048, 4096, 65535, 65536, 65537, 1 << 20):
        boxes = Boxes(gonets)
        with opened(gonets) as c:
            text = b"Subject: long\r\n\r\n" + marked(length) + b"\r\nbehind\r\n"
            assert c.say(text + b".\r\n")[0] == 250, length
        stored, = boxes.new(1)
        assert content_of(stored) == text.replace(b"\r\n", b"\n"), length
