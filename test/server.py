"""A Gonets server for one test: started on a free loopback port in a scratch folder, stopped by its own pid."""

import contextlib
import functools
import json
import os
import pathlib
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("GONETS_BUILD", ROOT / "build")).resolve()
GONETS = BUILD / "gonets"
START_SECONDS_MAX = 30
STOP_SECONDS_MAX = 15
SANITIZER = re.compile(r"(.*ERROR: \w+Sanitizer(?:.*\n){,20}|.*runtime error: .*)")


def suites():
    """The folder of test data by others, or None; a test that needs it says NOT RUN then."""
    folder = pathlib.Path(os.environ.get("GONETS_SUITES", ROOT / "../shared/conformance")).resolve()
    return folder if folder.is_dir() else None


def as_root(what):
    """A test that only root can run; anybody else says what is left out."""
    def wrap(test):
        @functools.wraps(test)
        def run(*args, **more):
            if os.geteuid() == 0:
                return test(*args, **more)
            print(f"NOT RUN: {what} (not root)")
        return run
    return wrap


def free_port():
    """Below the ports that the kernel gives to clients: one of those may be taken between the end and the start of a server."""
    while True:
        port = random.randrange(10000, 32000)
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def shared_folder():
    """A scratch folder into which every account may look, as an accounts' home: pytest's own are for their owner alone."""
    with tempfile.TemporaryDirectory(prefix="gonets-") as folder:
        os.chmod(folder, 0o755)
        yield pathlib.Path(folder)


def folder_of_nobody(path):
    """Where mail for the account nobody can be put; ours when we are not root."""
    path.mkdir()
    if os.geteuid() == 0:
        shutil.chown(path, "nobody")
    return path


def wait_for(condition, seconds=10, what="condition"):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"{what} did not come true within {seconds} s")


@contextlib.contextmanager
def serving(config=None, **more):
    """A server in a folder of its own, which does not run as root even when we do, stopped in good order at the end."""
    with shared_folder() as folder:
        with Server(folder_of_nobody(folder / "s"), config, user="nobody", **more) as server:
            yield server
            assert server.stop() == 0, server.log()


