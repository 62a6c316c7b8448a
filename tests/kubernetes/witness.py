#!/usr/bin/env python3
"""Watches a Deployment or StatefulSet, its ReplicaSets and its pods, and writes a timeline.

`witness.py --kubeconfig FILE [--namespace NAME] deployment/web` writes a line of JSON whenever a
number changes, the first one when it watches, until its standard input ends; then a last line with
the extremes, `{"summary": ...}`. A check of floor and ceiling reads these: it counts pods itself,
so it does not depend on what the controller says of them.

asked      what the ReplicaSets' `spec.replicas` add up to (pods of a StatefulSet: its own)
live       pods that have not been extremes to end; `present` has those, too
ready      live pods whose condition Ready is True: they serve
available  those that have been ready for `minReadySeconds`
"""

import argparse
import calendar
import json
import queue
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import api
from api import Cluster, condition, key, labels, owner

KINDS = {"deployment": "deployments", "statefulset": "statefulsets"}
HASHES = {"deployment": "pod-template-hash", "statefulset": "controller-revision-hash"}
REVISION = "deployment.kubernetes.io/revision"
COUNTS = ("asked", "live", "ready", "available", "present")


class Witness:
    """What is there now, by uid, as the watches tell it."""

    def __init__(self, kind: str, name: str):
        self.kind, self.name = kind, name
        self.workload: dict = {}
        self.objects: dict[str, dict[str, dict]] = {"pods": {}, "replicasets": {}}

    def apply(self, what: str, event: str, changed: dict) -> None:
        if what == "workload":
            listed = changed.get("items") or [] if event == "LISTED" else [changed]
            for each in listed:
                if each["metadata"]["name"] == self.name:
                    self.workload = {} if event == "DELETED" else each
        elif event == "LISTED":
            self.objects[what] = {key(each): each for each in changed["items"] or []}
        elif event == "DELETED":
            self.objects[what].pop(key(changed), None)
        else:
            self.objects[what][key(changed)] = changed

    def sets(self) -> list[dict]:
        uid = self.workload.get("metadata", {}).get("uid")
        return [s for s in self.objects["replicasets"].values() if owner(s).get("uid") == uid]

    def pods(self) -> list[dict]:
        owners = {key(s): s for s in [*self.sets(), self.workload] if s}
        return [p for p in self.objects["pods"].values() if owner(p).get("uid") in owners]

    def counts(self, at: float) -> dict:
        """Returns the numbers, of each revision and altogether; `at` is in seconds since 1970."""
        revisions: dict[str, dict] = {}
        for each in self.sets():
            spec = each["spec"]["template"]["spec"]
            revisions[labels(each).get(HASHES[self.kind], "")] = {
                "set": each["metadata"]["name"],
                "revision": int(api.annotations(each).get(REVISION, 0)),
                "images": [container["image"] for container in spec["containers"]],
                **dict.fromkeys(COUNTS, 0),
                "asked": each["spec"]["replicas"],
            }
        for pod in self.pods():
            named = labels(pod).get(HASHES[self.kind], "")
            images = [container["image"] for container in pod["spec"]["containers"]]
            fresh = {"set": named, "revision": 0, "images": images, **dict.fromkeys(COUNTS, 0)}
            revision = revisions.setdefault(named, fresh)
            for count in counted_as(pod, self.soak(), at):
                revision[count] += 1
        entries = sorted(revisions.values(), key=lambda each: (each["revision"], each["set"]))
        totals = {count: sum(each[count] for each in entries) for count in COUNTS}
        spec = self.workload.get("spec", {})
        if self.kind == "statefulset":
            totals["asked"] = spec.get("replicas", 0)
        total = {"replicas": spec.get("replicas"), **totals, "serving": totals["ready"]}
        return {**total, "revisions": entries}

    def soak(self) -> int:
        return self.workload.get("spec", {}).get("minReadySeconds", 0)

    def next_available(self, at: float) -> float | None:
        """Returns in how many seconds a pod becomes available that is not yet, if one does."""
        due = [since(pod) + self.soak() for pod in self.pods() if is_ready(pod)]
        return min((each - at for each in due if each > at), default=None)


