"""gonets send, against aiosmtpd and against servers that say odd things."""

import contextlib
import email
import email.policy
import json
import re
import socket
import subprocess
import threading

import pytest
from aiosmtpd.controller import Controller

from server import BUILD, GONETS, ROOT, free_port, suites

pytestmark = pytest.mark.asan
SECONDS_MAX = 60
OFFERS = b"250-peer.test\r\n250-PIPELINING\r\n250-SIZE 20000000\r\n250 8BITMIME\r\n"


class Peer:
    """A server for one connection. say(line, number) gives the reply to each command line, b"" for silence, None to
    hang up; the end of the content is the line b".". Keeps all commands and the content as it came, with its dots."""

    def __init__(self, say=None, greeting=b"220 peer.test\r\n", family=socket.AF_INET):
        self.say = say or self.well
        self.greeting = greeting
        self.commands, self.content, self.connections = [], b"", 0
        self.socket = socket.socket(family)
        self.socket.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        self.socket.listen()
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)

    @staticmethod
    def well(line, _number):
        verb = line[:4].upper()
        return {b"EHLO": OFFERS, b"DATA": b"354 go\r\n", b"QUIT": b"221 bye\r\n"}.get(verb, b"250 ok\r\n")

    def serve(self):
        with contextlib.suppress(OSError):
            connection, _ = self.socket.accept()
            self.connections += 1
            with connection, connection.makefile("rb") as lines:
                connection.sendall(self.greeting)
                self.talk(connection, lines)

    def talk(self, connection, lines):
        while line := lines.readline():
            line = line.removesuffix(b"\r\n")
            self.commands.append(line)
            reply = self.say(line, len(self.commands))
            if reply is None:
                return
            connection.sendall(reply)
            if line == b"DATA" and reply.startswith(b"3"):
                self.take_content(lines)
                self.commands.append(b".")
                reply = self.say(b".", len(self.commands))
                if reply is None:
                    return
                connection.sendall(reply)
            if line == b"QUIT":
                return

    def take_content(self, lines):
        parts = []
        while (line := lines.readline()) not in (b".\r\n", b""):
            parts.append(line)
        self.content = b"".join(parts)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(10)

    def unstuffed(self):
        return b"".join(line.removeprefix(b".") for line in self.content.splitlines(keepends=True))


class Mailbox:
    """A handler for aiosmtpd that keeps what came; "no" and "later" in a recipient are refused."""

    def __init__(self):
        self.envelopes = []

    async def handle_RCPT(self, _server, _session, envelope, address, _options):
        if address.startswith("no"):
            return "550 5.1.1 no such user"
        if address.startswith("later"):
            return "451 4.2.0 come back\x1b[31m"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, _server, _session, envelope):
        self.envelopes.append(envelope)
        return "250 2.0.0 queued as 4711"


@pytest.fixture
def aio():
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    box.port = controller.port
    yield box
    controller.stop()


def send(port, *options, stdin=b"", server=None, to=("you@example.org",)):
    """The finished process."""
    recipients = [word for address in to for word in ("--to", address)]
    line = [GONETS, "send", "--server", server or f"127.0.0.1:{port}", "--from", "me@example.org", *recipients, *options]
    return subprocess.run(line, input=stdin, capture_output=True, timeout=SECONDS_MAX)


def check(result, code, *said):
    errors = result.stderr.decode()
    assert result.returncode == code, errors
    for words in said:
        assert words in errors
    assert all(line.startswith("gonets send: ") for line in errors.splitlines())
    assert all(c.isprintable() or c == "\n" for c in errors + result.stdout.decode())


def wire(data):
    """Every line end as CRLF, and one at the end."""
    data = re.sub(rb"\r\n|\r|\n", b"\r\n", data)
    return data if data.endswith(b"\r\n") or not data else data + b"\r\n"


