"""Dialogues of the texts that describe SMTP, of a suite by others, and typed by hand: telnet and nc."""

import os
import pty
import re
import subprocess
import time

import pytest

from server import content_of, serving, suites

# The server of each dialogue: its name, who is known there, and whether it is lenient.
CONFIG = """hostname %%(name)s
workers 1
segment 1M
spool %%(spool)s
listen 127.0.0.1:%%(port)d %(lenient)s
table users { %(users)s }
action box maildir %%(dir)s/Maildir user nobody users <users>
action nowhere discard
match for domain %(domain)s action box
match for local action box
match for domain last.example action nowhere
limit command_time 2s
"""


def host(name, users, domain=None, lenient=False):
    text = CONFIG % {"users": users, "domain": domain or name, "lenient": "lenient" if lenient else ""}
    return serving(text.replace("%(name)s", name))


def play(client, script):
    """Lines of `C: text` and `S: code`; what the server says is held against the code alone."""
    for line in script.strip().splitlines():
        who, text = line.strip()[:2], line.strip()[3:]
        if who == "C:":
            client.send(text.encode() + b"\r\n")
        else:
            assert client.reply()[0] == int(text), line


def delivered(server, recipients):
    """Content of the one message that these, and nobody else, have got."""
    server.settle("you@last.example")
    contents = {content_of(path) for path in server.mails()}
    assert sorted(event["to"] for event in server.events("delivered") if "last.example" not in event["to"]) == sorted(recipients)
    assert len(contents) == 1
    return contents.pop()


def test_simplest_session():
    """The simplest session: HELO without a name, a blank before and inside the brackets, one recipient of two unknown."""
    with host("mail.company.example", "user1", "company.example", lenient=True) as server, server.client() as c:
        play(c, """
            S: 220
            C: HELO
            S: 250
            C: MAIL FROM: <usera@usercompany.example>
            S: 250
            C: RCPT TO:<user1@company.example>
            S: 250
            C: RCPT TO: <user2@company.example >
            S: 550
            C: DATA
            S: 354
            C: Hi!
            C: .
            S: 250
            C: QUIT
            S: 221
        """)
        assert c.at_end()
        assert delivered(server, ["user1@company.example"]) == b"Hi!\n"


def test_simplest_session_strict():
    """The same at a listener that is not lenient: what it will not take is said, and the session goes on."""
    with host("mail.company.example", "user1", "company.example") as server, server.client() as c:
        play(c, """
            S: 220
            C: HELO
            S: 501
            C: HELO host.example
            S: 250
            C: MAIL FROM: <usera@usercompany.example>
            S: 250
            C: RCPT TO: <user1@company.example >
            S: 501
            C: RCPT TO: user1@company.example
            S: 250
            C: DATA
            S: 354
            C: Hi!
            C: .
            S: 250
            C: QUIT
            S: 221
        """)
        assert delivered(server, ["user1@company.example"]) == b"Hi!\n"


SMITH = """
    S: 220
    C: HELO usc.edu
    S: 250
    C: MAIL FROM:%(blank)s<Smith@usc.edu>
    S: 250
    C: RCPT TO:<Jones@mit.edu>
    S: 250
    C: RCPT TO:<Green@mit.edu>
    S: 550
    C: RCPT TO:<Brown@mit.edu>
    S: 250
    C: DATA
    S: 354
    C: Blah blah blah...
    C: %(dots)setc. etc. etc.
    C: .
    S: 250
    C: QUIT
    S: 221
"""


@pytest.mark.parametrize("blank, sent, stored", [("", "....", b"..."), (" ", "...", b"..")], ids=["as meant", "as printed"])
def test_smith_to_jones_green_brown(blank, sent, stored):
    """RFC 821's session: two of three recipients are known, each of them gets the message."""
    with host("mit.edu", "Jones, Brown") as server, server.client() as c:
        play(c, SMITH % {"blank": blank, "dots": sent})
        assert c.at_end()
        assert delivered(server, ["Brown@mit.edu", "Jones@mit.edu"]) == b"Blah blah blah...\n" + stored + b"etc. etc. etc.\n"
        assert all(path.read_bytes().startswith(b"Return-Path: <Smith@usc.edu>\nReceived: from usc.edu ") for path in server.mails())


def test_names_before_addresses():
    """A message as people type it: a display name before each address, a header, a line of one dot, two messages."""
    with host("mx.example", "user", "gmail.example", lenient=True) as server, server.client() as c:
        play(c, """
            S: 220
            C: HELO some.host.example
            S: 250
            C: MAIL FROM: Test User <user@mail.example>
            S: 250
            C: RCPT TO: Gmail User <user@gmail.example>
            S: 250
            C: DATA
            S: 354
            C: From: Test User <user@mail.example>
            C: Subject: Hello, Gmail User!
            C:
            C: ..
            C: .
            S: 250
            C: MAIL FROM:user@mail.example
            S: 250
            C: RCPT TO:user
            S: 250
            C: RCPT TO: postmaster
            S: 550
            C: QUIT
            S: 221
        """)
        assert delivered(server, ["user@gmail.example"]) == \
            b"From: Test User <user@mail.example>\nSubject: Hello, Gmail User!\n\n.\n"


# ---- the scripts of Apache James ----

