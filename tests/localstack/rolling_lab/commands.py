"""SSM commands: where they were sent, and how they end there, as a function of time."""

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from .state import Instance

# How an invocation ends: (Status, StatusDetails).
SUCCESS, FAILED = ("Success", "Success"), ("Failed", "Failed")
CANCELLED = ("Cancelled", "Cancelled")
LATE = ("TimedOut", "ExecutionTimedOut")
LOST = ("TimedOut", "DeliveryTimedOut")  # its instance is gone


@dataclass
class Command:
    id: str
    document: str
    version: str  # a number
    behaviour: str | None  # of that version
    steps: list[str]
    request: dict
    sent: float
    expires: float
    invocations: list["Invocation"] = field(default_factory=list)


@dataclass
class Invocation:
    """A command on one instance."""

    number: int  # they are listed from the newest to the oldest
    command: Command
    instance: str
    begins: float
    ends: float
    outcome: tuple[str, str]
    over: bool = False

    def status(self, now: float) -> tuple[str, str]:
        if self.over:
            return self.outcome
        status = "Pending" if now < self.begins else "InProgress"
        return status, status


@dataclass
class Commands:
    """Everything that was sent in one account and region."""

    known: dict[str, Command] = field(default_factory=dict)
    invocations: list[Invocation] = field(default_factory=list)
    under_way: list[Invocation] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    halves: Counter = field(default_factory=Counter)  # by document and version


def is_running(world, instance: Instance | None) -> bool:
    """Whether an operating system is booted to run a command. On an instance that its group
    terminates it runs until the instance is drained and no hook holds it."""
    if instance is None or world.cloud.is_down(instance.id):
        return False
    if instance.terminating and not instance.waits:
        return (instance.drained_at or 0.0) > world.now
    booted = instance.in_service_at is not None and instance.in_service_at <= world.now
    return booted or instance.in_service or instance.aside is not None


def is_online(world, instance: Instance | None) -> bool:
    """Whether Systems Manager knows the instance."""
    unmanaged = world.times["unmanaged"]
    if unmanaged is True or (unmanaged and instance is not None and instance.id in unmanaged):
        return False
    return is_running(world, instance)


def send(world, command: Command, instance_ids: list[str]) -> None:
    known = world.commands
    known.known[command.id] = command
    for instance_id in instance_ids:
        runs, pending = world.times["command"], world.times["command_pending"]
        if pending is None:
            pending = runs / 10
        else:
            runs += pending
        takes = float("inf") if command.behaviour == "hang" else runs
        ends, outcome = command.sent + takes, ending(known, command)
        if ends > command.expires:
            ends, outcome = command.expires, LATE
        invocation = Invocation(
            number=next(known.numbers),
            command=command,
            instance=instance_id,
            begins=command.sent + pending,
            ends=ends,
            outcome=outcome,
        )
        command.invocations.append(invocation)
        known.invocations.append(invocation)
        known.under_way.append(invocation)


def ending(known: Commands, command: Command) -> tuple[str, str]:
    if command.behaviour == "fail-half":
        half = (command.document, command.version)
        known.halves[half] += 1
        return SUCCESS if known.halves[half] % 2 else FAILED
    return FAILED if command.behaviour == "fail" else SUCCESS


def moments(world, now: float) -> Iterator[float]:
    """Yields when commands end up to `now`: their effect on instances shows at that moment."""
    for invocation in world.commands.under_way:
        if world.now < invocation.ends < now:
            yield invocation.ends


def step(world) -> None:
    for invocation in list(world.commands.under_way):
        if invocation.ends > world.now:
            continue
        if invocation.outcome != LATE and not is_running(world, world.find(invocation.instance)):
            # How it ended is never known.
            invocation.ends, invocation.outcome = invocation.command.expires, LOST
        if invocation.ends <= world.now:
            end(world, invocation)


def end(world, invocation: Invocation) -> None:
    """A bad version makes the instance ill; one that is not bad, and succeeds, cures it."""
    world.commands.under_way.remove(invocation)
    invocation.over = True
    command, at, status = invocation.command, invocation.ends, invocation.outcome[0]
    instance = world.find(invocation.instance)
    if status == "Success":
        instance.command = {
            "document": command.document,
            "version": command.version,
            "parameters": command.request.get("Parameters") or {},
        }
    world.tell(
        "command", instance, at, status=status, document=command.document, version=command.version
    )
    if status == "Success" and command.behaviour == "unhealthy":
        world.fall_ill(instance, "command", at)
    elif status == "Success" and command.behaviour is None:
        world.recover(instance, "command", at)


def cancel(world, invocation: Invocation) -> None:
    if not invocation.over:
        invocation.ends, invocation.outcome = world.now, CANCELLED
        end(world, invocation)


def status(command: Command, now: float) -> tuple[str, str]:
    """Returns the status of the whole command: the worst of its ends, once all are over."""
    told = [invocation.status(now) for invocation in command.invocations]
    if any(status in ("Pending", "InProgress") for status, _ in told):
        begun = any(status != "Pending" for status, _ in told)
        return ("InProgress", "InProgress") if begun else ("Pending", "Pending")
    return next(end for end in (FAILED, LATE, LOST, CANCELLED, SUCCESS) if end in told)


def output(invocation: Invocation) -> tuple[str, str]:
    """Returns its standard output and its standard error, which exist once it is over."""
    name = f"{invocation.command.document}: version {invocation.command.version}"
    begun = f"{name}: stopping what ran before\n{name}: starting\n"
    if not invocation.over or invocation.ends < invocation.begins:
        return "", ""
    if invocation.outcome == SUCCESS:
        return f"{begun}{name}: runs\n", ""
    if invocation.outcome == FAILED:
        return begun, f"{name} does not start\nfailed to run commands: exit status 1"
    return ("" if invocation.outcome == LOST else begun), ""
