"""What becomes of mail that cannot go on: attempts by the schedule, reports, circles, rules that are taken away."""

import email
import email.policy
import json
import time

import pytest

from ledger import time_of
from server import free_port, serving, wait_for
from strange import Strange
from test_relay import events_of, report_in, send
from test_reload import command, write

HEAD = """hostname first.example
spool %(spool)s
segment 1M
listen 127.0.0.1:%(port)s
action inbox maildir %(dir)s/Maildir user nobody
match for domain first.example action inbox
"""
QUICK = "retry 1s expire 5s warn 2s\n"


def out(port, retry=QUICK):
    """Everything that is not for here goes to that port."""
    return HEAD + retry + f"action out relay via 127.0.0.1:{port}\nmatch from local for any action out\n"


def queue(server):
    """`gonets queue list`, by recipient."""
    code, said, errors = command(server, "queue", "list", "--json")
    assert code == 0, errors
    return {entry["to"]: entry for entry in map(json.loads, said.splitlines())}


def reports(server):
    """Each report in the Maildir, in the order they were made: (Action, Status, fields of its only recipient, the report)."""
    found = []
    for path in server.mails():
        report = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        if report.get_content_type() != "multipart/report":
            continue
        text, status, _ = report.iter_parts()
        _, fields = status.get_payload()
        found.append((path.stat().st_mtime_ns, fields["Action"], fields, text.get_content()))
    return [each[1:] for each in sorted(found, key=lambda each: each[0])]


REFUSALS = [None, b"451 4.2.0 not now"]


@pytest.mark.parametrize("words", REFUSALS, ids=["unreachable", "451"])
def test_delay_and_expiry(words):
    """H128 B6: the sender is told of the delay once, and of the failure when the time is over; nothing is left then."""
    with Strange({"RCPT": words}) as far:
        port = far.port if words else free_port()
        with serving(out(port)) as server:
            id = send(server, ["you@far.example"])
            wait_for(lambda: len(reports(server)) == 2, 20, "two reports")
            time.sleep(2)           # no third one
            delayed, failed = reports(server)
            assert (delayed[0], failed[0]) == ("delayed", "failed")
            for action, fields, text in (delayed, failed):
                assert fields["Final-Recipient"] == "rfc822; you@far.example" and "you@far.example" in text
                assert words is None or "not now" in fields["Diagnostic-Code"], fields
            assert delayed[1]["Will-Retry-Until"] and delayed[1]["Status"][0] == "4"
            assert failed[1]["Status"] == "5.4.7"
            assert queue(server) == {}
            (accepted,), (end,) = events_of(server, id, "accepted"), events_of(server, id, "failed")
            assert 4.5 < time_of(end) - time_of(accepted) < 9
            assert words is None or len(far.commands) > 3


def test_attempts_by_the_schedule():
    """Each attempt comes an eighth before or behind the gap that the configuration says; the last gap repeats."""
    with Strange({"RCPT": b"450 4.2.1 busy"}) as far, serving(out(far.port, "retry 1s 2s expire 1h warn 30m\n")) as server:
        id = send(server, ["you@far.example"])
        events = wait_for(lambda: len(e := events_of(server, id, "deferred")) >= 4 and e, 20, "four attempts")
        assert [e["attempts"] for e in events][:4] == [1, 2, 3, 4]
        times = [time_of(e) for e in events[:4]]
        for gap, first, second in zip((1, 2, 2), times, times[1:]):
            # Times of attempts are kept in whole seconds.
            assert gap * 7 / 8 - 0.1 <= second - first <= gap * 9 / 8 + 1.6, (gap, second - first)
        assert not server.mails()


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_restart_keeps_schedule(how):
    """H128 H140: after a restart attempts go on being counted, and none comes before its time; the age goes on, too."""
    with Strange({"RCPT": [b"450 4.2.1 busy", b"450 4.2.1 busy", b"250 ok"]}) as far:
        with serving(out(far.port, "retry 3s 1s expire 1h warn 30m\n")) as server:
            id = send(server, ["you@far.example"])
            wait_for(lambda: events_of(server, id, "deferred"), 10, "the first attempt")
            time.sleep(0.5)
            before = queue(server)["you@far.example"]
            if how == "stopped":
                assert server.stop() == 0
            else:
                server.kill()
            assert queue(server)["you@far.example"] == before        # the stopped server's
            server.start()
            first, second = wait_for(lambda: len(e := events_of(server, id, "deferred")) == 2 and e, 12, "the second attempt")
            assert (first["attempts"], second["attempts"]) == (1, 2)
            assert 2.5 < time_of(second) - time_of(first) < 6
            (end,) = wait_for(lambda: events_of(server, id, "delivered"), 12, "delivery")
            assert end["attempts"] == 3 and end["delay"] >= 3 and len(far.mails) == 1


