"""Targets: registered, judged and drained, as a function of time."""

from .state import Group, Instance, Registration, TargetGroup

UNHEALTHY = ("Target.ResponseCodeMismatch", "Health checks failed with these codes: [502]")


class Targets:
    """The part of a world that load balancers see."""

    times: dict
    now: float
    groups: dict[str, Group]
    targets: dict[str, TargetGroup]
    plain: dict[str, Instance]
    timeline: list[dict]

    def register(self, arn: str, instance_id: str, at: float, port: int | None = None) -> None:
        registrations = self.targets[arn].registrations
        known = registrations.get(instance_id)
        if known and known.deregistered_at is None:
            known.ports.add(port)
            return
        registrations[instance_id] = Registration(since=at, ports={port})
        self.tell("registered", self.find(instance_id), at, arn)

    def deregister(self, arn: str, instance_id: str, at: float) -> None:
        registration = self.targets[arn].registrations.get(instance_id)
        if registration and registration.deregistered_at is None:
            registration.deregistered_at = at
            self.tell("draining", self.find(instance_id), at, arn)

    def deregister_port(self, arn: str, instance_id: str, at: float, port: int | None) -> None:
        """Deregisters an instance from one port; at the last one it drains. Others are no error."""
        registration = self.targets[arn].registrations.get(instance_id)
        if registration and registration.ports == {port}:
            self.deregister(arn, instance_id, at)
        elif registration and registration.deregistered_at is None:
            registration.ports.discard(port)

    def health(self, arn: str, instance_id: str, in_use: bool) -> tuple[str, str, str] | None:
        """Returns (state, reason, description), or None if the target is not listed."""
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
        if self._is_ill(instance, self.now) or (behaviour == "flap" and turn == 1):
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
                bad = self._is_ill(instance, due)
                self.tell("unhealthy" if bad else "healthy", instance, due, target_group.arn)
            if end is not None and end + self.drain_time(target_group.arn) <= self.now:
                del target_group.registrations[instance_id]
                end += self.drain_time(target_group.arn)
                self.tell("deregistered", instance, end, target_group.arn)

    def _is_ill(self, instance: Instance | None, at: float) -> bool:
        if instance is None:
            return False
        since = instance.ills.values()
        return instance.behaviour == "unhealthy" or any(each <= at for each in since)

    def fall_ill(self, instance: Instance, why: str, at: float) -> None:
        """Makes an instance unhealthy in all its target groups until it recovers from `why`."""
        told = self._verdict_changes(instance)
        if why not in instance.ills and not self._is_ill(instance, at):
            for arn in told:
                self.tell("unhealthy", instance, at, arn)
        instance.ills.setdefault(why, at)

    def recover(self, instance: Instance, why: str, at: float) -> None:
        told = self._verdict_changes(instance)
        if instance.ills.pop(why, None) is not None and not self._is_ill(instance, at):
            for arn in told:
                self.tell("healthy", instance, at, arn)

    def _verdict_changes(self, instance: Instance) -> list[str]:
        """Returns the target groups that have a verdict on the instance, which may change."""
        told = []
        for arn, target_group in self.targets.items():
            self._judge(target_group)
            registration = target_group.registrations.get(instance.id)
            if registration and registration.told and registration.deregistered_at is None:
                told.append(arn)
        return told

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

    def tell(
        self, kind: str, instance: Instance | None, at: float, arn: str | None = None, **more: str
    ) -> None:
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
            | more
        )
