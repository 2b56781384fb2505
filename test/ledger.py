"""A ledger of a hundred senders: what each of them sent, what it was told, and whether the mailboxes say the same.

Every try carries a token of its own; a message that got no answer, or was put off, is tried again under a new token that
names the old one. So two files with one token are a copy that the server made, and each must be explained by an
uncertain window: a process was killed after the message had its name in new/ and before that was noted durably."""

import asyncio
import collections
import dataclasses
import datetime
import json
import os
import random
import re
import threading
import time

from server import content_of

SENDERS = 100
ANSWER_SECONDS_MAX = 30
# Whose end may make a copy, until how long after the result was logged: that is for the log line to be written, or for
# the mark to become durable on a busy disk. Not qmgr's alone: local remembers results until their marks are durable.
WINDOWS = {"mailbox": 0.05, "local": 0.05, "super": 2, "all": 2}
READER_PAUSE_SECONDS = 0.05
TOKEN = re.compile(rb"^Subject: (t[0-9]+-[0-9]+)\n", re.M)

# name: (of a hundred senders, messages on one connection, recipients, bytes, mean pause in seconds)
STYLES = {
    "one long session": (50, 1 << 30, (1, 1), (200, 4000), 0.4),
    "a connection each": (30, 1, (1, 1), (200, 4000), 0.4),
    "several recipients": (15, 5, (2, 6), (200, 20000), 0.5),
    "large": (5, 3, (1, 2), (257 << 10, 700 << 10), 1.0),
}


@dataclasses.dataclass
class Try:
    token: str
    previous: str          # token of the try that this one repeats, or None
    wanted: list           # boxes of all recipients
    boxes: list            # of those that were accepted
    size: int
    begun: float
    dot: float = None      # when the final dot was about to leave
    code: int = None       # the last reply to it, None: none came
    answered: float = None