def test_text_message(aio):
    result = send(aio.port, "--subject", "Grüße aus Ä", "--text", "Zeile 1\n.\nöä€", to=["a@x.example", "b@x.example"])
    check(result, 0)
    assert result.stdout.decode() == (f"127.0.0.1:{aio.port} took the message for 2 of 2 recipients: "
                                      "250 2.0.0 queued as 4711\n")
    envelope = aio.envelopes[0]
    assert envelope.mail_from == "me@example.org" and envelope.rcpt_tos == ["a@x.example", "b@x.example"]
    assert "BODY=8BITMIME" in envelope.mail_options
    assert int([o for o in envelope.mail_options if o.startswith("SIZE=")][0][5:]) == len(envelope.original_content)
    message = email.message_from_bytes(envelope.original_content, policy=email.policy.default)
    assert message["From"] == "me@example.org" and message["To"] == "a@x.example, b@x.example"
    assert message["Subject"] == "Grüße aus Ä" and message["MIME-Version"] == "1.0"
    assert message["Date"].datetime.tzinfo and re.fullmatch(r"<[0-9a-z]{24}@example\.org>", message["Message-ID"])
    assert message.get_content_type() == "text/plain" and message.get_content_charset() == "utf-8"
    assert message["Content-Transfer-Encoding"] == "8bit"
    assert message.get_content() == "Zeile 1\r\n.\r\nöä€\r\n"
    assert not message.defects


@pytest.mark.parametrize("text, encoding", [("plain\n", "7bit"), ("größer\n", "quoted-printable"), ("x" * 999, "quoted-printable"),
                                            ("x" * 998, "7bit"), ("a = b \r x", "quoted-printable"), ("", "7bit")])
def test_text_for_a_seven_bit_server(text, encoding):
    offers = lambda line, n: b"250 peer.test\r\n" if line.startswith(b"EHLO") else Peer.well(line, n)
    with Peer(offers) as peer:
        check(send(peer.port, "--text", text), 0)
    message = email.message_from_bytes(peer.unstuffed(), policy=email.policy.default)
    assert message["Content-Transfer-Encoding"] == encoding and message["Subject"] is None
    assert max(map(len, peer.content.splitlines())) <= 998 and peer.content.isascii()
    got = message.get_payload(decode=True).decode()
    assert got == (text.replace("\n", "\r\n") if text.endswith("\n") or not text else text + "\r\n")
    assert peer.commands[1] == b"MAIL FROM:<me@example.org>"


def test_subject_with_text_from_standard_input(aio):
    long = "A subject that is far too long for one line of seventy-eight characters and is therefore folded"
    check(send(aio.port, "--subject", long, stdin=b"from\nstdin\n"), 0)
    message = email.message_from_bytes(aio.envelopes[0].original_content, policy=email.policy.default)
    assert message["Subject"] == long and message.get_content() == "from\r\nstdin\r\n"


@pytest.mark.parametrize("message", [b"Subject: x\n\nbody\n", b"Subject: x\r\n\r\nbody\r\n", b"a: b\n\n.\n..\n.x\n\n.", b"\n", b".\r\n",
                                     b" folded\n", b"a:b\r\n\nmixed\r\rends\n\r"])
def test_ready_message_goes_as_it_is(message):
    with Peer() as peer:
        check(send(peer.port, stdin=message), 0)
    assert peer.unstuffed() == wire(message)
    assert f" SIZE={len(wire(message))}".encode() in peer.commands[1]
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", peer.content)


def test_large_attachment(aio):
    data = bytes(range(256)) * 20480
    message = email.message.EmailMessage()
    message["Subject"] = "5 MB"
    message.add_attachment(data, maintype="application", subtype="octet-stream", filename="a.bin")
    check(send(aio.port, stdin=message.as_bytes()), 0)
    got = email.message_from_bytes(aio.envelopes[0].original_content, policy=email.policy.default)
    assert next(got.iter_attachments()).get_content() == data
    assert aio.envelopes[0].original_content == wire(message.as_bytes())


def test_recipients_have_fates_of_their_own(aio):
    """H121: each is told, and the others get the message."""
    result = send(aio.port, "--text", "x", to=["a@x", "no@x", "b@x", "later@x"])
    check(result, 65, f"127.0.0.1:{aio.port} does not take mail for no@x: 550 5.1.1 no such user; check the address",
          "does not take mail for later@x now: 451 4.2.0 come back?[31m; try again later")
    assert aio.envelopes[0].rcpt_tos == ["a@x", "b@x"] and b"for 2 of 4 recipients" in result.stdout
    check(send(aio.port, "--text", "x", to=["a@x", "later@x"]), 75, "later@x")
    assert len(aio.envelopes) == 2
    result = send(aio.port, "--text", "x", to=["no@x", "later@x"])
    check(result, 65, "no@x", "later@x")
    assert len(result.stderr.splitlines()) == 2 and len(aio.envelopes) == 2 and not result.stdout


