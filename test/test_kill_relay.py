"""kill -9 of each process and of all while mail goes on to other servers: each recipient of what was answered with 250 is
delivered or reported, and every second copy has its uncertain window. GONETS_SEED=N plays one run again, GONETS_DEEP=1
kills more often."""

import collections
import contextlib
import email
import email.policy
import json
import os
import random
import subprocess
import threading
import time

import pytest

import ledger
from nsd import Nsd
from server import GONETS, Server, serving, wait_for
from strange import Strange
from test_kill import accounts, folder, kill, quiet_port, wait_quiet  # pylint: disable=unused-import

DEEP = bool(os.environ.get("GONETS_DEEP"))
KILLS = 60 if DEEP else 7
PAUSE_SECONDS = (0.05, 0.5)
DRY_SECONDS_MAX = 15
DOT_SECONDS_MAX = 0.1            # until the far server answers: there should be something to kill
CUT_CHANCE = 0.02                # that it takes a message and its answer is lost
STOP_SECONDS_MAX = 5
LATE_SECONDS = 0.5               # what was sent before a kill is begun to be read by the other server so long after it
# Whose end may make a copy at another server, until how long after the result was logged; see ledger.WINDOWS. qmgr: another
# one does not know what is under way, and may give it to the other process of role smtp.
WINDOWS = {"smtp": 0.05, "qmgr": 2, "super": 2, "all": 2}
STYLES = ["one long session"] * 8 + ["a connection each"] * 6 + ["large"]

CONFIG = """hostname mx.example.org
spool %%(spool)s
segment 1M
workers 2
listen 127.0.0.1:%%(port)s
retry 1s expire 1h warn 30m
dns stub near.example 127.0.0.1:%(dns)d
table names { near-list: near2@near.example, far-list: far2@far.example, late-list: late2@far.example, no-list: no2@far.example }
action box maildir %%(dir)s/box/%%%%{local} user nobody aliases <names>
action account maildir %%(dir)s/box/%%%%{user}
action reports maildir %%(dir)s/box/reports user nobody
action near relay port %(near)d
action far relay via 127.0.0.1:%(far)d
match for domain virtual.example action box
match for local action account
match for domain example.org action reports
match from local for domain near.example action near
match from local for domain far.example action far
"""
NEAR = """hostname near.example.org
spool %(spool)s
segment 1M
listen 127.0.0.1:%(port)s
action box maildir %(dir)s/%%{local} user nobody
match for domain near.example action box
"""
ZONE = "@ 0 MX 10 mx\nmx 0 A 127.0.0.1\n"

LOCAL = {"v0": "v0@virtual.example", "v1": "v1@virtual.example", accounts()[0]: f"{accounts()[0]}@mx.example.org"}
DIRECT = {address: address for address in ("near@near.example", "far@far.example", "late@far.example", "no@far.example")}
# What the sender writes: where it ends.
ALIASES = {"near-list@virtual.example": "near2@near.example", "far-list@virtual.example": "far2@far.example",
           "late-list@virtual.example": "late2@far.example", "no-list@virtual.example": "no2@far.example"}


class Far(Strange):
    """Takes mail for far@ and far2@, for late@ and late2@ at the second time, and refuses no@ and no2@."""

    def __init__(self, rng):
        super().__init__({"dot": self.dot, "RCPT": self.rcpt})
        self.random = rng
        self.put_off = set()
        self.here = threading.local()
        self.taken = collections.defaultdict(list)   # {(token, address): [(when it was taken, when it began)]}
        self.cuts = collections.defaultdict(list)    # the same of those whose answer was lost

    def serve_command(self, stream, command, session):
        self.here.session = session
        if command.startswith(b"MAIL"):
            self.here.begun = time.time()
        return super().serve_command(stream, command, session)

    def rcpt(self, command):
        address = command.partition(b"<")[2].partition(b">")[0].decode()
        key = self.here.session["path"], address
        if address.startswith("no"):
            return b"550 5.1.1 nobody here by that name"
        if address.startswith("late") and key not in self.put_off:
            self.put_off.add(key)
            return b"451 4.7.1 come again"
        return b"250 ok"

    def dot(self, _):
        time.sleep(self.random.uniform(0, DOT_SECONDS_MAX))
        session, now, cut = self.here.session, time.time(), self.random.random() < CUT_CHANCE
        for address in session["recipients"]:
            key = session["path"].decode().split("@")[0], address.decode()
            self.taken[key].append((now, self.here.begun))
            if cut:
                self.cuts[key].append(now)
        return None if cut else b"250 2.0.0 taken"


