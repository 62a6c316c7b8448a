"""Faults on demand: calls that are refused, lost, or answered with an earlier state.

An account's faults come from its door. `before` runs ahead of every service, `after` behind it.
"""

import contextlib
import logging
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from types import SimpleNamespace

from localstack.aws.api import CommonServiceException
from localstack.aws.forwarder import create_aws_request_context
from localstack.aws.protocol.serializer import create_serializer
from localstack.utils.aws.request_context import mock_aws_request_headers
from rolo.serving import twisted

from .autoscaling import describe
from .cloud import SPEED, account, now
from .elbv2 import describe_health, described
from .model import World

LOG = logging.getLogger(__name__)
SERVICES = {"ec2", "elbv2", "autoscaling", "elasticbeanstalk", "cloudwatch", "s3", "ssm", "sts"}
KINDS = {"throttle", "rate", "deny", "error", "drop_before", "drop_after", "lag"}
READS = ("Describe", "Get", "Head", "List", "Search")
NOT_ALLOWED = "User: arn:aws:iam::lab is not authorized to perform: {action}"
FAILED = "The lab was told to fail this call."
# The code, message and status of a refusal, and the codes of some services.
REFUSALS = {
    "throttle": {
        None: ("Throttling", "Rate exceeded", 400),
        "ec2": ("RequestLimitExceeded", "Request limit exceeded.", 503),
        "s3": ("SlowDown", "Please reduce your request rate.", 503),
        "ssm": ("ThrottlingException", "Rate exceeded", 400),
    },
    "deny": {
        None: ("AccessDenied", NOT_ALLOWED, 403),
        "ec2": ("UnauthorizedOperation", "You are not authorized to perform this operation.", 403),
        "ssm": ("AccessDeniedException", NOT_ALLOWED, 400),
    },
    "error": {
        None: ("InternalFailure", FAILED, 500),
        "s3": ("InternalError", FAILED, 500),
        "ssm": ("InternalServerError", FAILED, 500),
    },
}
REFUSALS["rate"] = REFUSALS["throttle"]
# The only reads that lag.
GROUPS = "autoscaling.DescribeAutoScalingGroups"
HEALTH = "elbv2.DescribeTargetHealth"
# These know their own past, and are only told how far back to look.
OWN_PAST = {
    "elasticbeanstalk.DescribeEnvironments",
    "elasticbeanstalk.DescribeInstancesHealth",
    "elasticbeanstalk.DescribeEnvironmentHealth",
}
# How often a snapshot is taken while only time passes; after a write it is taken at once.
EVERY = 0.2
CONNECTION = "lab.connection"
AS_OF = "lab.as_of"


@dataclass
class Fault:
    kind: str
    action: str = "*"  # a pattern on service.Operation, or "reads", or "mutations"
    count: int | None = 1  # how many calls it still hits; None: for ever
    every: int = 1  # hits only every nth matching call
    seconds: float = 0.0  # how far back a lag goes
    per_second: float = 0.0  # how many calls a rate lets pass, and as many at once
    seen: int = 0  # matching calls so far
    bucket: float = 0.0  # how many a rate lets pass now
    filled: float = 0.0  # when that was counted
    since: float = 0.0  # when it was asked for

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind {self.kind!r}, known: {sorted(KINDS)}")
        if self.every < 1 or (self.count is not None and self.count < 1):
            raise ValueError("count and every are 1 or more")
        if (self.kind == "lag") != (self.seconds > 0):
            raise ValueError("a lag, and nothing else, has seconds above 0")
        if (self.kind == "rate") != (self.per_second > 0):
            raise ValueError("a rate, and nothing else, has per_second above 0")

    def matches(self, action: str) -> bool:
        if self.kind == "lag" and action not in {GROUPS, HEALTH} | OWN_PAST:
            return False
        if self.action in ("reads", "mutations"):
            return is_read(action) == (self.action == "reads")
        return fnmatchcase(action, self.action)

    def hits(self, action: str) -> bool:
        if self.count == 0 or not self.matches(action):
            return False
        if self.kind == "rate":
            return self.is_over()
        self.seen += 1
        if self.seen % self.every:
            return False
        if self.count is not None:
            self.count -= 1
        return True

    def is_over(self) -> bool:
        """Whether a call exceeds the rate, by a token bucket."""
        passed = now() - self.filled
        self.bucket = min(self.per_second, self.bucket + passed * self.per_second)
        self.filled += passed
        if self.bucket < 1:
            return True
        self.bucket -= 1
        return False


