"""Unmanaged instances: they take time to boot, and a launch has a token.

moto launches at once, and ignores tokens. Only instances from a launch template are modelled
here.
"""

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instances import InstanceBackend, InstanceState
from werkzeug import Request, Response

from .clients import clients
from .cloud import BEHAVIOUR, account, now
from .door import answer, network, templates, world_of
from .model import NO_CAPACITY, stamp
from .state import TYPE, Instance

PENDING, RUNNING = ("pending", 0), ("running", 16)


class Tokens:
    """What each client token of an account and region has launched."""

    def __init__(self):
        self.launched: dict[str, tuple[str, object]] = {}

    def known(self, world, token: str | None, asked: str):
        """Returns the reservation that `token` made, if any."""
        if token not in self.launched:
            return None
        before, reservation = self.launched[token]
        if before != asked:
            raise EC2ClientError(
                "IdempotentParameterMismatch",
                "The request uses the same client token as a previous, but non-identical request.",
            )
        if all(world.plain[i.id].terminating for i in reservation.instances):
            raise EC2ClientError(
                "IdempotentInstanceTerminated",
                "The request to launch an instance uses the same client token as a previous "
                "request for which the instance has been terminated.",
            )
        return reservation


_tokens: dict[tuple[str, str], Tokens] = {}


def give_life() -> None:
    """Makes moto launch and terminate as the lab does."""
    launch, terminate = InstanceBackend.run_instances, InstanceBackend.terminate_instances

    def run_instances(backend, *args, **kwargs):
        template = kwargs.get("launch_template")
        if not template:
            return launch(backend, *args, **kwargs)
        world = account(backend.account_id).world(backend.region_name)
        with world.lock:
            world.advance(now())
            tokens = _tokens.setdefault((backend.account_id, backend.region_name), Tokens())
            token = kwargs.get("client_token")
            asked = repr((args, sorted(kwargs.items(), key=lambda item: item[0])))
            known = tokens.known(world, token, asked)
            if known:
                return known
            resolved, behaviour = world.cloud.resolve(template)
            if behaviour == "fail-launch":
                zone = backend.get_subnet(kwargs["subnet_id"]).availability_zone
                message = NO_CAPACITY.format(zone=zone, type=TYPE)
                raise EC2ClientError("InsufficientInstanceCapacity", message)
            reservation = launch(backend, *args, **kwargs)
            for each in reservation.instances:
                begin(world, each, resolved)
            tokens.launched[token] = (asked, reservation)
            return reservation

    def terminate_instances(backend, instance_ids):
        world = account(backend.account_id).world(backend.region_name)
        with world.lock:
            # The model itself calls this, in the middle of a step, for what a group terminates.
            asked = [i for i in instance_ids if i in world.plain or is_pooled(world, i)]
            if asked:
                world.advance(now())
            ended = terminate(backend, instance_ids)
            for instance_id in asked:
                if instance_id in world.plain:
                    world.end_plain(instance_id)
                else:
                    end_pooled(world, instance_id)
            return ended

    InstanceBackend.run_instances = run_instances
    InstanceBackend.terminate_instances = terminate_instances


def begin(world, fake, template: dict) -> None:
    fake.add_tags(
        {
            "aws:ec2launchtemplate:id": template["LaunchTemplateId"],
            "aws:ec2launchtemplate:version": template["Version"],
        }
    )
    tags = {tag["key"]: tag["value"] for tag in fake.get_tags()}
    behaviour = tags.get(BEHAVIOUR)
    boot = world.times["boot"] * (5 if behaviour == "slow" else 1)
    fake._state = InstanceState(*PENDING)
    world.begin_plain(
        Instance(
            id=fake.id,
            template=template,
            zone=fake._placement.zone,
            behaviour=behaviour,
            launched=world.now,
            in_service_at=None if behaviour == "hang" else world.now + boot,
        )
    )


def is_pooled(world, instance_id: str) -> bool:
    groups = [g.instances[instance_id] for g in world.groups.values() if instance_id in g.instances]
    return any(instance.pool and not instance.terminating for instance in groups)


def end_pooled(world, instance_id: str) -> None:
    """Lets a group notice that an instance of its warm pool is gone."""
    for group in world.groups.values():
        instance = group.instances.get(instance_id)
        if instance and instance.pool and not instance.terminating:
            cause = f"At {stamp(world.now)} an instance was taken out of the warm pool."
            world.terminate(group, instance_id, False, world.now, cause)


