#!/usr/bin/env python3
"""Runs the stories of `stories.py` against the real controllers, and writes what they did to
`recordings/NAME.json`: the measure for any fake of them.

`record.py [NAME ...]` runs each three times, all at the same time. A recording has

steps       as in the story; an `until` has what was `reached`, [new, old], and in how many `seconds`
asked       [new, old] in order: asked of the set with the Deployment's template, and of all others
conditions  [type, status, reason] of the Deployment, whenever one of them changed
variants    `asked` and `conditions` of runs in which they were others
final       the images with their sizes, the status' numbers, whether it is paused
extremes    minimum and maximum of each of the witness' numbers, since it was complete first
"""

import json
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path

import api
from api import APPS, CORE, Cluster
from build import RELEASE
from stories import STORIES, deployment
from witness import Observer

HERE = Path(__file__).resolve().parent
OUT = HERE / "recordings"
RUNS = 3
PATIENCE = 90
# Longer than anything takes that is still to come: a boot and a soak.
QUIET = 4
TIMES = {"boot": 0.6, "ready": 0.2, "drain": 0.5}
NUMBERS = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")


class TimedOut(Exception):
    pass


class Run:
    """One story in a namespace of its own."""

    def __init__(self, cluster: Cluster, kubectl: list[str], namespace: str, steps: list[dict]):
        self.cluster, self.kubectl, self.namespace = cluster, kubectl, namespace
        self.story = steps
        self.path = f"{APPS}/namespaces/{namespace}/deployments"
        self.updated = threading.Condition()
        self.snapshot: dict = {}
        self.changed_at = time.monotonic()
        self.asked: list[list[int]] = []
        self.conditions: list[list[str]] = []
        self.steps: list[dict] = []
        self.workload: dict = {}
        self.generation = 0

    def run(self) -> dict:
        namespace = {"apiVersion": "v1", "kind": "Namespace"}
        self.cluster.create(
            f"{CORE}/namespaces", {**namespace, "metadata": {"name": self.namespace}}
        )
        api.wait_for_account(self.cluster, self.namespace)
        self.cluster.create(self.path, deployment())
        self.observer = Observer(self.cluster, self.namespace, "deployment", "web")
        threading.Thread(target=self.watch, daemon=True).start()
        self.until({"complete": True, "settled": True})
        with self.updated:
            self.asked, self.conditions = self.asked[-1:], self.conditions[-2:]
            self.observer.summary.reset()
        try:
            for step in self.story:
                self.steps.append(self.run_step(step))
        finally:
            self.observer.stop()
        return {
            "steps": self.steps,
            "asked": self.asked,
            "conditions": self.conditions,
            "final": self.final(),
            "extremes": self.observer.summary.as_dict(),
        }

    def run_step(self, step: dict) -> dict:
        (kind, what), *_ = step.items()
        at = f"{self.path}/web"
        if kind == "patch":
            # What is watched later is about this one, though a ReplicaSet may come first.
            with self.updated:
                self.take_workload(self.cluster.patch(at, what))
        elif kind == "create":
            path = f"{CORE}/namespaces/{self.namespace}/{what['kind'].lower()}s"
            self.cluster.create(path, what)
            # A quota holds once the controller has counted what is there.
            for _, thing in self.cluster.follow(path, lambda: False):
                if all(each.get("status", {}).get("hard") for each in thing.get("items", [thing])):
                    break
        elif kind == "wait":
            time.sleep(what)  # the story is about time that passes
        elif kind == "undo":
            command = [*self.kubectl, "-n", self.namespace, "rollout", "undo", "deployment/web"]
            with self.updated:
                subprocess.run(command, check=True, capture_output=True)
                self.take_workload(self.cluster.get(at))
        else:
            began = time.monotonic()
            reached = self.until(what)
            return {**step, "reached": reached, "seconds": round(time.monotonic() - began, 1)}
        return step

    def take_workload(self, answer: dict) -> None:
        self.workload, self.generation = answer, answer["metadata"]["generation"]
        self.changed_at = time.monotonic()

    def watch(self) -> None:
        for snapshot in self.observer.every_snapshot():
            with self.updated:
                if snapshot != self.snapshot:
                    self.changed_at = time.monotonic()
                self.snapshot = snapshot
                watched = self.observer.witness.workload
                if watched.get("metadata", {}).get("generation", 0) >= self.generation:
                    self.workload = watched
                for each in self.workload.get("status", {}).get("conditions", []):
                    entry = [each["type"], each["status"], each["reason"]]
                    known = [one for one in self.conditions if one[0] == each["type"]]
                    if known[-1:] != [entry]:
                        self.conditions.append(entry)
                if self.workload and self.sizes() not in self.asked[-1:]:
                    self.asked.append(self.sizes())
                self.updated.notify_all()

    def new(self) -> dict:
        """Returns the revision that has the Deployment's template, if it is there."""
        spec = self.workload["spec"]["template"]["spec"]
        images = [each["image"] for each in spec["containers"]]
        found = (each for each in self.snapshot["revisions"] if each["images"] == images)
        return next(found, {"asked": 0, "available": 0})

    def sizes(self) -> list[int]:
        new = self.new()["asked"]
        return [new, self.snapshot["asked"] - new]

    def until(self, what: dict) -> list[int]:
        deadline = time.monotonic() + PATIENCE
        with self.updated:
            while not (self.is_observed() and all(self.is_met(*each) for each in what.items())):
                if time.monotonic() > deadline:
                    raise TimedOut(f"{self.namespace}: {what}; at last {self.snapshot}")
                self.updated.wait(0.2 if "settled" in what else 1)
            return self.sizes()

    def is_observed(self) -> bool:
        """Whether what is known is about the last patch, and the controller has read it."""
        if not self.snapshot or not self.workload:
            return False
        observed = self.workload.get("status", {}).get("observedGeneration", 0)
        return min(observed, self.workload["metadata"]["generation"]) >= self.generation

    def is_met(self, kind: str, what) -> bool:
        snapshot, status = self.snapshot, self.workload.get("status", {})
        size = self.workload["spec"]["replicas"]
        if kind == "settled":
            quiet = time.monotonic() - self.changed_at > QUIET
            return quiet and snapshot["ready"] == snapshot["available"]
        if kind == "complete":
            counts = ("replicas", "updatedReplicas", "availableReplicas")
            return all(status.get(count) == size for count in counts)
        if kind in ("reason", "failure"):
            condition = "Progressing" if kind == "reason" else "ReplicaFailure"
            return api.condition(self.workload, condition).get("reason") == what
        new, old = self.sizes()
        found = {"new": new, "old": old, "asked": new + old, "available": self.new()["available"]}
        return found[kind] == what

    def final(self) -> dict:
        with self.updated:
            spec, status = self.workload["spec"], self.workload["status"]
            sizes = {each["images"][0]: each["asked"] for each in self.snapshot["revisions"]}
            numbers = {name: status.get(name, 0) for name in NUMBERS}
            return {"sizes": sizes, "status": numbers, "paused": spec.get("paused", False)}