def test_restart_after_expiry():
    """H128: mail whose time is over when the server comes back is tried once more before it is given up."""
    with Strange({"RCPT": [b"450 4.2.1 busy", b"250 ok"]}) as far, serving(out(far.port, "retry 1h expire 3s warn 1s\n")) as server:
        id = send(server, ["you@far.example"])
        wait_for(lambda: events_of(server, id, "deferred"), 10, "the first attempt")
        assert server.stop() == 0
        time.sleep(4)
        server.start()
        assert not events_of(server, id, "failed")
        code, _, errors = command(server, "queue", "retry", "all")
        assert code == 0, errors
        wait_for(lambda: events_of(server, id, "delivered"), 10, "delivery")
        assert len(far.mails) == 1 and not [action for action, *_ in reports(server) if action == "failed"]


MANY = 300
SECONDS_MAX = 2


def test_silent_destination_slows_nobody():
    """H92: mail to a server that says nothing, and to one that is not there, keeps neither local nor other mail waiting."""
    silent = lambda _: time.sleep(60) or b"220 at last"
    with Strange({"greeting": silent}) as mute, Strange() as good:
        config = HEAD + QUICK.replace("5s", "1h").replace("2s", "30m") + f"""
action mute relay via 127.0.0.1:{mute.port}
action none relay via 127.0.0.1:{free_port()}
action good relay via 127.0.0.1:{good.port}
match from local for domain mute.example action mute
match from local for domain none.example action none
match from local for domain good.example action good
"""
        with serving(config) as server:
            for n in range(MANY // 100):
                for domain in ("mute", "none"):
                    for m in range(50):
                        send(server, [f"u{n}-{m}@{domain}.example"])
            worst = 0
            for n in range(1, 21):
                begun = time.monotonic()
                send(server, ["me@first.example"])
                send(server, ["you@good.example"])
                wait_for(lambda: len(server.mails()) == n and len(good.mails) == n, SECONDS_MAX, "other mail")
                worst = max(worst, time.monotonic() - begun)
            print(f"behind {MANY} that cannot go: {worst * 1000:.0f} ms at most for other mail")
            assert mute.connections and len(queue(server)) == MANY
            server.kill()           # sessions with the silent one would be waited for
            server.start()


def test_hop_limit():
    """H129: a message that came through too many servers goes in circles: it fails, and its sender hears of it."""
    with Strange() as far, serving(out(far.port)) as server:
        trace = b"".join(b"Received: from a%d.example by b.example; Sat, 21 Nov 2026 10:00:00 +0000\r\n" % n for n in range(110))
        send(server, ["you@far.example"], trace + b"Subject: round\r\n\r\nbody\r\n")
        _, _, _, _, (fields,), head = report_in(server)
        assert fields["Status"] == "5.4.6" and fields["Action"] == "failed" and not far.connections
        assert "Subject: round" in head.as_string()
        send(server, ["you@far.example"], trace + b"\r\nbody\r\n", sender="")
        wait_for(lambda: server.events("double-bounce"), 10, "the end of the other one")
        assert queue(server) == {} and len(server.mails()) == 1


ALIASES = """hostname first.example
spool %(spool)s
segment 1M
listen 127.0.0.1:%(port)s
table names { a: b, b: a, self: self, both: "me, c", c: "me, both, you@far.example", alone: me }
action inbox maildir %(dir)s/Maildir user nobody aliases <names>
match for domain first.example action inbox
"""


def test_alias_loop():
    """H93 H40: aliases that lead only to each other fail with a report; a way back is left out, and nobody gets two copies."""
    with Strange() as far:
        more = f"action out relay via 127.0.0.1:{far.port}\nmatch from local for any action out\n"
        with serving(ALIASES + more) as server:
            id = send(server, ["both@first.example"], b"Subject: both\r\n\r\n")
            wait_for(lambda: len(events_of(server, id, "delivered")) == 2, 10, "delivery")
            assert len(far.mails) == 1 and len(server.mails()) == 1
            id = send(server, ["self@first.example"], b"Subject: self\r\n\r\n")
            wait_for(lambda: len(events_of(server, id, "delivered")) == 1, 10, "delivery to self")
            id = send(server, ["a@first.example"], b"Subject: a\r\n\r\n")
            wait_for(lambda: reports(server), 10, "a report")
            ((action, fields, _),) = reports(server)
            assert action == "failed" and fields["Status"] == "5.4.6" and events_of(server, id, "failed")
            assert len(server.mails()) == 3 and queue(server) == {}


def test_route_taken_away():
    """A recipient whom no rule takes any more waits and is shown, past all expiry; when the rule is back it is delivered."""
    with Strange({"RCPT": [b"450 4.2.1 busy", b"250 ok"]}) as far, serving(out(far.port)) as server:
        id = send(server, ["you@far.example"])
        wait_for(lambda: events_of(server, id, "deferred"), 10, "the first attempt")
        write(server, HEAD + QUICK)
        assert command(server, "reload")[0] == 0
        wait_for(lambda: "no rule" in queue(server)["you@far.example"].get("reason", ""), 10, "the reason in the queue")
        code, said, _ = command(server, "queue", "list")
        assert code == 0 and "no rule of the configuration takes it any more" in said
        time.sleep(6)
        assert not events_of(server, id, "failed") and len(far.mails) == 0
        write(server, out(far.port))
        assert command(server, "reload")[0] == 0
        wait_for(lambda: events_of(server, id, "delivered"), 10, "delivery")
        assert len(far.mails) == 1 and queue(server) == {}
