"""Starts moto as PyPI has it, unmodified, and calls it by boto3.

Prints one JSON line with the endpoint, then answers each line of standard input, which is
`["SERVICE", "METHOD", {ARGUMENTS}]`, with one line of what boto3 returned. moto ends when standard
input does, or this process.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import boto3

REGION = "us-east-1"
READY_WITHIN = 60
PR_SET_PDEATHSIG = 1


def start() -> tuple[subprocess.Popen, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    libc = ctypes.CDLL(None)
    server = subprocess.Popen(
        [str(Path(sys.executable).parent / "moto_server"), "-H", "127.0.0.1", "-p", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
        preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
    )
    deadline = time.monotonic() + READY_WITHIN
    while server.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return server, f"http://127.0.0.1:{port}"
        except OSError:
            time.sleep(0.05)
    server.kill()
    sys.exit("moto did not come up")


def main() -> None:
    server, endpoint = start()
    print(json.dumps({"endpoint": endpoint}), flush=True)
    os.environ["NO_PROXY"] = "127.0.0.1"
    clients = {}
    for line in sys.stdin:
        service, method, arguments = json.loads(line)
        if service not in clients:
            clients[service] = boto3.client(
                service,
                endpoint_url=endpoint,
                region_name=REGION,
                aws_access_key_id="moto",
                aws_secret_access_key="moto",
            )
        answer = getattr(clients[service], method)(**arguments)
        answer.pop("ResponseMetadata", None)
        print(json.dumps(answer, default=str), flush=True)
    server.kill()


main()
