"""A server under test: its process and the lines exchanged with it.

Cases talk to a `Peer`. It holds every line of the server to the `Rules` as it arrives, so that each
case also notices when a rule is broken that it is not about.
"""

import json
import os
import select
import signal
import socket
import subprocess
import threading
import time

from rules import Failure, Rules, check, key

PATIENCE = 15
"""How many seconds a case waits for something that should come soon. A busy machine is slow."""

CANCELLED = -32800


class Peer:
    """One process and the conversation with it."""

    def __init__(self, command, folder, name, env=None, socket_out=False):
        self.name = name
        self.lines = []  # ("->" or "<-", the line), in order
        self.messages = []  # (when, message), checked
        self.rules = Rules()
        self.ended = False  # the server's standard output has ended
        self._changed = threading.Condition()
        self._partial = b""  # the beginning of a line that has not ended yet
        self._faults_taken = 0
        self._next_id = 1
        self.noise = os.path.join(folder, name + ".stderr")

        ours = theirs = None
        if socket_out:
            ours, theirs = socket.socketpair()
        with open(self.noise, "ab") as stderr:
            # A session of its own, so that its children can be ended with it.
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=env,
                bufsize=0,
                start_new_session=True,
                stdin=subprocess.PIPE,
                stdout=theirs or subprocess.PIPE,
                stderr=stderr,
            )
        if socket_out:
            theirs.close()
            self._out = ours.detach()
        else:
            self._out = os.dup(self.process.stdout.fileno())
            self.process.stdout.close()
        self._may_read = threading.Event()
        self._may_read.set()
        self._wake, self._woken = os.pipe()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    # What a case sends.

    def call(self, method, params=None, id=None):
        """Sends a request and returns its id."""
        line, id = self.request(method, params, id)
        self.write(line)
        return id

    def request(self, method, params=None, id=None):
        """A request as bytes, not yet sent, and its id."""
        if id is None:
            id, self._next_id = self._next_id, self._next_id + 1
        message = {"jsonrpc": "2.0", "id": id, "method": method}
        if params is not None:
            message["params"] = params
        return encode(message), id

    def notify(self, method, params=None):
        self.write(notification(method, params))

    def cancel(self, id):
        self.notify("$/cancel_request", {"id": id})

    def write(self, data):
        """Writes bytes as they are, in one call where the system takes them so."""
        with self._changed:
            *whole, self._partial = (self._partial + data).split(b"\n")
            for line in whole:
                self._note_sent(line)
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self.process.stdin.write(rest) :]
        except (BrokenPipeError, ValueError):
            raise Failure("the server reads what is written", "it closed its standard input")

    def close(self):
        """Ends the server's standard input."""
        with self._changed:
            if self._partial:
                self._note_sent(self._partial)
        self.process.stdin.close()

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """Kills it, as a power cut would."""
        self.process.kill()
        self.process.wait()

    def pause_reading(self):
        """Stops reading what the server writes."""
        self._may_read.clear()

    def read_on(self):
        self._may_read.set()

    def stop_reading(self):
        """Closes our end of the server's standard output."""
        self.read_on()
        os.write(self._woken, b"x")
        self._reader.join()

    # What a case waits for.

    def ask(self, method, params=None, within=PATIENCE):
        """Sends a request, waits for its answer, which must be a result, and returns that."""
        return self.result(self.call(method, params), within)

    def result(self, id, within=PATIENCE):
        answer = self.answer(id, within)
        check("result" in answer, "a result for id %s" % key(id), answer)
        return answer["result"]

    def error(self, id, code, within=PATIENCE):
        """Returns the error that answers `id`; `code` is the expected code, or several."""
        answer = self.answer(id, within)
        codes = code if isinstance(code, tuple) else (code,)
        wanted = "error %s for id %s" % (" or ".join(map(str, codes)), key(id))
        check(answer.get("error", {}).get("code") in codes, wanted, answer)
        return answer["error"]

    def answer(self, id, within=PATIENCE, nth=0):
        """Returns the answer to `id`; the `nth` one, from 0, if the id was used again."""
        wanted = "an answer to id %s within %g s" % (key(id), within)
        return self.wait_for(wanted, lambda: self._nth_answer(id, nth), within)

    def fault(self, code, within=PATIENCE):
        """Returns the next answer without an id, which must have this error code."""
        wanted = "error %s with id null" % (code,)
        n = self._faults_taken
        answer = self.wait_for(
            "%s within %g s" % (wanted, within), lambda: self._nth_answer(None, n), within
        )
        self._faults_taken += 1
        check(answer.get("error", {}).get("code") == code, wanted, answer)
        return answer["error"]

    def progress(self, token):
        return [
            m["params"]
            for m in self.all()
            if m.get("method") == "$/progress" and key(m["params"]["token"]) == key(token)
        ]

    def events(self, token):
        return [e["event"] for params in self.progress(token) for e in params["events"]]

    def under_way(self, token, kind="batch_started", within=PATIENCE):
        """Waits until the operation with this token has reported an event of this kind: the
        type of the event, or the action on the cloud."""

        def told():
            return [
                e
                for e in self.events(token)
                if e.get("type") == kind or e.get("action", {}).get("action") == kind
            ]

        return self.wait_for(
            "progress with the event %s within %g s" % (kind, within), told, within
        )

    def is_answered(self, id):
        with self._changed:
            return self.rules.is_answered(id)

    def all(self):
        with self._changed:
            return [message for _, message in self.messages]

    def when(self, message):
        """Returns when this message arrived."""
        with self._changed:
            return next(at for at, other in self.messages if other is message)

    def wait_for(self, expected, found, within=PATIENCE):
        """Waits until `found` returns something, and returns that."""
        end = time.monotonic() + within
        with self._changed:
            while True:
                value = found()
                if value is not None and value is not False and value != []:
                    return value
                left = end - time.monotonic()
                if left <= 0 or self.ended:
                    came = "standard output ended" if self.ended else "nothing of the kind"
                    raise Failure(expected, came)
                self._changed.wait(left)

    def exit_code(self, within=PATIENCE):
        """Waits for the end of the process. A death by signal is negative."""
        try:
            code = self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise Failure("the server ends within %g s" % within, "it still runs")
        # The last lines may still be in the pipe.
        self._reader.join(PATIENCE)
        return code

    def ends_with(self, code, within=PATIENCE):
        came = self.exit_code(within)
        check(came == code, "exit code %d" % code, "exit code %d" % came)

    def standard_error(self):
        """Returns what the server wrote to standard error."""
        with open(self.noise, "rb") as file:
            return file.read()

    def discard(self):
        """Ends the process and its children, if any are left."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # no process is left in the group
        self.process.wait()
        self.stop_reading()
        for end in (self._wake, self._woken):
            os.close(end)
        try:
            self.process.stdin.close()
        except OSError:
            pass

    # The lines, as they come and go.

    def _read(self):
        rest = b""
        while True:
            ready, _, _ = select.select([self._out, self._wake], [], [])
            self._may_read.wait()
            if self._wake in ready:
                break
            try:
                data = os.read(self._out, 1 << 16)
            except OSError:
                data = b""
            if not data:
                if rest:
                    self.rules.report("every line ends with a line feed", rest)
                break
            *whole, rest = (rest + data).split(b"\n")
            now = time.monotonic()
            with self._changed:
                for line in whole:
                    self._take(now, line)
                self._changed.notify_all()
        os.close(self._out)
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def _take(self, now, line):
        self.lines.append(("<-", line))
        message = self.rules.read(line)
        if message is not None:
            self.messages.append((now, message))

    def _note_sent(self, line):
        self.lines.append(("->", line))
        self.rules.note_sent(line)

    def _nth_answer(self, id, nth):
        wanted = key(id)
        found = 0
        for _, message in self.messages:
            if "method" not in message and key(message.get("id")) == wanted:
                if found == nth:
                    return message
                found += 1
        return None


def encode(message):
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8") + b"\n"


def notification(method, params=None):
    message = {"jsonrpc": "2.0", "method": method}
    if params is not None:
        message["params"] = params
    return encode(message)
