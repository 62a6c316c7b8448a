"""Lines in, lines out: what is a message, and what happens to other lines."""

import json
import time

from lab import FAST, case, fleet, has_succeeded, is_whole, of, status
from peer import encode, notification
from rules import check, key

INITIALIZE = {"protocol_versions": [1]}


@case()
def all_lines_of_a_pipe_are_answered_before_the_end(lab):
    peer = lab.start()
    configure = {"config": {"simulator": {"speed": FAST}}}
    lines = [
        peer.request("initialize", INITIALIZE),
        peer.request("provider.configure", configure),
        peer.request("ping"),
        peer.request("resource.plan", of(fleet("planned"))),
        peer.request("resource.apply", of(fleet(), progress_token="pipe")),
    ]
    peer.write(b"".join(line for line, _ in lines))
    peer.close()
    peer.ends_with(0)
    for _, id in lines:
        peer.result(id)
    has_succeeded(peer.result(lines[-1][1]), "v2", 4)


@case()
def a_malformed_line_is_answered_and_the_next_one_read(lab):
    peer = lab.open()
    for bad in [
        b"{",
        b"nonsense",
        b'{"jsonrpc":"2.0","id":1,"method":"ping"',
        b'"',
        b"{}}",
        b'{"jsonrpc":"2.0","id":1,"method":"ping"} {"again":1}',
        b"\x00",
        b"NaN",
    ]:
        peer.write(bad + b"\n")
        peer.fault(-32700)
        peer.ask("ping")


@case()
def a_message_is_read_however_its_bytes_are_split(lab):
    peer = lab.open()
    id = "caf\u00e9 \u65e5\u672c \U0001f40e"
    line, _ = peer.request("ping", id=id)
    for n, at in enumerate(range(1, len(line))):
        peer.write(line[:at])
        time.sleep(0.001)  # so that it is read separately
        peer.write(line[at:])
        peer.answer(id, nth=n)


@case()
def a_message_is_read_byte_by_byte(lab):
    peer = lab.open()
    line, id = peer.request("ping", id="\u00fc\U0001f40e")
    for at in range(len(line)):
        peer.write(line[at : at + 1])
        time.sleep(0.001)
    peer.result(id)


@case()
def messages_in_one_write_are_all_answered(lab):
    peer = lab.open()
    lines = [peer.request("ping") for _ in range(200)]
    last, last_id = peer.request("ping", id="the one that is cut")
    peer.write(b"".join(line for line, _ in lines) + last[:20])
    for _, id in lines:
        peer.result(id)
    peer.write(last[20:])
    peer.result(last_id)


@case()
def a_line_over_the_limit_is_answered_and_skipped_to_its_end(lab):
    peer = lab.open()
    limit = peer.greeting["capabilities"]["max_message_bytes"]
    line, id = peer.request("ping", id="in a line too long")
    peer.write(line[:-1] + b" " * (limit + 1 - len(line[:-1])) + b"\n")
    peer.fault(1003)
    peer.write(b"x" * (limit + 100000) + b"\n")
    peer.fault(1003)
    peer.ask("ping")
    check(not peer.is_answered(id), "no answer to a line that is too long", peer.all()[-1])


@case()
def a_line_exactly_at_the_limit_is_read(lab):
    peer = lab.open()
    limit = peer.greeting["capabilities"]["max_message_bytes"]
    line, id = peer.request("ping", id="just short enough")
    peer.write(line[:-1] + b" " * (limit - len(line[:-1])) + b"\n")
    peer.result(id)
    peer.ask("ping")


