"""Refuses what AWS would refuse: checks every request by botocore's model of its service.

botocore itself checks types, required members and minima; its models also have enums, patterns and
maxima, which AWS checks. Some limits are only in the API References.
"""

import re

from botocore.validate import ParamValidator
from localstack.aws.api import CommonServiceException
from localstack.aws.protocol.parser import RequestParserError
from werkzeug.exceptions import ClientDisconnected

from .cloud import account

# Limits by service.Operation: the list and its maximum, with the source above.
LIMITS = {
    # "Array Members: Maximum number of 20 items", or "up to 20 resources in a single call".
    "elbv2.DescribeLoadBalancers": ("LoadBalancerArns", 20),
    "elbv2.DescribeRules": ("RuleArns", 20),
    "elbv2.DescribeTags": ("ResourceArns", 20),
    "elbv2.DescribeTargetGroups": ("TargetGroupArns", 20),
    # Undocumented: kubernetes/kubernetes#101592 was sometimes refused above it.
    "elbv2.DeregisterTargets": ("Targets", 100),
    "elbv2.RegisterTargets": ("Targets", 100),
    # "you can specify up to 50 instance IDs" (SendCommand); 20 of DetachInstances.
    "autoscaling.DetachInstances": ("InstanceIds", 20),
    "ssm.SendCommand": ("InstanceIds", 50),
}


def violations(service: str, operation, request: dict) -> list[str]:
    """Describes what AWS would refuse in a request."""
    shape = operation.input_shape
    if shape is None:
        return []
    request = present(request)
    found = ParamValidator().validate(request, shape).generate_report().splitlines()
    found += list(beyond(request, shape, ""))
    member, most = LIMITS.get(f"{service}.{operation.name}", ("", 0))
    given = len(request.get(member) or [])
    if given > most:
        found.append(f"{given} {member}, of which {operation.name} takes {most} at most")
    return found


def present(value):
    """Returns the value without members that are not given, which a parser may show as None."""
    if isinstance(value, dict):
        return {key: present(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [present(each) for each in value]
    return value


def beyond(value, shape, name: str):
    """Yields what the model forbids and botocore does not check."""
    if shape.type_name == "structure" and isinstance(value, dict):
        for key in value.keys() & shape.members.keys():
            yield from beyond(value[key], shape.members[key], f"{name}.{key}".lstrip("."))
    elif shape.type_name == "list" and isinstance(value, list):
        yield from too_much(len(value), shape, name)
        for index, each in enumerate(value):
            yield from beyond(each, shape.member, f"{name}[{index}]")
    elif shape.type_name == "map" and isinstance(value, dict):
        yield from too_much(len(value), shape, name)
        for key, each in value.items():
            yield from beyond(each, shape.value, f"{name}[{key}]")
    elif shape.type_name == "string" and isinstance(value, str):
        yield from too_much(len(value), shape, name)
        pattern = shape.metadata.get("pattern")
        if shape.enum and value not in shape.enum:
            yield f"{name} is {value!r}, none of {', '.join(shape.enum)}"
        if pattern and not matches(pattern, value):
            yield f"{name} is {value!r}, which does not match {pattern}"
    elif shape.type_name in ("integer", "long", "float", "double"):
        yield from too_much(value, shape, name)


def too_much(size, shape, name: str):
    most = shape.metadata.get("max")
    if most is not None and size > most:
        yield f"{name} is or has {size}, the most is {most}"


def matches(pattern: str, value: str) -> bool:
    """Whether `value` matches, by Java's rules. A pattern that Python cannot read matches."""
    pattern = pattern.replace("\\p{Alnum}", "[A-Za-z0-9]").replace("\\p{L}", "[^\\W\\d_]")
    try:
        return re.fullmatch(f"(?:{pattern})", value, re.DOTALL) is not None
    except re.error:
        return True


def before(_chain, context, _response):
    """Runs ahead of every service. The account keeps what it refuses, so that the test fails
    whatever the caller does about it."""
    if context.service is None or context.operation is None or context.is_internal_call:
        return
    name = context.service.service_name
    found = violations(name, context.operation, context.service_request or {})
    if not found:
        return
    message = f"{name}.{context.operation.name}: {'; '.join(found)}"
    account(context.account_id).violations.append(message)
    raise CommonServiceException("ValidationError", message, 400, True)


def is_cut_off(request) -> bool:
    """Whether the body is shorter than announced."""
    try:
        return len(request.get_data()) < (request.content_length or 0)
    except ClientDisconnected:
        return True


def unreadable(_chain, exception, context, _response):
    """Notes a request that cannot be parsed, as `three` for a number: it is refused earlier."""
    if isinstance(exception, RequestParserError) and context.service is not None:
        action = context.request.values.get("Action")
        if action is None:
            # A JSON request; a form that is cut off has no action.
            action = context.request.headers.get("X-Amz-Target")
            if action is None or is_cut_off(context.request):
                return  # its sender was killed meanwhile
        message = f"{context.service.service_name}.{action}: cannot be read: {exception}"
        account(context.account_id).violations.append(message)
