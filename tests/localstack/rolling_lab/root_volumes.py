"""Tasks that replace the root volume of a running instance, as a function of time."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from .state import Instance


@dataclass
class Task:
    id: str
    instance: str
    image: str | None
    snapshot: str | None
    deletes: bool  # deletes the replaced volume
    behaviour: str | None  # of the image
    tags: list[dict]
    started: float
    begins: float  # the instance reboots from here on
    fails_at: float  # when it fails, if it does
    ends: float
    reboots: bool = False
    outcome: str | None = None  # once it is over

    def state(self, now: float) -> str:
        if self.outcome:
            return self.outcome
        if now < self.begins:
            return "pending"
        return "failing" if self.behaviour == "fail" and now >= self.fails_at else "in-progress"


@dataclass
class RootVolumes:
    """The tasks of one account and region, in the order in which they were created."""

    tasks: dict[str, Task] = field(default_factory=dict)
    tokens: dict[str, tuple[str, str]] = field(default_factory=dict)  # the request, and its task

    def under_way(self) -> list[Task]:
        return [task for task in self.tasks.values() if task.outcome is None]


def start(world, **about) -> Task:
    whole, at = world.times["root_volume"], world.now
    times = {"begins": at + whole / 4, "fails_at": at + whole * 3 / 4, "ends": at + whole}
    task = Task(started=at, **times, **about)
    world.root_volumes.tasks[task.id] = task
    return task


def moments(world, now: float) -> Iterator[float]:
    """Yields when instances begin and end to reboot up to `now`."""
    for task in world.root_volumes.under_way():
        yield from (at for at in (task.begins, task.ends) if world.now < at < now)


def step(world) -> None:
    for task in world.root_volumes.under_way():
        instance = world.find(task.instance)
        if not task.reboots and task.begins <= world.now:
            task.reboots = True
            if instance:
                world.fall_ill(instance, "reboot", task.begins)
        if task.ends <= world.now:
            end(world, task, instance)


def end(world, task: Task, instance: Instance | None) -> None:
    """Ends a task: the instance runs with the new volume, or with the old one if the image is bad.
    A new volume has nothing of what commands did to the old one."""
    failed = task.behaviour == "fail" or world.cloud.is_down(task.instance)
    task.outcome = "failed" if failed else "succeeded"
    if not failed:
        world.cloud.replace_root_volume(task.instance, task.image, task.snapshot, task.deletes)
    world.tell("root_volume", instance, task.ends, status=task.outcome)
    if instance is None:
        return
    if not failed and task.image:
        # It becomes unhealthy before it recovers from the reboot: it is never healthy in between.
        change = world.fall_ill if task.behaviour == "unhealthy" else world.recover
        change(instance, "image", task.ends)
    if not failed:
        world.recover(instance, "command", task.ends)
    world.recover(instance, "reboot", task.ends)


def boot(world, instance: Instance) -> None:
    """Gives a new instance the behaviour of its image."""
    if world.cloud.image_behaviour(world.cloud.image_of(instance.id)) == "unhealthy":
        instance.ills["image"] = instance.launched
