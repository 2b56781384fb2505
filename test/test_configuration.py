"""Configurations as a newcomer writes them: each mistake says file, line, column, and what to do; the rules do what they say."""

import json
import os
import re
import socket
import subprocess

import pytest

from server import GONETS, ROOT, Server, folder_of_nobody, free_port, serving, shared_folder

GOOD = """hostname mx.example.org
listen 127.0.0.1:%(port)d
spool %(spool)s
workers 1
segment 1M
action inbox maildir %%{home}/Maildir
action out relay
match for local action inbox
match for domain example.org action inbox
match from local for any action out
"""


def gonets(*words, **more):
    """(exit status, standard output, standard error)."""
    done = subprocess.run([GONETS, *words], capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL, **more)
    return done.returncode, done.stdout, done.stderr


def fill(text, folder, port=2525):
    return text % {"spool": "/srv/spool", "port": port, "dir": folder}


def check(tmp_path, text):
    path = tmp_path / "gonets.conf"
    path.write_text(text)
    code, said, errors = gonets("check", "-c", path)
    return code, said, errors.replace(str(path), "F")


def test_good(tmp_path):
    assert check(tmp_path, fill(GOOD, tmp_path)) == (0, f"{tmp_path}/gonets.conf: good\n", "")


@pytest.mark.parametrize("old, new, said", [
    ("listen 127", "lissen 127", "F:2:1: unknown word 'lissen'; did you mean 'listen'?"),
    ("hostname mx.example.org", "hostname mx", "F:1:10: 'mx' is not the full name of a host"),
    ("hostname mx.example.org", "", "F: missing: hostname DOMAIN"),
    ("spool", "greeting \"hello\nspool", "F:3:10: missing quote: nothing closes this one on the same line"),
    ("127.0.0.1:2525", "127.0.0.1", "F:2:8: '127.0.0.1' is not an address with a port: write 192.0.2.1:25"),
    ("Maildir", "Maildir users <user>\ntable users { x }", "F:6:44: unknown table 'user'; did you mean 'users'?"),
    ("Maildir", "Maildir aliases <names>", "F:6:46: unknown table 'names'"),
    ("Maildir", "Maildir aliases <n>\ntable n { root: |prog }", "F:7:11: '|prog' runs a program, which is not supported: name an"),
    ("Maildir", "Maildir aliases <n>\ntable n file /no/such/file", "F:7:14: cannot read '/no/such/file': not found"),
    ("%{home}", "%{hom}", "F:6:22: '%{hom}/Maildir' is not absolute: it begins with / or %{home}/"),
    ("for domain example.org", "for example.org", "F:9:11: 'example.org' lacks a word before it: write for domain DOMAIN"),
    ("from local", "from 10.0.0.0/8", "F:10:12: '10.0.0.0/8' lacks a word before it: write from network NETWORK"),
    ("action out\n", "action oout\n", "F:10:33: unknown action 'oout'; did you mean 'out'?"),
    ("from local for any", "for any", "F:10:1: this rule relays for everybody, and an open relay is soon full of spam; write"),
    ("relay", "relay hub.example.net", "F:7:18: 'hub.example.net' lacks a word before it: write relay via HOST"),
    ("relay", "relay via hub.example.net:smtp", "F:7:22: 'hub.example.net:smtp' is not a host: write mail.example.org"),
    ("action out relay", "relay via hub.example.net", "F:7:1: 'relay' is an action; write: action out relay, and: match from"),
    ("workers 1", "retry 5", "F:4:7: '5' is not a time: write s, m, h or d behind the number"),
    ("workers 1", "dns server 192.0.2.1", "F:4:5: unknown word 'server'"),
    ("workers 1", "include /no/such/file", "F:4:9: cannot read '/no/such/file': not found"),
    ("workers 1", "limit session 5", "F:4:7: unknown limit 'session'; did you mean 'sessions'?"),
])
def test_mistakes(tmp_path, old, new, said):
    """H76: each with its place, and nothing is called good."""
    text = fill(GOOD, tmp_path)
    assert old in text
    code, out, errors = check(tmp_path, text.replace(old, new, 1))
    assert code == 78 and out == "" and said in errors, errors
    assert errors.count("\n") <= 3, "one mistake is not many"


