#!/usr/bin/env python3
"""A stand-in for the scheduler and the kubelets of three nodes: pods are assigned and their status
is updated, but no container runs. How a pod behaves is in `behaviours.py`.

`nodes.py --kubeconfig FILE` runs until it is ended, and prints a line when it watches.
"""

import argparse
import contextlib
import heapq
import itertools
import json
import queue
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import api
from api import ApiError, Cluster, annotations, ignore_gone, key, owner
from behaviours import CREATING, Container, Step, Times, behaviours, script
from recorder import Recorder
from status import GATES, Conditions, gate_condition, pod_status

ZONES = ("zone-a", "zone-b", "zone-c")
ZONE = "topology.kubernetes.io/zone"
SCHEDULER = "default-scheduler"
ROOM = {"cpu": "4", "memory": "16Gi", "pods": "110"}


@dataclass
class PodState:
    """A pod that is assigned to a node."""

    pod: dict
    times: Times
    conditions: Conditions
    steps: dict[str, Step]
    last_status: dict | None = None
    terminating: bool = False


class Nodes:
    """One thread handles watch events and timers in order."""

    def __init__(self, cluster: Cluster, times: Times):
        self.cluster, self.times = cluster, times
        self.recorder = Recorder(cluster)
        self.inbox: queue.Queue = queue.Queue()
        self.due: list[tuple[float, int, Callable[[], None]]] = []
        self.numbers = itertools.count()
        self.nodes: dict[str, dict] = {}
        self.pods: dict[str, PodState] = {}
        self.assigned: dict[str, tuple[str, str]] = {}  # by pod: its node, and controller it is
        self.gates: dict[str, dict] = {}
        self.addresses = itertools.count()

    def run(self) -> None:
        self.register()
        gates = f"{api.CORE}/configmaps?fieldSelector=metadata.name%3D{GATES}"
        self.follow(gates, self.gates_changed)
        self.follow(f"{api.CORE}/pods", self.pod_changed)
        while True:
            wait = self.due[0][0] - time.monotonic() if self.due else None
            if wait is not None and wait <= 0:
                heapq.heappop(self.due)[2]()
                continue
            with contextlib.suppress(queue.Empty):
                handle, event, changed = self.inbox.get(timeout=wait)
                if event == "FAILED":
                    sys.exit(f"nodes: the API server is gone: {changed}")
                handle(event, changed)

    def register(self) -> None:
        for number, zone in enumerate(ZONES):
            name = zone.replace("zone", "node")
            named = {"kubernetes.io/hostname": name, ZONE: zone}
            labels = {**named, "kubernetes.io/os": "linux"}
            ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
            ready |= {"message": "kubelet is posting ready status", "lastTransitionTime": api.now()}
            status = {"capacity": ROOM, "allocatable": ROOM, "conditions": [ready]}
            status["addresses"] = [{"type": "InternalIP", "address": f"10.0.1.{number + 1}"}]
            metadata = {"name": name, "labels": labels}
            node = {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": status}
            with ignore_gone():
                self.cluster.create(f"{api.CORE}/nodes", node)
            # Admission gives a new node the taint of one that is not ready.
            path = f"{api.CORE}/nodes/{name}"
            self.nodes[name] = self.cluster.patch(path, {"spec": {"taints": None}}, api.MERGE)

    def follow(self, path: str, handle: Callable[[str, dict], None]) -> None:
        def watch():
            try:
                for event, changed in self.cluster.follow(path, lambda: False):
                    self.inbox.put((handle, event, changed))
            except (OSError, ApiError, ValueError) as error:
                self.inbox.put((handle, "FAILED", error))

        threading.Thread(target=watch, daemon=True).start()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self.due, (time.monotonic() + seconds, next(self.numbers), action))

    # What is watched.

    def gates_changed(self, event: str, changed: dict) -> None:
        listed = changed.get("items") or [] if event == "LISTED" else [changed]
        if event == "LISTED":
            self.gates = {}
        for each in listed:
            data = {} if event == "DELETED" else each.get("data") or {}
            self.gates[each["metadata"]["namespace"]] = data
        for state in list(self.pods.values()):
            if state.pod["spec"].get("readinessGates") and not state.terminating:
                self.update_status(state)

    def pod_changed(self, event: str, changed: dict) -> None:
        if event == "LISTED":
            there = {key(pod) for pod in changed["items"] or []}
            for uid in [uid for uid in self.pods if uid not in there]:
                self.forget(uid)
            for pod in changed["items"] or []:
                self.sync_pod(pod)
            print(json.dumps({"watching": True}), flush=True)
        elif event == "DELETED":
            self.forget(key(changed))
        else:
            self.sync_pod(changed)

    def forget(self, uid: str) -> None:
        self.pods.pop(uid, None)
        self.assigned.pop(uid, None)

    def sync_pod(self, pod: dict) -> None:
        uid, metadata = key(pod), pod["metadata"]
        if pod["spec"].get("nodeName", "") not in ("", *self.nodes):
            return  # of a node that is not ours
        state = self.pods.get(uid)
        if state:
            state.pod = pod
        if metadata.get("deletionTimestamp"):
            if pod["spec"].get("nodeName"):
                self.terminate(pod, state)
        elif not pod["spec"].get("nodeName"):
            if uid not in self.assigned and pod["spec"].get("schedulerName") == SCHEDULER:
                self.schedule(pod)
        elif not state:
            self.start_pod(pod)
        elif pod["spec"].get("readinessGates"):
            self.update_status(state)  # another controller may have set a gate's condition

    # The scheduler.

    def schedule(self, pod: dict) -> None:
        uid, meta = key(pod), pod["metadata"]
        wanted = (pod["spec"].get("nodeSelector") or {}).items()
        fit = [name for name, node in self.nodes.items() if wanted <= api.labels(node).items()]
        if not fit or "unschedulable" in behaviours(pod):
            unmatched = "3 node(s) didn't match Pod's node affinity/selector"
            return self.mark_unschedulable(pod, "3 Insufficient cpu" if fit else unmatched)
        controller = owner(pod).get("uid", uid)
        of_controller = Counter(self.assigned.values())
        on_node = Counter(node for node, _ in self.assigned.values())
        node = min(fit, key=lambda name: (of_controller[name, controller], on_node[name], name))
        self.assigned[uid] = (node, controller)
        target = {"apiVersion": "v1", "kind": "Node", "name": node}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": meta["name"]}}
        with ignore_gone():
            path = f"{api.pods(meta['namespace'], meta['name'])}/binding"
            self.cluster.create(path, {**binding, "target": target})
        message = f"Successfully assigned {meta['namespace']}/{meta['name']} to {node}"
        self.recorder.record(pod, ("Normal", "Scheduled", message), SCHEDULER)

    def mark_unschedulable(self, pod: dict, why: str) -> None:
        meta = pod["metadata"]
        message = f"0/{len(self.nodes)} nodes are available: {why}."
        self.assigned[key(pod)] = ("", "")
        scheduled = Conditions(api.now).set("PodScheduled", False, "Unschedulable", message)
        path = f"{api.pods(meta['namespace'], meta['name'])}/status"
        with ignore_gone():
            self.cluster.patch(path, {"status": {"conditions": [scheduled]}})
        self.recorder.record(pod, ("Warning", "FailedScheduling", message), SCHEDULER)

    # The kubelets.

    def start_pod(self, pod: dict) -> None:
        times = self.times.of(annotations(pod))
        names = [each["name"] for each in pod["spec"]["containers"]]
        state = PodState(pod, times, Conditions(api.now), dict.fromkeys(names, CREATING))
        self.pods[key(pod)] = state
        self.assigned.setdefault(key(pod), (pod["spec"]["nodeName"], owner(pod).get("uid", "")))
        self.update_status(state)
        for each in pod["spec"]["containers"]:
            container = Container(each["name"], each["image"], pod, times, api.now)
            self.queue_step(state, container, script(container))

    def queue_step(self, state: PodState, container: Container, steps) -> None:
        """Applies a container's next step when it is due, then the one after it, and so on."""
        step = next(steps, None)
        if step is None:
            return

        def apply():
            if self.pods.get(key(state.pod)) is not state or state.terminating:
                return
            state.steps[container.name] = step
            self.update_status(state)
            node = state.pod["spec"]["nodeName"]
            for event in step.events:
                self.recorder.record(state.pod, event, "kubelet", node, container.name)
            self.queue_step(state, container, steps)

        self.after(step.after, apply) if step.after else apply()

    def update_status(self, state: PodState) -> None:
        pod, meta = state.pod, state.pod["metadata"]
        gate = gate_condition(pod, self.gates.get(meta["namespace"], {}))
        status = pod_status(pod, state.steps, gate, state.conditions)
        if status == state.last_status:
            return
        if state.last_status is None:
            host = self.nodes[pod["spec"]["nodeName"]]["status"]["addresses"][0]["address"]
            high, low = divmod(next(self.addresses), 250)
            first = {"hostIP": host, "podIP": f"10.244.{high}.{low + 1}"}
            state.last_status, status = status, {**status, **first, "startTime": api.now()}
        else:
            state.last_status = status
        with ignore_gone():
            path = f"{api.pods(meta['namespace'], meta['name'])}/status"
            self.cluster.patch(path, {"status": status})

    def terminate(self, pod: dict, state: PodState | None) -> None:
        """Drains a pod that was deleted, and removes it."""
        if state and state.terminating:
            return
        runs = state and any("running" in step.state for step in state.steps.values())
        drain = 0.0
        if runs:
            grace = pod["metadata"].get("deletionGracePeriodSeconds") or 0
            hangs = "hang" in behaviours(pod)
            drain = state.times.drain if hangs else min(state.times.drain, grace)
            for name in state.steps:
                event = ("Normal", "Killing", f"Stopping container {name}")
                self.recorder.record(pod, event, "kubelet", pod["spec"]["nodeName"], name)
            if hangs and "rolling-test/drain" not in annotations(pod):
                drain = None  # until somebody deletes it by force
        if state:
            state.terminating = True
        if drain is not None:
            self.after(drain, lambda: self.remove(pod))

    def remove(self, pod: dict) -> None:
        meta = pod["metadata"]
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
        with ignore_gone():
            options["preconditions"] = {"uid": meta["uid"]}
            self.cluster.delete(api.pods(meta["namespace"], meta["name"]), options)


def add_times(parser: argparse.ArgumentParser) -> None:
    for each in fields(Times):
        arguments = {"type": float, "default": each.default, "metavar": "SECONDS"}
        parser.add_argument(f"--{each.name}", **arguments, help=f"default {each.default}")


def times_of(wanted: argparse.Namespace) -> Times:
    return Times(**{each.name: getattr(wanted, each.name) for each in fields(Times)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    add_times(parser)
    wanted = parser.parse_args()
    try:
        Nodes(Cluster(wanted.kubeconfig), times_of(wanted)).run()
    except OSError as error:
        sys.exit(f"nodes: the API server is gone: {error}")


if __name__ == "__main__":
    main()
