"""Lines: however they are written, they are read, and a bad one harms no other."""

import json
import time

from harness import case, check, params

PING = b'{"jsonrpc":"2.0","id":%s,"method":"ping"}\n'


def initialize(id=0):
    call = {"jsonrpc": "2.0", "id": id, "method": "initialize"}
    return json.dumps({**call, "params": {"protocol_versions": [1]}}).encode() + b"\n"


@case
def one_shot_pipe(bench):
    """All lines at once, then the end of standard input: all are answered, and the exit is 0."""
    server = bench.start()
    server.raw(initialize() + PING % b"1" + b'{"jsonrpc":"2.0","id":2,"method":"ping"}')
    server.close_stdin()
    check(server.exit_code() == 0, "the end of standard input is an orderly end")
    check(server.result(1) == {} and server.result(2) == {}, "a last line needs no newline")


@case
def end_of_input_finishes_an_apply(bench):
    server = bench.serve()
    id = server.request("resource.apply", params())
    server.close_stdin()
    check(server.result(id)["status"] == "succeeded", "what is in flight is finished")
    check(server.exit_code() == 0, "exit 0")


@case
def malformed_then_valid(bench):
    server = bench.start()
    server.raw(b"{\n" + initialize() + b'{"jsonrpc":"2.0","id":1,"method":\n' + PING % b"2")
    check(server.result(2) == {}, "reading goes on")
    check(server.nameless(2) == [-32700, -32700], "each is answered with -32700 and id null")


@case
def split_writes(bench):
    """Written byte by byte, also in the middle of a character."""
    server = bench.serve()
    line = '{"jsonrpc":"2.0","id":"ä€😀","method":"ping"}\n'.encode()
    for byte in line:
        server.process.stdin.write(bytes([byte]))
        server.process.stdin.flush()
        time.sleep(0.001)
    server.said.append(("->", line.decode()))
    check(server.result("ä€😀") == {}, "an id comes back as it was")


@case
def coalesced_writes(bench):
    server = bench.serve()
    server.raw(b"".join(PING % str(id).encode() for id in range(100, 300)))
    for id in range(100, 300):
        check(server.result(id) == {}, f"ping {id}")


@case
def carriage_returns_and_blank_lines(bench):
    server = bench.serve()
    server.raw(b"\r\n\n  \n" + (PING % b"10").replace(b"\n", b"\r\n") + b"\n" + PING % b"11")
    check(server.result(10) == {} and server.result(11) == {}, "both are answered")
    check(not [m for m in server.messages if m.get("error")], "blank lines are no messages")


@case
def overlong_line(bench):
    server = bench.start()
    server.raw(initialize())
    limit = server.result(0)["capabilities"]["max_message_bytes"]
    server.process.stdin.write(b'{"x":"' + b"x" * (limit + 100) + b'"}\n')
    server.raw(PING % b"1")
    check(server.nameless() == [1003], "1003 with id null")
    check(server.result(1) == {}, "the rest of the line is skipped, and reading goes on")


@case
def longest_line(bench):
    server = bench.start()
    server.raw(initialize())
    limit = server.result(0)["capabilities"]["max_message_bytes"]
    head, tail = b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{}', b"}"
    server.process.stdin.write(head + b" " * (limit - len(head) - len(tail)) + tail + b"\n")
    server.process.stdin.flush()
    server.said.append(("->", '{"id":1}'))
    check(server.result(1) == {}, "a line of max_message_bytes is read")


@case
def invalid_utf8(bench):
    server = bench.serve()
    server.raw(b'{"jsonrpc":"2.0","id":1,"method":"\xff\xfe"}\n\xc3\x28\n' + PING % b"20")
    check(server.nameless(2) == [-32700, -32700], "what is not UTF-8 is not JSON")
    check(server.result(20) == {}, "reading goes on")


@case
def nesting(bench):
    server = bench.serve()
    server.raw(b"[" * 10_000 + b"]" * 10_000 + b"\n" + PING % b"20")
    check(server.nameless()[0] in (-32700, -32600), "too deep is an error")
    check(server.result(20) == {}, "reading goes on")
    deep = {}
    for _ in range(100):
        deep = {"x": deep}
    id = server.request("resource.validate", {"type": "rolling_deployment", "config": deep})
    check(server.result(id)["diagnostics"], "100 deep is read")


@case
def ids(bench):
    server = bench.serve()
    for id in ("", "a", "1", 0, -1, 2**53, -(2**62)):
        server.request("ping", id=id)
        check(server.result(id) == {}, f"id {id!r}")
    for id in ("null", "1.5", "true", "[1]", "{}"):
        server.raw(b'{"jsonrpc":"2.0","id":%s,"method":"ping"}\n' % id.encode())
    check(server.nameless(5) == [-32600] * 5, "an id is a string or a whole number")


@case
def what_is_no_request(bench):
    server = bench.serve()
    lines = [b"[]", b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', b'"ping"', b"7", b"null"]
    for line in lines:
        server.raw(line + b"\n")
    check(server.nameless(5) == [-32600] * 5, "batches and scalars are refused")
    named = [
        b'{"id":30,"method":"ping"}',
        b'{"jsonrpc":"1.0","id":31,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":32}',
        b'{"jsonrpc":"2.0","id":33,"method":7}',
        b'{"jsonrpc":"2.0","id":34,"method":"ping","params":[1]}',
        b'{"jsonrpc":"2.0","id":35,"method":"ping","params":"x"}',
    ]
    for line in named:
        server.raw(line + b"\n")
    for id in range(30, 36):
        check(server.error(id) == -32600, f"-32600 to {id}")
