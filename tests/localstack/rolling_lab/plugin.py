"""What LocalStack loads: the services that it lacks, the log of calls, the control door."""

from localstack.aws.handlers import (
    run_custom_response_handlers,
    serve_custom_exception_handlers,
    serve_custom_service_request_handlers,
)
from localstack.aws.skeleton import Skeleton
from localstack.aws.spec import load_service
from localstack.runtime import hooks
from localstack.services.edge import ROUTER
from localstack.services.moto import call_moto
from localstack.services.plugins import Service, aws_provider

LOGGED = {"ec2", "elbv2", "autoscaling", "elasticbeanstalk", "cloudwatch", "s3", "ssm", "sts"}


def service(name: str, overrides: dict, checks: dict) -> Service:
    model = load_service(name)

    def forward(context, request):
        if context.operation.name in checks:
            checks[context.operation.name](request)
        return call_moto(context)

    table = {operation: forward for operation in model.operation_names} | overrides
    return Service(name, skeleton=Skeleton(model, table))


@aws_provider()
def elbv2():
    from . import forwarding
    from .elbv2 import CHECKS, OVERRIDES

    return service("elbv2", OVERRIDES | forwarding.OVERRIDES, CHECKS)


@aws_provider()
def autoscaling():
    from .autoscaling import OVERRIDES

    return service("autoscaling", OVERRIDES, {})


@aws_provider()
def elasticbeanstalk():
    from .api_beanstalk import CALLS

    # moto's would know nothing of the environments of the lab.
    return Service("elasticbeanstalk", skeleton=Skeleton(load_service("elasticbeanstalk"), CALLS))


def readable(value):
    """Returns a value as JSON can show it. A stream is only named: the service reads it."""
    if isinstance(value, dict):
        return {key: readable(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [readable(each) for each in value]
    if hasattr(value, "read"):
        return "(stream)"
    return value if isinstance(value, str | int | float | None) else str(value)


def note_time(_chain, context, _response):
    """Notes when a call arrives: the time of its answer says nothing about its caller."""
    from .cloud import now

    setattr(context, "lab.at", now())


def log_call(_chain, context, response):
    from .cloud import account, now

    if context.service is None or context.operation is None:
        return
    name = context.service.service_name
    if name not in LOGGED or context.is_internal_call:
        return
    error = context.service_exception
    account(context.account_id).log_call(
        {
            "at": context.get("lab.at") or now(),
            "service": name,
            "action": context.operation.name,
            "parameters": readable(context.service_request or {}),
            "error": error.code if error else None,
            "status": response.status_code,
            "fault": context.get("fault"),
        }
    )


def tell_the_time():
    """Gives every answer the lab's time: clients compare it with their own."""
    from twisted.web import server

    from .cloud import now

    original = server.datetimeToString
    server.datetimeToString = lambda at=None: original(now() if at is None else at)


# Before the services are loaded.
@hooks.on_infra_start(priority=10)
def open_lab():
    from . import compat, consistency, door_beanstalk, faults, forwarding, plain, validation
    from .door import ROUTES

    faults.know_connections()
    tell_the_time()
    plain.give_life()
    forwarding.know_forwarding()
    compat.know_newer_python()
    # Only now can they be imported.
    from . import api_volumes, stock

    stock.mend()
    serve_custom_service_request_handlers.append(note_time)
    serve_custom_service_request_handlers.append(validation.before)
    serve_custom_service_request_handlers.append(plain.before)
    serve_custom_service_request_handlers.append(faults.before)
    serve_custom_service_request_handlers.append(consistency.before)
    serve_custom_exception_handlers.append(validation.unreadable)
    run_custom_response_handlers.append(consistency.after)
    run_custom_response_handlers.append(log_call)
    run_custom_response_handlers.append(faults.after)
    routes = ROUTES | plain.ROUTES | api_volumes.ROUTES | door_beanstalk.ROUTES
    for path, handler in routes.items():
        ROUTER.add(f"/_lab/<account_id>/{path}", handler, methods=["GET", "PUT", "DELETE"])
