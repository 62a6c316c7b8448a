#!/usr/bin/env python3
"""Holds every crate that is built in to deny.toml: its licence, its source, no wildcard versions.

`cargo deny check licenses bans sources` says the same, and takes minutes to build.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def is_allowed(expression: str, allowed: set[str]) -> bool:
    """Whether an SPDX expression can be satisfied by these licences alone."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))

    def one() -> bool:
        token = tokens.pop(0)
        if token == "(":
            value = either()
            tokens.pop(0)
            return value
        if tokens and tokens[0] == "WITH":
            token += f" WITH {tokens[1]}"
            del tokens[:2]
        return token in allowed

    def both() -> bool:
        value = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            value &= one()
        return value

    def either() -> bool:
        value = both()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            value |= both()
        return value

    return either()


def main() -> int:
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    allowed = set(rules["licenses"]["allow"])
    command = ["cargo", "metadata", "--locked", "--all-features", "--format-version", "1"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if found.returncode:
        print(found.stderr, file=sys.stderr)
        return 1
    metadata = json.loads(found.stdout)
    # What only tests and builds use is not handed on.
    handed_on = built_in(metadata["resolve"])
    wrong = []
    for package in metadata["packages"]:
        name = f"{package['name']} {package['version']}"
        ours = package["source"] is None
        if not ours and not package["source"].startswith("registry+"):
            wrong.append(f"{name} comes from {package['source']}, which deny.toml does not allow")
        wild = [of["name"] for of in package["dependencies"] if ours and is_wild(of)]
        wrong += [f"{name} takes any version of {of}" for of in wild]
        if package["id"] in handed_on and not is_allowed(package["license"] or "none", allowed):
            wrong.append(f"{name} has the licence {package['license']}: deny.toml allows {allowed}")
    print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
    return 1 if wrong else 0


def is_wild(dependency: dict) -> bool:
    return dependency["req"] == "*" and dependency.get("path") is None


def built_in(resolve: dict) -> set[str]:
    """The packages that normal dependencies lead to, from those of the workspace."""
    nodes = {node["id"]: node for node in resolve["nodes"]}
    ahead = [resolve["root"]]
    found: set[str] = set()
    while ahead:
        package = ahead.pop()
        if package in found:
            continue
        found.add(package)
        for dependency in nodes[package]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                ahead.append(dependency["pkg"])
    return found


if __name__ == "__main__":
    sys.exit(main())
