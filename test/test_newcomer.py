"""The first hour of somebody who has just cloned this: README and manual followed to the letter, and the usual mistakes."""

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import time

import pytest

from server import BUILD, GONETS, ROOT, Server, content_of, folder_of_nobody, free_port, serving, shared_folder, wait_for

BASIC = """hostname mx.example.org
listen 127.0.0.1:%(port)d
spool %(spool)s
workers 1
segment 1M
action inbox maildir %(dir)s/Maildir user nobody
match for domain example.org action inbox
"""


def run(*words, cwd=None, seconds=20, **more):
    """(exit status, all that was said)."""
    done = subprocess.run([GONETS, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=cwd,
                          timeout=seconds, text=True, check=False, **more)
    return done.returncode, done.stdout


@contextlib.contextmanager
def started(command, log, **more):
    """A server that is started by a command line, until it listens; ended by Ctrl-C."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True, **more)
    try:
        wait_for(lambda: "Ctrl-C" in log.read_text() or process.poll() is not None, 60, "a server for trying out")
        assert process.poll() is None, log.read_text()
        yield process
        os.killpg(process.pid, signal.SIGINT)
        process.wait(12)
        assert "all roles have ended" in log.read_text()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def paste(line, **more):
    subprocess.run(["bash", "-euc", line], check=True, timeout=30, stdout=subprocess.PIPE, **more)


def test_readme(tmp_path):
    """The first page of README: make run, each of the commands that send, and the one that reads."""
    lines = [line.strip() for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("    ")]
    port, mail = str(free_port()), tmp_path / "gonets-mail"
    start, *send, read = lines
    assert start == "make run" and len(send) == 3 and read == "cat gonets-mail/Maildir/new/*"
    if BUILD != ROOT / "build":
        send = [line.replace("build/gonets", str(GONETS)) for line in send]
    with started(["make", "-s", "run", f"ARGS=--port {port} --dir {mail}"], tmp_path / "log", cwd=ROOT):
        for line in send:
            paste(line.replace("2525", port), cwd=ROOT)
        wait_for(lambda: len(list((mail / "Maildir/new").iterdir())) == 3, 10, "three mails")
        shown = subprocess.check_output(read.replace("gonets-mail", str(mail)), shell=True, text=True)
    assert shown.count("Return-Path: <me@example.org>") == 3 and shown.count("First mail") == 2


def test_what_try_prints(tmp_path):
    """What `gonets try` prints can be pasted into a shell in any folder, and mail lands where it says."""
    port = str(free_port())
    for command in (os.path.relpath(GONETS, tmp_path), str(GONETS)):
        log = tmp_path / "log"
        with started([command, "try", "--port", port], log, cwd=tmp_path):
            text = log.read_text()
            lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
            assert len(lines) == 2
            place = re.search(r"It lands in (\S+)\.", text)[1]
            before = len(list((tmp_path / place).glob("*")))
            for line in lines:
                paste(line, cwd="/")
            wait_for(lambda: len(list((tmp_path / place).iterdir())) == before + 2, 10, "mail where it should land")


# ---- mistakes ----


@pytest.mark.parametrize("words, said", [
    (["try", "--prot", "1"], "unknown option '--prot'"), (["try", "--port"], "value is missing"), (["try", "--port", "x"], "'x'"),
    (["try", "--port", "65536"], "'65536'"), (["serve"], "-c FILE"), (["serve", "-c"], "-c FILE"), (["serve", "--now"], "'--now'"),
    (["srve"], "unknown command 'srve'"), ([], "usage:"), (["spool", "make"], "'make'"), (["spool", "create"], "create DIR"),
    (["send", "--form", "x"], "'--form'"), (["send", "--from", "x@y.example"], "--to"), (["check", "--all"], "'--all'"),
])
def test_wrong_words(words, said):
    """A wrong word is named, with a hint at the help, and exit status 64."""
    status, text = run(*words)
    assert status == 64 and said in text and "help" in text and len(text.splitlines()) <= 20


@pytest.mark.parametrize("command", ["try", "serve", "check", "send", "spool", "route", "reload", "status"])
def test_help(command):
    """Each subcommand explains itself on one screen."""
    status, text = run(command, "--help")
    assert status == 0 and text.startswith(f"usage: gonets {command} ") and len(text.splitlines()) < 25


def test_port_in_use(tmp_path):
    """A port that somebody has is named, with exit status 69."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        status, text = run("try", "--port", str(port), "--dir", tmp_path / "mail")
        assert status == 69 and f"127.0.0.1:{port}" in text and "another program" in text and len(text.splitlines()) == 1


def test_folder_that_cannot_be_used(tmp_path):
    """A folder that cannot be made or written into is named, with exit status 77."""
    (tmp_path / "file").write_text("")
    (tmp_path / "closed").mkdir(mode=0o555)
    for place in (tmp_path / "closed", tmp_path / "file", tmp_path / "nothing" / "mail"):
        status, text = run("try", "--port", str(free_port()), "--dir", place)
        assert status == 77 and str(place) in text and len(text.splitlines()) == 1, (status, text)


def test_broken_configuration(tmp_path):
    """All faults at once as file:line:column, with a suggestion; exit status 78; a file that is not there is named."""
    path = tmp_path / "gonets.conf"
    path.write_text("hostname mx.example.org\nlisten 127.0.0.1:2525\nactoin inbox discard\nmatch for any action inbx\n")
    status, text = run("serve", "-c", path)
    assert status == 78
    assert f"{path}:3:1: " in text and "did you mean 'action'?" in text and f"{path}:4:" in text and "'inbx'" in text
    status, text = run("serve", "-c", tmp_path / "nothing")
    assert status == 78 and str(tmp_path / "nothing") in text


def test_empty_configuration(tmp_path):
    """Nothing is served with a configuration that says nothing."""
    (tmp_path / "gonets.conf").write_text("")
    status, text = run("serve", "-c", tmp_path / "gonets.conf")
    assert status == 78 and "hostname" in text and "listen" in text


@contextlib.contextmanager
def configured(config=BASIC):
    """A server that is not started, and in whose folder no spool is yet: (server, path of its configuration)."""
    with shared_folder() as folder:
        server = Server(folder_of_nobody(folder / "s"), config, user="nobody")
        path = server.folder / "gonets.conf"
        path.write_text(config % {"spool": server.spool, "port": server.port, "dir": server.folder})
        try:
            yield server, path
        finally:
            server.kill()


def run_as(server, *words):
    done = subprocess.run([server.program(), *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                          timeout=20, text=True, check=False, **server.account())
    return done.returncode, done.stdout


def test_missing_spool():
    """A spool that is not there, or a folder that is none, is named with the command that makes it, which works."""
    for there in (False, True):
        with configured() as (server, path):
            if there:
                folder_of_nobody(server.spool)
            status, text = run_as(server, "serve", "-c", path)
            assert status == 69 and len(text.splitlines()) == 1
            advice = shlex.split(re.search(r"gonets (spool create \S+)", text)[1])
            assert run_as(server, *advice) == (0, "")
            server.start()
            with server.client() as c:
                assert c.mail(b"it works\r\n")[0] == 250
            assert content_of(server.wait_mails(1)[0]) == b"it works\n"
            assert server.stop() == 0
            status, text = run_as(server, *advice)       # once more harms nothing
            assert status != 0 and str(server.spool) in text
            server.start()
            assert server.stop() == 0


def test_second_server_on_the_spool():
    """A second server on the spool does not start, and the first is not disturbed."""
    with configured() as (server, path):
        server.start()
        other = path.with_name("other.conf")
        other.write_text(path.read_text().replace(str(server.port), str(free_port())))
        for _ in range(3):
            status, text = run_as(server, "serve", "-c", other)
            assert status == 69 and "another server is using the spool" in text and str(server.spool) in text
        with server.client() as c:
            assert c.mail(b"undisturbed\r\n")[0] == 250
        server.wait_mails(1)
        assert server.stop() == 0


# ---- the manual's examples ----


def examples():
    """The configurations of gonets.conf(5)."""
    page = (ROOT / "man/gonets.conf.5").read_text()
    return re.findall(r"^\.Bd -literal[^\n]*\n(.*?)^\.Ed$", page, re.M | re.S)


def moved(text, places):
    """The text with places of this test in the place of the manual's."""
    for old, new in places.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


SPOOL = "spool %(spool)s\nworkers 1\nsegment 1M\n"


def test_first_example():
    """The manual's server for the accounts of a machine: who has one is known, or an alias, and others are not; the machine
    itself writes to everybody."""
    text = moved(examples()[0].replace("%", "%%"), {"*:25": "127.0.0.1:%(port)d", "/etc/aliases": "%(dir)s/aliases"}) + SPOOL
    with shared_folder() as shared:
        folder = folder_of_nobody(shared / "s")
        (folder / "aliases").write_text("info: nobody\n")
        with Server(folder, text, user="nobody") as server:
            use_first_example(server)
            assert server.stop() == 0


def use_first_example(server):
    with server.client() as c:
        c.reply()
        for line in ("EHLO client.example", "MAIL FROM:<me@far.example>", "RCPT TO:<nobody@example.org>", "RCPT TO:<info@example.org>"):
            assert c.say(line)[0] == 250
        assert c.say("RCPT TO:<no-such-account@example.org>") == (550, ["5.1.1 no such mailbox here"])
        assert c.say("RCPT TO:<nobody@example.net>")[0] == 250


def test_second_example():
    """The manual's server of virtual domains: Maildir by table of users, postmaster, mbox for the machine, hold, reject."""
    with shared_folder() as shared:
        users = shared / "users"
        users.write_text("# our users\nbob\nadmin@example.org\nAnn.Lee@example.net\nlist: value\n")
        text = moved(examples()[1].replace("%", "%%"), {
            "192.0.2.25:25": "127.0.0.1:%(port)d", "[2001:db8::25]:25": f"127.0.0.1:{free_port()}",
            "127.0.0.1:2525": f"127.0.0.1:{free_port()}", "/etc/gonets/users": str(users), "/srv/mail": "%(dir)s/mail", "vmail": "nobody",
            "/var/mail": "%(dir)s/var", "203.0.113.0/24": "127.0.0.8", "10.0.0.0/8": "127.0.0.9"})
        with serving(text + SPOOL) as server:
            for name in ("mail", "var"):
                folder_of_nobody(server.folder / name)
            use_second_example(server)


def use_second_example(server):
    def send(recipient, source="127.0.0.1"):
        with server.client(source=source) as c:
            return c.mail(f"Subject: for {recipient}\r\n\r\nFrom me\r\n".encode(), recipient)

    taken = {"bob@example.org": "example.org/bob", "BOB@EXAMPLE.NET": "example.net/bob", "ann.lee@example.net": "example.net/ann.lee",
             "list@lists.example.org": "lists.example.org/list", "bob@x.lists.example.org": "x.lists.example.org/bob",
             "postmaster": "example.org/admin", "\"bob\"@example.org": "example.org/bob"}
    for recipient in taken:
        assert send(recipient)[0] == 250, recipient
    for recipient in ("eve@example.org", "ann.lee@example.org", "no-such-account@localhost"):
        assert send(recipient) == (550, ["5.1.1 no such mailbox here"]), recipient
    for recipient in ("bob@example.com", "bob@sub.example.org"):
        code, lines = send(recipient)
        assert code == 550 and lines[0].startswith("5.7.1 "), recipient
    assert send("nobody@localhost")[0] == send("nobody@mx.example.org")[0] == 250
    assert send("bob@example.org", "127.0.0.8")[0] == 550
    assert send("anybody@anywhere.example", "127.0.0.9")[0] == 250
    wait_for(lambda: len(server.events("delivered")) == len(taken) + 2, 20, "delivery")
    mail = server.folder / "mail"
    for recipient, place in taken.items():
        found = [path for path in (mail / place / "new").iterdir() if f"for {recipient}\n" in path.read_text()]
        assert len(found) == 1, (recipient, place)
    assert len([path for path in mail.rglob("new/*")]) == len(taken)
    text = (server.folder / "var/nobody").read_text()
    assert text.count("\nFrom ") == 1 and text.startswith("From me@example.org ") and text.count("\n>From me\n") == 2


def test_held_mail_stays():
    """What `hold` took lies in the spool, over a restart too; `discard` keeps nothing and `mbox` appends."""
    config = BASIC + ("action look hold\naction away discard\naction file mbox %(dir)s/file user nobody\n"
                      "match for domain look.example action look\nmatch for domain away.example action away\n"
                      "match for domain file.example action file\n")
    with configured(config) as (server, path):
        server.start()
        with server.client() as c:
            for number, domain in enumerate(("look", "away", "file", "file")):
                assert c.mail(f"number {number}\r\n".encode(), f"you@{domain}.example")[0] == 250
        wait_for(lambda: len(server.events("delivered")) == 3, 10, "delivery")
        for _ in range(2):
            assert server.stop() == 0
            server.start()
        held = b"".join(segment.read_bytes() for segment in (server.spool / "segments").iterdir())
        assert b"number 0\r\n" in held
        assert re.findall(r"number \d", (server.folder / "file").read_text()) == ["number 2", "number 3"]
        assert len(server.events("delivered")) == 3
        assert server.stop() == 0


# ---- the end ----


def test_stop():
    """SIGTERM: every open session gets 421, wherever it stands; what was answered stays; the exit status is 0, soon."""
    with configured() as (server, path):
        server.start()
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(server.client()) for _ in range(4)]
            silent, idle, begun, in_data = clients
            for c in clients:
                c.reply()
            idle.say("EHLO client.example")
            for line in ("EHLO client.example", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.org>"):
                begun.say(line)
                in_data.say(line)
            in_data.say("DATA")
            in_data.send(b"half of a message\r\n")
            with server.client() as c:
                assert c.mail(b"answered\r\n", "b@example.org")[0] == 250
            begin = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            for c in clients:
                code, lines = c.reply()
                assert code == 421 and lines[0].startswith("4.3.2 ") and c.at_end()
            assert server.process.wait(10) == 0 and time.monotonic() - begin < 10
            with pytest.raises(ConnectionRefusedError):
                server.client()
        server.start()
        assert [content_of(path) for path in server.wait_mails(1)] == [b"answered\n"]
        assert server.stop() == 0
