#!/usr/bin/env python3
"""A real Kubernetes control plane on 127.0.0.1 for tests, without Docker: etcd, kube-apiserver,
kube-controller-manager, and a stand-in for scheduler and kubelets (`nodes.py`).

`control_plane.py build` builds it once into a cache folder, and prints the folder.

`control_plane.py run` builds it if it is missing, starts it on free ports in a folder of its own,
prints one JSON line (`kubeconfig`, `url`, `pid`, `kubectl`, `folder`, `version`) when it is ready,
and serves until its standard input ends or a signal comes. Nothing outlives it.

`control_plane.py start` leaves such a one behind for as long as the process that called it exists,
and prints its line.

Exit code 69, with a sentence on standard error: there is none here and none can be built, so tests
can say that they were skipped.
"""

import argparse
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import fields

import build
import nodes
from components import ControlPlane, Failed, Stopped

UNAVAILABLE = os.EX_UNAVAILABLE


def ending(caller: int | None) -> int:
    """Returns a file descriptor that becomes readable when this is to end: after a signal, and when
    standard input ends, or the caller."""
    reader, writer = os.pipe()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: os.write(writer, b"."))

    def watch():
        if caller is None:
            while os.read(0, 4096):
                pass
        else:
            with contextlib.suppress(ProcessLookupError):
                select.select([os.pidfd_open(caller)], [], [])
        os.write(writer, b".")

    threading.Thread(target=watch, daemon=True).start()
    return reader


def run(wanted: argparse.Namespace) -> int:
    programs = build.programs(not wanted.no_build)
    plane = ControlPlane(programs, options(wanted), ending(wanted.caller))
    try:
        print(json.dumps(plane.start()), flush=True)
        plane.check(None)
    except Stopped:
        return 0
    except (Failed, RuntimeError) as error:
        build.report(str(error))
        return 1
    finally:
        plane.stop()
    return 0


def options(wanted: argparse.Namespace) -> list[str]:
    names = [each.name for each in fields(nodes.Times)]
    return [word for name in names for word in (f"--{name}", str(getattr(wanted, name)))]


def leave_behind(wanted: argparse.Namespace) -> int:
    build.programs(not wanted.no_build)
    caller = wanted.caller or os.getppid()
    arguments = ["run", "--while", str(caller), "--no-build", *options(wanted)]
    with tempfile.TemporaryFile("w+") as errors:
        served = subprocess.Popen(
            [sys.executable, "-B", __file__, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
        line = served.stdout.readline()
        if line:
            print(line, end="", flush=True)
            return 0
        code = served.wait()
        errors.seek(0)
        print(errors.read(), end="", file=sys.stderr)
        return code or 1


def main() -> int:
    about = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=about)
    parser.add_argument("command", choices=["build", "run", "start"])
    parser.add_argument("--no-build", action="store_true", help="use only what is built already")
    arguments = {"type": int, "dest": "caller", "metavar": "PID"}
    parser.add_argument("--while", **arguments, help="serve for as long as this process exists")
    nodes.add_times(parser)
    wanted = parser.parse_args()
    try:
        if wanted.command == "run":
            return run(wanted)
        if wanted.command == "start":
            return leave_behind(wanted)
        print(build.programs(not wanted.no_build))
        return 0
    except build.Unavailable as error:
        build.report(str(error))
        return UNAVAILABLE
    except subprocess.CalledProcessError as error:
        log = build.root() / f"{build.folder().name}.building/build.log"
        build.report(f"{error.cmd[0]} failed; its output is in {log}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
