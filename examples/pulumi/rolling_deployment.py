"""Rolling deployments as Pulumi resources: a dynamic provider in front of `rolling serve`."""

import sys
from pathlib import Path
from typing import Any

import pulumi
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

# Or put rolling_client.py beside this file.
sys.path.append(str(Path(__file__).resolve().parent.parent / "clients" / "python"))
from rolling_client import RollingClient, RollingError

RESOURCE = {"type": "rolling_deployment"}
COMPUTED = (
    "status",
    "target_revision",
    "deployed_revision",
    "completed_revision",
    "previous_revision",
    "batches",
    "floor",
    "ceiling",
    "expected_duration",
    "fleet",
    "instances",
    "last_error",
)
RESUMES = (
    "The record of the rollout is on the fleet itself, so nothing is lost: the next "
    "`pulumi up` resumes it, or begins anew where it was ended."
)


class RollingDeploymentProvider(ResourceProvider):
    """`settings` is what stands in a document below /provider/rolling."""

    def __init__(self, settings: dict | None = None, command=("rolling", "serve")):
        super().__init__()
        self.settings, self.command = settings or {}, command

    def check(self, olds, news):
        config, unknown = known(strip(news))
        result = self.call("resource.validate", config=config, unknown=unknown)
        return CheckResult(
            strip(news),
            [CheckFailure(path(found["pointer"]), text(found)) for found in errors(result)],
        )

    def diff(self, id, olds, news):
        result = self.plan(state(id, olds), news)
        moved = sorted({pointer.split("/")[1] for pointer in result["requires_replace"]})
        return DiffResult(changes=bool(moved) or result["action"] != "none", replaces=moved)

    def create(self, props):
        self.plan(None, props)  # Pulumi asks for no diff of what is new.
        result = self.apply(None, props)
        return CreateResult(result["state"]["id"], outputs(result["state"]))

    def update(self, id, olds, news):
        return UpdateResult(outputs(self.apply(state(id, olds), news)["state"]))

    def read(self, id, props):
        result = self.call("resource.read", prior=state(id, props))
        succeed(result, "failed to read")
        if result["state"] is None:
            return ReadResult("", {})
        outs = outputs(result["state"])
        inputs = {name: value for name, value in outs.items() if name not in COMPUTED}
        # Pulumi asks for a diff only where inputs differ, so a fleet that is not as it was left
        # has an input that no program sets.
        drift = {} if outs["status"] == "succeeded" else {"status": outs["status"]}
        return ReadResult(id, outs, {**inputs, **drift})

    def delete(self, id, props):
        """Aborts a rollout in progress and removes its record."""
        result = self.call("resource.delete", show, prior=state(id, props))
        succeed(result, "failed to delete")

    def plan(self, prior, news):
        config, unknown = known(strip(news))
        result = self.call("resource.plan", prior=prior, config=config, unknown=unknown)
        succeed(result, "failed to plan")
        preview(result)
        return result

    def apply(self, prior, news):
        # Pulumi drops the state of what fails: a failed create leaves nothing in its state, a
        # failed update what was there before. Either way the next run comes here again.
        try:
            result = self.call("resource.apply", show, prior=prior, config=strip(news))
        except RollingError as error:  # Another engine is at work, for instance.
            raise Exception(f"the rollout did not begin: {error}. {RESUMES}") from error
        succeed(result, f"the rollout ended as {result['status']}", RESUMES)
        return result

    def call(self, method, on_progress=None, **params):
        with RollingClient(self.command) as client:
            configured = client.call("provider.configure", {"config": self.settings})
            succeed(configured, "the provider's settings are wrong")
            return client.call(method, {**RESOURCE, **params}, on_progress)


