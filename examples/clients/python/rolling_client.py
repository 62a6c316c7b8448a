"""A client of `rolling serve`: JSON-RPC 2.0, one object a line. Python 3.9 or newer, no more."""

import itertools
import json
import subprocess
import threading
from concurrent.futures import Future
from contextlib import suppress


class RollingError(Exception):
    """A fault of the protocol. A deployment that failed is none: it is a result with a status."""

    def __init__(self, code, message, data=None):
        super().__init__(f"{message} ({code})")
        self.code, self.message, self.data = code, message, data


class RollingClient:
    """A server process of its own. Any thread may call; answers come in any order."""

    def __init__(self, command=("rolling", "serve"), **popen):
        # In a session of its own, so that Ctrl-C reaches this program alone, which may cancel.
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "encoding": "utf-8"}
        self._server = subprocess.Popen(command, start_new_session=True, **pipes, **popen)
        self._ids, self._waiting, self._ended = itertools.count(), {}, None
        self._writing = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.about = self.call("initialize", {"protocol_versions": [1]})
        except BaseException:
            self.close()
            raise

    def call(self, method, params=None, on_progress=None):
        """Calls a method and returns its result. `on_progress` is called by the reader's thread."""
        return self.start(method, params, on_progress).result()

    def start(self, method, params=None, on_progress=None):
        """The same without waiting: a Future, whose `id` is what `cancel` wants."""
        future = Future()
        future.id = next(self._ids)
        params = dict(params or {}, **({"progress_token": future.id} if on_progress else {}))
        self._waiting[future.id] = future, on_progress
        self._write({"id": future.id, "method": method, "params": params})
        if self._ended:
            self._fail_waiting()
        return future

    def cancel(self, id):
        """Stops a call at the next safe point, and asked again after the step under way. It still
        answers, with what happened."""
        self._write({"method": "$/cancel_request", "params": {"id": id}})

    def close(self):
        """Waits for what is in flight, ends the server, and returns its exit code."""
        if not self._server.stdin.closed:
            with suppress(Exception):  # It may have ended already.
                self.call("shutdown")
                self._write({"method": "exit"})
            with suppress(OSError):
                self._server.stdin.close()
        return self._server.wait()

    def _write(self, message):
        line = json.dumps({"jsonrpc": "2.0", **message}, allow_nan=False) + "\n"
        with self._writing, suppress(OSError):  # That nobody reads it is for the reader to tell.
            self._server.stdin.write(line)
            self._server.stdin.flush()

    def _read(self):
        try:
            # A server whose output is closed cancels everything: nothing continues unattended.
            with self._server.stdout as lines:
                for message in map(json.loads, lines):
                    self._hear(message)
            raise ConnectionError("the server has ended")
        except Exception as error:
            self._ended = error
            self._fail_waiting()

    def _hear(self, message):
        if message.get("method") == "$/progress":
            _, on_progress = self._waiting[message["params"]["token"]]
            on_progress(message["params"])
        elif "method" in message:
            pass  # A notification this client does not know.
        elif message["id"] is None:  # It could not read a line of ours, and cannot say which.
            raise RollingError(**message["error"])
        else:
            future, _ = self._waiting.pop(message["id"])
            if "error" in message:
                future.set_exception(RollingError(**message["error"]))
            else:
                future.set_result(message["result"])

    def _fail_waiting(self):
        with suppress(KeyError):
            while True:
                self._waiting.popitem()[1][0].set_exception(self._ended)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for id in list(self._waiting) if kind else ():  # Nobody waits for these any more.
            self.cancel(id)
        self.close()
