"""The order of things on disk and on the wire, read from traces of the running server; and the reader of traces itself."""

import concurrent.futures
import os

import order
import pytest
from server import Server, folder_of_nobody, shared_folder, wait_for

# What happens for two messages, one into a Maildir and one into an mbox: a trace without a fault.
ID = "0sgd1wzrg7hbme6y14wr2jk2"
SECOND = "0sgd1wzrg7hbme6y14wr2jk3"
GOOD = r"""
10 pwritev(9</s/spool>, [{iov_base="marker", iov_len=6}], 1, 0) = 6
10 fdatasync(9</s/spool>) = 0
10 openat(8</s/free>, "0000000000000005", O_WRONLY|O_CREAT, 0600) = 9</s/free/0000000000000005>
10 pwritev(9</s/free/0000000000000005>, [{iov_base="head", iov_len=4}], 1, 0) = 4
10 fdatasync(9</s/free/0000000000000005>) = 0
10 renameat(8</s/free>, "0000000000000005", 7</s/segments>, "0000000000000005") = 0
10 fsync(7</s/segments>) = 0
11 recvfrom(6<socket:[1]>, ".\r\n", 65536, MSG_DONTWAIT, NULL, NULL) = 3
12 pwritev(5</s/segments/0000000000000005>, [{iov_base="id @1;", iov_len=28}, {iov_base="token", iov_len=5}], 2, 8192) = 33
12 fdatasync(5</s/segments/0000000000000005> <unfinished ...>
13 recvfrom(6<socket:[1]>, "x", 65536, MSG_DONTWAIT, NULL, NULL) = 1
12 <... fdatasync resumed>) = 0
11 sendmsg(6<socket:[1]>, {msg_iov=[{iov_base="250 2.0.0 queued as @1\r\n", iov_len=46}], msg_iovlen=1}, 0) = 46
12 pwritev(5</s/segments/0000000000000005>, [{iov_base="id @2;", iov_len=28}], 1, 12288) = 28
12 fdatasync(5</s/segments/0000000000000005>) = 0
11 sendmsg(6<socket:[1]>, {msg_iov=[{iov_base="250 2.0.0 queued as @2\r\n", iov_len=46}], msg_iovlen=1}, 0) = 46
20 mkdirat(4</m>, "box", 0700) = 0
20 fsync(4</m>) = 0
20 openat(5</m/box/tmp>, "a", O_WRONLY|O_CREAT|O_EXCL, 0600) = 9</m/box/tmp/a>
20 pwritev(9</m/box/tmp/a>, [{iov_base="id @1;", iov_len=28}], 1, 0) = 28
20 syncfs(6</m/box/new>) = 0
20 linkat(5</m/box/tmp>, "a", 6</m/box/new>, "1.@1.host", 0) = 0
20 unlinkat(5</m/box/tmp>, "a", 0) = 0
20 fsync(6</m/box/new>) = 0
21 sendmsg(3<socket:[2]>, {msg_iov=[{iov_base="\0", iov_len=1}, {iov_base="=\0\0\0\0\0\0\0\0@b1delivered to maildir /m/box as 1.@1.host", iov_len=9}], msg_iovlen=2}, 0) = 10
30 openat(4</m>, "mbox", O_WRONLY|O_CREAT|O_EXCL, 0600) = 9</m/mbox>
30 fsync(4</m>) = 0
30 pwritev(9</m/mbox>, [{iov_base="id @2;", iov_len=28}], 1, 0) = 28
30 fsync(9</m/mbox>) = 0
31 sendmsg(3<socket:[2]>, {msg_iov=[{iov_base="\0", iov_len=1}, {iov_base="=\0\0\0\0\0\0\0\0@b2delivered to mbox /m/mbox", iov_len=9}], msg_iovlen=2}, 0) = 10
40 pwritev(5</s/segments/0000000000000006>, [{iov_base="@b1 @b2", iov_len=30}], 1, 8192) = 30
40 fdatasync(5</s/segments/0000000000000006>) = 0
40 renameat(7</s/segments>, "0000000000000005", 8</s/free>, "0000000000000005") = 0
"""


