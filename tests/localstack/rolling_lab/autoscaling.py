"""Auto Scaling: moto keeps groups, tags and suspended processes; the model keeps instances."""

from localstack.aws.api import CommonServiceException, RequestContext
from localstack.services.moto import call_moto, call_moto_with_request

from . import api_aside, api_refresh, api_warm, warm
from .api import (
    describe_instance,
    group_of,
    instance_of,
    invalid,
    policy_of,
    shown,
    template_of,
    world_of,
)
from .cloud import now
from .model import Group, TargetGroup, stamp

SIZES = ("MinSize", "MaxSize", "DesiredCapacity")
PROCESSES = {
    "Launch", "Terminate", "AddToLoadBalancer", "AlarmNotification", "AZRebalance", "HealthCheck",
    "InstanceRefresh", "ReplaceUnhealthy", "ScheduledActions",
}  # fmt: skip
# What moto does not store, or not when it changes. The lab only shows it.
OPTIONS = ("CapacityRebalance", "DefaultInstanceWarmup", "NewInstancesProtectedFromScaleIn")
# What the model stores, and moto does not get.
OWN = (*OPTIONS, "MixedInstancesPolicy", "InstanceMaintenancePolicy")
NO_MAINTENANCE = {"MinHealthyPercentage": -1, "MaxHealthyPercentage": -1}


def set_options(group: Group, request: dict) -> None:
    """Stores the options of a request that are only shown; -1 removes one."""
    group.options |= {key: request[key] for key in OPTIONS if key in request}
    group.protects = bool(group.options.get("NewInstancesProtectedFromScaleIn"))
    if group.options.get("DefaultInstanceWarmup") == -1:
        del group.options["DefaultInstanceWarmup"]
    maintenance = request.get("InstanceMaintenancePolicy")
    if maintenance:
        group.options["InstanceMaintenancePolicy"] = dict(maintenance)
    if maintenance == NO_MAINTENANCE:
        del group.options["InstanceMaintenancePolicy"]


def check_maintenance(policy: dict) -> None:
    least, most = policy.get("MinHealthyPercentage"), policy.get("MaxHealthyPercentage")
    if policy == NO_MAINTENANCE:
        return
    if least is None or most is None or not 0 <= least <= 100 <= most <= 200:
        raise invalid(
            "You must specify MinHealthyPercentage between 0 and 100 and MaxHealthyPercentage "
            "between 100 and 200."
        )
    if most - least > 100:
        raise invalid(
            "The difference between MinHealthyPercentage and MaxHealthyPercentage cannot be "
            "greater than 100."
        )


