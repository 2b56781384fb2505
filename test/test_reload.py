"""The configuration is changed while the server runs: nobody notices but those whom it concerns."""

import contextlib
import json
import os
import random
import signal
import subprocess
import threading
import time

from server import free_port, serving, wait_for

CONFIG = """hostname mx.example.org
spool %(spool)s
segment 1M
workers 2
listen 127.0.0.1:%(port)d
action inbox maildir %(dir)s/Maildir user nobody
match for domain example.org action inbox
"""
RELOADS = 200


def command(server, *words):
    """(exit status, standard output, standard error) of a command about this server."""
    done = subprocess.run([server.program(), *words, "-c", server.folder / "gonets.conf"], capture_output=True, text=True,
                          timeout=60, check=False, **server.account())
    return done.returncode, done.stdout, done.stderr


def write(server, text, **more):
    """Replaced by rename, as editors do."""
    path = server.folder / "gonets.conf"
    new = path.with_suffix(".new")
    new.write_text(text % ({"spool": server.spool, "port": server.port, "dir": server.folder} | more))
    new.rename(path)


def say_all(client, *lines):
    return [client.say(line)[0] for line in lines]


def test_sessions_keep_their_rules():
    """A session goes by the configuration that it began with, to its end; the next one by the new one."""
    with serving(CONFIG) as server, server.client() as old:
        assert old.reply()[0] == 220
        assert say_all(old, "EHLO a.example", "MAIL FROM:<a@b.example>", "RCPT TO:<x@example.org>") == [250] * 3
        write(server, CONFIG.replace("domain example.org", "domain example.net") + "limit sessions 1\ngreeting hello\n")
        code, said, _ = command(server, "reload")
        assert code == 0 and "generation 2" in said
        assert say_all(old, "RCPT TO:<y@example.org>", "RCPT TO:<y@example.net>") == [250, 550]
        assert old.say("DATA")[0] == 354 and old.say(b"old\r\n.\r\n")[0] == 250
        with server.client() as new:
            code, lines = new.reply()
            assert code == 421 or "hello" in lines[0], lines
            if code == 220:
                assert say_all(new, "EHLO b.example", "MAIL FROM:<a@b.example>", "RCPT TO:<x@example.org>",
                               "RCPT TO:<x@example.net>") == [250, 250, 550, 250]
        assert [e["recipients"] for e in server.events("accepted")] == [2]


def test_errors_change_nothing():
    """H164: a file that is half written, wrong or gone leaves the configuration in force, and who asked is told."""
    with serving(CONFIG) as server:
        for text, what in ((CONFIG[:-30], "unknown word 'do'"), (CONFIG + "lissen *:25\n", "did you mean 'listen'?"), ("", "missing: hostname"),
                           (CONFIG + "limit local_jobs 9\n", "'local_jobs' cannot change while the server runs"),
                           (CONFIG.replace("mx.example.org", "mx.example.net"), "'hostname' cannot change"),
                           (CONFIG + "listen 192.0.2.1:25\n", "cannot listen on 192.0.2.1:25")):
            write(server, text)
            code, _, said = command(server, "reload", "--spool", server.spool)
            assert code == 78 and what in said and "nothing has changed" in said, (text, said)
            code, shown, _ = command(server, "status", "--json", "--spool", server.spool)
            assert code == 0 and {p["generation"] for p in json.loads(shown)["processes"]} == {1}
        assert len(server.events("reload-failed")) == 6
        with server.client() as c:
            assert c.mail(b"still\r\n", "x@example.org")[0] == 250


def test_listeners():
    """New ones are opened, those that are gone are closed, the others stay, with the connections that wait in them."""
    with serving(CONFIG) as server:
        other, third = free_port(), free_port()
        both = CONFIG + "listen 127.0.0.1:%(other)d lenient\n"
        write(server, both, other=other)
        assert command(server, "reload")[0] == 0
        server.port, kept = other, server.port
        with server.client() as c:
            assert c.reply()[0] == 220
            server.port = kept
            write(server, both.replace("%(other)d lenient", "%(third)d"), third=third)
            os.kill(server.process.pid, signal.SIGHUP)
            wait_for(lambda: len(server.events("reloaded")) == 2, 10, "a reload by SIGHUP")
            assert c.say("NOOP")[0] == 250
        for port, there in ((kept, True), (third, True), (other, False)):
            server.port = port
            with contextlib.ExitStack() as stack:
                try:
                    assert stack.enter_context(server.client()).reply()[0] == 220 and there
                except ConnectionRefusedError:
                    assert not there
        server.port = kept


class Load(threading.Thread):
    """Sessions that are never to be cut: each one's answers must all come from the same rules."""

    def __init__(self, server, seed):
        super().__init__()
        self.server, self.random = server, random.Random(seed)
        self.over = False
        self.sessions, self.accepted, self.wrong = 0, 0, []

    def run(self):
        try:
            while not self.over:
                self.session()
        except (OSError, EOFError, AssertionError) as error:
            self.wrong.append(repr(error))

    def session(self):
        with self.server.client() as c:
            greeting = c.reply()[1][0]
            c.say("EHLO load.example")
            rules = greeting.rsplit(" ", 1)[1]
            for _ in range(self.random.randrange(1, 5)):
                c.say("MAIL FROM:<a@b.example>")
                codes = say_all(c, "RCPT TO:<x@even.example>", "RCPT TO:<x@odd.example>", "RCPT TO:<x@even.example>")
                if codes != ([250, 550, 250] if rules == "even" else [550, 250, 550]):
                    self.wrong.append((greeting, codes))
                time.sleep(self.random.random() / 50)
                assert c.say("DATA")[0] == 354 and c.say(b"Subject: load\r\n\r\nx\r\n.\r\n")[0] == 250
                self.accepted += 1
            c.say("QUIT")
            self.sessions += 1


