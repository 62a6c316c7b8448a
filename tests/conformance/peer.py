"""A server under test: its process, the lines exchanged with it, and the rules every line keeps.

Cases talk to a `Peer`. It checks every line of the server as it arrives, so that each case also
notices when a rule is broken that it is not about.
"""

import json
import os
import select
import signal
import socket
import subprocess
import threading
import time

from schemas import SCHEMAS

PATIENCE = 15
"""How many seconds a case waits for something that should come soon. A busy machine is slow."""

LEVELS = ["error", "warn", "info", "debug"]
MAX_LOG = 64 << 10
CANCELLED = -32800


class Failure(Exception):
    """A broken rule: what was expected, and what was found."""

    def __init__(self, expected, came):
        super().__init__(expected, came)
        self.expected = expected
        self.came = came


def check(holds, expected, came):
    if not holds:
        raise Failure(expected, came)


def key(value):
    """JSON values as keys. Python's own equality calls 1, 1.0 and True the same."""
    return json.dumps(value, sort_keys=True)


def is_id(value):
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))


def is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


class Peer:
    """One process and the conversation with it."""

    def __init__(self, command, folder, name, env=None, socket_out=False):
        self.name = name
        self.lines = []  # ("->" or "<-", the line), in order
        self.messages = []  # (when, message), checked
        self.broken = []  # broken rules that hold for every line
        self.ended = False  # the server's standard output has ended
        self._changed = threading.Condition()
        self._sent = {}  # key of an id: the number of requests with it
        self._requests = {}  # key of an id: the requests with it
        self._answered = {}  # key of an id: the number of its answers
        self._tokens = {}  # key of a progress token: [keys of ids, next sequence]
        self._log = None  # the level that initialize asked for
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
            return self._answered.get(key(id), 0) > 0

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

    # The reader, and the rules that hold for every line.

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
                    self._break("every line ends with a line feed", rest)
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

    def _break(self, expected, came):
        self.broken.append(Failure(expected, came))

    def _take(self, now, line):
        self.lines.append(("<-", line))
        try:
            message = json.loads(line.decode("utf-8"))
        except ValueError:
            return self._break("only lines of UTF-8 and JSON on standard output", line)
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            return self._break('an object with "jsonrpc":"2.0"', message)
        if "method" in message:
            self._take_notification(message)
        else:
            self._take_answer(message)
        self.messages.append((now, message))

    def _take_answer(self, message):
        if ("result" in message) == ("error" in message):
            return self._break("exactly one of result and error", message)
        if "id" not in message or not (is_id(message["id"]) or message["id"] is None):
            return self._break("an id that is a string, a whole number or null", message)
        extra = set(message) - {"jsonrpc", "id", "result", "error"}
        if extra:
            self._break("nothing but jsonrpc, id and result or error", message)
        if "error" in message:
            error = message["error"]
            if not (
                isinstance(error, dict)
                and isinstance(error.get("code"), int)
                and isinstance(error.get("message"), str)
                and error["message"]
            ):
                self._break("an error has a code and a message", message)
                message["error"] = {}
        id = key(message["id"])
        self._answered[id] = self._answered.get(id, 0) + 1
        if message["id"] is None:
            if "error" not in message:
                self._break("an answer without an id is an error", message)
        elif self._answered[id] > self._sent.get(id, 0):
            self._break("one answer to each request", message)
        # Requests of one id may be answered in any order.
        requests = self._requests.get(id, [])
        if "result" in message and len(requests) == 1:
            why = SCHEMAS.wrong_in_result(requests[0], message["result"])
            if why:
                self._break("a result as the schemas have it: %s" % why, message)

    def _take_notification(self, message):
        params = message.get("params")
        if "id" in message or not isinstance(params, dict):
            self._break("the server sends notifications with params, and no requests", message)
            message["method"] = "broken"
        elif message["method"] == "$/progress":
            self._take_progress(message, params)
        elif message["method"] == "$/log":
            self._take_log(message, params)
        why = isinstance(params, dict) and SCHEMAS.params(message["method"], params)
        if why:
            self._break("params as the schemas have them: %s" % why, message)

    def _take_progress(self, message, params):
        counts = ["sequence", "updated", "serving", "size"]
        if not (
            "token" in params
            and isinstance(params.get("events"), list)
            and all(is_count(params.get(name)) for name in counts)
        ):
            self._break("token, sequence, updated, serving, size and events", message)
            message["method"] = "broken"
            return
        known = self._tokens.get(key(params["token"]))
        if known is None:
            return self._break("progress only for a token that was given", message)
        ids, sequence = known
        if params["sequence"] != sequence:
            self._break("sequence %d for this token" % sequence, message)
        known[1] = params["sequence"] + 1
        if all(self._answered.get(id, 0) >= self._sent[id] for id in ids):
            self._break("no progress after the answer", message)

    def _take_log(self, message, params):
        if self._log is None:
            return self._break("no $/log where initialize did not ask for it", message)
        level, text = params.get("level"), params.get("message")
        if (
            level not in LEVELS
            or not isinstance(text, str)
            or not isinstance(params.get("target"), str)
        ):
            self._break("level, message and target", message)
        elif LEVELS.index(level) > LEVELS.index(self._log):
            self._break("nothing below the level %s" % self._log, message)
        elif len(text.encode("utf-8")) > MAX_LOG:
            self._break("a message of at most %d bytes" % MAX_LOG, message)

    def _note_sent(self, line):
        self.lines.append(("->", line))
        try:
            message = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError):
            return
        if not isinstance(message, dict) or not is_id(message.get("id")):
            return
        id = key(message["id"])
        self._sent[id] = self._sent.get(id, 0) + 1
        self._requests.setdefault(id, []).append(message)
        params = message.get("params")
        if not isinstance(params, dict):
            return
        if params.get("progress_token") is not None:
            self._tokens.setdefault(key(params["progress_token"]), [[], 0])[0].append(id)
        wishes = params.get("capabilities")
        if message.get("method") == "initialize" and isinstance(wishes, dict):
            self._log = wishes.get("log")

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
