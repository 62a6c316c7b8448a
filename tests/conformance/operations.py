"""What operations give: plans, states, diagnostics, progress."""

from harness import case, check, config, params, same


def value_at(state, pointer):
    for step in pointer.split("/")[1:]:
        state = state[step]
    return state


@case
def plan_apply_read_agree(bench):
    server = bench.serve()
    plan = server.result(server.request("resource.plan", params(prior=None)))
    check(plan["action"] == "create", "create")
    check([b["replaces"] for b in plan["batches"]] == [3, 3, 3, 1], f"{plan['batches']}")
    for pointer in plan["unknown"]:
        check(value_at(plan["planned"], pointer) is None, f"{pointer} is unknown, so null")
    handed = {"planned": plan["planned"], "private": plan["private"], "prior": None}
    applied = server.result(server.request("resource.apply", params(**handed)))
    check(applied["status"] == "succeeded" and not applied["diagnostics"], f"{applied['status']}")
    state = applied["state"]
    for name, value in plan["planned"].items():
        if f"/{name}" not in plan["unknown"]:
            check(same(state[name], value), f"{name} was planned as {value}, is {state[name]}")
    check(state["deployed_revision"] == "v2" and len(state["instances"]) == 10, "all on v2")
    check(all(i["revision"] == "v2" and i["serves"] for i in state["instances"]), "all serve")
    read = server.result(
        server.request("resource.read", {"type": "rolling_deployment", "prior": state})
    )
    check(same(read["state"], state), "read gives the state that apply left")
    again = server.result(server.request("resource.plan", params(prior=state)))
    check(again["action"] == "none" and again["batches"] == [], f"{again['action']}")
    check(again["plan_hash"] == plan["plan_hash"], "the hash is of configuration and revision")


@case
def stale_plan(bench):
    server = bench.serve()
    plan = server.result(server.request("resource.plan", params()))
    other = params(config(revision="v3"), private=plan["private"])
    id = server.request("resource.apply", other)
    check(server.error(id) == 1006, "1006")
    data = server.answer(id)["error"]["data"]
    check(data["planned"] == plan["plan_hash"] != data["current"], f"{data}")
    status = server.result(server.request("resource.status", params()))
    check(all(i["revision"] == "v1" for i in status["instances"]), "nothing was done")


@case
def bad_configuration_is_a_diagnostic(bench):
    server = bench.serve()
    wrong = config(policy="rollin")
    for method in ("resource.validate", "resource.plan", "resource.apply", "resource.status"):
        found = server.result(server.request(method, params(wrong)))["diagnostics"]
        check(found[0]["pointer"] == "/policy", f"{method}: {found}")
        check(found[0]["severity"] == "error" and found[0]["summary"], f"{method}: {found}")
    odd = server.result(server.request("provider.configure", {"config": {"simulator": {"x": 1}}}))
    check(odd["diagnostics"][0]["pointer"] == "/simulator/x", f"{odd}")


@case
def failed_deployment_is_a_result(bench):
    server = bench.serve()
    server.result(server.request("resource.apply", params()))
    bad = {"fleet": {"bad_revisions": {"v3": "unhealthy"}}, "health": {"healthy_timeout": "10m"}}
    failed = server.result(server.request("resource.apply", params(config(revision="v3", **bad))))
    check(failed["status"] == "rolled_back", failed["status"])
    check(failed["state"]["last_error"] and failed["diagnostics"][0]["summary"], "says why")
    check(failed["state"]["deployed_revision"] == "v2", "back on the completed revision")
    bad["on_failure"] = "stop"
    failed = server.result(server.request("resource.apply", params(config(revision="v3", **bad))))
    check(failed["status"] == "failed", failed["status"])
    check(failed["state"]["completed_revision"] == "v2", "the completed revision is remembered")


