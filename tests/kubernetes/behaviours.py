"""What becomes of a container, by the tag of its image: pure, as scripts of steps.

A tag that begins with the name of a behaviour has it (`app:crash-2`); the pod's annotation
`rolling-test/behaviour` has precedence. States, reasons and messages are those of a real kubelet.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace

PREFIX = "rolling-test/"
SLOW = 5
# A kubelet's first back-off, and its longest, in seconds. Messages name these, whatever a
# back-off takes here.
FIRST_BACK_OFF = 10
LONGEST_BACK_OFF = 300
PROBE_FAILED = "Readiness probe failed: HTTP probe failed with statuscode: 500"


@dataclass(frozen=True)
class Times:
    """Seconds. A pod's annotation `rolling-test/NAME` has precedence."""

    boot: float = 1.0  # until a container runs
    ready: float = 0.5  # until it is ready, or fails, from then on
    drain: float = 1.0  # until it has ended, once it is terminated; at most the grace period
    backoff: float = 1.0  # the first back-off; each is twice as long as the one before
    probe: float = 1.0  # between two failed probes
    flap: float = 2.0  # between a change of readiness and the next

    def of(self, annotations: dict) -> "Times":
        given = {each.name: annotations.get(PREFIX + each.name) for each in fields(self)}
        return replace(self, **{name: float(text) for name, text in given.items() if text})


@dataclass(frozen=True)
class Step:
    """How a container is, `after` so many seconds; `events` are (type, reason, message)."""

    after: float
    state: dict
    ready: bool = False
    restarts: int = 0
    last: dict | None = None
    events: tuple = ()


@dataclass(frozen=True)
class Container:
    """What a script knows; `now` tells the time as the API has it."""

    name: str
    image: str
    pod: dict
    times: Times
    now: Callable[[], str]

    def running(self) -> dict:
        return {"running": {"startedAt": self.now()}}


def waiting(reason: str, message: str | None = None) -> dict:
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


CREATING = Step(0, waiting("ContainerCreating"))


def started(container: Container) -> tuple:
    return (
        ("Normal", "Pulled", f'Container image "{container.image}" already present on machine'),
        ("Normal", "Created", f"Created container {container.name}"),
        ("Normal", "Started", f"Started container {container.name}"),
    )


def good(container: Container) -> Iterator[Step]:
    yield Step(container.times.boot, CREATING.state)
    state = container.running()
    yield Step(0, state, events=started(container))
    yield Step(container.times.ready, state, ready=True)


def slow(container: Container) -> Iterator[Step]:
    longer = replace(container.times, boot=container.times.boot * SLOW)
    yield from good(replace(container, times=longer))


def unready(container: Container) -> Iterator[Step]:
    yield Step(container.times.boot, CREATING.state)
    state = container.running()
    yield Step(0, state, events=started(container))
    after = container.times.ready
    while True:
        yield Step(after, state, events=(("Warning", "Unhealthy", PROBE_FAILED),))
        after = container.times.probe


def flap(container: Container) -> Iterator[Step]:
    for step in good(container):
        yield step
    while True:
        failed = (("Warning", "Unhealthy", PROBE_FAILED),)
        yield Step(container.times.flap, step.state, events=failed)
        yield Step(container.times.flap, step.state, ready=True)


def crash(container: Container) -> Iterator[Step]:
    yield from crashes(container, {"exitCode": 1, "reason": "Error"})


def oom(container: Container) -> Iterator[Step]:
    yield from crashes(container, {"exitCode": 137, "reason": "OOMKilled"})


def crashes(container: Container, end: dict) -> Iterator[Step]:
    """The first restart is at once, each later one after a back-off."""
    yield Step(container.times.boot, CREATING.state)
    restarts, last = 0, None
    while True:
        state = container.running()
        yield Step(0, state, restarts=restarts, last=last, events=started(container))
        yield Step(container.times.ready, state, restarts=restarts, last=last)
        times = {"startedAt": state["running"]["startedAt"], "finishedAt": container.now()}
        ended = {"terminated": {**end, **termination_message(container), **times}}
        yield Step(0, ended, restarts=restarts, last=last)
        last = ended
        if restarts:
            shown, wait = back_off(restarts - 1, container.times)
            meta = container.pod["metadata"]
            where = f"{meta['name']}_{meta['namespace']}({meta['uid']})"
            message = f"back-off {shown} restarting failed container={container.name} pod={where}"
            event = ("Warning", "BackOff", "Back-off restarting failed container")
            state = waiting("CrashLoopBackOff", message)
            yield Step(0, state, restarts=restarts, last=last, events=(event,))
            yield Step(wait, state, restarts=restarts, last=last)
        restarts += 1