class Sender(ledger.Sender):
    def pick(self):
        """One for here, one of another server, and one of another server through an alias."""
        return [self.random.choice(sorted(some)) for some in (LOCAL, DIRECT, ALIASES)]


class Book(ledger.Ledger):
    def senders(self):
        return [Sender(self, number, style) for number, style in enumerate(STYLES)]


def reports_in(maildir):
    """{(token, address): [id of each file with a report of that failure]}"""
    found = collections.defaultdict(list)
    for path in ledger.files_in(maildir / "new"):
        report = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        assert report.get_content_type() == "multipart/report", path.read_bytes()
        _, status, _ = report.iter_parts()
        for fields in status.get_payload()[1:]:
            assert fields["Action"] == "failed" and fields["Status"] == "5.1.1", str(fields)
            found[report["To"].split("@")[0], fields["Final-Recipient"].partition("; ")[2]].append(ledger.id_of(path))
    return found


class Judgement:
    """What arrived, what was reported, and what was promised. All lists must be empty but `copies`."""

    def __init__(self, book, near, far):
        self.book, self.server = book, book.server
        self.files = ledger.Ledger("", book.server, book.folder, LOCAL).files()
        self.near = ledger.Ledger("", near, near.folder, dict.fromkeys(("near", "near2"))).files()
        self.near_times = {e["id"]: ledger.time_of(e) for e in ledger.events(near, "accepted")}
        self.far = {key: sorted(times) for key, times in list(far.taken.items())}
        self.cuts = far.cuts
        self.reports = reports_in(book.folder / "reports")
        self.delivered = ledger.delivered_events(book.server)
        self.ids = {e["from"].split("@")[0]: e["id"] for e in ledger.events(book.server, "accepted")}
        self.lost, self.forbidden, self.partly, self.twofold, self.unexplained, self.copies = [], [], [], [], [], []
        for t in list(book.tries.values()):
            self.judge(t)

    def times(self, token, box):
        """The address, and of each copy when it was taken by whom it was for and when that began."""
        address = LOCAL.get(box) or ALIASES.get(box, box)
        if box in LOCAL:
            return address, [(p.stat().st_mtime,) * 2 for p in self.files.get((token, box), [])]
        if address.endswith("@near.example"):
            paths = self.near.get((token, address.split("@")[0]), [])
            return address, sorted((self.near_times.get(ledger.id_of(p), p.stat().st_mtime),) * 2 for p in paths)
        return address, self.far.get((token, address), [])

    def judge(self, t):
        ends = 0
        for box in t.boxes:
            address, times = self.times(t.token, box)
            reports = self.reports.get((t.token, address), [])
            if times and reports or len(set(reports)) > 1 or reports and not address.startswith("no"):
                self.twofold.append((t.token, address, times, reports))
            if not times and not reports:
                if t.code == 250:
                    self.lost.append((t.token, address))
                continue
            ends += 1
            self.explain_all(t.token, address, times, WINDOWS if box not in LOCAL else ledger.WINDOWS)
            if len(reports) > 1:
                self.copies.append(f"report of {t.token} for {address}: {len(reports)} files with one id")
        if ends and t.code not in (None, 250) or ends and not t.dot:
            self.forbidden.append((t.token, t.code))
        if ends not in (0, len(t.boxes)) and t.code is None:
            self.partly.append((t.token, t.boxes, ends))

    def explain_all(self, token, address, times, windows):
        used = []                # each window explains one copy
        for (first, begun), (second, _) in zip(times, times[1:]):
            why = self.explain(token, address, (begun, first, second), windows, used)
            if why:
                self.copies.append(f"{token} to {address}: at {ledger.clock(first)} and {ledger.clock(second)}; window: {why}")
            else:
                self.unexplained.append((token, address, *map(ledger.clock, (begun, first, second)), "kills:", *(
                    ledger.clock(when) for when, _ in self.book.kills if begun - 3 <= when <= second + 1)))

    def explain(self, token, address, copies, windows, used):
        begun, first, second = copies
        if any(first <= cut < second for cut in self.cuts.get((token, address), [])):
            return "the link was cut after the final dot"
        logged = self.delivered.get((self.ids.get(token), address), [])
        for when, role in self.book.kills:
            known = [e for e in logged if e < when]
            if role in windows and when not in used and begun - LATE_SECONDS <= when <= second and all(
                    when - e < windows[role] for e in known):
                used.append(when)
                return (f"{role} was killed at {ledger.clock(when)}, "
                        f"{'before the mark was durable' if known else 'before the result was known'}")
        return None

    def check(self):
        tries = self.book.tries.values()
        print(f"{len(tries)} tries, answers {dict(collections.Counter(t.code for t in tries))}; "
              f"{sum(map(len, self.files.values()))} local, {sum(map(len, self.near.values()))} near, "
              f"{sum(map(len, self.far.values()))} far, {sum(map(len, self.reports.values()))} reports; "
              f"{len(self.cuts)} answers lost, {len(self.book.kills)} kills, {len(self.copies)} copies")
        for copy in self.copies:
            print(f"copy: {copy}")
        for name in ("lost", "forbidden", "partly", "twofold", "unexplained"):
            bad = getattr(self, name)
            assert not bad, f"{name}: {len(bad)}: {bad[:10]}"


