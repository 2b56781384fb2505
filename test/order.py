#!/usr/bin/python3
"""Reads a trace of the whole server, as `strace -f -y -v` writes it, and complains about every promise made before
what it promises was durable. Alone: order.py TRACE.

A line of strace is printed when a call begins, and once more when it ends in case another thread was in between. A thread
goes on only after its line is written. So what caused something stands above it, and the number of the line is all the time
that is needed here."""

import bisect
import codecs
import collections
import functools
import os
import re
import sys

STRACE = ["strace", "-f", "-y", "-v", "-s", "65536", "-e", "trace=fdatasync,fsync,syncfs,pwritev,pwritev2,pwrite64,write,writev,"
          "copy_file_range,sendmsg,sendto,linkat,renameat,renameat2,unlinkat,mkdirat,openat,recvfrom"]
WRITES = {"pwritev", "pwritev2", "pwrite64", "write", "writev", "copy_file_range"}
SENDS = {"sendmsg", "sendto", "write", "writev"}
NEVER = float("inf")

WHOLE = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+|\?)(?:<[^>]*>(?:\(deleted\))?)?(?: .*)?")
TEXT = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"')
PLACE = re.compile(r'(?:\d+|AT_FDCWD)<([^>]*)>, "((?:[^"\\]|\\.)*)"')
SEGMENT = re.compile(r"(.*)/segments/[0-9a-f]{16}$")
PROMISE = re.compile(rb"250 2\.0\.0 queued as ([0-9a-z]{24})")
DELIVERED = re.compile(rb"delivered to (?:maildir (?P<folder>[^\0]*) as (?P<name>[^\s\0]+)|mbox (?P<mbox>[^\s\0]+))")
ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
ID_SIZE = 15


class Call:
    """begin and end: lines. result: what it returned; None: it did not."""

    def __init__(self, name, begin):
        self.name, self.begin, self.end, self.result, self.args = name, begin, NEVER, None, ""

    @functools.cached_property
    def path(self):
        """Of the descriptor that comes first."""
        found = re.match(r"\d+<([^>]*)>", self.args)
        return found.group(1) if found else ""

    @functools.cached_property
    def places(self):
        """The paths that a call by names speaks of."""
        return [os.path.join(folder, name) for folder, name in PLACE.findall(self.args)]

    @functools.cached_property
    def data(self):
        return b"".join(codecs.escape_decode(text)[0] for text in TEXT.findall(self.args))

    @property
    def good(self):
        return self.result is not None and self.result >= 0

    @functools.cached_property
    def wrote_all(self):
        lengths = re.findall(r"iov_len=(\d+)", self.args) or re.findall(r'"(?:\.\.\.)?, (\d+)', self.args)
        return self.good and self.result == sum(map(int, lengths))

    def __repr__(self):
        return f"{self.name} in line {self.begin}"


def id_bytes(text):
    bits = 0
    for letter in text:
        bits = bits << 5 | ID_ALPHABET.index(letter)
    return bits.to_bytes(ID_SIZE, "big")


def parse(lines):
    calls, open_calls = [], {}
    for number, line in enumerate(lines, 1):
        found = re.match(r"(\d+) +(?:[\d:.]+ )?(.*)", line, re.S)
        if not found or found.group(2).startswith(("+++", "---")):
            continue
        thread, text = found.groups()
        resumed = re.match(r"<\.\.\. \w+ resumed>(.*)", text, re.S)
        if resumed:
            call, begun = open_calls.pop(thread, (None, ""))
            if call is None:
                continue
            text = begun + resumed.group(1)
        else:
            name = re.match(r"\w+", text)
            if not name:
                continue
            call = Call(name.group(), number)
            calls.append(call)
            if text.endswith("<unfinished ...>"):
                open_calls[thread] = call, text.removesuffix("<unfinished ...>")
                continue
        whole = WHOLE.fullmatch(text)
        if whole:
            call.args, call.end = whole.group(2), number
            call.result = None if whole.group(3) == "?" else int(whole.group(3))
    return calls


