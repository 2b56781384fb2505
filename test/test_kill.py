"""kill -9 of each process and of all, at random moments and under load: nothing promised is lost, nothing refused arrives.
GONETS_DEEP=1 kills a hundred times for each role; GONETS_SEED=N plays one run again."""

import collections
import fcntl
import os
import pathlib
import pwd
import random
import shutil
import signal
import socket
import tempfile
import time

import pytest

import ledger
from server import Server, wait_for

DEEP = bool(os.environ.get("GONETS_DEEP"))
KILLS = 100 if DEEP else 15
PAUSE_SECONDS = (0.05, 0.6)      # between two kills
DRY_SECONDS_MAX = 60
ORPHAN_SECONDS_MAX = 10

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


def warm_up(s, big):
    """One small and one large message to every mailbox: afterwards each process has what it ever needs."""
    with s.client() as c:
        assert c.reply()[0] == 220 and c.say("EHLO test.example")[0] == 250
        for size in (100, big):
            assert c.say("MAIL FROM:<me@example.org>")[0] == 250
            for address in BOXES.values():
                assert c.say(f"RCPT TO:<{address}>")[0] == 250
            assert c.say("DATA")[0] == 354
            assert c.say(ledger.stuffed(ledger.content("warm-up", size)))[0] == 250
    boxes = [s.folder / "box" / box / "new" for box in BOXES]
    wait_for(lambda: all(len(ledger.files_in(box)) == 2 for box in boxes), 20, "warm-up mail")
    for box in boxes:
        for path in box.iterdir():
            path.unlink()


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
    assert '"alarm"' not in s.log() and '"spool-alarm"' not in s.log()
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
        with ledger.Ledger(seed, s, folder / "box", BOXES, ["v0", "v1"]) as book:
            time.sleep(0.5)
            while len(book.kills) < KILLS:
                time.sleep(rng.uniform(*PAUSE_SECONDS))
                kill(s, book, role, rng)
            time.sleep(0.5)
        run_dry(s, book)
