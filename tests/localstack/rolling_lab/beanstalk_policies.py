"""How Elastic Beanstalk deploys a version, by its deployment policies."""

from collections.abc import Generator

from .beanstalk import Server
from .beanstalk_options import SPLITTING, batch_size
from .beanstalk_steps import Aborted, Steps, ids


class Policies(Steps):
    """The course of each policy, up to the clean-up."""

    def current(self) -> list[Server]:
        return list(self.environment.servers.values())

    def all_at_once(self) -> Generator:
        self.say("Deploying new version to instance(s).")
        yield from self.command(1, self.current())
        self.say("New application version was deployed to running EC2 instances.")

    def rolling(self) -> Generator:
        self.say("Deploying new version to instance(s).")
        servers = self.current()
        yield from self.in_batches(servers, batch_size(self.environment.settings, len(servers)), 1)
        self.say("New application version was deployed to running EC2 instances.")

    def in_batches(self, servers: list[Server], size: int, first: int) -> Generator:
        for number, begin in enumerate(range(0, len(servers), size), first):
            if self.environment.aborting:
                raise Aborted
            batch, title = servers[begin : begin + size], f"Batch {number}: "
            self.say(f"{title}Starting application deployment on instance(s) [{ids(batch)}].")
            out = "De-registering instance(s) from the load balancer and waiting for them to go out of service."
            self.say(title + out)
            yield from self.leave(batch)
            self.say(f"{title}Starting application deployment command execution.")
            yield from self.command(number, batch)
            self.say(f"{title}Completed application deployment command execution.")
            back = (
                "Registering instance(s) with the load balancer and waiting for them to be healthy."
            )
            self.say(title + back)
            yield from self.enter(batch)
            self.say(f"{title}Completed application deployment.")

    def with_additional_batch(self) -> Generator:
        self.say("Deploying new version to instance(s).")
        servers = self.current()
        size = batch_size(self.environment.settings, len(servers))
        self.say(f"Launching an additional batch of {size} instance(s).")
        extra = yield from self.launch(size, self.environment.group)
        self.say(f"Batch 1: Starting application deployment on instance(s) [{ids(extra)}].")
        yield from self.command(1, extra)
        yield from self.enter(extra)
        self.say("Batch 1: Completed application deployment.")
        yield from self.in_batches(servers, size, 2)
        self.say("New application version was deployed to running EC2 instances.")
        self.say(f"Terminating excess instance(s): [{ids(extra)}].")

    def immutable(self) -> Generator:
        old = self.current()
        self.say(
            "Immutable deployment policy enabled. Launching one instance with the new settings to "
            "verify health."
        )
        group = f"awseb-{self.environment.id}-immutable-stack-AWSEBAutoScalingGroup-5WNFZCg4Fdq2"
        self.say(f"Created temporary auto scaling group {group}.")
        new = yield from self.bring_up(1, 1, group)
        self.say("Test instance passed health checks. Launching remaining new instances.")
        if len(old) > 1:
            new += yield from self.bring_up(2, len(old) - 1, group)
            self.say("Successfully launched all instances.")
        self.take_over(old, new)
        self.say(
            "Deployment succeeded. Terminating old instances and temporary Auto Scaling group."
        )

    def bring_up(self, number: int, count: int, group: str) -> Generator:
        servers = yield from self.launch(count, group)
        yield from self.command(number, servers)
        self.say(f"Adding new instance(s) ({ids(servers, ',')}) to the load balancer.")
        self.say(f"Waiting for instance(s) ({ids(servers, ',')}) to pass health checks.")
        yield from self.enter(servers)
        return servers

    def take_over(self, old: list[Server], new: list[Server]) -> None:
        self.say("Detached new instance(s) from temporary auto scaling group.")
        self.say("Attached new instance(s) to the permanent auto scaling group.")
        for server in new:
            server.group = self.environment.group
        self.retired = old

    def traffic_splitting(self) -> Generator:
        environment, old = self.environment, self.current()
        self.say("Traffic-splitting deployment policy enabled. Launching new instances.")
        group = f"awseb-{environment.id}-canary-stack-AWSEBAutoScalingGroup-8PQZ1C0RJ2YK"
        self.say(f"Created temporary auto scaling group {group}.")
        new = yield from self.bring_up(1, len(old), group)
        percent = int(environment.settings[SPLITTING, "NewVersionPercent"])
        minutes = int(environment.settings[SPLITTING, "EvaluationTime"])
        told = self.times["eb_evaluation"]
        environment.traffic = percent
        self.say(f"Directing {percent}% of traffic to new instances for {minutes} minute(s).")
        yield from self.wait(60 * minutes if told is None else told, abortable=True)
        environment.traffic = 100
        self.say("New instances passed the evaluation. Directing all traffic to them.")
        self.take_over(old, new)
        self.say(
            "Deployment succeeded. Terminating old instances and temporary Auto Scaling group."
        )