def test_under_load():
    """200 reloads with changing rules and listeners, under load: no session is dropped, no message falls under two rules."""
    config = """hostname mx.example.org
spool %(spool)s
workers 2
segment 1M
retry 1s
listen 127.0.0.1:%(port)d
greeting %(word)s
action inbox maildir %(dir)s/Maildir/%%{domain} user nobody
match for domain %(word)s.example action inbox
"""
    first = config.replace("%(word)s", "even")
    with serving(first) as server:
        (server.folder / "Maildir").mkdir(exist_ok=True)
        if os.geteuid() == 0:
            (server.folder / "Maildir").chmod(0o777)
        loads = [Load(server, n) for n in range(6)]
        for load in loads:
            load.start()
        extra = free_port()
        for n in range(1, RELOADS + 1):
            write(server, config + ("listen 127.0.0.1:%(extra)d\n" if n % 3 else ""), word=("even", "odd")[n % 2], extra=extra)
            if n % 2:
                assert command(server, "reload")[0] == 0
            else:
                os.kill(server.process.pid, signal.SIGHUP)
                wait_for(lambda n=n: len(server.events("reloaded")) == n, 10, "a reload by SIGHUP")
        for load in loads:
            load.over = True
        for load in loads:
            load.join(30)
        assert not [wrong for load in loads for wrong in load.wrong]
        accepted = sum(load.accepted for load in loads)
        assert accepted > 100 and sum(load.sessions for load in loads) > 50
        assert not server.events("role-died")

        # What waits because its rule is gone is delivered when there is one again, and nothing is twice.
        write(server, config + "match for domain odd.example action inbox\n", word="even")
        assert command(server, "reload")[0] == 0
        news = [server.folder / "Maildir" / f"{word}.example" / "new" for word in ("even", "odd")]
        wait_for(lambda: sum(len(list(new.iterdir())) for new in news) >= accepted, 30, f"delivery of {accepted} messages")
        assert sum(len(list(new.iterdir())) for new in news) == accepted
        print(f"{RELOADS} reloads, {sum(load.sessions for load in loads)} sessions, {accepted} messages")


def test_stop_is_quick():
    """SIGTERM with sessions in every phase: all is finished or left in the queue, within 10 s."""
    with serving(CONFIG) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.client()) for _ in range(20)]
        for n, c in enumerate(clients):
            c.begin("x@example.org") if n % 2 else c.reply()
            if n % 4 == 1:
                c.send(b"half of a message\r\n")
        begun = time.monotonic()
        os.kill(server.process.pid, signal.SIGTERM)
        assert server.process.wait(15) == 0
        assert time.monotonic() - begun < 10
        server.start()
        assert not server.mails()


def test_status():
    with serving(CONFIG) as server, server.client() as c:
        c.reply()
        code, said, _ = command(server, "status")
        assert code == 0 and said.splitlines()[0].split()[:3] == ["ROLE", "PID", "UPTIME"]
        processes = json.loads(command(server, "status", "--json")[1])["processes"]
        assert {p["role"] for p in processes} >= {"smtpd", "qmgr", "local", "auth"}
        assert sum(p["sessions"] for p in processes if p["role"] == "smtpd") == 1
        assert {p["pid"] for p in processes} == {pid for pid, role in server.processes().items()
                                                 if role not in ("super", "mailbox")}
        smtpd = next(p["pid"] for p in processes if p["role"] == "smtpd")
        os.kill(smtpd, signal.SIGKILL)
        wait_for(lambda: server.events("role-died"), 10, "a dead worker")
        wait_for(lambda: max(p["starts"] for p in json.loads(command(server, "status", "--json")[1])["processes"]) == 2)


def test_nobody_there():
    """Without a server the commands say so, and how to start one."""
    with serving(CONFIG) as server:
        assert server.stop() == 0
        for word in ("reload", "status"):
            code, _, said = command(server, word)
            assert code == 69 and "gonets serve" in said, said
        server.start()


def test_others_may_not():
    """The control socket is for who started the server, and for root."""
    if os.geteuid():
        print("NOT RUN: test_reload.test_others_may_not: it needs root")
        return
    with serving(CONFIG) as server:
        assert (server.spool / "control").stat().st_mode & 0o777 == 0o600
        other = {"user": 12345, "group": 12345, "extra_groups": []}
        done = subprocess.run([server.program(), "reload", "--spool", server.spool], capture_output=True, text=True, timeout=20,
                              check=False, **other)
        assert done.returncode in (69, 77), done
        assert "generation" not in done.stdout
        assert subprocess.run([server.program(), "reload", "--spool", server.spool], timeout=20, check=False).returncode == 0
