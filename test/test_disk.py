"""The spool's disk under the running server: full, read-only, damaged, somebody else's, or not there."""

import collections
import concurrent.futures
import contextlib
import ctypes
import hashlib
import os
import re
import subprocess
import time

import pytest
from server import GONETS, Server, folder_of_nobody, shared_folder, wait_for

CONFIG = """hostname mx.example.org
workers 1
segment 1M
spool %%(spool)s
listen 127.0.0.1:%%(port)d
limit spool_free 0
action box %s
match for any action box
"""
HOLD = CONFIG % "hold"
DELIVER = CONFIG % "maildir %(dir)s/mail/box user nobody"
SENDERS = 6
TOKEN = re.compile(rb"^Subject: (token-\S+)\r?$", re.M)
UNAVAILABLE = 69
DEEP = bool(os.environ.get("GONETS_DEEP"))
CLONE_NEWNS = 0x20000


@pytest.fixture
def folder():
    with shared_folder() as path:
        folder_of_nobody(path / "mail")
        yield path


# ---- disks ----


def mount(*args):
    done = subprocess.run(["mount", *map(str, args)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"mount {args}: {done.stderr.strip()} (these tests mount disks of their own, as root)"


@contextlib.contextmanager
def disk(folder, kind, megabytes):
    """A small file system of its own at folder/disk, which nobody else sees: whatever happens, it ends with this process."""
    assert os.geteuid() == 0, "this test mounts a disk of its own: run it as root"
    assert ctypes.CDLL(None).unshare(CLONE_NEWNS) == 0, "no mount namespace of our own"
    mount("--make-rprivate", "/")
    place, image = folder / "disk", folder / "image"
    place.mkdir()
    if kind == "tmpfs":
        mount("-t", "tmpfs", "-o", f"size={megabytes}M,mode=755", "tmpfs", place)
    else:
        with open(image, "wb") as file:
            file.truncate(megabytes << 20)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
        mount("-o", "loop", image, place)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=False)


def server_on(folder, spool, config=HOLD):
    server = Server(folder, config)
    server.spool = spool
    return server


# ---- mail ----


def send(server, token, size, seconds=10):
    """Code of the reply; None: none came."""
    try:
        with server.client(timeout=seconds) as client:
            return client.mail(f"Subject: {token}\r\n\r\n".encode() + b"0123456789\r\n" * (size // 12))[0]
    except (OSError, EOFError):
        return None


def send_until(server, name, enough, messages_max, size=30_000, seconds=10):
    """Many at once until one's outcome is enough for its sender: {token: code}"""
    def one(sender):
        outcome = {}
        for number in range(messages_max):
            token = f"token-{name}-{sender}-{number}"
            outcome[token] = send(server, token, size, seconds)
            if enough(outcome[token]):
                break
        return outcome
    with concurrent.futures.ThreadPoolExecutor(SENDERS) as pool:
        return {token: code for some in pool.map(one, range(SENDERS)) for token, code in some.items()}


def fill_spool(server, name, messages):
    outcome = send_until(server, name, lambda code: False, messages)
    assert set(outcome.values()) == {250}
    return outcome


def copies(folder):
    return collections.Counter(TOKEN.search(path.read_bytes()).group(1).decode()
                               for path in (folder / "mail" / "box" / "new").glob("*"))


def release(server):
    """What was held stays so, whatever the configuration says now, until the administrator lets it go."""
    subprocess.run([GONETS, "queue", "release", "all", "-c", server.folder / "gonets.conf"], capture_output=True)
    time.sleep(0.2)


def judge(server, outcome, lost=()):
    """Delivers all that is there: what was answered 250 is there once, what was refused is not."""
    server.config = DELIVER
    server.start()
    promised = {token for token, code in outcome.items() if code == 250} - set(lost)
    wait_for(lambda: release(server) or promised <= set(copies(server.folder)), 20, "delivery of everything")
    assert server.stop() == 0
    found = copies(server.folder)
    print(f"{collections.Counter(outcome.values())}; delivered {sum(found.values())}")
    assert {token for token, code in outcome.items() if code not in (250, None)} & set(found) == set()
    assert {token: count for token, count in found.items() if count != 1} == {}


# ---- full ----


@pytest.mark.parametrize("kind, megabytes", [("ext4", 40), *([("tmpfs", 24)] if DEEP else [])])
def test_full_disk(folder, kind, megabytes):
    """H90: a disk that fills up under load: 451 or 452, nothing lost, and once there is room mail is taken again, unaided."""
    with disk(folder, kind, megabytes) as place, server_on(folder, place / "spool") as server:
        ballast = place / "ballast"
        with open(ballast, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, 8 << 20)
        outcome = send_until(server, "fills", lambda code: code != 250, 1000)
        assert set(outcome.values()) <= {250, 451, 452}
        large = send_until(server, "large", lambda code: code != 250, 20, 4_000_000)
        assert set(large.values()) <= {250, 451, 452}
        more = send_until(server, "more", lambda code: False, 1)
        assert set(more.values()) <= {250, 451, 452}
        outcome |= large | more
        assert {451, 452} & set(outcome.values())
        ballast.unlink()
        again = {}
        begin = time.monotonic()

        def taken():
            again[f"token-again-{len(again)}"] = code = send(server, f"token-again-{len(again)}", 30_000)
            return code == 250
        wait_for(taken, 20, "taking mail again")
        print(f"takes mail again after {time.monotonic() - begin:.1f} s")
        assert server.stop() == 0
        judge(server, outcome | again)


# ---- read-only ----


def test_disk_becomes_read_only(folder):
    """A disk that fails and goes read-only under load: no 250 any more, nothing lost, nothing refused is delivered later."""
    with disk(folder, "ext4", 40) as place:
        with server_on(folder, place / "spool") as server:
            outcome = fill_spool(server, "before", 5)
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                load = pool.submit(send_until, server, "during", lambda code: code != 250, 1000, seconds=4)
                time.sleep(0.2)
                mount("-o", "remount,abort", place)
                outcome |= load.result()
            after = send_until(server, "after", lambda code: False, 2, seconds=4)
            assert set(after.values()) <= {421, 451, 452, None}
            outcome |= after
            server.stop()
        subprocess.run(["umount", place], check=True)
        mount("-o", "loop", folder / "image", place)
        judge(server_on(folder, place / "spool"), outcome)


def refused(server, *words):
    """It ends at once with EX_UNAVAILABLE and says these words."""
    begin = time.monotonic()
    server.launch()
    try:
        assert server.process.wait(10) == UNAVAILABLE, server.log()
    finally:
        server.kill()
    assert all(word in server.log() for word in words), server.log()
    return time.monotonic() - begin


def test_read_only_disk_is_refused(folder):
    """H148: a spool that cannot be written is refused at the start, in words."""
    with disk(folder, "ext4", 40) as place:
        server = server_on(folder, place / "spool")
        server.command()
        mount("-o", "remount,ro", place)
        refused(server, "spool", "read-only")


# ---- damaged ----


def segments_with(spool):
    """{path of a segment: the tokens that lie in it}"""
    found = {path: {t.decode() for t in re.findall(rb"Subject: (token-\S+)\r", path.read_bytes())} for path in (spool / "segments").iterdir()}
    return {path: tokens for path, tokens in found.items() if tokens}


def flip(path, *places):
    data = bytearray(path.read_bytes())
    for place in places:
        data[place] ^= 0x20
    path.write_bytes(data)


def flip_headers(path):
    flip(path, 20, 2048 + 20)


def replace_by_folder(path):
    owner = path.stat()
    path.unlink()
    path.mkdir()
    os.chown(path, owner.st_uid, owner.st_gid)


def cut_off(path):
    os.truncate(path, 0)


@pytest.mark.parametrize("damage", [flip_headers, replace_by_folder, cut_off])
def test_unreadable_segment(folder, damage):
    """H138: a segment that cannot be read goes into quarantine with an alarm; everything else is delivered."""
    server = server_on(folder, folder / "spool")
    with server:
        outcome = fill_spool(server, "kept", 12)
        server.stop()
        segments = segments_with(server.spool)
        assert len(segments) >= 2
        bad = min(segments)
        damage(bad)
        judge(server, outcome, segments[bad])
        assert list((server.spool / "quarantine").iterdir())
        assert server.events("spool-alarm")
    print(f"{len(segments[bad])} of {len(outcome)} in quarantine")


@pytest.mark.parametrize("end", [Server.kill, Server.stop])
def test_damaged_message(folder, end):
    """H138: one message whose envelope is damaged is kept for a human, with an alarm; all others are delivered. In a segment that
    was not sealed the start finds it, in a sealed one, of which the start reads only the end, the delivery."""
    server = server_on(folder, folder / "spool")
    with server:
        outcome = fill_spool(server, "kept", 2)
        end(server)
        path, tokens = min(segments_with(server.spool).items())
        bad = min(tokens)
        flip(path, path.read_bytes().index(f"Subject: {bad}".encode()) - 60)
        judge(server, outcome, [bad])
        assert bad not in copies(folder)
        assert server.events("spool-alarm") or server.events("alarm")
        assert list((server.spool / "quarantine").iterdir())
        assert any(bad.encode() in p.read_bytes() for p in server.spool.rglob("*") if p.is_file())


# ---- somebody else's, or nobody's ----


def test_second_server_is_refused(folder):
    """H141: a second server on the same spool ends at once, in words; the first one goes on."""
    with server_on(folder, folder / "spool") as first:
        second = server_on(folder / "second", folder / "spool")
        seconds = refused(second, "another server is using the spool")
        assert seconds < 5
        assert send(first, "token-x", 100) == 250


def test_ten_servers_at_once(folder):
    """H141: of ten started together exactly one runs, the others say why not; and so again when it was killed."""
    servers = [server_on(folder / str(n), folder / "spool") for n in range(10)]
    servers[0].folder.mkdir()
    servers[0].command()
    try:
        for _ in range(2):
            for server in servers:
                server.launch()
            wait_for(lambda: sum(s.process.poll() is not None for s in servers) >= 9, 20, "the end of nine")
            winner, = [s for s in servers if s.process.poll() is None]
            assert [s.process.returncode for s in servers if s is not winner] == [UNAVAILABLE] * 9
            wait_for(winner.is_ready, 20, "the one to listen")
            assert send(winner, "token-x", 100) == 250
            winner.kill()
    finally:
        for server in servers:
            server.kill()


def tree(path):
    """What is in it, but for the times."""
    return {str(p.relative_to(path)): (p.stat().st_mode, hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else "")
            for p in path.rglob("*")}


def no_marker(spool, _other):
    (spool / "spool").unlink()


def foreign_marker(spool, _other):
    (spool / "spool").write_text("the spool of another mail server\n")


def damaged_marker(spool, _other):
    flip(spool / "spool", 20, 4096 + 20)


def other_marker(spool, other):
    (spool / "spool").write_bytes((other / "spool").read_bytes())


def empty_folder(spool, _other):
    spool.rename(spool.parent / "elsewhere")
    spool.mkdir()


@pytest.mark.parametrize("change, word", [
    (no_marker, "gonets spool create"), (empty_folder, "gonets spool create"), (foreign_marker, "marker"),
    (damaged_marker, "marker"), (other_marker, "another spool"),
])
def test_foreign_spool_is_refused(folder, change, word):
    """H148: without the marker of this spool nothing is started, and nothing is touched."""
    server = server_on(folder, folder / "spool")
    with server:
        outcome = fill_spool(server, "kept", 1)
        server.stop()
    subprocess.run([GONETS, "spool", "create", folder / "other"], check=True)
    change(server.spool, folder / "other")
    before = tree(server.spool)
    refused(server, word)
    assert tree(server.spool) == before
    print(f"{len(outcome)} messages left alone")
