#!/usr/bin/env python3
"""Tests the control plane, its nodes and the witness, in less than a minute once it is built.

`selftest.py [NAME ...]` runs all tests, or those of these names. Exit code 69 where there is no
control plane and none can be built.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cases
from api import CORE, ApiError
from fixtures import HERE, Namespace, Server

AT_ONCE = 6


def test_two_run_side_by_side_and_nothing_outlives_them(first: Server) -> None:
    second = Server()
    assert first.info["url"] != second.info["url"]
    second.cluster.create(f"{CORE}/namespaces/default/configmaps", config_map("only-here"))
    try:
        first.cluster.get(f"{CORE}/namespaces/default/configmaps/only-here")
        raise AssertionError("the two are one")
    except ApiError as error:
        assert error.code == 404, error
    there = descendants(second.process.pid)
    assert len(there) >= 4, there
    second.process.kill()
    second.process.wait()
    until_gone(there, second.info["folder"])


def config_map(name: str) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


def test_the_end_of_its_caller_ends_it(first: Server) -> None:
    command = [sys.executable, "-B", HERE / "control_plane.py", "run"]
    script = "import subprocess, sys; print(subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE).wait())"
    caller = subprocess.Popen([sys.executable, "-c", script, *command], stdout=subprocess.PIPE)
    info = json.loads(caller.stdout.readline())
    there = [info["pid"], *descendants(info["pid"])]
    os.kill(caller.pid, signal.SIGKILL)
    caller.wait()
    until_gone(there, info["folder"])


def test_one_that_is_left_behind_ends_with_a_process(first: Server) -> None:
    caller = subprocess.Popen(["sleep", "60"])
    command = [sys.executable, "-B", HERE / "control_plane.py", "start", "--while", str(caller.pid)]
    info = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    there = [info["pid"], *descendants(info["pid"])]
    assert running(there) == there, there
    caller.kill()
    caller.wait()
    until_gone(there, info["folder"])


def descendants(pid: int) -> list[int]:
    """Returns the processes that a process started, and those started by them."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [each for child in map(int, children) for each in (child, *descendants(child))]


def running(pids: list[int]) -> list[int]:
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            # Empty for one that has ended and was not waited for yet.
            if Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def until_gone(pids: list[int], folder: str) -> None:
    deadline = time.monotonic() + 10
    while running(pids) or Path(folder).exists():
        assert time.monotonic() < deadline, (running(pids), folder, Path(folder).exists())
        time.sleep(0.05)


def test_without_cache_and_archive_it_says_so(first: Server) -> None:
    env = {**os.environ, "XDG_CACHE_HOME": f"{first.info['folder']}/no-cache"}
    for arguments, path, message in [
        (["run", "--no-build"], os.environ["PATH"], "the control plane is not built"),
        (["build"], "/nonexistent", "openssl is missing"),
    ]:
        done = subprocess.run(
            [sys.executable, "-B", HERE / "control_plane.py", *arguments],
            env={**env, "PATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == os.EX_UNAVAILABLE, done
        assert message in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def main() -> int:
    began = time.monotonic()
    first = Server()
    print(f"the first control plane is ready after {time.monotonic() - began:.1f} s", flush=True)
    found = {**vars(cases), **globals()}
    tests = {name: test for name, test in found.items() if name.startswith("test_")}
    wanted = {name: test for name, test in tests.items() if not sys.argv[1:] or name in sys.argv}

    def run(name: str, test: Callable) -> bool:
        began = time.monotonic()
        try:
            own = "first" in test.__annotations__
            test(first if own else Namespace(first, name.replace("_", "-")[:60].rstrip("-")))
            print(f"ok {name} ({time.monotonic() - began:.1f} s)", flush=True)
            return True
        except Exception:
            print(f"FAIL {name}\n{traceback.format_exc()}", flush=True)
            return False

    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(run, wanted, wanted.values()))
    first.stop()
    print(f"{time.monotonic() - began:.1f} s", flush=True)
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    return 1 if False in results else 0


if __name__ == "__main__":
    sys.exit(main())
