"""A server under test, and what every message of it must look like."""

import json
import os
import pathlib
import select
import signal
import subprocess
import tempfile
import threading
import time

#: How long anything may take on a busy machine, in seconds.
PATIENCE = 60

CASES = []


def case(function):
    """Registers a case. Its name is the function's; its docstring says what must hold."""
    CASES.append(function)
    return function


class Failure(AssertionError):
    """What was expected, and what came."""


def check(holds, words):
    if not holds:
        raise Failure(words)


class Bench:
    """What a case gets: a folder of its own, and servers that work there."""

    def __init__(self, command, patience=PATIENCE):
        self.command = command
        self.patience = patience
        self._folder = tempfile.TemporaryDirectory(prefix="conformance-")
        self.folder = pathlib.Path(self._folder.name)
        self.servers = []

    def start(self, **options):
        """A server that nobody has talked to."""
        server = Server(self.command, self.folder, self.patience, **options)
        self.servers.append(server)
        return server

    def serve(self, speed=2000, **options):
        """A server that is initialized, on a simulator this much faster than real time."""
        server = self.start(**options)
        server.result(server.request("initialize", {"protocol_versions": [1]}))
        configured = server.result(
            server.request("provider.configure", {"config": {"simulator": {"speed": speed}}})
        )
        check(configured == {"diagnostics": []}, f"the simulator cannot be set up: {configured}")
        return server

    def close(self):
        for server in self.servers:
            server.end()
        self._folder.cleanup()

    def transcript(self):
        lines = []
        for number, server in enumerate(self.servers, 1):
            for arrow, line in server.said:
                text = line if len(line) < 600 else f"{line[:500]} ... ({len(line)} characters)"
                lines.append(f"    {number} {arrow} {text}")
        return "\n".join(lines[-40:])


