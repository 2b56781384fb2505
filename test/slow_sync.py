"""test/preload/slow_sync.c from the side of a test: the state that it shares with the processes of a server."""

import mmap
import os
import struct
import subprocess

from server import ROOT

DATASYNC, SYNC, SYNCFS = 1, 2, 4
ALL = -(1 << 30) - 1  # for fail_in
SIZE = 4096
FIELDS = {"calls": "I", "delay_us": "I", "fail_in": "i", "failed": "I", "count": "I", "role": "20s", "path": "256s"}
OFFSETS = {name: struct.calcsize("<" + "".join(list(FIELDS.values())[:i])) for i, name in enumerate(FIELDS)}


class SlowSync:
    """Builds the library in a folder that every account can read. Attributes are the fields of the state."""

    def __init__(self, folder):
        path = folder / "slow_sync.so"
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o", path,
                        ROOT / "test/preload/slow_sync.c"], check=True)
        with open(folder / "slow_sync.state", "wb+") as file:
            file.truncate(SIZE)
            os.fchmod(file.fileno(), 0o666)
            self.__dict__["memory"] = mmap.mmap(file.fileno(), SIZE)
        self.__dict__["env"] = {"LD_PRELOAD": str(path)}

    def __getattr__(self, name):
        value, = struct.unpack_from("<" + FIELDS[name], self.memory, OFFSETS[name])
        return value.split(b"\0")[0].decode() if isinstance(value, bytes) else value

    def __setattr__(self, name, value):
        struct.pack_into("<" + FIELDS[name], self.memory, OFFSETS[name], value.encode() if isinstance(value, str) else value)
