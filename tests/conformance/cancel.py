"""Cancelling: a cancelled request is still answered, with what happened."""

import time

from lab import (
    FAST,
    SLOW,
    about,
    case,
    fleet,
    has_succeeded,
    is_whole,
    of,
    status,
    stuck,
    was_stopped,
)
from peer import CANCELLED, encode, notification
from rules import check


@case()
def a_cancel_right_behind_an_apply_changes_nothing(lab):
    peer = lab.open(SLOW)
    line, id = peer.request("resource.apply", of(stuck(), progress_token=1))
    peer.write(line + notification("$/cancel_request", {"id": id}))
    answer = peer.answer(id)
    if "error" in answer:
        check(answer["error"].get("code") == CANCELLED, "error -32800, or a result", answer)
    else:
        was_stopped(answer["result"])
    found = status(peer, stuck())
    is_whole(found, "v1", 4)
    check(
        found["record"] is None or found["record"]["status"] == "aborted",
        "no record of a rollout under way",
        found,
    )
    lab.set_speed(peer, FAST)
    has_succeeded(peer.ask("resource.apply", of(stuck())), "v2", 4)


@case()
def a_cancelled_apply_answers_with_its_state_and_a_second_one_finishes(lab):
    peer = lab.open(SLOW)
    id = peer.call("resource.apply", of(stuck(), progress_token=1))
    peer.under_way(1, "deregister")
    peer.cancel(id)
    result = peer.result(id)
    was_stopped(result)
    check(len(result["state"]["instances"]) == 4, "a state with the instances", result)
    lab.set_speed(peer, FAST)
    has_succeeded(peer.ask("resource.apply", of(stuck(), prior=result["state"])), "v2", 4)


@case()
def a_cancel_after_the_answer_is_ignored(lab):
    peer = lab.open()
    id = peer.call("resource.apply", of(fleet()))
    has_succeeded(peer.result(id), "v2", 4)
    before = len(peer.all())
    peer.cancel(id)
    peer.ask("ping")
    check(len(peer.all()) == before + 1, "nothing but the answer to ping", peer.all()[before:])
    # A cancel applies to requests in flight, not to later ones.
    peer.call("resource.apply", of(fleet(revision="v3")), id=id)
    answer = peer.answer(id, nth=1)
    check("result" in answer, "a result", answer)
    has_succeeded(answer["result"], "v3", 4)


@case()
def a_cancel_of_nothing_in_flight_is_ignored(lab):
    peer = lab.open(SLOW)
    id = peer.call("resource.apply", of(stuck(), progress_token=1), id=70)
    peer.under_way(1)
    before = len([m for m in peer.all() if "method" not in m])
    for other in [71, "70", "nobody", None, 70.5, [70], {"id": 70}]:
        peer.notify("$/cancel_request", {"id": other})
    peer.notify("$/cancel_request", {})
    peer.notify("$/cancel_request")
    peer.ask("ping")
    answers = [m for m in peer.all() if "method" not in m]
    check(len(answers) == before + 1, "nothing but the answer to ping", answers[before:])
    check(not peer.is_answered(id), "the apply goes on", peer.all()[-1])
    peer.cancel(id)
    was_stopped(peer.result(id))


@case()
def a_cancel_is_no_request(lab):
    # With an id it would have to be answered; the method exists only as a notification.
    peer = lab.open()
    peer.write(
        encode({"jsonrpc": "2.0", "id": "c", "method": "$/cancel_request", "params": {"id": 1}})
    )
    answer = peer.answer("c")
    check("error" in answer, "an error", answer)
    peer.ask("ping")


@case()
def a_second_cancel_stops_sooner_and_is_answered_once(lab):
    peer = lab.open(SLOW)
    id = peer.call("resource.apply", of(stuck(), progress_token=1))
    peer.under_way(1, "deregister")
    for _ in range(3):
        peer.cancel(id)
    result = peer.result(id)
    was_stopped(result)
    peer.ask("ping")
    # What it left undone is in the record, and the next apply does it.
    lab.set_speed(peer, FAST)
    has_succeeded(peer.ask("resource.apply", of(stuck(), prior=result["state"])), "v2", 4)


@case()
def a_cancel_stops_one_of_two(lab):
    peer = lab.open(SLOW)
    one = peer.call("resource.apply", of(stuck("one"), progress_token="one"))
    other = peer.call("resource.apply", of(fleet("other", batch=4), progress_token="other"))
    peer.under_way("one")
    peer.under_way("other")
    peer.cancel(one)
    was_stopped(peer.result(one))
    check(not peer.is_answered(other), "the other goes on", peer.all()[-1])
    has_succeeded(peer.result(other, within=30), "v2", 4)


@case(limit=60)
def an_apply_that_waits_for_another_engine_is_cancelled_with_32800(lab):
    second = beside_one_that_stands_still(lab)
    owner = status(second, stuck())["record"]["owner"]
    id = second.call("resource.apply", of(stuck()))
    time.sleep(1)
    second.cancel(id)
    second.error(id, CANCELLED)
    record = status(second, stuck())["record"]
    check(record["owner"] == owner, "the rollout still in the hands of %s" % owner, record)


@case(limit=60)
def a_control_that_waits_to_be_acknowledged_can_be_cancelled(lab):
    second = beside_one_that_stands_still(lab)
    id = second.call("resource.control", of(stuck(), action="pause"))
    time.sleep(1)
    second.cancel(id)
    second.answer(id, within=10)


@case(limit=60)
def a_delete_that_waits_to_be_acknowledged_can_be_cancelled(lab):
    second = beside_one_that_stands_still(lab)
    id = second.call("resource.delete", about(stuck()))
    time.sleep(1)
    second.cancel(id)
    second.answer(id, within=10)


def beside_one_that_stands_still(lab):
    """Returns a server beside one that has a rollout under way and is stopped. By the new
    server's clock it takes half a minute until it may take the other one for dead."""
    first = lab.open(SLOW)
    first.call("resource.apply", of(stuck(), progress_token=1))
    first.under_way(1, "deregister")
    lab.freeze(first)
    return lab.open(1)


@case()
def a_cancel_of_requests_that_change_nothing_is_answered(lab):
    peer = lab.open()
    ids = []
    for n in range(20):
        line, id = peer.request("resource.plan", of(fleet("f%d" % n)))
        peer.write(line + notification("$/cancel_request", {"id": id}))
        ids.append(id)
    for id in ids:
        answer = peer.answer(id)
        right = "result" in answer or answer["error"].get("code") == CANCELLED
        check(right, "a result, or error -32800", answer)
    peer.ask("ping")
