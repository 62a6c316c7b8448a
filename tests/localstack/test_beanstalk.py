#!/usr/bin/env python3
"""Tests the lab's Elastic Beanstalk: starts a lab, or takes that of ROLLING_TEST_ENDPOINT."""

import itertools
import os
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import lab  # noqa: E402

try:
    from botocore.exceptions import ClientError
except ImportError:
    python = str(lab.install(lab.DEFAULT))
    os.execv(python, [python, __file__, *sys.argv[1:]])

from beanstalk_case import COMMAND, SPLITTING, TAKEN_BACK, Beanstalk, policy, run  # noqa: E402


class Success(Beanstalk):
    def check(self, name: str, batches: list[int], least: int, most: int):
        self.make(policy(name))
        before = set(self.model()["instances"])
        request = self.deploy("v2")
        model = self.model()
        self.assertEqual(self.batches(), batches)
        self.assertEqual((model["least_serving"], model["most_instances"]), (least, most))
        self.assertEqual(self.deployed(), {("v2", "Deployed"): 10})
        self.assertEqual(self.shown()["VersionLabel"], "v2")
        self.assertEqual(not before & set(model["instances"]), name in TAKEN_BACK)
        told = self.messages(RequestId=request)
        self.assertEqual(told[0], "Environment update is starting.")
        self.assertEqual(told[-1], "Environment update completed successfully.")
        self.until(lambda: self.shown()["HealthStatus"] == "Ok")

    def test_all_at_once(self):
        self.check("AllAtOnce", [10], 0, 10)

    def test_rolling(self):
        self.check("Rolling", [3, 3, 3, 1], 7, 10)
        first = ", ".join(self.model()["batches"][0]["instances"])
        told = f"Batch 1: Starting application deployment on instance(s) [{first}]."
        self.assertIn(told, self.messages())

    def test_rolling_with_additional_batch(self):
        self.check("RollingWithAdditionalBatch", [3, 3, 3, 3, 1], 10, 13)

    def test_immutable(self):
        self.check("Immutable", [1, 9], 10, 20)

    def test_traffic_splitting(self):
        self.check("TrafficSplitting", [10], 10, 20)

    def test_timeline_has_what_served(self):
        self.make(policy("Rolling"))
        serving = set(self.model()["targets"]["web-prod"])
        self.deploy("v2")
        least = len(serving)
        events = self.door("timeline")["events"]
        for event in events:
            if event["kind"] == "healthy":
                serving.add(event["instance"])
            elif event["kind"] in ("unhealthy", "draining", "terminating"):
                serving.discard(event["instance"])
            least = min(least, len(serving))
        self.assertEqual((least, len(serving)), (7, 10))
        batches = [event["batch"] for event in events if event["kind"] == "deploying"]
        self.assertEqual(batches, [1] * 3 + [2] * 3 + [3] * 3 + [4])

    def test_fixed_batches_and_rounding(self):
        self.make(policy("Rolling", "Fixed", 2), size=3)
        self.deploy("v2")
        self.assertEqual(self.batches(), [2, 1])
        self.aws.update_environment(
            EnvironmentName="web-prod", OptionSettings=policy("Rolling", "Percentage", 15)
        )
        self.ready()
        self.deploy("v1")
        self.assertEqual(self.batches(), [1] * 3)