@case
def unknown_values(bench):
    server = bench.serve()
    fleet = {"name": "web"}
    wanted = {"policy": "immutable", "simulated_fleet": fleet}
    unknown = ["/simulated_fleet/revision"]
    missing = server.result(server.request("resource.validate", params(wanted)))
    check(missing["diagnostics"], "without `unknown` it is missing")
    fine = server.result(server.request("resource.validate", params(wanted, unknown=unknown)))
    check(fine["diagnostics"] == [], f"{fine}")
    null = {"policy": "immutable", "simulated_fleet": {"name": "web", "revision": None}}
    plan = server.result(server.request("resource.plan", params(null, unknown=unknown)))
    check(plan["action"] == "create" and plan["batches"] is None, f"{plan}")
    listed = {"/simulated_fleet/revision", "/id", "/batches", "/status", "/target_revision"}
    check(listed <= set(plan["unknown"]), f"{plan['unknown']}")
    worse = {"policy": "imutable", "simulated_fleet": fleet}
    found = server.result(server.request("resource.validate", params(worse, unknown=unknown)))
    check([f["pointer"] for f in found["diagnostics"]] == ["/policy"], f"{found}")
    check(not (bench.folder / ".rolling").exists(), "no fleet was looked at")


@case
def another_target_is_a_replacement(bench):
    server = bench.serve()
    prior = {**config("one"), "id": "x"}
    plan = server.result(server.request("resource.plan", params(config("two"), prior=prior)))
    check(plan["requires_replace"] == ["/simulated_fleet/name"], f"{plan['requires_replace']}")


@case
def progress_is_in_order(bench):
    server = bench.serve()
    tokens = ["a", 7, 0, True, {"x": [1]}, [None]]
    for number, token in enumerate(tokens):
        given = params(config(f"fleet-{number}"), progress_token=token)
        id = server.request("resource.apply", given)
        check(server.result(id)["status"] == "succeeded", "rolls")
        told = server.progress(token)
        check([t["sequence"] for t in told] == list(range(len(told))), "sequence has no gaps")
        events = [event for t in told for event in t["events"]]
        check([e["index"] for e in events] == list(range(len(events))), "events have no gaps")
        kinds = [e["event"]["type"] for e in events]
        check(kinds[0] == "started" and kinds[-1] == "finished", f"{kinds[0]} ... {kinds[-1]}")
        check(kinds.count("finished") == 1, "one end")
        check((told[-1]["updated"], told[-1]["serving"], told[-1]["size"]) == (10, 10, 10), "counts")
        with server.heard:
            answered = next(n for n, m in enumerate(server.messages) if m.get("id") == id)
            late = [m for m in server.messages[answered:] if m.get("method") == "$/progress"]
        check(not late, "none after the answer")
    quiet = server.request("resource.apply", params(config("quiet")))
    server.result(quiet)
    null = server.request("resource.apply", params(config("null"), progress_token=None))
    server.result(null)
    last = max(n for n, m in enumerate(server.messages) if m.get("method") == "$/progress")
    first = min(n for n, m in enumerate(server.messages) if m.get("id") == quiet)
    check(last < first, "without a token no progress is told")


@case
def progress_is_at_most_ten_a_second(bench):
    server = bench.serve(speed=60)
    server.result(server.request("resource.apply", params(progress_token="t")))
    with server.heard:
        at = [
            time
            for time, m in zip(server.times, server.messages)
            if m.get("method") == "$/progress"
        ]
    for first, tenth in zip(at, at[10:]):
        check(tenth - first > 0.8, f"eleven notifications within {tenth - first:.2f} s")


@case
def operation_id_names_the_rollout(bench):
    server = bench.serve()
    given = params(operation_id="deploy-1.a_B", progress_token=1)
    server.result(server.request("resource.apply", given))
    events = [event for t in server.progress(1) for event in t["events"]]
    check({e["rollout"] for e in events} == {"deploy-1.a_B"}, "in every event")