# What we cannot do yet, and the scripts that need it.
NEED = {
    "AUTH": ["authplain.test", "starttls_session_fixation.test"],
    "STARTTLS": ["starttls.test", "starttls_with_injection.test"],
}


def steps(text):
    """("C", line) and ("S", code); the lines of one reply end with the one that has a blank behind its code."""
    for line in text.splitlines():
        if line.startswith("C:"):
            yield "C", line[3:]
        elif re.match(r"S: \d{3} ", line):
            yield "S", int(line[3:6])


def test_james_scripts():
    """The scripts of Apache James, by their codes; words in content and addresses are no commands."""
    folder = suites() and suites() / "smtp/james-mpt"
    if not folder or not folder.is_dir():
        print("NOT RUN: scripts of Apache James (no suites)")
        return
    scripts = {path.name: path.read_text() for path in sorted(folder.glob("*.test"))}
    left_out = [name for names in NEED.values() for name in names]
    assert set(left_out) <= set(scripts)
    with host("mydomain.tld", "bob, starttls") as server:
        for name, text in scripts.items():
            if name in left_out:
                continue
            with server.client() as c:
                for who, what in steps(text):
                    if who == "C":
                        c.send(what.encode() + b"\r\n")
                    else:
                        assert c.reply()[0] == what, (name, what)
        server.settle("you@last.example")
        assert len(server.mails()) == len(scripts) - len(left_out)
    for feature, names in NEED.items():
        print(f"not played without {feature}: {', '.join(names)}")


# ---- by hand ----

SESSION = ["HELO my.host.example", "MAIL FROM:<me@far.example>", "RCPT TO:<rich@shadrach.example>", "DATA",
           "Subject: by hand", "", "typed slowly", ".", "QUIT"]
# The reply that one waits for before one types the line.
WAITS = dict(zip(range(9), (b"220 ", b"250 ", b"250 ", b"250 ", b"354 ", None, None, None, b"250 ")))


class Typist:
    """A program in a terminal, typed at like a human: some keys at a time, waiting for what appears."""

    def __init__(self, *command):
        self.terminal, inner = pty.openpty()
        self.process = subprocess.Popen(command, stdin=inner, stdout=inner, stderr=inner, start_new_session=True)
        os.close(inner)
        self.seen = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)

    def wait_for(self, text, seconds=10):
        end = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < end, (text, self.seen)
            try:
                self.seen += os.read(self.terminal, 4096)
            except OSError:                # the program has ended
                break
        assert text in self.seen, (text, self.seen)
        self.seen = self.seen.split(text, 1)[1]

    def type(self, line):
        for at in range(0, len(line), 8):
            os.write(self.terminal, line[at:at + 8].encode())
            time.sleep(0.06)
        os.write(self.terminal, b"\n")

    def end(self):
        """Exit status after the server has closed; nc waits for Ctrl-D."""
        os.write(self.terminal, b"\x04")
        return self.process.wait(5)


@pytest.mark.parametrize("program", [["telnet"], ["nc", "-C"]], ids=["telnet", "nc -C"])
def test_typed_by_hand(program):
    """A message typed slowly in a terminal: each line in time, all together longer than one command may take."""
    with host("shadrach.example", "rich") as server:
        begin = time.monotonic()
        with Typist(*program, "127.0.0.1", str(server.port)) as typist:
            for number, line in enumerate(SESSION):
                if WAITS[number]:
                    typist.wait_for(WAITS[number])
                typist.type(line)
                time.sleep(0.2)
            typist.wait_for(b"221 ")
            assert typist.end() in (0, 1)        # telnet tells by 1 that the other side closed
        assert time.monotonic() - begin > 2
        assert delivered(server, ["rich@shadrach.example"]) == b"Subject: by hand\n\ntyped slowly\n"


def test_netcat_with_bare_line_feeds():
    """nc as it is sends line feeds: a lenient listener understands commands, but no message ends with them."""
    with host("shadrach.example", "rich", lenient=True) as server:
        with Typist("nc", "127.0.0.1", str(server.port)) as typist:
            for waits, line in ((b"220 ", "HELO"), (b"250 ", "VRFY rich"), (b"252 ", "MAIL FROM:rich"), (b"250 ", "RCPT TO: rich"),
                                (b"250 ", "RSET"), (b"250 ", "HELP"), (b"214 ", "QUIT")):
                typist.wait_for(waits)
                typist.type(line)
            typist.wait_for(b"221 ")
            assert typist.end() == 0
        with server.client() as c:
            c.reply()
            for line in (b"HELO\n", b"MAIL FROM:<>\n", b"RCPT TO:rich\n", b"DATA\n"):
                assert c.say(line)[0] in (250, 354)
            code, lines = c.say(b"text\n.\nMAIL FROM:<e@x.example>\n\r\n.\r\n")
            assert (code, lines[0][:5]) == (550, "5.5.2") and c.at_end()
        server.settle("you@last.example")
        assert server.mails() == []


def test_too_slow():
    """One who stops typing in the middle of a line is told, and the connection ends."""
    with host("shadrach.example", "rich") as server, Typist("telnet", "127.0.0.1", str(server.port)) as typist:
        typist.wait_for(b"220 ")
        typist.type("EHLO x.example")
        typist.wait_for(b"HELP")
        os.write(typist.terminal, b"MAIL FROM")
        typist.wait_for(b"421 4.4.2 ")