@pytest.mark.parametrize("drop, said", [
    ("match from local for any action out\n", "F:7:8: no rule uses 'out', so nothing is relayed by it; add: match from local"),
    ("action out relay\nmatch from local for any action out\n", "F: nothing is relayed: users here cannot write to other domains"),
    ("match for local action inbox\n", "F: nobody gets the mail for postmaster, which every mail server has to take; write:"),
])
def test_forgotten(tmp_path, drop, said):
    """What is likely not meant is said, and does not stop anybody."""
    text = fill(GOOD, tmp_path).replace("127.0.0.1:", "*:")
    for line in drop.splitlines(keepends=True):
        text = text.replace(line, "")
    code, out, errors = check(tmp_path, text)
    assert code == 0 and out.endswith(": good\n") and errors.startswith("warning: " + said) and errors.count("\n") == 1, errors


def test_all_at_once(tmp_path):
    text = fill(GOOD, tmp_path).replace("listen", "lissen").replace("workers 1", "workers many").replace("action out\n", "action ou\n")
    code, _, errors = check(tmp_path, text)
    assert code == 78 and re.findall(r"^F:(\d+)", errors, re.M) == ["2", "4", "10"], errors


def serve(server):
    """A start that fails: (exit status, what was said)."""
    done = subprocess.run(server.command(), capture_output=True, text=True, timeout=30, check=False, **server.account())
    return done.returncode, done.stdout + done.stderr


