"""gonets called as sendmail, as programs of others call it: what goes over the wire, exit codes, odd surroundings."""

import email
import email.policy
import os
import resource
import signal
import subprocess

import pytest
from server import GONETS, Server, content_of, free_port
from test_send import Peer

pytestmark = pytest.mark.asan
SECONDS_MAX = 60


@pytest.fixture
def sendmail(tmp_path):
    """Runs it under its other name, with its own server or none; standard input, result, and what the peer got."""
    program = tmp_path / "sendmail"
    program.symlink_to(GONETS)

    def run(*options, stdin=b"Subject: x\n\nhello\n", server=None, env=None, **more):
        environment = {"GONETS_SERVER": f"127.0.0.1:{server}"} if server else {}
        return subprocess.run([program, *options], input=stdin, capture_output=True, timeout=SECONDS_MAX,
                              env=os.environ | environment | (env or {}), check=False, **more)
    return run


def posted(sendmail, *options, stdin=b"Subject: x\n\nhello\n", **more):
    """(sender, recipients, message as bytes) that a server got; the command says nothing then."""
    with Peer() as peer:
        result = sendmail(*options, stdin=stdin, server=peer.port, **more)
        assert (result.returncode, result.stdout, result.stderr) == (0, b"", b""), result
        paths = [line.split(b"<", 1)[1].split(b">")[0].decode() for line in peer.commands if b"<" in line]
    return paths[0], paths[1:], peer.unstuffed()


def parsed(content):
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert not message.defects
    return message


def test_plain_call_completes_the_message(sendmail):
    sender, recipients, content = posted(sendmail, "-i", "-f", "me@here.example", "-F", 'Joe "J" Doe', "you@there.example")
    message = parsed(content)
    assert (sender, recipients) == ("me@here.example", ["you@there.example"])
    assert str(message["From"]) == '"Joe \\"J\\" Doe" <me@here.example>' and message["Subject"] == "x"
    assert message["Date"].datetime and message["Message-ID"].startswith("<")
    assert message.get_content() == "hello\r\n" and b"\n" not in content.replace(b"\r\n", b"")


def test_sender_is_who_calls(sendmail):
    name = subprocess.check_output(["id", "-un"], text=True).strip()
    sender, _, content = posted(sendmail, "you@there.example")
    assert sender == name and f"<{name}@" in parsed(content)["From"]


def test_what_is_there_stays(sendmail):
    header = b"From: A <a@x.example>\nDate: Sat, 21 Nov 2026 21:30:00 +0300\nMessage-ID: <1@x>\nTo: you@y\n"
    _, _, content = posted(sendmail, "-f", "", "you@y", stdin=header + b"\nbody\n")
    assert content == (header + b"\nbody\n").replace(b"\n", b"\r\n")


RECIPIENTS = [
    (b"To: a@x, \"B, b\" <b@x>\nCc: c@x (C, c)\nBcc: d@x,\n e@x\n\nhello\n", [], ["a@x", "b@x", "c@x", "d@x", "e@x"]),
    (b"To: a@x\n\nTo: b@x\n", [], ["a@x"]),
    (b"To: a@x\nCC: A <a@x>\n\n", ["z@x, y@x"], ["z@x", "y@x", "a@x"]),
    (b"to: group: a@x, b@x;, c@x\n\n", [], ["a@x", "b@x", "c@x"]),
    (b"To: a@x\nResent-To: b@x\nResent-Bcc: c@x\n\n", [], ["b@x", "c@x"]),
    (b"From x@y Sat Nov 21\nTo: root\n\n", [], ["root"]),
    (b"To: undisclosed-recipients:;\nBcc: a@x\n\n", [], ["a@x"]),
]


@pytest.mark.parametrize("stdin, more, wanted", RECIPIENTS)
def test_recipients_of_the_header(sendmail, stdin, more, wanted):
    _, recipients, content = posted(sendmail, "-t", "-oi", *more, stdin=stdin)
    message = parsed(content)
    assert recipients == wanted and not message["Bcc"] and not message["Resent-Bcc"] and b"From x@y" not in content


