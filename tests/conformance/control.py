"""Commands to a deployment: pause, resume, abort, roll back and delete."""

from lab import (
    FAST,
    SIDE_BY_SIDE,
    SLOW,
    about,
    case,
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
from rules import check


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
