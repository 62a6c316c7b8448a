"""What the methods do with a deployment, from plan to delete."""

import os
import time

from lab import (
    FAILING,
    FAST,
    KIND,
    SIDE_BY_SIDE,
    SLOW,
    about,
    case,
    errors,
    failing,
    fleet,
    has_succeeded,
    is_whole,
    of,
    serving,
    status,
    stuck,
    until,
    was_stopped,
)
from peer import CANCELLED, check, key

COMPUTED = [
    "id",
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
]


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
def an_apply_with_nothing_to_do_succeeds_and_does_nothing(lab):
    peer = lab.open()
    first = peer.ask("resource.apply", of(fleet()))["state"]
    second = peer.ask("resource.apply", of(fleet(), prior=first))
    has_succeeded(second, "v2", 4)
    check(second["state"]["instances"] == first["instances"], "the same instances", second)


@case()
def read_and_delete_need_the_target_only(lab):
    peer = lab.open()
    peer.ask("resource.apply", of(fleet()))
    target = {"simulated_fleet": fleet()["simulated_fleet"]}
    # Without a policy, and with one that an apply refuses.
    refused = [
        {"policy": "rolling", "max_surge": 0},
        {"policy": "of a later version"},
        {"gates": 1},
    ]
    for prior in [target, *(dict(target, **more) for more in refused)]:
        read = peer.ask("resource.read", {"type": KIND, "prior": prior})
        check(errors(read) == [] and read["state"]["status"] == "succeeded", "a state", read)
        gone = peer.ask("resource.delete", {"type": KIND, "prior": prior})
        check((gone["status"], gone["state"]) == ("succeeded", None), "nothing left", gone)


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
def state_directory_moves_the_simulators_files(lab):
    peer = lab.open()
    settings = {"simulator": {"speed": FAST, "state_directory": "elsewhere"}}
    check(errors(peer.ask("provider.configure", {"config": settings})) == [], "no error", "some")
    has_succeeded(peer.ask("resource.apply", of(fleet())), "v2", 4)
    # The same name in the usual folder is another fleet.
    lab.set_speed(peer, FAST)
    check(
        all(i["revision"] == "v1" for i in status(peer, fleet())["instances"]),
        "a fleet on v1",
        status(peer, fleet()),
    )


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


@case()
def a_failed_deployment_is_a_result_with_diagnostics_and_state(lab):
    peer = lab.open(FAILING)
    for on_failure, ended, revision in [
        ("rollback", "rolled_back", "v1"),
        ("stop", "failed", None),
        ("pause", "paused", None),
    ]:
        config = failing(on_failure, on_failure=on_failure)
        result = peer.ask("resource.apply", of(config, prior=None))
        check(result["status"] == ended, "status %s" % ended, result)
        said = [one["summary"] for one in errors(result)]
        check(said != [], "a diagnostic", result)
        # A status is for programs.
        check("rolled_back" not in "".join(said), "the words of people", said)
        state = result["state"]
        check(isinstance(state, dict) and state["status"] == ended, "a state that says so", result)
        check(
            isinstance(state["last_error"], str) and state["last_error"] != "",
            "last_error says why",
            result,
        )
        check(len(state["instances"]) == 4, "a state with the instances", result)
        if revision:
            is_whole(state, revision, 4)
            check(state["completed_revision"] == revision, "completed_revision as before", state)


@case()
def who_is_left_alone_is_told_by_a_warning(lab):
    peer = lab.open()
    events = [{"after": "0s", "protect": ["i-0001"]}]
    config = dict(fleet(events=events), scale_in_protected_instances="ignore")
    result = peer.ask("resource.apply", of(config))
    check(result["status"] == "succeeded" and errors(result) == [], "a success", result)
    said = [one["summary"] for one in result["diagnostics"] if one["severity"] == "warning"]
    told = [message for message in said if "i-0001" in message and "left alone" in message]
    check(told != [], "a warning that names i-0001, which is left alone", said)
    check(result["state"]["completed_revision"] != "v2", "no fleet that runs v2", result)


@case()
def a_deployment_that_was_rolled_back_can_be_corrected(lab):
    peer = lab.open(FAILING)
    bad = failing()
    state = peer.ask("resource.apply", of(bad))["state"]
    target = dict(bad["simulated_fleet"], revision="v3")
    good = dict(bad, health=fleet()["health"], simulated_fleet=target)
    plan = peer.ask("resource.plan", of(good, prior=state))
    check(plan["action"] == "update", "action update", plan)
    params = of(good, prior=state, planned=plan["planned"], private=plan["private"])
    has_succeeded(peer.ask("resource.apply", params), "v3", 4)


