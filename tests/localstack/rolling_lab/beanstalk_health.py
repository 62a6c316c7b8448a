"""What enhanced health reporting says of an environment and its instances, in AWS's words."""

import datetime

COLORS = {
    "Ok": "Green",
    "Info": "Green",
    "Warning": "Yellow",
    "Degraded": "Red",
    "Severe": "Red",
    "Pending": "Grey",
    "NoData": "Grey",
    "Unknown": "Grey",
}
RECENT = 300  # seconds for which a deployment is told of


def running(since: float, now: float) -> str:
    return f"(running for {max(0, int(now - since))} seconds)"


def wrong_version(environment, server) -> bool:
    deployment = server.deployment
    return (
        deployment is not None
        and deployment["Status"] == "Deployed"
        and environment.status == "Ready"
        and deployment["VersionLabel"] != environment.expected[0]
    )


def of_instance(environment, server, now: float) -> tuple[str, list[str]]:
    """Returns the status and the causes at `now`."""
    deployment = server.deployment
    if server.booting or deployment is None:
        return "Pending", [f"Initialization in progress {running(server.launched, now)}."]
    label, number, at = (deployment[key] for key in ("VersionLabel", "DeploymentId", "at"))
    if deployment["Status"] == "In Progress":
        return "Info", [f"Performing application deployment {running(at, now)}."]
    if deployment["Status"] == "Failed":
        moment = datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return "Degraded", [
            f"Application deployment failed at {moment} with exit status 1 and error: "
            f"{server.error or 'Engine execution has encountered an error.'}"
        ]
    if server.ill:
        return "Severe", [
            "100.0 % of the requests are failing with HTTP 5xx.",
            "Following services are not running: web.",
        ]
    if wrong_version(environment, server):
        return "Degraded", [
            f'Incorrect application version "{label}" (deployment {number}). '
            f"{expected(environment)}"
        ]
    if now - at < RECENT:
        took = int(at - deployment["began"])
        ago = max(0, int(now - at))
        return "Ok", [
            f"Application deployment completed {ago} seconds ago and took {took} seconds."
        ]
    return "Ok", []


def expected(environment) -> str:
    label, number = environment.expected
    return f'Expected version "{label}" (deployment {number}).'


def of_environment(environment) -> tuple[str, list[str]]:
    """Returns the worst that is true of it, and why."""
    servers = list(environment.servers.values())
    total = len(servers)

    def counted(what: str, found: list) -> str:
        if len(found) == total and total > 1:
            return f"{what} on all instances."
        return f"{what} on {len(found)} out of {total} instance{'s' if total > 1 else ''}."

    def with_status(status: str) -> list:
        return [s for s in servers if s.deployment and s.deployment["Status"] == status]

    ill = [s for s in servers if s.ill]
    failed = with_status("Failed")
    wrong = [s for s in servers if wrong_version(environment, s)]
    busy = with_status("In Progress")
    if total and len(ill) == total:
        return "Severe", [counted("Impaired services", ill)]
    causes = [counted("Impaired services", ill)] if ill else []
    causes += [counted("Command failed", failed)] if failed else []
    if wrong:
        found = counted("Incorrect application version found", wrong)
        causes.append(f"{found} {expected(environment)}")
    if causes:
        return "Degraded", causes
    if busy:
        return "Info", [counted("Command is executing", busy)]
    if environment.status in ("Updating", "Aborting"):
        return "Info", ["Application update in progress."]
    return "Ok", []
