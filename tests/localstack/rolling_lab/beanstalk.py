"""Elastic Beanstalk's environments, their instances and events, as a function of time.

Like the rest of the model it does nothing by itself. What takes time is a generator that yields the
moment until which it waits; `Beanstalk.advance(now)` resumes each at exactly its moment.
"""

import copy
import re
import secrets
from collections.abc import Generator
from dataclasses import dataclass, field

from . import beanstalk_health

SEVERITIES = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
PAST = 2_000  # states that are kept of an environment
TIMES = {
    "eb_deploy": 2.0,  # seconds that a command runs on an instance
    "eb_settings": 3.0,
    "eb_cleanup": 2.0,
    "eb_health": 10.0,  # how far health, and what it says of deployments, lags
    "eb_events": 0.0,  # how long an event does not show
    "eb_timeout": None,  # seconds that a command has; None: its option Timeout, and 240
    "eb_late": 5.0,  # seconds from there to the end of a command that is late
    "eb_abortable": 0.0,  # how long after its beginning an update cannot be aborted yet
    "eb_evaluation": None,  # None: the option EvaluationTime
    "label_after_failure": "new",
    "label_meanwhile": "new",  # of what Beanstalk may take back
    "abort_request_id": "update",
}


@dataclass
class Version:
    application: str
    label: str
    status: str
    made: float
    description: str | None = None
    bundle: dict | None = None


@dataclass
class Server:
    """An instance of an environment."""

    id: str
    zone: str
    group: str  # its Auto Scaling group
    launched: float
    type: str = "t3.micro"
    label: str | None = None  # the version that it runs
    deployment: dict | None = None  # the last one to it; replaced, never changed
    booting: bool = False
    registered: bool = False
    healthy: bool = False  # in the balancer's eyes
    ill: bool = False  # with this version it never becomes healthy
    error: str | None = None  # why the last command failed

    @property
    def serves(self) -> bool:
        return self.registered and self.healthy


@dataclass
class Environment:
    name: str
    id: str
    application: str
    tier: str
    label: str
    settings: dict[tuple[str, str], str]
    made: float
    updated: float
    expected: tuple[str, int]  # the last version that was deployed successfully, and its deployment
    enhanced: bool = True
    status: str = "Ready"
    abortable: bool = False
    aborting: bool = False
    pending: dict | None = None  # settings on their way
    servers: dict[str, Server] = field(default_factory=dict)
    deployments: int = 1
    traffic: int | None = None  # percent that the new instances get while they are evaluated
    batches: list[dict] = field(default_factory=list)  # of the last deployment
    least: int = 0  # since the last update began: how many served
    most: int = 0  # and how many there were
    request_id: str | None = None  # of the last update
    shown: dict = field(default_factory=dict)  # merged into its description
    managed: list[dict] = field(default_factory=list)

    @property
    def group(self) -> str:
        return f"awseb-{self.id}-stack-AWSEBAutoScalingGroup-QSB2ZO88SXZT"

    def option(self, namespace: str, name: str) -> str:
        return self.settings[f"aws:{namespace}", name]

    def serving(self) -> int:
        return sum(server.serves for server in self.servers.values())


@dataclass(eq=False)
class Process:
    environment: Environment
    steps: Generator
    at: float


