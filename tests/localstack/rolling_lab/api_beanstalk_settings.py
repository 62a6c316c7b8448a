"""Elastic Beanstalk: the calls that only read option settings and application versions."""

from localstack.aws.api import RequestContext

from . import beanstalk_options
from .api import moment
from .api_beanstalk_reads import (
    STACK,
    application_of,
    arn,
    bring_up_to_date,
    environment_of,
    not_found,
    page,
    world_of,
)
from .beanstalk import Beanstalk, Environment, Version


def describe_settings(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.world.lock:
        bring_up_to_date(world)
        application_of(world, request["ApplicationName"])
        environment = environment_of(world, request)
        if environment.application != request["ApplicationName"]:
            raise not_found(request)
        shown = [settings_shown(environment, environment.settings, "deployed")]
        if environment.pending:
            shown.append(settings_shown(environment, environment.pending, "pending"))
        return {"ConfigurationSettings": shown}


def settings_shown(environment: Environment, settings: dict, status: str) -> dict:
    return {
        "SolutionStackName": STACK,
        "ApplicationName": environment.application,
        "EnvironmentName": environment.name,
        "DeploymentStatus": status,
        "DateCreated": moment(environment.made),
        "DateUpdated": moment(environment.updated),
        "OptionSettings": [
            {"Namespace": namespace, "OptionName": name, "Value": value}
            | ({"ResourceName": "AWSEBAutoScalingGroup"} if "aws:autoscaling" in namespace else {})
            for (namespace, name), value in sorted(settings.items())
        ],
    }


def validate_settings(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.world.lock:
        bring_up_to_date(world)
        application_of(world, request["ApplicationName"])
        settings, kind = beanstalk_options.defaults(), "WebServer"
        if request.get("EnvironmentName"):
            environment = environment_of(world, request)
            settings, kind = environment.settings, environment.tier
        asked = beanstalk_options.told(request["OptionSettings"])
        found = beanstalk_options.messages(settings, asked, kind)
        keys = ("Namespace", "OptionName", "Message")
        return {"Messages": [dict(zip(keys, each)) | {"Severity": "error"} for each in found]}


def describe_versions(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.world.lock:
        bring_up_to_date(world)
        labels = request.get("VersionLabels")
        found = [
            version_shown(world, version)
            for (application, label), version in reversed(world.versions.items())
            if request.get("ApplicationName") in (None, application)
            and (not labels or label in labels)
        ]
        return page(request, found, "ApplicationVersions")


def version_shown(world: Beanstalk, version: Version) -> dict:
    name, label = version.application, version.label
    shown = {
        "ApplicationVersionArn": arn(world, f"applicationversion/{name}/{label}"),
        "ApplicationName": name,
        "VersionLabel": label,
        "DateCreated": moment(version.made),
        "DateUpdated": moment(version.made),
        "Status": version.status,
        "SourceBundle": version.bundle
        or {"S3Bucket": "elasticbeanstalk-us-east-1-000000000000", "S3Key": f"{name}/{label}.zip"},
    }
    return shown | ({"Description": version.description} if version.description else {})


CALLS = {
    "DescribeApplicationVersions": describe_versions,
    "DescribeConfigurationSettings": describe_settings,
    "ValidateConfigurationSettings": validate_settings,
}