def trace(text=GOOD):
    for mark, mail in (("1", ID), ("2", SECOND)):
        raw = "".join(f"\\{byte:o}" if byte > 7 else f"\\00{byte}" for byte in order.id_bytes(mail))
        text = text.replace(f"@b{mark}", raw).replace(f"@{mark}", mail)
    return text.strip().splitlines()


def moved(line, before):
    """The trace with the line that begins so in front of another."""
    lines = GOOD.strip().splitlines()
    text = next(text for text in lines if text.startswith(line))
    lines.remove(text)
    lines.insert(next(i for i, other in enumerate(lines) if other.startswith(before)), text)
    return "\n".join(lines)


def without(line):
    lines = GOOD.strip().splitlines()
    lines.remove(next(text for text in lines if text.startswith(line)))
    return "\n".join(lines)


def test_good_trace_passes():
    complaints, counts = order.check(trace(), {ID: ["token"]})
    assert complaints == []
    assert counts == {"replies": 2, "segments": 1, "markers": 1, "maildir": 1, "mbox": 1, "forgotten": 1}


FDATASYNC = "12 fdatasync(5</s/segments/0000000000000005>)"  # of the second group


@pytest.mark.parametrize("text, complaint", [
    # The reply before, or while, the group is made durable; never; in vain; in another file; too early for its bytes.
    (moved("11 sendmsg(6<socket:[1]>, {msg_iov=[{iov_base=\"250 2.0.0 queued as @1", "12 <... fdatasync"), "was not synced"),
    (moved("11 sendmsg(6<socket:[1]>, {msg_iov=[{iov_base=\"250 2.0.0 queued as @2", FDATASYNC), "was not synced"),
    (without(FDATASYNC), "was not synced"),
    (GOOD.replace(FDATASYNC + " = 0", FDATASYNC + " = -1 EIO (Input/output error)"), "was not synced"),
    (GOOD.replace("resumed>) = 0", "resumed>) = -1 EIO (Input/output error)"), "was not synced"),
    (GOOD.replace(FDATASYNC, "12 fdatasync(5</s/segments/0000000000000009>)"), "was not synced"),
    (moved(FDATASYNC, '12 pwritev(5</s/segments/0000000000000005>, [{iov_base="id @2'), "was not synced"),
    (moved("12 fdatasync(5</s/segments/0000000000000005> <", "12 pwritev"), "was not synced"),
    # Not written, or not all of it.
    (without('12 pwritev(5</s/segments/0000000000000005>, [{iov_base="id @2'), "nothing was written that contains"),
    (GOOD.replace('"token"', '"tok"'), "nothing was written that contains token"),
    (GOOD.replace("8192) = 33", "8192) = 32"), "did not write all"),
    # Segments: the marker before the number, the header before the name, the name before use.
    (without("10 fdatasync(9</s/spool"), "the marker was not synced"),
    (moved("10 fdatasync(9</s/spool", "10 pwritev(9</s/spool"), "the marker was not synced"),
    (without("10 fdatasync(9</s/free"), "which was not synced"),
    (moved("10 fdatasync(9</s/free", "10 pwritev(9</s/free"), "which was not synced"),
    (without("10 fsync"), "its folder was not synced"),
    (moved("10 fsync", "10 renameat"), "its folder was not synced"),
    (moved("10 fsync", "12 fdatasync"), "its folder was not synced"),
    (GOOD.replace("10 fsync(7</s/segments>)", "10 fsync(8</s/free>)"), "its folder was not synced"),
    # Maildir: both barriers, and the folders on the way.
    (without("20 syncfs"), "which was not synced"),
    (moved("20 syncfs", "20 pwritev"), "which was not synced"),
    (without("20 fsync(6"), "new/ was not synced"),
    (moved("20 fsync(6", "20 linkat"), "new/ was not synced"),
    (moved("21 sendmsg", "20 fsync(6"), "new/ was not synced"),
    (without("20 fsync(4").replace("20 syncfs(6</m/box/new>)", "20 fsync(9</m/box/tmp/a>)"), "has no durable name"),
    (without("20 linkat"), "never came into new/"),
    # mbox: the file's name, its bytes.
    (without("30 fsync(4"), "the folder was not synced"),
    (moved("30 fsync(4", "30 openat"), "the folder was not synced"),
    (without("30 fsync(9"), "was not synced"),
    (moved("30 fsync(9", "30 pwritev"), "was not synced"),
    (moved("31 sendmsg", "30 fsync(9"), "was not synced"),
    # Forgetting: what became of the messages is durable first.
    (without("40 fdatasync"), "of which nothing durable is known"),
    (moved("40 renameat", "40 fdatasync"), "of which nothing durable is known"),
    (GOOD.replace("@b1 @b2", "@b2"), f"removes {ID}"),
])
def test_faulty_trace_is_seen(text, complaint):
    complaints, _ = order.check(trace(text), {ID: ["token"]})
    assert complaint in "\n".join(complaints)