@dataclass
class Snapshot:
    """What the lagging reads would have answered at one time, by region."""

    at: float
    groups: dict[str, list[dict]]
    health: dict[str, dict[str, list[dict]]]  # by target group


class Faults:
    """The faults of one account, and its recent snapshots while a read lags."""

    def __init__(self, account_id: str):
        self.account_id = account_id
        self.lock = threading.Lock()
        self.faults: list[Fault] = []
        self.history: deque[Snapshot] = deque()
        # Held while a snapshot is taken, so that they are in the order of their times.
        self.taking = threading.Lock()
        self.timer: threading.Thread | None = None

    def replace(self, wanted: list[dict]) -> None:
        """Raises ValueError or TypeError for an invalid fault."""
        faults = []
        for each in wanted:
            count = {"count": None} if each.get("kind") in ("lag", "rate") else {}
            faults.append(Fault(**(count | each), since=now()))
        # A call has one fault; refusing or losing it comes before a lag.
        faults.sort(key=lambda fault: fault.kind == "lag")
        with self.lock:
            self.faults = faults
            if self.lag() and self.timer is None:
                self.timer = threading.Thread(target=self.watch, daemon=True)
                self.timer.start()
        self.keep()

    def left(self) -> list[dict]:
        with self.lock:
            return [asdict(fault) for fault in self.faults]

    def pick(self, action: str) -> Fault | None:
        with self.lock:
            hit = next((fault for fault in self.faults if fault.hits(action)), None)
            self.faults = [fault for fault in self.faults if fault.count != 0]
            return hit

    def lag(self) -> float:
        return max((fault.seconds for fault in self.faults), default=0.0)

    # -- the past -------------------------------------------------------------------------

    def watch(self) -> None:
        """Takes snapshots for as long as there is a lag."""
        while True:
            with self.lock:
                if not self.lag():
                    self.history.clear()
                    self.timer = None
                    return
            try:
                self.keep()
            except Exception:
                # If the timer died, reads would show the same state for ever.
                LOG.exception("failed to keep the past of %s", self.account_id)
            time.sleep(EVERY / SPEED)

    def keep(self) -> None:
        if not self.lag():
            return
        with self.taking:
            worlds = dict(account(self.account_id).worlds)
            groups = {region: groups_of(self.account_id, region) for region in worlds}
            health = {r: health_of(self.account_id, r, world) for r, world in worlds.items()}
            with self.lock:
                # Valid from now on: the time after reading, so that nothing shows too early.
                taken = Snapshot(now(), groups, health)
                last = self.history[-1] if self.history else None
                if last and (last.groups, last.health) == (taken.groups, taken.health):
                    return
                self.history.append(taken)
                while len(self.history) > 1 and self.history[1].at <= taken.at - self.lag():
                    self.history.popleft()

    def past(self, seconds: float) -> Snapshot | None:
        with self.lock:
            old = [s for s in self.history if s.at <= now() - seconds]
            return old[-1] if old else next(iter(self.history), None)


_accounts: dict[str, Faults] = {}
_lock = threading.Lock()


def faults_of(account_id: str) -> Faults:
    with _lock:
        return _accounts.setdefault(account_id, Faults(account_id))


def is_read(action: str) -> bool:
    return action.partition(".")[2].startswith(READS)


def groups_of(account_id: str, region: str) -> list[dict]:
    """Returns every group as DescribeAutoScalingGroups shows it now."""
    context = create_aws_request_context(
        "autoscaling", "DescribeAutoScalingGroups", parameters={"MaxRecords": 100}, region=region
    )
    context.account_id, context.region = account_id, region
    signed = mock_aws_request_headers("autoscaling", account_id, region)
    context.request.headers["Authorization"] = signed["Authorization"]
    context.request.headers["x-moto-account-id"] = account_id
    return describe(context, {})["AutoScalingGroups"]


