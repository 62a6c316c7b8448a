"""Groups, instances and targets, as a function of time.

Nothing here runs by itself: `World.advance(now)` brings everything up to date, with the exact
times at which things happened, whenever it is called. No LocalStack, no moto.
"""

import datetime
import itertools
import threading

from . import beanstalk, commands, hooks, mixed, refresh, root_volumes, warm
from .state import TIMES, TYPE, Group, Instance, TargetGroup
from .targets import Targets

__all__ = ["Group", "Instance", "TargetGroup", "World", "stamp"]

NO_CAPACITY = (
    "We currently do not have sufficient {type} capacity in the Availability Zone you requested "
    "({zone}). Our system will be working on provisioning additional capacity. Launching EC2 "
    "instance failed. (InsufficientInstanceCapacity)"
)


def stamp(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class World(Targets):
    """Everything of one account and region."""

    stamp = staticmethod(stamp)

    def __init__(self, cloud):
        """`cloud` launches and terminates EC2 instances, and knows templates and groups."""
        self.cloud = cloud
        self.lock = threading.RLock()
        self.times = dict(TIMES, target_groups={}) | beanstalk.TIMES
        self.groups: dict[str, Group] = {}
        self.targets: dict[str, TargetGroup] = {}
        self.plain: dict[str, Instance] = {}  # of no group
        self.commands = commands.Commands()
        self.root_volumes = root_volumes.RootVolumes()
        self.beanstalk = beanstalk.Beanstalk(self)
        self.timeline: list[dict] = []
        self.now = 0.0

    # -- time -----------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        now = max(now, self.now)
        looks = [source.moments(self, now) for source in (refresh, commands, root_volumes)]
        for moment in sorted(itertools.chain(*looks)):
            self._advance(moment)
        self.beanstalk.advance(now)

    def _advance(self, now: float) -> None:
        self.now = now
        commands.step(self)
        root_volumes.step(self)
        for group in self.groups.values():
            # A replacement may itself be due for something by now.
            while self._step(group):
                pass
        for instance in self.plain.values():
            due = instance.in_service_at
            if not (instance.in_service or instance.terminating or due is None or due > self.now):
                instance.in_service = True
                self.tell("in_service", instance, due)
        for target_group in self.targets.values():
            self._judge(target_group)

    def _step(self, group: Group) -> bool:
        changed = False
        for instance in list(group.instances.values()):
            if instance.gone_at is not None and instance.gone_at <= self.now:
                self._remove(group, instance)
                changed = True
            elif instance.terminating:
                changed |= self._leave(group, instance)
            elif instance.aside:
                changed |= self._set_aside(instance)
            elif (
                not instance.in_service
                and not instance.prepared
                and instance.in_service_at is not None
                and instance.in_service_at <= self.now
            ):
                changed |= self._arrive(group, instance)
        changed |= self._replace_unhealthy(group)
        changed |= self._launch_missing(group)
        changed |= warm.settle(self, group)
        changed |= self._rebalance(group)
        changed |= refresh.step(self, group)
        return changed

    def _arrive(self, group: Group, instance: Instance) -> bool:
        """Moves a booted instance on, unless a hook holds it."""
        at = hooks.passed(self, group, instance, hooks.LAUNCHING, instance.in_service_at)
        if at is None or at > self.now:
            return instance.terminating
        instance.proceeds = False
        if instance.pool:
            warm.prepare(self, instance, at)
        else:
            self._serve(group, instance, at)
        return True

    def _serve(self, group: Group, instance: Instance, at: float) -> None:
        instance.in_service = True
        instance.in_service_at = at
        hooks.ended(instance, at)
        self.tell("in_service", instance, at)
        if "AddToLoadBalancer" not in group.suspended:
            for arn in group.target_groups:
                self.register(arn, instance.id, at)

    def _leave(self, group: Group, instance: Instance) -> bool:
        """Terminates a drained instance, unless a hook holds it. Without hooks its end is known
        from the beginning."""
        if instance.gone_at is not None or instance.drained_at > self.now:
            return False
        at = hooks.passed(self, group, instance, hooks.TERMINATING, instance.drained_at)
        if at is None:
            return False
        instance.gone_at = at + self.times["terminate"]
        hooks.ended(instance, instance.gone_at)
        return True

    def _set_aside(self, instance: Instance) -> bool:
        if instance.aside == "Standby" or instance.aside_at > self.now:
            return False
        instance.aside = "Standby"
        self.tell("standby", instance, instance.aside_at)
        return True

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
            elif instance.ills:
                up = registration.since + self.register_time(arn)
                moments.append(max(up, min(instance.ills.values())))
        if not moments or instance.in_service_at is None:
            return None
        return max(min(moments), instance.in_service_at + group.grace)

    def _launch_missing(self, group: Group) -> bool:
        missing = group.desired - group.units()
        if missing <= 0 or "Launch" in group.suspended or self.now < group.retry_at:
            return False
        return self.launch(group, missing, self.now)

    def _rebalance(self, group: Group) -> bool:
        """Balances the zones when AWS would: terminates the youngest of the fullest zone, and
        leaves it to the launch of the missing one to choose the emptiest."""
        # AWS launches first: nothing moves into a zone without capacity.
        zones = [zone for zone in group.zones if zone not in self.times["no_capacity"]]
        if "AZRebalance" in group.suspended or len(zones) < 2 or group.refresh:
            return False
        live = [i for i in group.live() if i.in_service]
        if sum(i.units for i in live) < group.desired:
            return False
        counts = {zone: sum(i.zone == zone for i in live) for zone in zones}
        fullest = max(counts, key=lambda zone: counts[zone])
        victims = [i for i in live if i.zone == fullest and not i.protected]
        if counts[fullest] - min(counts.values()) < 2 or not victims:
            return False
        victim = max(victims, key=lambda i: i.launched)
        cause = f"At {stamp(self.now)} instances were launched to balance instances in zones."
        self.terminate(group, victim.id, False, self.now, cause)
        return True

    # -- instances ------------------------------------------------------------------------

    def launch(self, group: Group, units: int, at: float) -> bool:
        """Launches until `units` are reached, from the warm pool first; returns whether any was
        launched. A launch that fails is tried again."""
        came = False
        while units > 0:
            instance = warm.take(self, group, at) or self.start(group, at)
            if instance is None:
                break
            units -= instance.units
            came = True
        return came

    def start(self, group: Group, at: float, pool: str | None = None) -> Instance | None:
        """Launches one instance for the group or its warm pool, in the zone with the fewest that
        has capacity; None if it failed."""
        spec, kind, weight = mixed.choose(group)
        template, behaviour = self.cloud.resolve(spec)
        # The pool is spread over the zones together with the group.
        others = group.live() + (warm.members(group) if pool else [])
        zone = self._zone(group, others, behaviour, kind or TYPE, at)
        if zone is None:
            group.retry_at = at + self.times["retry"]
            return None
        group.turn += 1
        instance_id = self.cloud.run(group, template, zone, kind)
        boot = self.boot_time(behaviour)
        instance = Instance(
            id=instance_id,
            template=template,
            zone=zone,
            behaviour=behaviour,
            launched=at,
            in_service_at=None if behaviour == "hang" else at + boot,
            protected=group.protects,
            type=kind or TYPE,
            weight=weight,
            pool=pool,
        )
        root_volumes.boot(self, instance)
        group.instances[instance_id] = instance
        self.tell("launched", instance, at)
        cause = (
            f"At {stamp(at)} an instance was started in response to a difference between "
            "desired and actual capacity, increasing the capacity."
        )
        message = f"Launching a new EC2 instance{' into warm pool' if pool else ''}: {instance_id}"
        instance.activity = self.record(group, at, at + boot, "Successful", message, cause, "")
        return instance

    def _zone(
        self, group: Group, others: list[Instance], behaviour: str | None, kind: str, at: float
    ) -> str | None:
        """Returns the zone of the next instance. A zone without capacity gives a failed activity,
        and the next one is tried at once."""
        zones = sorted(group.zones, key=lambda z: sum(i.zone == z for i in others))
        tried = group.zones[:1] if behaviour == "fail-launch" else []
        for zone in [] if tried else zones:
            if zone not in self.times["no_capacity"]:
                break
            tried.append(zone)
        else:
            zone = None
        for each in tried:
            message = NO_CAPACITY.format(zone=each, type=kind)
            self.record(group, at, at, "Failed", "Launching a new EC2 instance", "", message)
        return zone

    def boot_time(self, behaviour: str | None) -> float:
        return self.times["boot"] * (5 if behaviour == "slow" else 1)

    def terminate(
        self, group: Group, instance_id: str, decrement: bool, at: float, cause: str
    ) -> None:
        """Deregisters an instance where it is registered, drains and terminates it. A replacement
        is launched at once unless `decrement`."""
        instance = group.instances[instance_id]
        if instance.terminating:
            return
        counted = not (instance.pool or instance.aside)
        instance.terminating = True
        instance.forget_hooks()
        gone = at + self.times["terminate"]
        instance.drained_at = at
        for arn in group.target_groups:
            registration = self.targets[arn].registrations.get(instance_id)
            if registration:
                self.deregister(arn, instance_id, at)
                drained = registration.deregistered_at + self.drain_time(arn)
                instance.drained_at = max(instance.drained_at, drained)
        gone = max(gone, instance.drained_at)
        holding = hooks.of(group, hooks.TERMINATING)
        instance.gone_at = None if holding else gone
        self.tell("terminating", instance, at)
        message = f"Terminating EC2 instance: {instance_id}"
        end = hooks.NEVER if holding else gone
        instance.activity = self.record(group, at, end, "Successful", message, cause, "")
        self._make_up_for(group, instance.units if decrement and counted else 0, at)

    def detach(self, group: Group, instance_id: str, decrement: bool, at: float) -> None:
        """Detaches an instance, which leaves every target group and goes on running."""
        instance = group.instances.pop(instance_id)
        for arn in group.target_groups:
            self.targets[arn].registrations.pop(instance_id, None)
        self.tell("detached", instance, at)
        self._make_up_for(group, instance.units if decrement and not instance.aside else 0, at)

    def _make_up_for(self, group: Group, decrement: int, at: float) -> None:
        """Lowers the size by what has left, or launches what is missing."""
        group.desired -= decrement
        missing = group.desired - group.units()
        if decrement or "Launch" in group.suspended:
            return
        if missing > 0 and at >= group.retry_at:
            self.launch(group, missing, at)

    def enter_standby(self, group: Group, instance_id: str, decrement: bool, at: float) -> None:
        """Takes an instance out of its target groups and of the capacity; it goes on running."""
        instance = group.instances[instance_id]
        instance.aside, instance.aside_at = "EnteringStandby", at
        for arn in group.target_groups:
            registration = self.targets[arn].registrations.get(instance_id)
            if registration:
                self.deregister(arn, instance_id, at)
                drained = registration.deregistered_at + self.drain_time(arn)
                instance.aside_at = max(instance.aside_at, drained)
        self._make_up_for(group, instance.units if decrement else 0, at)

    def exit_standby(self, group: Group, instance_id: str, at: float) -> None:
        """Brings an instance back, which enlarges the group. No hook is asked."""
        instance = group.instances[instance_id]
        instance.aside = None
        instance.in_service = False
        instance.in_service_at = instance.passed_at = at + self.times["proceed"]
        instance.asked = True
        group.desired += instance.units

    def shrink(self, group: Group) -> None:
        """Terminates what is above the size, the oldest template first."""
        excess = group.units() - group.desired
        if excess <= 0 or "Terminate" in group.suspended:
            return
        victims = [i for i in group.live() if not i.protected]
        for victim in sorted(victims, key=lambda i: (int(i.template["Version"]), i.launched, i.id)):
            if victim.units > excess:
                continue
            excess -= victim.units
            cause = f"At {stamp(self.now)} an instance was selected for termination."
            self.terminate(group, victim.id, False, self.now, cause)

    def _remove(self, group: Group, instance: Instance) -> None:
        del group.instances[instance.id]
        for arn, target_group in self.targets.items():
            registration = target_group.registrations.pop(instance.id, None)
            if registration:
                # The group drains it from its own target groups; it only disappears from others.
                end = registration.deregistered_at
                end = instance.gone_at if end is None else end + self.drain_time(arn)
                self.tell("deregistered", instance, min(end, instance.gone_at), arn)
        self.cloud.terminate(instance.id)
        self.tell("terminated", instance, instance.gone_at)

    # -- instances of no group ------------------------------------------------------------

    def begin_plain(self, instance: Instance) -> None:
        root_volumes.boot(self, instance)
        self.plain[instance.id] = instance
        self.tell("launched", instance, self.now)

    def end_plain(self, instance_id: str) -> None:
        """Terminates an unmanaged instance; its target groups notice."""
        instance = self.plain[instance_id]
        if instance.terminating:
            return
        instance.terminating = True
        for arn in self.targets:
            self.deregister(arn, instance_id, self.now)
        self.tell("terminating", instance, self.now)

    # -- what is told ---------------------------------------------------------------------

    def record(self, group, start, end, status, description, cause, message) -> dict:
        activity = {
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
        }
        group.activities.insert(0, activity)
        return activity
