"""Elastic Beanstalk: the calls that only read environments, health and events."""

from localstack.aws.api import CommonServiceException, RequestContext

from . import beanstalk_health
from .api import moment
from .beanstalk import SEVERITIES, Beanstalk, Environment, Server
from .cloud import account, now
from .faults import AS_OF

EXACT = 0.0005  # seconds; times of events are in milliseconds
STACK = "64bit Amazon Linux 2023 v4.3.0 running Python 3.11"
PLATFORM = "Python 3.11 running on 64bit Amazon Linux 2023/4.3.0"
METRICS = {
    "Duration": 10,
    "RequestCount": 45,
    "StatusCodes": {"Status2xx": 45, "Status3xx": 0, "Status4xx": 0, "Status5xx": 0},
    "Latency": {
        "P10": 0.001, "P50": 0.001, "P75": 0.002, "P85": 0.003, "P90": 0.003, "P95": 0.004,
        "P99": 0.004, "P999": 0.004,
    },
}  # fmt: skip
SYSTEM = {
    "CPUUtilization": {
        "User": 1.5, "Nice": 0.1, "System": 0.3, "Idle": 97.8, "IOWait": 0.2, "IRQ": 0.0,
        "SoftIRQ": 0.1,
    },
    "LoadAverage": [0.0, 0.02, 0.05],
}  # fmt: skip


def refused(code: str, message: str) -> CommonServiceException:
    return CommonServiceException(code, message, 400, True)


def invalid(message: str) -> CommonServiceException:
    return refused("InvalidParameterValue", message)


def world_of(context: RequestContext) -> Beanstalk:
    return account(context.account_id).world(context.region).beanstalk


def bring_up_to_date(world: Beanstalk) -> None:
    world.world.advance(now())


def not_found(request: dict) -> CommonServiceException:
    key = "EnvironmentName" if request.get("EnvironmentName") else "EnvironmentId"
    return invalid(f"No Environment found for {key} = '{request.get(key)}'.")


def environment_of(world: Beanstalk, request: dict) -> Environment:
    name, wanted = request.get("EnvironmentName"), request.get("EnvironmentId")
    if not (name or wanted):
        raise refused(
            "MissingParameter", "You must specify either an environment name or an environment ID."
        )
    for environment in world.environments.values():
        if name in (None, environment.name) and wanted in (None, environment.id):
            if environment.status != "Terminated":
                return environment
    raise not_found(request)


def application_of(world: Beanstalk, name: str) -> None:
    known = {e.application for e in world.environments.values()} | {a for a, _ in world.versions}
    if name not in known:
        raise invalid(f"No Application named '{name}' found.")


def state_now(world: Beanstalk, environment: Environment) -> Environment:
    world.keep(environment)
    return world.history[environment.id][-1][1]


def seen(context: RequestContext, world: Beanstalk, environment: Environment):
    """Returns the environment as a call sees it, and as its health is seen, with the time of that:
    health lags, and a fault may have everything lag."""
    at = context.get(AS_OF) or world.now
    lagged = at - world.times["eb_health"]
    return world.past(environment, at), world.past(environment, lagged), lagged


# -- environments -------------------------------------------------------------------------


def described(world: Beanstalk, state: Environment, health: Environment) -> dict:
    name, region = state.name, world.world.cloud.ec2.region_name
    shown = {
        "EnvironmentName": name,
        "EnvironmentId": state.id,
        "ApplicationName": state.application,
        "VersionLabel": state.label,
        "SolutionStackName": STACK,
        "PlatformArn": f"arn:aws:elasticbeanstalk:{region}::platform/{PLATFORM}",
        "EndpointURL": f"awseb-{state.id}.{region}.elb.amazonaws.com",
        "CNAME": f"{name}.{region}.elasticbeanstalk.com",
        "DateCreated": moment(state.made),
        "DateUpdated": moment(state.updated),
        "Status": state.status,
        "AbortableOperationInProgress": state.abortable,
        "Health": "Grey",
        "EnvironmentLinks": [],
        "EnvironmentArn": arn(world, f"environment/{state.application}/{name}"),
        "Tier": tier(state.tier),
    }
    if state.status == "Terminated":
        return shown
    if state.enhanced:
        shown["HealthStatus"], _ = beanstalk_health.of_environment(health)
        shown["Health"] = beanstalk_health.COLORS[shown["HealthStatus"]]
    elif state.status == "Ready":
        shown["Health"] = "Red" if any(s.ill for s in health.servers.values()) else "Green"
    return shown | state.shown


