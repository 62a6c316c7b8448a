"""What the self-test's cases have: a control plane as a process, and a namespace of their own."""

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import api
from api import APPS, CORE, Cluster

HERE = Path(__file__).resolve().parent
TIMES = ("--boot", "0.4", "--ready", "0.2", "--drain", "0.5", "--backoff", "0.5", "--flap", "0.7")
PATIENCE = 40
# Pods of a workload: enough for batches.
SIZE = 6


class Server:
    """A control plane as a test has it: a process that serves until its input ends."""

    def __init__(self, *options: str):
        command = [sys.executable, "-B", HERE / "control_plane.py", "run", *TIMES, *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        line = self.process.stdout.readline()
        if not line:
            sys.exit(self.process.wait())
        self.info = json.loads(line)
        self.cluster = Cluster(Path(self.info["kubeconfig"]))

    def kubectl(self, *arguments: str) -> str:
        command = [self.info["kubectl"], "--kubeconfig", self.info["kubeconfig"], *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        return done.stdout + done.stderr

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait()


class Namespace:
    """A namespace of a test's own."""

    def __init__(self, server: Server, name: str):
        self.server, self.cluster, self.name = server, server.cluster, name
        meta = {"metadata": {"name": name}}
        self.cluster.create(f"{CORE}/namespaces", {"apiVersion": "v1", "kind": "Namespace", **meta})
        api.wait_for_account(self.cluster, name)

    def path(self, kind: str, name: str = "") -> str:
        group = APPS if kind in ("deployments", "statefulsets", "replicasets") else CORE
        return f"{group}/namespaces/{self.name}/{kind}" + (f"/{name}" if name else "")

    def kubectl(self, *arguments: str) -> str:
        return self.server.kubectl("-n", self.name, *arguments)

    def deploy(self, tag: str, replicas: int = SIZE, pod: dict | None = None, **spec) -> None:
        self.cluster.create(
            self.path("deployments"), workload("Deployment", tag, replicas, pod, spec)
        )

    def image(self, tag: str, kind: str = "deployments") -> None:
        container = {"name": "app", "image": f"app:{tag}"}
        change = {"spec": {"template": {"spec": {"containers": [container]}}}}
        self.cluster.patch(self.path(kind, "web"), change)

    def until(self, kind: str, holds: Callable[[list[dict]], object], also: str = "") -> list[dict]:
        """Watches the objects of a kind until something holds of them, which are returned."""
        path, known = self.path(kind) + also, {}
        deadline = time.monotonic() + PATIENCE
        for event, thing in self.cluster.follow(path, lambda: False):
            if event == "LISTED":
                known = {api.key(each): each for each in thing["items"] or []}
            elif event == "DELETED":
                known.pop(api.key(thing), None)
            else:
                known[api.key(thing)] = thing
            if holds(list(known.values())):
                return list(known.values())
            if time.monotonic() > deadline:
                raise AssertionError(f"at last: {json.dumps(list(known.values()))[:3000]}")
        raise AssertionError("the watch ended")

    def complete(self, tag: str) -> None:
        def holds(found: list[dict]) -> bool:
            spec, status = found[0]["spec"], found[0].get("status", {})
            image = spec["template"]["spec"]["containers"][0]["image"]
            observed = status.get("observedGeneration") == found[0]["metadata"]["generation"]
            counts = ("replicas", "updatedReplicas", "availableReplicas")
            whole = all(status.get(count) == spec["replicas"] for count in counts)
            return image == f"app:{tag}" and observed and whole

        self.until("deployments", holds)

    def event(self, reason: str, text: str, also: str = "") -> dict:
        found = self.until("events", lambda events: with_message(events, reason, text), also)
        return with_message(found, reason, text)[0]


def with_message(events: list[dict], reason: str, text: str) -> list[dict]:
    return [each for each in events if each["reason"] == reason and text in each["message"]]


def workload(kind: str, tag: str, replicas: int, pod: dict | None, spec: dict) -> dict:
    labels = {"app": "web"}
    containers = [{"name": "app", "image": f"app:{tag}"}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    for part, more in (pod or {}).items():
        template[part] |= more
    whole = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    meta = {"metadata": {"name": "web"}, "spec": {**whole, **spec}}
    return {"apiVersion": "apps/v1", "kind": kind, **meta}


def window(surge, unavailable) -> dict:
    return {"strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}}


def container(pod: dict) -> dict:
    return (pod.get("status", {}).get("containerStatuses") or [{}])[0]


def reason(pod: dict) -> str:
    return container(pod).get("state", {}).get("waiting", {}).get("reason", "")


def ready(pod: dict) -> bool:
    return api.condition(pod, "Ready").get("status") == "True"


@contextlib.contextmanager
def witnessed(namespace: Namespace, workload: str = "deployment/web") -> Iterator[dict]:
    """Runs the witness as a process, as tests in Rust do; its summary is in the dict afterwards."""
    config = namespace.server.info["kubeconfig"]
    command = [sys.executable, "-B", HERE / "witness.py", "--kubeconfig", config]
    command += ["--namespace", namespace.name, workload]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    lines = [process.stdout.readline()]
    reader = threading.Thread(target=lambda: lines.extend(process.stdout))
    reader.start()
    summary: dict = {}
    try:
        yield summary
    finally:
        process.stdin.close()
        process.wait()
        reader.join()
    summary |= json.loads(lines[-1])["summary"]
    summary["snapshots"] = [json.loads(line) for line in lines[:-1]]
