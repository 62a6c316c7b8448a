"""The status of a pod, as a kubelet writes it, from how its containers are."""

import hashlib
from collections.abc import Callable

from api import annotations, condition, labels
from behaviours import PREFIX, Step

GATES = "rolling-test-gates"


def gate_condition(pod: dict, gates: dict) -> dict:
    """Returns what the pod's readiness gates are set to, empty if nothing sets them.

    The pod's annotation sets it, or the ConfigMap's data by the pod's name, by the hash of its
    revision, or by `all`: `True` or `False`, then a reason and a message if there are any.
    """
    hashes = [labels(pod).get(f"{kind}-hash") for kind in ("pod-template", "controller-revision")]
    names = [pod["metadata"]["name"], *hashes, "all"]
    texts = [annotations(pod).get(f"{PREFIX}gate"), *(gates.get(name) for name in names)]
    text = next((each for each in texts if each), "")
    status, _, rest = text.partition(" ")
    reason, _, message = rest.partition(" ")
    gate_status = {"status": status, "reason": reason, "message": message}
    return {name: value for name, value in gate_status.items() if value}


def closed_gates(pod: dict, gate_status: dict) -> list[str]:
    """Returns a sentence for each readiness gate that is not True."""
    closed = []
    for gate in pod["spec"].get("readinessGates", []):
        kind = gate["conditionType"]
        status = gate_status.get("status") or condition(pod, kind).get("status")
        if status is None:
            closed.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif status != "True":
            closed.append(f'the status of pod readiness gate "{kind}" is not "True", but {status}')
    return closed


class Conditions:
    """A pod's conditions as they were last written: one keeps its time until its status changes."""

    def __init__(self, now: Callable[[], str]):
        self.now = now
        self.known: dict[str, dict] = {}

    def set(self, kind: str, status: bool | str, reason: str = "", message: str = "") -> dict:
        text = status if isinstance(status, str) else str(status)
        before = self.known.get(kind, {})
        since = before.get("lastTransitionTime") if before.get("status") == text else None
        entry = {"type": kind, "status": text, "lastTransitionTime": since or self.now()}
        # What is left out of a merge stays, so what ends is taken out by name.
        entry |= {"reason": reason or None, "message": message or None}
        self.known[kind] = entry
        return entry


def container_status(spec: dict, step: Step) -> dict:
    present = "running" in step.state or step.last or "terminated" in step.state
    digest = hashlib.sha256(spec["image"].encode()).hexdigest()
    status = {
        "name": spec["name"],
        "image": spec["image"],
        "imageID": f"sha256:{digest}" if present else "",
        "ready": step.ready,
        "started": "running" in step.state,
        "restartCount": step.restarts,
        "state": step.state,
    }
    return status | ({"lastState": step.last} if step.last else {})


def init_status(spec: dict, at: str) -> dict:
    """Init containers are over at once."""
    times = {"startedAt": at, "finishedAt": at}
    ended = {"terminated": {"exitCode": 0, "reason": "Completed", **times}}
    return container_status(spec, Step(0, ended, ready=True)) | {"started": False}


def phase(steps: list[Step]) -> str:
    never = any("waiting" in step.state and not step.last for step in steps)
    return "Pending" if never else "Running"


def pod_status(
    pod: dict, steps: dict[str, Step], gate_status: dict, conditions: Conditions
) -> dict:
    """Returns the whole status that a kubelet would write now."""
    spec = pod["spec"]
    unready = [name for name, step in steps.items() if not step.ready]
    message = f"containers with unready status: [{' '.join(unready)}]" if unready else ""
    reason = "ContainersNotReady" if unready else ""
    entries = [
        conditions.set("Initialized", True),
        conditions.set("ContainersReady", not unready, reason, message),
    ]
    if gate_status:
        kinds = [gate["conditionType"] for gate in spec.get("readinessGates", [])]
        entries += [conditions.set(kind, **gate_status) for kind in kinds]
    closed = closed_gates(pod, gate_status)
    if closed and not unready:
        reason, message = "ReadinessGatesNotReady", ", ".join(closed)
    entries.append(conditions.set("Ready", not unready and not closed, reason, message))
    status = {
        "phase": phase(list(steps.values())),
        "conditions": entries,
        "containerStatuses": [container_status(c, steps[c["name"]]) for c in spec["containers"]],
    }
    if spec.get("initContainers"):
        at = conditions.known["Initialized"]["lastTransitionTime"]
        status["initContainerStatuses"] = [init_status(c, at) for c in spec["initContainers"]]
    return status
