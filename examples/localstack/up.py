#!/usr/bin/env python3
"""Starts LocalStack and makes a small fleet on it, to be rolled by hand.

Six instances behind a load balancer, on version 1 of a launch template that also has a good
version 2 and a bad version 3. Writes the document that rolls them, says what to run, and stays in
the foreground; Ctrl-C ends it and leaves nothing running. Needs Python 3.11 or newer with venv.
"""

import argparse
import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
LAB = HERE.parent.parent / "tests" / "localstack" / "lab.py"
ACCOUNT = "000000000001"


def put(door: str, body: dict) -> dict:
    headers = {"content-type": "application/json"}
    data = json.dumps(body).encode()
    request = urllib.request.Request(door, data, headers, method="PUT")
    # Not through a proxy: LocalStack is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request) as answer:
        return json.load(answer)


def document(endpoint: str, template: str) -> dict:
    return {
        "provider": {"rolling": {"aws": {"region": "us-east-1", "endpoint_url": endpoint}}},
        "resource": {
            "rolling_deployment": {
                "web": {
                    "policy": "rolling",
                    "batch_size_type": "percentage",
                    "batch_size": 34,
                    "health": {"min_healthy_time": "2s", "healthy_timeout": "30s"},
                    "auto_scaling_group": {
                        "name": "web",
                        "launch_template": {"id": template, "version": "2"},
                    },
                }
            }
        },
    }


def interrupted(*_):
    raise KeyboardInterrupt


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupted)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=4566, help="0 for a free one")
    parser.add_argument("--document", type=Path, default=HERE / "web.tf.json")
    wanted = parser.parse_args()

    launcher = subprocess.Popen(
        [sys.executable, str(LAB), "serve", "--port", str(wanted.port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        ready = launcher.stdout.readline()
        if not ready:
            return launcher.wait()
        endpoint = json.loads(ready)["endpoint"]
        door = f"{endpoint}/_lab/{ACCOUNT}"
        fleet = {
            "name": "web",
            "size": 6,
            "max": 8,
            "versions": [None, None, "unhealthy"],
            "target_groups": [{"name": "web", "deregistration_delay": 3}],
        }
        template = put(f"{door}/fleet", fleet)["launch_template"]
        put(f"{door}/times", {"boot": 4, "register": 2})
        text = json.dumps(document(endpoint, template), indent=2) + "\n"
        wanted.document.write_text(text)
        print(f"LocalStack is ready; {wanted.document} is written. In another terminal:\n")
        print(f"  export AWS_ACCESS_KEY_ID={ACCOUNT} AWS_SECRET_ACCESS_KEY=test")
        print("  cargo run -- plan  examples/localstack/web.tf.json")
        print("  cargo run -- apply examples/localstack/web.tf.json\n")
        print("Then set the version in that file to 3, a bad one, and apply again.", flush=True)
        return launcher.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        launcher.stdin.close()
        launcher.wait()


if __name__ == "__main__":
    sys.exit(main())
