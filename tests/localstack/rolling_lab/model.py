"""The life of groups, instances and targets, as a function of time.

Nothing here runs by itself: `World.advance(now)` brings everything up to date, with the exact
moments at which things happened, whoever looks and when. No LocalStack, no moto.
"""

import threading
from dataclasses import dataclass, field

TIMES = {
    "boot": 2.0,
    "register": 1.0,
    "drain": None,  # None: the target group's own deregistration delay
    "terminate": 0.1,
    "retry": 2.0,
    "flap": 0.5,
    "target_groups": {},  # by name: {"register": ..., "drain": ...}
    "elb_replaces_deregistered": False,
}
UNHEALTHY = ("Target.ResponseCodeMismatch", "Health checks failed with these codes: [502]")
NO_CAPACITY = (
    "We currently do not have sufficient t3.micro capacity in the Availability Zone you requested "
    "({zone}). Our system will be working on provisioning additional capacity. Launching EC2 "
    "instance failed. (InsufficientInstanceCapacity)"
)


@dataclass
class Instance:
    id: str
    template: dict  # LaunchTemplateId, LaunchTemplateName, Version (a number)
    zone: str
    behaviour: str | None
    launched: float
    in_service_at: float | None  # None: never
    in_service: bool = False
    healthy: bool = True
    terminating: bool = False
    gone_at: float | None = None
    protected: bool = False

    @property
    def revision(self) -> str:
        return f"{self.template['LaunchTemplateId']}:{self.template['Version']}"

    @property
    def lifecycle(self) -> str:
        if self.terminating:
            return "Terminating"
        return "InService" if self.in_service else "Pending"


@dataclass
class Registration:
    since: float
    deregistered_at: float | None = None
    told: bool = False  # whether the timeline has its first verdict
    ports: set[int | None] = field(default_factory=lambda: {None})  # None: the group's own


@dataclass
class TargetGroup:
    arn: str
    name: str
    registrations: dict[str, Registration] = field(default_factory=dict)


@dataclass
class Group:
    name: str
    minimum: int
    maximum: int
    desired: int
    template: dict | None
    health_check: str = "EC2"
    grace: float = 0.0
    zones: list[str] = field(default_factory=list)
    target_groups: list[str] = field(default_factory=list)
    suspended: set[str] = field(default_factory=set)
    instances: dict[str, Instance] = field(default_factory=dict)
    activities: list[dict] = field(default_factory=list)
    refreshes: list[dict] = field(default_factory=list)
    shown: dict = field(default_factory=dict)  # merged into its description
    retry_at: float = 0.0

    def live(self) -> list[Instance]:
        return [i for i in self.instances.values() if not i.terminating]


