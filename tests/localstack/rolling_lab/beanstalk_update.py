"""Updates of Elastic Beanstalk's environments: how they begin and end."""

from collections.abc import Generator

from .beanstalk_options import replaces
from .beanstalk_policies import Policies
from .beanstalk_steps import Aborted, Failed, Server

STAYS_MIXED = (
    "During an aborted deployment, some instances may have deployed the new application version. "
    "To ensure all instances are running the same version, re-deploy the appropriate application "
    "version."
)
REVERTED = "The environment was reverted to the previous configuration setting."


class Update(Policies):
    """What one call of UpdateEnvironment began."""

    def begin(self, steps: Generator) -> None:
        environment, world = self.environment, self.world
        environment.status, environment.abortable, environment.aborting = "Updating", True, False
        environment.updated, environment.request_id = world.now, self.request_id
        environment.least, environment.most = environment.serving(), len(environment.servers)
        world.updates[environment.id] = world.start(environment, steps)
        world.advance(world.now)

    def deploy(self, label: str) -> None:
        environment = self.environment
        environment.deployments += 1
        environment.batches = []
        self.label, self.number = label, environment.deployments
        if not (self.takes_back and self.times["label_meanwhile"] == "old"):
            environment.label = label
        self.begin(self._deploy())

    def configure(self, asked: dict) -> None:
        self.environment.pending = self.environment.settings | asked
        self.begin(self._configure(asked))

    def _deploy(self) -> Generator:
        environment = self.environment
        self.say("Environment update is starting.")
        try:
            yield from POLICIES[self.policy](self)
            environment.label = self.label
            environment.expected = (self.label, self.number)
        except Aborted:
            yield from self.give_up(failed=False)
            self.say(f"Environment named {environment.name} aborted operation.", "WARN")
        except Failed:
            yield from self.give_up(failed=True)
        else:
            yield from self.clean_up()
            self.say("Environment update completed successfully.")
        self.finish()

    def _configure(self, asked: dict) -> Generator:
        environment = self.environment
        self.say("Environment update is starting.")
        self.say(f"Updating environment {environment.name}'s configuration settings.")
        try:
            yield from self.wait(self.times["eb_settings"], abortable=True)
            if replaces(asked):
                yield from self.replace_all()
            environment.settings = environment.pending
            self.say("Successfully deployed new configuration to environment.")
            self.say("Environment update completed successfully.")
        except Aborted:
            self.say(f"Environment named {environment.name} aborted operation.", "WARN")
            self.say(REVERTED)
        environment.pending = None
        self.finish()

    def terminate(self) -> None:
        self.begin(self._terminate())

    def _terminate(self) -> Generator:
        environment = self.environment
        environment.status, environment.abortable = "Terminating", False
        self.say("terminateEnvironment is starting.")
        self.retired = self.current()
        yield from self.clean_up()
        environment.status, environment.updated = "Terminated", self.world.now
        self.say("terminateEnvironment completed successfully.")

    def give_up(self, failed: bool) -> Generator:
        """Ends a deployment that did not succeed: goes back, or leaves the fleet mixed."""
        environment = self.environment
        environment.abortable = False
        for server in self.under_way():
            self.end_command(server, "Failed")
        if self.takes_back or self.times["label_after_failure"] == "old":
            environment.label = self.before
        if failed:
            self.say("Failed to deploy application.", "ERROR")
        if not self.takes_back:
            self.say(STAYS_MIXED, "ERROR")
            yield from self.back_in()
        yield from self.clean_up()
        if self.takes_back:
            self.say(REVERTED)

    def under_way(self) -> list[Server]:
        """Returns what an aborted deployment leaves in the middle of a command."""
        if not self.environment.aborting:
            return []
        servers = self.environment.servers.values()
        return [s for s in servers if s.deployment and s.deployment["Status"] == "In Progress"]

    def back_in(self) -> Generator:
        """Registers again what has been taken out of the balancer, and is not being deployed to."""
        left = [
            s
            for s in self.environment.servers.values()
            if not s.registered
            and s not in self.retired
            and s.deployment["Status"] != "In Progress"
        ]
        for server in left:
            self.world.register(self.environment, server)
        if left:
            yield from self.wait(self.times["register"])
        for server in left:
            self.world.judge(self.environment, server)

    def clean_up(self) -> Generator:
        """Terminates what is not needed any more. It cannot be aborted."""
        self.environment.abortable = False
        self.environment.traffic = None
        yield from self.leave(self.retired)
        for server in self.retired:
            self.world.terminate(self.environment, server)
        if self.retired:
            self.announce("Removed", self.retired, "from")
        yield from self.wait(self.times["eb_cleanup"])

    def finish(self) -> None:
        environment = self.environment
        environment.status, environment.abortable, environment.aborting = "Ready", False, False
        environment.updated = self.world.now

    def replace_all(self) -> Generator:
        """Replaces every instance at once: settings of the instances themselves have changed."""
        old = self.current()
        self.environment.abortable = False
        yield from self.leave(old)
        for server in old:
            self.world.terminate(self.environment, server)
        new = yield from self.launch(len(old), self.environment.group, stay=True)
        for server in new:
            self.deployment(server, "Deployed", self.world.now)
            server.label = self.label
            self.world.register(self.environment, server)
        yield from self.wait(self.times["register"])
        for server in new:
            self.world.judge(self.environment, server)


POLICIES = {
    "AllAtOnce": Update.all_at_once,
    "Rolling": Update.rolling,
    "RollingWithAdditionalBatch": Update.with_additional_batch,
    "Immutable": Update.immutable,
    "TrafficSplitting": Update.traffic_splitting,
}