DOTS = [
    (["-i"], b"a\n.\nb\n", b"a\r\n.\r\nb\r\n"), (["-oi"], b".\n", b".\r\n"), (["-Oi", "-ti"], b".b\n", b".b\r\n"),
    ([], b"a\n.\nb\n", b"a\r\n"), ([], b"a\r\n.\r\nb\r\n", b"a\r\n"), ([], b"a\n..\n.b\n", b"a\r\n..\r\n.b\r\n"), ([], b"a", b"a\r\n"),
    ([], b"", b""),
]


@pytest.mark.parametrize("options, body, wanted", DOTS)
def test_dots_and_line_ends(sendmail, options, body, wanted):
    _, _, content = posted(sendmail, *options, "you@y", stdin=b"To: you@y\n\n" + body)
    assert content.split(b"\r\n\r\n", 1)[1] == wanted


HEADERLESS = [(b"hello\nworld\n", b"hello\r\nworld\r\n"), (b" indented\n", b" indented\r\n"), (b"", b""), (b"\nx\n", b"x\r\n"),
              (b"Subject: x\nno field\nmore\n", b"no field\r\nmore\r\n"), (b"Subject: x", b"")]


@pytest.mark.parametrize("stdin, body", HEADERLESS)
def test_text_without_a_header(sendmail, stdin, body):
    _, _, content = posted(sendmail, "you@y", stdin=stdin)
    header, rest = content.split(b"\r\n\r\n", 1)
    assert rest == body and all(b":" in line for line in header.split(b"\r\n"))


# As others call it: cron, PHP, mutt, git send-email, logwatch, smartd, at.
CALLS = [
    ["-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t"], ["-t", "-i"], ["-oi", "-oem", "-f", "me@x", "--", "you@y"], ["-i", "you@y"],
    ["-i", "-t", "-fme@x"], ["-bm", "-oee", "-h", "3", "you@y"], ["-B8BITMIME", "-N", "failure,delay", "-R", "hdrs", "-V", "id", "you@y"],
    ["-om", "you@y"], ["-G", "-U", "you@y"], ["-r", "me@x", "-O", "DeliveryMode=b", "you@y"],
]


@pytest.mark.parametrize("options", CALLS)
def test_calls_of_other_programs(sendmail, options):
    _, recipients, _ = posted(sendmail, *options, stdin=b"To: you@y\n\nhello\n")
    assert recipients == ["you@y"]


@pytest.mark.parametrize("options, code, words", [
    (["-Z", "you@y"], 64, "unknown option '-Z'"), (["-f"], 64, "a value is missing after '-f'"), (["-bd"], 64, "gonets serve"),
    ([], 64, "no recipient"), (["-t"], 64, "no recipient in To"), (["a b@y"], 65, "no mail address: 'a b@y'"),
    (["-f", "a b", "you@y"], 64, "no address of a sender: 'a b'"), (["-f", "x@y\r\nRCPT TO:<e@x>", "you@y"], 64, "no address of a sender"),
    (["you@y\r\nDATA"], 65, "no mail address"), (["-S", "a b", "you@y"], 64, "no HOST"), (["-qf"], 0, ""), (["-q"], 0, ""), (["-bi"], 0, "")])
def test_wrong_calls(sendmail, options, code, words):
    """H116"""
    with Peer() as peer:
        result = sendmail(*options, server=peer.port)
        assert (result.returncode, peer.commands) == (code, []), result
        assert words in result.stderr.decode() and result.stdout == b"" and (code or not result.stderr)


def test_option_like_recipient(sendmail):
    """H28"""
    _, recipients, _ = posted(sendmail, "--", "-oQ/x@y")
    assert recipients == ["-oQ/x@y"]