@case()
def progress_is_counted_without_gaps_and_told_ten_times_a_second_at_most(lab):
    # Sequence, token and silence after the answer are checked for every line of every case.
    peer = lab.open(100)
    began = time.monotonic()
    id = peer.call("resource.apply", of(fleet(instances=6, batch=2), progress_token="t"))
    answer = peer.answer(id, within=30)
    has_succeeded(answer["result"], "v2", 6)
    took = peer.when(answer) - began
    told = peer.progress("t")
    check(len(told) >= 3, "several notifications", told)
    check(len(told) <= 10 * took + 2, "at most 10 a second in %.2f s" % took, "%d" % len(told))
    check(told[-1]["updated"] == 6 and told[-1]["size"] == 6, "all updated at the end", told[-1])
    peer.ask("ping")


@case()
def a_progress_token_may_be_any_json_and_is_echoed(lab):
    peer = lab.open()
    tokens = ["a", "", 0, -1, 1.5, True, False, [], [1, "a", None], {}, {"a": {"b": [None]}}]
    for n, token in enumerate(tokens):
        params = of(fleet("t%d" % n, instances=1), progress_token=token)
        peer.ask("resource.apply", params)
        told = peer.progress(token)
        check(told != [], "progress with the token %s" % key(token), peer.all()[-1])


@case()
def without_a_progress_token_there_is_no_progress(lab):
    peer = lab.open()
    peer.ask("resource.apply", of(fleet("a")))
    peer.ask("resource.apply", of(fleet("b"), progress_token=None))
    peer.ask("ping")
    told = [m for m in peer.all() if m.get("method") == "$/progress"]
    check(told == [], "no progress", told)


@case()
def a_deadline_that_is_over_begins_nothing(lab):
    peer = lab.open()
    for _ in range(10):
        message = peer.error(peer.call("resource.apply", of(fleet(), deadline_ms=0)), CANCELLED)
        check("deadline_ms" in message["message"], "a message that names the deadline", message)
    check(status(peer, fleet())["record"] is None, "no record", status(peer, fleet()))


@case()
def a_deadline_stops_at_a_safe_point(lab):
    peer = lab.open(SLOW)
    params = of(stuck(), deadline_ms=1000, progress_token=1)
    began = time.monotonic()
    id = peer.call("resource.apply", params)
    answer = peer.answer(id, within=20)
    was_stopped(answer["result"])
    took = peer.when(answer) - began
    check(took >= 0.9, "not before the deadline of 1 s", "%.2f s" % took)
    is_whole(answer["result"]["state"], "v1", 4)
    lab.set_speed(peer, FAST)
    has_succeeded(peer.ask("resource.apply", of(stuck(), deadline_ms=600000)), "v2", 4)


@case()
def operation_id_names_the_rollout_in_the_record(lab):
    peer = lab.open(SLOW)
    id = peer.call("resource.apply", of(stuck(), operation_id="deploy-7", progress_token=1))
    peer.under_way(1)
    record = status(peer, stuck())["record"]
    check(record and record["rollout"] == "deploy-7", "a record of deploy-7", record)
    check(record["to"] == "v2" and record["size"] == 4, "to v2, of 4 instances", record)
    peer.cancel(id)
    was_stopped(peer.result(id))


@case()
def status_tells_what_every_instance_runs(lab):
    peer = lab.open()
    before = status(peer, fleet())
    check(before["record"] is None, "no record", before)
    is_whole(before, "v1", 4)
    peer.ask("resource.apply", of(fleet()))
    after = status(peer, fleet())
    check(after["record"] is None, "no record of a rollout that has succeeded", after)
    is_whole(after, "v2", 4)


@case()
def read_of_a_target_that_is_gone_gives_null(lab):
    # A simulated fleet is made when it is first used; one in a cloud that cannot be reached must
    # not be taken for gone.
    peer = lab.open()
    group = {"name": "web", "launch_template": {"id": "lt-1", "version": "1"}}
    prior = {"policy": "immutable", "auto_scaling_group": group, "id": "x"}
    peer.ask(
        "provider.configure",
        {"config": {"aws": {"endpoint_url": "http://127.0.0.1:1", "region": "eu-west-1"}}},
    )
    id = peer.call("resource.read", about(prior))
    answer = peer.answer(id, within=30)
    check("result" in answer, "a result", answer)
    check(
        answer["result"]["state"] is not None and errors(answer["result"]) != [],
        "the state as it was, and a diagnostic",
        answer,
    )


