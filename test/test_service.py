"""As a service: what a manager of services hears, the sockets it hands over, the unit file. systemd itself is not needed."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time

from server import BUILD, Client, Server, folder_of_nobody, free_port, shared_folder, wait_for

CONFIG = """hostname mx.example.org
spool %(spool)s
segment 1M
workers 2
listen 127.0.0.1:%(port)d
action inbox maildir %(dir)s/Maildir user nobody
match for domain example.org action inbox
"""
# Descriptor $1 becomes 3; LISTEN_PID is known only to the process itself.
HANDED = ["bash", "-c", 'exec 3<&"$1"; shift; LISTEN_PID=$$ exec "$@"', "bash"]


class Manager:
    """The other end of sd_notify(3)."""

    def __init__(self, folder):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.path = str(folder / "notify")
        self.socket.bind(self.path)
        os.chmod(self.path, 0o777)
        self.heard = []

    def hears(self, text, seconds=15):
        self.socket.settimeout(seconds)
        while text not in self.heard:
            self.heard += self.socket.recv(4096).decode().split("\n")
        self.heard.remove(text)
        return True


def test_states():
    """READY when it listens, RELOADING and READY around a reload, STOPPING; and the watchdog is fed at half of its time."""
    with shared_folder() as folder:
        manager = Manager(folder)
        env = {"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "400000"}
        with Server(folder_of_nobody(folder / "s"), CONFIG, env=env, user="nobody") as server:
            assert manager.hears("READY=1")
            with server.client() as c:
                assert c.reply()[0] == 220
            begun = time.monotonic()
            for _ in range(5):
                assert manager.hears("WATCHDOG=1", 1)
            assert time.monotonic() - begun < 1.5
            os.kill(server.process.pid, signal.SIGHUP)
            assert manager.hears("RELOADING=1") and any(h.startswith("MONOTONIC_USEC=") for h in manager.heard)
            assert manager.hears("READY=1")
            os.kill(server.process.pid, signal.SIGTERM)
            assert manager.hears("STOPPING=1")
            assert server.process.wait(12) == 0


def test_abstract_name():
    """A name that begins with @ is in no folder."""
    with shared_folder() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        name = f"gonets-test-{os.getpid()}"
        heard.bind("\0" + name)
        heard.settimeout(15)
        with Server(folder_of_nobody(folder / "s"), CONFIG, env={"NOTIFY_SOCKET": "@" + name}, user="nobody") as server:
            assert heard.recv(100) == b"READY=1"
            assert server.stop() == 0


@contextlib.contextmanager
def started_with(listening, wrapper=HANDED):
    """A server that has this socket at descriptor 3."""
    with shared_folder() as folder:
        server = Server(folder_of_nobody(folder / "s"), CONFIG, user="nobody")
        server.port = listening.getsockname()[1] if wrapper is HANDED else server.port
        server.mark = 0
        command = [*wrapper, str(listening.fileno()), *server.command()]
        with server.log_path.open("ab") as log:
            server.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
                                              env=os.environ | {"LISTEN_FDS": "1"}, pass_fds=[listening.fileno()],
                                              **server.account())
        try:
            wait_for(server.is_ready, 30, "a listening server")
            yield server
            assert server.stop() == 0, server.log()
        finally:
            server.__exit__()


def test_handed_socket():
    """A socket that was opened before serves the connections that waited in it, survives a reload, and is not opened twice."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", free_port()))
        listening.listen(100)
        with Client(listening.getsockname()[1]) as early, started_with(listening) as server:
            assert early.reply()[0] == 220
            with server.client() as c:
                assert c.mail(b"x\r\n", "x@example.org")[0] == 250
            os.kill(server.process.pid, signal.SIGHUP)
            wait_for(lambda: server.events("reloaded"), 10, "a reload")
            for _ in range(10):
                with server.client() as c:
                    assert c.reply()[0] == 220
            assert early.say("NOOP")[0] == 250


def test_socket_of_others():
    """With the LISTEN_PID of somebody else none is ours."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        with started_with(listening, [*HANDED[:2], HANDED[2].replace("$$", "1"), HANDED[3]]) as server, server.client() as c:
            assert c.reply()[0] == 220


def test_unit():
    """systemd finds nothing wrong with the unit, and the programs it names are the installed ones."""
    text = (BUILD / "gonets.service").read_text()
    assert "@" not in text.replace("@system-service", "") and "/bin/gonets serve -c" in text
    if not shutil.which("systemd-analyze"):
        print("NOT RUN: test_service.test_unit: systemd-analyze is not here")
        return
    with shared_folder() as folder:
        unit = folder / "gonets.service"
        program = next(word for word in text.replace("=", " ").split() if word.endswith("/bin/gonets"))
        unit.write_text(text.replace(program, "/bin/true"))
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=60, check=False)
        assert "gonets.service" not in done.stderr, done.stderr
