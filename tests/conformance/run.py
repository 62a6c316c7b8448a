#!/usr/bin/env python3
"""Runs the conformance suite against a server of the protocol.

    python3 tests/conformance/run.py [-k WORD] [--json] -- COMMAND ARGS...
    python3 tests/conformance/run.py --self-test

Prints a line for each case. Exit code 0: all passed; 1: one failed; 2: wrong usage.
"""

import argparse
import concurrent.futures
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback

sys.dont_write_bytecode = True  # leave no files beside the sources

from lab import CASES, Lab  # noqa: E402
from rules import Failure  # noqa: E402

TOPICS = [
    "plan",
    "apply",
    "state",
    "control",
    "signals",
    "cancel",
    "lifecycle",
    "framing",
    "errors",
]
LONGEST_LINE = 2000
MOST_LINES = 60

running = set()
running_lock = threading.Lock()


def main():
    options = parse(sys.argv[1:])
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    if options.self_test:
        import selftest

        sys.exit(selftest.run(options))
    for topic in TOPICS:
        importlib.import_module(topic)
    chosen = [one for one in CASES if options.k in one.title]
    if not chosen:
        sys.exit("no case has %r in its name" % options.k)
    failed = run(chosen, options, lambda told: show(told, options.json))
    passed = len(chosen) - failed
    if options.json:
        print(json.dumps({"passed": passed, "failed": failed}))
    else:
        print("%d passed, %d failed" % (passed, failed))
    sys.exit(1 if failed else 0)


def parse(args):
    parser = argparse.ArgumentParser(
        description="Holds a server of the protocol to its rules.",
        usage="run.py [-k WORD] [--json] [--jobs N] [--log-env NAME=VALUE] -- COMMAND ARGS...\n"
        "       run.py --self-test",
    )
    parser.add_argument("-k", metavar="WORD", default="", help="only cases with this in their name")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--jobs", type=int, default=4, metavar="N", help="cases at once")
    parser.add_argument(
        "--log-env",
        default="RUST_LOG=debug",
        metavar="NAME=VALUE",
        help="what makes the server log to standard error; empty for nothing",
    )
    parser.add_argument(
        "--self-test", action="store_true", help="see whether broken servers are found out"
    )
    parser.add_argument("command", nargs="*", metavar="COMMAND")
    options = parser.parse_args(args)
    if bool(options.command) == options.self_test:
        parser.error("give the server's command after --")
    # Every case runs in a folder of its own: paths relative to this one must still be found.
    options.command = [
        os.path.abspath(argument) if os.sep in argument and os.path.exists(argument) else argument
        for argument in options.command
    ]
    if options.command and not shutil.which(options.command[0]):
        parser.error("there is no program %s" % options.command[0])
    name, _, value = options.log_env.partition("=")
    options.log_env = {name: value} if name else {}
    return options


def run(cases, options, tell):
    """Runs cases, several at once, reports each as it ends, and returns how many failed."""
    failed = 0
    waiting = []
    pool = concurrent.futures.ThreadPoolExecutor(max(1, options.jobs))
    try:
        for one in cases:
            waiting.append(pool.submit(run_one, one, options))
        for done in concurrent.futures.as_completed(waiting):
            told = done.result()
            failed += not told["ok"]
            tell(told)
    except BaseException:
        # No server must outlive the suite, however it ends.
        for left in waiting:
            left.cancel()
        with running_lock:
            for lab in running:
                lab.expire()
        raise
    finally:
        pool.shutdown()
    return failed


def run_one(one, options):
    """Runs one case in a folder of its own and returns its result."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        lab = Lab(options.command, folder, options.log_env)
        with running_lock:
            running.add(lab)
        limit = threading.Timer(one.limit, lab.expire)
        limit.daemon = True
        limit.start()
        failure = None
        try:
            one(lab)
        except Failure as found:
            failure = found
        except Exception:
            failure = Failure("an answer that the case can read", traceback.format_exc())
        expired = lab.over
        limit.cancel()
        lab.end()
        with running_lock:
            running.discard(lab)
        # A broken rule that holds for every line is the likelier cause of other failures.
        broken = [found for peer in lab.peers for found in peer.rules.broken]
        if broken:
            failure = broken[0]
        elif expired and failure:
            wanted = "the case ends within %g s; before that: %s" % (one.limit, failure.expected)
            failure = Failure(wanted, failure.came)
        told = {
            "name": one.title,
            "ok": failure is None,
            "seconds": round(time.monotonic() - began, 2),
        }
        if failure:
            told.update(
                expected=failure.expected,
                came=brief(failure.came),
                lines=[
                    "%s %s %s" % (peer.name, way, line)
                    for peer in lab.peers
                    for way, line in transcript(peer)
                ],
            )
        return told


def transcript(peer):
    """Returns the lines exchanged; of very many only the first and the last."""
    lines = [(way, brief(line)) for way, line in list(peer.lines)]
    if len(lines) > MOST_LINES:
        half = MOST_LINES // 2
        left_out = ("..", "%d lines" % (len(lines) - 2 * half))
        lines = lines[:half] + [left_out] + lines[-half:]
    noise = (
        peer.standard_error().decode("utf-8", "replace").strip()
        if os.path.exists(peer.noise)
        else ""
    )
    return lines + [("stderr", line) for line in noise.splitlines()[-10:]]


def brief(value):
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    elif not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False)
    if len(value) > LONGEST_LINE:
        return "%s... (%d characters)" % (value[:LONGEST_LINE], len(value))
    return value


def show(told, as_json):
    if as_json:
        print(json.dumps(told), flush=True)
    elif told["ok"]:
        print("ok %s" % told["name"], flush=True)
    else:
        print("FAIL %s: expected %s, came %s" % (told["name"], told["expected"], told["came"]))
        for line in told["lines"]:
            print("    " + line)
        sys.stdout.flush()


if __name__ == "__main__":
    # The cases import these modules by name; this file is one of them.
    sys.modules["run"] = sys.modules["__main__"]
    main()
