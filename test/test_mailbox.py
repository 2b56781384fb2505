"""Mailboxes as their readers see them: Dovecot over POP3 and IMAP, and the files themselves."""

import concurrent.futures
import os
import pathlib
import pwd
import re
import socket
import time

import pytest

from dovecot import Dovecot
from server import Server, content_of, folder_of_nobody, serving, shared_folder, wait_for

CONFIG = """
hostname mx.example.org
spool %(spool)s
listen 127.0.0.1:%(port)s
action maildir maildir %(dir)s/Maildir user nobody
action mbox mbox %(dir)s/mbox user nobody
match for domain maildir.example action maildir
match for domain mbox.example action mbox
"""

CONTENTS = {
    "plain": b"Subject: plain\r\n\r\nbody\r\n",
    "From_ lines": b"Subject: from\r\n\r\nFrom here\r\n\r\nFrom there\r\nSubject: y\r\n>From x\r\n>>From y\r\nFrom\r\n",
    "no body": b"Subject: no body\r\n\r\n",
    "no header": b"\r\nonly a body\r\n",
    "dots": b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n",
    "eight bits": b"Subject: 8bit\r\n\r\n\xc3\xa4\xff\xfe\r\n",
    "long line": b"Subject: long\r\n\r\n" + 900 * b"x" + b"\r\n",
    "empty lines at the end": b"Subject: end\r\n\r\nbody\r\n\r\n\r\n",
    "large": b"Subject: large\r\n\r\n" + 12000 * b"From the middle of a large message, line after line.\r\n",
    "Return-Path": b"Return-Path: <one@old>\r\nSubject: paths\r\nRETURN-PATH :\r\n <two@old>\r\nReturn-Path: <three@old>\r\n\r\n"
                   b"Return-Path: <body>\r\n",
}

OLD_RETURN_PATH = re.compile(rb"^Return-Path *:.*\r\n([ \t].*\r\n)*", re.I | re.M)


def expected(content):
    """What we deliver after our own fields: lines ended by LF, arriving Return-Path fields gone from the header."""
    end = content.find(b"\r\n\r\n")
    head, body = (content[:end + 2], content[end + 2:]) if end >= 0 and not content.startswith(b"\r\n") else (b"", content)
    return (OLD_RETURN_PATH.sub(b"", head) + body).replace(b"\r\n", b"\n")


def without_trace(mail):
    """A delivered message without our Return-Path and Received."""
    assert mail.startswith(b"Return-Path: <me@example.org>\n"), mail[:80]
    rest = mail.split(b"\n", 1)[1]
    assert rest.startswith(b"Received: from "), rest[:80]
    return re.sub(rb"\AReceived:.*\n([ \t].*\n)*", b"", rest)


def stuffed(content):
    return re.sub(rb"(?m)^\.", b"..", content)


def unquoted(mail):
    return re.sub(rb"(?m)^>(>*From )", rb"\1", mail)


def send_all(server, domain):
    with server.client() as client:
        for name, content in CONTENTS.items():
            code, lines = client.mail(stuffed(content), f"joe@{domain}")
            assert code == 250, (name, lines)


def count_delivered(server):
    return sum(event["event"] == "delivered" for event in server.events())


def check_all(mails, quoted):
    mails = [unquoted(mail) if quoted else mail for mail in mails]
    left = [without_trace(mail) for mail in mails]
    for name, content in CONTENTS.items():
        assert expected(content) in left, (name, expected(content)[:200], [mail[:200] for mail in left])
        left.remove(expected(content))
    assert left == []


@pytest.mark.parametrize("kind", ["maildir", "mbox"])
def test_dovecot_reads(kind):
    """E1 E2 E6: POP3 and IMAP give every message with equal bytes; what is deleted there is gone, and more mail comes."""
    with serving(CONFIG) as server, shared_folder() as folder:
        send_all(server, f"{kind}.example")
        wait_for(lambda: count_delivered(server) == len(CONTENTS), 20, "delivery")
        path = server.folder / ("Maildir" if kind == "maildir" else "mbox")
        location = f"maildir:{path}" if kind == "maildir" else f"mbox:{folder}/d/home/mail:INBOX={path}"
        with Dovecot(folder / "d", location, owner="nobody") as dovecot:
            check_all(dovecot.over_imap(), kind == "mbox")
            check_all(dovecot.over_pop3(), kind == "mbox")
            client = dovecot.pop3()
            for number in range(client.stat()[0]):
                client.dele(number + 1)
            client.quit()
            assert dovecot.over_imap() == []
            send_all(server, f"{kind}.example")
            wait_for(lambda: count_delivered(server) == 2 * len(CONTENTS), 20, "delivery")
            check_all(dovecot.over_imap(), kind == "mbox")
            assert "rror" not in dovecot.log(), dovecot.log()


