"""A server that answers as it is told, to see what a client makes of it: on a loopback port, in threads of this process."""

import contextlib
import socket
import threading

ORDER = ("greeting", "EHLO", "MAIL", "RCPT", "DATA", "dot", "QUIT")


def path_of(command):
    return command.partition(b"<")[2].partition(b">")[0]


class Strange:
    """answers: {phase: reply}, for phases of ORDER; a reply is bytes without CRLF, None: the link is cut there, a list: one after the
    other (the last one stays), a function: called with the command. Phases that are not said have a friendly answer.
    extensions: lines of the EHLO reply."""

    def __init__(self, answers=None, extensions=("PIPELINING", "8BITMIME"), address="127.0.0.1", port=0):
        self.answers = dict(answers or {})
        self.extensions = extensions
        self.mails = []  # (reverse-path, recipients, content) of those that had a 2xx to the dot
        self.connections = 0
        self.commands = []
        self.listener = socket.create_server((address, port))
        self.address, self.port = address, self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.lock = threading.Lock()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def answer(self, phase, command, friendly):
        with self.lock:
            answer = self.answers.get(phase, friendly)
            if isinstance(answer, list):
                answer = answer[0] if len(answer) == 1 else answer.pop(0)
        return answer(command) if callable(answer) else answer

    def talk(self, connection):
        with contextlib.suppress(OSError, ValueError), connection, connection.makefile("rwb") as stream:
            session = {"path": None, "recipients": []}
            if not self.say(stream, "greeting", b"", b"220 strange.example ESMTP"):
                return
            for line in stream:
                command = line.rstrip(b"\r\n")
                self.commands.append(command)
                if not self.serve_command(stream, command, session):
                    return

    def say(self, stream, phase, command, friendly):
        answer = self.answer(phase, command, friendly)
        return None if answer is None else self.write(stream, answer)

    @staticmethod
    def write(stream, answer):
        stream.write(answer + b"\r\n")
        stream.flush()
        return answer

    def serve_command(self, stream, command, session):
        verb = command[:4].upper()
        if verb in (b"EHLO", b"HELO"):
            lines = ["strange.example", *self.extensions] if verb == b"EHLO" else ["strange.example"]
            friendly = b"\r\n".join(b"250%s%s" % (b"-" if n + 1 < len(lines) else b" ", text.encode())
                                    for n, text in enumerate(lines))
            return self.say(stream, "EHLO", command, friendly)
        if verb == b"MAIL":
            said = self.say(stream, "MAIL", command, b"250 ok")
            session.update(path=path_of(command) if said and said[:1] == b"2" else None, recipients=[])
            return said
        if verb == b"RCPT":
            said = self.say(stream, "RCPT", command, b"503 no transaction" if session["path"] is None else b"250 ok")
            if said and said[:1] == b"2":
                session["recipients"].append(path_of(command))
            return said
        if verb == b"DATA":
            said = self.say(stream, "DATA", command, b"354 go on" if session["recipients"] else b"503 no recipients")
            return self.take(stream, session) if said and said[:1] == b"3" else said
        if verb == b"QUIT":
            self.say(stream, "QUIT", command, b"221 bye")
            return None
        return self.say(stream, verb.decode("ascii", "replace"), command, b"250 ok")

    def take(self, stream, session):
        content = b""
        for line in stream:
            if line == b".\r\n":
                break
            content += line[1:] if line.startswith(b".") else line
        else:
            return None
        said = self.answer("dot", b".", b"250 taken")
        if said and said[:1] == b"2": # noted before the client can hear it
            self.mails.append((session["path"], session["recipients"], content))
        return None if said is None else self.write(stream, said)
