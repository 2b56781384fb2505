"""gonets check: what a person sees who writes a configuration for the first time, and all examples that we give."""

import pathlib
import re
import subprocess

import pytest

from server import GONETS, ROOT

GOOD = """\
hostname mx.example.org
listen *:25
table users { alice, bob, postmaster }
action inbox maildir /srv/mail/%{local} user vmail users <users>
match for domain example.org action inbox
match from local for any reject
postmaster alice@example.org
"""


def check(*args, cwd=None):
    done = subprocess.run([GONETS, "check", *args], capture_output=True, text=True, timeout=20, cwd=cwd, check=False)
    return done.returncode, done.stdout, done.stderr


def check_text(folder, text, *args):
    (folder / "my.conf").write_text(text)
    return check("-c", "my.conf", *args, cwd=folder)


@pytest.mark.asan
def test_good(tmp_path):
    assert check_text(tmp_path, GOOD) == (0, "my.conf: good\n", "")


# What was done to GOOD, and all that is said about it.
BROKEN = {
    "misspelt word": ("listen", "lissen", "2:1: unknown word 'lissen'; did you mean 'listen'?"),
    "missing quote": ("listen", 'greeting "hello\nlisten', "2:10: missing quote: nothing closes this one on the same line"),
    "missing brace": ("postmaster }", "postmaster", "3:13: missing brace: nothing closes this one"),
    "unknown table": ("<users>", "<user>", "4:58: unknown table 'user'; did you mean 'users'?"),
    "table without brackets": ("<users>", "users", "4:58: 'users' is not a table: write <NAME>"),
    "unknown action": ("action inbox\n", "action inbux\n", "5:37: unknown action 'inbux'; did you mean 'inbox'?"),
    "relay forgotten": ("action inbox\n", "action relay\n", "5:37: unknown action 'relay'"),
    "no action at all": ("match", "action out delay\nmatch", "5:12: unknown word 'delay'; did you mean 'relay'?"),
    "words of another server": ("listen", "smtpd_banner = hello\nlisten", "2:1: unknown word 'smtpd_banner'"),
    "port forgotten": ("*:25", "0.0.0.0",
                       "2:8: '0.0.0.0' is not an address with a port: write 192.0.2.1:25, [2001:db8::1]:25 or *:25"),
    "home by tilde": ("/srv/mail/%{local}", "~/Maildir", "4:22: '~/Maildir' is not absolute: it begins with / or %{home}/"),
    "word of another template": ("%{local}", "%{username}", "4:22: '/srv/mail/%{username}' has an unknown %: there are "
                                 "%{local} %{domain} %{address} %{user} %{home}"),
    "not a domain": ("domain example.org", "domain bob@example.org", "5:18: 'bob@example.org' is not a domain"),
    "short name": ("mx.example.org", "mx", "1:10: 'mx' is not the full name of a host"),
    "host bits": ("match", "match from network 192.0.2.1/24 for any reject\nmatch",
                  "5:20: '192.0.2.1/24' is not a network: write 192.0.2.0/24 or 2001:db8::/32, with zeros behind the prefix"),
    "the wrong order": ("match", "match for domain .example.org reject\nmatch",
                        "6:1: this rule never wins: the one at my.conf:5 takes everything before it"),
    "no unit": ("listen", "limit command_time 30\nlisten",
                "2:20: '30' is not a time: write us, ms, s, m, h or d behind the number"),
    "too much": ("listen", "limit errors 5000\nlisten", "2:14: '5000' is out of range: 1 to 1000"),
    "no such file": ("{ alice, bob, postmaster }", "file /nowhere/users", "3:18: cannot read '/nowhere/users': not found"),
    "a folder": ("{ alice, bob, postmaster }", "file /tmp", "3:18: cannot read '/tmp': not a file"),
    "two names": ("listen", "hostname mx2.example.org\nlisten", "2:1: duplicate 'hostname': it was given before"),
    "kept for later": ("match", "tenant a {\n  hostname b\n}\nmatch", "5:1: 'tenant' is reserved: this version has no tenants"),
}


@pytest.mark.asan
@pytest.mark.parametrize("name", BROKEN)
def test_broken(tmp_path, name):
    """H76"""
    old, new, said = BROKEN[name]
    assert old in GOOD
    assert check_text(tmp_path, GOOD.replace(old, new, 1)) == (78, "", f"my.conf:{said}\n")


@pytest.mark.parametrize("keyword", ["hostname", "listen", "table", "action", "match"])
def test_each_keyword_misspelt(tmp_path, keyword):
    """H76: the error names the word."""
    code, out, err = check_text(tmp_path, re.sub(f"^{keyword}", keyword + "x", GOOD, flags=re.M))
    assert (code, out) == (78, "")
    assert f"unknown word '{keyword}x'; did you mean '{keyword}'?" in err


