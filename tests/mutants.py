"""Breaks the planner and the engine, one promise at a time, and checks that a test notices.

    python3 tests/mutants.py [TEXT]      # only mutants whose name contains TEXT
    python3 tests/mutants.py --check     # only checks that each still fits the source

Each mutant of the tables in tests/mutants/ is one replacement in a copy of the project, on which the
tests on the simulator run. It prints which of them failed. It exits with 1 if a mutant survives, or no
longer fits the source. With cargo-nextest a mutant takes half a minute, since that stops at the first
test that fails.
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

sys.dont_write_bytecode = True  # leave no files beside the sources

from mutants import MUTANTS  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent


def copy_to(folder: pathlib.Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


# The tests that look for mutants: not those that hold the source itself to rules.
FAST = [
    "blame",
    "commands",
    "conformance",
    "crash",
    "documents",
    "faults",
    "following",
    "frozen",
    "gates",
    "guarded",
    "hooks",
    "layers",
    "lease_waits",
    "left_alone",
    "looks",
    "meanwhile",
    "model",
    "outcomes",
    "ownership",
    "planned",
    "planner",
    "plugin",
    "printed",
    "properties",
    "protocol",
    "restart",
    "restored",
    "rollback_after",
    "rollout",
    "shift",
    "sizes",
    "sources",
    "state_files",
    "stdio",
    "support",
    "termination",
    "told",
    "unrestored",
    "rollback_target",
]


def command_for(file: str) -> tuple[list[str], str]:
    """Returns the tests for a mutant of this file, and how their failures are printed."""
    if file.startswith("providers/aws/"):
        return ["cargo", "test", "-q", "-p", "rolling-aws", "--lib"], r"^(\S+) --- FAILED$"
    only = ["--no-default-features", "-p", "rolling", "--lib", "--test", "it"]
    if shutil.which("cargo-nextest"):
        wanted = "kind(lib) + test(/^fast::(%s)::/)" % "|".join(FAST)
        noticed = r"^ +(?:FAIL|TIMEOUT|SIG\S+) \[.*\] (?:\(.*\) )?\S+ (\S+)$"
        return ["cargo", "nextest", "run", *only, "--fail-fast", "-E", wanted], noticed
    wanted = ["tests::", *(f"fast::{name}::" for name in FAST)]
    return ["cargo", "test", "-q", *only, "--", *wanted], r"^(\S+) --- FAILED$"


def test(folder: pathlib.Path, file: str) -> tuple[bool, str]:
    """Returns whether the tests pass, and the first ones that fail."""
    command, noticed = command_for(file)
    environment = dict(
        os.environ,
        PROPTEST_CASES="48",
        PROPTEST_MAX_SHRINK_ITERS="0",
        # All mutants, and the next run, share what is built of the dependencies.
        CARGO_TARGET_DIR=str(ROOT / "target" / "mutants"),
    )
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=1200)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return False, "it never ends"
    # The cases that failed for one mutant are not tried first for the next.
    shutil.rmtree(folder / "tests" / "regressions", ignore_errors=True)
    failed = list(dict.fromkeys(re.findall(noticed, printed, re.MULTILINE)))
    if process.returncode and not failed:
        return False, "IT DOES NOT COMPILE: " + printed[-400:]
    return process.returncode == 0, ", ".join(failed[:3])


def fits(name: str, file: str, there: str) -> bool:
    """Returns whether the source has the text that a mutant replaces, and reports it if not."""
    is_there = there in (ROOT / file).read_text()
    if not is_there:
        print(f"{name}: NO LONGER FITS {file}, where there is no\n{there}", flush=True)
    return is_there


def run(part: str) -> int:
    """Returns how many mutants survive or cannot be tried."""
    bad = 0
    # Always the same folder, so that the next run can use what was built.
    folder = ROOT / "target" / "mutants" / "source"
    shutil.rmtree(folder, ignore_errors=True)
    copy_to(folder)
    for promise, name, file, there, instead in MUTANTS:
        if part not in name:
            continue
        if not fits(name, file, there):
            bad += 1
            continue
        source = (ROOT / file).read_text()
        # The last occurrence, if there are several.
        before, after = source.rsplit(there, 1)
        (folder / file).write_text(before + instead + after)
        passed, noticed = test(folder, file)
        (folder / file).write_text(source)
        bad += passed or "COMPILE" in noticed
        print(f"{promise:>2}  {name}: {'SURVIVED' if passed else noticed}", flush=True)
    return bad


def main() -> int:
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    if part == "--check":
        bad = sum(not fits(name, file, there) for _, name, file, there, _ in MUTANTS)
    else:
        bad = run(part)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
