"""The self-test's cases about pods and workloads: each has a namespace of the shared cluster."""

import time
from collections.abc import Callable

import api
from api import CORE
from fixtures import SIZE, Namespace, container, ready, reason, window, witnessed, workload


def test_nodes_have_zones_and_pods_are_spread_over_them(namespace: Namespace) -> None:
    namespace.deploy("v1")
    namespace.complete("v1")
    pods = namespace.until("pods", lambda pods: len(pods) == SIZE)
    zones = {}
    for node in namespace.cluster.get(f"{CORE}/nodes")["items"]:
        zones[node["metadata"]["name"]] = api.labels(node)["topology.kubernetes.io/zone"]
    assert sorted(zones.values()) == ["zone-a", "zone-b", "zone-c"], zones
    used = [zones[pod["spec"]["nodeName"]] for pod in pods]
    assert all(used.count(zone) == 2 for zone in zones.values()), used


def test_a_rollout_keeps_floor_and_ceiling_as_the_witness_sees_it(namespace: Namespace) -> None:
    namespace.deploy("v1", **window(1, 2), minReadySeconds=1)
    namespace.complete("v1")
    with witnessed(namespace) as summary:
        namespace.image("v2")
        namespace.complete("v2")
        output = namespace.kubectl("rollout", "status", "deployment/web")
        assert "successfully rolled out" in output, output
        time.sleep(0.2)  # the witness sees the same events, a moment later
    assert summary["min_available"] == SIZE - 2, summary
    assert summary["max_live"] == SIZE + 1, summary
    assert any(snapshot["present"] > snapshot["live"] for snapshot in summary["snapshots"]), (
        "none drained"
    )
    last = [(each["images"], each["asked"]) for each in summary["snapshots"][-1]["revisions"]]
    assert last == [(["app:v1"], 0), (["app:v2"], SIZE)], last


def test_a_bad_image_is_not_pulled(namespace: Namespace) -> None:
    namespace.deploy("no-image-1", 1)
    for wanted in ("ErrImagePull", "ImagePullBackOff", "ErrImagePull"):
        pods = namespace.until("pods", waits(wanted))
        message = container(pods[0])["state"]["waiting"]["message"]
        expected = 'Back-off pulling image "app:no-image-1"' if "Back" in wanted else "not found"
        assert expected in message, message
    namespace.event("Failed", 'Failed to pull image "app:no-image-1": rpc error: code = NotFound')
    namespace.event("Failed", "Error: ImagePullBackOff")


def test_a_crash_restarts_and_backs_off(namespace: Namespace) -> None:
    for tag, code, why in [("crash-1", 1, "Error"), ("oom-1", 137, "OOMKilled")]:
        workload_of(namespace, tag)
        for count in (1, 2):
            pods = namespace.until("pods", backs_off(tag, count))
            pod = next(pod for pod in pods if container(pod).get("image") == f"app:{tag}")
            ended = container(pod)["lastState"]["terminated"]
            assert (ended["exitCode"], ended["reason"]) == (code, why), ended
            wait = container(pod)["state"]["waiting"]["message"]
            assert wait.startswith(f"back-off {10 * count}s restarting failed container=app"), wait
            assert pod["status"]["phase"] == "Running"
    namespace.event("BackOff", "Back-off restarting failed container")


