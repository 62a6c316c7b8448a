"""Faults of the conversation, each with its code; and limits on what is in flight."""

import signal
import time

from lab import (
    KIND,
    SIDE_BY_SIDE,
    SLOW,
    case,
    errors,
    fleet,
    has_succeeded,
    lasting,
    of,
    status,
    stuck,
    until,
    was_stopped,
)
from peer import CANCELLED
from rules import check, key

DEPLOYMENT_METHODS = [
    "resource.validate",
    "resource.plan",
    "resource.apply",
    "resource.status",
    "resource.control",
]


@case()
def an_unknown_method_is_32601(lab):
    peer = lab.open()
    for method in ["resource.dance", "", "Ping", "$/cancel", "rpc.other", "ping "]:
        peer.error(peer.call(method), -32601)
    peer.ask("ping")


@case()
def params_that_are_no_object_are_refused(lab):
    # The contract says "always an object, or left out", and leaves open which of the two codes
    # is the answer.
    peer = lab.open()
    for method in ["ping", "resource.plan", "initialize", "shutdown"]:
        for params in [[], [1], "x", 1, True]:
            peer.error(peer.call(method, params), (-32600, -32602))
    peer.ask("ping")


@case()
def params_that_do_not_fit_are_32602(lab):
    peer = lab.open()
    config = fleet()
    unfit = [
        ("provider.configure", {}),
        ("provider.configure", {"config": 1}),
        ("ping", {"pong": 1}),
        ("resource.validate", of(config, konfig={})),
        ("resource.read", {"type": KIND}),
        ("resource.read", {"type": KIND, "prior": None}),
        ("resource.read", {"type": KIND, "prior": "x"}),
        ("resource.delete", {"type": KIND}),
        ("resource.import", {"type": KIND}),
        ("resource.import", {"type": KIND, "id": 7}),
        ("resource.upgrade_state", {"type": KIND, "state": {}}),
        ("resource.upgrade_state", {"type": KIND, "version": "1", "state": {}}),
        ("resource.control", of(config)),
        ("resource.control", of(config, action="dance")),
        ("resource.plan", of(config, unknown="x")),
        ("resource.plan", of(config, unknown=["nope"])),
        ("resource.plan", of(config, unknown=["/no_such_attribute"])),
        ("resource.validate", of(config, unknown=["/no_such_attribute"])),
        ("resource.plan", of(config, prior="x")),
        ("resource.plan", of(config, prior={"floor": "garbage"})),
        ("resource.apply", of(config, prior=[1])),
        ("resource.apply", of(config, planned=[1, 2])),
        ("resource.apply", of(config, planned={"batches": "garbage", "floor": -5})),
        ("resource.read", {"type": KIND, "prior": dict(config, floor=-5)}),
        ("resource.validate", of(config, unknown=[1])),
        ("resource.apply", of(config, deadline_ms="soon")),
        ("resource.apply", of(config, deadline_ms=-1)),
        ("resource.apply", of(config, deadline_ms=1.5)),
    ]
    for method in DEPLOYMENT_METHODS:
        unfit += [
            (method, {"type": KIND}),
            (method, {"type": KIND, "config": []}),
            (method, {"type": KIND, "config": None}),
        ]
    for method, params in unfit:
        message = peer.error(peer.call(method, params), -32602)["message"]
        types = [name for name in ["struct ", "u64", "a map", "a sequence"] if name in message]
        check(not types, "the terms of JSON", message)
    peer.ask("ping")


@case()
def a_missing_type_is_32602(lab):
    peer = lab.open()
    for method in DEPLOYMENT_METHODS:
        extra = {"action": "pause"} if method == "resource.control" else {}
        peer.error(peer.call(method, dict({"config": fleet()}, **extra)), -32602)
        peer.error(peer.call(method, dict({"config": fleet(), "type": 5}, **extra)), -32602)
    for method in ["resource.read", "resource.delete"]:
        peer.error(peer.call(method, {"prior": fleet()}), -32602)


@case()
def an_unknown_type_is_1002(lab):
    peer = lab.open()
    for method in DEPLOYMENT_METHODS:
        extra = {"action": "pause"} if method == "resource.control" else {}
        params = dict({"config": fleet(), "type": "other"}, **extra)
        peer.error(peer.call(method, params), 1002)
    for method in ["resource.read", "resource.delete"]:
        peer.error(peer.call(method, {"prior": fleet(), "type": "other"}), 1002)
    peer.error(peer.call("resource.import", {"type": "", "id": "simulated_fleet/web"}), 1002)
    params = {"type": "other", "version": 1, "state": {}}
    peer.error(peer.call("resource.upgrade_state", params), 1002)


@case()
def a_bad_operation_id_is_32602(lab):
    peer = lab.open()
    for id in ["", "a b", "x" * 65, "a/b", "\u00e9", 7, ["a"], "a\n"]:
        peer.error(peer.call("resource.apply", of(fleet(), operation_id=id)), -32602)
    params = of(fleet(), operation_id="Deploy-1.2_x" + "y" * 52)
    has_succeeded(peer.ask("resource.apply", params), "v2", 4)


@case()
def an_id_in_flight_is_refused_and_the_first_one_goes_on(lab):
    peer = lab.open(SLOW)
    id = peer.call("resource.apply", of(stuck(), progress_token=1), id="twice")
    peer.under_way(1)
    for method in ["ping", "resource.plan", "resource.apply"]:
        peer.call(method, of(fleet("other")), id="twice")
    for n in range(3):
        answer = peer.answer("twice", nth=n)
        check(answer.get("error", {}).get("code") == -32600, "error -32600", answer)
    peer.ask("ping")
    peer.cancel(id)
    answer = peer.answer("twice", nth=3)
    check("result" in answer, "the result of the apply", answer)
    was_stopped(answer["result"])
    # Once it is answered, an id is free again.
    peer.call("ping", id="twice")
    peer.answer("twice", nth=4)


