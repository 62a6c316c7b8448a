"""What a group launches next: its launch template, or the next override of its policy."""

from .state import TYPE, Group

DISTRIBUTION = {
    "OnDemandAllocationStrategy": "prioritized",
    "OnDemandBaseCapacity": 0,
    "OnDemandPercentageAboveBaseCapacity": 100,
    "SpotAllocationStrategy": "lowest-price",
    "SpotInstancePools": 2,
}


def config(group: Group) -> tuple[dict | None, dict | None]:
    """Returns the launch template or the policy of new instances. A running refresh launches its
    own, which becomes the group's when it succeeds."""
    return (group.refresh and group.refresh.launches) or (group.template, group.mixed)


def choices(template: dict | None, mixed: dict | None) -> list[tuple[dict, str | None, int | None]]:
    """Returns every specification that may be launched, with its instance type and weight."""
    if not mixed:
        return [(template, None, None)]
    own = mixed["LaunchTemplate"]["LaunchTemplateSpecification"]
    overrides = mixed["LaunchTemplate"].get("Overrides") or [{}]
    return [
        (
            each.get("LaunchTemplateSpecification") or own,
            each.get("InstanceType"),
            int(each["WeightedCapacity"]) if each.get("WeightedCapacity") else None,
        )
        for each in overrides
    ]


def choose(group: Group) -> tuple[dict, str | None, int | None]:
    """Returns the next of the overrides, which take turns."""
    known = choices(*config(group))
    return known[group.turn % len(known)]


def matches(world, group: Group, instance) -> bool:
    """Whether the instance is like one that would be launched now."""
    return any(
        (resolved := world.cloud.resolve(spec)[0])["LaunchTemplateId"]
        == instance.template["LaunchTemplateId"]
        and resolved["Version"] == instance.template["Version"]
        and (kind or TYPE) == instance.type
        for spec, kind, _ in choices(*config(group))
    )


def policy_of(request: dict, specification) -> dict | None:
    """Returns the policy as it is stored and shown. `specification` completes a template's
    specification, and raises where it names none. Raises ValueError for what AWS refuses."""
    asked = request.get("MixedInstancesPolicy")
    if not asked:
        return None
    template = dict(asked.get("LaunchTemplate") or {})
    if not template.get("LaunchTemplateSpecification"):
        raise ValueError(
            "Valid requests must contain a LaunchTemplateSpecification in MixedInstancesPolicy."
        )
    template["LaunchTemplateSpecification"] = specification(template["LaunchTemplateSpecification"])
    overrides = [dict(each) for each in template.get("Overrides") or []]
    for each in overrides:
        if each.get("LaunchTemplateSpecification"):
            each["LaunchTemplateSpecification"] = specification(each["LaunchTemplateSpecification"])
    weights = [each.get("WeightedCapacity") for each in overrides]
    if any(weights) and not all(weights):
        raise ValueError("You must specify a weight for all instance types, or for none of them.")
    if any(w and not 1 <= int(w) <= 999 for w in weights):
        raise ValueError("The weighted capacity must be between 1 and 999.")
    template["Overrides"] = overrides
    distribution = DISTRIBUTION | (asked.get("InstancesDistribution") or {})
    return {"LaunchTemplate": template, "InstancesDistribution": distribution}
