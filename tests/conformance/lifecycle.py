"""The beginning and the end of a conversation."""

import time

from lab import SLOW, case, fleet, has_succeeded, lasting, of, stuck, was_stopped
from peer import notification
from rules import check

INITIALIZE = {"protocol_versions": [1]}


@case()
def initialize_says_what_the_server_is_and_can(lab):
    peer = lab.start()
    reply = peer.ask(
        "initialize",
        {"protocol_versions": [7, 1, 2], "client": {"name": "conformance", "version": "1"}},
    )
    check(reply.get("protocol_version") == 1, "protocol_version 1", reply)
    check(isinstance(reply.get("server", {}).get("name"), str), "the server's name", reply)
    wanted = {
        "max_message_bytes": 16777216,
        "max_in_flight": 1024,
        "progress": True,
        "cancel": True,
    }
    can = reply.get("capabilities", {})
    check(
        all(can.get(name) == value for name, value in wanted.items()),
        "capabilities %s" % wanted,
        can,
    )
    check(
        reply.get("resource_types") == ["rolling_deployment"],
        "resource_types with rolling_deployment",
        reply,
    )


@case()
def before_initialize_nothing_else_is_answered(lab):
    peer = lab.start()
    for method in ["ping", "resource.plan", "provider.schema", "shutdown", "no.such.method"]:
        peer.error(peer.call(method), -32002)
    peer.ask("initialize", INITIALIZE)
    peer.ask("ping")


@case()
def rpc_discover_is_answered_before_initialize_and_after(lab):
    peer = lab.start()
    document = peer.ask("rpc.discover")
    check(isinstance(document.get("openrpc"), str), "an OpenRPC document", document)
    methods = {method.get("name") for method in document.get("methods", [])}
    wanted = {
        "initialize",
        "rpc.discover",
        "provider.schema",
        "provider.configure",
        "resource.validate",
        "resource.plan",
        "resource.apply",
        "resource.read",
        "resource.import",
        "resource.upgrade_state",
        "resource.delete",
        "resource.status",
        "resource.control",
        "ping",
        "shutdown",
        "exit",
        "$/cancel_request",
        "$/progress",
        "$/log",
    }
    check(wanted <= methods, "the methods %s" % sorted(wanted - methods), sorted(methods))
    peer.ask("initialize", INITIALIZE)
    check(peer.ask("rpc.discover") == document, "the same document again", "another one")


@case()
def initialize_twice_is_refused_and_harmless(lab):
    peer = lab.open()
    peer.error(peer.call("initialize", INITIALIZE), -32600)
    peer.ask("ping")


@case()
def another_version_is_refused_with_the_versions_that_are_known(lab):
    peer = lab.start()
    for versions in [[7], [2, 3], [0], []]:
        error = peer.error(peer.call("initialize", {"protocol_versions": versions}), 1001)
        check((error.get("data") or {}).get("supported") == [1], "data.supported [1]", error)
    peer.error(peer.call("ping"), -32002)
    # A refused initialize begins nothing: it can be tried again.
    peer.ask("initialize", INITIALIZE)
    peer.ask("ping")


@case()
def initialize_without_versions_is_refused(lab):
    peer = lab.start()
    for params in [None, {}, {"protocol_versions": 1}, {"protocol_versions": ["1"]}]:
        peer.error(peer.call("initialize", params), -32602)
    peer.ask("initialize", INITIALIZE)


@case()
def shutdown_then_exit_ends_with_0(lab):
    peer = lab.open()
    id = peer.call("shutdown")
    check(peer.result(id) is None, "null", peer.answer(id))
    peer.notify("exit")
    peer.ends_with(0)


@case()
def exit_without_shutdown_ends_with_1(lab):
    peer = lab.open()
    peer.notify("exit")
    peer.ends_with(1)


@case()
def exit_before_initialize_ends_with_1(lab):
    peer = lab.start()
    peer.notify("exit")
    peer.ends_with(1)


@case()
def exit_with_an_apply_in_flight_stops_it_and_answers_it(lab):
    peer = lab.open(SLOW)
    id = peer.call("resource.apply", of(stuck(), progress_token=1))
    peer.under_way(1)
    peer.notify("exit")
    peer.ends_with(1)
    was_stopped(peer.result(id))


@case()
def after_shutdown_only_exit_is_accepted(lab):
    peer = lab.open()
    peer.ask("shutdown")
    for method in ["ping", "resource.plan", "shutdown", "initialize"]:
        peer.error(peer.call(method), -32600)
    peer.notify("exit")
    peer.ends_with(0)


@case()
def shutdown_is_answered_after_what_is_in_flight(lab):
    peer = lab.open(SLOW)
    apply = peer.call("resource.apply", of(lasting(), progress_token=1))
    peer.under_way(1)
    shutdown = peer.call("shutdown")
    late = peer.call("ping")
    peer.error(late, -32600)
    check(not peer.is_answered(shutdown), "shutdown waits for the apply", peer.all()[-1])
    has_succeeded(peer.result(apply, within=30), "v2", 4)
    check(peer.result(shutdown) is None, "null", peer.answer(shutdown))
    check(
        peer.all().index(peer.answer(apply)) < peer.all().index(peer.answer(shutdown)),
        "the answer to the apply before that to shutdown",
        peer.all()[-2:],
    )
    peer.notify("exit")
    peer.ends_with(0)


@case()
def shutdown_and_exit_in_one_write_with_an_apply_in_flight_lose_nothing(lab):
    peer = lab.open()
    apply, apply_id = peer.request("resource.apply", of(fleet()))
    shutdown, shutdown_id = peer.request("shutdown")
    peer.write(apply + shutdown + notification("exit"))
    peer.ends_with(0)
    has_succeeded(peer.result(apply_id), "v2", 4)
    peer.result(shutdown_id)


@case()
def the_end_of_standard_input_ends_with_0(lab):
    peer = lab.open()
    peer.close()
    peer.ends_with(0)
    silent = lab.start()
    silent.close()
    silent.ends_with(0)


@case()
def the_end_of_standard_input_after_shutdown_ends_with_0(lab):
    peer = lab.open()
    peer.ask("shutdown")
    peer.close()
    peer.ends_with(0)


@case()
def the_end_of_standard_input_lets_an_apply_finish(lab):
    peer = lab.open(SLOW)
    id = peer.call("resource.apply", of(lasting(), progress_token=1))
    peer.under_way(1)
    peer.close()
    peer.ends_with(0, within=30)
    has_succeeded(peer.result(id), "v2", 4)


@case()
def the_end_of_standard_input_waits_for_a_reader_that_is_slow(lab):
    # As in `printf ... | server | less`: the answers exceed what a pipe holds, and are read later.
    peer = lab.open()
    peer.pause_reading()
    ids = [peer.call("provider.schema") for _ in range(40)]
    peer.close()
    time.sleep(8)
    peer.read_on()
    peer.ends_with(0)
    for id in ids:
        peer.result(id)


@case()
def log_messages_come_only_when_asked_for(lab):
    # That there is none otherwise is checked for every line of every case.
    peer = lab.open(log="debug")
    peer.ask("resource.apply", of(fleet()))
    logs = [m for m in peer.all() if m.get("method") == "$/log"]
    check(logs != [], "$/log of an apply at the level debug", "none")
    peer.close()
    peer.ends_with(0)
    quiet = lab.open(log="error")
    quiet.ask("resource.apply", of(fleet("other")))