def test_start_fails():
    """Port taken, port not allowed, no spool, no permission, an error in the file: each says what to do."""
    with shared_folder() as folder, socket.socket() as taken:
        server = Server(folder_of_nobody(folder / "s"), GOOD, user="nobody")
        taken.bind(("127.0.0.1", server.port))
        taken.listen()
        code, said = serve(server)
        assert code == 69 and f"cannot listen on 127.0.0.1:{server.port}" in said and "another program serves that port" in said
        server.port = free_port()
        server.config = GOOD.replace("127.0.0.1:%(port)d", "127.0.0.1:25")
        if int((ROOT / "/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) > 25:
            code, said = serve(server)
            assert code == 77 and "ports below 1024 need root" in said, said
        server.config = GOOD.replace("%(spool)s", "%(dir)s/other")
        code, said = serve(server)
        assert code == 69 and f"make it by: gonets spool create {server.folder}/other" in said, said
        server.config = GOOD.replace("listen", "lissen")
        code, said = serve(server)
        assert code == 78 and "gonets.conf:2:1: unknown word 'lissen'; did you mean 'listen'?" in said, said
        server.config = GOOD
        server.spool.chmod(0)
        if server.account() or os.geteuid():
            code, said = serve(server)
            assert code in (69, 77) and str(server.spool) in said and "permission" in said, said
        server.spool.chmod(0o700)


# ---- the rules ----

RULES = """hostname mx.example.org
listen 127.0.0.1:%(port)d
spool %(spool)s
workers 1
segment 1M
postmaster admin@virtual.example
table users { admin, alice }
table aliases file %(dir)s/aliases
table backup { one.example, .two.example }
action virtual maildir %(dir)s/box/%%{local} user nobody users <users> aliases <aliases>
action out relay
action hub relay via 127.0.0.1:9 hub.example.net:2525
match for domain virtual.example action virtual
match for domain <backup> action hub
match from network 127.0.0.2 for domain bad.example reject
match from network 127.0.0.2 for any action out
"""
ALIASES = "# as in /etc/aliases\nmailer-daemon: postmaster\npostmaster: root\nroot: alice,\n    bob@example.net\nInfo@virtual.example: admin\n"


@pytest.fixture
def rules():
    with shared_folder() as folder:
        path = folder_of_nobody(folder / "s")
        (path / "aliases").write_text(ALIASES)
        with Server(path, RULES, user="nobody") as server:
            yield server
            assert server.stop() == 0, server.log()


def test_recipients(rules):
    """H75: aliases and users exist, nobody else; a relay takes what its rule says from whom it says, and nothing for others."""
    known = ["alice@virtual.example", "ROOT@Virtual.Example", "info@virtual.example", "mailer-daemon@virtual.example",
             "postmaster", "postmaster@mx.example.org", "Postmaster@[127.0.0.1]", "x@one.example", "x@a.two.example", "x@two.example"]
    unknown = ["bob@virtual.example", "alice", "info@one.example.org", "x@a.one.example", "x@example.net", "x@bad.example",
               "x%example.net@virtual.example", "\"x@example.net\"@virtual.example", "x@[192.0.2.1]"]
    for source, open_to_all in (("127.0.0.1", False), ("127.0.0.2", True)):
        with rules.client(source=source) as c:
            c.reply()
            assert c.say("EHLO a.example")[0] == 250 and c.say("MAIL FROM:<a@b.example>")[0] == 250
            for address in known:
                assert c.say(f"RCPT TO:<{address}>")[0] == 250, address
            for address in unknown:
                takes = open_to_all and not address.endswith(("virtual.example", "bad.example"))
                assert (c.say(f"RCPT TO:<{address}>")[0] == 250) == takes, address


def route(server, *words):
    code, said, errors = gonets("route", *words, "-c", server.folder / "gonets.conf")
    assert errors == ""
    return code, said


def test_route(rules):
    """The rule that wins, why the others do not, and the next hop: as the server decides."""
    code, said = route(rules, "me@x.example", "x@a.two.example", "--client", "192.0.2.1")
    conf = rules.folder / "gonets.conf"
    assert (code, said.splitlines()) == (0, [
        "from     me@x.example", "to       x@a.two.example", "client   192.0.2.1",
        f"passed   {conf}:13: match from any for domain virtual.example action virtual", "           is for other recipients",
        f"wins     {conf}:14: match from any for domain <backup> action hub",
        "action   hub", "kind     relay", "next     127.0.0.1:9", "or       hub.example.net:2525"])
    for words, status, expected in (
            (["<>", "x@example.net"], 65, "refused  no rule takes it: relaying denied"),
            (["<>", "x@bad.example", "--client", "127.0.0.2"], 65, "refused  the rule rejects it"),
            (["a@b.example", "x@example.net", "--client", "127.0.0.2"], 0, "next     MX of example.net, port 25"),
            (["a@b.example", "x@[192.0.2.9]", "--client", "127.0.0.2"], 0, "next     [192.0.2.9], port 25"),
            (["a@b.example", "alice@virtual.example"], 0, f"mailbox  {rules.folder}/box/alice"),
            (["a@b.example", "postmaster"], 0, f"mailbox  {rules.folder}/box/admin"),
            (["a@b.example", "root@virtual.example"], 0, "alias    alice, bob@example.net"),
            (["a@b.example", "bob@virtual.example"], 65, "refused  no such mailbox: it is not in the table of users")):
        code, said = route(rules, *words)
        assert code == status and said.splitlines()[-1] == expected, said


def test_route_json(rules):
    code, said = route(rules, "me@x.example", "x@one.example", "--json")
    shown = json.loads(said)
    assert code == 0 and shown["wins"]["line"] == 14 and shown["passed"][0]["line"] == 13
    assert shown["next"] == ["127.0.0.1:9", "hub.example.net:2525"] and shown["kind"] == "relay"


@pytest.mark.parametrize("words, said", [
    ([], "two addresses are needed"), (["a@b.example"], "two addresses are needed"),
    (["a@b.example", "x@"], "not an address: 'x@'"), (["a@b.example", "x@y.example", "z"], "one word too many: 'z'"),
    (["a@b.example", "x@y.example", "--clent", "1"], "unknown option '--clent'"),
    (["a@b.example", "x@y.example", "--client", "1"], "not an IP address: '1'"),
])
def test_route_usage(words, said):
    code, _, errors = gonets("route", *words)
    assert code == 64 and said in errors and "gonets route --help" in errors


def test_aliases_deliver():
    """A name of the alias file is delivered to those it stands for."""
    config = RULES.replace("alice }", "alice, bob }")
    with shared_folder() as folder:
        path = folder_of_nobody(folder / "s")
        folder_of_nobody(path / "box")
        (path / "aliases").write_text("team: alice,\n  bob\nboss: team\n")
        with Server(path, config, user="nobody") as server, server.client() as c:
            assert c.mail(b"Subject: x\r\n\r\nx\r\n", "boss@virtual.example")[0] == 250
            server.maildir = path / "box" / "alice"
            server.wait_mails(1)
            server.maildir = path / "box" / "bob"
            server.wait_mails(1)
