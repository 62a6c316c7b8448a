"""Elastic Beanstalk: the calls about environments and their updates."""

from localstack.aws.api import CommonServiceException, RequestContext

from . import api_beanstalk_reads as reads
from . import api_beanstalk_settings as settings
from . import beanstalk_options
from .api_beanstalk_reads import (
    application_of,
    described,
    environment_of,
    invalid,
    refused,
    state_now,
    world_of,
)
from .beanstalk import Environment, Version, status_of
from .beanstalk_update import Update

# What UpdateEnvironment takes on AWS, and the lab does not.
LEFT_OUT = ("GroupName", "Tier", "TemplateName", "SolutionStackName", "PlatformArn")
UNUSABLE = "Application Version '{}' is unusable and cannot be used with an environment"


def update(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.world.lock:
        reads.bring_up_to_date(world)
        environment = environment_of(world, request)
        application = request.get("ApplicationName")
        if application and application != environment.application:
            raise reads.not_found(request)
        must_be_ready(world, environment)
        left_out = [key for key in LEFT_OUT if request.get(key)]
        if left_out:
            raise CommonServiceException("NotImplemented", f"Not in the lab: {left_out}", 501)
        label = request.get("VersionLabel")
        asked = beanstalk_options.told(request.get("OptionSettings") or [])
        for key in beanstalk_options.told(request.get("OptionsToRemove") or []):
            asked[key] = beanstalk_options.defaults().get(key, "")
        if label and asked:
            raise refused(
                "InvalidParameterCombination",
                "Cannot update both the application version and the configuration settings of an "
                "environment at the same time.",
            )
        if label:
            check_version(world, environment, label)
        else:
            check_options(environment, asked)
        begun = Update(world, environment, context.request_id)
        begun.deploy(label) if label else begun.configure(asked)
        return described(world, state_now(world, environment), state_now(world, environment))


def must_be_ready(world, environment: Environment) -> None:
    state = state_now(world, environment)
    if described(world, state, state)["Status"] != "Ready":
        raise invalid(
            f"Environment named {environment.name} is in an invalid state for this operation. "
            "Must be Ready."
        )


def check_version(world, environment: Environment, label: str) -> None:
    version = world.versions.get((environment.application, label))
    if version is None:
        raise invalid(f"No Application Version named '{label}' found.")
    if version.status not in ("Processed", "Unprocessed"):
        raise invalid(UNUSABLE.format(label))


def check_options(environment: Environment, asked: dict) -> None:
    for _, _, message in beanstalk_options.messages(environment.settings, asked, environment.tier):
        raise refused(
            "ConfigurationValidationException", f"Configuration validation exception: {message}"
        )


def abort(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.world.lock:
        reads.bring_up_to_date(world)
        environment = environment_of(world, request)
        is_new = world.now < environment.updated + world.times["eb_abortable"]
        if environment.status != "Updating" or not environment.abortable or is_new:
            raise invalid(
                f"Environment named {environment.name} is in an invalid state for this operation. "
                "Must be pending deployment."
            )
        own = world.times["abort_request_id"] == "own"
        request_id = context.request_id if own else environment.request_id
        world.say(environment, "Environment update is aborting.", "INFO", request_id)
        world.abort(environment)
    return {}


def terminate(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.world.lock:
        reads.bring_up_to_date(world)
        environment = environment_of(world, request)
        if environment.status != "Ready":
            raise invalid(
                f"Cannot terminate environment named {environment.name}. It is currently pending "
                "deployment."
            )
        Update(world, environment, context.request_id).terminate()
        state = state_now(world, environment)
        return described(world, state, state)


def create_version(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.world.lock:
        reads.bring_up_to_date(world)
        name, label = request["ApplicationName"], request["VersionLabel"]
        if not request.get("AutoCreateApplication"):
            application_of(world, name)
        if (name, label) in world.versions:
            raise invalid(f"Application Version {label} already exists.")
        status = status_of(label)
        if status == "Processed" and not request.get("Process"):
            status = "Unprocessed"
        bundle, description = request.get("SourceBundle"), request.get("Description")
        version = Version(name, label, status, world.now, description, bundle)
        world.versions[name, label] = version
        return {"ApplicationVersion": settings.version_shown(world, version)}


OWN = {
    "AbortEnvironmentUpdate": abort,
    "CreateApplicationVersion": create_version,
    "TerminateEnvironment": terminate,
    "UpdateEnvironment": update,
}
CALLS = reads.CALLS | settings.CALLS | OWN