class Failure(Beanstalk):
    def test_bad_in_place(self):
        for name, deployed in {
            "AllAtOnce": {("v2-bad", "Failed"): 10},
            "Rolling": {("v2-bad", "Failed"): 3, ("v1", "Deployed"): 7},
            "RollingWithAdditionalBatch": {("v1", "Deployed"): 10},
        }.items():
            with self.subTest(name):
                case = self.another()
                case.make(policy(name))
                request = case.deploy("v2-bad")
                self.assertEqual(case.deployed(), deployed)
                self.assertEqual(case.shown()["VersionLabel"], "v2-bad")
                told = case.messages(RequestId=request, Severity="ERROR")
                self.assertRegex(told[0], "^Command failed on instance i-.*: Return code: 1 Output")
                self.assertIn("Failed to deploy application.", told)

    def test_bad_is_taken_back(self):
        cases = []
        for name, bad in itertools.product(TAKEN_BACK, ("bad", "unhealthy", "hang", "late")):
            case = self.another()
            case.make(policy(name), size=3)
            before = set(case.model()["instances"])
            cases.append((case, name, bad, before, case.update(f"v2-{bad}")))
        for case, name, bad, before, request in cases:
            with self.subTest(name, bad=bad):
                case.ready()
                self.assertEqual(set(case.model()["instances"]), before)
                self.assertEqual(case.shown()["VersionLabel"], "v1")
                told = case.messages(RequestId=request)
                self.assertIn("Failed to deploy application.", told)
                self.assertRegex(told[-1], "reverted to the previous configuration setting")

    def test_what_may_be_taken_back_may_show_the_old_label(self):
        self.door("times", {"label_meanwhile": "old"})
        self.make(policy("Immutable"), size=1)
        answer = self.aws.update_environment(EnvironmentName="web-prod", VersionLabel="v2")
        self.assertEqual(answer["VersionLabel"], "v1")
        self.ready()
        self.assertEqual(self.shown()["VersionLabel"], "v2")

    def test_label_may_be_the_old_one_again(self):
        self.door("times", {"label_after_failure": "old"})
        self.make(policy("Rolling"))
        self.deploy("v2-bad")
        self.assertEqual(self.shown()["VersionLabel"], "v1")

    def test_a_later_batch_leaves_two_versions(self):
        self.make(policy("Rolling"))
        self.deploy("v2-bad2")
        mixed = {("v2-bad2", "Deployed"): 3, ("v2-bad2", "Failed"): 3, ("v1", "Deployed"): 4}
        self.assertEqual(self.deployed(), mixed)
        self.until(lambda: self.shown()["HealthStatus"] == "Degraded")
        answer = self.aws.describe_instances_health(
            EnvironmentName="web-prod", AttributeNames=["All"]
        )
        causes = [c for each in answer["InstanceHealthList"] for c in each["Causes"]]
        wrong = 'Incorrect application version "v2-bad2" (deployment 2). Expected version "v1" (deployment 1).'
        self.assertEqual(causes.count(wrong), 3)

    def test_unhealthy(self):
        self.make(policy("Rolling"))
        self.deploy("v2-unhealthy")
        self.assertEqual(self.deployed(), {("v2-unhealthy", "Deployed"): 3, ("v1", "Deployed"): 7})
        self.assertEqual(self.model()["least_serving"], 7)
        self.make(policy("AllAtOnce"))
        self.deploy("v2-unhealthy")
        self.until(lambda: self.shown()["HealthStatus"] == "Severe")
        self.assertEqual(self.shown()["Health"], "Red")

    def test_hang(self):
        self.make(policy("Rolling"))
        request = self.deploy("v2-hang")
        self.assertEqual(self.deployed(), {("v2-hang", "In Progress"): 3, ("v1", "Deployed"): 7})
        self.assertIn("have not responded", " ".join(self.messages(RequestId=request)))

    def test_timed_out_but_finished(self):
        self.door("times", {"eb_late": 20})
        self.make(policy("AllAtOnce"))
        request = self.deploy("v2-late")
        self.assertEqual(self.deployed(), {("v2-late", "In Progress"): 10})
        told = self.messages(RequestId=request, Severity="WARN")
        self.assertRegex(told[0], "^The following instances have not responded in the allowed")
        self.until(lambda: self.deployed() == {("v2-late", "Deployed"): 10})
        self.until(lambda: len(self.model()["targets"]["web-prod"]) == 10)