def test_no_server(sendmail):
    result = sendmail("you@y", server=free_port())
    assert result.returncode == 75 and b"no server at" in result.stderr and b"Nothing was sent" in result.stderr


def test_refusals(sendmail):
    def say(line, number):
        return b"550 5.1.1 nobody\r\n" if line.startswith(b"RCPT TO:<no@") else Peer.well(line, number)
    with Peer(say) as peer:
        result = sendmail("no@y", "you@y", server=peer.port)
        assert result.returncode == 65 and b"sendmail: " in result.stderr and b"no@y: 550 5.1.1 nobody" in result.stderr
        assert b"hello" in peer.content


def test_server_of_the_configuration(sendmail, tmp_path):
    config = tmp_path / "gonets.conf"
    with Peer() as peer:
        config.write_text(f"hostname mx.here.example\ntable t file /no/such\nlisten 192.0.2.1:25\nlisten *:{peer.port}\n")
        result = sendmail("-C", config, "-f", "me", "you@y", env={"GONETS_SERVER": ""})
        assert (result.returncode, result.stderr) == (0, b"")
        assert b"From: " in peer.content and b"<me@mx.here.example>" in peer.content and b"@mx.here.example>\r\n" in peer.content


def test_option_before_variable(sendmail):
    with Peer() as peer:
        result = sendmail("-v", "-S", f"127.0.0.1:{peer.port}", "you@y", server=free_port())
        assert result.returncode == 0 and b"took the message for 1 of 1 recipient" in result.stdout


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2)])
def test_closed_descriptors(sendmail, closed):
    """H162: whatever is closed, nothing of the message goes into a wrong file, and the exit code tells the truth."""
    def close():
        for fd in closed:
            os.close(fd)
    with Peer() as peer:
        result = sendmail("-v", "you@y", server=peer.port, preexec_fn=close)
        assert result.returncode in (0, 74) and (result.returncode == 0) == (b"." in peer.commands)


@pytest.mark.parametrize("limit", [resource.RLIMIT_FSIZE, resource.RLIMIT_CPU, resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC])
def test_limits(sendmail, limit):
    """H162: it fails alone, or not at all."""
    with Peer() as peer:
        result = sendmail("you@y", server=peer.port, preexec_fn=lambda: resource.setrlimit(limit, (0, resource.getrlimit(limit)[1])))
        assert (result.returncode == 0) == (b"." in peer.commands)


def test_long_arguments(sendmail):
    """H162"""
    result = sendmail("-F", "x" * 100000, *["a" * 60 + "@y"] * 5000, server=free_port())
    assert result.returncode == 75
    result = sendmail("x" * 100000, server=free_port())
    assert result.returncode == 65 and len(result.stderr) < 1000


def test_signals(sendmail, tmp_path):
    """H162: alarms that come all the time are nobody's."""
    program = tmp_path / "sendmail"
    with Peer() as peer:
        process = subprocess.Popen([program, "you@y"], stdin=subprocess.PIPE, env=os.environ | {"GONETS_SERVER": f"127.0.0.1:{peer.port}"},
                                   preexec_fn=lambda: signal.signal(signal.SIGALRM, signal.SIG_IGN))
        for _ in range(100):
            process.send_signal(signal.SIGALRM)
        process.communicate(b"hello\n", timeout=SECONDS_MAX)
        assert process.returncode == 0 and b"hello" in peer.content


def test_into_the_mailbox(sendmail, tmp_path):
    with Server(tmp_path / "s") as server:
        result = sendmail("-t", "-i", stdin="To: you@example.org\nSubject: x\n\nGrüße\n.\nend\n".encode(), server=server.port)
        assert (result.returncode, result.stderr) == (0, b"")
        mail = server.wait_mails(1)[0]
        assert content_of(mail).endswith("Subject: x\n\nGrüße\n.\nend\n".encode())


def test_other_names(tmp_path):
    (tmp_path / "newaliases").symlink_to(GONETS)
    assert subprocess.run([tmp_path / "newaliases"], check=False).returncode == 0
