"""Slow and failing syncs under the running server: a 250 waits for its sync, many share one, and no failure makes a 250 or a
451 untrue. GONETS_DEEP=1 fails each of many more syncs."""

import collections
import concurrent.futures
import os
import re
import threading
import time

import pytest
from server import Server, folder_of_nobody, shared_folder, wait_for
from slow_sync import ALL, DATASYNC, SYNC, SYNCFS, SlowSync

CONFIG = """hostname mx.example.org
workers 1
segment 1M
spool %(spool)s
listen 127.0.0.1:%(port)d
retry 1s
action box maildir %(dir)s/mail/box user nobody
action file mbox %(dir)s/mail/file user nobody
match for domain mbox.example action file
match for any action box
"""
DEEP = bool(os.environ.get("GONETS_DEEP"))
DELAY = 0.05


@pytest.fixture
def folder():
    with shared_folder() as path:
        folder_of_nobody(path / "mail")
        yield path


# ---- slow ----

CLIENTS = 100
ROUNDS = 5
SHARED_MIN = 20  # messages that one sync carries, at least, with so many clients


def test_no_reply_before_the_sync(folder):
    """H134: with each fdatasync taking 50 ms, no 250 comes earlier than 50 ms after the final dot."""
    slow = SlowSync(folder)
    with Server(folder, CONFIG, env=slow.env) as server, server.client() as client:
        slow.calls, slow.role, slow.delay_us = DATASYNC, "smtpd", int(DELAY * 1e6)
        times = []
        for size in (0, 1000, 300_000):
            assert client.begin()[0] == 354
            client.send(b"Subject: x\r\n\r\n" + b"0123456\r\n" * (size // 9))
            begin = time.monotonic()
            assert client.say(".")[0] == 250
            times.append(time.monotonic() - begin)
        assert slow.count >= len(times)
    print(f"250 after {', '.join(f'{t * 1000:.1f} ms' for t in times)}")
    assert min(times) >= DELAY


def test_many_messages_share_a_sync(folder):
    """At 100 connections each sync carries at least 20 messages, and still no 250 comes before its own."""
    slow = SlowSync(folder)
    together = threading.Barrier(CLIENTS)
    times = []

    def send(server):
        with server.client() as client:
            for _ in range(ROUNDS):
                assert client.begin()[0] == 354
                together.wait(30)
                begin = time.monotonic()
                assert client.say(b"Subject: x\r\n\r\nx\r\n.\r\n")[0] == 250
                times.append(time.monotonic() - begin)

    with Server(folder, CONFIG, env=slow.env) as server, concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        slow.calls, slow.role, slow.delay_us = DATASYNC, "smtpd", int(DELAY * 1e6)
        list(pool.map(lambda _: send(server), range(CLIENTS)))
        syncs = slow.count
    print(f"{len(times)} messages in {syncs} syncs; the first 250 after {min(times) * 1000:.1f} ms")
    assert len(times) == CLIENTS * ROUNDS >= SHARED_MIN * syncs
    assert min(times) >= DELAY


# ---- failing ----

SENDERS = 6
MESSAGES = 10
SIZE = 30_000  # so that the load fills more than one segment
AT_ONCE = 6    # servers; mostly they wait
TOKEN = re.compile(rb"^Subject: (token-\S+)\r?$", re.M)


def send_all(server, name, domain, messages=MESSAGES):
    """{token: code of the reply, or None: the connection ended before one}"""
    def send(sender):
        outcome = {}
        for number in range(messages):
            token = f"token-{name}-{sender}-{number}"
            size = SIZE * 12 if number == 5 else SIZE
            try:
                with server.client() as client:
                    outcome[token] = None
                    content = f"Subject: {token}\r\n\r\n".encode() + b"0123456789\r\n" * (size // 12)
                    outcome[token] = client.mail(content, f"you@{domain}")[0]
            except (OSError, EOFError):
                pass
        return outcome
    with concurrent.futures.ThreadPoolExecutor(SENDERS) as pool:
        return {token: code for some in pool.map(send, range(SENDERS)) for token, code in some.items()}


def copies(folder):
    """{token: how often it was delivered} In a Maildir a second delivery has the name of the first one, and takes its place."""
    files = [folder / "mail" / "file", *(folder / "mail" / "box" / "new").glob("*")]
    return collections.Counter(token.decode() for path in files if path.exists() for token in TOKEN.findall(path.read_bytes()))


def settle(folder, outcome, seconds):
    """Waits until all that was answered 250 is there; False: not in time."""
    try:
        wait_for(lambda: not {t for t, code in outcome.items() if code == 250} - set(copies(folder)), seconds)
        return True
    except AssertionError:
        return False


class Trial:
    """A server in which the n-th sync of a role fails, counted from its start or from the first mail; its life before and
    after a restart, and the ledger of it all."""

    def __init__(self, role, calls, from_start, domain, n):
        self.role, self.calls, self.from_start, self.domain, self.n = role, calls, from_start, domain, n

    def run(self):
        begin = time.monotonic()
        with shared_folder() as folder:
            folder_of_nobody(folder / "mail")
            slow = SlowSync(folder)
            slow.role, slow.calls = self.role, self.calls
            slow.fail_in = self.n if self.from_start else 0
            server = Server(folder, CONFIG, env=slow.env)
            try:
                self.live(server, slow)
                self.live_again(server)
            finally:
                server.kill()
        self.seconds = time.monotonic() - begin
        return self

    def live(self, server, slow):
        self.refused_start = False
        try:
            server.start()
        except AssertionError:
            self.refused_start = True
            server.start()
        slow.fail_in = slow.fail_in if self.from_start else self.n
        self.outcome = send_all(server, "before", self.domain)
        self.settled = settle(server.folder, self.outcome, 1 if self.role == "mailbox" else 10)
        # Whoever was refused is never served, however long it waits, and the server goes on.
        self.again = self.taken_again(server)
        self.settled = settle(server.folder, self.again, 1 if self.role == "mailbox" else 10) and self.settled
        self.failed, self.path = slow.failed, slow.path
        self.before = copies(server.folder)
        slow.fail_in = 0

    def taken_again(self, server):
        """Everything is taken again soon; what came too early was refused."""
        outcome, end = {}, time.monotonic() + 15
        while not outcome or set(last.values()) != {250} and time.monotonic() < end:
            last = send_all(server, f"again{len(outcome)}", self.domain, 1)
            outcome |= last
        self.takes = set(last.values()) == {250}
        return outcome

    def live_again(self, server):
        if self.n % 2:
            server.kill()
        else:
            server.stop()
        server.start()
        self.outcome |= self.again | send_all(server, "after", self.domain, 1)
        self.settled_after = settle(server.folder, self.outcome, 20)
        server.stop()
        self.after = copies(server.folder)
        self.marked_again = server.log().count('"mark-failed"')

    def complaints(self):
        for token, code in self.outcome.items():
            count = self.after[token]
            if code == 250 and count == 0:
                yield f"{token}: answered 250, and lost"
            if code not in (250, None) and count:
                yield f"{token}: answered {code}, and delivered"
            if count > 1 and not self.window():
                yield f"{token}: {count} copies"
            if count > 2:
                yield f"{token}: {count} copies"
        if not self.takes:
            yield f"not taken after the failure: {self.again}"

    def window(self):
        """Why a second copy may be: the server was killed when a delivery was made and not yet noted."""
        return "kill -9" if self.n % 2 else ""

    def line(self):
        codes = collections.Counter(self.outcome.values())
        copied = sum(count > 1 for count in self.after.values())
        place = self.path.split("/spool/")[-1].split("/mail/")[-1] if self.failed else "none: not so many"
        return (f"{self.role} {self.n}: {place}; {dict(codes)}; delivered {sum(self.before.values())} before and "
                f"{sum(self.after.values())} after the restart; {copied} twice{f' ({self.window()})' if copied else ''}"
                f"{f'; {self.marked_again} marks made again' if self.marked_again else ''}"
                f"{'; refused to start' if self.refused_start else ''}{'' if self.settled else '; some were late'}; {self.seconds:.1f} s")


TRIALS = {
    "smtpd": ("smtpd", DATASYNC, True, "maildir.example", range(1, 60) if DEEP else [1, 2, 3, 5, 8, 13, 21]),
    "start of qmgr": ("qmgr", DATASYNC | SYNC, True, "maildir.example", range(1, 80) if DEEP else [1, 2, 3, 4, 5, 7, 9, 12]),
    "log": ("qmgr", DATASYNC, False, "mbox.example", range(1, 40) if DEEP else [1, 2, 3, 4, 6, 9]),
    "maildir": ("mailbox", DATASYNC | SYNC | SYNCFS, True, "maildir.example", range(1, 30) if DEEP else [1, 4, 7]),
    "mbox": ("mailbox", SYNC, True, "mbox.example", range(1, 30) if DEEP else [1, 2, 5]),
}


@pytest.mark.parametrize("role, calls, from_start, domain, numbers", TRIALS.values(), ids=TRIALS)
def test_failed_sync(role, calls, from_start, domain, numbers):
    """H135: EIO once, at each of the first syncs: what was answered 451 is never delivered, before or after a restart, what was
    answered 250 is not lost, and the server goes on."""
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        trials = list(pool.map(lambda n: Trial(role, calls, from_start, domain, n).run(), numbers))
    print(*[trial.line() for trial in trials], sep="\n")
    assert [f"{t.line()}: {text}" for t in trials for text in t.complaints()] == []
    assert sum(trial.failed for trial in trials) > len(trials) / 2


def test_syncs_fail_for_long(folder):
    """H135: while every sync of smtpd fails, nobody is told 250, the disk does not fill up, and tries are few; when it is over the
    client that waited hears 451, new mail is taken, and nothing of what failed is ever delivered."""
    def segments():
        return len(list((server.spool / "segments").iterdir()))

    slow = SlowSync(folder)
    with Server(folder, CONFIG, env=slow.env) as server, server.client() as waiting:
        assert server.client().mail(b"Subject: before\r\n\r\n", "you@maildir.example")[0] == 250
        wait_for(lambda: server.events("delivered"), 10, "delivery")
        before = segments()
        slow.calls, slow.role, slow.fail_in = DATASYNC, "smtpd", ALL
        assert waiting.begin("you@maildir.example")[0] == 354
        waiting.send(b"Subject: failed\r\n\r\n.\r\n")
        time.sleep(8)
        assert segments() <= before + 4 and slow.failed <= 8
        waiting.socket.settimeout(0.1)
        with pytest.raises(TimeoutError):
            waiting.reply()
        slow.fail_in = 0
        waiting.socket.settimeout(20)
        assert waiting.reply()[0] == 451
        again = wait_for(lambda: server.client().mail(b"Subject: after\r\n\r\n", "you@maildir.example")[0] == 250, 20, "a 250")
        assert again
        wait_for(lambda: len(server.events("delivered")) == 2, 20, "delivery")
        assert server.stop() == 0, server.log()
        server.start()
        time.sleep(1)
        mails = [path.read_bytes() for path in (folder / "mail" / "box" / "new").iterdir()]
        assert len(mails) == 2 and not any(b"failed" in mail for mail in mails)
        print(f"{slow.failed} syncs failed in 8 s; {before} segments before, {segments()} after")
