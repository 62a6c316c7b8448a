"""Instance refreshes, carried out over time."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from . import mixed
from .state import Group, Instance

ACTIVE = {"Pending", "InProgress", "Baking", "Cancelling", "RollbackInProgress"}
TICK = 0.05
# How long after its process was resumed a refresh goes on.
RESUMES_AFTER = 10.0


@dataclass
class Refresh:
    id: str
    desired: dict | None  # the desired configuration; None: whatever the group's own is
    wanted: tuple[dict | None, dict | None] | None  # its launch template or policy
    previous: tuple[dict | None, dict | None]
    preferences: dict
    reversible: bool
    started: float
    status: str = "Pending"
    reason: str = ""
    ended: float | None = None
    suspended_until: float = 0.0
    launches: tuple[dict | None, dict | None] | None = None  # None: the group's own
    before: set[str] = field(default_factory=set)  # the instances when it began
    old: set[str] = field(default_factory=set)  # those of them that are to be replaced
    total: int = 0
    updated: int = 0
    pool_before: set[str] = field(default_factory=set)
    pool_total: int = 0
    pool_left: int = 0
    checkpoint: int = 0
    paused_until: float | None = None
    baked_at: float = 0.0
    moved_at: float = 0.0  # when it last made progress
    reached: int = 0  # how many it had replaced and launched by then
    ready: int = 0  # new instances that are ready
    held_since: float | None = None  # by instances that are protected or in standby
    rollback: dict | None = None

    @property
    def whole(self) -> int:
        return self.rollback["whole"] if self.rollback else self.total

    @property
    def percent(self) -> int:
        if not self.whole:
            return 100 if self.status == "Successful" else 0
        return int(100 * self.updated / self.whole)


def status_of(entry) -> str:
    """Returns the status of a refresh, or of one that was made through the door."""
    return entry.status if isinstance(entry, Refresh) else entry["Status"]


def active(group: Group):
    last = group.refreshes[-1] if group.refreshes else None
    return last if last is not None and status_of(last) in ACTIVE else None


def moments(world, now: float) -> Iterator[float]:
    """Yields the times to look at up to `now`. What a refresh does depends on what it sees, so it
    has to look often, however rarely this is called."""
    if any(group.refresh for group in world.groups.values()):
        begin = world.now
        ticks = min(int((now - begin) / TICK), 5000)
        for tick in range(1, ticks):
            yield begin + (now - begin) * tick / ticks
    yield now


def begin(group: Group, refresh: Refresh) -> None:
    group.refresh = refresh
    group.refreshes.append(refresh)


def step(world, group: Group) -> bool:
    """Does the next thing of the running refresh, and returns whether there was one."""
    refresh = group.refresh
    if refresh is None:
        return False
    if refresh.status != "Cancelling":
        if "InstanceRefresh" in group.suspended:
            refresh.suspended_until = world.now + RESUMES_AFTER
        if world.now < refresh.suspended_until:
            return False
    if refresh.status == "Pending":
        return choose(world, group, refresh)
    if refresh.status == "Baking":
        return bake(world, group, refresh)
    count(world, group, refresh)
    if refresh.status == "Cancelling":
        return cancel(world, group, refresh)
    return replace(world, group, refresh)


def choose(world, group: Group, refresh: Refresh) -> bool:
    """Chooses what is to be replaced: every instance that does not match."""
    refresh.status, refresh.moved_at = "InProgress", world.now
    refresh.launches = refresh.wanted
    here = [i for i in group.instances.values() if not i.terminating]
    refresh.before = {i.id for i in here}
    stale = [
        i
        for i in here
        if not (refresh.preferences.get("SkipMatching") and mixed.matches(world, group, i))
    ]
    refresh.old = {i.id for i in stale if not i.pool}
    refresh.old -= {i.id for i in stale if ignored(refresh, i)}
    refresh.total = len(refresh.old)
    renew_pool(world, group, refresh, [i for i in stale if i.pool])
    return True


def renew_pool(world, group: Group, refresh: Refresh, stale: list[Instance]) -> None:
    """Replaces all of the pool at once, since it serves no requests."""
    refresh.pool_before = {i.id for i in stale}
    refresh.pool_total = refresh.pool_left = len(stale)
    for instance in stale:
        remove(world, group, instance)


# -- what it sees -------------------------------------------------------------------------


def remaining(group: Group, refresh: Refresh) -> list[Instance]:
    here = group.instances.values()
    return [i for i in here if i.id in refresh.old and not i.terminating]


def new(group: Group, refresh: Refresh) -> list[Instance]:
    return [i for i in group.live() if i.id not in refresh.before]


def is_ready(world, group: Group, refresh: Refresh, instance: Instance) -> bool:
    """Whether it is healthy by the group's own checks and, if it is new, warmed up."""
    if not instance.in_service or instance.terminating or instance.aside:
        return False
    # "By default, Amazon EC2 Auto Scaling ignores the results of the Elastic Load Balancing health
    # checks": user guide, as-add-elb-healthcheck.
    for arn in group.target_groups if "ELB" in group.health_check else ():
        health = world.health(arn, instance.id, True)
        if health is None or health[0] != "healthy":
            return False
    warmup = 0 if instance.id in refresh.before else refresh.preferences["InstanceWarmup"]
    return world.now >= instance.in_service_at + warmup


