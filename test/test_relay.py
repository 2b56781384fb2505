"""Mail that goes on: through Debian's Postfix, to servers that a zone of NSD names, and what its sender hears when it does not."""

import email
import email.policy
import json
import os
import socket
import subprocess
import threading

import pytest

from corpus import corpus, crlf, lf, stuffed
from nsd import Nsd
from postfix import Postfix
from server import GONETS, Server, content_of, folder_of_nobody, free_port, serving, shared_folder, wait_for

FIRST = """
hostname first.example
spool %(spool)s
segment 4M
listen 127.0.0.1:%(port)s
retry 1s 1s 2s expire 1h warn 30m
"""



def body_of(data):
    return data.split(b"\n\n", 1)[1] if b"\n\n" in data else b""


def test_corpus_through_postfix():
    """Gonets -> Postfix -> Gonets: every message of the corpus arrives with an equal body."""
    messages = list(corpus())
    if not messages or os.geteuid() != 0:
        print("NOT RUN: corpus through Postfix (no suites, or not root)")
        return
    with shared_folder() as folder, serving() as last, Postfix(folder / "postfix", relay=last.port) as postfix:
        config = FIRST + f"action out relay via 127.0.0.1:{postfix.port}\nmatch from local for any action out\n"
        with serving(config) as first:
            with first.client() as c:
                assert c.reply()[0] == 220 and c.say("EHLO test.example")[0] == 250
                for number, (name, data) in enumerate(messages):
                    data = crlf(data)
                    data += b"" if data.endswith(b"\r\n") else b"\r\n"
                    for line in (f"MAIL FROM:<m{number}@sender.example> BODY=8BITMIME", "RCPT TO:<you@far.example>", "DATA"):
                        assert c.say(line)[0] in (250, 354), name
                    assert c.say(stuffed(data) + b".\r\n")[0] == 250, name
            mails = {}
            for mail in last.wait_mails(len(messages), 120):
                mails[mail.read_bytes().split(b"\n", 1)[0]] = mail
            for number, (name, data) in enumerate(messages):
                data = lf(crlf(data))
                data += b"" if data.endswith(b"\n") else b"\n"
                got = content_of(mails[b"Return-Path: <m%d@sender.example>" % number])
                assert body_of(got) == body_of(data), name
    print(f"relay through Postfix: {len(messages)} messages, equal bodies")
