"""Signals, readers that leave, and kill -9."""

import signal

from harness import case, check, config, params


def finishes(bench):
    """A new process brings what was cut off to its end."""
    server = bench.serve()
    state = server.result(server.request("resource.apply", params()))["state"]
    check(state["status"] == "succeeded", state["status"])
    check(len(state["instances"]) == 10, f"{len(state['instances'])} instances of 10")
    check(all(i["revision"] == "v2" and i["serves"] for i in state["instances"]), "all serve v2")
    status = server.result(server.request("resource.status", params()))
    check(status["record"] is None, "nothing is left behind")


def under_way(bench, **options):
    server = bench.serve(speed=20, **options)
    id = server.request("resource.apply", params(progress_token=1))
    server.some_progress(1)
    return server, id


def stopped_by(bench, number, code):
    server, id = under_way(bench)
    server.signal(number)
    # Standard input stays open.
    check(server.exit_code() == code, f"exit code {code}, is {server.process.returncode}")
    result = server.result(id)
    check(result["status"] == "aborted" and result["state"]["instances"], "the partial state")
    finishes(bench)


@case
def sigterm_during_an_apply(bench):
    stopped_by(bench, signal.SIGTERM, 143)


@case
def sigint_during_an_apply(bench):
    stopped_by(bench, signal.SIGINT, 130)


@case
def sigterm_while_idle(bench):
    server = bench.serve()
    server.signal(signal.SIGTERM)
    check(server.exit_code() == 143, "143, although standard input is open")


@case
def a_reader_that_leaves(bench):
    server, _ = under_way(bench)
    server.leave()
    server.exit_code()
    finishes(bench)


@case
def a_reader_that_leaves_an_idle_server(bench):
    server = bench.serve()
    server.leave()
    server.exit_code()


@case
def killed_and_applied_again(bench):
    server, _ = under_way(bench)
    server.signal(signal.SIGKILL)
    server.exit_code()
    finishes(bench)


@case
def killed_and_deleted(bench):
    server, _ = under_way(bench)
    server.signal(signal.SIGKILL)
    server.exit_code()
    other = bench.serve()
    before = other.result(other.request("resource.status", params()))
    check(before["record"]["status"] == "rolling", f"{before['record']}")
    given = {"type": "rolling_deployment", "prior": config(), "progress_token": 2}
    gone = other.result(other.request("resource.delete", given))
    check(gone["status"] == "succeeded" and gone["state"] is None, f"{gone}")
    after = other.result(other.request("resource.status", params()))
    check(after["record"] is None, "the record is gone")