CONFIG = """hostname mx.example.org
workers 1
segment 1M
spool %(spool)s
listen 127.0.0.1:%(port)d
action box maildir %(dir)s/mail/box user nobody
action file mbox %(dir)s/mail/file user nobody
match for domain mbox.example action file
match for any action box
"""
SENDERS = 8
SIZES = [100, 3000, 100_000, 700_000]  # within a group, most of a segment, and in a segment of its own
ROUNDS = 2


def message(token, size):
    """Tokens at the begin, in the middle and at the end: (content, the tokens)."""
    tokens = [f"{token}-{part}" for part in ("first", "middle", "last")]
    filler = b"0123456789abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ\r\n" * (size // 132)
    return (f"Subject: {tokens[0]}\r\n\r\n".encode() + filler + f"{tokens[1]}\r\n".encode() + filler +
            f"{tokens[2]}\r\n".encode()), tokens


def send_some(server, sender):
    """{id: tokens} of what was taken."""
    taken = {}
    with server.client() as client:
        for number in range(ROUNDS):
            for size in SIZES:
                content, tokens = message(f"token-{sender}-{number}-{size}", size)
                recipient = "you@mbox.example" if (sender + number) % 2 else "you@example.org"
                code, lines = client.mail(content, recipient)
                assert code == 250, lines
                taken[lines[0].split()[-1]] = tokens
    return taken


def delivered(server):
    return sum(event["event"] == "delivered" for event in server.events())


def segment_sizes(server):
    return [entry.stat().st_size for entry in os.scandir(server.spool / "segments")]


def test_order_of_the_running_server():
    """H134 H139 H140: no 250, no new name and no delivery is told before it is durable, and nothing is forgotten before its
    mark is: receive, Maildir and mbox, over several segments."""
    with shared_folder() as folder:
        folder_of_nobody(folder / "mail")
        path = folder / "trace"
        with Server(folder, CONFIG, wrapper=[*order.STRACE, "-o", path]) as server:
            with concurrent.futures.ThreadPoolExecutor(SENDERS) as pool:
                taken = {}
                for some in pool.map(lambda sender: send_some(server, sender), range(SENDERS)):
                    taken.update(some)
            wait_for(lambda: delivered(server) == len(taken), 30, "delivery of everything")
            wait_for(lambda: all(size in (8192, 1 << 20) for size in segment_sizes(server)), 10, "forgetting of large messages")
            assert server.stop() == 0
        with open(path, encoding="latin-1") as file:
            lines = file.read().splitlines()
    complaints, counts = order.check(lines, taken)
    print(dict(counts))
    assert complaints == []
    assert counts["replies"] == len(taken) == SENDERS * ROUNDS * len(SIZES)
    # Each result is said twice: by the mailbox, and handed on to the queue.
    assert counts["maildir"] == counts["mbox"] == len(taken)
    assert counts["segments"] >= 5 and counts["forgotten"] >= 5 and counts["markers"] >= 1
    # The same trace with the syncs gone fails for each message: it is these syncs that were seen.
    blind = [line for line in lines if "sync(" not in line and "syncfs(" not in line and "sync resumed" not in line]
    complaints, _ = order.check(blind, taken)
    assert sum("250 for" in text for text in complaints) >= len(taken)
