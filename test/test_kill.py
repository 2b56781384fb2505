"""kill -9 of each process and of all, at random moments and under load: nothing promised is lost, nothing refused arrives.
GONETS_DEEP=1 kills a hundred times for each role; GONETS_SEED=N plays one run again."""

import collections
import fcntl
import os
import pathlib
import pwd
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import pytest

import ledger
from server import Server, wait_for

DEEP = bool(os.environ.get("GONETS_DEEP"))
KILLS = 100 if DEEP else 10
PAUSE_SECONDS = (0.02, 0.45)     # between two kills
DRY_SECONDS_MAX = 60
FILES_KEPT_MAX = 24
MEMORY_KEPT_KIB_MAX = 8 << 10

CONFIG = """hostname mx.example.org
spool %(spool)s
segment 1M
listen 127.0.0.1:%(port)s
action virtual maildir %(dir)s/box/%%{local} user nobody
action account maildir %(dir)s/box/%%{user}
match for domain virtual.example action virtual
match for local action account
"""


def accounts():
    """Real ones, so that role auth is asked: two that are not root when we are, else ourselves."""
    if os.geteuid():
        return [pwd.getpwuid(os.geteuid()).pw_name]
    return [a.pw_name for a in pwd.getpwall() if a.pw_uid and a.pw_gid and not a.pw_name.startswith("gonets")
            and a.pw_name != "nobody"][:2]


BOXES = {f"v{n}": f"v{n}@virtual.example" for n in range(6)} | {name: f"{name}@mx.example.org" for name in accounts()}