def health_of(account_id: str, region: str, world: World) -> dict[str, list[dict]]:
    """Returns the targets of every target group as DescribeTargetHealth shows them now."""
    context = SimpleNamespace(account_id=account_id, region=region)
    answers = {}
    for arn in list(world.cloud.elb.target_groups):
        # It may be deleted meanwhile.
        with contextlib.suppress(CommonServiceException):
            answer = describe_health(context, {"TargetGroupArn": arn})
            answers[arn] = answer["TargetHealthDescriptions"]
    return answers


def lagging(context, snapshot: Snapshot) -> dict:
    """Returns the answer to a lagging read. It has no pages."""
    request = context.service_request or {}
    if context.operation.name == "DescribeTargetHealth":
        return lagging_health(context, request, snapshot)
    groups = snapshot.groups.get(context.region, [])
    names = request.get("AutoScalingGroupNames")
    if names:
        groups = [g for g in groups if g["AutoScalingGroupName"] in names]
    for condition in request.get("Filters") or []:
        groups = [g for g in groups if passes(g, condition["Name"], condition["Values"])]
    return {"AutoScalingGroups": groups}


def passes(group: dict, name: str, values: list[str]) -> bool:
    tags = [(tag["Key"], tag["Value"]) for tag in group.get("Tags") or []]
    if name == "tag-key":
        return any(key in values for key, _ in tags)
    if name == "tag-value":
        return any(value in values for _, value in tags)
    return any(f"tag:{key}" == name and value in values for key, value in tags)


def lagging_health(context, request: dict, snapshot: Snapshot) -> dict:
    arn = request["TargetGroupArn"]
    known = snapshot.health.get(context.region, {}).get(arn)
    if known is None:
        raise CommonServiceException(
            "TargetGroupNotFound", f"Target groups '{arn}' not found", 400, True
        )
    wanted = [target["Id"] for target in request.get("Targets") or []]
    if wanted:
        group = account(context.account_id).world(context.region).cloud.target_group(arn)
        by_id = {health["Target"]["Id"]: health for health in known}
        known = [by_id.get(i) or described(group, i, None) for i in wanted]
    return {"TargetHealthDescriptions": known}


# -- in front of the services and behind them ---------------------------------------------


def action_of(context) -> str | None:
    """Returns the call's name in the log of calls; None if it is not logged."""
    if context.service is None or context.operation is None or context.is_internal_call:
        return None
    service = context.service.service_name
    return f"{service}.{context.operation.name}" if service in SERVICES else None


def before(chain, context, response) -> None:
    action = action_of(context)
    fault = faults_of(context.account_id).pick(action) if action else None
    if fault is None:
        return
    context.fault = fault.kind
    if fault.kind in REFUSALS:
        known = REFUSALS[fault.kind]
        code, message, status = known.get(context.service.service_name, known[None])
        raise CommonServiceException(code, message.format(action=action), status, status < 500)
    if fault.kind == "drop_before":
        response.status_code = 0  # for the log of calls
        drop(context)
        chain.stop()
    if fault.kind == "lag" and action in OWN_PAST:
        setattr(context, AS_OF, max(now() - fault.seconds, fault.since))
    elif fault.kind == "lag":
        snapshot = faults_of(context.account_id).past(fault.seconds)
        if snapshot:
            context.service_response = lagging(context, snapshot)
            serializer = create_serializer(context.service, context.protocol)
            response.update_from(
                serializer.serialize_to_response(
                    context.service_response,
                    context.operation,
                    context.request.headers,
                    context.request_id,
                )
            )
            chain.stop()


def after(_chain, context, _response) -> None:
    action = action_of(context)
    if action is None:
        return
    if not is_read(action):
        # Before the caller gets the answer, so that it shows no later than it should.
        faults_of(context.account_id).keep()
    if context.get("fault") == "drop_after":
        drop(context)


def drop(context) -> None:
    """Resets the connection. What is written to it later is lost: Twisted's thread does both in the
    order in which they were requested."""
    from twisted.internet import reactor

    reactor.callFromThread(context.request.environ[CONNECTION].abortConnection)


def know_connections() -> None:
    """Gives every request its connection."""
    original = twisted.update_wsgi_environment

    def update(environ, request):
        original(environ, request)
        environ[CONNECTION] = request.channel.transport

    twisted.update_wsgi_environment = update