def ignored(refresh: Refresh, instance: Instance) -> bool:
    told = refresh.preferences
    if instance.aside:
        return told["StandbyInstances"] == "Ignore"
    return instance.protected and told["ScaleInProtectedInstances"] == "Ignore"


def is_waited_for(refresh: Refresh, instance: Instance) -> bool:
    told = refresh.preferences
    if instance.aside:
        return told["StandbyInstances"] == "Wait"
    return instance.protected and told["ScaleInProtectedInstances"] == "Wait"


def count(world, group: Group, refresh: Refresh) -> None:
    """Updates its progress."""
    gone = {i.id for i in remaining(group, refresh) if ignored(refresh, i)}
    refresh.old -= gone
    refresh.total -= len(gone)
    fresh = new(group, refresh)
    ready = sum(is_ready(world, group, refresh, i) for i in fresh)
    replaced = refresh.total - len(remaining(group, refresh))
    # What the group itself replaces as unhealthy is no progress.
    reached = replaced + len(fresh)
    if ready > refresh.ready or reached > refresh.reached or any(i.waits for i in fresh):
        refresh.moved_at = world.now
    refresh.ready, refresh.reached = ready, max(reached, refresh.reached)
    waiting = len(fresh) - ready + max(group.desired - group.units(), 0)
    done = max(replaced - waiting, 0)
    if refresh.status == "RollbackInProgress":
        # A rollback counts down to zero.
        left = math.ceil(refresh.rollback["updated"] * (1 - done / max(refresh.total, 1)))
        refresh.updated = min(refresh.updated, left)
    else:
        refresh.updated = max(refresh.updated, done)
    if refresh.pool_total:
        prepared = sum(
            i.prepared for i in group.instances.values() if i.pool and i.id not in refresh.before
        )
        refresh.pool_left = max(min(refresh.pool_left, refresh.pool_total - prepared), 0)


def stuck(world, group: Group, refresh: Refresh) -> bool:
    """Whether an instance is overdue."""
    unready = [i for i in new(group, refresh) if not is_ready(world, group, refresh, i)]
    if not unready and group.units() >= group.desired:
        return False
    boots = [(i.in_service_at or 0.0) - i.launched for i in unready]
    due = refresh.moved_at + max([world.times["boot"], *boots])
    due += refresh.preferences["InstanceWarmup"]
    due += max((world.register_time(arn) for arn in group.target_groups), default=0.0)
    return world.now >= due + world.times["refresh_gives_up"]


