"""Tests the suite itself: a small correct server passes, and one that breaks a rule fails at the
case about it, with a message that names the rule."""

import importlib
import os
import sys

import run as suite
from lab import CASES

FAKE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fake.py")

MALFORMED = "framing: a malformed line is answered and the next one read"
COALESCED = "framing: messages in one write are all answered"
IDS = "framing: ids come back as they were"
EXIT = "lifecycle: exit without shutdown ends with 1"
SHUTDOWN = "lifecycle: shutdown then exit ends with 0"

# (broken rule, case that must fail, text of its expectation)
BROKEN = [
    ("bad lines are answered", MALFORMED, "error -32700 with id null"),
    ("one answer to a request", COALESCED, "one answer to each request"),
    ("only protocol on standard output", COALESCED, "only lines of UTF-8 and JSON"),
    ("results fit the schemas", COALESCED, "a result as the schemas have it: "),
    ("a result or an error", COALESCED, "exactly one of result and error"),
    ("no progress unasked", COALESCED, "progress only for a token that was given"),
    ("ids are echoed", IDS, "one answer to each request"),
    # The next answer shows it; if the server ended quickly, the next message does.
    ("survival", IDS, ("an answer to id", "the server reads what is written")),
    ("exit codes", EXIT, "exit code 1"),
]


def run(options):
    """Returns the exit code: 0 if the suite found every broken rule."""
    for topic in ["framing", "lifecycle"]:
        importlib.import_module(topic)
    by_title = {one.title: one for one in CASES}
    missed = 0
    for rule, title, texts in [("none", None, None)] + BROKEN:
        options.command = [sys.executable, FAKE, rule]
        told = []
        titles = [title] if title else [MALFORMED, COALESCED, IDS, EXIT, SHUTDOWN]
        suite.run([by_title[one] for one in titles], options, told.append)
        if title is None:
            good = all(one["ok"] for one in told)
            print("%s a server that breaks no rule passes" % ("ok" if good else "FAIL"))
        else:
            texts = (texts,) if isinstance(texts, str) else texts
            expected = told[0]["expected"]
            good = not told[0]["ok"] and any(one in expected for one in texts)
            print("%s found out: %s" % ("ok" if good else "FAIL", rule))
        if not good:
            missed += 1
            for one in told:
                suite.show(one, as_json=False)
        sys.stdout.flush()
    print("%d passed, %d failed" % (1 + len(BROKEN) - missed, missed))
    return 1 if missed else 0
