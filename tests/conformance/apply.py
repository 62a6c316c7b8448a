"""Applying: how it ends, its progress, its deadline and its name."""

import time

from lab import (
    FAILING,
    FAST,
    SLOW,
    case,
    errors,
    failing,
    fleet,
    has_succeeded,
    is_whole,
    of,
    status,
    stuck,
    was_stopped,
)
from peer import CANCELLED
from rules import check, key


@case()
def an_apply_with_nothing_to_do_succeeds_and_does_nothing(lab):
    peer = lab.open()
    first = peer.ask("resource.apply", of(fleet()))["state"]
    second = peer.ask("resource.apply", of(fleet(), prior=first))
    has_succeeded(second, "v2", 4)
    check(second["state"]["instances"] == first["instances"], "the same instances", second)


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
