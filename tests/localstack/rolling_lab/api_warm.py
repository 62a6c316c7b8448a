"""Calls about warm pools."""

from localstack.aws.api import RequestContext

from . import warm
from .api import describe_instance, group_of, invalid, world_of
from .cloud import now
from .model import Group
from .state import WarmPool

STATES = ("Stopped", "Running", "Hibernated")


def put(context: RequestContext, request: dict) -> dict:
    """Keeps what the request leaves out; a capacity of -1 removes the limit."""
    world = world_of(context)
    with world.lock:
        world.advance(now())
        group = group_of(world, request["AutoScalingGroupName"])
        state = request.get("PoolState") or (group.pool.state if group.pool else "Stopped")
        if state not in STATES:
            raise invalid(f"PoolState must be one of {', '.join(STATES)}")
        pool = group.pool or WarmPool()
        if pool.deleting:
            raise invalid(f"The warm pool of {group.name} is being deleted.")
        pool.state = state
        pool.minimum = request.get("MinSize", pool.minimum)
        pool.reuse = request.get("InstanceReusePolicy", pool.reuse)
        most = request.get("MaxGroupPreparedCapacity", pool.most)
        pool.most = None if most == -1 else most
        group.pool = pool
        world.advance(now())
    return {}


def pool_of(group: Group) -> WarmPool:
    if group.pool is None:
        raise invalid(f"No warm pool found for Auto Scaling group {group.name}")
    return group.pool


def describe(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        group = group_of(world, request["AutoScalingGroupName"])
        if group.pool is None:
            return {"Instances": []}
        instances = [describe_instance(i) for i in group.instances.values() if i.pool]
        return {"WarmPoolConfiguration": warm.described(group), "Instances": instances}


def delete(context: RequestContext, request: dict) -> dict:
    """Terminates its instances: at once if forced, otherwise as usual."""
    world = world_of(context)
    with world.lock:
        world.advance(now())
        group = group_of(world, request["AutoScalingGroupName"])
        pool_of(group).deleting = True
        if request.get("ForceDelete"):
            for instance in [i for i in group.instances.values() if i.pool]:
                world.cloud.terminate(instance.id)
                world.tell("terminated", instance, world.now)
                del group.instances[instance.id]
            group.pool = None
        world.advance(now())
    return {}


OVERRIDES = {"DeleteWarmPool": delete, "DescribeWarmPool": describe, "PutWarmPool": put}