class Client:
    """SMTP by hand: bytes out, replies in."""

    def __init__(self, port, timeout=20, source="127.0.0.1"):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout, source_address=(source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.kept = b""
        self.greeted = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def line(self):
        while b"\n" not in self.kept:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError(f"closed by the server, after {self.kept!r}")
            self.kept += more
        line, self.kept = self.kept.split(b"\n", 1)
        return line + b"\n"

    def begin(self, recipient="you@example.org", sender="me@example.org"):
        """Everything up to the 354."""
        if not self.greeted:
            assert self.reply()[0] == 220 and self.say("EHLO client.example")[0] == 250
            self.greeted = True
        for command in (f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>", "DATA"):
            reply = self.say(command)
            if reply[0] not in (250, 354):
                return reply
        return reply

    def mail(self, content, recipient="you@example.org"):
        """The reply to a whole message (its lines end in CRLF), or the one that came in place of a 250 or 354."""
        reply = self.begin(recipient)
        return self.say(content + b".\r\n") if reply[0] == 354 else reply

    def reply(self):
        """One whole reply: (code, its lines as text)."""
        lines = [self.line()]
        while lines[-1][3:4] == b"-":
            lines.append(self.line())
        for line in lines:
            assert line.endswith(b"\r\n") and len(line) <= 512 and line[:3] == lines[0][:3], lines
        return int(lines[0][:3]), [line[4:-2].decode("ascii") for line in lines]

    def say(self, text):
        self.send(text if isinstance(text, bytes) else text.encode() + b"\r\n")
        return self.reply()

    def at_end(self):
        """Has the server closed, with nothing more to say?"""
        try:
            return not self.kept and self.socket.recv(1) == b""
        except ConnectionError:
            return True


class Server:
    """`gonets try` (config None) or `gonets serve` with a configuration: %(spool)s, %(port)s and %(dir)s are filled in."""

    def __init__(self, folder, config=None, env=None, wrapper=(), user=None):
        self.user = user if os.geteuid() == 0 else None
        self.folder = pathlib.Path(folder)
        self.port = free_port()
        self.config = config
        self.env = os.environ | (env or {})
        self.wrapper = list(wrapper)
        self.process = None
        self.spool = self.folder / "spool"
        self.log_path = self.folder / "log"
        self.maildir = self.folder / "mail" / "Maildir" if config is None else self.folder / "Maildir"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()
        assert not SANITIZER.search(self.log()), "\n".join(SANITIZER.findall(self.log()))

    def program(self):
        """Where another account can start it too."""
        if not self.user:
            return GONETS
        place = self.folder / "bin"
        if not place.exists():
            place.mkdir()
            for name in ("gonets", "gonetsd"):
                shutil.copy(BUILD / name, place)
        return place / "gonets"

    def account(self):
        """As whom it is started, for subprocess."""
        if not self.user:
            return {}
        entry = pwd.getpwnam(self.user)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    def command(self):
        if self.config is None:
            return [self.program(), "try", "--dir", self.folder / "mail", "--port", str(self.port)]
        path = self.folder / "gonets.conf"
        path.write_text(self.config % {"spool": self.spool, "port": self.port, "dir": self.folder})
        if not self.spool.exists():
            subprocess.run([self.program(), "spool", "create", self.spool], check=True, **self.account())
        return [self.program(), "serve", "-c", path]

    def launch(self):
        """Starts it and does not wait."""
        assert self.process is None or self.process.poll() is not None, "it runs already"
        self.folder.mkdir(exist_ok=True, parents=True)
        with self.log_path.open("ab") as log:
            self.mark = log.tell()
            self.process = subprocess.Popen(self.wrapper + self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            env=self.env, start_new_session=True, **self.account())

    def start(self):
        self.launch()
        try:
            wait_for(self.is_ready, START_SECONDS_MAX, "a listening server")
        except AssertionError as e:
            self.kill()
            raise AssertionError(f"{e}\n{self.log()}") from None
        return self

    def is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}")
        return b"listening" in self.log_path.read_bytes()[self.mark:]

    def log(self):
        return self.log_path.read_text(errors="replace")

    def events(self, name=None):
        """The event log; only of servers that log JSON."""
        found = []
        for line in self.log().splitlines():
            if line.startswith("{"):
                event = json.loads(line)
                if name in (None, event["event"]):
                    found.append(event)
        return found

    def running(self):
        """Pids of all that it started and that still runs, if only to end."""
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[3]) == self.process.pid and fields[0] not in "ZX":
                yield int(entry.name)

    def processes(self):
        """{pid: role} of the server and all its processes; the supervisor is "super"."""
        found = {}
        for pid in self.running():
            try:
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if b"gonetsd" in words[0]:
                found[pid] = words[words.index(b"--role") + 1].decode() if b"--role" in words else "super"
        return found

    def stop(self):
        """Asks it to stop, as an administrator would; its exit status."""
        for pid, role in self.processes().items():
            if role == "super":  # what wraps it may not hand signals on
                os.kill(pid, signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS_MAX)
        finally:
            self.kill()

    def kill(self):
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        wait_for(lambda: not list(self.running()), 10, "the end of all processes")

    def client(self, timeout=20, source="127.0.0.1"):
        return Client(self.port, timeout, source)

    def mails(self):
        """Files in new/ in the order of their names."""
        new = self.maildir / "new"
        return sorted(new.iterdir()) if new.is_dir() else []

    def settle(self, recipient, seconds=20):
        """Until everything taken so far is delivered; a message to this recipient, which no test counts, shows it. Only of
        servers with one worker that log JSON."""
        with self.client() as c:
            code, lines = c.mail(b"the last\r\n", recipient)
            assert code == 250, lines
            last = lines[0].split()[-1]

        def is_settled():
            taken = self.events("accepted")
            count = sum(event["recipients"] for event in taken)
            return any(event["id"] == last for event in taken) and count == len(self.events("delivered"))
        wait_for(is_settled, seconds, "delivery of everything")

    def wait_mails(self, count, seconds=20):
        wait_for(lambda: len(self.mails()) >= count, seconds, f"{count} mails in {self.maildir}")
        return self.mails()


def content_of(path):
    """A delivered message without what we put in front: Return-Path and our Received."""
    data = path.read_bytes()
    assert data.startswith(b"Return-Path: <"), data[:80]
    rest = data.split(b"\n", 1)[1]
    assert rest.startswith(b"Received: from "), rest[:80]
    lines = rest.split(b"\n")
    n = 1
    while lines[n][:1] in (b" ", b"\t"):
        n += 1
    return b"\n".join(lines[n:])
