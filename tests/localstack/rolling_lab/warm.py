"""The warm pool: instances that have booted, and wait outside the group's capacity."""

from . import hooks
from .state import Group, Instance


def size(group: Group) -> int:
    """Returns how many units the pool wants: none if it is being deleted."""
    pool = group.pool
    if pool.deleting:
        return 0
    most = group.maximum if pool.most is None else pool.most
    return max(most - group.desired, pool.minimum, 0)


def members(group: Group) -> list[Instance]:
    return [i for i in group.instances.values() if i.pool and not i.terminating]


def take(world, group: Group, at: float) -> Instance | None:
    """Takes an instance of the pool into the group, for the emptiest zone. It keeps the template
    that it was made with, and boots in a tenth of the time. None if none is prepared."""
    ready = [i for i in members(group) if i.prepared]
    if not ready or group.pool.deleting:
        return None
    zones = [i.zone for i in group.live()]
    instance = min(ready, key=lambda i: (zones.count(i.zone), i.launched, i.id))
    if instance.pool != "Running":
        world.cloud.start(instance.id)
    instance.pool, instance.prepared = None, False
    instance.forget_hooks()
    instance.in_service_at = at + world.boot_time(instance.behaviour) / 10
    world.tell("taken", instance, at)
    cause = (
        f"At {world.stamp(at)} an instance was started in response to a difference between "
        "desired and actual capacity, increasing the capacity."
    )
    message = f"Launching a new EC2 instance from warm pool: {instance.id}"
    instance.activity = world.record(
        group, at, instance.in_service_at, "Successful", message, cause, ""
    )
    return instance


def prepare(world, instance: Instance, at: float) -> None:
    """Gives an instance that is booted and past its hooks the state that the pool keeps."""
    instance.prepared = True
    instance.proceeds = False
    hooks.ended(instance, at)
    if instance.pool != "Running":
        world.cloud.stop(instance.id)
    world.tell("warmed", instance, at)


def settle(world, group: Group) -> bool:
    """Fills the pool, or empties it to its size, the oldest template first."""
    if group.pool is None:
        return False
    have = members(group)
    wanted = size(group)
    units = sum(i.units for i in have)
    changed = False
    for instance in sorted(have, key=lambda i: (int(i.template["Version"]), i.launched, i.id)):
        if units - instance.units >= wanted and "Terminate" not in group.suspended:
            cause = f"At {world.stamp(world.now)} a warm pool instance was not needed any more."
            world.terminate(group, instance.id, False, world.now, cause)
            units -= instance.units
            changed = True
    if "Launch" not in group.suspended and world.now >= group.retry_at:
        while units < wanted:
            made = world.start(group, world.now, group.pool.state)
            if made is None:
                break
            units += made.units
            changed = True
    if group.pool.deleting and not any(i.pool for i in group.instances.values()):
        group.pool = None
    return changed


def described(group: Group) -> dict:
    pool = group.pool
    answer = {"MinSize": pool.minimum, "PoolState": pool.state}
    if pool.most is not None:
        answer["MaxGroupPreparedCapacity"] = pool.most
    if pool.reuse:
        answer["InstanceReusePolicy"] = pool.reuse
    if pool.deleting:
        answer["Status"] = "PendingDelete"
    return answer