def run_dry(s, book, near, far):
    """Started anew, the server serves all that was promised; once more anew, it has nothing to do."""
    # Results wait for a qmgr that is killed; a server that is stopped before it is back forgets them.
    wait_for(lambda: {"qmgr", "smtp", "local"} <= set(s.processes().values()), 10, "all processes")
    assert s.stop() == 0, s.log()[-2000:]
    s.start()
    try:
        wait_for(lambda: not Judgement(book, near, far).lost and not waiting(s), DRY_SECONDS_MAX, "an end of all mail")
    except AssertionError:
        pass                     # the judgement says which
    wait_quiet(s)
    Judgement(book, near, far).check()
    assert not waiting(s)
    assert s.stop() == 0, s.log()[-2000:]
    mark = len(s.log())
    s.start()
    time.sleep(0.3)
    tail = s.log()[mark:]
    assert not any(f'"{word}"' in tail for word in ("delivered", "deferred", "failed")), tail[-2000:]
    assert '"spool-alarm"' not in s.log()


def waiting(s):
    done = subprocess.run([GONETS, "queue", "list", "--json", "--spool", s.spool], capture_output=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def kill_in_recovery(s, book, rng):
    """All of it, and again while it starts: at first before it has read anything, in the end when it serves already."""
    book.kills.append((time.time(), "all"))
    s.kill()
    for _ in range(3):
        s.launch()
        time.sleep(rng.uniform(0, 0.3))
        book.kills.append((time.time(), "all"))
        s.kill()
    s.start()


def qmgrs(s):
    return {pid for pid, role in s.processes().items() if role == "qmgr"}


def kill_qmgr(s, book, rng):
    """Until another one takes its place."""
    before = qmgrs(s)
    kill(s, book, "qmgr", rng)
    wait_for(lambda: qmgrs(s) - before, 10, "another qmgr")


def kill_new_qmgr(s, book, rng):
    """qmgr, and the one that takes its place, while it reads the spool."""
    for _ in range(3):
        kill_qmgr(s, book, rng)
        time.sleep(rng.uniform(0, 0.05))


OTHERS = ["smtpd", "resolver", "local", "mailbox", "auth"]


@contextlib.contextmanager
def loaded(folder, what):
    """(server with senders, ledger, random numbers); in the end all is judged."""
    seed = ledger.seed()
    rng = random.Random(f"{seed} relay {what}")
    with Nsd(folder / "nsd", {"near.example": ZONE}) as nsd, Far(rng) as far, serving(NEAR) as near:
        s = Server(folder, CONFIG % {"dns": nsd.port, "near": near.port, "far": far.port})
        s.port = quiet_port(rng)
        with s:
            with Book(seed, s, folder / "box", LOCAL | DIRECT | {a: a for a in ALIASES}) as book:
                time.sleep(0.5)
                yield s, book, rng
                time.sleep(0.5)
            run_dry(s, book, near, far)


@pytest.mark.parametrize("role", ["smtp", "qmgr", "super", "all", "others", "recovery"])
def test_kill_relay(role, folder):
    """H143 H140 H118 O1 O2: kill -9 at random moments: delivered or reported, each copy has its window."""
    with loaded(folder, role) as (s, book, rng):
        while len(book.kills) < KILLS:
            time.sleep(rng.uniform(*PAUSE_SECONDS))
            if role == "recovery":
                rng.choice([kill_in_recovery, kill_new_qmgr])(s, book, rng)
            else:
                kill(s, book, rng.choice(OTHERS) if role == "others" else role, rng)


def test_stop_under_load(folder):
    """O2: a server that is stopped makes no copies, and does so at once, even when qmgr was killed just before."""
    with loaded(folder, "stop") as (s, book, rng):
        for n in range(4):
            if n % 2:
                kill_qmgr(s, book, rng)
            begun = time.monotonic()
            assert s.stop() == 0, s.log()[-2000:]
            assert time.monotonic() - begun < STOP_SECONDS_MAX
            s.start()
            time.sleep(rng.uniform(0.3, 0.6))