def create(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        minimum, maximum = request["MinSize"], request["MaxSize"]
        desired = request.get("DesiredCapacity", minimum)
        if not minimum <= desired <= maximum:
            raise invalid("Desired capacity must be between the specified min size and max size")
        policy = policy_of(world, request)
        check_maintenance(request.get("InstanceMaintenancePolicy") or NO_MAINTENANCE)
        empty = dict(request, MinSize=0, DesiredCapacity=0)
        call_moto_with_request(context, empty)
        name = request["AutoScalingGroupName"]
        fake = world.cloud.autoscaling.autoscaling_groups[name]
        for arn in fake.target_group_arns:
            attach_one(world, arn)
        zones = sorted(fake.availability_zones)
        group = Group(
            name=name,
            minimum=minimum,
            maximum=maximum,
            desired=desired,
            template=template_of(world, request),
            health_check=request.get("HealthCheckType") or "EC2",
            grace=float(request.get("HealthCheckGracePeriod") or 0),
            zones=zones,
            target_groups=list(fake.target_group_arns),
            mixed=policy,
        )
        set_options(group, request)
        for hook in request.get("LifecycleHookSpecificationList") or []:
            api_aside.set_hook(group, hook)
        world.groups[name] = group
        if group.template or group.mixed:
            world.advance(now())
    return {}


def attach_one(world, arn: str) -> TargetGroup:
    known = world.cloud.target_group(arn)
    if known is None:
        raise invalid(f"Provided Target Group '{arn}' does not exist")
    return world.targets.setdefault(arn, TargetGroup(arn=arn, name=known.name))


def update(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        group = group_of(world, request["AutoScalingGroupName"])
        minimum = request.get("MinSize", group.minimum)
        maximum = request.get("MaxSize", group.maximum)
        desired = request.get("DesiredCapacity", group.desired)
        if "DesiredCapacity" in request and not minimum <= desired <= maximum:
            raise invalid(
                f"Desired capacity:{desired} must be between the specified min size:{minimum} "
                f"and max size:{maximum}"
            )
        template, policy = template_of(world, request), policy_of(world, request)
        check_maintenance(request.get("InstanceMaintenancePolicy") or NO_MAINTENANCE)
        if template and policy:
            raise invalid(
                "Valid requests must contain either LaunchTemplate, LaunchConfigurationName or "
                "MixedInstancesPolicy parameter."
            )
        if (template or policy) and group.refresh and group.refresh.desired:
            raise invalid(
                "An active instance refresh with a desired configuration exists. All configuration "
                "options derived from the desired configuration are not available for update while "
                "the instance refresh is active."
            )
        set_options(group, request)
        rest = {key: value for key, value in request.items() if key not in SIZES + OWN}
        if set(rest) - {"AutoScalingGroupName", "LaunchTemplate"}:
            call_moto_with_request(context, rest)
        if template or policy:
            group.template, group.mixed = template, policy
        group.minimum, group.maximum = minimum, maximum
        # A maximum below the size lowers it, a minimum above raises it.
        group.desired = max(min(desired, maximum), minimum)
        group.health_check = request.get("HealthCheckType") or group.health_check
        group.grace = float(request.get("HealthCheckGracePeriod", group.grace))
        world.shrink(group)
        world.advance(now())
    return {}


def set_desired(context: RequestContext, request: dict) -> dict:
    sizes = {
        "AutoScalingGroupName": request["AutoScalingGroupName"],
        "DesiredCapacity": request["DesiredCapacity"],
    }
    return update(context, sizes)


def delete(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        group = group_of(world, request["AutoScalingGroupName"])
        if group.instances and not request.get("ForceDelete"):
            raise CommonServiceException(
                "ResourceInUse",
                "You cannot delete an AutoScalingGroup while there are instances or pending "
                "Spot instance request(s) still in the group.",
                400,
                True,
            )
        for instance in list(group.instances.values()):
            world.cloud.terminate(instance.id)
            for target_group in world.targets.values():
                target_group.registrations.pop(instance.id, None)
        del world.groups[group.name]
        call_moto(context)
    return {}


def describe(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        answer = call_moto(context)
        for described in answer.get("AutoScalingGroups", []):
            group = world.groups.get(described["AutoScalingGroupName"])
            if group is None:
                continue
            described.update(MinSize=group.minimum, MaxSize=group.maximum)
            described["DesiredCapacity"] = group.desired
            if group.template:
                described["LaunchTemplate"] = dict(group.template)
            described.pop("MixedInstancesPolicy", None)
            if group.mixed:
                described.pop("LaunchTemplate", None)
                described["MixedInstancesPolicy"] = group.mixed
            if group.pool:
                described["WarmPoolConfiguration"] = warm.described(group)
                described["WarmPoolSize"] = len(warm.members(group))
            # Only DescribeWarmPool shows those of the pool.
            described["Instances"] = [
                describe_instance(i) for i in group.instances.values() if not i.pool
            ]
            described["SuspendedProcesses"] = [
                {"ProcessName": name, "SuspensionReason": "User suspended"}
                for name in sorted(group.suspended)
            ]
            described.update(group.options)
            described.update(group.shown)
        return answer


def terminate(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        wanted = request["InstanceId"]
        group = next((g for g in world.groups.values() if wanted in g.instances), None)
        if group is None:
            raise invalid(f"Instance Id not found - No managed instance found for {wanted}")
        decrement = bool(request.get("ShouldDecrementDesiredCapacity"))
        instance = group.instances[wanted]
        if instance.pool:
            raise invalid(f"The instance {wanted} is in the warm pool of {group.name}.")
        if not instance.terminating:
            counted = not (instance.pool or instance.aside)
            if decrement and counted and group.desired - instance.units < group.minimum:
                raise invalid(
                    f"Currently, desiredSize equals minSize ({group.minimum}). Terminating "
                    "instance without replacement will violate group's min size constraint. "
                    "Either set shouldDecrementDesiredCapacity flag to false or lower group's "
                    "min size."
                )
            cause = (
                f"At {stamp(world.now)} instance {wanted} was taken out of service in response "
                "to a user request"
            )
            world.terminate(group, wanted, decrement, world.now, cause)
        activity = next(a for a in group.activities if a["Description"].endswith(wanted))
        return {"Activity": shown(activity)}


def detach(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        group = group_of(world, request["AutoScalingGroupName"])
        wanted = request.get("InstanceIds") or []
        for instance_id in wanted:
            instance = instance_of(group, instance_id)
            if instance.lifecycle not in ("InService", "Standby"):
                raise invalid(
                    f"The instance {instance_id} is not in InService or Standby or EnteringStandby."
                )
        for instance_id in wanted:
            world.detach(
                group, instance_id, bool(request["ShouldDecrementDesiredCapacity"]), world.now
            )
        return {"Activities": []}


def suspend(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        group = group_of(world, request["AutoScalingGroupName"])
        group.suspended |= set(request.get("ScalingProcesses") or PROCESSES)
    return {}


def resume(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        group = group_of(world, request["AutoScalingGroupName"])
        group.suspended -= set(request.get("ScalingProcesses") or PROCESSES)
        world.advance(now())
    return {}


def activities(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        name = request.get("AutoScalingGroupName")
        groups = [g for g in world.groups.values() if name in (None, g.name)]
        found = [a for group in groups for a in group.activities]
        size = request.get("MaxRecords") or 100
        start = int(request.get("NextToken") or 0)
        answer = {"Activities": [shown(a) for a in found[start : start + size]]}
        if len(found) > start + size:
            answer["NextToken"] = str(start + size)
        return answer


def attach_target_groups(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        group = group_of(world, request["AutoScalingGroupName"])
        call_moto(context)
        for arn in request["TargetGroupARNs"]:
            attach_one(world, arn)
            if arn not in group.target_groups:
                group.target_groups.append(arn)
                for instance in group.live():
                    if instance.in_service:
                        world.register(arn, instance.id, world.now)
    return {}


OVERRIDES = (
    api_aside.OVERRIDES
    | api_refresh.OVERRIDES
    | api_warm.OVERRIDES
    | {
        "AttachLoadBalancerTargetGroups": attach_target_groups,
        "CreateAutoScalingGroup": create,
        "DeleteAutoScalingGroup": delete,
        "DescribeAutoScalingGroups": describe,
        "DescribeScalingActivities": activities,
        "DetachInstances": detach,
        "ResumeProcesses": resume,
        "SetDesiredCapacity": set_desired,
        "SuspendProcesses": suspend,
        "TerminateInstanceInAutoScalingGroup": terminate,
        "UpdateAutoScalingGroup": update,
    }
)