class Abort(Beanstalk):
    def abort(self):
        self.aws.abort_environment_update(EnvironmentName="web-prod")

    def test_rolling_stays_mixed(self):
        self.door("times", {"eb_deploy": 3})
        self.make(policy("Rolling"))
        self.update("v2-slow")
        self.until(lambda: len(self.model()["batches"]) == 2)
        self.abort()
        self.assertEqual(self.shown()["Status"], "Aborting")
        self.ready()
        self.assertEqual(self.deployed(), {("v2-slow", "Deployed"): 6, ("v1", "Deployed"): 4})

    def test_hanging_is_ended(self):
        self.door("times", {"eb_timeout": 3600})
        self.make(policy("Rolling"))
        self.update("v2-hang")
        self.until(lambda: self.model()["batches"])
        self.abort()
        self.ready()
        self.assertEqual(self.deployed(), {("v2-hang", "Failed"): 3, ("v1", "Deployed"): 7})

    def goes_back(self, name: str, label: str, when):
        self.door("times", {"eb_evaluation": 3600, "eb_deploy": 4})
        self.make(policy(name), size=3)
        before = set(self.model()["instances"])
        self.update(label)
        self.until(when)
        self.assertTrue(self.shown()["AbortableOperationInProgress"])
        self.abort()
        self.ready()
        self.assertEqual(set(self.model()["instances"]), before)
        self.assertEqual(self.shown()["VersionLabel"], "v1")

    def test_immutable_goes_back(self):
        self.goes_back("Immutable", "v2-slow", lambda: self.model()["batches"])

    def test_traffic_splitting_goes_back(self):
        self.goes_back("TrafficSplitting", "v2", lambda: self.model()["traffic"] == 10)

    def test_not_in_the_clean_up(self):
        self.door("times", {"eb_cleanup": 60})
        self.make(policy("AllAtOnce"))
        self.update("v2")
        self.until(lambda: not self.shown()["AbortableOperationInProgress"])
        self.assertEqual(self.shown()["Status"], "Updating")
        with self.refused(
            "InvalidParameterValue",
            "Environment named web-prod is in an invalid state for this operation. "
            "Must be pending deployment.",
        ):
            self.abort()