def workload_of(namespace: Namespace, tag: str) -> None:
    """One pod of no controller."""
    spec = {"containers": [{"name": "app", "image": f"app:{tag}"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": tag}, "spec": spec}
    namespace.cluster.create(namespace.path("pods"), pod)


def waits(wanted: str) -> Callable[[list[dict]], bool]:
    return lambda pods: any(reason(pod) == wanted for pod in pods)


def backs_off(tag: str, count: int) -> Callable[[list[dict]], bool]:
    def is_it(pod: dict) -> bool:
        status = container(pod)
        waiting = reason(pod) == "CrashLoopBackOff" and status["image"] == f"app:{tag}"
        return waiting and status["restartCount"] == count

    return lambda pods: any(map(is_it, pods))


def test_a_pod_that_is_never_ready_says_why(namespace: Namespace) -> None:
    namespace.deploy("unready", 1, progressDeadlineSeconds=2)
    event = namespace.event(
        "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 500"
    )
    assert event["type"] == "Warning" and event["involvedObject"]["kind"] == "Pod"
    (pod,) = namespace.until("pods", lambda pods: "running" in container(pods[0])["state"])
    assert api.condition(pod, "Ready")["reason"] == "ContainersNotReady", pod["status"]
    message = "containers with unready status: [app]"
    assert api.condition(pod, "Ready")["message"] == message, pod["status"]
    namespace.until("deployments", lambda found: exceeded(found[0]))


def exceeded(deployment: dict) -> bool:
    return api.condition(deployment, "Progressing").get("reason") == "ProgressDeadlineExceeded"


def test_what_cannot_start_says_why(namespace: Namespace) -> None:
    for tag in ("invalid-image-name", "config-error", "unschedulable"):
        workload_of(namespace, tag)
    reasons = {"InvalidImageName", "CreateContainerConfigError", ""}
    pods = namespace.until("pods", lambda pods: {reason(pod) for pod in pods} == reasons)
    by_name = {pod["metadata"]["name"]: pod for pod in pods}
    output = container(by_name["config-error"])["state"]["waiting"]["message"]
    assert output == 'configmap "settings" not found', output
    holds = "status.phase%3DPending"
    pods = namespace.until("pods", lambda pods: any(map(refused, pods)), f"?fieldSelector={holds}")
    found = next(filter(None, map(refused, pods)))
    assert found["message"] == "0/3 nodes are available: 3 Insufficient cpu.", found
    namespace.event("FailedScheduling", "3 Insufficient cpu.")


def refused(pod: dict) -> dict:
    found = api.condition(pod, "PodScheduled")
    return found if found.get("reason") == "Unschedulable" else {}


def test_a_quota_refuses_and_the_controllers_say_so(namespace: Namespace) -> None:
    namespace.deploy("v1", 2)
    namespace.complete("v1")
    quota = {"metadata": {"name": "quota"}, "spec": {"hard": {"pods": "2"}}}
    path = namespace.path("resourcequotas")
    namespace.cluster.create(path, {"apiVersion": "v1", "kind": "ResourceQuota", **quota})
    namespace.until("resourcequotas", lambda found: found[0].get("status", {}).get("used"))
    namespace.cluster.patch(namespace.path("deployments", "web"), {"spec": {"replicas": 3}})
    found = namespace.until(
        "deployments", lambda found: api.condition(found[0], "ReplicaFailure").get("reason")
    )
    failure = api.condition(found[0], "ReplicaFailure")
    assert failure["reason"] == "FailedCreate", failure
    assert "exceeded quota: quota, requested: pods=1, used: pods=2" in failure["message"], failure


def test_a_readiness_gate_is_opened_by_a_config_map(namespace: Namespace) -> None:
    gate = {"readinessGates": [{"conditionType": "example.com/target-health"}]}
    namespace.deploy("v1", 1, {"spec": gate})
    (pod,) = namespace.until("pods", lambda pods: pods and container(pods[0]).get("ready"))
    closed = api.condition(pod, "Ready")
    assert closed["reason"] == "ReadinessGatesNotReady" and "does not exist" in closed["message"]
    path = namespace.path("configmaps")
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "rolling-test-gates"}}
    message = {"data": {"all": "False Target.FailedHealthChecks 503"}}
    namespace.cluster.create(path, {**config, **message})
    namespace.until("pods", lambda pods: "but False" in api.condition(pods[0], "Ready")["message"])
    namespace.cluster.patch(f"{path}/rolling-test-gates", {"data": {"all": "True"}})
    namespace.until("pods", lambda pods: ready(pods[0]))
    namespace.complete("v1")


def test_a_pod_that_flaps_is_ready_and_then_is_not(namespace: Namespace) -> None:
    workload_of(namespace, "flap")
    for wanted in (True, False, True):
        namespace.until("pods", lambda pods, wanted=wanted: ready(pods[0]) == wanted)


def test_a_slow_pod_boots_longer_and_annotations_set_times(namespace: Namespace) -> None:
    began = time.monotonic()
    annotations = {"rolling-test/boot": "0.3", "rolling-test/ready": "0"}
    namespace.deploy(
        "slow", 1, {"metadata": {"labels": {"app": "web"}, "annotations": annotations}}
    )
    namespace.complete("slow")
    took = time.monotonic() - began
    assert took > 1.5, took


def test_a_pod_that_hangs_ends_only_by_force(namespace: Namespace) -> None:
    workload_of(namespace, "hang")
    spec = {"containers": [{"name": "app", "image": "app:v1"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "good"}, "spec": spec}
    namespace.cluster.create(namespace.path("pods"), pod)
    namespace.until("pods", lambda pods: len(pods) == 2 and all(map(ready, pods)))
    for name in ("good", "hang"):
        namespace.cluster.delete(namespace.path("pods", name), {"gracePeriodSeconds": 1})
    (left,) = namespace.until("pods", lambda pods: len(pods) == 1)
    assert left["metadata"]["name"] == "hang" and left["metadata"]["deletionTimestamp"]
    time.sleep(1.2)  # longer than its grace period
    assert namespace.cluster.get(namespace.path("pods"))["items"], "it ended by itself"
    namespace.cluster.delete(namespace.path("pods", "hang"), {"gracePeriodSeconds": 0})
    namespace.until("pods", lambda pods: not pods)


def test_a_stateful_set_is_rolled_down_to_its_partition(namespace: Namespace) -> None:
    update = {"updateStrategy": {"rollingUpdate": {"partition": 2}}}
    spec = {"serviceName": "web", "podManagementPolicy": "Parallel", **update}
    made = workload("StatefulSet", "v1", 4, None, spec)
    namespace.cluster.create(namespace.path("statefulsets"), made)
    namespace.until("pods", lambda pods: len(pods) == 4 and all(map(ready, pods)))
    with witnessed(namespace, "statefulset/web") as summary:
        namespace.image("v2", "statefulsets")
        pods = namespace.until("pods", lambda pods: updated(pods) == ["web-2", "web-3"])
        assert len(pods) == 4, pods
        time.sleep(0.2)
    assert summary["min_available"] == 3, summary
    assert sorted(each["live"] for each in summary["snapshots"][-1]["revisions"]) == [2, 2], summary


def updated(pods: list[dict]) -> list[str]:
    names = [p["metadata"]["name"] for p in pods if ready(p) and container(p)["image"] == "app:v2"]
    return sorted(names)


def test_who_may_do_nothing_is_refused_and_a_certificate_is_accepted(namespace: Namespace) -> None:
    refused = namespace.kubectl("--context", "nobody", "get", "pods")
    assert 'User "nobody" cannot list resource "pods"' in refused, refused
    output = namespace.kubectl("--context", "admin-certificate", "get", "nodes", "-o", "name")
    assert output.split() == ["node/node-a", "node/node-b", "node/node-c"], output
