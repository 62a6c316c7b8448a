"""The control door: what a test may set, read and make, under `/_lab/ACCOUNT/`."""

import json

from werkzeug import Request, Response

from .clients import REGION, clients
from .cloud import IMAGE, SPEED, START, account, now
from .faults import faults_of

OPTIONS = {
    "maintenance_policy": "InstanceMaintenancePolicy",
    "capacity_rebalance": "CapacityRebalance",
    "new_instances_protected": "NewInstancesProtectedFromScaleIn",
}


def answer(value) -> Response:
    return Response(json.dumps(value, default=str), mimetype="application/json")


def world_of(account_id: str, request: Request):
    return account(account_id).world(request.args.get("region", REGION))


def clock(request: Request, account_id: str) -> Response:
    """Returns the lab's time: it was `start`, in seconds since 1970, when the wall clock was, and
    has run `speed` times as fast since."""
    return answer({"start": START, "speed": SPEED, "now": now()})


def times(request: Request, account_id: str) -> Response:
    world = world_of(account_id, request)
    with world.lock:
        world.advance(now())
        if request.method == "PUT":
            unknown = set(request.json) - set(world.times)
            if unknown:
                return Response(f"unknown times: {sorted(unknown)}", status=400)
            world.times.update(request.json)
        return answer(world.times)


def calls(request: Request, account_id: str) -> Response:
    known = account(account_id)
    if request.method == "DELETE":
        known.forget_calls()
    return answer(list(known.calls))


def violations(request: Request, account_id: str) -> Response:
    """Returns what AWS would have refused; DELETE clears it."""
    known = account(account_id).violations
    found = list(known)
    if request.method == "DELETE":
        known.clear()
    return answer(found)


def counts(request: Request, account_id: str) -> Response:
    """Returns the number of calls by action, which tests poll."""
    return answer(dict(account(account_id).counts))


def faults(request: Request, account_id: str) -> Response:
    """Returns the faults from now on. PUT replaces all of them."""
    known = faults_of(account_id)
    if request.method != "GET":
        try:
            known.replace(request.json if request.method == "PUT" else [])
        except (AttributeError, TypeError, ValueError) as error:
            return Response(f"not a list of faults: {error}", status=400)
    return answer(known.left())


def timeline(request: Request, account_id: str) -> Response:
    world = world_of(account_id, request)
    with world.lock:
        world.advance(now())
        if request.method == "DELETE":
            world.timeline.clear()
        return answer({"events": sorted(world.timeline, key=lambda event: event["at"])})


def group(request: Request, account_id: str, name: str) -> Response:
    """Returns the group as the model has it. PUT merges a JSON object into its description, to show
    what moto cannot make; its key `InstanceRefresh` begins a refresh with that status instead."""
    world = world_of(account_id, request)
    with world.lock:
        world.advance(now())
        known = world.groups[name]
        if request.method == "PUT":
            wanted = dict(request.json)
            status = wanted.pop("InstanceRefresh", None)
            if status:
                known.refreshes.append({"InstanceRefreshId": "refresh-1", "Status": status})
            known.shown.update(wanted)
        tags = world.cloud.autoscaling.autoscaling_groups[name].tags
        targets = {
            world.targets[arn].name: {
                i: world.health(arn, i, True)[0] for i in world.targets[arn].registrations
            }
            for arn in known.target_groups
        }
        return answer(
            {
                "min": known.minimum,
                "max": known.maximum,
                "desired": known.desired,
                "suspended": sorted(known.suspended),
                "template": known.template,
                "tags": {tag.get("Key", tag.get("key")): tag for tag in tags},
                "instances": {
                    i.id: {"revision": i.revision, "lifecycle": i.lifecycle, "zone": i.zone}
                    | ({"weight": i.weight} if i.weight else {})
                    | ({"command": i.command} if i.command else {})
                    for i in known.instances.values()
                },
                "targets": targets,
            }
        )


def network(ec2, elb, want: dict) -> tuple[list[str], list[str]]:
    """Makes three subnets, and the target groups behind a load balancer."""
    name = want["name"]
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(
            VpcId=vpc, CidrBlock=f"10.0.{16 * n}.0/20", AvailabilityZone=f"{REGION}{zone}"
        )["Subnet"]["SubnetId"]
        for n, zone in enumerate("abc")
    ]
    balancer = elb.create_load_balancer(Name=name, Subnets=subnets)["LoadBalancers"][0]
    arns = []
    for port, target_group in enumerate(want.get("target_groups", [{"name": name}]), 80):
        made = make_target_group(elb, target_group, port, vpc)
        arns.append(made)
        if target_group.get("listener", True):
            elb.create_listener(
                LoadBalancerArn=balancer["LoadBalancerArn"],
                Protocol="HTTP",
                Port=port,
                DefaultActions=[{"Type": "forward", "TargetGroupArn": made}],
            )
    return subnets, arns


def make_target_group(elb, want: dict, port: int, vpc: str) -> str:
    made = elb.create_target_group(
        Name=want["name"],
        Protocol="HTTP",
        Port=port,
        VpcId=vpc,
        HealthCheckIntervalSeconds=5,
        HealthyThresholdCount=2,
        TargetType=want.get("target_type", "instance"),
    )["TargetGroups"][0]["TargetGroupArn"]
    delay = str(want.get("deregistration_delay", 1))
    elb.modify_target_group_attributes(
        TargetGroupArn=made,
        Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": delay}],
    )
    return made