class Calls(Beanstalk):
    def settings(self, **more):
        answer = self.aws.describe_configuration_settings(
            ApplicationName="web", EnvironmentName="web-prod"
        )
        return answer["ConfigurationSettings"]

    def test_must_be_ready(self):
        self.make(policy("Rolling"), size=2)
        self.update("v2-slow")
        message = (
            "Environment named web-prod is in an invalid state for this operation. Must be Ready."
        )
        with self.refused("InvalidParameterValue", message):
            self.update("v1")
        self.ready()
        self.door("environments/web-prod", {"Status": "Launching"})
        with self.refused("InvalidParameterValue", message):
            self.update("v1")

    def test_what_is_not_there(self):
        self.make()
        with self.refused("InvalidParameterValue", "No Application Version named 'v9' found."):
            self.update("v9")
        message = "No Environment found for EnvironmentName = 'other'."
        with self.refused("InvalidParameterValue", message):
            self.aws.update_environment(EnvironmentName="other", VersionLabel="v1")
        self.assertEqual(
            self.aws.describe_environments(EnvironmentNames=["other"])["Environments"], []
        )

    def test_versions(self):
        self.make()
        made = self.aws.create_application_version(
            ApplicationName="web", VersionLabel="v3-failed", Process=True
        )
        self.assertEqual(made["ApplicationVersion"]["Status"], "Failed")
        with self.assertRaises(ClientError):
            self.update("v3-failed")
        made = self.aws.create_application_version(ApplicationName="web", VersionLabel="v4")
        self.assertEqual(made["ApplicationVersion"]["Status"], "Unprocessed")
        found = self.aws.describe_application_versions(ApplicationName="web", VersionLabels=["v2"])
        self.assertEqual([v["Status"] for v in found["ApplicationVersions"]], ["Processed"])

    def test_settings_only(self):
        self.door("times", {"eb_settings": 12})
        self.make(policy("AllAtOnce"))
        before = self.model()["instances"]
        wanted = policy("Immutable") + [
            {"Namespace": SPLITTING, "OptionName": "EvaluationTime", "Value": "7"}
        ]
        with self.assertRaises(ClientError) as caught:
            self.aws.update_environment(
                EnvironmentName="web-prod", OptionSettings=wanted, VersionLabel="v2"
            )
        code = caught.exception.response["Error"]["Code"]
        self.assertEqual(code, "InvalidParameterCombination")
        self.aws.update_environment(EnvironmentName="web-prod", OptionSettings=wanted)
        self.assertEqual([s["DeploymentStatus"] for s in self.settings()], ["deployed", "pending"])
        self.ready()
        self.assertEqual(self.model()["instances"], before)
        self.assertEqual(self.model()["least_serving"], 10)
        self.assertEqual(self.model()["settings"][COMMAND]["DeploymentPolicy"], "Immutable")
        self.assertEqual([s["DeploymentStatus"] for s in self.settings()], ["deployed"])

    def test_settings_that_are_wrong(self):
        self.make(environment_type="SingleInstance", size=1)
        found = self.aws.validate_configuration_settings(
            ApplicationName="web", EnvironmentName="web-prod", OptionSettings=policy("Rolling")
        )["Messages"]
        self.assertEqual([each["Severity"] for each in found], ["error"])
        with self.assertRaises(ClientError) as caught:
            self.aws.update_environment(
                EnvironmentName="web-prod", OptionSettings=policy("AllAtOnce", size=101)
            )
        error = caught.exception.response["Error"]
        self.assertEqual(error["Code"], "ConfigurationValidationException")
        self.assertIn("greater than maximum allowed value: 100", error["Message"])

    def test_basic_health(self):
        self.make(health="basic")
        with self.refused("InvalidRequestException", "DescribeInstancesHealth is not supported."):
            self.aws.describe_instances_health(EnvironmentName="web-prod", AttributeNames=["All"])
        self.assertNotIn("HealthStatus", self.shown())

    def test_health_is_late(self):
        self.door("times", {"eb_health": 20, "eb_cleanup": 0})
        self.make(policy("AllAtOnce"))
        self.deploy("v2")

        def labels():
            listed = self.aws.describe_instances_health(
                EnvironmentName="web-prod", AttributeNames=["All"]
            )["InstanceHealthList"]
            return {(i["Deployment"]["VersionLabel"], i["Deployment"]["Status"]) for i in listed}

        self.assertNotEqual(labels(), {("v2", "Deployed")})
        self.until(lambda: labels() == {("v2", "Deployed")})

    def test_events_in_pages(self):
        self.make(policy("Rolling"))
        self.deploy("v2")
        pages = self.aws.get_paginator("describe_events").paginate(
            EnvironmentName="web-prod", PaginationConfig={"PageSize": 4}
        )
        events = [event for page in pages for event in page["Events"]]
        dates = [event["EventDate"] for event in events]
        self.assertEqual(dates, sorted(dates, reverse=True))
        self.assertEqual(len(events), len(self.messages()))
        later = self.messages(StartTime=dates[4])
        self.assertIn(events[4]["Message"], later)
        self.assertLess(len(later), len(events))

    def test_faults_log_and_violations(self):
        self.make(policy("Rolling"))
        with self.assertRaises(ClientError) as caught:
            self.door("faults", [{"kind": "throttle", "action": "elasticbeanstalk.Describe*"}])
            self.shown()
        self.assertEqual(caught.exception.response["Error"]["Code"], "Throttling")
        self.door("faults", [{"kind": "lag", "seconds": 14}])
        self.update("v2")
        self.assertEqual(self.shown()["Status"], "Ready")
        self.until(lambda: self.shown()["Status"] == "Updating")
        self.assertEqual(self.door("counts")["elasticbeanstalk.UpdateEnvironment"], 1)
        with self.assertRaises(ClientError):
            self.aws.describe_events(Severity="BAD")
        self.assertIn("none of TRACE", self.door("violations")[0])

    def test_termination(self):
        self.make(size=2)
        self.aws.terminate_environment(EnvironmentName="web-prod")
        self.until(lambda: not self.aws.describe_environments()["Environments"])
        found = self.aws.describe_environments(IncludeDeleted=True)["Environments"]
        self.assertEqual([each["Status"] for each in found], ["Terminated"])


if __name__ == "__main__":
    sys.exit(run(unittest.defaultTestLoader, sys.modules[__name__], sys.argv[1:]))
