"""`gonets try` as a newcomer meets it: programs of others send, the mail lies in the Maildir with equal bytes."""

import email.message
import email.utils
import os
import smtplib
import subprocess

import pytest

import server
from corpus import corpus, crlf, lf, stuffed
from server import Server, content_of

ATTACHMENT = 5 << 20


@pytest.fixture(scope="module")
def gonets(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("try")) as s:
        yield s


def message(token, attachment=b""):
    m = email.message.EmailMessage()
    m["From"], m["To"], m["Subject"] = "me@example.org", "you@example.org", f"a test {token}"
    m["Date"], m["Message-ID"] = email.utils.formatdate(), email.utils.make_msgid()
    m.set_content(f"The token is {token}.\n")
    if attachment:
        m.add_attachment(attachment, maintype="application", subtype="octet-stream", filename="big.bin")
    return m.as_bytes(policy=m.policy.clone(linesep="\r\n"))


def found(gonets, token, seconds=20):
    """The one delivered file that holds the token."""
    def look():
        hits = [p for p in gonets.mails() if token.encode() in p.read_bytes()]
        return hits if hits else None
    hits = server.wait_for(look, seconds, f"mail {token}")
    assert len(hits) == 1
    return hits[0]


def test_swaks(gonets, tmp_path):
    """swaks delivers a message with an attachment of 5 MB."""
    data = message("swaks-token", os.urandom(ATTACHMENT))
    path = tmp_path / "mail"
    path.write_bytes(lf(data))
    subprocess.run(["swaks", "--server", f"127.0.0.1:{gonets.port}", "--from", "me@example.org", "--to", "you@example.org",
                    "--data", f"@{path}", "--suppress-data"], check=True, stdout=subprocess.DEVNULL)
    got = content_of(found(gonets, "swaks-token"))
    assert got.rstrip(b"\n") == lf(data).rstrip(b"\n")       # swaks ends data with a line of its own


def test_smtplib(gonets):
    """Python's smtplib delivers a message with an attachment of 5 MB; nothing but our two fields is added."""
    data = message("smtplib-token", os.urandom(ATTACHMENT))
    with smtplib.SMTP("127.0.0.1", gonets.port) as c:
        c.sendmail("me@example.org", ["you@example.org"], data)
    path = found(gonets, "smtplib-token")
    assert path.read_bytes().startswith(b"Return-Path: <me@example.org>\nReceived: from ")
    assert content_of(path) == lf(data)


def test_gonets_send(gonets):
    """gonets send delivers a ready message with an attachment of 5 MB."""
    data = message("gonets-token", os.urandom(ATTACHMENT))
    subprocess.run([server.GONETS, "send", "--server", f"127.0.0.1:{gonets.port}", "--from", "me@example.org", "--to",
                    "you@example.org"], input=lf(data), check=True, stdout=subprocess.DEVNULL)
    assert content_of(found(gonets, "gonets-token")) == lf(data)


def test_curl(gonets, tmp_path):
    """curl, which speaks the protocol in its own way."""
    data = message("curl-token")
    path = tmp_path / "mail"
    path.write_bytes(data)
    subprocess.run(["curl", "-sS", f"smtp://127.0.0.1:{gonets.port}", "--mail-from", "me@example.org", "--mail-rcpt",
                    "you@example.org", "-T", path], check=True)
    assert content_of(found(gonets, "curl-token")) == lf(data)


def test_msmtp(gonets, tmp_path):
    """msmtp, which announces sizes and pipelines."""
    data = message("msmtp-token")
    subprocess.run(["msmtp", "--host=127.0.0.1", f"--port={gonets.port}", "--from=me@example.org", "--tls=off", "--auth=off",
                    "you@example.org"], input=lf(data), check=True, env=os.environ | {"HOME": str(tmp_path)})
    assert content_of(found(gonets, "msmtp-token")) == lf(data)


@pytest.mark.parametrize("pipelined", [False, True])
def test_corpus(tmp_path, pipelined):
    """H1 H2 H6: all messages of the corpus go in and come out with equal bytes, in one session after another."""
    messages = list(corpus())
    if not messages:
        print("NOT RUN: corpus of real messages (no suites)")
        return
    with Server(tmp_path / "s") as s:
        with s.client() as c:
            assert c.reply()[0] == 220 and c.say("EHLO test.example")[0] == 250
            for number, (name, data) in enumerate(messages):
                data = crlf(data)
                data += b"" if data.endswith(b"\r\n") else b"\r\n"
                path = b"<m%d@example.org>" % number
                envelope = b"MAIL FROM:%s\r\nRCPT TO:<you@example.org>\r\nDATA\r\n" % path
                if pipelined:
                    c.send(envelope)
                    codes = [c.reply()[0] for _ in range(3)]
                else:
                    codes = [c.say(line + b"\r\n")[0] for line in envelope.split(b"\r\n")[:-1]]
                assert codes == [250, 250, 354], name
                code, text = c.say(stuffed(data) + b".\r\n")
                assert code == 250, (name, text)
        by_path = {}
        for mail in s.wait_mails(len(messages), 60):
            by_path[mail.read_bytes().split(b"\n", 1)[0]] = mail
        for number, (name, data) in enumerate(messages):
            data = lf(crlf(data))
            data += b"" if data.endswith(b"\n") else b"\n"
            got = by_path[b"Return-Path: <m%d@example.org>" % number]
            expected = data
            if b"\nreturn-path:" in b"\n" + data.split(b"\n\n", 1)[0].lower():
                expected = without_return_path(data)
            assert content_of(got) == expected, name
    print(f"corpus: {len(messages)} messages, equal bytes")


def without_return_path(data):
    """An arriving Return-Path is replaced by ours (RFC 5321 section 4.4)."""
    head, gap, body = data.partition(b"\n\n")
    kept, dropping = [], False
    for line in head.split(b"\n"):
        dropping = line[:1] in (b" ", b"\t") and dropping or line.lower().startswith(b"return-path:")
        kept += [] if dropping else [line]
    return b"\n".join(kept) + gap + body


def test_mixed_line_ends(tmp_path):
    """H2: the corpus sent raw: what has bare line feeds is refused with 550 5.5.2 and nothing of it is kept."""
    raw = [(name, data) for name, data in corpus() if b"\n" in data.replace(b"\r\n", b"") or b"\r" in data.replace(b"\r\n", b"")]
    if not raw:
        print("NOT RUN: corpus of real messages (no suites)")
        return
    with Server(tmp_path / "s") as s:
        for name, data in raw:
            with s.client() as c:
                c.reply()
                for line in ("EHLO t.example", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.org>", "DATA"):
                    c.say(line)
                code, text = c.say(stuffed(data) + b"\r\n.\r\n")
                assert (code, text[0][:5]) == (550, "5.5.2"), (name, code, text)
                assert c.at_end(), name
        assert s.mails() == []
    print(f"mixed line ends: {len(raw)} messages refused")
