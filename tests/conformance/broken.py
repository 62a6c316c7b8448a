"""Servers that break one rule each, to see that the suite notices: `broken.py RULE`."""

import json
import sys

rule = sys.argv[1]


def say(message):
    print(json.dumps(message), flush=True)


for line in sys.stdin:
    try:
        message = json.loads(line)
    except ValueError:
        if rule != "silence":
            say({"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "no JSON"}})
        continue
    if rule == "noise":
        print("listening", flush=True)
    if not isinstance(message, dict) or "id" not in message:
        continue
    answer = {"jsonrpc": "2.0", "id": message["id"], "result": {}}
    if rule == "version":
        del answer["jsonrpc"]
    if rule == "both":
        answer["error"] = {"code": 1, "message": "x"}
    say(answer)
    if rule == "twice":
        say(answer)
if rule == "exit":
    sys.exit(3)