# -- what it does -------------------------------------------------------------------------


def remove(world, group: Group, instance: Instance) -> None:
    cause = (
        f"At {world.stamp(world.now)} an instance was taken out of service in response to an "
        "instance refresh."
    )
    world.terminate(group, instance.id, False, world.now, cause)


def replace(world, group: Group, refresh: Refresh) -> bool:
    if stuck(world, group, refresh):
        return give_up(world, group, refresh, unhealthy(group, refresh))
    left = remaining(group, refresh)
    aside = next((i for i in left if i.aside and not is_waited_for(refresh, i)), None)
    if aside:
        remove(world, group, aside)
        return True
    free = [i for i in left if not is_waited_for(refresh, i)]
    quota = allowed(refresh) - (refresh.total - len(left))
    settled = refresh.ready == len(new(group, refresh)) and group.units() >= group.desired
    if settled and not (free and quota > 0):
        return pause(world, group, refresh, left, quota)
    if refresh.held_since is not None:
        refresh.held_since, refresh.reason = None, ""
    return replace_one(world, group, refresh, free[: max(quota, 0)])


def replace_one(world, group: Group, refresh: Refresh, free: list[Instance]) -> bool:
    """Terminates one of `free` if enough stay healthy, or launches one before it."""
    if not free:
        return False
    told = refresh.preferences
    ready = [i for i in group.live() if is_ready(world, group, refresh, i)]
    needed = math.ceil(group.desired * told["MinHealthyPercentage"] / 100)
    most = math.floor(group.desired * told["MaxHealthyPercentage"] / 100)
    if told["MaxHealthyPercentage"] > 100:
        most = max(most, group.desired + 1)
    # Unhealthy instances cost nothing; and the zones are to stay even.
    zones = [i.zone for i in group.live()]
    victim = min(free, key=lambda i: (i in ready, -zones.count(i.zone), i.launched, i.id))
    stay = sum(i.units for i in ready if i is not victim)
    in_flight = refresh.ready < len(new(group, refresh)) or group.units() < group.desired
    one_at_least = most <= group.desired and not in_flight
    if stay >= needed or victim not in ready or one_at_least:
        remove(world, group, victim)
        return True
    weight = mixed.choose(group)[2] or 1
    surplus = group.units() - group.desired
    # With weights the share may be too small for any: one is launched all the same.
    room = group.units() + weight <= most or not in_flight
    return (
        told["MaxHealthyPercentage"] > 100
        and room
        and surplus < sum(i.units for i in free)
        and world.now >= group.retry_at
        and "Launch" not in group.suspended
        and world.launch(group, weight, world.now)
    )


def allowed(refresh: Refresh) -> int:
    """Returns how many may be replaced up to the present checkpoint."""
    points = refresh.preferences.get("CheckpointPercentages")
    if not points or refresh.rollback:
        return refresh.total
    return math.ceil(refresh.total * points[refresh.checkpoint] / 100)


def pause(world, group: Group, refresh: Refresh, left: list[Instance], quota: int) -> bool:
    """Handles that nothing can be replaced now: it is done, at a checkpoint, or waiting."""
    points = refresh.preferences.get("CheckpointPercentages") or []
    last = refresh.rollback or refresh.checkpoint >= len(points) - 1
    if not left or (quota <= 0 and last):
        return finish(world, group, refresh)
    if quota <= 0:
        return at_checkpoint(world, refresh)
    return wait_for_held(world, group, refresh, left)


def at_checkpoint(world, refresh: Refresh) -> bool:
    if refresh.paused_until is None:
        refresh.paused_until = world.now + refresh.preferences["CheckpointDelay"]
        refresh.reason = (
            f"Waiting {refresh.preferences['CheckpointDelay']} seconds after reaching the "
            f"{refresh.preferences['CheckpointPercentages'][refresh.checkpoint]}% checkpoint."
        )
    if world.now < refresh.paused_until:
        return False
    refresh.paused_until, refresh.reason = None, ""
    refresh.checkpoint += 1
    refresh.moved_at = world.now
    return True


