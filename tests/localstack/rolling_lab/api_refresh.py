"""Calls about instance refreshes."""

from localstack.aws.api import CommonServiceException, RequestContext

from . import refresh
from .api import group_of, invalid, moment, policy_of, template_of, world_of
from .cloud import now
from .mixed import choices
from .model import Group
from .refresh import Refresh

MOVING = ("$Latest", "$Default", None)
POLICIES = {
    "ScaleInProtectedInstances": ("Refresh", "Ignore", "Wait"),
    "StandbyInstances": ("Terminate", "Ignore", "Wait"),
}


def fault(code: str, message: str) -> CommonServiceException:
    return CommonServiceException(code, message, 400, True)


def start(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        group = group_of(world, request["AutoScalingGroupName"])
        if request.get("Strategy", "Rolling") != "Rolling":
            raise invalid("The only strategy of the lab is Rolling.")
        if refresh.active(group):
            raise fault(
                "InstanceRefreshInProgress",
                "An Instance Refresh is already in progress and blocks the execution of this "
                "Instance Refresh.",
            )
        desired = request.get("DesiredConfiguration") or None
        wanted = wanted_of(world, desired) if desired else None
        previous = (group.template, group.mixed)
        reversible = wanted is not None and numbered(wanted) and numbered(previous)
        told = preferences(group, request.get("Preferences") or {})
        if told["AutoRollback"] and not reversible:
            raise invalid(
                "AutoRollback needs a desired configuration, and neither it nor the group may use "
                "the launch template's $Latest or $Default version."
            )
        refresh_id = f"08b91cf7-8fa6-48af-b6a6-{len(group.refreshes):012d}"
        refresh.begin(
            group, Refresh(refresh_id, desired, wanted, previous, told, reversible, world.now)
        )
        return {"InstanceRefreshId": refresh_id}


def wanted_of(world, desired: dict) -> tuple[dict | None, dict | None]:
    template, policy = template_of(world, desired), policy_of(world, desired)
    if bool(template) == bool(policy):
        raise invalid("DesiredConfiguration must have a LaunchTemplate or a MixedInstancesPolicy.")
    return template, policy


def numbered(wanted: tuple[dict | None, dict | None]) -> bool:
    """Whether its templates have fixed versions."""
    return all(spec and spec.get("Version") not in MOVING for spec, _, _ in choices(*wanted))


def preferences(group: Group, asked: dict) -> dict:
    """Returns the preferences with their defaults, which the maintenance policy changes."""
    if "MaxHealthyPercentage" in asked and "MinHealthyPercentage" not in asked:
        raise invalid("MaxHealthyPercentage needs MinHealthyPercentage.")
    policy = group.options.get("InstanceMaintenancePolicy") or {}
    if "MinHealthyPercentage" in asked:
        policy = {}
    told = {
        "MinHealthyPercentage": policy.get("MinHealthyPercentage", 90),
        "MaxHealthyPercentage": policy.get("MaxHealthyPercentage", 100),
        "InstanceWarmup": group.options.get("DefaultInstanceWarmup", int(group.grace)),
        "SkipMatching": False,
        "AutoRollback": False,
        "ScaleInProtectedInstances": "Wait",
        "StandbyInstances": "Wait",
    } | asked
    if told["MaxHealthyPercentage"] - told["MinHealthyPercentage"] > 100:
        raise invalid("MaxHealthyPercentage is more than 100 above MinHealthyPercentage.")
    points = told.get("CheckpointPercentages") or []
    if points != sorted(set(points)) or any(not 1 <= point <= 100 for point in points):
        raise invalid("CheckpointPercentages must be unique, ascending and between 1 and 100.")
    if points:
        told.setdefault("CheckpointDelay", 3600)
    elif "CheckpointDelay" in told:
        raise invalid("CheckpointDelay needs CheckpointPercentages.")
    for key, known in POLICIES.items():
        if told[key] not in known:
            raise invalid(f"{key} must be one of {', '.join(known)}")
    return told


def active(group: Group):
    known = refresh.active(group)
    if known is None:
        raise fault(
            "ActiveInstanceRefreshNotFound",
            f"No in progress or pending Instance Refresh found for Auto Scaling group {group.name}",
        )
    return known


def cancel(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        group = group_of(world, request["AutoScalingGroupName"])
        known = active(group)
        if not isinstance(known, Refresh):
            known["Status"] = "Cancelled"
            return {"InstanceRefreshId": known["InstanceRefreshId"]}
        known.status, known.reason = "Cancelling", "Cancelled due to user request."
        if request.get("WaitForTransitioningInstances") is False:
            refresh.end(world, group, known, "Cancelled", known.reason)
        return {"InstanceRefreshId": known.id}


def rollback(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        group = group_of(world, request["AutoScalingGroupName"])
        known = active(group)
        reversible = isinstance(known, Refresh) and known.reversible
        if not reversible or known.status in ("Cancelling", "RollbackInProgress"):
            raise fault(
                "IrreversibleInstanceRefresh",
                "The instance refresh cannot be rolled back: it has no desired configuration, uses "
                "$Latest or $Default, or is being rolled back or cancelled.",
            )
        refresh.roll_back(world, group, known, "Rollback requested by a user.")
        return {"InstanceRefreshId": known.id}


def describe(context: RequestContext, request: dict) -> dict:
    """The newest first."""
    world = world_of(context)
    with world.lock:
        world.advance(now())
        group = group_of(world, request["AutoScalingGroupName"])
        found = [shown(group, entry) for entry in reversed(group.refreshes)]
        ids = request.get("InstanceRefreshIds")
        if ids:
            found = [each for each in found if each["InstanceRefreshId"] in ids]
        size, begin = request.get("MaxRecords") or 50, int(request.get("NextToken") or 0)
        answer = {"InstanceRefreshes": found[begin : begin + size]}
        if len(found) > begin + size:
            answer["NextToken"] = str(begin + size)
        return answer


def shown(group: Group, entry) -> dict:
    if not isinstance(entry, Refresh):
        return entry  # made through the door
    left = entry.whole - entry.updated
    answer = {
        "InstanceRefreshId": entry.id,
        "AutoScalingGroupName": group.name,
        "Status": entry.status,
        "Strategy": "Rolling",
        "StartTime": moment(entry.started),
        "PercentageComplete": entry.percent,
        "InstancesToUpdate": left,
        "Preferences": entry.preferences,
    }
    live = {"PercentageComplete": entry.percent, "InstancesToUpdate": left}
    answer["ProgressDetails"] = {"LivePoolProgress": live}
    if entry.pool_total:
        done = entry.pool_total - entry.pool_left
        pool = {"PercentageComplete": 100 * done // entry.pool_total}
        pool["InstancesToUpdate"] = entry.pool_left
        answer["ProgressDetails"]["WarmPoolProgress"] = pool
    if entry.reason:
        answer["StatusReason"] = entry.reason
    if entry.ended is not None:
        answer["EndTime"] = moment(entry.ended)
    if entry.desired:
        template, policy = entry.wanted
        answer["DesiredConfiguration"] = (
            {"LaunchTemplate": template} if template else {"MixedInstancesPolicy": policy}
        )
    if entry.rollback:
        answer["RollbackDetails"] = rollback_shown(entry.rollback)
    return answer


def rollback_shown(details: dict) -> dict:
    keys = ("RollbackReason", "PercentageCompleteOnRollback", "InstancesToUpdateOnRollback")
    answer = {key: details[key] for key in keys}
    answer["RollbackStartTime"] = moment(details["RollbackStartTime"])
    live = {
        "PercentageComplete": details["PercentageCompleteOnRollback"],
        "InstancesToUpdate": details["InstancesToUpdateOnRollback"],
    }
    answer["ProgressDetailsOnRollback"] = {"LivePoolProgress": live}
    return answer


OVERRIDES = {
    "CancelInstanceRefresh": cancel,
    "DescribeInstanceRefreshes": describe,
    "RollbackInstanceRefresh": rollback,
    "StartInstanceRefresh": start,
}
