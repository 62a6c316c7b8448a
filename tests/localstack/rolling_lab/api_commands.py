"""SSM's Run Command, and the instances that Systems Manager knows."""

import datetime
import uuid

from localstack.aws.api import RequestContext

from . import commands, documents
from .api import moment, world_of
from .cloud import now
from .commands import Command, Invocation
from .documents import refused

MOST = 50  # instances of a command, and entries of a page


def send(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        name, asked = request["DocumentName"], request.get("DocumentVersion")
        document = documents.find(context, name, asked)
        if document.document_type != "Command":
            raise refused("InvalidDocument", f"Document {name} is not of the type Command.")
        documents.check_parameters(document, request.get("Parameters") or {})
        timeout = request.get("TimeoutSeconds") or 3600
        if not 30 <= timeout <= 2_592_000:
            raise refused("ValidationException", "TimeoutSeconds must be from 30 to 2592000.")
        wanted = targets_of(context, world, request)
        told = world.times["command_timeout"]
        command = Command(
            id=str(uuid.uuid4()),
            document=document.name,
            version=document.document_version,
            behaviour=documents.behaviour(document),
            steps=[step["name"] for step in documents.steps(document.content_json)],
            request=dict(request, TimeoutSeconds=timeout, InstanceIds=wanted),
            sent=world.now,
            expires=world.now + (timeout if told is None else min(told, timeout)),
        )
        commands.send(world, command, wanted)
        return {"Command": shown(command, world.now)}


def targets_of(context: RequestContext, world, request: dict) -> list[str]:
    """Returns the instances that a command is for: all of them can run it, or none gets it."""
    wanted = list(request.get("InstanceIds") or [])
    for target in request.get("Targets") or []:
        if target.get("Key") != "InstanceIds":
            raise refused("ValidationException", "The lab knows only targets by InstanceIds.")
        wanted += target.get("Values") or []
    if not 1 <= len(wanted) <= MOST:
        raise refused("ValidationException", f"A command is for 1 to {MOST} instances.")
    if len(set(wanted)) < len(wanted):
        raise refused("DuplicateInstanceId", "An instance is named more than once.")
    bad = [i for i in wanted if not commands.is_online(world, world.find(i))]
    if bad:
        raise refused(
            "InvalidInstanceId",
            f"Instances [[{', '.join(bad)}]] not in a valid state for account {context.account_id}",
        )
    return wanted


def shown(command: Command, at: float) -> dict:
    request = command.request
    status, details = commands.status(command, at)
    ends = [each.outcome for each in command.invocations if each.over]
    return {
        "CommandId": command.id,
        "DocumentName": command.document,
        # As requested.
        "DocumentVersion": request.get("DocumentVersion") or "",
        "Comment": request.get("Comment") or "",
        "ExpiresAfter": moment(command.expires),
        "Parameters": request.get("Parameters") or {},
        "InstanceIds": request["InstanceIds"],
        "Targets": request.get("Targets") or [],
        "RequestedDateTime": moment(command.sent),
        "Status": status,
        "StatusDetails": details,
        "MaxConcurrency": request.get("MaxConcurrency") or "50",
        "MaxErrors": request.get("MaxErrors") or "0",
        "TargetCount": len(command.invocations),
        "CompletedCount": len(ends),
        "ErrorCount": sum(end in (commands.FAILED, commands.LATE) for end in ends),
        "DeliveryTimedOutCount": ends.count(commands.LOST),
        "TimeoutSeconds": request["TimeoutSeconds"],
    }


def list_commands(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        wanted, instance = request.get("CommandId"), request.get("InstanceId")
        found = [command_of(world, wanted)] if wanted else world.commands.known.values()
        listed = {
            c.invocations[0].number: shown(c, world.now)
            for c in found
            if not instance or any(reached(i, instance, world.now) for i in c.invocations)
        }
        return page(filtered(listed, request), request, "Commands")


def reached(invocation: Invocation, instance: str, at: float) -> bool:
    """Whether a list by the instance has the command: a pending one has not reached it yet."""
    return invocation.instance == instance and invocation.status(at)[0] != "Pending"


def list_invocations(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        command, instance = request.get("CommandId"), request.get("InstanceId")
        listed = {
            i.number: shown_invocation(world, i, bool(request.get("Details")))
            for i in world.commands.invocations
            if command in (None, i.command.id) and instance in (None, i.instance)
        }
        return page(filtered(listed, request), request, "CommandInvocations")


def filtered(listed: dict[int, dict], request: dict) -> dict[int, dict]:
    for condition in request.get("Filters") or []:
        key, value = condition["key"], condition["value"]
        if key == "Status":
            listed = {n: e for n, e in listed.items() if value in (e["Status"], e["StatusDetails"])}
        elif key == "DocumentName":
            listed = {n: e for n, e in listed.items() if e["DocumentName"] == value}
        elif key in ("InvokedAfter", "InvokedBefore"):
            bound, after = datetime.datetime.fromisoformat(value), key == "InvokedAfter"
            listed = {n: e for n, e in listed.items() if (e["RequestedDateTime"] >= bound) == after}
        else:
            raise refused("InvalidFilterKey", "The specified key is not valid.")
    return listed


def page(listed: dict[int, dict], request: dict, key: str, default: int = MOST) -> dict:
    """Returns one page, from the highest number, which is the newest. A token is the next number,
    so that commands sent meanwhile shift nothing."""
    token, size = request.get("NextToken"), request.get("MaxResults") or default
    if token and not token.isdigit():
        raise refused("InvalidNextToken", "The specified token is not valid.")
    if not 1 <= size <= MOST:
        raise refused("ValidationException", f"MaxResults must be from 1 to {MOST}.")
    numbers = [n for n in sorted(listed, reverse=True) if not token or n <= int(token)]
    answer = {key: [listed[n] for n in numbers[:size]]}
    if len(numbers) > size:
        answer["NextToken"] = str(numbers[size])
    return answer


def shown_invocation(world, invocation: Invocation, details: bool) -> dict:
    command = invocation.command
    status, more = invocation.status(world.now)
    plugins = command.steps if details else []
    return {
        "CommandId": command.id,
        "InstanceId": invocation.instance,
        "InstanceName": "",
        "Comment": command.request.get("Comment") or "",
        "DocumentName": command.document,
        "DocumentVersion": command.request.get("DocumentVersion") or "",
        "RequestedDateTime": moment(command.sent),
        "Status": status,
        "StatusDetails": more,
        "StandardOutputUrl": "",
        "StandardErrorUrl": "",
        "CommandPlugins": [plugin(world, invocation, step) for step in plugins],
    }


def as_step(world, invocation: Invocation, step: str) -> tuple[str, str, int, str, str]:
    """Returns status, details, response code and outputs of a step. Only the last one may fail."""
    if invocation.over and step != invocation.command.steps[-1]:
        return *commands.SUCCESS, 0, "", ""
    status = invocation.status(world.now)
    code = {"Success": 0, "Failed": 1}.get(status[0], -1)
    return *status, code, *commands.output(invocation)


def plugin(world, invocation: Invocation, step: str) -> dict:
    status, details, code, out, err = as_step(world, invocation, step)
    told = {
        "Name": step,
        "Status": status,
        "StatusDetails": details,
        "ResponseCode": code,
        "Output": f"{out}\n----------ERROR-------\n{err}" if err else out,
        "StandardOutputUrl": "",
        "StandardErrorUrl": "",
    }
    if world.now >= invocation.begins:
        told["ResponseStartDateTime"] = moment(invocation.begins)
    if invocation.over:
        told["ResponseFinishDateTime"] = moment(invocation.ends)
    return told


def get_invocation(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        command = world.commands.known.get(request["CommandId"])
        sent = command.invocations if command else []
        found = next((i for i in sent if i.instance == request["InstanceId"]), None)
        if found is None:
            raise refused("InvocationDoesNotExist", "")
        step = request.get("PluginName") or command.steps[-1]
        if step not in command.steps:
            raise refused("InvalidPluginName", "The plugin name is not valid.")
        status, details, code, out, err = as_step(world, found, step)
        begun = world.now >= found.begins
        passed = (found.ends if found.over else world.now) - found.begins
        return {
            "CommandId": command.id,
            "InstanceId": found.instance,
            "Comment": command.request.get("Comment") or "",
            "DocumentName": command.document,
            "DocumentVersion": command.request.get("DocumentVersion") or "",
            "PluginName": step,
            "ResponseCode": code,
            "ExecutionStartDateTime": precise(found.begins) if begun else "",
            "ExecutionElapsedTime": f"PT{passed:.3f}S" if begun else "",
            "ExecutionEndDateTime": precise(found.ends) if begun and found.over else "",
            "Status": status,
            "StatusDetails": details,
            "StandardOutputContent": out,
            "StandardOutputUrl": "",
            "StandardErrorContent": err,
            "StandardErrorUrl": "",
        }


def precise(at: float) -> str:
    return moment(at).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def command_of(world, command_id: str) -> Command:
    if command_id not in world.commands.known:
        raise refused("InvalidCommandId", "")
    return world.commands.known[command_id]


def cancel(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        sent = command_of(world, request["CommandId"]).invocations
        wanted = request.get("InstanceIds") or [i.instance for i in sent]
        if set(wanted) - {i.instance for i in sent}:
            raise refused("InvalidInstanceId", "The command was not sent to all of the instances.")
        for invocation in sent:
            if invocation.instance in wanted:
                commands.cancel(world, invocation)
    return {}


def describe_information(context: RequestContext, request: dict) -> dict:
    """The instances that run and have an agent."""
    world = world_of(context)
    with world.lock:
        world.advance(now())
        here = [i for group in world.groups.values() for i in group.instances.values()]
        here = [i for i in here + list(world.plain.values()) if commands.is_online(world, i)]
        # In an arbitrary order that stays the same when instances come and go.
        listed = {int(i.id.removeprefix("i-"), 16): described(world, i) for i in here}
        for key, values in conditions(request):
            if key not in ("InstanceIds", "PingStatus", "PlatformTypes", "ResourceType"):
                raise refused("InvalidFilterKey", "The specified key is not valid.")
            shows = {"InstanceIds": "InstanceId", "PlatformTypes": "PlatformType"}.get(key, key)
            listed = {n: e for n, e in listed.items() if e[shows] in values}
        return page(listed, request, "InstanceInformationList", 10)


def conditions(request: dict) -> list[tuple[str, list[str]]]:
    old = request.get("InstanceInformationFilterList") or []
    told = [(each["key"], each["valueSet"]) for each in old]
    return told + [(each["Key"], each["Values"]) for each in request.get("Filters") or []]


def described(world, instance) -> dict:
    address = world.cloud.address(instance.id)
    return {
        "InstanceId": instance.id,
        "PingStatus": "Online",
        "LastPingDateTime": moment(world.now),
        "AgentVersion": "3.3.1611.0",
        "IsLatestVersion": True,
        "PlatformType": "Linux",
        "PlatformName": "Amazon Linux",
        "PlatformVersion": "2023",
        "ResourceType": "EC2Instance",
        "IPAddress": address,
        "ComputerName": f"ip-{address.replace('.', '-')}.ec2.internal",
        "SourceId": instance.id,
        "SourceType": "AWS::EC2::Instance",
    }


OVERRIDES = {
    "CancelCommand": cancel,
    "DescribeInstanceInformation": describe_information,
    "GetCommandInvocation": get_invocation,
    "ListCommandInvocations": list_invocations,
    "ListCommands": list_commands,
    "SendCommand": send,
}