def termination_message(container: Container) -> dict:
    """The kubelet copies the end of the log if the container's policy says so."""
    spec = next(c for c in container.pod["spec"]["containers"] if c["name"] == container.name)
    shown = spec.get("terminationMessagePolicy") == "FallbackToLogsOnError"
    return {"message": "panic: cannot read settings\n"} if shown else {}


def back_off(number: int, times: Times) -> tuple[str, float]:
    """Returns how messages write the back-off of this number, and what it takes here."""
    seconds = min(FIRST_BACK_OFF << min(number, 10), LONGEST_BACK_OFF)
    minutes, rest = divmod(seconds, 60)
    shown = f"{minutes}m{rest}s" if minutes else f"{rest}s"
    return shown, times.backoff * seconds / FIRST_BACK_OFF


def no_image(container: Container) -> Iterator[Step]:
    image, full = container.image, reference(container.image)
    shown = (
        f'rpc error: code = NotFound desc = failed to pull and unpack image "{full}": '
        f'failed to resolve reference "{full}": {full}: not found'
    )
    yield Step(container.times.boot, CREATING.state)
    number, after = 0, 0.0
    while True:
        failed = (
            ("Normal", "Pulling", f'Pulling image "{image}"'),
            ("Warning", "Failed", f'Failed to pull image "{image}": {shown}'),
            ("Warning", "Failed", "Error: ErrImagePull"),
        )
        yield Step(after, waiting("ErrImagePull", shown), events=failed)
        _, wait = back_off(number, container.times)
        message = f'Back-off pulling image "{image}"'
        event = ("Normal", "BackOff", message), ("Warning", "Failed", "Error: ImagePullBackOff")
        yield Step(wait / 4, waiting("ImagePullBackOff", message), events=event)
        number, after = number + 1, wait


def reference(image: str) -> str:
    """Returns an image's full name, as a container runtime has it."""
    first, slash, _ = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return image
    return f"docker.io/{image}" if slash else f"docker.io/library/{image}"


def invalid_image_name(container: Container) -> Iterator[Step]:
    image = container.image
    message = (
        f'Failed to apply default image tag "{image}": couldn\'t parse image reference "{image}": '
        "invalid reference format: repository name must be lowercase"
    )
    events = ("Warning", "InspectFailed", message), ("Warning", "Failed", "Error: InvalidImageName")
    yield Step(container.times.boot, waiting("InvalidImageName", message), events=events)


def config_error(container: Container) -> Iterator[Step]:
    message = f'configmap "{config_map(container)}" not found'
    yield Step(container.times.boot, CREATING.state)
    while True:
        state = waiting("CreateContainerConfigError", message)
        yield Step(0, state, events=(("Warning", "Failed", f"Error: {message}"),))
        yield Step(container.times.probe, state)


def config_map(container: Container) -> str:
    """Returns the first ConfigMap that the container has variables from."""
    spec = next(c for c in container.pod["spec"]["containers"] if c["name"] == container.name)
    sources = [each.get("configMapRef") for each in spec.get("envFrom", [])]
    sources += [each.get("valueFrom", {}).get("configMapKeyRef") for each in spec.get("env", [])]
    return next((each["name"] for each in sources if each), "settings")


# What is not about a container: `unschedulable` is the scheduler's, and `hang` is about its end.
SCRIPTS = {
    "good": good,
    "slow": slow,
    "unready": unready,
    "flap": flap,
    "crash": crash,
    "oom": oom,
    "no-image": no_image,
    "invalid-image-name": invalid_image_name,
    "config-error": config_error,
    "unschedulable": good,
    "hang": good,
}


def behaviour(pod: dict, image: str) -> str:
    given = (pod["metadata"].get("annotations") or {}).get(f"{PREFIX}behaviour")
    if given in SCRIPTS:
        return given
    name, _, tag = image.rpartition(":")
    if name.rpartition("/")[2] != name.rpartition("/")[2].lower():
        return "invalid-image-name"
    return next((each for each in SCRIPTS if tag.startswith(each)), "good")


def behaviours(pod: dict) -> set[str]:
    return {behaviour(pod, each["image"]) for each in pod["spec"]["containers"]}


def script(container: Container) -> Iterator[Step]:
    return SCRIPTS[behaviour(container.pod, container.image)](container)
