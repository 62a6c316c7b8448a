"""Lifecycle hooks: which hold an instance on its way into service or out of it, and until when."""

from .state import Group, Instance

LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
NEVER = float("inf")


def of(group: Group, transition: str) -> list[dict]:
    return [hook for hook in group.hooks.values() if hook["LifecycleTransition"] == transition]


def timeout(world, hook: dict) -> float:
    told = world.times["hook_timeout"]
    return float(hook["HeartbeatTimeout"] if told is None else told)


def passed(world, group: Group, instance: Instance, transition: str, due: float) -> float | None:
    """Returns when the instance, which reached a transition at `due`, is past its hooks; None while
    one of them holds it, or if one abandoned it."""
    if not instance.asked:
        instance.asked = True
        holding = of(group, transition)
        instance.waits = {h["LifecycleHookName"]: due + timeout(world, h) for h in holding}
        instance.passed_at = None if holding else due
        if holding:
            instance.activity["EndTime"] = NEVER
            world.tell("waiting", instance, due)
    for name, until in sorted(instance.waits.items(), key=lambda each: each[1]):
        if until <= world.now and name in instance.waits:
            hook = group.hooks.get(name, {})
            complete(world, group, instance, name, hook.get("DefaultResult", "ABANDON"), until)
    return instance.passed_at


def complete(world, group: Group, instance: Instance, name: str, result: str, at: float) -> None:
    """Completes one hook of an instance. An abandoned launch is terminated and replaced; a
    termination goes on either way, but abandoning it skips the other hooks."""
    if result == "ABANDON" and not instance.terminating:
        abandon(world, group, instance, name, at)
        return
    if result == "ABANDON":
        instance.waits.clear()
    else:
        del instance.waits[name]
    if not instance.waits:
        instance.proceeds = True
        instance.passed_at = at + world.times["proceed"]


def abandon(world, group: Group, instance: Instance, name: str, at: float) -> None:
    late = instance.waits[name] <= at
    why = "Heartbeat Timeout Elapsed" if late else "Lifecycle Action Completed with ABANDON Result"
    instance.activity.update(
        EndTime=at,
        StatusCode="Cancelled",
        StatusMessage="Instance failed to complete user's Lifecycle Action: Lifecycle Action of "
        f"{name} was abandoned: {why}",
    )
    cause = f"an instance was taken out of service in response to a launch that {name} abandoned."
    world.terminate(group, instance.id, False, at, cause)


def ended(instance: Instance, at: float) -> None:
    """Ends the activity of an instance that hooks held."""
    if instance.activity and instance.activity["EndTime"] == NEVER:
        instance.activity["EndTime"] = at


def beat(world, group: Group, instance: Instance, name: str) -> None:
    """Lets the hook hold the instance for another whole timeout."""
    instance.waits[name] = world.now + timeout(world, group.hooks[name])


def drop(world, group: Group, name: str) -> None:
    """Deletes a hook: launching instances that it holds are abandoned, terminating ones go on."""
    for instance in list(group.instances.values()):
        if name in instance.waits:
            result = "CONTINUE" if instance.terminating else "ABANDON"
            complete(world, group, instance, name, result, world.now)
    group.hooks.pop(name, None)