def test_empty(tmp_path):
    """H76"""
    assert check_text(tmp_path, "# nothing\n") == (78, "", (
        "my.conf: missing: hostname DOMAIN\n"
        "my.conf: missing: listen ADDRESS:PORT\n"
        "my.conf: missing: match ... action NAME; nothing would be accepted\n"))


def test_all_at_once(tmp_path):
    code, _, err = check_text(tmp_path, GOOD.replace("listen", "lissen").replace("<users>", "<user>").replace("action inbox\n", "rejct\n"))
    assert code == 78
    assert [line.split(" ")[0] for line in err.splitlines()] == ["my.conf:2:1:", "my.conf:4:58:", "my.conf:5:30:"]


def test_included_and_tables_from_files(tmp_path):
    more = tmp_path / "more.conf"
    users = tmp_path / "users"
    text = GOOD.replace("{ alice, bob, postmaster }", f"file {users}") + f"include {more}\n"
    more.write_text("limit errors 5\n")
    users.write_text("alice\nbob\npostmaster\n")
    code, out, err = check_text(tmp_path, text, "--print")
    assert (code, err) == (0, "") and "limit errors 5\n" in out and "table users {\n  alice\n  bob\n  postmaster\n}\n" in out
    more.write_text(f"limit errors many\ninclude {more}\n")
    users.write_text("alice\nbob bob\nALICE\n")
    assert check_text(tmp_path, text) == (78, "", (
        f"{users}:2:5: 'bob' is unexpected: there is one key on each line, and commas are between values\n"
        f"{users}:3:1: 'ALICE' is in this table twice\n"
        f"{more}:1:14: 'many' is not a number\n"
        f"{more}:2:9: '{more}' includes itself\n"))


@pytest.mark.asan
def test_print_is_a_configuration(tmp_path):
    code, printed, _ = check_text(tmp_path, GOOD, "--print")
    assert code == 0 and "limit message_size 50M\n" in printed
    assert check_text(tmp_path, printed, "--print") == (0, printed, "")


def test_limits(tmp_path):
    code, out, _ = check_text(tmp_path, GOOD + "limit errors 7\n", "--limits")
    rows = {line.split()[0]: line.split()[1] for line in out.splitlines()}
    assert code == 0 and rows["errors"] == "7" and rows["message_size"] == "50M"
    page = (ROOT / "man/gonets.conf.5").read_text()
    assert set(rows) == set(re.findall(r"^\.It Cm (\w+) Ar \w+$", page.split(".Ss Limits")[1], re.M))


def test_defaults_are_as_in_the_manual(tmp_path):
    _, printed, _ = check_text(tmp_path, GOOD, "--print")
    page = (ROOT / "man/gonets.conf.5").read_text()
    for name, value in re.findall(r"^\.It (?:Cm|Ic) (\w+) .*\n(?:(?!\.It)[^\n]*\n)*?Default:\s+(?:\.Pa )?([^\s.]+|/\S+)(?: ?\.)?$", page, re.M):
        if value != "none;" and value != "none":
            assert re.search(rf"^(limit )?{name} {re.escape(value)}$", printed, re.M), (name, value)


def test_wrong_command(tmp_path):
    for args in (["--frobnicate"], ["-c"], ["file"]):
        code, out, err = check(*args, cwd=tmp_path)
        assert (code, out) == (64, "") and err.startswith("gonets check: ")
    assert check("--help")[0] == 0
    assert check("-c", "none", cwd=tmp_path) == (78, "", "none: cannot read 'none': not found\n")
    assert check("-c", ".", cwd=tmp_path) == (78, "", ".: cannot read '.': not a file\n")


def examples():
    page = (ROOT / "man/gonets.conf.5").read_text()
    for n, text in enumerate(re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", page, re.M | re.S), 1):
        yield f"gonets.conf.5-{n}", text
    text = (ROOT / "etc/gonets.conf").read_text()
    yield "etc", text
    # A line of code that is commented out has no blank behind its #.
    yield "etc-all", re.sub(r"^#(?=\w)(?!table people file|hostname)", "", text, flags=re.M)


@pytest.mark.parametrize("name,text", examples(), ids=[name for name, _ in examples()])
def test_examples(tmp_path, name, text):
    (tmp_path / "users").write_text("alice\nbob@example.org\n")
    (tmp_path / "more.conf").write_text("limit errors 10\n")
    (tmp_path / "aliases").write_text("root: alice\n")
    code, _, err = check_text(tmp_path, text.replace("\\e", "\\").replace("/etc/gonets/", f"{tmp_path}/").replace("/etc/aliases", f"{tmp_path}/aliases"))
    assert code == 0 and all(line.startswith("warning: ") for line in err.splitlines()), (name, err)


def test_there_are_examples():
    assert len(list(examples())) >= 4 and pathlib.Path(GONETS).exists()
