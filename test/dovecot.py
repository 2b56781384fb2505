"""Dovecot over mailboxes that we deliver to: started on loopback ports in a scratch folder, stopped by its own pid."""

import grp
import imaplib
import os
import pathlib
import poplib
import pwd
import shutil
import subprocess

from server import free_port, wait_for

PROGRAM = shutil.which("dovecot") or "/usr/sbin/dovecot"
PASSWORD = "secret"

# One user of every name, whose mail belongs to the account `owner`. Version 2.4 says some of it in other words than 2.3.
WORDS_2_3 = """
disable_plaintext_auth = no
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/home
}}
mail_location = {location}
"""

WORDS_2_4 = """
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
auth_allow_cleartext = yes
passdb static {{
  password = {password}
}}
userdb static {{
  fields {{
    uid = {uid}
    gid = {gid}
    home = {folder}/home
  }}
}}
mail_driver = {driver}
mail_path = {path}
{inbox}
"""

CONFIG = """
protocols = imap pop3
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
default_internal_user = {internal}
default_login_user = {login}
default_internal_group = {internal_group}
first_valid_uid = 1
first_valid_gid = 1
ssl = no
auth_mechanisms = plain
mbox_read_locks = fcntl
mbox_write_locks = fcntl dotlock
service imap-login {{
  chroot =
  inet_listener imap {{
    {address} = 127.0.0.1
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    {address} = 127.0.0.1
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""


def version():
    words = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout.split()[0]
    return tuple(int(number) for number in words.split(".")[:2])


def configuration(location, **values):
    """location: as mail_location of 2.3 takes it."""
    driver, path, *inbox = location.split(":")
    values |= {"location": location, "driver": driver, "path": path,
               "inbox": inbox[0].replace("INBOX=", "mail_inbox_path = ") if inbox else ""}
    if version() < (2, 4):
        return (CONFIG + WORDS_2_3).format(address="address", **values)
    return (WORDS_2_4 + CONFIG).format(address="listen", **values)  # its versions stand first


class Dovecot:
    """location: as mail_location takes it, "maildir:/..." or "mbox:/...:INBOX=/..."; owner: the account of the mail."""

    def __init__(self, folder, location, owner=None):
        self.folder = pathlib.Path(folder)
        self.location = location
        self.owner = pwd.getpwnam(owner) if owner and os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        self.imap_port, self.pop3_port = free_port(), free_port()
        self.process = None

    def __enter__(self):
        root = os.geteuid() == 0
        home = self.folder / "home"
        home.mkdir(parents=True)
        self.folder.chmod(0o755)
        if root:
            os.chown(home, self.owner.pw_uid, self.owner.pw_gid)
        me = pwd.getpwuid(os.geteuid())
        config = self.folder / "dovecot.conf"
        config.write_text(configuration(
            self.location, folder=self.folder, password=PASSWORD, imap=self.imap_port, pop3=self.pop3_port,
            internal="dovecot" if root else me.pw_name, login="dovenull" if root else me.pw_name,
            internal_group="dovecot" if root else grp.getgrgid(me.pw_gid).gr_name,
            uid=self.owner.pw_uid, gid=self.owner.pw_gid))
        self.process = subprocess.Popen([PROGRAM, "-F", "-c", config], stdin=subprocess.DEVNULL)
        wait_for(self.answers, 20, "an answer of Dovecot")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)

    def log(self):
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def answers(self):
        assert self.process.poll() is None, self.log()
        try:
            self.pop3().quit()
            return True
        except (OSError, EOFError):
            return False

    def pop3(self):
        client = poplib.POP3("127.0.0.1", self.pop3_port, timeout=20)
        client.user("joe")
        client.pass_(PASSWORD)
        return client

    def imap(self):
        client = imaplib.IMAP4("127.0.0.1", self.imap_port, timeout=20)
        client.login("joe", PASSWORD)
        client.select("INBOX")
        return client

    def over_pop3(self):
        """All messages as a POP3 client gets them, lines ended by LF."""
        client = self.pop3()
        mails = [b"\n".join(client.retr(n + 1)[1]) + b"\n" for n in range(client.stat()[0])]
        client.quit()
        return mails

    def over_imap(self):
        """All messages as an IMAP client gets them, lines ended by LF; their sizes are what the server says."""
        client = self.imap()
        numbers = client.search(None, "ALL")[1][0].split()
        mails = []
        for number in numbers:
            (head, body), _ = client.fetch(number, "(RFC822.SIZE BODY.PEEK[])")[1]
            assert f"RFC822.SIZE {len(body)} ".encode() in head, head
            mails.append(body.replace(b"\r\n", b"\n"))
        client.logout()
        return mails