@case()
def import_gives_a_state_of_what_is_there(lab):
    peer = lab.open()
    peer.ask("resource.apply", of(fleet("there")))
    params = {"type": KIND, "id": "simulated_fleet/there"}
    result = peer.ask("resource.import", params)
    check(errors(result) == [], "no error", result)
    state = result["state"]
    check(state["simulated_fleet"]["name"] == "there", "the fleet's name", state)
    check(state["deployed_revision"] == "v2", "deployed_revision v2", state)
    is_whole(state, "v2", 4)
    read = peer.ask("resource.read", about(state))
    check(read["state"] == state, "the same when it is read", read)
    plan = peer.ask("resource.plan", of(fleet("there"), prior=state))
    check(plan["action"] == "update" and plan["batches"] == [], "only the policy is new", plan)
    plan = peer.ask("resource.plan", of(fleet("there", revision="v3"), prior=state))
    check(plan["action"] == "update" and plan["requires_replace"] == [], "an update", plan)


@case()
def import_of_what_is_not_there_gives_no_state(lab):
    peer = lab.open()
    for id in ["simulated_fleet/nobody", "simulated_fleet/", "nothing/web", "web", ""]:
        answer = peer.answer(peer.call("resource.import", {"type": KIND, "id": id}))
        refused = answer.get("error", {}).get("code") == -32602
        gone = "result" in answer and answer["result"]["state"] is None
        check(gone or refused, "no state for %r" % id, answer)
    peer.ask("ping")


@case()
def upgrade_state_takes_the_current_version_and_refuses_later_ones(lab):
    peer = lab.open()
    state = peer.ask("resource.apply", of(fleet()))["state"]
    version = peer.ask("provider.schema")["resource_types"][KIND]["version"]
    params = {"type": KIND, "version": version, "state": state}
    result = peer.ask("resource.upgrade_state", params)
    check(result["state"] == state and errors(result) == [], "the state as it was", result)
    params = {"type": KIND, "version": version, "state": dict(state, from_long_ago=1)}
    result = peer.ask("resource.upgrade_state", params)
    check("from_long_ago" not in result["state"], "what is unknown is left out", result)
    check([one["severity"] for one in result["diagnostics"]] == ["warning"], "a warning", result)
    for later, given in [(version + 1, state), (99, state), (version, dict(state, batches=7))]:
        params = {"type": KIND, "version": later, "state": given}
        result = peer.ask("resource.upgrade_state", params)
        check(result["state"] is None and errors(result) != [], "no state, an error", result)


@case()
def provider_schema_lists_every_attribute(lab):
    schema = lab.open().ask("provider.schema")
    check(isinstance(schema.get("provider"), dict), "a schema of the provider", schema)
    one = schema["resource_types"][KIND]
    check(one["version"] == 1, "version 1", one["version"])
    for name in ["config", "state"]:
        check(
            one[name].get("type") == "object" and "properties" in one[name],
            "a JSON Schema of %s" % name,
            one[name],
        )
    parts = one["attributes"]
    lists = ["required", "optional", "computed", "sensitive", "force_new"]
    check(all(isinstance(parts.get(name), list) for name in lists), "lists %s" % lists, parts)
    check(parts["required"] == ["policy"], "policy is required", parts)
    check(sorted(parts["computed"]) == sorted(COMPUTED), "computed %s" % COMPUTED, parts)
    check("/simulated_fleet/name" in parts["force_new"], "/simulated_fleet/name forces", parts)
    named = set(parts["required"]) | set(parts["optional"])
    check(named == set(one["config"]["properties"]), "every attribute of config", sorted(named))
    check(
        named | set(COMPUTED) == set(one["state"]["properties"]),
        "every attribute of state",
        sorted(one["state"]["properties"]),
    )


