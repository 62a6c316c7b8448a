"""What the updates of an Elastic Beanstalk environment are made of: commands, and the balancer.

A step is a generator that yields the moment until which it waits (see `beanstalk`).
"""

from collections.abc import Generator

from .beanstalk import Beanstalk, Environment, Server, behaviour_of
from .beanstalk_options import COMMAND

DRAIN = 1.0  # seconds, where `drain` is null
TIMED_OUT = (
    "The following instances have not responded in the allowed command timeout time (they might "
    "still finish eventually on their own): [{}]."
)
OUTPUT = "(TRUNCATED)...npm ERR! code ELIFECYCLE. Hook /opt/elasticbeanstalk/hooks failed."


class Failed(Exception):
    """The deployment has failed, and it has been said why."""


class Aborted(Exception):
    """Somebody has aborted it."""


def ids(servers: list[Server], between: str = ", ") -> str:
    return between.join(server.id for server in servers)


class Steps:
    """The steps of what one call of UpdateEnvironment began."""

    def __init__(self, beanstalk: Beanstalk, environment: Environment, request_id: str):
        self.world, self.times = beanstalk, beanstalk.times
        self.environment = environment
        self.request_id = request_id
        self.before = environment.label
        self.label = environment.label
        self.number = environment.deployments
        self.policy = environment.settings[COMMAND, "DeploymentPolicy"]
        self.takes_back = self.policy in ("Immutable", "TrafficSplitting")
        self.retired: list[Server] = []  # terminated in the clean-up

    # -- words ----------------------------------------------------------------------------

    def say(self, message: str, severity: str = "INFO") -> None:
        self.world.say(self.environment, message, severity, self.request_id, self.label)

    def announce(self, did: str, servers: list[Server], way: str) -> None:
        """Says what enhanced health says, which belongs to no request."""
        many = "s" if len(servers) > 1 else ""
        message = f"{did} instance{many} [{ids(servers)}] {way} your environment."
        self.world.say(self.environment, message)

    # -- steps ----------------------------------------------------------------------------

    def wait(self, seconds: float, abortable: bool = False) -> Generator:
        end = self.world.now + seconds
        while True:
            if abortable and self.environment.aborting:
                raise Aborted
            if self.world.now >= end:
                return
            yield end

    def allowed(self) -> float:
        """Returns the seconds after which a command, or a wait for health, has failed."""
        told = self.times["eb_timeout"]
        own = int(self.environment.settings[COMMAND, "Timeout"]) + 240
        return own if told is None else told

    def behaviour(self, number: int) -> str | None:
        behaviour, first = behaviour_of(self.label)
        return behaviour if number >= first else None

    def leave(self, servers: list[Server]) -> Generator:
        """Takes instances out of the balancer, and waits until they are drained."""
        registered = [s for s in servers if s.registered]
        for server in registered:
            self.world.drain(self.environment, server)
        if registered:
            drain = self.times["drain"]
            yield from self.wait(DRAIN if drain is None else drain)
        for server in registered:
            self.world.tell("deregistered", self.environment, server)

    def command(self, number: int, servers: list[Server]) -> Generator:
        """Deploys the version to instances, all at the same time."""
        environment, behaviour = self.environment, self.behaviour(number)
        began = self.world.now
        batch = {"number": number, "version": self.label, "began": began, "ended": None}
        environment.batches.append(batch | {"instances": [s.id for s in servers]})
        for server in servers:
            if server.healthy:
                server.healthy = False
                self.world.tell("unhealthy", environment, server)
            self.deployment(server, "In Progress", began, number)
            self.world.tell("deploying", environment, server, batch=number, version=self.label)
        if behaviour in ("hang", "late"):
            yield from self.wait(self.allowed(), abortable=True)
            environment.batches[-1]["ended"] = self.world.now
            self.time_out(servers, behaviour == "late")
        seconds = self.times["eb_deploy"] * (5 if behaviour == "slow" else 1)
        yield from self.wait(seconds, abortable=self.takes_back)
        environment.batches[-1]["ended"] = self.world.now
        for server in servers:
            self.end_command(server, "Failed" if behaviour == "bad" else "Deployed")
        if behaviour == "bad":
            self.tell_failed(servers)
            raise Failed

    def deployment(self, server: Server, status: str, began: float, batch: int = 0) -> None:
        server.deployment = {
            "VersionLabel": self.label,
            "DeploymentId": self.number,
            "Status": status,
            "batch": batch,
            "began": began,
            "at": self.world.now,
        }

    def end_command(self, server: Server, status: str) -> None:
        """A command that fails leaves the version before running."""
        began, batch = server.deployment["began"], server.deployment["batch"]
        self.deployment(server, status, began, batch)
        server.error = OUTPUT if status == "Failed" else None
        if status == "Deployed":
            server.label, server.ill = self.label, self.behaviour(batch) == "unhealthy"
        kind = "deployed" if status == "Deployed" else "failed"
        self.world.tell(kind, self.environment, server, version=self.label)
        if server.registered:
            self.world.judge(self.environment, server)

    def tell_failed(self, servers: list[Server]) -> None:
        for server in servers:
            message = f"Command failed on instance {server.id}: Return code: 1 Output: {OUTPUT}"
            self.say(message, "ERROR")
        summary = f"[Successful: 0, Failed: {len(servers)}]"
        self.say(f"Command execution completed on all instances. Summary: {summary}.")
        self.unsuccessful(servers)

    def unsuccessful(self, servers: list[Server]) -> None:
        these = ids(servers, ",")
        message = f"Unsuccessful command execution on instance id(s) '{these}'. "
        self.say(f"{message}Aborting the operation.", "ERROR")

    def time_out(self, servers: list[Server], finish: bool) -> None:
        self.say(TIMED_OUT.format(ids(servers)), "WARN")
        summary = f"[Successful: 0, TimedOut: {len(servers)}]"
        self.say(f"Command execution completed on all instances. Summary: {summary}.")
        self.unsuccessful(servers)
        if finish and not self.takes_back:
            self.world.start(self.environment, self.finish_late(servers))
        raise Failed

    def finish_late(self, servers: list[Server]) -> Generator:
        """Lets commands end that nobody waits for any more, unless another has begun."""
        yield from self.wait(self.times["eb_late"])
        live = self.environment.servers
        done = [s for s in servers if s.id in live and s.deployment["DeploymentId"] == self.number]
        done = [s for s in done if s.deployment["Status"] == "In Progress"]
        for server in done:
            self.end_command(server, "Deployed")
        for server in [s for s in done if not s.registered]:
            self.world.register(self.environment, server)
        yield from self.wait(self.times["register"])
        for server in [s for s in done if s.id in live and s.registered and not s.healthy]:
            self.world.judge(self.environment, server)

    def enter(self, servers: list[Server]) -> Generator:
        """Registers instances, and waits until they are healthy."""
        environment = self.environment
        for server in servers:
            self.world.register(environment, server)
        yield from self.wait(self.times["register"], abortable=self.takes_back)
        for server in servers:
            self.world.judge(environment, server)
        ill = [s for s in servers if s.ill]
        if ill and environment.settings[COMMAND, "IgnoreHealthCheck"] != "true":
            yield from self.wait(self.allowed(), abortable=True)
            message = (
                f"Following instances did not pass health checks in the allowed time: [{ids(ill)}]"
            )
            self.say(f"{message}. Aborting the operation.", "ERROR")
            raise Failed

    def launch(self, count: int, group: str, stay: bool = False) -> Generator:
        """Launches instances, and waits until they are up. Unless they stay, they are terminated at
        the end."""
        servers = [self.world.launch(self.environment, group) for _ in range(count)]
        if not stay:
            self.retired += servers
        yield from self.wait(self.times["boot"], abortable=not stay)
        for server in servers:
            server.booting = False
        self.announce("Added", servers, "to")
        return servers
