"""Stories about a Deployment of six, as data: `record.py` runs them against the real controllers.

A step is one of

    {"patch": ...}      a strategic merge patch of the Deployment
    {"create": ...}     another object in its namespace
    {"until": ...}      until all of it holds: `new` and `old` (asked of the set with the Deployment's
                        template, and of all others together), `asked` (of all), `available` (of the
                        new one), `reason` (of Progressing), `failure` (reason of ReplicaFailure),
                        `complete`, `settled` (nothing moves any more)
    {"wait": seconds}
    {"undo": true}      `kubectl rollout undo`
"""

SIZE = 6
# Conditions have whole seconds. A pod that is ready at .9 is a second older a moment later, and is
# available then if anything has its ReplicaSet synced: minReadySeconds of 1 can be 0.1 s.
SOAK = 2
SETTLED = {"until": {"settled": True}}
COMPLETE = {"until": {"complete": True}}
HOLD = {"patch": {"spec": {"paused": True}}}
GO_ON = {"patch": {"spec": {"paused": False}}}


def window(surge, unavailable) -> dict:
    return {"strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}}


def template(tag: str) -> dict:
    return {"template": {"spec": {"containers": [{"name": "app", "image": f"app:{tag}"}]}}}


def roll(tag: str, surge, unavailable, **more) -> dict:
    return {"patch": {"spec": {**template(tag), **window(surge, unavailable), **more}}}


def until(**what) -> dict:
    return {"until": what}


def held(new: int, asked: int) -> list[dict]:
    """Holds it as soon as so many are asked of the new set, and waits for them."""
    return [until(new=new, asked=asked), HOLD, until(settled=True, available=new)]


def stepped(surge: int, unavailable: int) -> list[dict]:
    """Rolls in batches of two, held at two and at four."""
    steps = [roll("v2", surge, unavailable, paused=False)]
    steps += [*held(2, SIZE + surge), GO_ON, *held(4, SIZE + surge), GO_ON]
    return [*steps, COMPLETE, SETTLED]


HALF_WAY = [roll("v2", 0, 2), *held(2, SIZE)]
BAD = [roll("no-image-1", 1, 1, progressDeadlineSeconds=8), until(new=2, old=5), SETTLED]
EXCEEDED = until(reason="ProgressDeadlineExceeded")
QUOTA = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": "quota"},
    "spec": {"hard": {"pods": "6"}},
}

STORIES = {
    "batches_held": (
        "batches of 2 (surge 0, unavailable 2), held at 2 and at 4",
        stepped(0, 2),
    ),
    "additional_batch_held": (
        "an additional batch of 2 (surge 2, unavailable 0), held at 2 and at 4",
        stepped(2, 0),
    ),
    "surge_and_unavailable_held": (
        "surge 1 and unavailable 1, held at 2 and at 4",
        stepped(1, 1),
    ),
    "immutable_at_once": (
        "surge 100 %, held with all six new: the old set goes while it is paused",
        [roll("v2", "100%", 0), until(new=6), HOLD, until(new=6, old=0), SETTLED, GO_ON, COMPLETE],
    ),
    "immutable_one_first": (
        "surge 1, held at 1; then 100 %, held at 6: filled up to 12 while it is paused, and the old "
        "set stays, since the new one has more than six",
        [
            roll("v2", 1, 0),
            *held(1, SIZE + 1),
            {"patch": {"spec": {**window("100%", 0), "paused": False}}},
            until(new=6),
            HOLD,
            until(new=7, available=7),
            SETTLED,
            GO_ON,
            COMPLETE,
            SETTLED,
        ],
    ),
    "immutable_with_gates": (
        "surge 5, held at 5 while gates would be asked, then let go",
        [roll("v2", 5, 0), *held(5, SIZE + 5), GO_ON, COMPLETE, SETTLED],
    ),
    "patched_while_paused": (
        "a template patched while it is paused makes nothing",
        [HOLD, SETTLED, roll("v2", 1, 1), SETTLED, GO_ON, COMPLETE, SETTLED],
    ),
    "scaled_while_held": (
        "held half-way, scaled from 6 to 12",
        [*HALF_WAY, {"patch": {"spec": {"replicas": 12}}}, SETTLED],
    ),
    "surge_while_held": (
        "held half-way, surge raised to 6, and set back to 0",
        [
            *HALF_WAY,
            {"patch": {"spec": window(6, 2)}},
            SETTLED,
            {"patch": {"spec": window(0, 2)}},
            SETTLED,
        ],
    ),
    "bad_image": (
        "a bad image with surge 1, unavailable 1 and a deadline of 8 s",
        [*BAD, EXCEEDED, SETTLED],
    ),
    "undo_after_two_bad": (
        "a second bad image over the first; `rollout undo` leads to the first",
        [
            *BAD,
            {"patch": {"spec": template("no-image-2")}},
            until(new=2, old=5),
            SETTLED,
            {"undo": True},
            until(new=2, old=5),
            SETTLED,
        ],
    ),
    "back_from_two_bad": (
        "from two bad images back to the good template",
        [
            *BAD,
            {"patch": {"spec": template("no-image-2")}},
            until(new=2, old=5),
            SETTLED,
            {"patch": {"spec": template("v1")}},
            COMPLETE,
            SETTLED,
        ],
    ),
    "held_beyond_the_deadline": (
        "held for 11 s with a deadline of 8 s, which starts over when it goes on",
        [
            roll("no-image-1", 0, 2, progressDeadlineSeconds=8),
            until(new=2, asked=SIZE),
            HOLD,
            {"wait": 11},
            until(reason="DeploymentPaused"),
            GO_ON,
            EXCEEDED,
        ],
    ),
    "all_at_once": (
        "surge 0, unavailable 100 %",
        [roll("v2", 0, "100%"), COMPLETE, SETTLED],
    ),
    "back_from_held": (
        "surge 5, held at 5, and back to the good template",
        [
            roll("v2", 5, 0),
            *held(5, SIZE + 5),
            {"patch": {"spec": {**template("v1"), "paused": False}}},
            COMPLETE,
            SETTLED,
        ],
    ),
    "quota": (
        "a quota of 6 pods against surge 2",
        [{"create": QUOTA}, roll("v2", 2, 0), until(new=2, failure="FailedCreate"), SETTLED],
    ),
}


def deployment() -> dict:
    labels = {"app": "web"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": SIZE,
            "minReadySeconds": SOAK,
            "selector": {"matchLabels": labels},
            **window(1, 1),
            "template": {"metadata": {"labels": labels}, **template("v1")["template"]},
        },
    }
