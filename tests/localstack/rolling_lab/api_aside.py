"""Calls about instances that are in a lifecycle hook, set aside, or protected."""

from localstack.aws.api import RequestContext

from . import hooks
from .api import group_of, instance_of, invalid, shown, world_of
from .cloud import now
from .model import Group

LONGEST = 172_800  # seconds for which hooks may hold an instance


def set_hook(group: Group, request: dict) -> None:
    """Makes a hook, or changes it as the request says."""
    name = request["LifecycleHookName"]
    hook = group.hooks.get(name) or {
        "LifecycleHookName": name,
        "AutoScalingGroupName": group.name,
        "HeartbeatTimeout": 3600,
        "DefaultResult": "ABANDON",
    }
    told = {key: value for key, value in request.items() if value is not None}
    hook = hook | told | {"AutoScalingGroupName": group.name}
    if hook.get("LifecycleTransition") not in (hooks.LAUNCHING, hooks.TERMINATING):
        raise invalid(f"LifecycleTransition must be {hooks.LAUNCHING} or {hooks.TERMINATING}")
    if hook["DefaultResult"] not in ("CONTINUE", "ABANDON"):
        raise invalid("DefaultResult must be CONTINUE or ABANDON")
    hook["GlobalTimeout"] = min(LONGEST, 100 * hook["HeartbeatTimeout"])
    group.hooks[name] = hook


def put_hook(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        set_hook(group_of(world, request["AutoScalingGroupName"]), request)
    return {}


def describe_hooks(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        known = group_of(world, request["AutoScalingGroupName"]).hooks
        names = request.get("LifecycleHookNames")
        return {"LifecycleHooks": [h for n, h in known.items() if not names or n in names]}


def hook_of(group: Group, request: dict) -> str:
    name = request["LifecycleHookName"]
    if name not in group.hooks:
        raise invalid(f"No Lifecycle Hook found with name {name} in group {group.name}")
    return name


def delete_hook(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        group = group_of(world, request["AutoScalingGroupName"])
        hooks.drop(world, group, hook_of(group, request))
        world.advance(now())
    return {}


def in_lifecycle_hook(world, request: dict):
    """Returns the group, the instance and the hook that holds it."""
    group = group_of(world, request["AutoScalingGroupName"])
    name = hook_of(group, request)
    wanted = request.get("InstanceId")
    instance = group.instances.get(wanted)
    if instance is None or name not in instance.waits:
        raise invalid(f"No active Lifecycle Action found with instance ID {wanted}")
    return group, instance, name


def complete(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        group, instance, name = in_lifecycle_hook(world, request)
        result = request["LifecycleActionResult"]
        if result not in ("CONTINUE", "ABANDON"):
            raise invalid("Lifecycle Action Result must be CONTINUE or ABANDON")
        hooks.complete(world, group, instance, name, result, world.now)
    return {}


def beat(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        group, instance, name = in_lifecycle_hook(world, request)
        hooks.beat(world, group, instance, name)
    return {}


def chosen(group: Group, request: dict, state: str) -> list:
    """Returns the instances of a request, all of which must be in that state."""
    instances = [instance_of(group, wanted) for wanted in request.get("InstanceIds") or []]
    for instance in instances:
        if instance.lifecycle != state:
            raise invalid(f"The instance {instance.id} is not in {state}.")
    return instances


def enter_standby(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        group = group_of(world, request["AutoScalingGroupName"])
        instances = chosen(group, request, "InService")
        decrement = bool(request["ShouldDecrementDesiredCapacity"])
        units = sum(i.units for i in instances)
        if decrement and group.desired - units < group.minimum:
            raise invalid(sizes(group, f"To place into standby {len(instances)} instance(s)"))
        for instance in instances:
            world.enter_standby(group, instance.id, decrement, world.now)
        activities = [moved(world, group, i, "Moving EC2 instance to Standby") for i in instances]
        world.advance(now())
        return {"Activities": activities}


def exit_standby(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        group = group_of(world, request["AutoScalingGroupName"])
        instances = chosen(group, request, "Standby")
        if group.desired + sum(i.units for i in instances) > group.maximum:
            raise invalid(sizes(group, f"To move out of standby {len(instances)} instance(s)"))
        for instance in instances:
            world.exit_standby(group, instance.id, world.now)
        activities = [
            moved(world, group, i, "Moving EC2 instance out of Standby") for i in instances
        ]
        return {"Activities": activities}


def sizes(group: Group, aim: str) -> str:
    return (
        f"AutoScalingGroup {group.name} has min-size={group.minimum}, max-size={group.maximum}, "
        f"and desired-size={group.desired}. {aim}, please update the AutoScalingGroup sizes "
        "appropriately."
    )


def moved(world, group: Group, instance, message: str) -> dict:
    cause = (
        f"At {world.stamp(world.now)} instance {instance.id} was moved in response to a user "
        "request."
    )
    end = max(instance.aside_at, world.now)
    message = f"{message}: {instance.id}"
    return shown(world.record(group, world.now, end, "Successful", message, cause, ""))


def protect(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        group = group_of(world, request["AutoScalingGroupName"])
        instances = [instance_of(group, wanted) for wanted in request["InstanceIds"]]
        for instance in instances:
            if instance.pool or instance.terminating:
                raise invalid(
                    f"The instance {instance.id} is not in InService or EnteringStandby or Standby."
                )
        for instance in instances:
            instance.protected = bool(request["ProtectedFromScaleIn"])
    return {}


OVERRIDES = {
    "CompleteLifecycleAction": complete,
    "DeleteLifecycleHook": delete_hook,
    "DescribeLifecycleHooks": describe_hooks,
    "EnterStandby": enter_standby,
    "ExitStandby": exit_standby,
    "PutLifecycleHook": put_hook,
    "RecordLifecycleActionHeartbeat": beat,
    "SetInstanceProtection": protect,
}
