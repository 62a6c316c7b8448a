"""The rules that every line of a server keeps, whatever the case is about."""

import json

from schemas import SCHEMAS

LEVELS = ["error", "warn", "info", "debug"]
MAX_LOG = 64 << 10


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


class Rules:
    """What one server was asked, and which rules its lines broke."""

    def __init__(self):
        self.broken = []  # a Failure for each line that breaks a rule
        self._sent = {}  # key of an id: the number of requests with it
        self._requests = {}  # key of an id: the requests with it
        self._answered = {}  # key of an id: the number of its answers
        self._tokens = {}  # key of a progress token: [keys of ids, next sequence]
        self._log = None  # the level that initialize asked for

    def is_answered(self, id):
        return self._answered.get(key(id), 0) > 0

    def report(self, expected, came):
        self.broken.append(Failure(expected, came))

    def note_sent(self, line):
        """Remembers what a line to the server asks for."""
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

    def read(self, line):
        """Checks a line that the server wrote. Returns the message, or None if it is none."""
        try:
            message = json.loads(line.decode("utf-8"))
        except ValueError:
            self.report("only lines of UTF-8 and JSON on standard output", line)
            return None
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            self.report('an object with "jsonrpc":"2.0"', message)
            return None
        if "method" in message:
            self._take_notification(message)
        else:
            self._take_answer(message)
        return message

    def _take_answer(self, message):
        if ("result" in message) == ("error" in message):
            return self.report("exactly one of result and error", message)
        if "id" not in message or not (is_id(message["id"]) or message["id"] is None):
            return self.report("an id that is a string, a whole number or null", message)
        extra = set(message) - {"jsonrpc", "id", "result", "error"}
        if extra:
            self.report("nothing but jsonrpc, id and result or error", message)
        if "error" in message:
            error = message["error"]
            if not (
                isinstance(error, dict)
                and isinstance(error.get("code"), int)
                and isinstance(error.get("message"), str)
                and error["message"]
            ):
                self.report("an error has a code and a message", message)
                message["error"] = {}
        id = key(message["id"])
        self._answered[id] = self._answered.get(id, 0) + 1
        if message["id"] is None:
            if "error" not in message:
                self.report("an answer without an id is an error", message)
        elif self._answered[id] > self._sent.get(id, 0):
            self.report("one answer to each request", message)
        # Requests of one id may be answered in any order.
        requests = self._requests.get(id, [])
        if "result" in message and len(requests) == 1:
            why = SCHEMAS.wrong_in_result(requests[0], message["result"])
            if why:
                self.report("a result as the schemas have it: %s" % why, message)

    def _take_notification(self, message):
        params = message.get("params")
        if "id" in message or not isinstance(params, dict):
            self.report("the server sends notifications with params, and no requests", message)
            message["method"] = "broken"
        elif message["method"] == "$/progress":
            self._take_progress(message, params)
        elif message["method"] == "$/log":
            self._take_log(message, params)
        why = isinstance(params, dict) and SCHEMAS.params(message["method"], params)
        if why:
            self.report("params as the schemas have them: %s" % why, message)

    def _take_progress(self, message, params):
        counts = ["sequence", "updated", "serving", "size"]
        if not (
            "token" in params
            and isinstance(params.get("events"), list)
            and all(is_count(params.get(name)) for name in counts)
        ):
            self.report("token, sequence, updated, serving, size and events", message)
            message["method"] = "broken"
            return
        known = self._tokens.get(key(params["token"]))
        if known is None:
            return self.report("progress only for a token that was given", message)
        ids, sequence = known
        if params["sequence"] != sequence:
            self.report("sequence %d for this token" % sequence, message)
        known[1] = params["sequence"] + 1
        if all(self._answered.get(id, 0) >= self._sent[id] for id in ids):
            self.report("no progress after the answer", message)

    def _take_log(self, message, params):
        if self._log is None:
            return self.report("no $/log where initialize did not ask for it", message)
        level, text = params.get("level"), params.get("message")
        if (
            level not in LEVELS
            or not isinstance(text, str)
            or not isinstance(params.get("target"), str)
        ):
            self.report("level, message and target", message)
        elif LEVELS.index(level) > LEVELS.index(self._log):
            self.report("nothing below the level %s" % self._log, message)
        elif len(text.encode("utf-8")) > MAX_LOG:
            self.report("a message of at most %d bytes" % MAX_LOG, message)
