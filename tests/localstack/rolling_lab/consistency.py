"""Eventual consistency: what was made or changed less than `unseen` seconds ago does not show yet.

The time `unseen` switches it on. Groups and the health of targets, which have a history of their
own, lag by the fault `lag`. `before` runs ahead of every service, `after` behind it.
"""

from dataclasses import dataclass, field

from localstack.aws.api import CommonServiceException
from localstack.aws.protocol.serializer import create_serializer

from .cloud import account, now

PROFILE = "Invalid IAM Instance Profile name"


@dataclass
class Change:
    at: float
    place: tuple[str, str]  # the resource, and the key of its tag or attribute
    was: str | None  # None: it was not there


@dataclass
class Past:
    """What changed lately in one world."""

    changes: list[Change] = field(default_factory=list)
    versions: dict[tuple[str, int], float] = field(default_factory=dict)  # when they were made

    def note(self, at: float, resource: str, key: str, was: str | None) -> None:
        self.changes.append(Change(at, (resource, key), was))

    def shown(self, resource: str, values: dict[str, str], since: float) -> dict[str, str]:
        """Returns the values as they were at `since`."""
        values = dict(values)
        for change in reversed(self.changes):
            if change.at <= since:
                break
            if change.place[0] != resource:
                continue
            if change.was is None:
                values.pop(change.place[1], None)
            else:
                values[change.place[1]] = change.was
        return values


_pasts: dict[int, Past] = {}


def past_of(world) -> Past:
    return _pasts.setdefault(id(world), Past())


def world_of(context):
    if context.service is None or context.operation is None or context.is_internal_call:
        return None
    world = account(context.account_id).world(context.region)
    return world if world.times["unseen"] else None


def is_young(world, at: float | None) -> bool:
    return at is not None and now() - at < world.times["unseen"]


# -- in front of the services -------------------------------------------------------------


def before(_chain, context, _response) -> None:
    world = world_of(context)
    if world is None:
        return
    note = {
        "CreateTags": note_tags,
        "DeleteTags": note_tags,
        "AddTags": note_elb_tags,
        "RemoveTags": note_elb_tags,
        "ModifyTargetGroupAttributes": note_attributes,
        "DescribeLaunchTemplateVersions": refuse_version,
        "RunInstances": refuse_launch,
        "UpdateAutoScalingGroup": refuse_profile,
        "StartInstanceRefresh": refuse_profile,
        "RegisterTargets": refuse_targets,
    }.get(context.operation.name)
    if note:
        note(world, past_of(world), context.service_request or {})


def note_tags(world, past: Past, request: dict) -> None:
    for resource in request.get("Resources") or []:
        had = world.cloud.ec2.tags.get(resource, {})
        for tag in request.get("Tags") or []:
            past.note(now(), resource, tag["Key"], had.get(tag["Key"]))


def note_elb_tags(world, past: Past, request: dict) -> None:
    keys = [tag["Key"] for tag in request.get("Tags") or []] + (request.get("TagKeys") or [])
    for arn in request.get("ResourceArns") or []:
        had = world.cloud.elb.tagging_service.get_tag_dict_for_resource(arn)
        for key in keys:
            past.note(now(), arn, key, had.get(key))


def note_attributes(world, past: Past, request: dict) -> None:
    arn = request["TargetGroupArn"]
    had = world.cloud.target_group(arn).attributes
    for attribute in request.get("Attributes") or []:
        past.note(now(), arn, attribute["Key"], had.get(attribute["Key"]))


def refuse_version(world, past: Past, request: dict) -> None:
    """Refuses a version that is asked for by number and does not show yet."""
    template = known_template(world, request)
    for version in request.get("Versions") or []:
        number = int(version) if version.isdigit() else None
        if template and is_young(world, past.versions.get((template.id, number))):
            raise CommonServiceException(
                "InvalidLaunchTemplateId.VersionNotFound",
                f"Could not find launch template version {version} for {template.id}",
                400,
                True,
            )


def refuse_launch(world, past: Past, request: dict) -> None:
    template = request.get("LaunchTemplate") or {}
    refuse_version(world, past, template | {"Versions": [template.get("Version") or "$Default"]})
    if profile := young_profile(world, past, template):
        raise CommonServiceException(
            "InvalidParameterValue",
            f"Value ({profile}) for parameter iamInstanceProfile.name is invalid. {PROFILE}",
            400,
            True,
        )


def refuse_profile(world, past: Past, request: dict) -> None:
    request = request.get("DesiredConfiguration") or request
    mixed = (request.get("MixedInstancesPolicy") or {}).get("LaunchTemplate") or {}
    template = request.get("LaunchTemplate") or mixed.get("LaunchTemplateSpecification") or {}
    if profile := young_profile(world, past, template):
        raise CommonServiceException(
            "ValidationError",
            "You must use a valid fully-formed launch template. "
            f"Value ({profile}) for parameter iamInstanceProfile.name is invalid. {PROFILE}",
            400,
            True,
        )