class Trace:
    """All paths are taken to lie on one file system: a good syncfs anywhere covers them all."""

    def __init__(self, lines):
        self.calls = parse(lines)
        self.promised = {}  # {id: its text}
        self.writes, self.syncs = collections.defaultdict(list), collections.defaultdict(list)
        self.everywhere, self.names, self.sends = [], [], []
        for call in self.calls:
            if call.name in WRITES and call.path.startswith("/"):
                self.writes[call.path].append(call)
            elif call.name in ("fsync", "fdatasync") and call.result == 0:
                self.syncs[call.path].append(call)
            elif call.name == "syncfs" and call.result == 0:
                self.everywhere.append(call)
            elif call.name in ("linkat", "renameat", "renameat2", "mkdirat", "openat") and call.good:
                if call.name != "openat" or "O_CREAT" in call.args:
                    self.names.append(call)
            elif call.name in SENDS and call.path.startswith("socket:") and call.good:
                self.sends.append(call)
                self.promised.update((id_bytes(mail.decode()), mail.decode()) for mail in PROMISE.findall(call.data))

    def synced(self, path, after, before):
        """Did a sync of this file or folder begin behind one line and end before another?"""
        for syncs in (self.syncs.get(path, []), self.everywhere):
            first = bisect.bisect_right([s.begin for s in syncs], after)
            if any(s.end < before for s in syncs[first:]):
                return True
        return False

    def named(self, path, before):
        """The last call that gave a file this name, or None when it was there before the trace began."""
        found = [n for n in self.names if n.places and n.places[-1] == path and n.end < before]
        return found[-1] if found else None


# ---- the promises; each check yields (line, complaint) and counts what it has looked at ----


def check_replies(trace, counts, strings):
    """A 250 after the final dot: all bytes of the message written, and synced since, in the file they were written to."""
    for send in trace.sends:
        for raw in PROMISE.findall(send.data):
            mail = raw.decode()
            counts["replies"] += 1
            for text in [mail, *strings.get(mail, [])]:
                yield from check_bytes(trace, send, text, f"250 for {mail}")


def check_bytes(trace, send, text, promise, path=None):
    found = [w for path_, writes in trace.writes.items() if (path_ == path if path else SEGMENT.match(path_))
             for w in writes if text in w.args and w.end < send.begin]
    if not found:
        yield send.begin, f"{promise}: nothing was written that contains {text}"
    for write in found:
        if not write.wrote_all:
            yield send.begin, f"{promise}: {write} did not write all"
        elif not trace.synced(write.path, write.end, send.begin):
            yield send.begin, f"{promise}: {os.path.basename(write.path)} was not synced between {write} and the promise"


def check_data_before_name(trace, name, old):
    """What was written under the old name is durable before the file gets the new one."""
    for write in trace.writes.get(old, []):
        if write.end < name.begin and not trace.synced(old, write.end, name.begin):
            yield name.begin, f"{name} gives a name to {old}, which was not synced since {write}"


def check_segments(trace, counts):
    """A segment is used only when its name and header are durable."""
    for name in trace.names:
        if not name.name.startswith(("rename", "link")) or not SEGMENT.match(name.places[1]):
            continue
        old, new = name.places
        yield from check_data_before_name(trace, name, old)
        uses = [w.begin for w in trace.writes.get(new, []) if w.begin > name.end]
        counts["segments"] += bool(uses)
        if uses and not trace.synced(os.path.dirname(new), name.end, min(uses)):
            yield min(uses), f"{os.path.basename(new)} is used, but its folder was not synced since {name}"


def check_numbers(trace, counts):
    """The marker, which says what numbers may be given, is durable before the next segment gets its number."""
    for path, writes in trace.writes.items():
        if os.path.basename(path) != "spool":
            continue
        for write in writes:
            uses = [n.begin for n in trace.names if n.begin > write.end and n.name.startswith("rename") and
                    SEGMENT.match(n.places[-1])]
            counts["markers"] += bool(uses)
            if uses and not trace.synced(path, write.end, min(uses)):
                yield min(uses), f"a segment gets its number, but the marker was not synced since {write}"


