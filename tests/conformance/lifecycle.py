"""The conversation: its beginning, its end, and what may be said when."""

from harness import case, check, config, params


@case
def initialize_answers(bench):
    server = bench.start()
    answer = server.result(
        server.request("initialize", {"protocol_versions": [1, 2], "client": {"name": "c"}})
    )
    check(answer["protocol_version"] == 1, "version 1")
    limits = answer["capabilities"]
    check(limits["max_message_bytes"] >= 1 << 20 and limits["max_in_flight"] >= 100, f"{limits}")
    check("rolling_deployment" in answer["resource_types"], "the resource type")
    check(answer["server"]["name"], "a name")


@case
def before_initialize(bench):
    server = bench.start()
    for method in ("ping", "resource.plan", "shutdown", "no.such.method"):
        check(server.error(server.request(method)) == -32002, f"{method} before initialize")
    check("methods" in server.result(server.request("rpc.discover")), "rpc.discover is allowed")


@case
def initialize_twice(bench):
    server = bench.serve()
    check(server.error(server.request("initialize", {"protocol_versions": [1]})) == -32600, "-32600")


@case
def no_common_version(bench):
    server = bench.start()
    id = server.request("initialize", {"protocol_versions": [99]})
    check(server.error(id) == 1001, "1001")
    check(server.answer(id)["error"]["data"]["supported"] == [1], "data.supported")
    check(server.error(server.request("ping")) == -32002, "still not initialized")
    server.result(server.request("initialize", {"protocol_versions": [1]}))


@case
def bad_params_of_initialize(bench):
    server = bench.start()
    for wrong in ({}, {"protocol_versions": 1}, {"protocol_versions": ["1"]}):
        check(server.error(server.request("initialize", wrong)) == -32602, f"{wrong}")


@case
def unknown_methods(bench):
    server = bench.serve()
    check(server.error(server.request("resource.dance")) == -32601, "-32601")
    server.notify("$/whatever", {"x": 1})
    server.notify("resource.apply", params())
    check(server.result(server.request("ping")) == {}, "unknown notifications are ignored")
    check(not (bench.folder / ".rolling").exists(), "an apply without an id is none")


@case
def bad_params(bench):
    server = bench.serve()
    ask = lambda method, given: server.error(server.request(method, given))
    check(ask("resource.validate", {"config": config()}) == -32602, "no type")
    check(ask("resource.validate", {"type": "rolling_deployment"}) == -32602, "no config")
    check(ask("resource.plan", {"type": "rolling_deployment", "config": 7}) == -32602, "a number")
    check(ask("resource.read", {"type": "rolling_deployment"}) == -32602, "no prior")
    check(ask("resource.validate", params(konfig={})) == -32602, "a parameter that there is not")
    check(ask("resource.apply", params(deadline_ms=-1)) == -32602, "deadline_ms")
    for wrong in ("", "a b", "x" * 65, "é"):
        check(ask("resource.apply", params(operation_id=wrong)) == -32602, f"operation_id {wrong!r}")
    for method in ("resource.validate", "resource.plan", "resource.apply", "resource.status"):
        check(ask(method, {"type": "other", "config": config()}) == 1002, f"type of {method}")


@case
def shutdown_and_exit(bench):
    server = bench.serve()
    check(server.result(server.request("shutdown")) is None, "null")
    check(server.error(server.request("ping")) == -32600, "after shutdown only exit is accepted")
    server.notify("exit")
    check(server.exit_code() == 0, "exit 0 after shutdown")


@case
def exit_without_shutdown(bench):
    server = bench.serve()
    server.notify("exit")
    check(server.exit_code() == 1, "exit 1 without shutdown")


@case
def shutdown_answers_what_is_in_flight_first(bench):
    server = bench.serve(speed=500)
    apply = server.request("resource.apply", params())
    shutdown = server.request("shutdown")
    check(server.result(shutdown) is None, "null")
    check(server.result(apply)["status"] == "succeeded", "it is finished")
    order = [m["id"] for m in server.messages if m.get("id") in (apply, shutdown)]
    check(order == [apply, shutdown], "the apply is answered before shutdown is")


@case
def duplicate_id_in_flight(bench):
    server = bench.serve(speed=100)
    server.request("resource.apply", params(), id="same")
    server.request("ping", id="same")
    check(server.error("same") == -32600, "an id in flight is refused")
    server.notify("$/cancel_request", {"id": "same"})
    both = lambda messages: [m for m in messages if m.get("id") == "same" and "result" in m]
    server.until(both, "the answer to the first request")


@case
def discovery(bench):
    server = bench.serve()
    found = server.result(server.request("rpc.discover"))
    methods = {method["name"]: method for method in found["methods"]}
    wanted = "initialize ping shutdown exit rpc.discover provider.schema provider.configure " \
        "resource.validate resource.plan resource.apply resource.read resource.import " \
        "resource.upgrade_state resource.delete resource.status resource.control " \
        "$/cancel_request $/progress $/log"
    check(set(wanted.split()) <= set(methods), f"missing: {set(wanted.split()) - set(methods)}")
    schema = server.result(server.request("provider.schema"))
    kind = schema["resource_types"]["rolling_deployment"]
    attributes = kind["attributes"]
    check("policy" in attributes["required"], "policy is required")
    check("batch_size" in attributes["optional"], "batch_size is optional")
    check({"id", "status", "instances"} <= set(attributes["computed"]), "computed attributes")
    check("/simulated_fleet/name" in attributes["force_new"], "the target's name forces a new one")
    described = kind["config"]["properties"]["policy"]
    check(kind["config"]["type"] == "object" and described, "a JSON Schema")


@case
def logs_only_when_asked(bench):
    quiet = bench.serve()
    check(quiet.result(quiet.request("resource.apply", params()))["status"] == "succeeded", "rolls")
    check(not [m for m in quiet.messages if m.get("method") == "$/log"], "nobody asked for logs")
    loud = bench.start()
    asked = {"protocol_versions": [1], "capabilities": {"log": "debug"}}
    loud.result(loud.request("initialize", asked))
    loud.result(loud.request("provider.configure", {"config": {"simulator": {"speed": 2000}}}))
    loud.result(loud.request("resource.apply", params(config(revision="v3"))))
    logs = [m["params"] for m in loud.messages if m.get("method") == "$/log"]
    check(logs, "logs were asked for")
    levels = {"error", "warn", "info", "debug"}
    check(all(log["level"] in levels and log["message"] for log in logs), f"{logs[:3]}")


@case
def stdout_is_the_protocol_only(bench):
    """With everything logged, to standard error. What else a process might print there (a library,
    a child) is seen to by the judge of every line in every case."""
    server = bench.serve(environment={"RUST_LOG": "trace", "RUST_BACKTRACE": "1"})
    server.result(server.request("resource.apply", params()))
    server.close_stdin()
    check(server.exit_code() == 0, "exit 0")
