"""Many at once, and cancelling."""

import json
import time

from harness import case, check, config, params


@case
def hundred_in_flight(bench):
    server = bench.serve(speed=500)
    ids = [server.request("resource.apply", params(config(f"f{n}"))) for n in range(100)]
    for id in ids:
        check(server.result(id)["status"] == "succeeded", f"apply {id}")


@case
def more_than_may_be_in_flight(bench):
    server = bench.start()
    hello = server.result(server.request("initialize", {"protocol_versions": [1]}))
    most = hello["capabilities"]["max_in_flight"]
    server.result(server.request("provider.configure", {"config": {"simulator": {"speed": 20}}}))
    asked = [server.request("resource.apply", params(config("web")))]

    looks = [server.request("resource.status", params(config("web"))) for _ in range(most + 50)]
    for id in looks:
        answer = server.answer(id)
        busy = answer.get("error", {}).get("code") == 1004
        check(busy or "result" in answer, f"answered, or refused as too much: {answer}")
    server.notify("$/cancel_request", {"id": asked[0]})
    server.result(asked[0])


@case
def pings_while_an_apply_runs(bench):
    server = bench.serve(speed=100)
    apply = server.request("resource.apply", params())
    for _ in range(50):
        begin = time.monotonic()
        check(server.result(server.request("ping")) == {}, "ping")
        check(time.monotonic() - begin < 5, "a ping never waits for a rollout")
    check(not [m for m in server.messages if m.get("id") == apply], "the apply is still at work")
    check(server.result(apply)["status"] == "succeeded", "and ends")


@case
def one_operation_a_target(bench):
    server = bench.serve(speed=200)
    first = server.request("resource.apply", params())
    second = server.request("resource.apply", params())
    other = server.request("resource.apply", params(config("other")))
    look = server.request("resource.plan", params())
    check(server.error(second) == 1004, "the second apply of one target is 1004")
    check("batches" in server.result(look), "looking is allowed")
    check(server.result(first)["status"] == "succeeded", "the first")
    check(server.result(other)["status"] == "succeeded", "another target")
    check(server.result(server.request("resource.apply", params()))["status"] == "succeeded", "later")


@case
def another_process_is_at_work(bench):
    one, two = bench.serve(speed=50), bench.serve(speed=50)
    first = one.request("resource.apply", params(progress_token=1))
    one.some_progress(1)
    id = two.request("resource.apply", params())
    check(two.error(id) == 1005, "1005")
    check(one.result(first)["status"] == "succeeded", "the first is not disturbed")


@case
def cancel_before(bench):
    """In one write: the apply may have begun by then, or not."""
    server = bench.serve(speed=200)
    apply = '{"jsonrpc":"2.0","id":77,"method":"resource.apply","params":%s}\n'
    cancel = '{"jsonrpc":"2.0","method":"$/cancel_request","params":{"id":77}}\n'
    server.raw((apply % json.dumps(params()) + cancel).encode())
    answer = server.answer(77)
    begun = answer.get("result", {}).get("status") == "aborted"
    check(begun or answer["error"]["code"] == -32800, f"{answer}")
    check(server.result(server.request("resource.apply", params()))["status"] == "succeeded", "after")


@case
def cancel_during(bench):
    server = bench.serve(speed=50)
    id = server.request("resource.apply", params(progress_token=1))
    server.some_progress(1)
    server.notify("$/cancel_request", {"id": id})
    result = server.result(id)
    check(result["status"] == "aborted" and result["diagnostics"], f"{result['status']}")
    check(len(result["state"]["instances"]) >= 7, "the state tells what is")
    done = server.result(server.request("resource.apply", params()))
    check(done["status"] == "succeeded", "and the next apply goes on")
    check(done["state"]["deployed_revision"] == "v2", "to the end")


@case
def cancel_twice(bench):
    server = bench.serve(speed=50)
    id = server.request("resource.apply", params(progress_token=1))
    server.some_progress(1)
    server.notify("$/cancel_request", {"id": id})
    server.notify("$/cancel_request", {"id": id})
    server.notify("$/cancel_request", {"id": id})
    check(server.result(id)["status"] == "aborted", "it answers all the same")
    check(server.result(server.request("resource.apply", params()))["status"] == "succeeded", "after")


@case
def cancel_after_and_of_nothing(bench):
    server = bench.serve()
    id = server.request("resource.apply", params())
    check(server.result(id)["status"] == "succeeded", "rolls")
    for given in ({"id": id}, {"id": "nobody"}, {"id": None}, {}, None):
        server.notify("$/cancel_request", given)
    check(server.result(server.request("ping")) == {}, "ignored")


@case
def deadline(bench):
    server = bench.serve(speed=20)
    begin = time.monotonic()
    result = server.result(server.request("resource.apply", params(deadline_ms=700)))
    check(result["status"] == "aborted", result["status"])
    check(time.monotonic() - begin < 40, "long before it would have ended")