def test_thousand_recipients_in_one_group():
    with Peer() as peer:
        addresses = [f"user{n}@some.example.org" for n in range(1000)]
        check(send(peer.port, "--text", "x", to=addresses), 0)
    assert [c for c in peer.commands if c.startswith(b"RCPT")] == [f"RCPT TO:<{a}>".encode() for a in addresses]


@pytest.mark.parametrize("place", [b"EHLO", b"MAIL", b"RCPT", b"DATA", b"."])
@pytest.mark.parametrize("reply", ["454 4.3.0 later", "554 5.7.1 never", "421 4.3.2 closing", "out of step", "garbage", None])
def test_refused_at_each_step(place, reply):
    """H119: every step × temporary, permanent, closing, out of step, garbage, hung up."""
    if reply == "out of step":
        reply = "250 what" if place == b"DATA" else "354 what"
    def say(line, number):
        if line.startswith(place):
            return reply and f"{reply}\r\n".encode()
        return b"250 peer.test\r\n" if line.startswith(b"EHLO") else Peer.well(line, number)
    with Peer(say) as peer:
        result = send(peer.port, "--text", "x")
    permanent = reply and reply.startswith("5")
    if permanent and place == b"EHLO":
        check(result, 0)  # HELO
        assert peer.commands[1].startswith(b"HELO [127.0.0.1]")
        return
    check(result, 65 if permanent else 75, reply if reply and reply[0] in "45" else f"127.0.0.1:{peer.port}")
    assert len(result.stderr.splitlines()) == 1 and not result.stdout
    unknown = place == b"." and (reply is None or reply[0] not in "45")
    assert (b"may have been taken" in result.stderr) == unknown


@pytest.mark.parametrize("greeting, code", [(b"554 5.3.2 no mail here\r\n", 69), (b"421 4.3.2 busy\r\n", 75), (b"SSH-2.0-x\r\n", 75),
                                            (b"220 x\r\n250 early\r\n", 75), (b"", 75)])
def test_odd_greetings(greeting, code):
    with Peer(lambda line, n: None, greeting) as peer:
        if not greeting:
            peer.talk = lambda *_: None
        check(send(peer.port, "--text", "x"), code, f"127.0.0.1:{peer.port}")
    assert b"MAIL" not in b"".join(peer.commands)