def content(token, size):
    """The message of that token: made anew when it is compared. Some lines begin with a dot."""
    lines = [b"Subject: %s" % token.encode(), b"From: me@example.org", b"", b".a line that begins with a dot"]
    line = b"%s and some words to fill the line up to its end" % token.encode()
    lines += [line] * (size // (len(line) + 2)) + [b"..", b""]
    return b"\r\n".join(lines)


def stuffed(data):
    return data.replace(b"\r\n.", b"\r\n..") + b".\r\n"


class Refused(Exception):
    """No recipient of a try was taken, or its DATA was refused."""


class Sender:
    def __init__(self, ledger, number, style):
        self.ledger, self.number = ledger, number
        _, self.per_connection, self.recipients, self.sizes, self.pause = STYLES[style]
        self.random = random.Random(f"{ledger.seed} sender {number}")
        self.count = 0
        self.again = None      # a try that is to be repeated
        self.reader = self.writer = None

    async def run(self):
        await self.ledger.rest(self.random.random() * self.pause)
        while not self.ledger.stopping.is_set():
            try:
                await self.session()
            except (OSError, EOFError, Refused, asyncio.TimeoutError):
                await self.ledger.rest(self.random.uniform(0.02, 0.2))
            finally:
                if self.writer:
                    self.writer.transport.abort()
                    self.writer = None

    async def session(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.ledger.port)
        if await self.reply() != 220:
            raise Refused
        self.writer.write(b"EHLO sender.example.org\r\n")
        if await self.reply() != 250:
            raise Refused
        for _ in range(self.per_connection):
            await self.send()
            await self.ledger.rest(self.random.expovariate(1 / self.pause))
            if self.ledger.stopping.is_set():
                break
        self.writer.write(b"QUIT\r\n")
        await self.reply()

    async def reply(self):
        while True:
            line = await asyncio.wait_for(self.reader.readline(), ANSWER_SECONDS_MAX)
            if not line.endswith(b"\r\n"):
                raise EOFError
            if line[3:4] != b"-":
                return int(line[:3])

    def pick(self):
        """Boxes for a new message."""
        return self.random.sample(sorted(self.ledger.boxes), self.random.randint(*self.recipients))

    def next_try(self):
        self.count += 1
        old, token = self.again, f"t{self.number}-{self.count}"
        if old:
            boxes, size, previous = old.wanted, old.size, old.token
        else:
            boxes, size, previous = self.pick(), self.random.randint(*self.sizes), None
        self.again = Try(token, previous, boxes, boxes, size, time.time())
        self.ledger.tries[token] = self.again
        return self.again

    async def send(self):
        t = self.next_try()
        addresses = [self.ledger.boxes[box] for box in t.boxes]
        envelope = "".join(f"RCPT TO:<{address}>\r\n" for address in addresses)
        self.writer.write(f"MAIL FROM:<{t.token}@example.org>\r\n{envelope}DATA\r\n".encode())
        code = await self.reply()
        taken = [box for box in t.boxes if await self.reply() == 250]
        go = await self.reply()
        if go != 354:
            self.answer(t, go)
            raise Refused
        t.boxes = taken
        t.dot = time.time()
        self.writer.write(stuffed(content(t.token, t.size)))
        self.answer(t, await self.reply())

    def answer(self, t, code):
        t.code, t.answered = code, time.time()
        if code == 250:
            self.again = None


class Ledger:
    """boxes: {name of a folder: address}; each folder is a Maildir below `folder`."""

    def __init__(self, seed, server, folder, boxes, read_boxes=()):
        self.seed, self.server, self.folder, self.boxes = seed, server, folder, boxes
        self.port = server.port
        self.read_boxes = list(read_boxes)     # a mail reader takes mail out of new/ there, so that copies can be seen
        self.tries = {}
        self.kills = []                        # (time, role)
        self.started = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.load()), daemon=True)

    def __enter__(self):
        self.thread.start()
        self.started.wait()
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.stopping.set)
        self.thread.join()

    async def rest(self, seconds):
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except asyncio.TimeoutError:
            pass

    async def load(self):
        self.loop, self.stopping = asyncio.get_running_loop(), asyncio.Event()
        self.started.set()
        await asyncio.gather(self.read_mail(), *(sender.run() for sender in self.senders()))

    def senders(self):
        styles = [style for style, (count, *_) in STYLES.items() for _ in range(count * SENDERS // 100)]
        return [Sender(self, number, style) for number, style in enumerate(styles)]

    async def read_mail(self):
        while not self.stopping.is_set():
            for box in self.read_boxes:
                take_out(self.folder / box)
            await self.rest(READER_PAUSE_SECONDS)

    def promised(self):
        """{(token, box)} of what must be there."""
        return {(t.token, box) for t in list(self.tries.values()) if t.code == 250 for box in t.boxes}

    def files(self):
        """{(token, box): [paths in the order they were written]}"""
        found = collections.defaultdict(list)
        for box in self.boxes:
            for part in ("new", "cur"):
                for path in files_in(self.folder / box / part):
                    found[token_of(path), box].append(path)
        for paths in found.values():
            paths.sort(key=lambda p: p.stat().st_mtime)
        return found

    def judge(self):
        return Judgement(self)


def files_in(folder):
    return list(folder.iterdir()) if folder.is_dir() else []


def take_out(maildir):
    for path in files_in(maildir / "new"):
        path.rename(maildir / "cur" / (path.name + ":2,S"))


def token_of(path):
    with path.open("rb") as file:
        found = TOKEN.search(file.read(4096))
    return found.group(1).decode() if found else path.name


class Judgement:
    """Mailboxes against ledger. Each list should be empty but `copies`, which must be explained, and `uncertain`."""

    def __init__(self, ledger):
        self.ledger = ledger
        self.found = ledger.files()
        self.lost, self.forbidden, self.changed, self.strange, self.partly = [], [], [], [], []
        self.copies, self.unexplained, self.uncertain = [], [], 0
        self.delivered = delivered_events(ledger.server)
        for t in ledger.tries.values():
            self.judge_try(t)
        for (token, box), paths in self.found.items():
            self.judge_files(token, box, paths)

    def judge_try(self, t):
        there = [box for box in t.boxes if self.found.get((t.token, box))]
        if t.code == 250:
            self.lost += [(t.token, box) for box in t.boxes if box not in there]
        elif there and (t.code or not t.dot):
            self.forbidden.append((t.token, t.code, there))
        elif there:
            self.uncertain += 1
            if len(there) != len(t.boxes):
                self.partly.append((t.token, there))

    def judge_files(self, token, box, paths):
        t = self.ledger.tries.get(token)
        if not t or box not in t.boxes:
            self.strange.append((token, box))
            return
        expected = content(token, t.size).replace(b"\r\n", b"\n")
        self.changed += [str(p) for p in paths if content_of(p) != expected]
        ids = collections.Counter(id_of(p) for p in paths)
        if len(ids) > 1:
            self.strange.append((token, box, *ids))
        for first, second in zip(paths, paths[1:]):
            self.explain(token, box, first, second)

    def explain(self, token, box, first, second):
        begin, end = first.stat().st_mtime, second.stat().st_mtime
        logged = self.delivered.get((id_of(first), self.ledger.boxes[box]), [])
        for when, role in self.ledger.kills:
            known = [e for e in logged if e < when]
            if role in WINDOWS and begin <= when <= end and all(when - e < WINDOWS[role] for e in known):
                self.copies.append(f"{token} in {box}: {first.name} at {clock(begin)} and {second.name} at {clock(end)}; "
                                   f"window: {role} was killed at {clock(when)}, "
                                   f"{'before the mark was durable' if known else 'before the result was known'}")
                return
        self.unexplained.append((token, box, first.name, clock(begin), clock(end), [clock(e) for e in logged]))

    def check(self):
        answers = collections.Counter(t.code for t in self.ledger.tries.values())
        print(f"{len(self.ledger.tries)} tries, {sum(t.previous is not None for t in self.ledger.tries.values())} of them again; "
              f"answers {dict(answers)}; {sum(map(len, self.found.values()))} files; "
              f"{self.uncertain} delivered without an answer; {len(self.ledger.kills)} kills; {len(self.copies)} copies")
        for copy in self.copies:
            print(f"copy: {copy}")
        for name in ("lost", "forbidden", "changed", "strange", "partly", "unexplained"):
            bad = getattr(self, name)
            assert not bad, f"{name}: {len(bad)}: {bad[:10]}"


def clock(seconds):
    return datetime.datetime.fromtimestamp(seconds).strftime("%H:%M:%S.%f")


def id_of(path):
    """From <seconds>.<id of 24 letters><recipient>.<host>"""
    return path.name.split(".")[1][:24]


def events(server, name):
    """Tolerates a line that was cut by a kill."""
    for line in server.log().splitlines():
        if f'"event":"{name}"' in line and line.startswith("{") and line.endswith("}"):
            yield json.loads(line)


def time_of(event):
    return datetime.datetime.fromisoformat(event["time"].replace("Z", "+00:00")).timestamp()


def delivered_events(server):
    found = collections.defaultdict(list)
    for event in events(server, "delivered"):
        found[event["id"], event.get("to")].append(time_of(event))
    return found


def seed():
    """GONETS_SEED plays the same kills and messages again."""
    value = os.environ.get("GONETS_SEED") or str(random.SystemRandom().randrange(1 << 32))
    print(f"GONETS_SEED={value}")
    return value
