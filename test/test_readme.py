"""README, "Replace your Postfix": it shows the files of etc/examples, and each of them does what is said of it, beside Debian's
Postfix. Only names of places that a test cannot have are others: ports, folders, name servers."""

import contextlib
import re
import subprocess


from nsd import Nsd
from postfix import Postfix
from server import as_root, GONETS, ROOT, Server, free_port, serving, wait_for
from test_kill import accounts, folder  # pylint: disable=unused-import
from test_relay import send

EXAMPLES = ROOT / "etc" / "examples"
FAR = "127.0.0.3"          # where the other server listens

needs_postfix = as_root("configurations of the README beside Postfix")


def page():
    """The section."""
    return (ROOT / "README.md").read_text().partition("## Replace your Postfix\n")[2].partition("\n## ")[0]


def test_readme_shows_the_files():
    """Each file stands under the link to it, letter for letter."""
    shown = re.findall(r"\[([\w-]+\.conf)\]\(etc/examples/\1\).*?\n```\n(.*?)```\n", page(), re.S)
    assert dict(shown) == {path.name: path.read_text() for path in EXAMPLES.glob("*.conf")} and len(shown) == 3


def placed(name, nsd, port, zones):
    """A configuration of the README for this place, with what the server fills in."""
    text = (EXAMPLES / name).read_text().replace("%", "%%")
    for pattern, place in ((r"listen( +)\S+:25", r"listen\g<1>127.0.0.1:%(port)s"), (r"/etc/gonets/", "%(dir)s/"),
                           (r"%%\{home\}/Maildir|/var/mail/%%\{user\}", "%(dir)s/box/%%{user}"),
                           (r"relay via smtp.example.org", rf"\g<0>:{port}"), (r"(action \S+ +relay)(?! via)", rf"\g<1> port {port}")):
        text = re.sub(pattern, place, text)
    return text + "spool %(spool)s\nsegment 1M\n" + "".join(f"dns stub {zone} 127.0.0.1:{nsd.port}\n" for zone in zones)


@contextlib.contextmanager
def running(folder, name, zones, aliases=""):
    """(server with that configuration, a Postfix that zones can name as FAR, the server behind that)."""
    with serving() as last, Nsd(folder / "nsd", zones) as nsd:
        with Postfix(folder / "postfix", relay=last.port, address=FAR, port=free_port()) as postfix:
            (folder / "aliases").write_text(aliases)
            with Server(folder, placed(name, nsd, postfix.port, zones)) as server:
                command(server, "check")
                yield server, postfix, last
                assert server.stop() == 0, server.log()[-2000:]


def run(server, *words):
    return subprocess.run([GONETS, *words, "-c", server.folder / "gonets.conf"], capture_output=True, text=True, timeout=30, check=False)


def command(server, *words):
    """What it says; it must be content, and say no warning."""
    done = run(server, *words)
    assert (done.returncode, done.stderr) == (0, ""), (words, done)
    return done.stdout


def delivered(server, id, count):
    return wait_for(lambda: len(e := [e for e in server.events("delivered") if e["id"] == id]) == count and e, 20, "delivery")


@needs_postfix
def test_mx(folder):
    """Mail for accounts and aliases of two domains, from anybody; programs of this machine write to everybody, others to nobody."""
    alice = accounts()[0]
    zones = {"elsewhere.example": f"@ MX 10 mx\nmx A {FAR}\n"}
    aliases = f"info: {alice}, bob@elsewhere.example\npostmaster: {alice}\n"
    with running(folder, "mx.conf", zones, aliases) as (server, _, last):
        box = folder / "box" / alice / "new"
        with server.client() as c:
            assert c.mail(b"Subject: x\r\n\r\n", "nobody-here@example.org")[0] == 550
        for n, to in enumerate((f"{alice}@example.org", f"{alice}@example.net", "postmaster@example.org", f"{alice}@mx.example.org"), 1):
            delivered(server, send(server, [to]), 1)
            assert len(list(box.iterdir())) == n
        delivered(server, send(server, ["info@example.net"]), 2)
        last.wait_mails(1)
        delivered(server, send(server, ["carol@elsewhere.example"]), 1)
        last.wait_mails(2)
        said = command(server, "route", "me@example.org", "you@elsewhere.example")
        assert "out" in said and "match from local for any action out" in said
        done = run(server, "route", "me@example.org", "you@elsewhere.example", "--client", "192.0.2.1")
        assert done.returncode and "relaying denied" in done.stdout


@needs_postfix
def test_smart_host(folder):
    """All mail goes by the one host, which is found by its name; that of root goes to the administrator."""
    with running(folder, "smart-host.conf", {"example.org": f"smtp A {FAR}\n"}) as (server, _, last):
        program = folder / "sendmail"
        program.symlink_to(GONETS)
        config = f"-C{folder / 'gonets.conf'}"
        subprocess.run([program, config, "-t"], input=b"To: you@elsewhere.example\nSubject: by hand\n\nx\n", check=True, timeout=30)
        subprocess.run([program, config, "-i", "root"], input=b"Subject: cron\n\nx\n", check=True, timeout=30)
        subjects = b"".join(path.read_bytes() for path in last.wait_mails(2))
        assert b"by hand" in subjects and b"cron" in subjects
        assert {e["to"] for e in server.events("delivered")} == {"you@elsewhere.example", "admin@example.org"}


BACKUP_ZONES = {"example.org": f"@ MX 10 mx1\n@ MX 20 mx2\nmx1 A {FAR}\nmx2 A 127.0.0.1\n",
                "example.net": "@ MX 10 mx1.example.org.\n@ MX 20 mx2.example.org.\n"}


@needs_postfix
def test_backup_mx(folder):
    """The mail of the domains waits while the first MX is down; the second one, which is this one, is never tried."""
    with running(folder, "backup-mx.conf", BACKUP_ZONES) as (server, postfix, last):
        postfix.stop()
        ids = [send(server, [to], sender="them@elsewhere.example") for to in ("a@example.org", "b@example.net", "c@example.net")]
        wait_for(lambda: len(server.events("deferred")) >= 2, 20, "two deferrals")
        said = command(server, "queue", "list", "domain=example.org")
        assert "a@example.org" in said and "b@example.net" not in said and f"[{FAR}]" in said and "127.0.0.1" not in said
        commands = re.findall(r"`gonets ([^`]+)`", page().partition("| Postfix |")[2])
        assert len(commands) == 12
        for words in commands:          # those of the table; what is just being tried can be held a moment later
            words = words.replace("ID", ids[2]).split()
            wait_for(lambda: run(server, *words).returncode == 0, 10, f"an end of {words}")
        assert "c@example.net" not in command(server, "queue", "list")
        postfix.start()
        command(server, "queue", "retry", "all")
        last.wait_mails(2)
        for id in ids[:2]:
            delivered(server, id, 1)
        assert command(server, "queue", "list") == "0 messages, 0 recipients\n" and len(last.mails()) == 2
