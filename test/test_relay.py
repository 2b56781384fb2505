"""Mail that goes on: through Debian's Postfix, to servers that a zone of NSD names, and what its sender hears when it does not."""

import email
import email.policy
import os
import subprocess

import pytest

from corpus import corpus, crlf, lf, stuffed
from nsd import Nsd
from postfix import Postfix
from server import as_root, content_of, serving, shared_folder, wait_for
from strange import Strange

FIRST = """
hostname first.example
spool %(spool)s
segment 4M
listen 127.0.0.1:%(port)s
retry 1s 1s 2s expire 1h warn 30m
"""



def body_of(data):
    return data.split(b"\n\n", 1)[1] if b"\n\n" in data else b""


def test_corpus_through_postfix():
    """Gonets -> Postfix -> Gonets: every message of the corpus arrives with an equal body."""
    messages = list(corpus())
    if not messages or os.geteuid() != 0:
        print("NOT RUN: corpus through Postfix (no suites, or not root)")
        return
    with shared_folder() as folder, serving() as last, Postfix(folder / "postfix", relay=last.port) as postfix:
        config = FIRST + f"action out relay via 127.0.0.1:{postfix.port}\nmatch from local for any action out\n"
        with serving(config) as first:
            with first.client() as c:
                assert c.reply()[0] == 220 and c.say("EHLO test.example")[0] == 250
                for number, (name, data) in enumerate(messages):
                    data = crlf(data)
                    data += b"" if data.endswith(b"\r\n") else b"\r\n"
                    for line in (f"MAIL FROM:<m{number}@sender.example> BODY=8BITMIME", "RCPT TO:<you@far.example>", "DATA"):
                        assert c.say(line)[0] in (250, 354), name
                    assert c.say(stuffed(data) + b".\r\n")[0] == 250, name
            mails = {}
            for mail in last.wait_mails(len(messages), 120):
                mails[mail.read_bytes().split(b"\n", 1)[0]] = mail
            for number, (name, data) in enumerate(messages):
                data = lf(crlf(data))
                data += b"" if data.endswith(b"\n") else b"\n"
                got = content_of(mails[b"Return-Path: <m%d@sender.example>" % number])
                assert body_of(got) == body_of(data), name
    print(f"relay through Postfix: {len(messages)} messages, equal bodies")


# ---- found by MX ----

ZONE = """
@ MX 10 a
@ MX 20 b
a A 127.0.0.2
b A 127.0.0.3
"""

LOCAL = """
action inbox maildir %(dir)s/Maildir user nobody
match for domain first.example action inbox
"""


def by_mx(nsd, port, more=""):
    """A server that finds relay.test by its zone, and keeps mail for first.example in Maildir/."""
    return serving(FIRST + f"dns stub relay.test 127.0.0.1:{nsd.port}\ndns stub null.test 127.0.0.1:{nsd.port}\naction out relay port {port}\n" + LOCAL +
                   "match from local for any action out\n" + more)


def send(server, recipients, content=b"Subject: to go on\r\n\r\nbody\r\n", sender="joe@first.example"):
    """In one transaction; the id that the server gave it."""
    with server.client() as c:
        assert c.reply()[0] == 220 and c.say("EHLO test.example")[0] == 250
        assert c.say(f"MAIL FROM:<{sender}>")[0] == 250
        for recipient in recipients:
            assert c.say(f"RCPT TO:<{recipient}>")[0] == 250
        assert c.say("DATA")[0] == 354
        code, text = c.say(content + b".\r\n")
        assert code == 250, text
        return text[0].split()[-1]


def events_of(server, id, name):
    return [e for e in server.events(name) if e.get("id") == id]


@as_root("Postfix found by MX")
def test_postfix_by_mx():
    """D1: the first MX is down: the second has it. All are down: the mail waits, and is delivered when one is back."""
    with shared_folder() as folder, serving() as last, Nsd(folder / "nsd", {"relay.test": ZONE}) as nsd:
        with Postfix(folder / "postfix", relay=last.port, address="127.0.0.3") as postfix, by_mx(nsd, postfix.port) as first:
            send(first, ["one@relay.test"])
            last.wait_mails(1, 20)
            postfix.stop()
            id = send(first, ["two@relay.test"])
            wait_for(lambda: events_of(first, id, "deferred"), 20, "a deferral")
            assert len(last.mails()) == 1
            postfix.start()
            last.wait_mails(2, 30)
            wait_for(lambda: events_of(first, id, "delivered"), 10, "the delivery")


@pytest.fixture
def zone():
    with shared_folder() as folder, Nsd(folder / "nsd", {"relay.test": "@ MX 10 a\na A 127.0.0.2\n", "null.test": "@ MX 0 .\n"}) as nsd:
        yield nsd


def report_in(server, seconds=20):
    """The one message in the Maildir, by Python's email package: a report that RFC 3464 would know."""
    wait_for(lambda: server.mails(), seconds, "a report")
    (path,) = server.mails()
    data = path.read_bytes()
    report = email.message_from_bytes(data, policy=email.policy.default)
    assert data.startswith(b"Return-Path: <>\n") and report["Auto-Submitted"] == "auto-replied"
    assert report.get_content_type() == "multipart/report" and report.get_param("report-type") == "delivery-status"
    text, status, head = report.iter_parts()
    fields = status.get_payload()
    return path, report, text.get_content(), fields[0], fields[1:], head


