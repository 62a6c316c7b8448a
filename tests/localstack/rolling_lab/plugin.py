"""What LocalStack loads: the two services, the log of calls, the control door."""

from localstack.aws.handlers import (
    run_custom_response_handlers,
    serve_custom_service_request_handlers,
)
from localstack.aws.skeleton import Skeleton
from localstack.aws.spec import load_service
from localstack.runtime import hooks
from localstack.services.edge import ROUTER
from localstack.services.moto import call_moto
from localstack.services.plugins import Service, aws_provider

LOGGED = {"ec2", "elbv2", "autoscaling"}


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
    from .elbv2 import CHECKS, OVERRIDES

    return service("elbv2", OVERRIDES, CHECKS)


@aws_provider()
def autoscaling():
    from .autoscaling import OVERRIDES

    return service("autoscaling", OVERRIDES, {})


def log_call(_chain, context, response):
    from .cloud import account, now

    if context.service is None or context.operation is None:
        return
    name = context.service.service_name
    if name not in LOGGED or context.is_internal_call:
        return
    error = context.service_exception
    account(context.account_id).calls.append(
        {
            "at": now(),
            "service": name,
            "action": context.operation.name,
            "parameters": context.service_request or {},
            "error": error.code if error else None,
            "status": response.status_code,
            "fault": context.get("fault"),
        }
    )


@hooks.on_infra_start()
def open_lab():
    from . import faults, plain
    from .door import ROUTES

    faults.know_connections()
    plain.give_life()
    serve_custom_service_request_handlers.append(plain.before)
    serve_custom_service_request_handlers.append(faults.before)
    run_custom_response_handlers.append(log_call)
    run_custom_response_handlers.append(faults.after)
    for path, handler in (ROUTES | plain.ROUTES).items():
        ROUTER.add(f"/_lab/<account_id>/{path}", handler, methods=["GET", "PUT", "DELETE"])