def arn(world: Beanstalk, resource: str) -> str:
    ec2 = world.world.cloud.ec2
    return f"arn:aws:elasticbeanstalk:{ec2.region_name}:{ec2.account_id}:{resource}"


def tier(name: str) -> dict:
    kind = "SQS/HTTP" if name == "Worker" else "Standard"
    return {"Name": name, "Type": kind, "Version": "1.0"}


def page(request: dict, found: list, key: str, most: int = 1000) -> dict:
    size, begin = request.get("MaxRecords") or most, int(request.get("NextToken") or 0)
    answer = {key: found[begin : begin + size]}
    if len(found) > begin + size:
        answer["NextToken"] = str(begin + size)
    return answer


def describe_environments(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.world.lock:
        bring_up_to_date(world)
        found = []
        for environment in world.environments.values():
            state, health, _ = seen(context, world, environment)
            shown = described(world, state, health)
            if wanted(request, shown):
                found.append(shown)
        return page(request, found, "Environments")


def wanted(request: dict, shown: dict) -> bool:
    if shown["Status"] == "Terminated" and not request.get("IncludeDeleted"):
        return False
    back_to = request.get("IncludedDeletedBackTo")
    if shown["Status"] == "Terminated" and back_to and shown["DateUpdated"] < back_to:
        return False
    return (
        request.get("ApplicationName") in (None, shown["ApplicationName"])
        and request.get("VersionLabel") in (None, shown["VersionLabel"])
        and shown["EnvironmentName"]
        in (request.get("EnvironmentNames") or [shown["EnvironmentName"]])
        and shown["EnvironmentId"] in (request.get("EnvironmentIds") or [shown["EnvironmentId"]])
    )


def describe_resources(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.world.lock:
        bring_up_to_date(world)
        environment = environment_of(world, request)
        servers = environment.servers.values()
        groups = dict.fromkeys([environment.group, *(server.group for server in servers)])
        return {
            "EnvironmentResources": {
                "EnvironmentName": environment.name,
                "AutoScalingGroups": [{"Name": name} for name in groups],
                "Instances": [{"Id": server.id} for server in servers],
                "LaunchConfigurations": [],
                "LaunchTemplates": [{"Id": "lt-0f5a1d2c3b4e5f678"}],
                "LoadBalancers": [{"Name": f"awseb-{environment.id}"}],
                "Queues": [],
                "Triggers": [],
            }
        }


def managed_actions(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.world.lock:
        bring_up_to_date(world)
        environment = environment_of(world, request)
        status = request.get("Status")
        found = [a for a in environment.managed if status in (None, a.get("Status"))]
        at = "WindowStartTime"
        return {"ManagedActions": [a | ({at: moment(a[at])} if at in a else {}) for a in found]}


# -- health -------------------------------------------------------------------------------


def needs_enhanced(context: RequestContext, environment: Environment) -> None:
    if not environment.enhanced:
        message = f"{context.operation.name} is not supported."
        raise refused("InvalidRequestException", message)


def chosen(request: dict, shown: dict, always: str) -> dict:
    """Returns the attributes that are asked for."""
    names = request.get("AttributeNames") or []
    return shown if "All" in names else {k: v for k, v in shown.items() if k in (always, *names)}


def instances_health(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.world.lock:
        bring_up_to_date(world)
        environment = environment_of(world, request)
        needs_enhanced(context, environment)
        _, state, at = seen(context, world, environment)
        listed = [instance_health(state, server, at) for server in state.servers.values()]
        return {
            "InstanceHealthList": [chosen(request, each, "InstanceId") for each in listed],
            "RefreshedAt": moment(at),
        }


def instance_health(state: Environment, server: Server, at: float) -> dict:
    status, causes = beanstalk_health.of_instance(state, server, at)
    shown = {
        "InstanceId": server.id,
        "HealthStatus": status,
        "Color": beanstalk_health.COLORS[status],
        "Causes": causes,
        "LaunchedAt": moment(server.launched),
        "ApplicationMetrics": METRICS,
        "System": SYSTEM,
        "AvailabilityZone": server.zone,
        "InstanceType": server.type,
    }
    if server.deployment:
        told = ("VersionLabel", "DeploymentId", "Status")
        shown["Deployment"] = {key: server.deployment[key] for key in told}
        shown["Deployment"]["DeploymentTime"] = moment(server.deployment["at"])
    return shown


def environment_health(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.world.lock:
        bring_up_to_date(world)
        environment = environment_of(world, request)
        needs_enhanced(context, environment)
        now_state, state, at = seen(context, world, environment)
        status, causes = beanstalk_health.of_environment(state)
        servers = state.servers.values()
        found = [beanstalk_health.of_instance(state, server, at)[0] for server in servers]
        names = ("NoData", "Unknown", "Pending", "Ok", "Info", "Warning", "Degraded", "Severe")
        shown = {
            "EnvironmentName": environment.name,
            "HealthStatus": status,
            "Status": now_state.status,
            "Color": beanstalk_health.COLORS[status],
            "Causes": causes,
            "ApplicationMetrics": METRICS,
            "InstancesHealth": {name: found.count(name) for name in names},
            "RefreshedAt": moment(at),
        }
        return chosen(request, shown, "EnvironmentName")


# -- events -------------------------------------------------------------------------------


def describe_events(context: RequestContext, request: dict) -> dict:
    """The newest first. A page begins behind the last event of the one before, whatever has
    happened meanwhile."""
    world = world_of(context)
    with world.world.lock:
        bring_up_to_date(world)
        if request.get("EnvironmentName") or request.get("EnvironmentId"):
            environment_of(world, request)
        found = [e for e in world.events if asked_for(world, request, e)]
        found.sort(key=lambda event: (event["at"], event["number"]), reverse=True)
        if request.get("NextToken"):
            at, number = request["NextToken"].split("-")
            found = [e for e in found if (e["at"], e["number"]) < (float(at), int(number))]
        size = request.get("MaxRecords") or 1000
        answer = {"Events": [event_shown(event) for event in found[:size]]}
        if len(found) > size:
            answer["NextToken"] = f"{found[size - 1]['at']!r}-{found[size - 1]['number']}"
        return answer


def asked_for(world: Beanstalk, request: dict, event: dict) -> bool:
    environment = event["environment"]
    least = SEVERITIES.index(request.get("Severity") or "TRACE")
    start, end = request.get("StartTime"), request.get("EndTime")
    return (
        event["at"] + world.times["eb_events"] <= world.now
        and request.get("EnvironmentName") in (None, environment.name)
        and request.get("EnvironmentId") in (None, environment.id)
        and request.get("ApplicationName") in (None, environment.application)
        and request.get("RequestId") in (None, event["request_id"])
        and request.get("VersionLabel") in (None, event["label"])
        and SEVERITIES.index(event["severity"]) >= least
        and (start is None or event["at"] >= start.timestamp() - EXACT)
        and (end is None or event["at"] < end.timestamp() - EXACT)
    )


def event_shown(event: dict) -> dict:
    environment = event["environment"]
    told = {
        "EventDate": moment(event["at"]),
        "Message": event["message"],
        "ApplicationName": environment.application,
        "EnvironmentName": environment.name,
        "VersionLabel": event["label"],
        "RequestId": event["request_id"],
        "Severity": event["severity"],
    }
    return {key: value for key, value in told.items() if value is not None}


CALLS = {
    "DescribeEnvironmentHealth": environment_health,
    "DescribeEnvironmentManagedActions": managed_actions,
    "DescribeEnvironmentResources": describe_resources,
    "DescribeEnvironments": describe_environments,
    "DescribeEvents": describe_events,
    "DescribeInstancesHealth": instances_health,
}
