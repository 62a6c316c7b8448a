"""What is planned, and which configurations are refused."""

import os

from lab import about, case, errors, fleet, has_succeeded, of, status
from rules import check


def at(document, pointer):
    """What a JSON Pointer points to; a place that does not exist holds null."""
    for part in pointer.split("/")[1:]:
        document = document.get(part) if isinstance(document, dict) else None
    return document


@case()
def plan_apply_read_and_plan_again_agree(lab):
    peer = lab.open()
    config = fleet(instances=5, batch=2)
    plan = peer.ask("resource.plan", of(config, prior=None))
    check(errors(plan) == [], "no error among the diagnostics", plan)
    check(plan["action"] == "create", "action create", plan)
    check(plan["requires_replace"] == [], "nothing to replace", plan)
    check([b["replaces"] for b in plan["batches"]] == [2, 2, 1], "batches of 2, 2 and 1", plan)
    check(
        isinstance(plan["plan_hash"], str) and plan["private"]["plan_hash"] == plan["plan_hash"],
        "plan_hash, in private too",
        plan,
    )
    for pointer in plan["unknown"]:
        check(at(plan["planned"], pointer) is None, "null where %s is unknown" % pointer, plan)
    for name, value in config.items():
        check(plan["planned"].get(name) == value, "%s as it was configured" % name, plan)

    params = of(config, prior=None, planned=plan["planned"], private=plan["private"])
    applied = peer.ask("resource.apply", params)
    has_succeeded(applied, "v2", 5)
    state = applied["state"]
    for name, value in plan["planned"].items():
        if "/" + name not in plan["unknown"]:
            check(state.get(name) == value, "%s as it was planned: %r" % (name, value), state)
    check(
        state["deployed_revision"] == "v2" and state["completed_revision"] == "v2",
        "deployed and completed revision v2",
        state,
    )

    read = peer.ask("resource.read", about(state))
    check(read["state"] == state, "the state that apply gave", read)
    again = peer.ask("resource.plan", of(config, prior=read["state"], private=applied["private"]))
    check(again["action"] == "none", "action none", again)
    check(again["unknown"] == [], "nothing unknown", again)


@case()
def a_change_is_planned_as_an_update_and_applied_as_planned(lab):
    peer = lab.open()
    state = peer.ask("resource.apply", of(fleet()))["state"]
    config = fleet(revision="v3", batch=2)
    plan = peer.ask("resource.plan", of(config, prior=state))
    check(plan["action"] == "update", "action update", plan)
    check(plan["requires_replace"] == [], "nothing to replace", plan)
    params = of(config, prior=state, planned=plan["planned"], private=plan["private"])
    has_succeeded(peer.ask("resource.apply", params), "v3", 4)


@case()
def plan_changes_nothing(lab):
    peer = lab.open()
    config = fleet()
    before = status(peer, config)
    for _ in range(3):
        peer.ask("resource.plan", of(config))
    check(status(peer, config) == before, "the same status as before", status(peer, config))


@case()
def another_target_requires_a_replacement(lab):
    peer = lab.open()
    state = peer.ask("resource.apply", of(fleet("one")))["state"]
    plan = peer.ask("resource.plan", of(fleet("other"), prior=state))
    check(
        plan["requires_replace"] == ["/simulated_fleet/name"],
        "requires_replace with /simulated_fleet/name",
        plan,
    )


@case()
def a_stale_plan_is_1006_and_changes_nothing(lab):
    peer = lab.open()
    plan = peer.ask("resource.plan", of(fleet()))
    other = fleet(revision="v3")
    params = of(other, planned=plan["planned"], private=plan["private"])
    data = peer.error(peer.call("resource.apply", params), 1006).get("data") or {}
    check(data.get("planned") == plan["plan_hash"], "data.planned, the plan's hash", data)
    current = peer.ask("resource.plan", of(other))["plan_hash"]
    check(data.get("current") == current, "data.current, the hash of a plan made now", data)
    check(
        all(i["revision"] == "v1" for i in status(peer, other)["instances"]),
        "every instance on v1",
        status(peer, other),
    )