class World:
    """Everything of one account and region."""

    def __init__(self, cloud):
        """`cloud` launches and terminates EC2 instances, and tells of templates and groups."""
        self.cloud = cloud
        self.lock = threading.RLock()
        self.times = dict(TIMES, target_groups={})
        self.groups: dict[str, Group] = {}
        self.targets: dict[str, TargetGroup] = {}
        self.plain: dict[str, Instance] = {}  # of no group
        self.timeline: list[dict] = []
        self.now = 0.0

    # -- time -----------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        self.now = max(now, self.now)
        for group in self.groups.values():
            # A replacement may itself be due for something by now.
            while self._step(group):
                pass
        for instance in self.plain.values():
            due = instance.in_service_at
            if not (instance.in_service or instance.terminating or due is None or due > self.now):
                instance.in_service = True
                self._tell("in_service", instance, due)
        for target_group in self.targets.values():
            self._judge(target_group)

    def _step(self, group: Group) -> bool:
        changed = False
        for instance in list(group.instances.values()):
            if instance.gone_at is not None and instance.gone_at <= self.now:
                self._remove(group, instance)
                changed = True
            elif (
                not instance.in_service
                and not instance.terminating
                and instance.in_service_at is not None
                and instance.in_service_at <= self.now
            ):
                instance.in_service = True
                self._tell("in_service", instance, instance.in_service_at)
                if "AddToLoadBalancer" not in group.suspended:
                    for arn in group.target_groups:
                        self.register(arn, instance.id, instance.in_service_at)
                changed = True
        changed |= self._replace_unhealthy(group)
        changed |= self._launch_missing(group)
        changed |= self._rebalance(group)
        return changed

    def _replace_unhealthy(self, group: Group) -> bool:
        if group.health_check != "ELB" or group.suspended & {"HealthCheck", "ReplaceUnhealthy"}:
            return False
        changed = False
        for instance in group.live():
            due = self._found_unhealthy_at(group, instance)
            if due is None or due > self.now or not instance.in_service:
                continue
            instance.healthy = False
            cause = (
                f"At {stamp(due)} an instance was taken out of service in response to an ELB "
                "system health check failure."
            )
            self.terminate(group, instance.id, False, due, cause)
            changed = True
        return changed

    def _found_unhealthy_at(self, group: Group, instance: Instance) -> float | None:
        moments = []
        for arn in group.target_groups:
            registration = self.targets[arn].registrations.get(instance.id)
            if registration is None or registration.deregistered_at is not None:
                if registration and self.times["elb_replaces_deregistered"]:
                    moments.append(registration.deregistered_at)
            elif instance.behaviour == "unhealthy":
                moments.append(registration.since + self.register_time(arn))
        if not moments or instance.in_service_at is None:
            return None
        return max(min(moments), instance.in_service_at + group.grace)

    def _launch_missing(self, group: Group) -> bool:
        missing = group.desired - len(group.live())
        if missing <= 0 or "Launch" in group.suspended or self.now < group.retry_at:
            return False
        return self.launch(group, missing, self.now)

    def _rebalance(self, group: Group) -> bool:
        """Evens out the zones when AWS would: launches nothing, gives the fullest zone's
        youngest away and lets the launch of the missing one find the emptiest."""
        if "AZRebalance" in group.suspended or len(group.zones) < 2:
            return False
        live = [i for i in group.live() if i.in_service]
        if len(live) < group.desired:
            return False
        counts = {zone: sum(i.zone == zone for i in live) for zone in group.zones}
        fullest = max(counts, key=lambda zone: counts[zone])
        if counts[fullest] - min(counts.values()) < 2:
            return False
        victim = max((i for i in live if i.zone == fullest), key=lambda i: i.launched)
        cause = f"At {stamp(self.now)} instances were launched to balance instances in zones."
        self.terminate(group, victim.id, False, self.now, cause)
        return True

    # -- instances ------------------------------------------------------------------------

    def launch(self, group: Group, count: int, at: float) -> bool:
        """Launches `count`; returns whether any came. A launch that fails is tried again."""
        template, behaviour = self.cloud.resolve(group.template)
        if behaviour == "fail-launch":
            group.retry_at = at + self.times["retry"]
            words = NO_CAPACITY.format(zone=group.zones[0])
            self._activity(group, at, at, "Failed", "Launching a new EC2 instance", "", words)
            return False
        boot = self.times["boot"] * (5 if behaviour == "slow" else 1)
        for _ in range(count):
            zone = min(group.zones, key=lambda z: sum(i.zone == z for i in group.live()))
            instance_id = self.cloud.run(group, template, zone)
            instance = Instance(
                id=instance_id,
                template=template,
                zone=zone,
                behaviour=behaviour,
                launched=at,
                in_service_at=None if behaviour == "hang" else at + boot,
            )
            group.instances[instance_id] = instance
            self._tell("launched", instance, at)
            cause = (
                f"At {stamp(at)} an instance was started in response to a difference between "
                "desired and actual capacity, increasing the capacity."
            )
            end = at + boot
            words = f"Launching a new EC2 instance: {instance_id}"
            self._activity(group, at, end, "Successful", words, cause, "")
        return True

    def terminate(
        self, group: Group, instance_id: str, decrement: bool, at: float, cause: str
    ) -> None:
        """Deregisters where still registered, drains, and removes. A replacement is launched at
        once unless `decrement`."""
        instance = group.instances[instance_id]
        if instance.terminating:
            return
        instance.terminating = True
        gone = at + self.times["terminate"]
        for arn in group.target_groups:
            registration = self.targets[arn].registrations.get(instance_id)
            if registration:
                self.deregister(arn, instance_id, at)
                gone = max(gone, registration.deregistered_at + self.drain_time(arn))
        instance.gone_at = gone
        self._tell("terminating", instance, at)
        words = f"Terminating EC2 instance: {instance_id}"
        self._activity(group, at, gone, "Successful", words, cause, "")
        if decrement:
            group.desired -= 1
        elif "Launch" not in group.suspended:
            missing = group.desired - len(group.live())
            if missing > 0 and at >= group.retry_at:
                self.launch(group, missing, at)

    def detach(self, group: Group, instance_id: str, decrement: bool, at: float) -> None:
        """Lets go of an instance, which leaves every target group and goes on running."""
        instance = group.instances.pop(instance_id)
        for arn in group.target_groups:
            self.targets[arn].registrations.pop(instance_id, None)
        self._tell("detached", instance, at)
        if decrement:
            group.desired -= 1
        elif "Launch" not in group.suspended:
            missing = group.desired - len(group.live())
            if missing > 0 and at >= group.retry_at:
                self.launch(group, missing, at)

    def shrink(self, group: Group) -> None:
        """A size below what lives: the group chooses victims, the oldest template first."""
        excess = len(group.live()) - group.desired
        if excess <= 0 or "Terminate" in group.suspended:
            return
        order = sorted(group.live(), key=lambda i: (int(i.template["Version"]), i.launched, i.id))
        for victim in order[:excess]:
            cause = f"At {stamp(self.now)} an instance was selected for termination."
            self.terminate(group, victim.id, False, self.now, cause)

    def _remove(self, group: Group, instance: Instance) -> None:
        del group.instances[instance.id]
        for arn in group.target_groups:
            registration = self.targets[arn].registrations.pop(instance.id, None)
            if registration:
                end = registration.deregistered_at + self.drain_time(arn)
                self._tell("deregistered", instance, end, arn)
        self.cloud.terminate(instance.id)
        self._tell("terminated", instance, instance.gone_at)

    # -- targets --------------------------------------------------------------------------

    def register(self, arn: str, instance_id: str, at: float, port: int | None = None) -> None:
        registrations = self.targets[arn].registrations
        known = registrations.get(instance_id)
        if known and known.deregistered_at is None:
            known.ports.add(port)
            return
        registrations[instance_id] = Registration(since=at, ports={port})
        self._tell("registered", self.find(instance_id), at, arn)

    def deregister(self, arn: str, instance_id: str, at: float) -> None:
        registration = self.targets[arn].registrations.get(instance_id)
        if registration and registration.deregistered_at is None:
            registration.deregistered_at = at
            self._tell("draining", self.find(instance_id), at, arn)

    def deregister_port(self, arn: str, instance_id: str, at: float, port: int | None) -> None:
        """Takes an instance off one port; off the last one it drains. Another port is no error."""
        registration = self.targets[arn].registrations.get(instance_id)
        if registration and registration.ports == {port}:
            self.deregister(arn, instance_id, at)
        elif registration and registration.deregistered_at is None:
            registration.ports.discard(port)

    def begin_plain(self, instance: Instance) -> None:
        self.plain[instance.id] = instance
        self._tell("launched", instance, self.now)

    def end_plain(self, instance_id: str) -> None:
        """Terminates an instance of no group; its target groups notice."""
        instance = self.plain[instance_id]
        if instance.terminating:
            return
        instance.terminating = True
        for arn in self.targets:
            self.deregister(arn, instance_id, self.now)
        self._tell("terminating", instance, self.now)

    def health(self, arn: str, instance_id: str, in_use: bool) -> tuple[str, str, str] | None:
        """(state, reason, description), or None where the target is not listed."""
        registration = self.targets[arn].registrations.get(instance_id)
        if registration is None:
            return None
        if registration.deregistered_at is not None:
            return (
                "draining",
                "Target.DeregistrationInProgress",
                "Target deregistration is in progress",
            )
        if not in_use:
            return (
                "unused",
                "Target.NotInUse",
                "Target group is not configured to receive traffic from the load balancer",
            )
        up = registration.since + self.register_time(arn)
        if self.now < up:
            return "initial", "Elb.RegistrationInProgress", "Target registration is in progress"
        instance = self.find(instance_id)
        behaviour = instance.behaviour if instance else None
        turn = int((self.now - up) / self.times["flap"]) % 2
        if behaviour == "unhealthy" or (behaviour == "flap" and turn == 1):
            return "unhealthy", *UNHEALTHY
        return "healthy", "", ""

    def _judge(self, target_group: TargetGroup) -> None:
        """Ends drains that are over, and notes the first verdict on each target."""
        for instance_id, registration in list(target_group.registrations.items()):
            instance = self.find(instance_id)
            due = registration.since + self.register_time(target_group.arn)
            end = registration.deregistered_at
            if not registration.told and due <= self.now and (end is None or due <= end):
                registration.told = True
                bad = instance is not None and instance.behaviour == "unhealthy"
                self._tell("unhealthy" if bad else "healthy", instance, due, target_group.arn)
            if end is not None and end + self.drain_time(target_group.arn) <= self.now:
                del target_group.registrations[instance_id]
                end += self.drain_time(target_group.arn)
                self._tell("deregistered", instance, end, target_group.arn)

    def register_time(self, arn: str) -> float:
        own = self.times["target_groups"].get(self.targets[arn].name, {})
        return own.get("register", self.times["register"])

    def drain_time(self, arn: str) -> float:
        own = self.times["target_groups"].get(self.targets[arn].name, {})
        told = own.get("drain", self.times["drain"])
        return self.cloud.deregistration_delay(arn) if told is None else told

    def find(self, instance_id: str) -> Instance | None:
        for group in self.groups.values():
            if instance_id in group.instances:
                return group.instances[instance_id]
        return self.plain.get(instance_id)

    # -- what is told ---------------------------------------------------------------------

    def _tell(self, kind: str, instance: Instance | None, at: float, arn: str | None = None):
        if instance is None:
            return
        self.timeline.append(
            {
                "at": at,
                "kind": kind,
                "instance": instance.id,
                "target_group": self.targets[arn].name if arn else None,
                "revision": instance.revision,
            }
        )

    def _activity(self, group, start, end, status, description, cause, message):
        group.activities.insert(
            0,
            {
                "ActivityId": f"{len(group.activities):08d}-0000-4000-8000-000000000000",
                "AutoScalingGroupName": group.name,
                "Description": description,
                "Cause": cause,
                "StartTime": start,
                "EndTime": end,
                "StatusCode": status,
                "StatusMessage": message,
                "Progress": 100,
                "Details": "{}",
            },
        )


def stamp(at: float) -> str:
    import datetime

    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
