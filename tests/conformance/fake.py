"""A tiny server that rolls nothing and breaks one rule, for the suite's test of itself.

python3 fake.py RULE      # RULE is one of the names below, or `none`
"""

import json
import sys

broken = sys.argv[1]


def send(message):
    sys.stdout.write(json.dumps(dict({"jsonrpc": "2.0"}, **message)) + "\n")
    sys.stdout.flush()


def fail(id, code):
    send({"id": id, "error": {"code": code, "message": "no"}})


def answer(id, method):
    if method == "initialize":
        result = {
            "protocol_version": 1,
            "server": {"name": "fake", "version": "1"},
            "resource_types": [],
            "capabilities": {
                "max_message_bytes": 1 << 24,
                "max_in_flight": 1024,
                "progress": True,
                "cancel": True,
            },
        }
    elif method == "provider.configure":
        result = {"diagnostics": []}
    else:
        result = None if method == "shutdown" else {}
    if broken == "ids are echoed":
        id = str(id)
    if broken == "one answer to a request" and method == "ping":
        send({"id": id, "result": result})
    if broken == "results fit the schemas" and method == "ping":
        result = []
    if broken == "only protocol on standard output" and method == "ping":
        print("pinged")
    if broken == "a result or an error" and method == "ping":
        return send({"id": id, "result": result, "error": {"code": 1, "message": "both"}})
    if broken == "no progress unasked" and method == "ping":
        send(
            {
                "method": "$/progress",
                "params": {
                    "token": 1,
                    "sequence": 0,
                    "updated": 0,
                    "serving": 0,
                    "size": 0,
                    "events": [],
                },
            }
        )
    if broken == "survival" and id == 2**31:
        sys.exit(101)
    send({"id": id, "result": result})


was_shut_down = False
for line in sys.stdin.buffer:
    try:
        # Python also reads what is not JSON.
        message = json.loads(line, parse_constant=float.fromhex)
        method = message["method"]
    except (ValueError, TypeError, KeyError, RecursionError):
        if broken != "bad lines are answered":
            fail(None, -32700)
        continue
    if method == "exit":
        sys.exit(0 if was_shut_down or broken == "exit codes" else 1)
    if "id" in message:
        answer(message["id"], method)
    was_shut_down |= method == "shutdown"
