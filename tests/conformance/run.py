"""Tests an implementation of the protocol, by driving a command.

    python3 run.py [-k WORD] -- COMMAND ARGS...
    python3 run.py --self-test
"""

import argparse
import pathlib
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import concurrency  # noqa: F401  (registers its cases)
import death  # noqa: F401
import framing  # noqa: F401
import lifecycle  # noqa: F401
import operations  # noqa: F401
from harness import CASES, PATIENCE, Bench, Failure

#: So many cases at once; most wait most of the time.
AT_ONCE = 6


def run(function, command, patience=PATIENCE):
    """Returns what went wrong, or nothing."""
    bench = Bench(command, patience)
    try:
        function(bench)
        wrong = [words for server in bench.servers for words in server.verdict()]
    except Failure as failure:
        wrong = [words for server in bench.servers for words in server.verdict()]
        wrong.insert(0, str(failure))
    except Exception:
        wrong = [traceback.format_exc()]
    try:
        said = bench.transcript() if wrong else ""
        return "; ".join(wrong[:5]) + ("\n" + said if wrong else "")
    finally:
        bench.close()


def suite(command, word):
    cases = [function for function in CASES if word in function.__name__]
    failed = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        def timed(function):
            begin = time.monotonic()
            return run(function, command), time.monotonic() - begin

        for function, (wrong, took) in zip(cases, pool.map(timed, cases)):
            failed += bool(wrong)
            words = f"FAIL {function.__name__}: {wrong}" if wrong else f"ok   {function.__name__}"
            print(words if wrong else f"{words} ({took:.1f} s)", flush=True)
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed or not cases else 0


def self_test():
    """Each broken server is caught by the case that is there for its rule."""
    broken = str(pathlib.Path(__file__).parent / "broken.py")
    rules = {
        "silence": framing.malformed_then_valid,
        "noise": framing.one_shot_pipe,
        "version": framing.one_shot_pipe,
        "both": framing.one_shot_pipe,
        "twice": framing.one_shot_pipe,
        "exit": framing.one_shot_pipe,
    }
    survived = []
    for rule, function in rules.items():
        wrong = run(function, [sys.executable, broken, rule], patience=3)
        print(f"{rule}: {wrong.splitlines()[0] if wrong else 'NOT NOTICED'}")
        survived += [] if wrong else [rule]
    fine = run(framing.one_shot_pipe, [sys.executable, broken, "none"])
    print(f"none: {fine or 'nothing to find'}")
    return 1 if survived or fine else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-k", metavar="WORD", default="", help="only cases whose name holds WORD")
    parser.add_argument("--self-test", action="store_true", help="test the suite itself")
    parser.add_argument("command", nargs="*", help="what starts a server, after --")
    given = parser.parse_args()
    if given.self_test:
        return self_test()
    if not given.command:
        parser.error("a command is needed, for instance: run.py -- rolling serve")
    return suite(given.command, given.k)


if __name__ == "__main__":
    sys.exit(main())
