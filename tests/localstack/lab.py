#!/usr/bin/env python3
"""Starts LocalStack with the lab in it. Needs nothing but Python 3.11 or newer with venv.

`lab.py serve` installs what it needs once (a virtual environment below target/lab, from the lock),
starts LocalStack on a free port, prints one JSON line with the endpoint, and runs until its
standard input ends or a signal comes. LocalStack never outlives it.

`lab.py start` is for test runners that start a process for each test, like nextest: it leaves such
a LocalStack behind for as long as the process that called it exists, and writes its endpoint to the
file that NEXTEST_ENV names.
"""

import argparse
import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import environment
from environment import fail

HERE = Path(__file__).resolve().parent
DEFAULT = HERE.parent.parent / "target" / "lab"
ENTRY_POINTS = """\
[localstack.aws.provider]
autoscaling:default = rolling_lab.plugin:autoscaling
elasticbeanstalk:default = rolling_lab.plugin:elasticbeanstalk
elbv2:default = rolling_lab.plugin:elbv2

[localstack.hooks.on_infra_start]
open_lab = rolling_lab.plugin:open_lab
"""
READY_WITHIN = 300
PR_SET_PDEATHSIG = 1
# How many times as fast as real time the lab runs for the tests. Work takes the same real time, so
# more of the lab's time passes during it, above all on a busy machine.
SPEED_OF_TESTS = 5


def install(root: Path) -> Path:
    """Makes the virtual environment of this lock if it is not there, and returns its Python."""
    about = f"{HERE} {ENTRY_POINTS}"
    return environment.install(root, "LocalStack", HERE / "requirements.txt", about, add_lab)


def add_lab(packages: Path) -> None:
    # The package itself is used in place.
    (packages / "rolling_lab.pth").write_text(f"{HERE}\n")
    about = packages / "rolling_lab-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: rolling-lab\nVersion: 1\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)


def start(python: Path, root: Path, port: int, speed: float) -> tuple[subprocess.Popen, Path]:
    work = root / f"run-{os.getpid()}"
    work.mkdir(parents=True, exist_ok=True)
    log = work / "localstack.log"
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "LOCALSTACK_"))},
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "SERVICES": "ec2,elbv2,autoscaling,elasticbeanstalk,cloudwatch,s3,ssm,sts",
        "EAGER_SERVICE_LOADING": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DISABLE_EVENTS": "1",
        "LOCALSTACK_VOLUME_DIR": str(work / "volume"),
        "FILESYSTEM_ROOT": str(work),
        "XDG_CACHE_HOME": str(root / "cache"),
        "LS_LOG": "warning",
        # The lab makes its own images; AWS's would be made anew for every account.
        "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
        "ROLLING_LAB_SPEED": str(speed),
        "PYTHONDONTWRITEBYTECODE": "",
        # LocalStack's services do not talk to each other here.
        "NO_PROXY": "127.0.0.1,localhost",
    }
    libc = ctypes.CDLL(None)

    def with_parent():
        # LocalStack is killed together with lab.py.
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    process = subprocess.Popen(
        [str(python), "-m", "localstack.runtime.main"],
        stdin=subprocess.DEVNULL,
        stdout=open(log, "wb"),
        stderr=subprocess.STDOUT,
        env=environment,
        cwd=work,
        start_new_session=True,
        preexec_fn=with_parent,
    )
    return process, log


def wait_ready(process: subprocess.Popen, endpoint: str, log: Path, done: threading.Event) -> None:
    deadline = time.monotonic() + READY_WITHIN
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if done.is_set():
            return
        try:
            # The lab's own door answers once its services are loaded.
            with opener.open(f"{endpoint}/_lab/000000000000/times", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
    fail(f"LocalStack did not come up; the end of {log}:\n{tail}")


def serve(root: Path, port: int, speed: float, caller: int | None) -> None:
    python = install(root)
    if not port:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
    process, log = start(python, root, port, speed)
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: done.set())

    def watch_caller():
        if caller is None:
            while os.read(0, 4096):
                pass
        else:
            with contextlib.suppress(ProcessLookupError):
                select.select([os.pidfd_open(caller)], [], [])
        done.set()

    def watch_process():
        process.wait()
        done.set()

    try:
        endpoint = f"http://127.0.0.1:{port}"
        for watch in (watch_caller, watch_process):
            threading.Thread(target=watch, daemon=True).start()
        wait_ready(process, endpoint, log, done)
        if not done.is_set():
            ready = {"endpoint": endpoint, "pid": process.pid, "log": str(log)}
            print(json.dumps(ready), flush=True)
        done.wait()
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        shutil.rmtree(log.parent, ignore_errors=True)


def leave_behind(root: Path, speed: float) -> None:
    """Starts this script's `serve` for as long as the process exists that called it."""
    if "ROLLING_TEST_ENDPOINT" in os.environ:
        return  # it is there already
    if "NEXTEST_ENV" not in os.environ:
        fail("`start` is for nextest, which sets NEXTEST_ENV; by hand it is `serve`")
    install(root)
    caller = os.getppid()
    command = [sys.executable, __file__, "serve", "--dir", str(root), "--speed", str(speed)]
    served = subprocess.Popen(
        [*command, "--while", str(caller)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    line = served.stdout.readline()
    if not line:
        fail("LocalStack did not start; what went wrong is told above")
    endpoint = json.loads(line)["endpoint"]
    try:
        with open(os.environ["NEXTEST_ENV"], "a") as told:
            told.write(f"ROLLING_TEST_ENDPOINT={endpoint}\n")
    except OSError as error:
        served.terminate()
        fail(f"cannot tell nextest where LocalStack is: {error}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["serve", "start", "install"])
    parser.add_argument("--dir", type=Path, default=DEFAULT, help="where to install and run")
    parser.add_argument("--port", type=int, default=0, help="0 for a free one")
    parser.add_argument(
        "--speed", type=float, default=1, help="how many times as fast as real time it lives"
    )
    parser.add_argument(
        "--for-tests", action="store_const", dest="speed", const=SPEED_OF_TESTS, help="as they need"
    )
    parser.add_argument(
        "--while", type=int, dest="caller", help="serve for as long as this process is there"
    )
    wanted = parser.parse_args()
    if wanted.command == "install":
        print(install(wanted.dir))
    elif wanted.command == "start":
        leave_behind(wanted.dir, SPEED_OF_TESTS)
    else:
        serve(wanted.dir, wanted.port, wanted.speed, wanted.caller)


if __name__ == "__main__":
    main()
