"""What the model needs of moto: templates, EC2 instances, target groups. And the worlds."""

import os
import threading
import time
from collections import Counter, deque

from moto.autoscaling.models import autoscaling_backends
from moto.ec2.models import ec2_backends
from moto.ec2.models.amis import Ami
from moto.elbv2.models import elbv2_backends

from .model import World

IMAGE = "ami-12345678"  # of every template that the door makes
DELAY = "deregistration_delay.timeout_seconds"
BEHAVIOUR = "lab:behaviour"


class Moto:
    """One account and region in moto."""

    def __init__(self, account: str, region: str):
        self.ec2 = ec2_backends[account][region]
        self.elb = elbv2_backends[account][region]
        self.autoscaling = autoscaling_backends[account][region]
        self.make_image("lab", IMAGE, owner_id="137112412989", owner_alias="amazon", public=True)

    def resolve(self, template: dict) -> tuple[dict, str | None]:
        """Returns a launch template specification with its version as a number, and the behaviour
        that its instances are tagged with."""
        known = self.template(template)
        version = known.get_version(template.get("Version") or "$Default")
        resolved = {
            "LaunchTemplateId": known.id,
            "LaunchTemplateName": known.name,
            "Version": str(version.number),
        }
        return resolved, version.instance_tags.get(BEHAVIOUR)

    def template(self, template: dict):
        if template.get("LaunchTemplateId"):
            return self.ec2.get_launch_template(template["LaunchTemplateId"])
        return self.ec2.get_launch_template_by_name(template["LaunchTemplateName"])

    def run(self, group, template: dict, zone: str, kind: str | None = None) -> str:
        fake = self.autoscaling.autoscaling_groups[group.name]
        subnets = (fake.vpc_zone_identifier or "").split(",")
        subnet = next(
            (s for s in subnets if s and self.ec2.get_subnet(s).availability_zone == zone), None
        )
        version = self.template(template).get_version(template["Version"])
        tags = dict(version.instance_tags)
        tags["aws:autoscaling:groupName"] = group.name
        tags["aws:ec2launchtemplate:id"] = template["LaunchTemplateId"]
        tags["aws:ec2launchtemplate:version"] = template["Version"]
        for tag in fake.tags:
            if str(tag.get("PropagateAtLaunch", tag.get("propagate_at_launch"))).lower() == "true":
                tags[tag.get("Key", tag.get("key"))] = tag.get("Value", tag.get("value"))
        reservation = self.ec2.run_instances(
            version.image_id or IMAGE,
            1,
            None,
            [],
            instance_type=kind or version.instance_type or "t3.micro",
            is_instance_type_default=False,
            tags={"instance": tags},
            subnet_id=subnet,
            placement=None if subnet else zone,
            region_name=self.ec2.region_name,
        )
        return reservation.instances[0].id

    def terminate(self, instance_id: str) -> None:
        self.ec2.terminate_instances([instance_id])

    def stop(self, instance_id: str) -> None:
        self.ec2.stop_instances([instance_id])

    def start(self, instance_id: str) -> None:
        self.ec2.start_instances([instance_id])

    def is_down(self, instance_id: str) -> bool:
        return self.ec2.get_instance(instance_id)._state.name not in ("pending", "running")

    def address(self, instance_id: str) -> str:
        return self.ec2.get_instance(instance_id).private_ip

    def make_image(self, name: str, image_id: str, **more) -> None:
        """Makes an image as DescribeImages shows it, the account's own unless `more` differs."""
        fixed = {"virtualization_type": "hvm", "architecture": "x86_64", "hypervisor": "xen"}
        fixed |= {"root_device_type": "ebs", "image_location": f"lab/{name}", "description": ""}
        self.ec2.amis[image_id] = Ami(self.ec2, image_id, name=name, **fixed, **more)

    def image_of(self, instance_id: str) -> str:
        return self.ec2.get_instance(instance_id).image_id

    def image_behaviour(self, image_id: str) -> str | None:
        return self.ec2.tags.get(image_id, {}).get(BEHAVIOUR)

    def replace_root_volume(
        self, instance_id: str, image_id: str | None, snapshot_id: str | None, deletes: bool
    ) -> None:
        """Puts another volume in the old one's place; the old one stays unless `deletes`."""
        fake = self.ec2.get_instance(instance_id)
        fake.image_id = image_id or fake.image_id
        device = next(iter(fake.block_device_mapping))
        old = fake.block_device_mapping[device].volume_id
        if image_id in self.ec2.amis:  # it may be deregistered meanwhile
            snapshot_id = self.ec2.amis[image_id].ebs_snapshot.id
        size = self.ec2.volumes[old].size
        new = self.ec2.create_volume(size, fake._placement.zone, snapshot_id)
        self.ec2.detach_volume(old, instance_id, device)
        if deletes:
            self.ec2.delete_volume(old)
        self.ec2.attach_volume(new.id, instance_id, device, True)

    def target_group(self, arn: str):
        return self.elb.target_groups.get(arn)

    def deregistration_delay(self, arn: str) -> float:
        return float(self.target_group(arn).attributes[DELAY])


class Account:
    """One account: its worlds by region, and the calls it made."""

    def __init__(self, account: str):
        self.account = account
        self.worlds: dict[str, World] = {}
        self.calls: deque = deque(maxlen=100_000)
        self.counts: Counter = Counter()
        self.violations: list[str] = []  # descriptions of requests that AWS would refuse
        self.lock = threading.RLock()

    def log_call(self, call: dict) -> None:
        with self.lock:
            self.calls.append(call)
            self.counts[f"{call['service']}.{call['action']}"] += 1

    def forget_calls(self) -> None:
        with self.lock:
            self.calls.clear()
            self.counts.clear()

    def world(self, region: str) -> World:
        with self.lock:
            if region not in self.worlds:
                self.worlds[region] = World(Moto(self.account, region))
            return self.worlds[region]


_accounts: dict[str, Account] = {}
_lock = threading.Lock()


def account(account_id: str) -> Account:
    with _lock:
        return _accounts.setdefault(account_id, Account(account_id))


# The lab's time begins now, and runs so many times as fast as real time.
START = time.time()
SPEED = float(os.environ.get("ROLLING_LAB_SPEED", "1"))


def now() -> float:
    return START + (time.time() - START) * SPEED
