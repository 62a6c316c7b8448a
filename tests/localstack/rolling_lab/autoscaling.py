"""Auto Scaling: moto keeps groups, tags and suspended processes; the model keeps instances."""

import datetime

from localstack.aws.api import CommonServiceException, RequestContext
from localstack.services.moto import call_moto, call_moto_with_request

from .cloud import account, now
from .model import Group, TargetGroup, stamp

SIZES = ("MinSize", "MaxSize", "DesiredCapacity")
PROCESSES = {
    "Launch", "Terminate", "AddToLoadBalancer", "AlarmNotification", "AZRebalance", "HealthCheck",
    "InstanceRefresh", "ReplaceUnhealthy", "ScheduledActions",
}  # fmt: skip


def invalid(message: str) -> CommonServiceException:
    return CommonServiceException("ValidationError", message, 400, True)


def world_of(context: RequestContext):
    world = account(context.account_id).world(context.region)
    return world


def group_of(world, name: str) -> Group:
    if name not in world.groups:
        raise invalid(f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")
    return world.groups[name]


def template_of(world, request: dict) -> dict | None:
    template = request.get("LaunchTemplate")
    if not template:
        return None
    known = world.cloud.template(template)
    version = template.get("Version") or "$Default"
    known.get_version(version)
    return {
        "LaunchTemplateId": known.id,
        "LaunchTemplateName": known.name,
        "Version": version,
    }


def create(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        minimum, maximum = request["MinSize"], request["MaxSize"]
        desired = request.get("DesiredCapacity", minimum)
        if not minimum <= desired <= maximum:
            raise invalid("Desired capacity must be between the specified min size and max size")
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
        )
        world.groups[name] = group
        if group.template:
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
        template = template_of(world, request)
        rest = {key: value for key, value in request.items() if key not in SIZES}
        if set(rest) - {"AutoScalingGroupName", "LaunchTemplate"}:
            call_moto_with_request(context, rest)
        group.template = template or group.template
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
            for arn in group.target_groups:
                world.targets[arn].registrations.pop(instance.id, None)
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
            described["Instances"] = [describe_instance(i) for i in group.instances.values()]
            described["SuspendedProcesses"] = [
                {"ProcessName": name, "SuspensionReason": "User suspended"}
                for name in sorted(group.suspended)
            ]
            described.update(group.shown)
        return answer


def describe_instance(instance) -> dict:
    return {
        "InstanceId": instance.id,
        "InstanceType": "t3.micro",
        "AvailabilityZone": instance.zone,
        "LifecycleState": instance.lifecycle,
        "HealthStatus": "Healthy" if instance.healthy else "Unhealthy",
        "LaunchTemplate": dict(instance.template),
        "ProtectedFromScaleIn": instance.protected,
    }


def terminate(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        wanted = request["InstanceId"]
        group = next((g for g in world.groups.values() if wanted in g.instances), None)
        if group is None:
            raise invalid(f"Instance Id not found - No managed instance found for {wanted}")
        decrement = bool(request.get("ShouldDecrementDesiredCapacity"))
        if not group.instances[wanted].terminating:
            if decrement and group.desired - 1 < group.minimum:
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
            instance = group.instances.get(instance_id)
            if instance is None:
                raise invalid(
                    f"The instance {instance_id} is not part of Auto Scaling group {group.name}."
                )
            if instance.lifecycle not in ("InService", "Standby"):
                raise invalid(
                    f"The instance {instance_id} is not in InService or Standby or "
                    "EnteringStandby."
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


def shown(activity: dict) -> dict:
    def moment(at):
        return datetime.datetime.fromtimestamp(at, datetime.UTC)

    answer = dict(activity, StartTime=moment(activity["StartTime"]))
    if activity["EndTime"] <= now():
        answer["EndTime"] = moment(activity["EndTime"])
    else:
        del answer["EndTime"]
        answer["StatusCode"] = "InProgress"
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


def refreshes(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        group = group_of(world, request["AutoScalingGroupName"])
        return {"InstanceRefreshes": list(reversed(group.refreshes))}


def start_refresh(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        group = group_of(world, request["AutoScalingGroupName"])
        refresh_id = f"08b91cf7-8fa6-48af-b6a6-{len(group.refreshes):012d}"
        refresh = {
            "InstanceRefreshId": refresh_id,
            "AutoScalingGroupName": group.name,
            "Status": "InProgress",
        }
        group.refreshes.append(refresh)
        return {"InstanceRefreshId": refresh_id}


OVERRIDES = {
    "AttachLoadBalancerTargetGroups": attach_target_groups,
    "CreateAutoScalingGroup": create,
    "DeleteAutoScalingGroup": delete,
    "DescribeAutoScalingGroups": describe,
    "DescribeInstanceRefreshes": refreshes,
    "DescribeScalingActivities": activities,
    "DetachInstances": detach,
    "ResumeProcesses": resume,
    "SetDesiredCapacity": set_desired,
    "StartInstanceRefresh": start_refresh,
    "SuspendProcesses": suspend,
    "TerminateInstanceInAutoScalingGroup": terminate,
    "UpdateAutoScalingGroup": update,
}
