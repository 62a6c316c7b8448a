"""Writes Events, as a kubelet's recorder does: aside, and what is repeated counts up."""

import queue
import threading

import api
from api import ApiError, Cluster


class Recorder:
    def __init__(self, cluster: Cluster):
        self.cluster = cluster
        self.inbox: queue.Queue = queue.Queue()
        self.known: dict[tuple, tuple[str, int]] = {}
        threading.Thread(target=self.run, daemon=True).start()

    def record(self, pod: dict, event: tuple, source: str, node="", container="") -> None:
        self.inbox.put((pod["metadata"], event, source, node, container, api.now()))

    def run(self) -> None:
        while True:
            try:
                self.write(*self.inbox.get())
            except ApiError:
                pass  # the namespace is going
            except OSError:
                return  # the API server is gone

    def write(self, meta: dict, event: tuple, source: str, node: str, container: str, at: str):
        path = f"{api.CORE}/namespaces/{meta['namespace']}/events"
        name, count = self.known.get((meta["uid"], *event), ("", 0))
        if count:
            change = {"count": count + 1, "lastTimestamp": at}
            self.cluster.patch(f"{path}/{name}", change)
        else:
            name = f"{meta['name']}.{len(self.known) + 1:016x}"
            self.cluster.create(path, body(name, meta, event, source, node, container, at))
        self.known[meta["uid"], *event] = (name, count + 1)


def body(name, meta: dict, event: tuple, source: str, node: str, container: str, at: str) -> dict:
    kind, reason, message = event
    involved = {"apiVersion": "v1", "kind": "Pod"}
    involved |= {field: meta[field] for field in ("name", "namespace", "uid", "resourceVersion")}
    if container:
        involved["fieldPath"] = f"spec.containers{{{container}}}"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": meta["namespace"]},
        "involvedObject": involved,
        "type": kind,
        "reason": reason,
        "message": message,
        "source": {"component": source, **({"host": node} if node else {})},
        "count": 1,
        "firstTimestamp": at,
        "lastTimestamp": at,
    }
