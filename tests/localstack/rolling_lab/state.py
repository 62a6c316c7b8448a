"""The state at one time: groups, instances, targets, and how long things take."""

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
    "proceed": 0.1,  # from the end of a hook, or of standby, to the next state
    "hook_timeout": None,  # None: the hook's own heartbeat timeout
    "no_capacity": [],  # zones in which nothing can be launched
    "refresh_gives_up": 5.0,
    "refresh_waits": 3600.0,  # for instances that are protected or in standby
    "command": 1.0,
    "command_pending": None,  # None: a tenth of its duration
    "command_timeout": None,  # None: the command's own
    "unmanaged": [],  # instances that Systems Manager does not know; True: none
    "root_volume": 1.0,
    "zonal_shift": [],  # zones that requests are shifted away from
    "unseen": 0.0,  # how long what is new or changed does not show
}
TYPE = "t3.micro"


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
    type: str = TYPE
    weight: int | None = None
    pool: str | None = None  # the state that it keeps in the warm pool; None: not in the pool
    prepared: bool = False  # has that state
    aside: str | None = None  # EnteringStandby or Standby
    aside_at: float = 0.0  # when it is in standby
    asked: bool = False  # whether hooks were asked about its present transition
    waits: dict[str, float] = field(default_factory=dict)  # the hooks that hold it, until when
    passed_at: float | None = None  # when no hook holds it any more
    proceeds: bool = False  # between a hook's end and the next state
    drained_at: float | None = None  # when a terminating hook gets it
    activity: dict | None = None  # the one that brought it to its state
    # What makes it unhealthy, and since when: a command, an image, a reboot.
    ills: dict[str, float] = field(default_factory=dict)
    command: dict | None = None  # the last one that succeeded

    @property
    def revision(self) -> str:
        return f"{self.template['LaunchTemplateId']}:{self.template['Version']}"

    @property
    def units(self) -> int:
        return self.weight or 1

    @property
    def lifecycle(self) -> str:
        if self.aside and not self.terminating:
            return self.aside
        if self.in_service and not self.terminating:
            return "InService"
        if self.pool and self.prepared and not self.terminating:
            return f"Warmed:{self.pool}"
        stage = "Terminating" if self.terminating else "Pending"
        hold = ":Wait" if self.waits else ":Proceed" if self.proceeds else ""
        return f"{'Warmed:' if self.pool else ''}{stage}{hold}"

    def forget_hooks(self) -> None:
        """Makes the next transition ask the hooks anew."""
        self.asked, self.passed_at, self.proceeds = False, None, False
        self.waits.clear()


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
class WarmPool:
    minimum: int = 0
    most: int | None = None  # MaxGroupPreparedCapacity
    state: str = "Stopped"
    reuse: dict | None = None
    deleting: bool = False


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
    refreshes: list = field(default_factory=list)  # of Refresh, or made through the door
    shown: dict = field(default_factory=dict)  # merged into its description
    retry_at: float = 0.0
    mixed: dict | None = None  # a mixed instances policy, instead of the template
    turn: int = 0  # the next of the policy's overrides
    hooks: dict[str, dict] = field(default_factory=dict)
    pool: WarmPool | None = None
    refresh: object | None = None  # the running one
    options: dict = field(default_factory=dict)  # only shown
    protects: bool = False  # new instances are protected from scale-in

    def live(self) -> list[Instance]:
        """Returns the instances that count as its capacity, or soon will."""
        return [i for i in self.instances.values() if not (i.terminating or i.pool or i.aside)]

    def units(self) -> int:
        return sum(i.units for i in self.live())
