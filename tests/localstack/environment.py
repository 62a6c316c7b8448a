#!/usr/bin/env python3
"""Makes a virtual environment from a lock, once. Needs nothing but Python 3.11 or newer with venv.

`environment.py NAME LOCK DIR` makes it below DIR if it is not there, and prints its Python.
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
BOOTSTRAP = HERE / "bootstrap.txt"


def fail(message: str) -> None:
    print(f"lab: {message}", file=sys.stderr)
    sys.exit(1)


def install(root: Path, name: str, lock: Path, about: str, finish: Callable[[Path], None]) -> Path:
    """Makes the environment of this lock if it is not there, and returns its Python.

    `about` is what else it depends on; `finish` is called with the folder of its packages.
    """
    if sys.version_info < (3, 11):
        fail(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}")
    digest = hashlib.sha256(f"{about} {sys.version}".encode())
    for file in (BOOTSTRAP, lock):
        digest.update(file.read_bytes())
    venv = root / f"venv-{digest.hexdigest()[:12]}"
    python = venv / "bin" / "python"
    root.mkdir(parents=True, exist_ok=True)
    with open(root / "install.lock", "w") as lock_file:
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        if (venv / "complete").exists():
            return python
        print(f"lab: installing {name}, once", file=sys.stderr)
        shutil.rmtree(venv, ignore_errors=True)
        run(sys.executable, "-m", "venv", venv, hint="install Python's venv module (python3-venv)")
        pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        run(*pip, "--require-hashes", "-r", BOOTSTRAP)
        sync = (venv / "bin" / "uv", "pip", "sync", "--quiet", "--require-hashes")
        run(*sync, "--python", python, lock)
        finish(next((venv / "lib").glob("python*")) / "site-packages")
        (venv / "complete").touch()
    return python


def run(*command, hint: str = "is the package index reachable?") -> None:
    arguments = [str(argument) for argument in command]
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        fail(f"failed to run {' '.join(arguments)}\n{tail}\n{hint}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        fail(f"usage: {sys.argv[0]} NAME LOCK DIR")
    name, lock, root = sys.argv[1:]
    print(install(Path(root), name, Path(lock), "", lambda packages: None))