@case(limit=60)
def a_second_connection_pauses_and_resumes_a_rollout(lab):
    first = lab.open(SIDE_BY_SIDE)
    config = stuck()
    apply = first.call("resource.apply", of(config, progress_token=1))
    first.under_way(1)
    second = lab.open(SIDE_BY_SIDE)
    reply = second.ask("resource.control", of(config, action="pause"), within=30)
    check(
        isinstance(reply["acknowledged_by"], str), "acknowledged_by names the engine at work", reply
    )
    check(isinstance(reply["message"], str) and reply["message"], "message, for people", reply)
    result = first.result(apply, within=30)
    check(
        result["status"] == "paused" and result["state"]["status"] == "paused",
        "status paused",
        result,
    )
    record = status(second, config)["record"]
    check(record and record["status"] == "paused", "a record that says paused", record)
    again = first.ask("resource.apply", of(config))
    check(again["status"] == "paused", "paused: to apply again decides nothing", again)
    lab.set_speed(second, FAST)
    done = second.ask("resource.control", of(config, action="resume"), within=30)
    check(
        done["acknowledged_by"] is None and done["status"] == "succeeded",
        "carried out here, with success",
        done,
    )
    check(done["record"] is None, "no record any more", done)
    is_whole(done["state"], "v2", 4)


@case(limit=60)
def a_second_connection_rolls_a_rollout_back(lab):
    first = lab.open(SIDE_BY_SIDE)
    config = stuck()
    apply = first.call("resource.apply", of(config, progress_token=1))
    first.under_way(1)
    second = lab.open(SIDE_BY_SIDE)
    reply = second.ask("resource.control", of(config, action="rollback"), within=30)
    check(
        isinstance(reply["acknowledged_by"], str), "acknowledged_by names the engine at work", reply
    )
    result = first.result(apply, within=30)
    check(result["status"] == "rolled_back", "status rolled_back", result)
    is_whole(result["state"], "v1", 4)


@case()
def control_of_a_rollout_in_the_same_process_is_acknowledged(lab):
    peer = lab.open(SLOW)
    id = peer.call("resource.apply", of(stuck(), progress_token=1))
    peer.under_way(1)
    reply = peer.ask("resource.control", of(stuck(), action="abort"), within=30)
    check(
        isinstance(reply["acknowledged_by"], str), "acknowledged_by names the engine at work", reply
    )
    was_stopped(peer.result(id))


@case()
def control_with_no_rollout_there_changes_nothing(lab):
    peer = lab.open()
    for action in ["pause", "resume", "abort", "rollback"]:
        reply = peer.ask("resource.control", of(fleet(), action=action))
        check(
            reply["record"] is None and reply["acknowledged_by"] is None,
            "no record, no engine",
            reply,
        )
        check(isinstance(reply["message"], str) and reply["message"], "message, for people", reply)
    is_whole(status(peer, fleet()), "v1", 4)


@case()
def delete_of_an_idle_deployment_touches_no_instance(lab):
    peer = lab.open()
    state = peer.ask("resource.apply", of(fleet()))["state"]
    before = serving(peer, fleet())
    result = peer.ask("resource.delete", about(state, progress_token="d"))
    check(result["status"] == "succeeded" and result["state"] is None, "state null", result)
    after = status(peer, fleet())
    check(after["record"] is None, "no record", after)
    check(sorted(i["id"] for i in after["instances"]) == before, "the same instances", after)
    # A deleted deployment can be deleted again, and created again.
    check(peer.ask("resource.delete", about(state))["state"] is None, "state null", "a state")
    has_succeeded(peer.ask("resource.apply", of(fleet())), "v2", 4)


@case(limit=60)
def delete_of_a_rollout_cut_off_puts_back_what_is_borrowed(lab):
    first = lab.open(SLOW)
    first.call("resource.apply", of(stuck(), progress_token=1))
    first.under_way(1, "deregister")
    first.kill()
    second = lab.open(200)
    cut = status(second, stuck())
    check(cut["record"] is not None, "a record of the rollout that was cut off", cut)
    there = sorted(i["id"] for i in cut["instances"])
    prior = dict(stuck(), id="simulated:web")
    result = second.ask("resource.delete", about(prior, progress_token="d"), within=40)
    check(result["status"] == "succeeded" and result["state"] is None, "state null", result)
    after = status(second, stuck())
    check(after["record"] is None, "no record", after)
    check(sorted(i["id"] for i in after["instances"]) == there, "the same instances", after)
    # The victim that was draining is back in rotation once its health checks pass.
    until("every instance serves", lambda: serving(second, stuck()) == there)