def before(_chain, context, _response) -> None:
    """Brings the states that EC2 shows up to date."""
    if context.service is None or context.service.service_name != "ec2":
        return
    world = account(context.account_id).world(context.region)
    with world.lock:
        world.advance(now())
        for instance in world.plain.values():
            if instance.in_service and not instance.terminating:
                fake = world.cloud.ec2.get_instance(instance.id)
                if fake._state.name == PENDING[0]:
                    fake._state = InstanceState(*RUNNING)


# -- the door -----------------------------------------------------------------------------


def fleet(request: Request, account_id: str) -> Response:
    """Makes instances behind a target group that have been running for an hour, in one call."""
    want = request.json
    ec2, elb = clients(account_id, request.host, "ec2", "elbv2")
    subnets, arns = network(ec2, elb, want)
    template = templates(ec2, want)
    port = {"Port": want["port"]} if "port" in want else {}
    world = world_of(account_id, request)
    made = []
    for number in range(want.get("size", 3)):
        launched = ec2.run_instances(
            MinCount=1,
            MaxCount=1,
            ClientToken=f"{want['name']}-{number}",
            SubnetId=subnets[number % len(subnets)],
            LaunchTemplate={"LaunchTemplateId": template, "Version": "1"},
            TagSpecifications=[
                {
                    "ResourceType": "instance",
                    "Tags": [
                        {"Key": "Name", "Value": f"{want['name']}-{number}"},
                        {"Key": "team", "Value": "lab"},
                    ],
                }
            ],
        )
        made.append(launched["Instances"][0]["InstanceId"])
    hour_ago = now() - 3600
    with world.lock:
        for instance_id in made:
            instance = world.plain[instance_id]
            instance.launched = instance.in_service_at = hour_ago
        world.advance(now())
    with world.lock:
        names = {i: {"i": i, "address": world.cloud.address(i)} for i in made}
    kinds = [each.get("target_type", "instance") for each in want.get("target_groups") or [want]]
    kinds += ["instance"] * len(arns)

    def targets(of: list, kind: str, **more) -> list:
        return [{"Id": names[i]["address" if kind == "ip" else "i"], **more} for i in of]

    elb.register_targets(TargetGroupArn=arns[0], Targets=targets(made, kinds[0], **port))
    for arn, kind, count in zip(arns[1:], kinds[1:], want.get("also_in") or []):
        elb.register_targets(TargetGroupArn=arn, Targets=targets(made[:count], kind))
    with world.lock:
        for arn in arns:
            for registration in world.targets[arn].registrations.values():
                registration.since = hour_ago
        world.advance(now())
        world.timeline.clear()
    account(account_id).forget_calls()
    return answer(
        {"target_group_arns": arns, "launch_template": template, "subnets": subnets, "ids": made}
    )


def instances(request: Request, account_id: str, name: str) -> Response:
    """Returns the live instances, and the target group of this name as it is."""
    world = world_of(account_id, request)
    with world.lock:
        world.advance(now())
        target_group = next(t for t in world.targets.values() if t.name == name)
        told = {}
        for instance in world.plain.values():
            if instance.terminating:
                continue
            fake = world.cloud.ec2.get_instance(instance.id)
            told[instance.id] = {
                "revision": instance.revision,
                "lifecycle": instance.lifecycle,
                "zone": instance.zone,
                "subnet": fake.subnet_id,
                "tags": {tag["key"]: tag["value"] for tag in fake.get_tags()},
            } | ({"command": instance.command} if instance.command else {})
        arn = target_group.arn
        tags = world.cloud.elb.tagging_service.list_tags_for_resource(arn)["Tags"]
        registered = target_group.registrations
        return answer(
            {
                "instances": told,
                "tags": {tag["Key"]: tag["Value"] for tag in tags},
                "targets": {
                    each.name: {i: world.health(each.arn, i, True)[0] for i in each.registrations}
                    for each in world.targets.values()
                    if each.registrations
                },
                "ports": {i: sorted(port or 0 for port in r.ports) for i, r in registered.items()},
            }
        )


ROUTES = {"plain": fleet, "plain/<name>": instances}
