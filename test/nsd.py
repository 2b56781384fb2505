"""NSD with zones of our own on a loopback port, in a scratch folder, stopped by its own pid."""

import os
import pathlib
import pwd
import shutil
import socket
import struct
import subprocess

from server import free_port, wait_for

PROGRAM = shutil.which("nsd") or "/usr/sbin/nsd"

CONFIG = """
server:
  ip-address: 127.0.0.1@{port}
  username: {user}
  zonesdir: {folder}
  pidfile: {folder}/nsd.pid
  logfile: {folder}/log
  xfrdfile: {folder}/xfrd.state
  zonelistfile: {folder}/zone.list
  database: ""
  server-count: 1
  verbosity: 1
remote-control:
  control-enable: no
"""

HEAD = """
$TTL 60
@ SOA ns.invalid. hostmaster.invalid. 1 3600 600 86400 5
@ NS ns.invalid.
"""


class Nsd:
    """zones: {name: lines of its zone file behind SOA and NS}."""

    def __init__(self, folder, zones):
        self.folder = pathlib.Path(folder)
        self.zones = zones
        self.port = free_port()
        self.process = None

    def __enter__(self):
        self.folder.mkdir(parents=True)
        self.folder.chmod(0o755)
        user = "nobody" if os.geteuid() == 0 else ""
        if user:
            entry = pwd.getpwnam(user)
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
        text = CONFIG.format(port=self.port, user=f'"{user}"', folder=self.folder)
        for name, lines in self.zones.items():
            (self.folder / name).write_text(HEAD + lines)
            text += f"zone:\n  name: {name}\n  zonefile: {name}\n"
        config = self.folder / "nsd.conf"
        config.write_text(text)
        self.process = subprocess.Popen([PROGRAM, "-d", "-c", config], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        wait_for(self.answers, 20, "an answer of NSD")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)

    def answers(self):
        """The SOA of its first zone."""
        assert self.process.poll() is None, (self.folder / "log").read_text()
        name = b"".join(bytes([len(part)]) + part.encode() for part in next(iter(self.zones)).split(".")) + b"\0"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.2)
            client.sendto(struct.pack(">6H", 7, 0, 1, 0, 0, 0) + name + struct.pack(">2H", 6, 1), ("127.0.0.1", self.port))
            try:
                return struct.unpack(">H", client.recv(512)[6:8])[0] == 1
            except OSError:
                return False
