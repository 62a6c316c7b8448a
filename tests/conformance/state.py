"""A deployment's state: read, status, import and upgrade; and its schema."""

from lab import KIND, about, case, errors, fleet, is_whole, of, status
from rules import check

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