@pytest.mark.parametrize("kind", ["maildir", "mbox"])
def test_reader_and_deliverer_at_once(kind):
    """H153: a client deletes over IMAP while mail comes in from four sides: each message is read once, whole."""
    count = 200
    with serving(CONFIG) as server, shared_folder() as folder:
        path = server.folder / ("Maildir" if kind == "maildir" else "mbox")
        location = f"maildir:{path}" if kind == "maildir" else f"mbox:{folder}/d/home/mail:INBOX={path}"

        def send(sender):
            with server.client() as client:
                for number in range(sender, count, 4):
                    code, lines = client.mail(f"Subject: s\r\n\r\ntoken {number}.\r\n".encode(), f"joe@{kind}.example")
                    assert code == 250, lines
                    time.sleep(0.01)

        seen = []
        with Dovecot(folder / "d", location, owner="nobody") as dovecot, concurrent.futures.ThreadPoolExecutor(4) as pool:
            sending = [pool.submit(send, sender) for sender in range(4)]

            def take():
                client = dovecot.imap()
                for number in client.search(None, "ALL")[1][0].split():
                    body = client.fetch(number, "(BODY.PEEK[])")[1][0][1]
                    seen.append(int(re.search(rb"token (\d+)\.\r\n", body)[1]))
                    assert body.count(b"Subject: s") == 1
                    client.store(number, "+FLAGS", "\\Deleted")
                client.expunge()
                client.logout()
                return len(seen) >= count

            wait_for(take, 90, "all mail")
            for future in sending:
                future.result()
            assert take() and sorted(seen) == list(range(count))


def test_return_path():
    """The reverse-path with its route, <> for none."""
    paths = {"": b"<>", "a@b.example": b"<a@b.example>", "@one.example,@two.example:a@b.example":
             b"<@one.example,@two.example:a@b.example>", '"a b"@c.example': b'<"a b"@c.example>'}
    with serving(CONFIG) as server:
        with server.client() as client:
            for sender in paths:
                assert client.begin("joe@maildir.example", sender)[0] == 354
                assert client.say(f"Subject: x\r\n\r\n[{sender}]\r\n.\r\n".encode())[0] == 250
        for path in server.wait_mails(len(paths)):
            data = path.read_bytes()
            sender = re.search(rb"\n\[(.*)\]\n", data)[1].decode()
            assert data.startswith(b"Return-Path: " + paths[sender] + b"\n")
            assert data.lower().count(b"return-path:") == 1
            content_of(path)


def test_times_and_modes():
    """E1: shells find new mail by the times of an mbox; nobody else may read either kind."""
    with serving(CONFIG) as server:
        send_all(server, "mbox.example")
        wait_for(lambda: count_delivered(server) == len(CONTENTS), 20, "delivery")
        stat = (server.folder / "mbox").stat()
        assert stat.st_atime < stat.st_mtime and stat.st_mode & 0o7777 == 0o600
        assert not (server.folder / "mbox.lock").exists()
        send_all(server, "maildir.example")
        wait_for(lambda: count_delivered(server) == 2 * len(CONTENTS), 20, "delivery")
        for name in ("", "cur", "new", "tmp"):
            assert (server.maildir / name).stat().st_mode & 0o7777 == 0o700
        for path in server.mails():
            assert path.stat().st_mode & 0o7777 == 0o600 and path.name.endswith(f",S={path.stat().st_size}")
        assert list((server.maildir / "tmp").iterdir()) == []


def test_biff():
    """E1: comsat is told who has mail and where it begins, if the administrator wants it."""
    if os.geteuid() != 0:
        print("NOT RUN: the notice to comsat (its port is root's)")
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as comsat:
        comsat.bind(("127.0.0.1", 512))
        with serving(CONFIG.replace("user nobody\nmatch", "user nobody biff\nmatch", 1)) as server:
            send_all(server, "mbox.example")
            wait_for(lambda: count_delivered(server) == len(CONTENTS), 20, "delivery")
            comsat.settimeout(10)
            notices = [comsat.recv(100).decode() for _ in CONTENTS]
            mbox = (server.folder / "mbox").read_bytes()
    for notice in notices:
        user, _, place = notice.partition("@")
        assert user in ("nobody", "joe") and mbox[int(place):].lstrip(b"\n").startswith(b"From me@example.org "), notice
    assert len(set(notices)) == len(CONTENTS)


def test_workers_run_as_the_owner():
    """As root: the process that writes a mailbox is its owner's, in group mail for an mbox, and has no way back."""
    if os.geteuid() != 0:
        print("NOT RUN: workers for other accounts (not root)")
        return
    nobody = pwd.getpwnam("nobody")
    with shared_folder() as folder:
        folder_of_nobody(folder / "box")
        config = CONFIG.replace("%(dir)s/", f"{folder}/box/")
        with Server(folder / "s", config) as server:
            send_all(server, "mbox.example")
            send_all(server, "maildir.example")
            wait_for(lambda: count_delivered(server) == 2 * len(CONTENTS), 20, "delivery")
            workers = [pid for pid, role in server.processes().items() if role == "mailbox"]
            assert len(workers) == 2
            for pid in workers:
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
                assert re.search(rf"^Uid:\t{nobody.pw_uid}\t{nobody.pw_uid}\t{nobody.pw_uid}\t", status, re.M)
                assert re.search(r"^CapEff:\t0+$", status, re.M) and re.search(r"^CapPrm:\t0+$", status, re.M)
            assert (folder / "box" / "mbox").stat().st_uid == nobody.pw_uid
            assert (folder / "box" / "mbox").stat().st_mode & 0o7777 == 0o660
            assert (folder / "box" / "Maildir").stat().st_uid == nobody.pw_uid
            assert server.stop() == 0, server.log()