def test_refused_makes_a_report(zone):
    """B6: 5xx: the sender gets a report that programs and people can read, with the server's own words."""
    words = b"550-5.1.1 nobody here by that name\r\n550 5.1.1 ask somebody else"
    with Strange({"RCPT": words}, address="127.0.0.2") as far, by_mx(zone, far.port) as first:
        id = send(first, ["nobody@relay.test"])
        path, report, text, message, recipients, head = report_in(first)
        assert "nobody@relay.test" in text and "ask somebody else" in text
        (fields,) = recipients
        assert fields["Final-Recipient"] == "rfc822; nobody@relay.test" and fields["Action"] == "failed"
        assert fields["Status"] == "5.1.1" and "nobody here by that name" in fields["Diagnostic-Code"]
        assert message["Reporting-MTA"] == "dns; first.example"
        assert "Subject: to go on" in head.as_string() and report["To"] == "joe@first.example"
        wait_for(lambda: events_of(first, id, "failed"), 10, "the failure in the log")
        mbox = first.folder / "one"
        mbox.write_bytes(b"From MAILER-DAEMON Thu Jan  1 00:00:00 2026\n" + path.read_bytes() + b"\n")
        shown = subprocess.run(["s-nail", "-n", "-R", "-S", "quit", "-f", mbox], input="type 1\nx\n", capture_output=True,
                               text=True, timeout=30, env=os.environ | {"MAILRC": "/dev/null", "PAGER": "cat"})
        assert "nobody@relay.test" in shown.stdout, shown


def test_no_report_about_a_report(zone):
    """B6: mail from <> that fails makes no mail."""
    with Strange({"RCPT": b"550 5.1.1 no"}, address="127.0.0.2") as far, by_mx(zone, far.port) as first:
        id = send(first, ["nobody@relay.test"], sender="")
        wait_for(lambda: events_of(first, id, "failed"), 20, "the failure")
        send(first, ["joe@first.example"])
        first.wait_mails(1, 20)
        assert far.connections and len(first.mails()) == 1


def test_null_mx(zone):
    """H96: a domain that takes no mail is not tried: its sender hears at once."""
    with by_mx(zone, 1) as first:
        send(first, ["x@null.test"])
        _, _, _, _, (fields,), _ = report_in(first)
        assert fields["Status"] == "5.1.10"


PHASES = ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "dot"]


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("words", [None, b"421 4.3.2 going down", b"451 4.3.0 not now"], ids=["cut", "421", "451"])
@pytest.mark.parametrize("extensions", [("PIPELINING", "8BITMIME"), ()], ids=["pipelined", "plain"])
def test_trouble_in_every_phase(zone, phase, words, extensions):
    """O2: temporary trouble anywhere: the mail waits and is delivered later, once more only where the answer to the dot was lost."""
    answers = {phase: [words, {"greeting": b"220 again", "MAIL": b"250 ok", "RCPT": b"250 ok", "DATA": b"354 go on",
                               "dot": b"250 taken"}.get(phase)]}
    if phase == "EHLO":
        answers = {phase: [words, b"250-strange.example\r\n250 8BITMIME"]}
    with Strange(answers, extensions, address="127.0.0.2") as far, by_mx(zone, far.port) as first:
        id = send(first, ["a@relay.test", "b@relay.test"])
        wait_for(lambda: len(events_of(first, id, "delivered")) == 2, 30, "delivery to both")
        assert all(sorted(recipients) in ([b"a@relay.test", b"b@relay.test"], [b"a@relay.test"], [b"b@relay.test"])
                   for _, recipients, _ in far.mails)
        assert sorted(r for _, recipients, _ in far.mails for r in recipients) == [b"a@relay.test", b"b@relay.test"]
        assert not first.mails(), "no report was due"


def test_several_recipients_and_messages(zone):
    """D3: recipients of one destination go in one transaction, messages in one session."""
    with Strange(address="127.0.0.2") as far, by_mx(zone, far.port) as first:
        for n in range(5):
            id = send(first, [f"{name}{n}@relay.test" for name in "abc"])
            wait_for(lambda: len(events_of(first, id, "delivered")) == 3, 20, "delivery")
        assert len(far.mails) == 5 and all(len(recipients) == 3 for _, recipients, _ in far.mails)
        assert far.connections == 1


def test_mixed_outcomes(zone):
    """O1: local and remote recipients of one message, each with a fate of its own; one report for those that failed."""
    def rcpt(command):
        return {b"a": b"250 ok", b"b": b"550 5.1.1 no", b"c": b"553 5.1.3 never"}[command[9:10]]
    with Strange({"RCPT": rcpt}, address="127.0.0.2") as far, by_mx(zone, far.port) as first:
        id = send(first, ["joe@first.example", "a@relay.test", "b@relay.test", "c@relay.test"])
        wait_for(lambda: len(events_of(first, id, "failed")) == 2 and len(events_of(first, id, "delivered")) == 2, 20, "all fates")
        first.wait_mails(2, 20)
        report = next(m for m in first.mails() if b"multipart/report" in m.read_bytes())
        parts = list(email.message_from_bytes(report.read_bytes(), policy=email.policy.default).iter_parts())
        assert [f["Final-Recipient"][8:] for f in parts[1].get_payload()[1:]] == ["b@relay.test", "c@relay.test"]
        assert [m[1] for m in far.mails] == [[b"a@relay.test"]]
