"""What the tests of the lab's Elastic Beanstalk share: the lab, and an environment in it."""

import contextlib
import itertools
import json
import os
import subprocess
import sys
import time
import unittest
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

HERE = Path(__file__).resolve().parent
COMMAND = "aws:elasticbeanstalk:command"
SPLITTING = "aws:elasticbeanstalk:trafficsplitting"
AT_ONCE = 6
TAKEN_BACK = ("Immutable", "TrafficSplitting")
QUICK = {
    "eb_deploy": 1, "eb_settings": 2, "eb_cleanup": 1, "eb_health": 0.2, "eb_timeout": 4,
    "eb_late": 6, "eb_evaluation": 2, "boot": 1, "register": 0.5, "drain": 0.5,
}  # fmt: skip
VERSIONS = ["v1", "v2"] + [f"v2-{b}" for b in ("bad", "bad2", "unhealthy", "slow", "hang", "late")]
_accounts = itertools.count(os.getpid() * 1000 + 100_000_000_000)


def policy(name: str, kind: str = "Percentage", size: int = 30) -> list[dict]:
    wanted = {"DeploymentPolicy": name, "BatchSizeType": kind, "BatchSize": str(size)}
    return [{"Namespace": COMMAND, "OptionName": n, "Value": v} for n, v in wanted.items()]


_lab: dict = {"endpoint": os.environ.get("ROLLING_TEST_ENDPOINT")}


def serve():
    if _lab["endpoint"] is None:
        command = [sys.executable, str(HERE / "lab.py"), "serve", "--speed", "20"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        _lab["process"] = subprocess.Popen(command, **pipes)
        _lab["endpoint"] = json.loads(_lab["process"].stdout.readline())["endpoint"]


def stop():
    if process := _lab.get("process"):
        process.stdin.close()
        process.wait()
        process.stdout.close()


def cases(suite):
    for each in suite:
        yield from cases(each) if isinstance(each, unittest.TestSuite) else [each]


def run(loader: unittest.TestLoader, module, names: list[str]) -> int:
    """Runs the tests of a module, or those named: several at a time, since they mostly wait."""
    wanted = (
        loader.loadTestsFromNames(names, module) if names else loader.loadTestsFromModule(module)
    )
    serve()
    try:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            results = list(threads.map(lambda case: case.run(), cases(wanted)))
    finally:
        stop()
    wrong = [found for result in results for found in result.errors + result.failures]
    for case, told in wrong:
        print(f"{case}\n{told}", file=sys.stderr)
    print(f"{len(results)} tests, {len(wrong)} of them failed", file=sys.stderr)
    return 1 if wrong or not results else 0


class Beanstalk(unittest.TestCase):
    """One environment of ten instances in an account of its own."""

    def setUp(self):
        self.account = str(next(_accounts))
        keys = {"aws_access_key_id": self.account, "aws_secret_access_key": "test"}
        config = boto3.session.Config(retries={"total_max_attempts": 1})
        self.aws = boto3.client(
            "elasticbeanstalk", "us-east-1", endpoint_url=_lab["endpoint"], config=config, **keys
        )
        self.aws.meta.events.register("after-call", self.fits)
        self.door("times", QUICK)

    def another(self):
        """Returns the same with an account of its own."""
        case = type(self)(self._testMethodName)
        case.setUp()
        return case

    def fits(self, http_response, parsed, model, **_):
        """Holds every answer to the service's model."""
        if http_response.status_code < 300 and model.output_shape:
            shown = {k: v for k, v in parsed.items() if k != "ResponseMetadata"}
            report = ParamValidator().validate(shown, model.output_shape)
            self.assertFalse(report.has_errors(), report.generate_report())

    def door(self, path: str, body=None):
        url = f"{_lab['endpoint']}/_lab/{self.account}/{path}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, method="GET" if body is None else "PUT")
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request) as told:
            return json.load(told)

    def make(self, options: list[dict] | None = None, **more):
        want = {"name": "web-prod", "application": "web", "size": 10, "version": "v1"}
        want |= {"versions": VERSIONS, "option_settings": options or []} | more
        return self.door("environment", want)

    def shown(self) -> dict:
        return self.aws.describe_environments(EnvironmentNames=["web-prod"])["Environments"][0]

    def model(self) -> dict:
        return self.door("environments/web-prod")

    def update(self, label: str) -> str:
        answer = self.aws.update_environment(EnvironmentName="web-prod", VersionLabel=label)
        self.assertEqual((answer["Status"], answer["VersionLabel"]), ("Updating", label))
        return answer["ResponseMetadata"]["RequestId"]

    def until(self, what, seconds: float = 10):
        end = time.monotonic() + seconds
        while not what():
            self.assertLess(time.monotonic(), end, self.model())
            time.sleep(0.04)

    def ready(self):
        self.until(lambda: self.shown()["Status"] == "Ready")

    def deploy(self, label: str) -> str:
        request = self.update(label)
        self.ready()
        return request

    def messages(self, **asked) -> list[str]:
        """The oldest first."""
        told = self.aws.describe_events(EnvironmentName="web-prod", **asked)["Events"]
        return [event["Message"] for event in reversed(told)]

    def deployed(self) -> dict[tuple[str, str], int]:
        counts: dict[tuple[str, str], int] = {}
        for each in self.model()["instances"].values():
            key = (each["deployment"]["VersionLabel"], each["deployment"]["Status"])
            counts[key] = counts.get(key, 0) + 1
        return counts

    def batches(self) -> list[int]:
        return [len(batch["instances"]) for batch in self.model()["batches"]]

    @contextlib.contextmanager
    def refused(self, code: str, message: str):
        with self.assertRaises(ClientError) as caught:
            yield
        error = caught.exception.response["Error"]
        self.assertEqual((error["Code"], error["Message"]), (code, message))
