"""What the handlers of Auto Scaling's calls share."""

import datetime

from localstack.aws.api import CommonServiceException, RequestContext

from . import mixed
from .cloud import account, now
from .model import Group


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


def policy_of(world, request: dict) -> dict | None:
    """Returns the mixed instances policy of a request, completed."""

    def specification(asked: dict) -> dict:
        return template_of(world, {"LaunchTemplate": asked})

    try:
        return mixed.policy_of(request, specification)
    except ValueError as error:
        raise invalid(str(error)) from None


def instance_of(group: Group, instance_id: str):
    if instance_id not in group.instances:
        raise invalid(f"The instance {instance_id} is not part of Auto Scaling group {group.name}.")
    return group.instances[instance_id]


def moment(at: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(at, datetime.UTC)


def describe_instance(instance) -> dict:
    described = {
        "InstanceId": instance.id,
        "InstanceType": instance.type,
        "AvailabilityZone": instance.zone,
        "LifecycleState": instance.lifecycle,
        "HealthStatus": "Healthy" if instance.healthy else "Unhealthy",
        "LaunchTemplate": dict(instance.template),
        "ProtectedFromScaleIn": instance.protected,
    }
    if instance.weight:
        described["WeightedCapacity"] = str(instance.weight)
    return described


def shown(activity: dict) -> dict:
    """Returns an activity as it is now."""
    answer = dict(activity, StartTime=moment(activity["StartTime"]))
    if activity["EndTime"] <= now():
        answer["EndTime"] = moment(activity["EndTime"])
    else:
        del answer["EndTime"]
        answer["StatusCode"] = "InProgress"
    return answer