def check_deliveries(trace, counts):
    """A delivery is told only when the bytes and every name on the way to them are durable."""
    for send in trace.sends:
        for found in DELIVERED.finditer(send.data):
            if found["mbox"]:
                counts["mbox"] += 1
                yield from check_mbox(trace, send, found["mbox"].decode())
            else:
                counts["maildir"] += 1
                yield from check_maildir(trace, send, found["name"].decode())


def check_folders(trace, path, send):
    for folder in [n for n in trace.names if n.name == "mkdirat" and path.startswith(n.places[0] + "/")]:
        if folder.end < send.begin and not trace.synced(os.path.dirname(folder.places[0]), folder.end, send.begin):
            yield send.begin, f"delivery is told, but the folder of {folder} has no durable name"


def check_maildir(trace, send, name):
    made = [n for n in trace.names if n.end < send.begin and n.name != "mkdirat" and n.places[-1].endswith("/new/" + name)]
    if not made:
        yield send.begin, f"delivery to {name} is told, but it never came into new/"
        return
    call, new = made[-1], made[-1].places[-1]
    if call.name == "openat":
        yield send.begin, f"{name} was written in new/ itself"
        return
    if not trace.writes.get(call.places[0]):
        yield send.begin, f"{name} came into new/, but nothing was written"
    yield from check_data_before_name(trace, call, call.places[0])
    if not trace.synced(os.path.dirname(new), call.end, send.begin):
        yield send.begin, f"delivery is told, but new/ was not synced since {call}"
    yield from check_folders(trace, new, send)


def check_mbox(trace, send, end_of_path):
    paths = {path for path in trace.writes if path.endswith("/" + end_of_path.lstrip("/"))}
    if len(paths) != 1:
        yield send.begin, f"delivery is told to {end_of_path}, but {len(paths)} such files were written"
        return
    path = paths.pop()
    mails = [mail for raw, mail in trace.promised.items() if raw in send.data]
    if not mails:
        yield send.begin, f"delivery of what was never promised is told, to {end_of_path}"
    for mail in mails:
        yield from check_bytes(trace, send, mail, f"delivery of {mail}", path)
    made = trace.named(path, send.begin)
    if made and not trace.synced(os.path.dirname(path), made.end, send.begin):
        yield send.begin, f"delivery is told, but the folder was not synced since {made}"
    yield from check_folders(trace, path, send)


def check_forgetting(trace, counts):
    """A segment goes only when what became of each of its messages is durable in the log."""
    logs = [w for path, writes in trace.writes.items() if SEGMENT.match(path) for w in writes]
    for call in trace.calls:
        goes = call.result == 0 and call.name in ("renameat", "renameat2", "unlinkat") and call.places
        if not goes or not SEGMENT.match(call.places[0]):
            continue
        counts["forgotten"] += 1
        for raw, mail in mails_in(trace, call.places[0]):
            marks = [w for w in logs if w.path != call.places[0] and w.end < call.begin and raw in w.data]
            if not any(trace.synced(w.path, w.end, call.begin) for w in marks):
                yield call.begin, f"{call} removes {mail}, of which nothing durable is known"


def mails_in(trace, path):
    """What was promised, and has its Received field in this segment."""
    text = "".join(w.args for w in trace.writes.get(path, []))
    return [(raw, mail) for raw, mail in trace.promised.items() if mail in text]


def check(lines, strings=None):
    """Complaints in the order of the trace, and what was looked at: a check that saw nothing shows nothing.
    strings: {id: texts that must be durable too before its 250}."""
    trace, counts = Trace(lines), collections.Counter()
    complaints = [*check_replies(trace, counts, strings or {}), *check_segments(trace, counts),
                  *check_numbers(trace, counts), *check_deliveries(trace, counts), *check_forgetting(trace, counts)]
    return [f"line {line}: {text}" for line, text in sorted(complaints)], counts


def main():
    with open(sys.argv[1], encoding="latin-1") as file:
        complaints, counts = check(file.read().splitlines())
    print(*complaints, dict(counts), sep="\n")
    return bool(complaints)


if __name__ == "__main__":
    sys.exit(main())
