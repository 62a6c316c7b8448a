"""ELBv2: moto keeps load balancers, listeners and target groups; the model keeps targets."""

from localstack.aws.api import CommonServiceException, RequestContext

from .autoscaling import attach_one, world_of
from .cloud import now

SHIFTED = {
    "AdministrativeOverride": {
        "State": "zonal_shift_active",
        "Reason": "AdministrativeOverride.ZonalShiftActive",
        "Description": "Zonal shift is active",
    }
}
TAG_ALPHABET = set(" _.:/=+-@")


def known_group(world, arn: str):
    group = world.cloud.target_group(arn)
    if group is None:
        raise CommonServiceException(
            "TargetGroupNotFound", f"Target groups '{arn}' not found", 400, True
        )
    attach_one(world, arn)
    return group


def addresses(world, group) -> dict[str, str]:
    """Returns the instance of each address, where the targets of a group are addresses."""
    if group.target_type != "ip":
        return {}
    live = (each for each in world.plain.values() if not each.terminating)
    return {world.cloud.address(each.id): each.id for each in live}


def check_kind(group, target: dict) -> None:
    """Refuses an instance's id in a group of addresses, and the other way round."""
    if (group.target_type == "ip") == target["Id"].startswith("i-"):
        raise CommonServiceException(
            "ValidationError", f"The target '{target['Id']}' is not of the group's type", 400, True
        )


def register(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        arn = request["TargetGroupArn"]
        group = known_group(world, arn)
        known = addresses(world, group)
        # If one is refused, none is registered.
        for target in request["Targets"]:
            check_kind(group, target)
            instance_id = known.get(target["Id"], target["Id"])
            instance = world.find(instance_id)
            waits = instance_id in world.plain and not instance.in_service
            if instance is None or instance.terminating or waits:
                raise CommonServiceException(
                    "InvalidTarget",
                    f"The following targets are not in a running state and cannot be registered: "
                    f"'{target['Id']}'",
                    400,
                    True,
                )
        for target in request["Targets"]:
            instance_id = known.get(target["Id"], target["Id"])
            world.register(arn, instance_id, world.now, port_of(group, target))
    return {}


def deregister(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        arn = request["TargetGroupArn"]
        group = known_group(world, arn)
        known = addresses(world, group)
        for target in request["Targets"]:
            check_kind(group, target)
            instance_id = known.get(target["Id"], target["Id"])
            world.deregister_port(arn, instance_id, world.now, port_of(group, target))
    return {}


def describe_health(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        arn = request["TargetGroupArn"]
        group = known_group(world, arn)
        listed = list(world.targets[arn].registrations)
        known = addresses(world, group)
        names = {instance_id: address for address, instance_id in known.items()}
        wanted = [known.get(it["Id"], it["Id"]) for it in request.get("Targets") or []]
        found = []
        for instance_id in wanted or listed:
            health = world.health(arn, instance_id, bool(group.load_balancer_arns))
            registration = world.targets[arn].registrations.get(instance_id)
            instance = world.find(instance_id)
            away = instance is not None and instance.zone in world.times["zonal_shift"]
            for port in registration.ports if registration else [None]:
                name = names.get(instance_id, instance_id)
                found.append(described(group, name, health, port) | (SHIFTED if away else {}))
        return {"TargetHealthDescriptions": found}


def port_of(group, target: dict) -> int | None:
    """Returns the port that a target names, if it is not the group's own."""
    port = target.get("Port")
    return None if port == int(group.port or 80) else port


def described(
    group, instance_id: str, health: tuple[str, str, str] | None, port: int | None = None
) -> dict:
    """Returns one target of moto's target group; without a health it is not listed there."""
    if health is None:
        health = ("unused", "Target.NotRegistered", "Target is not registered")
    state, reason, description = health
    told = {"State": state}
    if reason:
        told |= {"Reason": reason, "Description": description}
    return {
        "Target": {"Id": instance_id, "Port": int(port or group.port or 80)},
        "HealthCheckPort": str(port or group.port or 80),
        "TargetHealth": told,
    }


def check_tags(request: dict) -> None:
    for tag in request.get("Tags") or []:
        value = tag.get("Value") or ""
        if len(value) > 256 or not all(c.isalnum() or c in TAG_ALPHABET for c in value):
            raise CommonServiceException(
                "ValidationError", f"The tag value '{value}' is not valid", 400, True
            )


OVERRIDES = {
    "DeregisterTargets": deregister,
    "DescribeTargetHealth": describe_health,
    "RegisterTargets": register,
}
CHECKS = {"AddTags": check_tags, "CreateTargetGroup": check_tags, "CreateLoadBalancer": check_tags}
