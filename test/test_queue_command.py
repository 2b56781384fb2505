"""gonets queue, gonets trace and mailq: what waits is shown, chosen and changed, beside a running server and without one."""

import email
import email.policy
import json
import re
import socketserver
import subprocess
import threading

import pytest
from server import as_root, GONETS, Server, folder_of_nobody, shared_folder, wait_for

pytestmark = pytest.mark.asan
SECONDS_MAX = 60

CONFIG = """hostname mx.here.example
listen 127.0.0.1:%%(port)d
spool %%(spool)s
workers 1
segment 16M
log json
retry 1h expire 5d warn 4h
action inbox maildir %%(dir)s/Maildir user nobody
action out relay via 127.0.0.1:%d
match for domain here.example action inbox
match from local for any action out
"""


class Away(socketserver.ThreadingTCPServer):
    """A server elsewhere, which takes no recipient for now, in several lines; what it takes it keeps."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self):
        self.taken, self.refuses = [], True
        super().__init__(("127.0.0.1", 0), Session)

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self


class Session(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"220 away.example\r\n")
        for line in self.rfile:
            verb = line[:4].upper().strip()
            if verb == b"RCPT" and self.server.refuses:
                reply = b"451-4.7.1 Greylisted:\r\n451 4.7.1 come back \x1b[2J later\r\n"
            elif verb == b"DATA":
                self.wfile.write(b"354 go\r\n")
                content = b""
                while (part := self.rfile.readline()) not in (b".\r\n", b""):
                    content += part
                self.server.taken.append(content)
                reply = b"250 ok\r\n"
            else:
                reply = {b"EHLO": b"250 away.example\r\n", b"QUIT": b"221 bye\r\n"}.get(verb, b"250 ok\r\n")
            self.wfile.write(reply)


def command(server, *words, code=0, **more):
    """Its standard output; the whole process with code None."""
    result = subprocess.run([GONETS, *words, "--spool", server.spool], capture_output=True, text=True, timeout=SECONDS_MAX,
                            check=False, **more)
    if code is None:
        return result
    assert result.returncode == code, result
    return result.stdout


def entries(server, *words):
    return [json.loads(line) for line in command(server, "queue", "list", "--json", *words).splitlines()]


@pytest.fixture
def away():
    with Away() as elsewhere:
        yield elsewhere
        elsewhere.shutdown()
        elsewhere.server_close()


@pytest.fixture
def server(away):
    """With three messages that the server elsewhere does not take yet; their ids are server.ids."""
    with shared_folder() as folder:
        with Server(folder_of_nobody(folder / "s"), CONFIG % away.server_address[1], user="nobody") as running:
            running.ids = []
            for sender, recipient in (("me@here.example", "ann@far.example"), ("me@here.example", "bob@far.example"),
                                      ("you@here.example", "joe@off.example")):
                with running.client() as c:
                    assert c.begin(recipient, sender)[0] == 354
                    code, lines = c.say(f"Subject: x\r\nMessage-ID: <{recipient}.1>\r\n\r\nhello\r\n.\r\n".encode())
                    assert code == 250, lines
                    running.ids.append(lines[0].split()[-1])
            wait_for(lambda: len(entries(running, "state=deferred")) == 3, 30, "three deferred recipients")
            yield running


def test_list(server):
    first = entries(server, "to=ann@far.example")[0]
    assert first["id"] == server.ids[0] and first["from"] == "me@here.example" and first["attempts"] == 1
    assert first["code"] == 451 and first["status"] == "4.7.1" and first["reason"].startswith("Greylisted:\ncome back")
    assert first["next"] > first["arrived"] and first["remote"].endswith(f":{server.config.split('127.0.0.1:')[2].split()[0]}")
    text = command(server, "queue", "list")
    assert all(id in text for id in server.ids) and "3 messages, 3 recipients" in text and "\x1b" not in text
    assert re.search(r"deferred, \ds old, 1 attempt, next in (\d+h)?\d+m", text)


FILTERS = [([], 3), (["all"], 3), (["domain=far.example"], 2), (["domain=far.example", "not", "to~BOB"], 1), (["from=you@here.example"], 1),
           (["to=ann@far.example", "or", "to=joe@off.example"], 2), (["reason~come back"], 3), (["age>1h"], 0), (["next<2h"], 3),
           (["state=held"], 0), (["attempts>0"], 3), (["domain=.example"], 3)]


@pytest.mark.parametrize("words, count", FILTERS)
def test_filters(server, words, count):
    assert len(entries(server, *words)) == count
    assert len(command(server, "queue", "retry", "--dry-run", "--json", *(words or ["all"])).splitlines()) == count
    assert len(entries(server)) == 3  # nothing was changed


def test_ids(server):
    for id in server.ids:
        assert [e["id"] for e in entries(server, id)] == [id] and [e["id"] for e in entries(server, f"id={id}")] == [id]


def test_show_and_trace(server):
    """Every line of what the other server said, from wherever one begins to look."""
    id = server.ids[1]
    shown = command(server, "queue", "show", id)
    assert "received from 127.0.0.1:" in shown and "(client.example) by ESMTP" in shown and "deferred bob@far.example" in shown
    assert "451 4.7.1 Greylisted:\n" in shown and "451 4.7.1 come back ?[2J later\n" in shown
    for word in (id, id.upper(), "bob@far.example", "BOB@FAR.EXAMPLE", "<bob@far.example.1>", "bob@far.example.1"):
        assert command(server, "trace", word) in shown
    lines = [json.loads(line) for line in command(server, "trace", "--json", "me@here.example").splitlines()]
    assert [(e["id"], e["event"]) for e in lines] == [(i, e) for i in server.ids[:2] for e in ("received", "deferred")]
    assert "nothing is known" in command(server, "trace", "nobody@x", code=None).stderr


def test_retry(server, away):
    away.refuses = False
    assert "2 recipients tried now" in command(server, "queue", "retry", "domain=far.example")
    wait_for(lambda: len(away.taken) == 2, 20, "two messages elsewhere")
    wait_for(lambda: len(entries(server)) == 1, 20, "one that is left")
    log = server.log()
    told = command(server, "trace", "--log", server.ids[0], input=log)
    assert [json.loads(line)["event"] for line in told.splitlines()] == ["accepted", "deferred", "delivered"]
    assert command(server, "trace", "--log", "ann@far.example", input=log) == told


def test_hold_and_release(server, away):
    assert "1 recipient held" in command(server, "queue", "hold", server.ids[0])
    away.refuses = False
    held = command(server, "queue", "retry", "all", code=75)
    assert "2 recipients tried now" in held and "1 recipient not in such a state" in held
    wait_for(lambda: [e["state"] for e in entries(server)] == ["held"], 20, "one that is held")
    server.stop()
    assert [e["state"] for e in entries(server)] == ["held"]
    server.start()
    assert [e["id"] for e in entries(server, "state=held")] == [server.ids[0]]
    assert "1 recipient released" in command(server, "queue", "release", "state=held")
    wait_for(lambda: len(away.taken) == 3 and not entries(server), 20, "an empty queue")


def test_fail_tells_the_sender(server):
    assert "1 recipient failed" in command(server, "queue", "fail", "from=you@here.example")
    report = email.message_from_bytes(server.wait_mails(1)[0].read_bytes(), policy=email.policy.default)
    assert report["To"] == "you@here.example" and report["Auto-Submitted"] == "auto-replied"
    human, machine, original = report.iter_parts()
    fields = machine.get_payload()[1]
    assert fields["Final-Recipient"] == "rfc822; joe@off.example" and fields["Action"] == "failed" and fields["Status"] == "5.0.0"
    assert "joe@off.example" in human.get_content() and original.get_content_type() == "message/rfc822"
    assert report["In-Reply-To"] == original.get_content()["Message-ID"] == "<joe@off.example.1>"
    assert not report.defects


def test_delete_tells_nobody(server):
    assert json.loads(command(server, "queue", "delete", "--json", "all")) == {"done": 3, "gone": 0, "busy": 0, "not_so": 0, "trouble": 0}
    wait_for(lambda: not entries(server), 20, "an empty queue")
    assert not server.mails() and [e["id"] for e in server.events("deleted")] == server.ids


def test_without_a_server(server):
    before = command(server, "queue", "show", "all"), command(server, "queue", "list", "--json")
    server.stop()
    assert (command(server, "queue", "show", "all"), command(server, "queue", "list", "--json")) == before
    assert command(server, "trace", server.ids[0]) in before[0]
    result = command(server, "queue", "delete", "all", code=None)
    assert result.returncode == 69 and "no server is running" in result.stderr and command(server, "queue", "list", "--json") == before[1]


def test_commands_beside_deliveries(server, away):
    """H150: whatever is ordered while attempts are under way, each recipient has one end, and the books agree."""
    away.refuses = False
    verbs = ("retry", "hold", "release", "fail", "delete")
    orders = [subprocess.Popen([GONETS, "queue", verbs[i % 5], "all", "--json", "--spool", server.spool], stdout=subprocess.PIPE, text=True)
              for i in range(15)]
    done = [json.loads(order.communicate(timeout=SECONDS_MAX)[0] or "{}") for order in orders]
    command(server, "queue", "release", "all", code=None)
    command(server, "queue", "retry", "all", code=None)
    wait_for(lambda: not entries(server), 20, "an empty queue")
    ends = {id: [e["event"] for e in server.events() if e.get("id") == id and e["event"] in ("delivered", "failed", "deleted")]
            for id in server.ids}
    assert all(len(end) == 1 for end in ends.values()), (ends, done)
    assert len(away.taken) == sum(end == ["delivered"] for end in ends.values())


@pytest.mark.parametrize("words, text", [
    ([], "usage"), (["lsit"], "unknown word 'lsit'"), (["list", "--nonsense"], "unknown or incomplete option"), (["delete"], "which ones?"),
    (["list", "form=x"], "no filter"), (["list", "age>1"], "a filter like age>1h"), (["list", "--dry-run"], "unknown or incomplete option"),
    (["hold", "or"], "no filter"), (["hold", "a@b", "\x1b[2J"], "no filter")])
def test_wrong_words(words, text):
    result = subprocess.run([GONETS, "queue", *words], capture_output=True, text=True, check=False)
    assert result.returncode == 64 and text in result.stderr and "\x1b" not in result.stderr and not result.stdout


def test_no_spool(tmp_path):
    for words in (["queue", "list"], ["trace", "a@b"]):
        result = subprocess.run([GONETS, *words, "--spool", tmp_path], capture_output=True, text=True, check=False)
        assert result.returncode == 66 and "there is none" in result.stderr


def test_other_names(server, tmp_path):
    config = server.folder / "gonets.conf"
    for name, options in (("mailq", []), ("sendmail", ["-bp"])):
        (tmp_path / name).symlink_to(GONETS)
        result = subprocess.run([tmp_path / name, *options, "-c" if name == "mailq" else "-C", config], capture_output=True, text=True,
                                check=False)
        assert result.returncode == 0 and all(id in result.stdout for id in server.ids), result


@as_root("orders of another account")
def test_others_may_not(server):
    """H160"""
    result = command(server, "queue", "delete", "all", code=None, user=65533, group=65533, extra_groups=[])
    assert result.returncode == 77 and len(entries(server)) == 3