def record(cluster: Cluster, kubectl: list[str], names: list[str]) -> int:
    """Runs all the stories at the same time, and returns the exit code."""
    finished: queue.Queue = queue.Queue()

    def run_story(name: str, number: int) -> None:
        namespace = f"{name.replace('_', '-')}-{number}"
        try:
            finished.put((name, Run(cluster, kubectl, namespace, STORIES[name][1]).run()))
        except Exception as error:
            finished.put((name, error))

    runs = [(name, number) for name in names for number in range(RUNS)]
    for each in runs:
        threading.Thread(target=run_story, args=each, daemon=True).start()
    results: dict[str, list] = {name: [] for name in names}
    for _ in runs:
        name, result = finished.get()
        results[name].append(result)
        if len(results[name]) == RUNS:
            failed = [each for each in results[name] if isinstance(each, Exception)]
            print(f"{name}: {failed[0] if failed else write(name, results[name])}", flush=True)
    return any(isinstance(each, Exception) for all in results.values() for each in all)


def write(name: str, runs: list[dict]) -> str:
    """Writes the most frequent outcome, and the others as variants."""
    outcomes = [json.dumps({part: each[part] for part in ("asked", "conditions")}) for each in runs]
    usual = max(outcomes, key=outcomes.count)
    first = runs[outcomes.index(usual)]
    about = {"description": STORIES[name][0], "kubernetes": f"v{RELEASE}", "times": TIMES}
    recording = {**about, "deployment": deployment(), **first}
    recording["variants"] = [json.loads(each) for each in sorted(set(outcomes) - {usual})]
    OUT.mkdir(exist_ok=True)
    (OUT / f"{name}.json").write_text(compact(recording))
    return " - ".join("/".join(map(str, sizes)) for sizes in first["asked"])


def compact(recording: dict) -> str:
    """A line for each part, and for each step."""
    lines = []
    for name, value in recording.items():
        if isinstance(value, list) and name in ("steps", "conditions", "variants") and value:
            inner = ",\n".join(f"    {json.dumps(each)}" for each in value)
            lines.append(f"  {json.dumps(name)}: [\n{inner}\n  ]")
        else:
            lines.append(f"  {json.dumps(name)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> int:
    names = sys.argv[1:] or list(STORIES)
    options = [word for name, value in TIMES.items() for word in (f"--{name}", str(value))]
    served = subprocess.Popen(
        [sys.executable, "-B", HERE / "control_plane.py", "run", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    line = served.stdout.readline()
    if not line:
        return served.wait()
    server = json.loads(line)
    kubectl = [server["kubectl"], "--kubeconfig", server["kubeconfig"]]
    try:
        return record(Cluster(Path(server["kubeconfig"])), kubectl, names)
    finally:
        served.stdin.close()
        served.wait()


if __name__ == "__main__":
    sys.exit(main())
