"""Weighted forwarding: the actions of rules as AWS returns them, and when their weights change.

moto stores the weights. This adds what it lacks: a target group is in use as long as a rule names
it, default rules change only with their listener, and AWS's refusals of forward actions.
"""

from localstack.aws.api import CommonServiceException, RequestContext
from localstack.services.moto import call_moto
from moto.elbv2.models import FakeAction, FakeTargetGroup, elbv2_backends

from .autoscaling import world_of
from .cloud import now


def know_forwarding() -> None:
    """Makes moto complete forward actions, and look up what is in use."""
    begin = FakeAction.__init__
    FakeAction.__init__ = lambda action, data: begin(action, completed(data))
    # moto only adds to it, when something is created.
    FakeTargetGroup.load_balancer_arns = property(load_balancers_of, lambda group, value: None)


def completed(action: dict) -> dict:
    """Returns an action that names one target group both ways, and several in a configuration."""
    if action.get("Type") != "forward":
        return action
    alone = [{"TargetGroupArn": action["TargetGroupArn"]}] if "TargetGroupArn" in action else []
    config = action.get("ForwardConfig") or {}
    groups = [{"Weight": 1} | group for group in config.get("TargetGroups") or alone]
    config = {"TargetGroupStickinessConfig": {"Enabled": False}} | config | {"TargetGroups": groups}
    first = {"TargetGroupArn": groups[0]["TargetGroupArn"]} if len(groups) == 1 else {}
    return action | first | {"ForwardConfig": config}


def tuples(rule) -> list[dict]:
    """Returns the target groups that a rule of moto forwards to, with their weights."""
    forwards = [action.data for action in rule.actions if action.type == "forward"]
    return [each for action in forwards for each in action["ForwardConfig"]["TargetGroups"]]


def rules_of(balancer) -> list:
    return [r for listener in list(balancer.listeners.values()) for r in listener.rules.values()]


def load_balancers_of(group: FakeTargetGroup) -> list[str]:
    """Returns the load balancers with a rule that names the target group, whatever its weight."""
    backend = elbv2_backends[group.account_id][group.region_name]
    return [
        balancer.arn
        for balancer in list(backend.load_balancers.values())
        if any(e["TargetGroupArn"] == group.arn for r in rules_of(balancer) for e in tuples(r))
    ]


def weights(world) -> dict[str, dict[str, int]]:
    """Returns the weights by rule, and by the name of the target group."""
    names = {group.arn: group.name for group in list(world.cloud.elb.target_groups.values())}
    return {
        rule.arn: {names[each["TargetGroupArn"]]: each["Weight"] for each in tuples(rule)}
        for balancer in list(world.cloud.elb.load_balancers.values())
        for rule in rules_of(balancer)
    }


def change(context: RequestContext, request: dict) -> dict:
    """Makes or changes a listener or a rule, and logs the weights that have changed."""
    world = world_of(context)
    with world.lock:
        world.advance(now())
        for action in request.get("DefaultActions") or request.get("Actions") or []:
            check(world, action)
        before = weights(world)
        answer = call_moto(context)
        for arn, told in weights(world).items():
            if told != before.get(arn):
                event = {"at": world.now, "kind": "weights", "rule": arn, "weights": told}
                world.timeline.append(event)
    return answer


def change_rule(context: RequestContext, request: dict) -> dict:
    keep_default(context, request, "modified")
    return change(context, request)


def delete_rule(context: RequestContext, request: dict) -> dict:
    keep_default(context, request, "deleted")
    return call_moto(context)


def keep_default(context: RequestContext, request: dict, done: str) -> None:
    world, arn = world_of(context), request["RuleArn"]
    with world.lock:
        balancers = list(world.cloud.elb.load_balancers.values())
        if any(r.arn == arn and r.is_default for balancer in balancers for r in rules_of(balancer)):
            raise refused("OperationNotPermitted", f"Default rule '{arn}' cannot be {done}")


def check(world, action: dict) -> None:
    """Refuses what AWS refuses in a forward action."""
    if action["Type"] != "forward":
        return
    config = action.get("ForwardConfig") or {}
    groups = config.get("TargetGroups") or []
    alone = action.get("TargetGroupArn")
    if alone and groups and [each["TargetGroupArn"] for each in groups] != [alone]:
        raise refused(
            "ValidationError",
            "You can specify only one target group in ForwardConfig, the one in TargetGroupArn, if "
            "you specify both",
        )
    for arn in [each["TargetGroupArn"] for each in groups] or [alone]:
        if world.cloud.target_group(arn) is None:
            raise refused("TargetGroupNotFound", f"Target groups '{arn}' not found")
    for each in groups:
        weight = each.get("Weight", 1 if len(groups) == 1 else None)
        if weight is None or not 0 <= weight <= 999:
            raise refused("ValidationError", f"The weight '{weight}' must be between 0 and 999")
    stickiness = config.get("TargetGroupStickinessConfig") or {}
    seconds = stickiness.get("DurationSeconds")
    if stickiness.get("Enabled") and not 1 <= (seconds or 0) <= 604800:
        raise refused(
            "ValidationError", f"The stickiness duration '{seconds}' must be between 1 and 604800"
        )


def refused(code: str, message: str) -> CommonServiceException:
    return CommonServiceException(code, message, 400, True)


OVERRIDES = {
    "CreateListener": change,
    "CreateRule": change,
    "DeleteRule": delete_rule,
    "ModifyListener": change,
    "ModifyRule": change_rule,
}
