#!/usr/bin/env python3
"""Plans and rolls every deployment of a document: deploy.py web.tf.json

Ends with the exit codes of the command line: 0 succeeded, 1 failed, 2 invalid document,
3 rolled back, 4 paused or aborted, 5 another engine is at work. Ctrl-C stops at the next safe
point, a second one after the step under way; the same command finishes the job later.
"""

import json
import signal
import sys
import threading
from contextlib import contextmanager

from rolling_client import RollingClient, RollingError

EXIT_CODES = {"succeeded": 0, "failed": 1, "rolled_back": 3, "paused": 4, "aborted": 4}
INVALID = 2
ERROR_EXIT_CODES = {-32800: 4, 1005: 5}  # Cancelled before the first change; locked.


def main(file):
    with open(file, encoding="utf-8") as text:
        document = json.load(text)
    with RollingClient() as client:
        settings = {"config": document.get("provider", {}).get("rolling", {})}
        if refused(client.call("provider.configure", settings)):
            return INVALID
        for name, config in document["resource"]["rolling_deployment"].items():
            code = deploy(client, name, {"type": "rolling_deployment", "config": config})
            if code:
                return code
    return 0


def deploy(client, name, request):
    plan = client.call("resource.plan", {**request, "prior": None})
    if refused(plan):
        return INVALID
    sizes = [str(batch["launches"] + batch["replaces"]) for batch in plan["batches"]]
    print(f"{name}: batches of {', '.join(sizes)}" if sizes else f"{name}: up to date", flush=True)
    # With what was planned, apply refuses if something else would come of it meanwhile.
    request = {**request, "planned": plan["planned"], "private": plan["private"]}
    apply = client.start("resource.apply", request, show)

    def stop():
        if not apply.done():
            print("stopping", flush=True)
            client.cancel(apply.id)

    # In a thread: a handler may run in the middle of a write, and raise in that of another one.
    with signals(lambda: threading.Thread(target=stop).start()):
        result = apply.result()
    refused(result)
    print(f"{name}: {result['status']}")
    return EXIT_CODES[result["status"]]


@contextmanager
def signals(handler):
    """Ctrl-C and SIGTERM come to `handler` meanwhile, however soon after one another, and, once there
    was one, to the end: a late one is not to hide how it ended."""
    heard = []

    def hear(*_):
        heard.append(True)
        handler()

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, hear) for number in numbers]
    try:
        yield
    finally:
        for number, former in zip(numbers, before):
            signal.signal(number, hear if heard else former)


def show(progress):
    for event in (envelope["event"] for envelope in progress["events"]):
        if event["type"] == "batch_started":
            print(f"batch {event['number']}: {event['launches'] + len(event['instances'])}")
        elif event["type"] in ("rolling_back", "halting"):
            print(f"{event['type'].replace('_', ' ')}: {event['reason']}")
        elif event["type"] == "progressed":
            print("{updated} of {size} updated, {serving} serving".format(**event), flush=True)


def refused(result):
    """Tells what is wrong, and whether any of it is an error."""
    for found in result["diagnostics"]:
        where = f" at {found['pointer']}" if found["pointer"] else ""
        remedy = f"; {found['remedy']}" if found["remedy"] else ""
        print(f"{found['severity']}{where}: {found['summary']}{remedy}", file=sys.stderr)
    return any(found["severity"] == "error" for found in result["diagnostics"])


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        sys.exit(main(sys.argv[1]))
    except KeyboardInterrupt:  # Before there was anything to cancel.
        sys.exit(130)
    except RollingError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(ERROR_EXIT_CODES.get(error.code, 1))