class Beanstalk:
    """The environments of one account and region."""

    def __init__(self, world):
        self.world = world
        self.now = 0.0
        self.environments: dict[str, Environment] = {}
        self.versions: dict[tuple[str, str], Version] = {}
        self.events: list[dict] = []
        self.processes: list[Process] = []
        self.history: dict[str, list[tuple[float, Environment]]] = {}  # by id
        self.updates: dict[str, Process] = {}  # the one that an environment carries out
        self.health_told: dict[str, str] = {}

    @property
    def times(self) -> dict:
        return self.world.times

    # -- time -----------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        while due := [each for each in self.processes if each.at <= now]:
            process = min(due, key=lambda each: each.at)
            self.now = max(self.now, process.at)
            try:
                process.at = next(process.steps)
            except StopIteration:
                self.processes.remove(process)
            self.keep(process.environment)
        self.now = max(self.now, now)

    def start(self, environment: Environment, steps: Generator) -> Process:
        """Lets something begin now."""
        process = Process(environment, steps, self.now)
        self.processes.append(process)
        return process

    def abort(self, environment: Environment) -> None:
        """Lets what is under way find out that it is aborted."""
        environment.status, environment.abortable, environment.aborting = "Aborting", False, True
        self.updates[environment.id].at = self.now
        self.advance(self.now)

    def keep(self, environment: Environment) -> None:
        """Keeps the environment as it is now, and tells of its health when that has changed."""
        state = copy.copy(environment)
        state.servers = {i: copy.copy(server) for i, server in environment.servers.items()}
        past = self.history.setdefault(environment.id, [])
        past.append((self.now, state))
        del past[:-PAST]
        environment.least = min(environment.least, environment.serving())
        environment.most = max(environment.most, len(environment.servers))
        if environment.enhanced and environment.servers:
            self.tell_health(environment)

    def tell_health(self, environment: Environment) -> None:
        status, causes = beanstalk_health.of_environment(environment)
        before = self.health_told.get(environment.id, "Ok")
        self.health_told[environment.id] = status
        if status != before:
            words = [f"Environment health has transitioned from {before} to {status}.", *causes]
            severity = "INFO" if status in ("Ok", "Info") else "WARN"
            self.say(environment, " ".join(words), severity, late=self.times["eb_health"])

    def past(self, environment: Environment, at: float) -> Environment:
        """Returns the environment as it was then."""
        states = self.history[environment.id]
        return next((state for since, state in reversed(states) if since <= at), states[0][1])

    # -- what is told ---------------------------------------------------------------------

    def say(
        self,
        environment: Environment,
        message: str,
        severity: str = "INFO",
        request_id: str | None = None,
        label: str | None = None,
        late: float = 0.0,
    ) -> None:
        self.events.append(
            {
                "at": int((self.now + late) * 1000) / 1000,  # as precise as it is shown
                "number": len(self.events),
                "message": message,
                "severity": severity,
                "request_id": request_id,
                "label": label,
                "environment": environment,
            }
        )

    def tell(self, kind: str, environment: Environment, server: Server, **more) -> None:
        """Adds to the timeline. The balancer goes by the environment's name."""
        self.world.timeline.append(
            {
                "at": self.now,
                "kind": kind,
                "instance": server.id,
                "target_group": environment.name,
                "revision": server.label,
            }
            | more
        )

    # -- instances ------------------------------------------------------------------------

    def launch(self, environment: Environment, group: str) -> Server:
        zones = {f"us-east-1{zone}": 0 for zone in "abc"}
        for server in environment.servers.values():
            if server.group == group:
                zones[server.zone] += 1
        zone = min(zones, key=lambda each: zones[each])
        server = Server(f"i-0{secrets.token_hex(8)}", zone, group, launched=self.now, booting=True)
        environment.servers[server.id] = server
        self.tell("launched", environment, server)
        return server

    def register(self, environment: Environment, server: Server) -> None:
        server.registered = True
        self.tell("registered", environment, server)

    def judge(self, environment: Environment, server: Server) -> None:
        """Lets the balancer find out how a registered instance is."""
        server.healthy = not server.ill
        self.tell("healthy" if server.healthy else "unhealthy", environment, server)

    def drain(self, environment: Environment, server: Server) -> None:
        """Takes it out of the balancer; it finishes its requests."""
        if server.registered:
            server.registered = server.healthy = False
            self.tell("draining", environment, server)

    def terminate(self, environment: Environment, server: Server) -> None:
        if environment.servers.pop(server.id, None):
            self.tell("terminating", environment, server)
            self.tell("terminated", environment, server)


def behaviour_of(label: str) -> tuple[str | None, int]:
    """Returns what a version's label says of it, and from which batch on it is so."""
    found = re.search(r"-(bad|unhealthy|slow|hang|late)(\d*)$", label)
    return (found[1], int(found[2] or 1)) if found else (None, 1)


def status_of(label: str) -> str:
    """Returns the status of a version with this label."""
    known = ("Failed", "Processing", "Building", "Unprocessed")
    return next((each for each in known if label.endswith(f"-{each.lower()}")), "Processed")
