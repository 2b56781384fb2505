"""Debian's Postfix as a peer: its own instance in a scratch folder on loopback ports, stopped by its own pid. Needs root."""

import grp
import os
import pathlib
import pwd
import re
import shutil
import socket
import subprocess

from server import free_port, wait_for

SBIN = pathlib.Path("/usr/lib/postfix/sbin")
MASTER_CF = pathlib.Path("/usr/share/postfix/master.cf.dist")
PRIVATE = "active bounce corrupt defer deferred flush hold incoming private saved trace".split()

CONFIG = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = {sbin}
mail_owner = postfix
setgid_group = postdrop
myhostname = {name}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mydestination =
mynetworks = 127.0.0.0/8
local_header_rewrite_clients =
alias_maps =
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
disable_dns_lookups = yes
smtp_line_length_limit = 0
message_size_limit = 102400000
mailbox_size_limit = 0
smtpd_hard_error_limit = 1000
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
"""


class Postfix:
    """relay: the port on 127.0.0.1 that everything goes on to; settings: more lines of main.cf."""

    def __init__(self, folder, relay=None, address="127.0.0.1", port=None, name="postfix.example", settings=""):
        self.folder = pathlib.Path(folder)
        self.address, self.port = address, port or free_port()
        self.config = CONFIG.format(folder=folder, sbin=SBIN, name=name) + settings
        if relay:
            self.config += f"\nrelayhost = [127.0.0.1]:{relay}\n"
        self.process = None

    def __enter__(self):
        self.lay_out()
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def lay_out(self):
        owner, drop = pwd.getpwnam("postfix").pw_uid, grp.getgrnam("postdrop").gr_gid
        etc, queue = self.folder / "etc", self.folder / "queue"
        for path in (etc, self.folder / "data", queue, queue / "pid"):
            path.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        for name in PRIVATE:
            (queue / name).mkdir(mode=0o700)
            os.chown(queue / name, owner, -1)
        for name, mode in (("maildrop", 0o730), ("public", 0o710)):
            (queue / name).mkdir()
            os.chown(queue / name, owner, drop)
            (queue / name).chmod(mode)
        os.chown(self.folder / "data", owner, -1)
        (etc / "main.cf").write_text(self.config)
        services = MASTER_CF.read_text()
        services = re.sub(r"(?m)^smtp( +inet .*)$", rf"{self.address}:{self.port}\1", services, count=1)
        services = re.sub(r"(?m)^pickup .*\n", "", services)
        services = re.sub(r"(?m)^(\S+ +(?:inet|unix|unix-dgram) +[-yn] +[-yn] +)[-yn]", r"\1n", services)
        (etc / "master.cf").write_text(services)

    def start(self):
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([SBIN / "master", "-c", self.folder / "etc"], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        wait_for(self.answers, 20, "an answer of Postfix")

    def answers(self):
        assert self.process.poll() is None, self.log()
        try:
            with socket.create_connection((self.address, self.port), timeout=5) as connection:
                return connection.recv(4) == b"220 "
        except OSError:
            return False

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)

    def log(self):
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""