def second_target_group(elb, want: dict, first_arn: str) -> dict:
    """Makes another target group, to which the first one's listener forwards nothing yet."""
    wish = want.get("second_target_group")
    if not wish:
        return {}
    first = elb.describe_target_groups(TargetGroupArns=[first_arn])["TargetGroups"][0]
    named = {"name": f"{first['TargetGroupName'][:25].rstrip('-')}-second"}
    wish = named | ({} if wish is True else wish)
    second_arn = make_target_group(elb, wish, first["Port"], first["VpcId"])
    config = {
        "TargetGroups": [
            {"TargetGroupArn": first_arn, "Weight": 100},
            {"TargetGroupArn": second_arn, "Weight": 0},
        ]
    }
    if want.get("stickiness"):
        config["TargetGroupStickinessConfig"] = {"Enabled": True, "DurationSeconds": 60}
    actions = [{"Type": "forward", "ForwardConfig": config}]
    listeners = elb.describe_listeners(LoadBalancerArn=first["LoadBalancerArns"][0])["Listeners"]
    listener = next(each for each in listeners if each["Port"] == first["Port"])["ListenerArn"]
    elb.modify_listener(ListenerArn=listener, DefaultActions=actions)
    rules = elb.describe_rules(ListenerArn=listener)["Rules"]
    for number in range(1, want.get("rules", 0) + 1):
        condition = {"Field": "path-pattern", "PathPatternConfig": {"Values": [f"/a{number}*"]}}
        rules += elb.create_rule(
            ListenerArn=listener, Priority=number, Conditions=[condition], Actions=actions
        )["Rules"]
    return {
        "second_target_group_arn": second_arn,
        "rule_arns": [rule["RuleArn"] for rule in rules],
    }


def templates(ec2, want: dict) -> str:
    """Makes a launch template with its versions."""
    name = want["name"]
    template = None
    for number, behaviour in enumerate(want.get("versions", [None, None])):
        data = {"ImageId": IMAGE, "InstanceType": "t3.micro"}
        tags = [{"Key": "version", "Value": str(number + 1)}]
        if behaviour:
            tags.append({"Key": "lab:behaviour", "Value": behaviour})
        data["TagSpecifications"] = [{"ResourceType": "instance", "Tags": tags}]
        if template is None:
            template = ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)[
                "LaunchTemplate"
            ]["LaunchTemplateId"]
        else:
            ec2.create_launch_template_version(LaunchTemplateId=template, LaunchTemplateData=data)
    return template


def fleet(request: Request, account_id: str) -> Response:
    """Makes a whole fleet that has been running for an hour, in one call."""
    want = request.json
    ec2, elb, autoscaling = clients(account_id, request.host, "ec2", "elbv2", "autoscaling")
    name = want["name"]

    subnets, arns = network(ec2, elb, want)
    second = second_target_group(elb, want, arns[0]) if arns else {}
    template = templates(ec2, want)
    world = world_of(account_id, request)
    size = want.get("size", 3)
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=name,
        MinSize=want.get("min", 0),
        MaxSize=want.get("max", size),
        DesiredCapacity=size,
        VPCZoneIdentifier=",".join(subnets),
        TargetGroupARNs=arns,
        HealthCheckType=want.get("health_check_type", "EC2"),
        HealthCheckGracePeriod=want.get("grace", 0),
        Tags=[{"Key": "team", "Value": "lab", "PropagateAtLaunch": True}],
        **launched(want, {"LaunchTemplateId": template, "Version": "1"}),
        **{key: want[asked] for asked, key in OPTIONS.items() if asked in want},
    )
    with world.lock:
        world.groups[name].suspended |= set(want.get("suspended", []))
        settle(world, name)
    around(autoscaling, want)
    if "warm_pool" in want:
        with world.lock:
            settle(world, name)
    account(account_id).forget_calls()
    made = {"target_group_arns": arns, "launch_template": template, "subnets": subnets}
    return answer(made | second)


def launched(want: dict, template: dict) -> dict:
    """Returns what the fleet's group launches: the template, or a policy with the requested
    overrides, of which one may name another version of the template."""
    if "mixed_instances" not in want:
        return {"LaunchTemplate": template}
    overrides = [dict(each) for each in want["mixed_instances"]]
    for each in overrides:
        if "LaunchTemplateSpecification" in each:
            own = {} if "LaunchTemplateName" in each["LaunchTemplateSpecification"] else template
            each["LaunchTemplateSpecification"] = own | each["LaunchTemplateSpecification"]
    policy = {"LaunchTemplateSpecification": template, "Overrides": overrides}
    return {"MixedInstancesPolicy": {"LaunchTemplate": policy}}


def around(autoscaling, want: dict) -> None:
    """Adds to an existing group its pool and its hooks. A hook holds nothing that launched before
    it, and a pool fills before the hooks exist."""
    name = want["name"]
    if "warm_pool" in want:
        autoscaling.put_warm_pool(AutoScalingGroupName=name, **want["warm_pool"])
    for hook in want.get("hooks", []):
        autoscaling.put_lifecycle_hook(AutoScalingGroupName=name, **hook)


def settle(world, name: str) -> None:
    """Lets the group's instances have run for an hour."""
    hour_ago = now() - 3600
    for instance in world.groups[name].instances.values():
        instance.launched = hour_ago
        instance.in_service_at = hour_ago
    for activity in world.groups[name].activities:
        activity["StartTime"] = hour_ago
        activity["EndTime"] = hour_ago + world.times["boot"]
    world.advance(now())
    world.timeline.clear()


ROUTES = {
    "clock": clock,
    "times": times,
    "calls": calls,
    "counts": counts,
    "violations": violations,
    "faults": faults,
    "timeline": timeline,
    "groups/<name>": group,
    "fleet": fleet,
}
