"""Tests what rolling_client.py offers beyond what deploy.py shows."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from rolling_client import RollingClient, RollingError


def request(name):
    fleet = {"name": name, "revision": "v2"}
    health = {"healthy_timeout": "1h"}  # At this speed that is two seconds.
    config = {"policy": "all_at_once", "health": health, "simulated_fleet": fleet}
    return {"type": "rolling_deployment", "prior": None, "config": config}


def raised(call, *arguments):
    try:
        call(*arguments)
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def configured(speed):
    client = RollingClient()
    client.call("provider.configure", {"config": {"simulator": {"speed": speed}}})
    return client


client = configured(2000)
assert client.about["protocol_version"] == 1

# Many threads at once: each gets its own answer and its own progress.
told = {name: [] for name in "abcdef"}


def apply(name):
    return client.call("resource.apply", request(name), told[name].append)


with ThreadPoolExecutor(len(told)) as pool:
    results = dict(zip(told, pool.map(apply, told)))
for name, result in results.items():
    assert result["state"]["id"] == f"simulated:{name}", result
    assert [progress["sequence"] for progress in told[name]] == list(range(len(told[name])))
    assert told[name][-1]["events"][-1]["event"]["type"] == "finished", told[name][-1]

# A fault has its code and its data.
error = raised(client.call, "resource.dance")
assert isinstance(error, RollingError) and error.code == -32601, error
error = raised(client.call, "resource.apply", {**request("a"), "private": {"plan_hash": "0"}})
assert error.code == 1006 and error.data["planned"] == "0", error

# close returns the exit code, also the second time; after it no call is possible.
assert client.close() == 0 == client.close()
raised(client.call, "ping")

# close waits for the calls in flight; an exception cancels them.
client = configured(2000)
last = client.start("resource.apply", request("g"))
assert client.close() == 0 and last.result()["status"] == "succeeded"
begun = threading.Event()


def acts(progress):
    # Before anything is done, there would be nothing to tell.
    if any(event["event"]["type"] == "acted" for event in progress["events"]):
        begun.set()


def leave():
    with configured(20) as client:
        leave.call = client.start("resource.apply", request("h"), acts)
        begun.wait()
        raise KeyError("something else")


assert isinstance(raised(leave), KeyError)
assert leave.call.result()["status"] == "aborted"


# An exception in on_progress reaches the caller; the server, which nobody reads any more, stops.
def unable(progress):
    raise ValueError("cannot show this")


client = configured(20)
assert isinstance(raised(client.call, "resource.apply", request("i"), unable), ValueError)
assert client.close() == 0

# Every waiting caller is told that the server has died.
error = raised(RollingClient, [sys.executable, "-c", "pass"])
assert isinstance(error, ConnectionError), error