class RollingDeployment(Resource, module="rolling", name="Deployment"):
    """`config` is what stands in a document below /resource/rolling_deployment/NAME."""

    status: pulumi.Output[str]
    target_revision: pulumi.Output[str]
    deployed_revision: pulumi.Output[str | None]
    completed_revision: pulumi.Output[str | None]
    previous_revision: pulumi.Output[str | None]
    batches: pulumi.Output[list]
    floor: pulumi.Output[int]
    ceiling: pulumi.Output[int]
    expected_duration: pulumi.Output[str]
    fleet: pulumi.Output[list]
    instances: pulumi.Output[list]
    last_error: pulumi.Output[str | None]

    def __init__(
        self,
        name: str,
        config: dict,
        opts: pulumi.ResourceOptions | None = None,
        provider: RollingDeploymentProvider | None = None,
    ):
        props = {**dict.fromkeys(COMPUTED), **config}
        super().__init__(provider or RollingDeploymentProvider(), name, props, opts)


def strip(props: dict) -> dict:
    """The configuration among a resource's properties."""
    own = (*COMPUTED, "__provider", "id")
    return {name: value for name, value in props.items() if name not in own}


def state(id: str, props: dict) -> dict:
    """A state as `rolling` knows it. Pulumi keeps the id apart, and drops what is null."""
    props = {name: value for name, value in props.items() if name != "__provider"}
    return {**dict.fromkeys(COMPUTED), **props, "id": id}


def outputs(state: dict) -> dict:
    return {name: value for name, value in state.items() if name != "id"}


def known(value: Any, pointer: str = "") -> tuple:
    """The value with null for what another resource has yet to tell, and the pointers of that."""
    if isinstance(value, pulumi.output.Unknown):
        return None, [pointer]
    if isinstance(value, (dict, list)):
        steps = value.items() if isinstance(value, dict) else enumerate(value)
        parts = [(step, known(part, f"{pointer}/{escape(step)}")) for step, part in steps]
        unknown = [found for _, (_, pointers) in parts for found in pointers]
        whole = {step: part for step, (part, _) in parts}
        return (whole if isinstance(value, dict) else list(whole.values())), unknown
    return value, []


def escape(step) -> str:
    return str(step).replace("~", "~0").replace("/", "~1")


def path(pointer: str) -> str:
    """A JSON Pointer as Pulumi's path of a property."""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
    return "".join(f"[{s}]" if s.isdigit() else f".{s}" for s in steps).lstrip(".")


def errors(result: dict) -> list:
    return [found for found in result["diagnostics"] if found["severity"] == "error"]


def text(found: dict) -> str:
    where = f"{path(found['pointer'])}: " if found["pointer"] else ""
    return where + found["summary"] + (f" ({found['remedy']})" if found["remedy"] else "")


def succeed(result: dict, otherwise: str, advice: str = "") -> None:
    """Raises what is wrong, since Pulumi knows no result but success, and shows the warnings."""
    for found in result["diagnostics"]:
        if found["severity"] == "warning":
            pulumi.log.warn(text(found))
    if errors(result) or result.get("status", "succeeded") != "succeeded":
        whys = "; ".join(map(text, errors(result))) or "no reason is known"
        raise Exception(f"{otherwise}: {whys}. {advice}".rstrip())


def preview(result: dict) -> None:
    """Shows what an update would roll. Where the target is not known yet, `batches` is null."""
    batches = result["batches"]
    if batches:
        sizes = ", ".join(str(batch["launches"] + batch["replaces"]) for batch in batches)
        shape = "at least {floor} serve, at most {ceiling} live, about {expected_duration}"
        pulumi.log.info(f"batches of {sizes}, " + shape.format(**result["planned"]))
    elif batches is not None and result["action"] != "none":
        pulumi.log.info("this update rolls nothing")


def show(progress: dict) -> None:
    """Pulumi shows what a dynamic provider prints."""
    for event in (envelope["event"] for envelope in progress["events"]):
        if event["type"] == "progressed":
            print("{updated} of {size} updated, {serving} serving".format(**event), flush=True)
        elif event["type"] == "warned":
            pulumi.log.warn(event["warning"])
