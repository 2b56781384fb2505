"""Messages of others, from the suites, and their line ends."""

from server import suites


def corpus():
    """Every message of the suites' mail folders: (name, bytes) with the mbox line off."""
    folder = suites() and suites() / "mail"
    if not folder:
        return
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        if path.name in ("README", "README.md", "LICENSE", "COPYING", "NOTICE") or b":" not in data[:2000]:
            continue
        yield path.relative_to(folder), data.split(b"\n", 1)[1] if data.startswith(b"From ") else data


def crlf(data):
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


def stuffed(data):
    return b"\r\n".join(b"." + line if line.startswith(b".") else line for line in data.split(b"\r\n"))


def lf(data):
    return data.replace(b"\r\n", b"\n")