@pytest.fixture
def folder():
    """Open to the accounts that mailboxes belong to, unlike pytest's own."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="gonets-kill-"))
    path.chmod(0o755)
    (path / "box").mkdir()
    (path / "box").chmod(0o777)
    yield path
    if not os.environ.get("GONETS_KEEP"):
        shutil.rmtree(path)


def quiet_port(rng):
    """Not one of those that clients connect from: while the server is down they would find themselves there."""
    while True:
        port = rng.randrange(10000, 30000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class KillServer(Server):
    """A server that comes back to its port at once."""

    def __init__(self, folder, rng):
        super().__init__(folder, CONFIG)
        self.port = quiet_port(rng)


def clear(boxes):
    for path in (path for box in boxes for path in ledger.files_in(box)):
        path.unlink()


def warm_up(s, big):
    """One small and one large message to every mailbox: afterwards each process has what it ever needs."""
    boxes = [s.folder / "box" / box / "new" for box in BOXES]
    clear(boxes)
    with s.client() as c:
        assert c.reply()[0] == 220 and c.say("EHLO test.example")[0] == 250
        for size in (100, big):
            assert c.say("MAIL FROM:<me@example.org>")[0] == 250
            for address in BOXES.values():
                assert c.say(f"RCPT TO:<{address}>")[0] == 250
            assert c.say("DATA")[0] == 354
            assert c.say(ledger.stuffed(ledger.content("warm-up", size)))[0] == 250
    wait_for(lambda: all(len(ledger.files_in(box)) == 2 for box in boxes), 20, "warm-up mail")
    clear(boxes)


def kill(s, book, role, rng):
    """One process of the role, or all of the server."""
    pids = sorted(pid for pid, name in s.processes().items() if role in (name, "all"))
    if not pids:
        return
    victims = pids if role == "all" else [rng.choice(pids)]
    book.kills.append((time.time(), role))
    for pid in victims:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    if role in ("super", "all"):
        s.process.wait()
        s.start()          # at once: the lock must be free


def run_dry(s, book):
    """Started anew, the server delivers all that was promised; once more anew, it finds every mark and nothing to do."""
    assert s.stop() == 0, s.log()[-2000:]
    s.start()
    try:
        wait_for(lambda: not book.promised() - book.files().keys(), DRY_SECONDS_MAX, "delivery of all mail")
    except AssertionError:
        pass               # the judgement says which
    wait_quiet(s)
    judgement = book.judge()
    judgement.check()
    assert s.stop() == 0, s.log()[-2000:]
    mark = len(s.log())
    s.start()
    time.sleep(0.3)
    tail = s.log()[mark:]
    assert '"delivered"' not in tail and '"deferred"' not in tail, tail[-2000:]
    assert '"spool-alarm"' not in s.log()
    return judgement


def wait_quiet(s):
    """Nothing is logged for a while."""
    size = 0
    while size != len(s.log()):
        size = len(s.log())
        time.sleep(0.5)


@pytest.mark.parametrize("role", ["super", "smtpd", "qmgr", "auth", "local", "mailbox", "all"])
def test_kill(role, folder):
    """H143: kill -9 at random moments, 100 senders: 250 is in the mailbox, 4xx is not, copies have their window."""
    seed = ledger.seed()
    rng = random.Random(f"{seed} {role}")
    with KillServer(folder, rng) as s:
        warm_up(s, 300 << 10)
        with ledger.Ledger(seed, s, folder / "box", BOXES, BOXES) as book:
            time.sleep(0.5)
            while len(book.kills) < KILLS:
                time.sleep(rng.uniform(*PAUSE_SECONDS))
                kill(s, book, role, rng)
            time.sleep(0.5)
        run_dry(s, book)


# ---- what stays behind ----


def footprint(s):
    """{role: (processes, descriptors, resident KiB)}"""
    sums = collections.defaultdict(lambda: [0, 0, 0])
    for pid, role in s.processes().items():
        proc = pathlib.Path("/proc") / str(pid)
        resident = int((proc / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
        for i, n in enumerate((1, len(list((proc / "fd").iterdir())), resident)):
            sums[role][i] += n
    return {role: tuple(values) for role, values in sorted(sums.items())}


def is_back(base, now):
    """The same processes; descriptors but for segments that are kept open to be used again, memory but for caches."""
    return base.keys() == now.keys() and all(
        now[role][0] == base[role][0] and now[role][1] <= base[role][1] + FILES_KEPT_MAX * base[role][0]
        and now[role][2] <= base[role][2] + MEMORY_KEPT_KIB_MAX * base[role][0] for role in base)


def test_baseline(folder):
    """H24: after load and kills of every role there are as many processes as before, and no descriptors or memory are lost."""
    seed = ledger.seed()
    rng = random.Random(f"{seed} baseline")
    with KillServer(folder, rng) as s:
        warm_up(s, 700 << 10)
        base = footprint(s)
        with ledger.Ledger(seed, s, folder / "box", BOXES) as book:
            for role in ["smtpd", "qmgr", "auth", "local", "mailbox"] * 2:
                time.sleep(rng.uniform(0.2, 0.4))
                kill(s, book, role, rng)
        wait_quiet(s)
        warm_up(s, 700 << 10)         # a worker for each account is there again
        try:
            wait_for(lambda: is_back(base, footprint(s)), 10, "the base line")
        finally:
            print(f"before {base}", f"after  {footprint(s)}", sep="\n")


def lock_is_free(s):
    with (s.spool / "lock").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            return False


def test_orphans(folder):
    """H142: kill -9 of the supervisor alone: when the lock is free, all others are dead, and a restart works at once."""
    seed = ledger.seed()
    rng = random.Random(f"{seed} orphans")
    with KillServer(folder, rng) as s:
        warm_up(s, 300 << 10)
        with ledger.Ledger(seed, s, folder / "box", BOXES, BOXES) as book:
            for _ in range(5):
                time.sleep(rng.uniform(0.2, 0.5))
                book.kills.append((time.time(), "super"))
                s.process.kill()
                while not lock_is_free(s):
                    pass
                left = sorted(s.processes().values())
                # mailbox has no lock, so that a home that hangs does not hold up a restart; it is told by the kernel
                # in the moment that local, which had one, is gone.
                assert set(left) <= {"mailbox"}, left
                s.process.wait()
                s.start()
        run_dry(s, book)


def test_ten_servers(folder):
    """H141: of ten started together exactly one runs, the others refuse at once; when it is killed the next one does."""
    rng = random.Random(ledger.seed())
    servers = [KillServer(folder / str(number), rng) for number in range(10)]
    for s in servers:
        s.folder.mkdir()
        s.spool = folder / "spool"
        s.command()               # the first one makes the spool
    try:
        for _ in range(3):
            for s in servers:
                s.launch()
            wait_for(lambda: sum(s.process.poll() is None for s in servers) == 1, 10, "one of ten servers")
            winner = next(s for s in servers if s.process.poll() is None)
            wait_for(winner.is_ready, 10, "the winner")
            losers = [s for s in servers if s is not winner]
            assert {s.process.returncode for s in losers} == {69}
            assert all("another server is using the spool" in s.log() for s in losers)
            winner.process.kill()
            winner.process.wait()
    finally:
        for s in servers:
            s.kill()


# ---- connections that end anywhere ----

DIALOGUE = [b"EHLO test.example\r\n", b"MAIL FROM:<me@example.org>\r\n", b"RCPT TO:<v0@virtual.example>\r\n", b"DATA\r\n",
            b"Subject: t0-%d\r\n\r\n.. words\r\n.\r\n", b"QUIT\r\n"]


def end_by_rst(c):
    c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.socket.close()


def end_by_fin(c):
    c.socket.shutdown(socket.SHUT_WR)
    while c.socket.recv(65536):
        pass
    c.socket.close()


def cut_dialogue(s, number, length, end):
    """Says the first `length` bytes, waiting for each reply before that; is the terminator among them?"""
    steps = [step % number if b"%d" in step else step for step in DIALOGUE]
    with s.client() as c:
        c.reply()
        for step in steps:
            part = step[:length]
            length -= len(part)
            c.send(part)
            if len(part) < len(step) or not length:
                break
            c.reply()
        end(c)
    return step == steps[-1] or (step == steps[-2] and part == step)


def tokens(folder):
    return collections.Counter(ledger.token_of(path) for path in ledger.files_in(folder / "box" / "v0" / "new"))


def spool_files(s):
    return {part: len(list((s.spool / part).iterdir())) for part in ("segments", "free", "quarantine")}


@pytest.mark.parametrize("end", [end_by_fin, end_by_rst])
def test_disconnect_anywhere(folder, end):
    """H24: FIN or RST after every byte of a dialogue: queued if and only if the terminator was seen, nothing left behind."""
    rng = random.Random(ledger.seed())
    with KillServer(folder, rng) as s:
        warm_up(s, 100)
        base, files = footprint(s), spool_files(s)
        total = sum(len(step) for step in DIALOGUE)
        whole = {f"t0-{n}" for n in range(total + 1) if cut_dialogue(s, n, n, end)}
        # An RST may overtake what came before it, so right behind the terminator both are right.
        sure = whole if end is end_by_fin else {f"t0-{n}" for n in range(total - len(DIALOGUE[-1]) + 1, total + 1)}
        assert len(whole) > 5
        wait_for(lambda: sure <= tokens(folder).keys(), 10, "delivery")
        wait_quiet(s)
        assert set(tokens(folder)) <= whole and set(tokens(folder).values()) == {1}
        assert is_back(base, footprint(s)), (base, footprint(s))
        assert footprint(s)["smtpd"][1] <= base["smtpd"][1]        # no session is left
        assert spool_files(s)["quarantine"] == 0 and spool_files(s)["segments"] <= files["segments"] + 2, (files, spool_files(s))


def test_reply_lost(folder):
    """H26: the client goes around the time of the 250: what was stored stays, comes once, and the log tells of it."""
    rng = random.Random(ledger.seed())
    with KillServer(folder, rng) as s:
        warm_up(s, 100)
        for number in range(150):
            with s.client() as c:
                c.reply()
                for step in DIALOGUE[:4]:
                    c.say(step)
                c.send(DIALOGUE[4] % number)
                time.sleep(rng.uniform(0, 0.004))
                end_by_rst(c)
        wait_quiet(s)
        accepted = {e["from"]: e for e in ledger.events(s, "accepted")}
        stored = sum(1 for e in ledger.events(s, "accepted")) - 2
        assert accepted and stored == sum(tokens(folder).values()) and set(tokens(folder).values()) == {1}
        lost = sum(1 for _ in ledger.events(s, "reply-lost"))
        print(f"{stored} of 150 stored, {lost} replies lost")
        assert lost > 0


# ---- at each system call ----

CALLS = ("accept4,read,recvmsg,sendmsg,write,writev,pwrite64,pwritev,pwritev2,pread64,preadv,fdatasync,fsync,syncfs,openat,close,"
         "linkat,unlinkat,renameat,renameat2,mkdirat,getdents64")
CALLS_MAX = 300
SIZES = (300, 300 << 10)
STRIDE = {} if DEEP else {"auth": 8}     # it reads the files of accounts, and makes nothing durable


def send_one(c, t):
    """One try with a message for two mailboxes; what comes of it is written down. Role auth is asked for an unknown name."""
    c.say("MAIL FROM:<me@example.org>")
    c.say(f"RCPT TO:<{t.token}@mx.example.org>")
    t.boxes = [box for box in t.wanted if c.say(f"RCPT TO:<{BOXES[box]}>")[0] == 250]
    code = c.say("DATA")[0]
    if code == 354:
        t.dot = time.time()
        code = c.say(ledger.stuffed(ledger.content(t.token, t.size)))[0]
    t.code = code


def send_some(s, book, number):
    """A small and a large message."""
    boxes = ["v0", accounts()[0]]
    tries = [ledger.Try(f"t{i}-{number}", None, boxes, [], size, time.time()) for i, size in enumerate(SIZES)]
    book.tries.update((t.token, t) for t in tries)
    try:
        with s.client(5) as c:
            c.reply()
            c.say("EHLO test.example")
            for t in tries:
                send_one(c, t)
    except (OSError, EOFError):
        pass
    return tries


def process_of(s, role):
    """Of several for mailboxes, the one that serves v0."""
    user = pwd.getpwnam("nobody").pw_uid if role == "mailbox" and os.geteuid() == 0 else None
    return next((pid for pid, name in s.processes().items() if name == role
                 and user in (None, uid_of(pid))), None)


def uid_of(pid):
    return int(re.search(r"^Uid:\t(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M).group(1))


def is_traced(pid):
    try:
        return all("TracerPid:\t0\n" not in (task / "status").read_text() for task in pathlib.Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return True


def kill_at_call(s, book, role, n):
    """Kills the process of the role before the n-th call of one of its threads; False: it does not make so many."""
    if role == "mailbox":       # it is there when there was mail
        send_some(s, book, CALLS_MAX + n)
    pid = wait_for(lambda: process_of(s, role), 10, role)
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-p", str(pid), "-e", f"trace={CALLS}",
                               "-e", f"inject={CALLS}:signal=KILL:when={n}"], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: is_traced(pid), 10, "strace")
        begun = time.time()
        tries = send_some(s, book, n)
        done = lambda: tracer.poll() is not None or all((t.token, box) in book.files() for t in tries for box in t.boxes)
        try:
            wait_for(done, 2)
        except AssertionError:
            pass
        time.sleep(0.1)         # the marks
    finally:
        tracer.terminate()
        tracer.wait()
    if process_of(s, role) == pid:
        return False
    book.kills.append((begun, role))
    return True


@pytest.mark.parametrize("role", ["smtpd", "qmgr", "auth", "local", "mailbox"])
def test_each_call(role, folder):
    """H143 H140: each process is killed before its n-th system call, n = 1 .. N, while a message goes through."""
    seed = ledger.seed()
    rng = random.Random(f"{seed} calls {role}")
    with KillServer(folder, rng) as s:
        s.stop()
        s.config = CONFIG + "workers 1\n"
        s.start()
        book = ledger.Ledger(seed, s, folder / "box", BOXES)
        n = 1
        warm_up(s, 100)
        while n < CALLS_MAX and kill_at_call(s, book, role, n):
            n += STRIDE.get(role, 1)
            ledger.take_out(folder / "box" / "v0")
        print(f"{role}: killed before {len(book.kills)} calls")
        assert book.kills
        run_dry(s, book)
