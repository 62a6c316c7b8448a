"""The option settings of an environment: AWS's defaults, and what it finds wrong with others."""

COMMAND = "aws:elasticbeanstalk:command"
SPLITTING = "aws:elasticbeanstalk:trafficsplitting"
ENVIRONMENT = "aws:elasticbeanstalk:environment"
HEALTH = "aws:elasticbeanstalk:healthreporting:system"
GROUP = "aws:autoscaling:asg"
UPDATES = "aws:autoscaling:updatepolicy:rollingupdate"
MANAGED = "aws:elasticbeanstalk:managedactions"
BOOLEAN = ("true", "false")
IN_PLACE = ("Rolling", "RollingWithAdditionalBatch")
POLICIES = ("AllAtOnce", *IN_PLACE, "Immutable", "TrafficSplitting")
# By namespace and name: the default, and the values or the range that are allowed.
KNOWN = {
    (COMMAND, "DeploymentPolicy"): ("AllAtOnce", POLICIES),
    (COMMAND, "BatchSizeType"): ("Percentage", ("Percentage", "Fixed")),
    (COMMAND, "BatchSize"): ("100", range(1, 10_001)),
    (COMMAND, "Timeout"): ("600", range(1, 3601)),
    (COMMAND, "IgnoreHealthCheck"): ("false", BOOLEAN),
    (SPLITTING, "NewVersionPercent"): ("10", range(1, 101)),
    (SPLITTING, "EvaluationTime"): ("5", range(3, 601)),
    (ENVIRONMENT, "EnvironmentType"): ("LoadBalanced", ("LoadBalanced", "SingleInstance")),
    (ENVIRONMENT, "LoadBalancerType"): ("application", ("classic", "application", "network")),
    (ENVIRONMENT, "LoadBalancerIsShared"): ("false", BOOLEAN),
    (ENVIRONMENT, "ServiceRole"): ("aws-elasticbeanstalk-service-role", None),
    (HEALTH, "SystemType"): ("enhanced", ("basic", "enhanced")),
    (HEALTH, "HealthCheckSuccessThreshold"): ("Ok", ("Ok", "Warning", "Degraded", "Severe")),
    (HEALTH, "EnhancedHealthAuthEnabled"): ("true", BOOLEAN),
    (GROUP, "MinSize"): ("1", range(1, 10_001)),
    (GROUP, "MaxSize"): ("4", range(1, 10_001)),
    (UPDATES, "RollingUpdateEnabled"): ("false", BOOLEAN),
    (UPDATES, "RollingUpdateType"): ("Time", ("Time", "Health", "Immutable")),
    (UPDATES, "MaxBatchSize"): ("1", range(1, 10_001)),
    (UPDATES, "MinInstancesInService"): ("1", range(10_000)),
    (UPDATES, "Timeout"): ("PT30M", None),
    (MANAGED, "ManagedActionsEnabled"): ("false", BOOLEAN),
    (MANAGED, "PreferredStartTime"): ("Tue:09:00", None),
}
NAMESPACES = {namespace for namespace, _ in KNOWN}
# To change these replaces every instance.
REPLACING = ("aws:autoscaling:launchconfiguration", "aws:ec2:")


def defaults() -> dict[tuple[str, str], str]:
    return {key: default for key, (default, _) in KNOWN.items()}


def told(options: list[dict]) -> dict[tuple[str, str], str]:
    return {(o.get("Namespace"), o.get("OptionName")): o.get("Value") or "" for o in options}


def wrong(namespace: str, name: str, value: str) -> str | None:
    """Returns what is wrong with a value."""
    where = f"(Namespace: '{namespace}', OptionName: '{name}')"
    if (namespace, name) not in KNOWN:
        if namespace in NAMESPACES and namespace not in (ENVIRONMENT, GROUP):
            return f"Invalid option specification {where}: Unknown configuration setting."
        return None
    allowed = KNOWN[namespace, name][1]
    why = None
    if isinstance(allowed, range):
        if not value.lstrip("-").isdigit():
            why = "Value is not a number"
        elif int(value) < allowed.start:
            why = f"Value is less than minimum allowed value: {allowed.start}"
        elif int(value) >= allowed.stop:
            why = f"Value is greater than maximum allowed value: {allowed.stop - 1}"
    elif allowed and value not in allowed:
        why = f"Value is not one of the allowed values: [{', '.join(allowed)}]"
    return f"Invalid option value: '{value}' {where}: {why}" if why else None


def messages(settings: dict, asked: dict, tier: str) -> list[tuple[str, str, str]]:
    """Returns (namespace, name, message) for what is wrong with what is asked, on top of the
    settings that the environment has."""
    found = []
    for (namespace, name), value in asked.items():
        message = wrong(namespace, name, value)
        if message:
            found.append((namespace, name, message))
    if found:
        return found
    merged = settings | asked
    policy = merged[COMMAND, "DeploymentPolicy"]
    alone = merged[ENVIRONMENT, "EnvironmentType"] == "SingleInstance"

    def refuse(name: str, why: str) -> None:
        value = merged[COMMAND, name]
        where = f"(Namespace: '{COMMAND}', OptionName: '{name}')"
        found.append((COMMAND, name, f"Invalid option value: '{value}' {where}: {why}"))

    percent = merged[COMMAND, "BatchSizeType"] == "Percentage"
    if percent and int(merged[COMMAND, "BatchSize"]) > 100:
        refuse("BatchSize", "Value is greater than maximum allowed value: 100")
    if (COMMAND, "DeploymentPolicy") in asked:
        if policy == "TrafficSplitting":
            if (
                alone
                or merged[ENVIRONMENT, "LoadBalancerType"] != "application"
                or tier == "Worker"
            ):
                refuse(
                    "DeploymentPolicy",
                    "Traffic-splitting deployments require an Application Load Balancer.",
                )
        elif policy in IN_PLACE and alone:
            refuse(
                "DeploymentPolicy", f"{policy} is not available to single-instance environments."
            )
    return found


def batch_size(settings: dict, total: int) -> int:
    """Percentages are rounded down; one at a time always goes."""
    size = int(settings[COMMAND, "BatchSize"])
    if settings[COMMAND, "BatchSizeType"] == "Percentage":
        size = total * size // 100
    return max(1, min(size, total))


def replaces(asked: dict) -> bool:
    return any(namespace.startswith(REPLACING) for namespace, _ in asked)