@case()
def two_applies_on_one_target_are_one_too_many(lab):
    peer = lab.open(SLOW)
    first = peer.call("resource.apply", of(lasting(), progress_token=1))
    peer.under_way(1)
    peer.error(peer.call("resource.apply", of(lasting(revision="v3"))), 1004)
    peer.error(peer.call("resource.delete", {"type": KIND, "prior": lasting()}), 1004)
    # Read-only requests are always allowed.
    peer.ask("resource.plan", of(lasting()))
    peer.ask("resource.status", of(lasting()))
    check(not peer.is_answered(first), "the first one goes on", peer.all()[-1])
    has_succeeded(peer.result(first, within=30), "v2", 4)
    # The target is free as soon as the first has answered.
    has_succeeded(peer.ask("resource.apply", of(lasting())), "v2", 4)


@case()
def two_targets_are_rolled_at_once(lab):
    peer = lab.open(SLOW)
    ids = [
        peer.call("resource.apply", of(lasting(name), progress_token=name)) for name in ["a", "b"]
    ]
    for name in ["a", "b"]:
        peer.under_way(name)
    check(not any(peer.is_answered(id) for id in ids), "both at work at once", peer.all()[-1])
    for id in ids:
        has_succeeded(peer.result(id, within=30), "v2", 4)


@case()
def another_process_at_work_on_the_target_is_1005(lab):
    first = lab.open(SIDE_BY_SIDE)
    id = first.call("resource.apply", of(stuck(), progress_token=1))
    first.under_way(1)
    second = lab.open(SIDE_BY_SIDE)
    error = second.error(second.call("resource.apply", of(stuck())), 1005)
    check(len(error["message"]) > 0, "a message that names the owner", error)
    check(not first.is_answered(id), "the first apply goes on", first.all()[-1])
    first.cancel(id)
    was_stopped(first.result(id))


@case(limit=60)
def an_engine_that_lost_its_lease_leaves_with_1005(lab):
    # The first process is stopped, as its host might be: it does not know that it is late.
    first = lab.open(SLOW)
    id = first.call("resource.apply", of(stuck(), progress_token=1))
    first.under_way(1, "deregister")
    lab.freeze(first)
    second = lab.open(SLOW)
    owner = status(second, stuck())["record"]["owner"]
    other = second.call("resource.apply", of(stuck()))
    until(
        "another owner of the rollout",
        lambda: status(second, stuck())["record"]["owner"] not in (owner, None),
    )
    first.signal(signal.SIGCONT)
    first.error(id, 1005)
    check(not second.is_answered(other), "the second goes on", second.all()[-1])
    second.cancel(other)
    was_stopped(second.result(other))


@case()
def a_hundred_requests_in_flight_are_all_answered_once(lab):
    peer = lab.open()
    lines = []
    for n in range(25):
        name = "fleet-%d" % n
        config = fleet(name)
        lines += [
            peer.request("resource.plan", of(config), id="plan %d" % n),
            peer.request("resource.apply", of(config, progress_token=name)),
            peer.request("resource.status", of(config), id="status %d" % n),
            peer.request("ping"),
        ]
    peer.write(b"".join(line for line, _ in lines))
    for _, id in lines:
        peer.result(id)
    for n in range(25):
        apply = lines[4 * n + 1][1]
        has_succeeded(peer.result(apply), "v2", 4)
    # A second answer would come before this one's.
    peer.ask("ping")


@case()
def ping_is_answered_while_an_apply_runs(lab):
    peer = lab.open(SLOW)
    id = peer.call("resource.apply", of(stuck(), progress_token=1))
    peer.under_way(1)
    for _ in range(50):
        peer.ask("ping", within=5)
    check(not peer.is_answered(id), "the apply still runs", peer.all()[-1])
    peer.cancel(id)
    was_stopped(peer.result(id))


@case(limit=60)
def what_is_more_than_max_in_flight_is_1004_and_all_is_answered(lab):
    peer = lab.open(1)
    most, surplus = peer.greeting["capabilities"]["max_in_flight"], 20
    ids = []
    lines = []
    for n in range(most + surplus):
        line, id = peer.request("resource.apply", of(fleet("f%d" % n, instances=1)))
        lines.append(line)
        ids.append(id)
    peer.write(b"".join(lines))
    for id in ids[most:]:
        peer.error(id, 1004, within=40)
    check(not any(peer.is_answered(id) for id in ids[:most]), "the others go on", peer.all()[-1])
    peer.ask("ping", within=40)
    first = fleet("f0", instances=1)
    abort = peer.result(peer.call("resource.control", of(first, action="abort")), within=40)
    check(errors(abort) == [], "a command is taken all the same", abort)
    for id in ids[:most]:
        peer.cancel(id)
    for id in ids[:most]:
        answer = peer.answer(id, within=40)
        if answer.get("error", {}).get("code") != CANCELLED:
            check("result" in answer, "a result, or error -32800", answer)
            was_stopped(answer["result"])
    peer.ask("ping", within=40)


@case()
def no_answer_is_lost_when_the_reader_is_slow_to_read(lab):
    # More than a pipe holds is written while nobody reads, and is then read all at once.
    peer = lab.open()
    peer.pause_reading()
    ids = [peer.call("provider.schema") for _ in range(40)]
    time.sleep(0.3)
    peer.read_on()
    schemas = {key(peer.result(id)) for id in ids}
    check(len(schemas) == 1, "the same schema each time", "%d different ones" % len(schemas))