def is_ready(pod: dict) -> bool:
    ends = pod["metadata"].get("deletionTimestamp")
    return not ends and condition(pod, "Ready").get("status") == "True"


def since(pod: dict) -> float:
    text = condition(pod, "Ready")["lastTransitionTime"]
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))


def counted_as(pod: dict, soak: int, at: float) -> Iterator[str]:
    yield "present"
    over = pod.get("status", {}).get("phase") in ("Failed", "Succeeded")
    if not pod["metadata"].get("deletionTimestamp") and not over:
        yield "live"
    if is_ready(pod):
        yield "ready"
        if since(pod) + soak <= at:
            yield "available"


class Summary:
    """The extremes since the beginning."""

    def __init__(self) -> None:
        self.minimum: dict[str, int] = {}
        self.maximum: dict[str, int] = {}

    def reset(self) -> None:
        self.__init__()

    def add(self, snapshot: dict) -> None:
        for count in COUNTS:
            self.minimum[count] = min(snapshot[count], self.minimum.get(count, snapshot[count]))
            self.maximum[count] = max(snapshot[count], self.maximum.get(count, snapshot[count]))

    def as_dict(self) -> dict:
        extremes = {f"min_{name}": value for name, value in self.minimum.items()}
        return extremes | {f"max_{name}": value for name, value in self.maximum.items()}


class Observer:
    """The three watches of a witness, in threads; what they see comes in one queue."""

    def __init__(self, cluster: Cluster, namespace: str, kind: str, name: str):
        self.witness, self.summary = Witness(kind, name), Summary()
        self.inbox: queue.Queue = queue.Queue()
        self.done = threading.Event()
        self.missing = {"workload", "pods", "replicasets"}
        apps = f"{api.APPS}/namespaces/{namespace}"
        only = f"?fieldSelector=metadata.name%3D{name}"
        for what, path in [
            ("workload", f"{apps}/{KINDS[kind]}{only}"),
            ("replicasets", f"{apps}/replicasets"),
            ("pods", api.pods(namespace)),
        ]:
            threading.Thread(target=self.watch, args=(cluster, what, path), daemon=True).start()

    def watch(self, cluster: Cluster, what: str, path: str) -> None:
        try:
            for event, changed in cluster.follow(path, self.done.is_set):
                self.inbox.put((what, event, changed))
        except (OSError, api.ApiError, ValueError) as error:
            self.inbox.put(("failed", str(error), {}))

    def stop(self) -> None:
        self.done.set()
        self.inbox.put(None)

    def snapshots(self) -> Iterator[dict]:
        """Yields what is there, when all three watch and then whenever it changes, until the end."""
        last = None
        for snapshot in self.every_snapshot():
            if snapshot != last:
                last = snapshot
                yield {"at": round(time.time(), 3), **snapshot}

    def every_snapshot(self) -> Iterator[dict]:
        """Yields what is there after every event, also of one that changes no number."""
        while True:
            try:
                received = self.inbox.get(timeout=self.witness.next_available(time.time()))
                if received is None:
                    return
                if received[0] == "failed":
                    raise ConnectionError(received[1])
                self.witness.apply(*received)
                self.missing.discard(received[0])
            except queue.Empty:
                pass
            if not self.missing:
                snapshot = self.witness.counts(time.time())
                self.summary.add(snapshot)
                yield snapshot


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--namespace", default="default")
    parser.add_argument("workload", help="deployment/NAME or statefulset/NAME")
    wanted = parser.parse_args()
    kind, _, name = wanted.workload.partition("/")
    if kind not in KINDS or not name:
        parser.error("a workload is deployment/NAME or statefulset/NAME")
    observer = Observer(Cluster(wanted.kubeconfig), wanted.namespace, kind, name)

    def watch_caller():
        while sys.stdin.buffer.read1(4096):
            pass
        observer.stop()

    threading.Thread(target=watch_caller, daemon=True).start()
    try:
        for snapshot in observer.snapshots():
            print(json.dumps(snapshot), flush=True)
    except OSError as error:
        sys.exit(f"witness: {error}")
    print(json.dumps({"summary": observer.summary.as_dict()}), flush=True)


if __name__ == "__main__":
    main()