def wait_for_held(world, group: Group, refresh: Refresh, left: list[Instance]) -> bool:
    names = ", ".join(sorted(i.id for i in left))
    refresh.reason = f"Waiting for instances in Standby or protected from scale in: {names}"
    if refresh.held_since is None:
        refresh.held_since = world.now
    if world.now < refresh.held_since + world.times["refresh_waits"]:
        return False
    message = f"Instances stayed in Standby or protected from scale in: {names}"
    return give_up(world, group, refresh, message)


def finish(world, group: Group, refresh: Refresh) -> bool:
    if refresh.pool_left and group.pool:
        return False
    if refresh.rollback:
        refresh.updated = 0
        return end(world, group, refresh, "RollbackSuccessful")
    refresh.updated = refresh.total - len(remaining(group, refresh))
    bakes = refresh.preferences.get("BakeTime")
    if bakes and refresh.status != "Baking":
        refresh.status, refresh.reason = "Baking", ""
        refresh.baked_at = world.now + bakes
        return True
    if refresh.wanted:
        group.template, group.mixed = refresh.wanted
    return end(world, group, refresh, "Successful")


def bake(world, group: Group, refresh: Refresh) -> bool:
    return world.now >= refresh.baked_at and finish(world, group, refresh)


def unhealthy(group: Group, refresh: Refresh) -> str:
    names = ", ".join(sorted(i.id for i in new(group, refresh)))
    return f"Instances did not become healthy within the time allowed: {names or 'none launched'}"


def give_up(world, group: Group, refresh: Refresh, message: str) -> bool:
    if refresh.rollback:
        return end(world, group, refresh, "RollbackFailed", message)
    if refresh.preferences.get("AutoRollback"):
        roll_back(world, group, refresh, message)
        return True
    return end(world, group, refresh, "Failed", message)


def roll_back(world, group: Group, refresh: Refresh, message: str) -> None:
    """Replaces what was launched since it began by what the group had."""
    refresh.rollback = {
        "RollbackReason": message,
        "RollbackStartTime": world.now,
        "PercentageCompleteOnRollback": refresh.percent,
        "InstancesToUpdateOnRollback": refresh.total - refresh.updated,
        "updated": refresh.updated,
        "whole": refresh.total,
    }
    refresh.status, refresh.reason, refresh.moved_at = "RollbackInProgress", message, world.now
    refresh.launches = refresh.previous
    fresh = {i.id for i in group.instances.values() if i.id not in refresh.before}
    refresh.old = {i.id for i in group.live() if i.id in fresh}
    refresh.before = {i.id for i in group.instances.values()}
    refresh.ready, refresh.reached, refresh.total = 0, 0, len(refresh.old)
    refresh.paused_until, refresh.held_since = None, None
    pooled = [i for i in group.instances.values() if i.id in fresh and i.pool and not i.terminating]
    renew_pool(world, group, refresh, pooled)


def cancel(world, group: Group, refresh: Refresh) -> bool:
    """Ends it once what is under way is over."""
    fresh = new(group, refresh)
    if refresh.ready == len(fresh) or stuck(world, group, refresh):
        return end(world, group, refresh, "Cancelled", refresh.reason)
    return False


def end(world, group: Group, refresh: Refresh, status: str, reason: str = "") -> bool:
    """Ends it, and terminates what it launched beyond the size, the unready first."""
    refresh.status, refresh.reason, refresh.ended = status, reason, world.now
    surplus = group.units() - group.desired
    order = sorted(
        group.live(),
        key=lambda i: (is_ready(world, group, refresh, i), i.id not in refresh.old, i.launched),
    )
    for instance in order:
        if instance.units <= surplus:
            surplus -= instance.units
            remove(world, group, instance)
    group.refresh = None
    return True