@case()
def a_plan_hash_is_about_configuration_and_revision_alone(lab):
    peer = lab.open()
    first = peer.ask("resource.plan", of(fleet()))["plan_hash"]
    check(peer.ask("resource.plan", of(fleet()))["plan_hash"] == first, "the same hash", "another")
    for other in [fleet(revision="v3"), fleet(batch=2)]:
        check(
            peer.ask("resource.plan", of(other))["plan_hash"] != first, "another hash", "the same"
        )
    # Live instances do not matter: a plan stays valid while the fleet changes.
    params = of(fleet(), private={"plan_hash": first})
    has_succeeded(peer.ask("resource.apply", params), "v2", 4)
    has_succeeded(peer.ask("resource.apply", params), "v2", 4)


@case()
def a_bad_configuration_is_a_diagnostic_and_no_error(lab):
    peer = lab.open()
    bad = [
        (dict(fleet(), policy="rollin"), "/policy"),
        (dict(fleet(), colour="blue"), "/colour"),
        (dict(fleet(), batch_size="x"), "/batch_size"),
        (fleet(name="a b"), "/simulated_fleet/name"),
        (dict(fleet(), health={"healthy_timeout": "soon"}), "/health/healthy_timeout"),
    ]
    for config, pointer in bad:
        for method in ["resource.validate", "resource.plan", "resource.apply"]:
            result = peer.ask(method, of(config))
            found = [one["pointer"] for one in errors(result)]
            check(pointer in found, "a diagnostic with the pointer %s" % pointer, result)
            if method == "resource.plan":
                check(result["action"] is None, "no action", result)
        check(result["status"] == "failed", "status failed", result)
        check(result["state"] is None, "no state, as before", result)
    for config in [{}, {"policy": "rolling"}]:
        check(errors(peer.ask("resource.validate", of(config))) != [], "a diagnostic", "none")
    check(errors(peer.ask("resource.validate", of(fleet()))) == [], "no diagnostic", "some")


@case()
def a_bad_configuration_of_the_provider_is_a_diagnostic(lab):
    peer = lab.open()
    result = peer.ask("provider.configure", {"config": {"aws": {"regoin": "x"}}})
    check(
        [one["pointer"] for one in errors(result)] == ["/aws/regoin"],
        "a diagnostic with the pointer /aws/regoin",
        result,
    )
    result = peer.ask("provider.configure", {"config": {"simulator": {"speed": 0}}})
    check(errors(result) != [], "a diagnostic", result)
    has_succeeded(peer.ask("resource.apply", of(fleet())), "v2", 4)


@case()
def what_is_unknown_yet_can_be_validated_and_planned(lab):
    peer = lab.open()
    config = fleet()
    del config["simulated_fleet"]["revision"]
    check(errors(peer.ask("resource.validate", of(config))) != [], "a revision is needed", "none")
    unknown = ["/simulated_fleet/revision"]
    result = peer.ask("resource.validate", of(config, unknown=unknown))
    check(errors(result) == [], "no error", result)
    wrong = dict(config, policy="rollin")
    result = peer.ask("resource.validate", of(wrong, unknown=unknown))
    check(
        [one["pointer"] for one in errors(result)] == ["/policy"],
        "what is known is checked all the same: /policy",
        result,
    )
    plan = peer.ask("resource.plan", of(config, unknown=unknown))
    check(plan["action"] == "create" and errors(plan) == [], "action create, no error", plan)
    wanted = unknown + ["/" + name for name in ["id", "status", "target_revision", "instances"]]
    check(set(wanted) <= set(plan["unknown"]), "unknown with %s" % wanted, plan)
    check(plan["batches"] is None, "no batches yet", plan)
    config["simulated_fleet"]["revision"] = None  # as some tools write what is unknown
    plan = peer.ask("resource.plan", of(config, unknown=unknown))
    check(plan["action"] == "create" and errors(plan) == [], "action create, no error", plan)
    check(
        not os.path.exists(os.path.join(lab.folder, ".rolling")),
        "no fleet is looked at",
        os.listdir(lab.folder),
    )