class Server:
    """One process. A thread reads it; every line is judged as it comes."""

    def __init__(self, command, folder, patience, environment=None):
        self.patience = patience
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=open(folder / "stderr.log", "ab"),
            env={**os.environ, "AWS_EC2_METADATA_DISABLED": "true", **(environment or {})},
            start_new_session=True,
        )
        self.said = []
        self.messages = []
        self.times = []
        self.wrong = []
        self.heard = threading.Condition()
        self.ended = False
        self._ids = 0
        self._leaves = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        fd = self.process.stdout.fileno()
        rest = b""
        while not self._leaves.is_set():
            # Not for long: another thread cannot close what this one is reading.
            if not select.select([fd], [], [], 0.1)[0]:
                continue
            data = os.read(fd, 1 << 16)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._hear(line)
        if rest:
            self._hear(rest)
        self.process.stdout.close()
        with self.heard:
            self.ended = True
            self.heard.notify_all()

    def _hear(self, line):
        at = time.monotonic()
        with self.heard:
            try:
                text = line.decode("utf-8")
                self.said.append(("<-", text.rstrip("\n")))
                message = json.loads(text)
                self.wrong += judge(message)
                self.messages.append(message)
                self.times.append(at)
            except ValueError as error:
                self.wrong.append(f"a line of standard output that is no JSON ({error}): {line[:200]!r}")
            self.heard.notify_all()

    # Talking.

    def raw(self, data):
        """Writes bytes as they are."""
        self.said.append(("->", data.decode("utf-8", "replace").rstrip("\n")))
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, message):
        self.raw(json.dumps(message).encode() + b"\n")

    def request(self, method, params=None, id=None):
        """Sends a request and returns its id."""
        if id is None:
            self._ids += 1
            id = self._ids
        message = {"jsonrpc": "2.0", "id": id, "method": method}
        if params is not None:
            message["params"] = params
        self.send(message)
        return id

    def notify(self, method, params=None):
        message = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            message["params"] = params
        self.send(message)

    def close_stdin(self):
        self.process.stdin.close()

    # Listening.

    def until(self, found, what, patience=None):
        """Waits until `found(messages)` gives something, and returns that."""
        patience = patience or self.patience
        deadline = time.monotonic() + patience
        with self.heard:
            while True:
                value = found(self.messages)
                if value:
                    return value
                left = deadline - time.monotonic()
                if self.ended or left <= 0:
                    state = "standard output ended" if self.ended else f"{patience} s went by"
                    raise Failure(f"expected {what}, but {state}")
                self.heard.wait(left)

    def answer(self, id, patience=None):
        """The answer to `id`, which is one more than there were answers to it so far."""

        def find(messages):
            found = [m for m in messages if "method" not in m and same(m.get("id"), id)]
            return found[:1]

        return self.until(find, f"an answer to {id!r}", patience)[0]

    def result(self, id, patience=None):
        answer = self.answer(id, patience)
        check("result" in answer, f"expected a result of {id!r}, got {answer.get('error')}")
        return answer["result"]

    def error(self, id, patience=None):
        """The code of the error that answers `id`."""
        answer = self.answer(id, patience)
        check("error" in answer, f"expected an error to {id!r}, got {str(answer.get('result'))[:300]}")
        return answer["error"]["code"]

    def nameless(self, count=1, patience=None):
        """Codes of the first errors with id null."""

        def find(messages):
            codes = [m["error"]["code"] for m in messages if "error" in m and m["id"] is None]
            return codes if len(codes) >= count else None

        return self.until(find, f"{count} errors with id null", patience)

    def progress(self, token):
        """Progress notifications with `token` so far."""
        with self.heard:
            return [
                m["params"]
                for m in self.messages
                if m.get("method") == "$/progress" and same(m["params"].get("token"), token)
            ]

    def some_progress(self, token):
        """Waits until an operation is under way: something was done to its fleet."""

        def acted(messages):
            return any(
                event["event"]["type"] == "acted"
                for m in messages
                if m.get("method") == "$/progress" and same(m["params"].get("token"), token)
                for event in m["params"]["events"]
            )

        self.until(acted, f"progress of {token!r}")

    # Ending.

    def leave(self):
        """Reads no more, and closes the server's standard output."""
        self._leaves.set()
        self._reader.join()

    def exit_code(self, patience=None):
        patience = patience or self.patience
        try:
            code = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise Failure(f"expected the process to end within {patience} s") from None
        self._reader.join(10)
        return code

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        """Leaves no process behind."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.leave()
        try:
            self.process.stdin.close()
        except OSError:
            pass

    def verdict(self):
        """What was wrong with the messages themselves."""
        answers = {}
        for message in self.messages:
            if "method" not in message and message.get("id") is not None:
                key = json.dumps(message["id"])
                answers[key] = answers.get(key, 0) + 1
        asked = {}
        for arrow, line in self.said:
            if arrow == "->":
                for part in line.split("\n"):
                    try:
                        message = json.loads(part)
                        if isinstance(message, dict) and "id" in message:
                            key = json.dumps(message["id"])
                            asked[key] = asked.get(key, 0) + 1
                    except (ValueError, RecursionError):
                        pass  # Meant to be no request.
        more = [key for key, count in answers.items() if count > asked.get(key, count)]
        return self.wrong + [f"more answers than requests with id {key}" for key in more]


def same(one, other):
    """Equal as JSON: 1 is not true."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def judge(message):
    """What is wrong with the envelope of a message."""
    if not isinstance(message, dict):
        return [f"a message that is no object: {message!r}"]
    wrong = []
    if message.get("jsonrpc") != "2.0":
        wrong.append(f'"jsonrpc" is not "2.0": {message}')
    if "method" in message:
        if "id" in message:
            wrong.append(f"a request from the server, which sends notifications only: {message}")
        if message["method"] not in ("$/progress", "$/log"):
            wrong.append(f"a notification that the contract does not know: {message['method']}")
        return wrong
    if "id" not in message:
        wrong.append(f"an answer without an id: {message}")
    elif not (message["id"] is None or type(message["id"]) in (int, str)):
        wrong.append(f"an id that no request can have: {message['id']!r}")
    if ("result" in message) == ("error" in message):
        wrong.append(f"an answer needs either a result or an error: {message}")
    if "error" in message:
        error = message["error"]
        fits = isinstance(error, dict) and type(error.get("code")) is int
        if not fits or not isinstance(error.get("message"), str) or not error["message"]:
            wrong.append(f"an error needs a code and a message: {error!r}")
    return wrong


def config(name="web", revision="v2", **more):
    """A deployment of ten simulated instances."""
    fleet = {"name": name, "revision": revision, **more.pop("fleet", {})}
    # At the speeds used here an hour is seconds, which a busy machine may need for a boot.
    health = {"healthy_timeout": "1h"}
    batches = {"policy": "rolling", "batch_size_type": "percentage", "batch_size": 30}
    return {**batches, "health": health, "simulated_fleet": fleet, **more}


def params(configuration=None, **more):
    return {"type": "rolling_deployment", "config": configuration or config(), **more}
