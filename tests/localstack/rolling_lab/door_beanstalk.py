"""The control door's part of Elastic Beanstalk."""

import secrets
import uuid

from werkzeug import Request, Response

from . import beanstalk_options
from .api import moment
from .beanstalk import Beanstalk, Environment, Server, Version, status_of
from .cloud import account, now
from .door import answer, world_of

ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
HOUR = 3600


def make(request: Request, account_id: str) -> Response:
    """Makes an environment that has been Ready for an hour."""
    want = request.json
    world = world_of(account_id, request)
    with world.lock:
        world.advance(now())
        beanstalk = world.beanstalk
        try:
            environment = environment_of(want)
        except ValueError as error:
            return Response(str(error), status=400)
        application = environment.application
        for label in dict.fromkeys([environment.label, *want.get("versions", [])]):
            made = Version(application, label, status_of(label), environment.made)
            beanstalk.versions.setdefault((application, label), made)
        beanstalk.environments[environment.name] = environment
        for number in range(int(want.get("size", 3))):
            server = running(environment, ZONES[number % len(ZONES)])
            environment.servers[server.id] = server
        environment.least = environment.most = len(environment.servers)
        beanstalk.health_told[environment.id] = "Ok"
        beanstalk.history[environment.id] = []
        beanstalk.keep(environment)
        begun, ago = str(uuid.uuid4()), environment.made - beanstalk.now
        launched = f"Successfully launched environment: {environment.name}"
        for message in ("createEnvironment is starting.", launched):
            beanstalk.say(environment, message, "INFO", begun, environment.label, ago)
        account(account_id).forget_calls()
        return answer({"id": environment.id, "instances": list(environment.servers)})


def environment_of(want: dict) -> Environment:
    alone = want.get("environment_type") == "SingleInstance"
    enhanced = want.get("health", "enhanced") == "enhanced"
    size, tier = int(want.get("size", 3)), want.get("tier", "WebServer")
    own = {
        (beanstalk_options.ENVIRONMENT, "EnvironmentType"): want.get(
            "environment_type", "LoadBalanced"
        ),
        (beanstalk_options.HEALTH, "SystemType"): "enhanced" if enhanced else "basic",
        (beanstalk_options.GROUP, "MinSize"): str(size),
        (beanstalk_options.GROUP, "MaxSize"): str(size),
    }
    if alone and size != 1:
        raise ValueError("a SingleInstance environment has a size of 1")
    asked = own | beanstalk_options.told(want.get("option_settings", []))
    wrong = beanstalk_options.messages(beanstalk_options.defaults(), asked, tier)
    if wrong:
        raise ValueError(wrong[0][2])
    hour_ago, label = now() - HOUR, want.get("version", "v1")
    managed = [dict(each) for each in want.get("managed_actions", [])]
    for each in managed:
        if "in" in each:
            each["WindowStartTime"] = now() + each.pop("in")
    return Environment(
        name=want["name"],
        id=f"e-{secrets.token_hex(5)}",
        application=want.get("application", want["name"]),
        tier=tier,
        label=label,
        settings=beanstalk_options.defaults() | asked,
        made=hour_ago,
        updated=hour_ago,
        expected=(label, 1),
        enhanced=enhanced,
        managed=managed,
    )


def running(environment: Environment, zone: str) -> Server:
    at = environment.made
    deployment = {"VersionLabel": environment.label, "DeploymentId": 1, "Status": "Deployed"}
    return Server(
        id=f"i-0{secrets.token_hex(8)}",
        zone=zone,
        group=environment.group,
        launched=at,
        label=environment.label,
        deployment=deployment | {"began": at, "at": at},
        registered=True,
        healthy=True,
    )


def environment(request: Request, account_id: str, name: str) -> Response:
    """Returns the environment as the model has it. PUT merges a JSON object into what
    DescribeEnvironments shows of it; null takes a key back."""
    world = world_of(account_id, request)
    with world.lock:
        world.advance(now())
        known = world.beanstalk.environments.get(name)
        if known is None:
            return Response(f"no environment {name}", status=404)
        if request.method == "PUT":
            shown = known.shown | request.json
            known.shown = {key: value for key, value in shown.items() if value is not None}
            world.beanstalk.keep(known)
        return answer(shown_of(world.beanstalk, known))


def shown_of(beanstalk: Beanstalk, known: Environment) -> dict:
    listed = [s for s in known.servers.values() if s.registered]
    settings: dict[str, dict] = {}
    for (namespace, option), value in known.settings.items():
        settings.setdefault(namespace, {})[option] = value
    return {
        "id": known.id,
        "status": known.status,
        "abortable": known.abortable,
        "version_label": known.label,
        "expected": {"version_label": known.expected[0], "deployment_id": known.expected[1]},
        "date_updated": moment(known.updated).isoformat(),
        "settings": settings,
        "traffic": known.traffic,
        "instances": {
            s.id: {
                "revision": s.label,
                "zone": s.zone,
                "group": s.group,
                "serves": s.serves,
                "deployment": s.deployment
                and {k: s.deployment[k] for k in ("VersionLabel", "DeploymentId", "Status")},
            }
            for s in known.servers.values()
        },
        "targets": {known.name: {s.id: "healthy" if s.healthy else "unhealthy" for s in listed}},
        "batches": known.batches,
        "least_serving": known.least,
        "most_instances": known.most,
    }


ROUTES = {"environment": make, "environments/<name>": environment}