def young_profile(world, past: Past, specification: dict) -> str | None:
    """Returns the instance profile of a version that was made a moment ago, if the profile was,
    too: IAM takes four times as long to show it."""
    template = known_template(world, specification)
    if template is None:
        return None
    version = template.get_version(specification.get("Version") or "$Default")
    profile = version.data.get("IamInstanceProfile") or {}
    made = past.versions.get((template.id, version.number))
    young = made is not None and is_young(world, made + 3 * world.times["unseen"])
    return (profile.get("Name") or profile.get("Arn")) if young else None


def known_template(world, request: dict):
    if not (request.get("LaunchTemplateId") or request.get("LaunchTemplateName")):
        return None
    return world.cloud.template(request)


def refuse_targets(world, _past: Past, request: dict) -> None:
    """Refuses an instance that runs in EC2 and that the load balancer does not know yet."""
    for target in request["Targets"]:
        instance = world.find(target["Id"])
        if instance is not None and is_young(world, instance.launched):
            raise CommonServiceException(
                "InvalidTarget",
                "The following targets are not in a running state and cannot be registered: "
                f"'{target['Id']}'",
                400,
                True,
            )


# -- behind them --------------------------------------------------------------------------


def after(_chain, context, response) -> None:
    world = world_of(context)
    answer = context.service_response if world else None
    if answer is None or response.status_code >= 300:
        return
    change = {
        "CreateLaunchTemplate": note_template,
        "CreateLaunchTemplateVersion": note_version,
        "DescribeInstances": hide_instances,
        "DescribeLaunchTemplateVersions": hide_versions,
        "DescribeTags": hide_elb_tags,
        "DescribeTargetGroupAttributes": hide_attributes,
    }.get(context.operation.name)
    if change is None or (context.operation.name == "DescribeTags" and not is_elb(context)):
        return
    with world.lock:
        changed = change(world, past_of(world), context.service_request or {}, answer)
    if changed:
        serializer = create_serializer(context.service, context.protocol)
        headers, request_id = context.request.headers, context.request_id
        response.update_from(
            serializer.serialize_to_response(answer, context.operation, headers, request_id)
        )


def is_elb(context) -> bool:
    return context.service.service_name == "elbv2"


def note_template(_world, past: Past, _request: dict, answer: dict) -> bool:
    past.versions[answer["LaunchTemplate"]["LaunchTemplateId"], 1] = now()
    return False


def note_version(_world, past: Past, _request: dict, answer: dict) -> bool:
    version = answer["LaunchTemplateVersion"]
    past.versions[version["LaunchTemplateId"], int(version["VersionNumber"])] = now()
    return False


def hide_versions(world, past: Past, _request: dict, answer: dict) -> bool:
    def shows(version: dict) -> bool:
        place = version["LaunchTemplateId"], int(version["VersionNumber"])
        return not is_young(world, past.versions.get(place))

    versions = answer.get("LaunchTemplateVersions") or []
    answer["LaunchTemplateVersions"] = [version for version in versions if shows(version)]
    return True


def hide_instances(world, past: Past, request: dict, answer: dict) -> bool:
    """Hides new instances for half the time, and their tags for all of it."""
    unseen, at = world.times["unseen"], now()
    for reservation in answer.get("Reservations") or []:
        visible = []
        for instance in reservation.get("Instances") or []:
            known = world.find(instance["InstanceId"])
            age = at - known.launched if known else unseen
            if age < unseen / 2:
                continue
            tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags") or []}
            tags = {} if age < unseen else past.shown(instance["InstanceId"], tags, at - unseen)
            instance["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
            if all(passes(tags, condition) for condition in request.get("Filters") or []):
                visible.append(instance)
        reservation["Instances"] = visible
    answer["Reservations"] = [
        each for each in answer.get("Reservations") or [] if each["Instances"]
    ]
    return True


def passes(tags: dict[str, str], condition: dict) -> bool:
    name, values = condition["Name"], condition.get("Values") or []
    if name == "tag-key":
        return any(key in tags for key in values)
    if name.startswith("tag:"):
        return tags.get(name.removeprefix("tag:")) in values
    return True


def hide_elb_tags(world, past: Past, _request: dict, answer: dict) -> bool:
    since = now() - world.times["unseen"]
    for described in answer.get("TagDescriptions") or []:
        tags = {tag["Key"]: tag.get("Value", "") for tag in described.get("Tags") or []}
        tags = past.shown(described["ResourceArn"], tags, since)
        described["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
    return True


def hide_attributes(world, past: Past, request: dict, answer: dict) -> bool:
    since = now() - world.times["unseen"]
    values = {each["Key"]: each["Value"] for each in answer.get("Attributes") or []}
    values = past.shown(request["TargetGroupArn"], values, since)
    answer["Attributes"] = [{"Key": key, "Value": value} for key, value in values.items()]
    return True
