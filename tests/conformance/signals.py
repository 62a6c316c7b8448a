"""Signals, readers that leave, and sudden death."""

import os
import signal

from lab import FAST, SLOW, case, fleet, has_succeeded, of, status, stuck, until, was_stopped
from rules import Failure, check

SAFE_POINT_WITHIN = 12
"""Seconds in which a rollout at the speed SLOW must have come to a safe point."""


def finish(lab, config, prior=None):
    """Finishes, in a new process, what was left."""
    peer = lab.open(FAST)
    result = peer.ask("resource.apply", of(config, prior=prior), within=30)
    has_succeeded(result, "v2", config["simulated_fleet"]["instances"])
    check(status(peer, config)["record"] is None, "no record any more", status(peer, config))


@case()
def sigterm_ends_with_143_while_standard_input_stays_open(lab):
    peer = lab.open()
    peer.signal(signal.SIGTERM)
    peer.ends_with(143)


@case()
def sigint_ends_with_130_while_standard_input_stays_open(lab):
    peer = lab.open()
    peer.signal(signal.SIGINT)
    peer.ends_with(130)


@case()
def sigterm_before_initialize_ends_with_143(lab):
    peer = lab.start()
    # Once it answers, it handles signals.
    peer.error(peer.call("ping"), -32002)
    peer.signal(signal.SIGTERM)
    peer.ends_with(143)


@case()
def sigterm_answers_an_apply_with_its_state_then_ends_with_143(lab):
    stopped_by(lab, signal.SIGTERM, 143)


@case()
def sigint_answers_an_apply_with_its_state_then_ends_with_130(lab):
    stopped_by(lab, signal.SIGINT, 130)


def stopped_by(lab, number, code):
    peer = lab.open(SLOW)
    id = peer.call("resource.apply", of(stuck(), progress_token=1))
    other = peer.call("resource.apply", of(stuck("other"), progress_token=2))
    peer.under_way(1, "deregister")
    peer.under_way(2, "deregister")
    peer.signal(number)
    peer.ends_with(code, SAFE_POINT_WITHIN)
    was_stopped(peer.result(id))
    was_stopped(peer.result(other))
    finish(lab, stuck(), peer.result(id)["state"])


@case()
def a_second_sigterm_stops_sooner_and_still_answers(lab):
    peer = lab.open(SLOW)
    id = peer.call("resource.apply", of(stuck(), progress_token=1))
    peer.under_way(1, "deregister")
    peer.signal(signal.SIGTERM)
    peer.signal(signal.SIGTERM)
    peer.ends_with(143, SAFE_POINT_WITHIN)
    was_stopped(peer.result(id))
    finish(lab, stuck())


@case(limit=60)
def a_reader_that_closes_its_pipe_stops_an_apply_and_the_server(lab):
    reader_leaves(lab, progress=True)


@case(limit=60)
def a_reader_that_leaves_is_noticed_while_nothing_is_written(lab):
    # Without progress nothing is written, and so no write fails.
    reader_leaves(lab, progress=False)


@case(limit=60)
def a_reader_at_a_socket_that_leaves_is_noticed(lab):
    reader_leaves(lab, progress=False, socket_out=True)


def reader_leaves(lab, progress, **start):
    peer = lab.open(SLOW, **start)
    params = of(stuck(), progress_token=1) if progress else of(stuck())
    peer.call("resource.apply", params)
    if progress:
        peer.under_way(1, "deregister")
    else:
        until("a record of the rollout", lambda: status(peer, stuck())["record"])
    peer.stop_reading()
    # Standard input stays open. The exit code does not matter, since nobody sees it; it must end
    # by itself.
    code = peer.exit_code(SAFE_POINT_WITHIN)
    check(code >= 0, "an end by itself", "an end by signal %d" % -code)
    finish(lab, stuck())


@case()
def a_reader_that_leaves_an_idle_server_ends_it(lab):
    peer = lab.open()
    peer.stop_reading()
    code = peer.exit_code()
    check(code >= 0, "an end by itself", "an end by signal %d" % -code)


@case(limit=60)
def after_kill_9_a_new_process_goes_on_and_the_fleet_is_whole(lab):
    # Killed while a batch drains, right after a victim was terminated, and between two batches.
    for n, kind in enumerate(["deregister", "terminate", "batch_finished"]):
        config = fleet("killed-%d" % n, batch=2, drain="20s")
        peer = lab.open(60)
        peer.call("resource.apply", of(config, progress_token=n))
        peer.under_way(n, kind)
        peer.kill()
        finish(lab, config)


@case(limit=60)
def after_kill_9_a_plan_tells_of_what_is_left(lab):
    peer = lab.open(SLOW)
    peer.call("resource.apply", of(stuck(), operation_id="cut-off", progress_token=1))
    peer.under_way(1, "deregister")
    peer.kill()
    second = lab.open(FAST)
    record = status(second, stuck())["record"]
    check(record and record["rollout"] == "cut-off", "the record of cut-off", record)
    plan = second.ask("resource.plan", of(stuck()))
    check(plan["action"] != "none", "something to do", plan)
    has_succeeded(second.ask("resource.apply", of(stuck()), within=30), "v2", 4)


@case()
def a_server_that_was_stopped_leaves_no_process_behind(lab):
    peer = lab.open()
    peer.ask("resource.apply", of(fleet()))
    group = peer.process.pid
    peer.ask("shutdown")
    peer.notify("exit")
    peer.ends_with(0)
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return
    raise Failure("nobody left of the server's process group", "somebody")
