"""What cases use: a folder with servers in it, and simulated fleets to roll."""

import fcntl
import os
import pathlib
import signal
import threading
import time

from peer import PATIENCE, Peer
from rules import check

KIND = "rolling_deployment"
FAST = 2000
"""Simulated seconds a second: a rollout takes about one."""
SLOW = 20
"""At this speed a rollout takes long enough to do something to it meanwhile."""
SIDE_BY_SIDE = 8
"""Where two processes meet. One tells by its clock whether the other still lives; a busy machine
must not make it look dead, so their clocks are not much faster than ours."""

CASES = []


def case(limit=40):
    """Registers a function as a case, which may take `limit` seconds."""

    def register(function):
        topic = function.__module__
        function.title = "%s: %s" % (topic, function.__name__.replace("_", " "))
        function.limit = limit
        CASES.append(function)
        return function

    return register


class Lab:
    """The surroundings of one case."""

    def __init__(self, command, folder, log_env):
        self.command = command
        self.folder = folder
        self.log_env = log_env
        self.peers = []
        self.over = False
        self._lock = threading.Lock()

    def start(self, env=None, socket_out=False):
        """Starts a server, without a request yet. All servers of a case share a folder, and with
        it the simulated fleets."""
        # The surrounding environment must not change what the server does.
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("AWS_") and name != "RUST_LOG"
        }
        clean.update({"AWS_EC2_METADATA_DISABLED": "true"}, **(env or {}))
        with self._lock:
            check(not self.over, "the case ends in time", "it took too long")
            name = "server-%d" % (len(self.peers) + 1)
            peer = Peer(self.command, self.folder, name, clean, socket_out)
            self.peers.append(peer)
        return peer

    def open(self, speed=FAST, log=None, **start):
        """Starts a server and initializes it, with its simulator at `speed`."""
        peer = self.start(**start)
        params = {"protocol_versions": [1], "client": {"name": "conformance", "version": "1"}}
        if log:
            params["capabilities"] = {"log": log}
        peer.greeting = peer.ask("initialize", params)
        self.set_speed(peer, speed)
        return peer

    def set_speed(self, peer, speed):
        result = peer.ask("provider.configure", {"config": {"simulator": {"speed": speed}}})
        check(result.get("diagnostics") == [], "no diagnostics", result)

    def freeze(self, peer):
        """Stops a server as its host might, but not in the moment in which it writes a fleet's
        file: nobody else could read that until it goes on."""
        while True:
            peer.signal(signal.SIGSTOP)
            os.waitid(os.P_PID, peer.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            if all(is_unlocked(path) for path in pathlib.Path(self.folder).rglob("*.lock")):
                return
            check(not self.over, "a moment in which it writes no file", "it took too long")
            peer.signal(signal.SIGCONT)
            time.sleep(0.02)

    def end(self):
        """Ends every server, when the case ends or runs out of time."""
        with self._lock:
            self.over = True
            for peer in self.peers:
                peer.discard()

    def expire(self):
        """Ends only the processes: whatever waits for them goes on, and fails."""
        with self._lock:
            self.over = True
            for peer in self.peers:
                peer.process.kill()


def is_unlocked(path):
    with open(path, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def fleet(name="web", revision="v2", instances=4, batch=1, drain=None, on_failure=None, **more):
    """A configuration of a simulated fleet that is rolled `batch` at a time."""
    target = dict({"name": name, "revision": revision, "instances": instances}, **more)
    if drain:
        target["target_groups"] = [{"name": "web", "drain": drain}]
    # The server runs by the simulator's clock: a second's delay on a busy machine is many minutes
    # there. Nothing must count as failed because of that.
    config = {
        "policy": "rolling",
        "batch_size_type": "fixed",
        "batch_size": batch,
        "health": {"healthy_timeout": "10h"},
        "simulated_fleet": target,
    }
    if on_failure:
        config["on_failure"] = on_failure
    return config


def stuck(name="web", revision="v2", **more):
    """A rollout whose first batch drains for half a minute of real time at the speed SLOW, so
    that a case can rely on its being under way."""
    return fleet(name, revision, drain="10m", **more)


def lasting(name="web", revision="v2"):
    """A rollout of one batch that takes some seconds at the speed SLOW, and ends by itself."""
    return fleet(name, revision, batch=4, drain="40s")


def failing(name="web", **more):
    """A rollout to v2, which is bad and soon given up at the speed FAILING."""
    config = fleet(name, bad_revisions={"v2": "unhealthy"}, **more)
    config["health"] = {"healthy_timeout": "20m"}
    return config


FAILING = 1000


def of(config, **params):
    """Parameters of a request about `config`."""
    return dict({"type": KIND, "config": config}, **params)


def about(prior, **params):
    """Parameters of a request about a state."""
    return dict({"type": KIND, "prior": prior}, **params)


def is_whole(state, revision, size):
    """Checks that by this state the whole fleet runs `revision` and serves."""
    instances = state.get("instances") or []
    whole = len(instances) == size and all(
        i["revision"] == revision and i["serves"] for i in instances
    )
    check(whole, "%d instances on %s that serve" % (size, revision), state)


def has_succeeded(result, revision, size):
    check(result.get("status") == "succeeded", "status succeeded", result)
    check(errors(result) == [], "no error among the diagnostics", result)
    is_whole(result["state"], revision, size)


def was_stopped(result):
    """Checks the answer to an operation that was stopped while under way."""
    check(result.get("status") == "aborted", "status aborted", result)
    check(isinstance(result.get("state"), dict), "the state as it is now", result)
    check(result["state"].get("status") == "aborted", "a state that says aborted", result)
    check(errors(result) != [], "a diagnostic that says why", result)


def errors(result):
    """Returns the diagnostics that are errors; each must have all its parts."""
    found = result.get("diagnostics")
    check(isinstance(found, list), "a list of diagnostics", result)
    for one in found:
        right = (
            one.get("severity") in ("error", "warning")
            and isinstance(one.get("pointer"), str)
            and isinstance(one.get("summary"), str)
            and (one.get("remedy") is None or isinstance(one["remedy"], str))
        )
        check(right, "severity, pointer, summary and remedy", one)
    return [one for one in found if one["severity"] == "error"]


def status(peer, config):
    result = peer.ask("resource.status", of(config))
    check(errors(result) == [], "no error among the diagnostics", result)
    return result


def until(expected, found, within=PATIENCE):
    """Calls `found` until it returns something, and returns that."""
    end = time.monotonic() + within
    while True:
        value = found()
        if value:
            return value
        check(time.monotonic() < end, "%s within %g s" % (expected, within), value)
        time.sleep(0.1)


def serving(peer, config):
    """The ids of the instances that serve."""
    return sorted(i["id"] for i in status(peer, config)["instances"] if i["serves"])