@case
def import_status_delete(bench):
    server = bench.serve()
    kind = {"type": "rolling_deployment"}
    ask = lambda method, given: server.result(server.request(method, {**kind, **given}))
    missing = ask("resource.import", {"id": "simulated_fleet/web"})
    check(missing["state"] is None and missing["diagnostics"], f"{missing}")
    for wrong in ("web", "simulated_fleet/", "cloud/web", "simulated_fleet/a b", ""):
        found = ask("resource.import", {"id": wrong})
        check(found["state"] is None and found["diagnostics"], f"{wrong!r}: {found}")
    server.result(server.request("resource.apply", params()))
    state = ask("resource.import", {"id": "simulated_fleet/web"})["state"]
    check(state["simulated_fleet"] == {"name": "web", "revision": "v2"}, f"{state}")
    check(state["deployed_revision"] == "v2" and len(state["instances"]) == 10, "what is there")
    read = ask("resource.read", {"prior": state})
    check(same(read["state"], state), "an imported state can be read")
    plan = server.result(server.request("resource.plan", params(prior=state)))
    check(plan["action"] == "update" and plan["batches"] == [], "only the policy is new")
    status = server.result(server.request("resource.status", params()))
    check(status["record"] is None and len(status["instances"]) == 10, "no rollout")
    gone = ask("resource.delete", {"prior": state})
    check(gone["status"] == "succeeded" and gone["state"] is None, f"{gone}")
    again = server.result(server.request("resource.status", params()))
    check(same(again["instances"], status["instances"]), "no instance is touched")


@case
def upgrade_state(bench):
    server = bench.serve()
    state = server.result(server.request("resource.apply", params()))["state"]
    version = server.result(server.request("provider.schema"))
    version = version["resource_types"]["rolling_deployment"]["version"]
    ask = lambda version, state: server.result(
        server.request(
            "resource.upgrade_state",
            {"type": "rolling_deployment", "version": version, "state": state},
        )
    )
    check(same(ask(version, state), {"state": state, "diagnostics": []}), "nothing to upgrade")
    odd = ask(version, {**state, "color": "blue"})
    check(same(odd["state"], state), "what is not known is left out")
    check([f["severity"] for f in odd["diagnostics"]] == ["warning"], "with a warning")
    for wrong in ((version + 1, state), (version, {**state, "batches": 7})):
        found = ask(*wrong)
        check(found["state"] is None and found["diagnostics"], f"{found}")


@case
def control_from_another_process(bench):
    worker, other = bench.serve(speed=50), bench.serve(speed=50)
    apply = worker.request("resource.apply", params(progress_token=1, operation_id="first"))
    worker.some_progress(1)
    said = other.result(other.request("resource.control", params(action="pause")))
    check(said["heard_by"] and said["record"]["rollout"] == "first", f"{said}")
    check(worker.result(apply)["status"] == "paused", "the apply ends paused")
    status = other.result(other.request("resource.status", params()))
    check(status["record"]["status"] == "paused", f"{status['record']}")
    again = worker.result(worker.request("resource.apply", params()))
    check(again["status"] == "paused", "to apply again decides nothing")
    bad = other.request("resource.control", params(action="dance"))
    check(other.error(bad) == -32602, "an action that there is not")
    done = other.result(other.request("resource.control", params(action="resume")))
    check(done["status"] == "succeeded" and done["heard_by"] is None, f"{done['said']}")
    check(done["state"]["deployed_revision"] == "v2", "all on v2")
    idle = other.result(other.request("resource.control", params(action="abort")))
    check(idle["said"] and idle["status"] is None and idle["record"] is None, f"{idle}")


@case
def control_of_an_apply_in_the_same_process(bench):
    server = bench.serve(speed=50)
    apply = server.request("resource.apply", params(progress_token=1))
    server.some_progress(1)
    said = server.result(server.request("resource.control", params(action="abort")))
    check(said["heard_by"], f"{said}")
    check(server.result(apply)["status"] == "aborted", "the apply ends aborted")