@case()
def a_line_that_is_not_utf_8_is_answered_and_the_next_one_read(lab):
    peer = lab.open()
    for bad in [b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xf0\x9f\x90"]:
        peer.write(b'{"jsonrpc":"2.0","id":"' + bad + b'","method":"ping"}\n')
        peer.fault(-32700)
    peer.ask("ping")


@case()
def a_line_may_end_with_a_carriage_return(lab):
    peer = lab.open()
    line, id = peer.request("ping")
    peer.write(line[:-1] + b"\r\n")
    peer.result(id)
    peer.write(b"{\r\n")
    peer.fault(-32700)


@case()
def blank_lines_are_ignored(lab):
    peer = lab.open()
    before = len(peer.all())
    peer.write(b"\n\n\r\n   \n\t\n")
    peer.ask("ping")
    check(len(peer.all()) == before + 1, "nothing but the answer to ping", peer.all()[before:])


@case()
def white_space_around_and_in_a_message_is_no_matter(lab):
    peer = lab.open()
    peer.write(b' \t{ "method" : "ping" , "id" : "a" ,\t"jsonrpc" : "2.0" }  \n')
    peer.ask("ping")
    check(not [m for m in peer.all() if "error" in m], "no error", peer.all()[-1])


@case()
def nesting_of_ten_thousand_is_an_error_and_no_crash(lab):
    peer = lab.open()
    for deep in [b"[" * 10000 + b"]" * 10000, b"[" * 10000, b'{"a":' * 10000]:
        peer.write(deep + b"\n")
        peer.fault(-32700)
        inside = b'{"jsonrpc":"2.0","id":"deep","method":"ping","params":{"x":' + deep + b"}}\n"
        peer.write(inside)
        peer.fault(-32700)
    peer.ask("ping")


@case()
def nesting_of_one_hundred_is_read_and_of_two_hundred_refused(lab):
    peer = lab.open()

    def apply(depth):
        # The message and its params are two levels; any JSON may be a token.
        nested = "[" * (depth - 2) + "]" * (depth - 2)
        params = of(fleet("deep-%d" % depth), progress_token=json.loads(nested))
        return params["progress_token"], peer.call("resource.apply", params)

    token, id = apply(100)
    has_succeeded(peer.result(id), "v2", 4)
    check(peer.progress(token) != [], "progress with the token as it was given", peer.all())
    apply(200)
    peer.fault(-32700)
    peer.ask("ping")


@case()
def ids_come_back_as_they_were(lab):
    peer = lab.open()
    ids = [
        0,
        -1,
        -7,
        2**31,
        2**53 - 1,
        -(2**53 - 1),
        2**63 - 1,
        -(2**63),
        "",
        "a",
        "0",
        "1.5",
        "null",
        'q"\\/\b\n\t\u0001',
        "\u2028\u65e5\U0001f40e",
        "x" * 5000,
    ]
    for id in ids:
        peer.call("ping", id=id)
    for id in ids:
        peer.result(id)


@case()
def ids_of_other_types_are_refused(lab):
    peer = lab.open()
    for id in ["null", "1.5", "true", "false", "[]", "[1]", "{}", '{"a":1}']:
        peer.write(b'{"jsonrpc":"2.0","id":%s,"method":"ping"}\n' % id.encode())
        peer.fault(-32600)
    peer.ask("ping")


@case()
def a_number_is_whole_however_it_is_written(lab):
    peer = lab.open()
    for id in ["7.0", "1e3"]:
        peer.write(b'{"jsonrpc":"2.0","id":%s,"method":"ping"}\n' % id.encode())
        peer.result(json.loads(id))


@case()
def what_an_error_quotes_is_shortened(lab):
    peer = lab.open()
    long = "x" * 1_000_000
    config = fleet()
    for method, params in [
        ("ping", {long: 1}),
        (long, {}),
        ("resource.plan", dict(of(config), type=long)),
        ("resource.plan", of(dict(config, **{long: 1}))),
        ("resource.plan", of(dict(config, policy=long))),
    ]:
        answer = peer.answer(peer.call(method, params))
        size = len(json.dumps(answer))
        check(size < 50_000, "an answer that is short", "%d characters" % size)


@case()
def a_number_and_its_text_are_two_ids(lab):
    peer = lab.open()
    lines = [
        peer.request("resource.plan", of(fleet("a%d" % n)), id=id)[0]
        for n, id in enumerate([70, "70"])
    ]
    peer.write(b"".join(lines))
    peer.result(70)
    peer.result("70")


@case()
def what_is_json_but_no_request_is_refused(lab):
    peer = lab.open()
    for bad in [
        1,
        "ping",
        None,
        True,
        {},
        {"id": None},
        {"jsonrpc": "2.0"},
        {"jsonrpc": "2.0", "method": 1},
        {"method": "ping"},
    ]:
        peer.write(encode(bad))
        peer.fault(-32600)
    for n, bad in enumerate(
        [
            {},
            {"jsonrpc": "2.0"},
            {"jsonrpc": "2.0", "method": None},
            {"jsonrpc": "1.0", "method": "ping"},
            {"method": "ping"},
            {"jsonrpc": 2.0, "method": "ping"},
        ]
    ):
        peer.write(encode(dict(bad, id="bad-%d" % n)))
        peer.error("bad-%d" % n, -32600)
    peer.ask("ping")


@case()
def a_key_that_is_there_twice_is_refused(lab):
    peer = lab.open()
    for inner in ['"method":"ping","method":"ping"', '"method":"ping","params":{"a":1,"a":2}']:
        peer.write(('{"jsonrpc":"2.0","id":"twice",%s}\n' % inner).encode())
        peer.error("twice", -32600)
    peer.ask("ping")


@case()
def a_batch_is_refused_as_a_whole(lab):
    peer = lab.open()
    one, id = peer.request("ping", id="in a batch")
    for batch in [[], [json.loads(one)], [json.loads(one), json.loads(one)], [1]]:
        peer.write(encode(batch))
        peer.fault(-32600)
    peer.ask("ping")
    check(not peer.is_answered(id), "nothing of a batch is carried out", peer.all()[-1])


@case()
def unknown_notifications_are_ignored(lab):
    peer = lab.open()
    before = len(peer.all())
    peer.write(
        notification("$/unknown", {"a": 1})
        + notification("textDocument/didOpen")
        + notification("ping")
        + notification("$/progress", {"token": 1})
    )
    peer.ask("ping")
    check(len(peer.all()) == before + 1, "nothing but the answer to ping", peer.all()[before:])


@case()
def an_apply_without_an_id_is_none(lab):
    peer = lab.open()
    before = len(peer.all())
    peer.notify("resource.apply", of(fleet()))
    peer.ask("ping")
    check(len(peer.all()) == before + 1, "nothing but the answer to ping", peer.all()[before:])
    is_whole(status(peer, fleet()), "v1", 4)


@case()
def what_the_server_is_told_in_many_languages_comes_back_whole(lab):
    peer = lab.open()
    token = {"caf\u00e9": ["\u65e5\u672c", "\U0001f40e", "\u0000\u001f\u007f", '\\ " /']}
    id = peer.call("resource.apply", of(fleet(), progress_token=token))
    has_succeeded(peer.result(id), "v2", 4)
    tokens = {key(params["token"]) for params in peer.progress(token)}
    check(tokens == {key(token)}, "progress with the token as it was given", peer.all())


@case()
def stray_writes_to_file_descriptor_1_do_not_reach_the_protocol(lab):
    # The server may load code, or start children, that print. Its standard output is a pipe
    # here, as always in this suite. Two things are covered: debug logs go to standard error (the
    # envelope check finds anything else on standard output); and, on a system with /proc, whatever
    # opens descriptor 1 of the running server, as a child would inherit it, writes to standard
    # error, too.
    peer = lab.open(env=lab.log_env)
    try:
        with open("/proc/%d/fd/1" % peer.process.pid, "ab", buffering=0) as stray:
            stray.write(b"a stray line\n")
        was_written = True
    except OSError:
        was_written = False  # another system than Linux
    has_succeeded(peer.ask("resource.apply", of(fleet(), progress_token=1)), "v2", 4)
    peer.close()
    peer.ends_with(0)
    noise = peer.standard_error()
    if lab.log_env:
        check(noise != b"", "logs on standard error", "nothing")
    if was_written:
        check(b"a stray line" in noise, "a stray line on standard error", noise)