def test_last_word_of_a_server_that_closes():
    """The refusal is read although the link cannot be written to any more."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"554 go away\r\n")
        thread = threading.Thread(target=serve)
        thread.start()
        check(send(listener.getsockname()[1], "--text", "x"), 69, "554 go away; ask those who run it")
        thread.join()


def test_early_refusal_of_a_large_message():
    def say(line, number):
        return b"354 go\r\n552 5.3.4 too much\r\n" if line == b"DATA" else Peer.well(line, number)
    with Peer(say) as peer:
        check(send(peer.port, stdin=b"a: b\n\n" + b"x" * 70 * 100000), 65, "552 5.3.4 too much")


def test_too_large_for_the_server():
    say = lambda line, n: b"250-x\r\n250 SIZE 100\r\n" if line.startswith(b"EHLO") else Peer.well(line, n)
    with Peer(say) as peer:
        check(send(peer.port, stdin=b"a: b\n\n" + b"x" * 200), 65, "552 5.3.4 the message has 210 bytes, the server takes 100")
    assert peer.commands[1:] == [b"QUIT"]


def test_eight_bit_message_for_a_seven_bit_server():
    say = lambda line, n: b"250 x\r\n" if line.startswith(b"EHLO") else Peer.well(line, n)
    with Peer(say) as peer:
        check(send(peer.port, stdin="a: b\n\nä\n".encode()), 65, "8BITMIME")
    assert peer.commands[1:] == [b"QUIT"]


@pytest.mark.parametrize("bad", ["a@b\r\nRCPT TO:<e@x>", "a@b>", "a@b> SIZE=1", "a b@c", "@", "a@", "ä@x", "<a@b>", "a@b\n", "x" * 65 + "@y"])
def test_nothing_is_injected_by_addresses(bad):
    """H116: refused before there is a connection."""
    with Peer() as peer:
        check(send(peer.port, "--text", "x", to=["ok@x", bad]), 64, "no mail address")
        line = [GONETS, "send", "--server", f"127.0.0.1:{peer.port}", "--from", bad, "--to", "ok@x", "--text", "x"]
        check(subprocess.run(line, capture_output=True, timeout=SECONDS_MAX), 64, "no mail address")
    assert peer.connections == 0


@pytest.mark.parametrize("options, code, said", [
    (["--text", "x", "--subject", "a\nBcc: e@x"], 64, "control character"),
    (["--text", b"\xff"], 64, "no UTF-8"), (["--nonsense", "x"], 64, "unknown option"), (["--text"], 64, "'--text'"),
    (["--text", "x", "--server", "a b"], 64, "no HOST"), (["--text", "x", "--server", "x:99999"], 64, "no HOST"),
    (["--text", "x", "--server", "no-such-host.invalid"], 68, "there is no host 'no-such-host.invalid'"), ([], 66, "no message")])
def test_wrong_use(options, code, said):
    result = send(9, *options)
    assert result.returncode == code and said in result.stderr.decode()


def test_nobody_there():
    port = free_port()
    check(send(port, "--text", "x", server=f"localhost:{port}"), 75, f"cannot connect to 127.0.0.1:{port}: connection refused",
          "no server at 'localhost:")


def test_forms_of_the_server():
    with Peer() as peer:
        result = send(peer.port, "--text", "x", server=f"localhost:{peer.port}")
        check(result, 0)
        assert not result.stderr  # that nobody listens at ::1 is of no interest
    with Peer(family=socket.AF_INET6) as peer:
        check(send(peer.port, "--text", "x", server=f"[::1]:{peer.port}"), 0)
    assert peer.commands[0] == b"EHLO [IPv6:::1]"


def test_smuggling_suite():
    """H5: what looks like an end of the content stays inside of it."""
    if not suites():
        print("NOT RUN: smtp/smuggling is not here")
        return
    for file in sorted(suites().glob("smtp/smuggling/*.json")):
        for name, data in json.loads(file.read_text())["endings"].items():
            data = data.encode("latin-1")
            message = b"Subject: a\r\n\r\nbody" + data + b"MAIL FROM:<e@x>\r\nRCPT TO:<f@x>\r\nDATA\r\n"
            with Peer() as peer:
                check(send(peer.port, stdin=message), 0)
            assert peer.unstuffed() == wire(message), name
            assert sum(c.startswith(b"MAIL") for c in peer.commands) == 1, name


def test_real_messages_arrive_unchanged():
    if not suites():
        print("NOT RUN: mail is not here")
        return
    files = [f for f in sorted(suites().glob("mail/**/*")) if f.is_file() and "LICENSE" not in f.name][::8]
    for file in files:
        message = file.read_bytes()
        with Peer() as peer:
            check(send(peer.port, stdin=message), 0)
        assert peer.unstuffed() == wire(message), file
    assert len(files) > 20


def test_help_version_and_manuals():
    for line in (["help"], ["--help"], ["send", "--help"]):
        result = subprocess.run([GONETS, *line], capture_output=True, text=True, check=True)
        assert "usage: gonets" in result.stdout and not result.stderr
    assert subprocess.run([GONETS, "--version"], capture_output=True, text=True).stdout.startswith("gonets ")
    assert subprocess.run([GONETS, "nonsense"], capture_output=True).returncode == 64
    for name in ("gonets.1", "gonets-send.1"):
        lint = subprocess.run(["mandoc", "-Tlint", "-W", "warning", ROOT / "man" / name], capture_output=True, text=True)
        assert lint.returncode == 0 and not lint.stdout
    assert BUILD.is_dir()
