#!/usr/bin/env python3
"""Tries on an AWS account what AWS's documents do not settle, and docs/AWS.md therefore assumes.

    pip install boto3
    python3 try-assumptions.py --region eu-west-1

Makes a launch template, a target group, a Network Load Balancer and a group of two t3.nano instances
in the default VPC, for about half an hour: less than ten cents. Everything is named after one run
and is deleted at the end, whatever happens. Prints one line for each assumption: `holds` or `does
not hold`, and what was seen.
"""

import argparse
import contextlib
import sys
import time
import uuid

import boto3

IMAGE = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"


class Trial:
    """Two instances behind a target group, and what is asked of them."""

    def __init__(self, options):
        session = boto3.Session(region_name=options.region)
        of = {"endpoint_url": options.endpoint_url} if options.endpoint_url else {}
        self.ec2, self.elb = session.client("ec2", **of), session.client("elbv2", **of)
        self.groups = session.client("autoscaling", **of)
        self.patience, self.pause = options.patience, options.pause
        self.name = f"rolling-try-{uuid.uuid4().hex[:8]}"
        self.undo = contextlib.ExitStack()
        image = (
            options.image
            or session.client("ssm", **of).get_parameter(Name=IMAGE)["Parameter"]["Value"]
        )
        self.make(image, options.subnets)

    # -- what is made, and deleted again --------------------------------------------------

    def make(self, image: str, subnets: list[str] | None) -> None:
        if not subnets:
            default = [{"Name": "default-for-az", "Values": ["true"]}]
            found = self.ec2.describe_subnets(Filters=default)["Subnets"]
            subnets = [subnet["SubnetId"] for subnet in found][:2]
        if not subnets:
            sys.exit("there is no default VPC: name subnets with --subnets")
        vpc = self.ec2.describe_subnets(SubnetIds=subnets[:1])["Subnets"][0]["VpcId"]
        data = {"ImageId": image, "InstanceType": "t3.nano"}
        made = self.ec2.create_launch_template(
            LaunchTemplateName=self.name, LaunchTemplateData=data
        )
        self.template = made["LaunchTemplate"]["LaunchTemplateId"]
        self.undo.callback(self.ec2.delete_launch_template, LaunchTemplateId=self.template)
        data |= {"UserData": "IyEvYmluL3NoCg=="}
        self.ec2.create_launch_template_version(
            LaunchTemplateId=self.template, LaunchTemplateData=data
        )
        # Port 22 answers as soon as an instance has booted.
        made = self.elb.create_target_group(
            Name=self.name,
            Protocol="TCP",
            Port=22,
            VpcId=vpc,
            HealthCheckIntervalSeconds=10,
            HealthyThresholdCount=2,
        )
        self.arn = made["TargetGroups"][0]["TargetGroupArn"]
        self.undo.callback(self.patiently, self.elb.delete_target_group, TargetGroupArn=self.arn)
        delay = {"Key": "deregistration_delay.timeout_seconds", "Value": "10"}
        self.elb.modify_target_group_attributes(TargetGroupArn=self.arn, Attributes=[delay])
        made = self.elb.create_load_balancer(Name=self.name, Type="network", Subnets=subnets)
        balancer = made["LoadBalancers"][0]["LoadBalancerArn"]
        self.undo.callback(self.elb.delete_load_balancer, LoadBalancerArn=balancer)
        self.elb.create_listener(
            LoadBalancerArn=balancer,
            Protocol="TCP",
            Port=22,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.arn}],
        )
        self.groups.create_auto_scaling_group(
            AutoScalingGroupName=self.name,
            MinSize=1,
            MaxSize=4,
            DesiredCapacity=2,
            VPCZoneIdentifier=",".join(subnets),
            LaunchTemplate={"LaunchTemplateId": self.template, "Version": "1"},
            TargetGroupARNs=[self.arn],
            HealthCheckType="ELB",
            HealthCheckGracePeriod=0,
        )
        self.undo.callback(self.delete_group)

    def delete_group(self) -> None:
        self.groups.delete_auto_scaling_group(AutoScalingGroupName=self.name, ForceDelete=True)
        self.until("the group is gone", lambda: self.group() is None)

    def patiently(self, call, **arguments) -> None:
        """Deletes what others still use for a while."""

        def done():
            try:
                call(**arguments)
            except self.elb.exceptions.ResourceInUseException:
                return False
            return True

        self.until("nobody uses it", done)

    # -- looks ----------------------------------------------------------------------------

    def group(self) -> dict | None:
        named = {"AutoScalingGroupNames": [self.name]}
        found = self.groups.describe_auto_scaling_groups(**named)["AutoScalingGroups"]
        return found[0] if found else None

    def instances(self) -> dict[str, dict]:
        return {each["InstanceId"]: each for each in self.group()["Instances"]}

    def listed(self) -> dict[str, str]:
        health = self.elb.describe_target_health(TargetGroupArn=self.arn)
        targets = health["TargetHealthDescriptions"]
        return {each["Target"]["Id"]: each["TargetHealth"]["State"] for each in targets}

    def until(self, what: str, fact, patience: float | None = None) -> bool:
        """Waits for a fact; whether it came to be."""
        deadline = time.monotonic() + (patience or self.patience)
        while time.monotonic() < deadline:
            if fact():
                return True
            time.sleep(self.pause)
        if patience is None:
            print(f"not within {self.patience:.0f} s: {what}", file=sys.stderr)
        return False

    def whole(self, size: int = 2) -> list[str]:
        """Waits until so many serve, and no others are there."""

        def is_whole():
            here, listed = self.instances(), self.listed()
            in_service = all(each["LifecycleState"] == "InService" for each in here.values())
            serves = all(listed.get(each) == "healthy" for each in here)
            return len(here) == size and in_service and serves and set(listed) == set(here)

        self.until(f"{size} serve", is_whole)
        return sorted(self.instances())

    def terminate(self, instance: str, decrement: bool) -> None:
        self.groups.terminate_instance_in_auto_scaling_group(
            InstanceId=instance, ShouldDecrementDesiredCapacity=decrement
        )

    def reset(self) -> None:
        self.groups.resume_processes(AutoScalingGroupName=self.name)
        self.groups.update_auto_scaling_group(
            AutoScalingGroupName=self.name, MinSize=1, MaxSize=4, DesiredCapacity=2
        )
        self.whole()


# -- the assumptions, each with what was seen of it ---------------------------------------


def replaces_deregistered(trial: Trial) -> tuple[bool | None, str]:
    """An ELB-type group may replace a target that was deregistered (both are allowed for)."""
    first, _ = trial.whole()
    trial.elb.deregister_targets(TargetGroupArn=trial.arn, Targets=[{"Id": first}])
    gone = trial.until("it is replaced", lambda: first not in trial.instances(), trial.patience / 2)
    if not gone:
        trial.elb.register_targets(TargetGroupArn=trial.arn, Targets=[{"Id": first}])
    return None, f"it {'does' if gone else 'does not'}"


def registers_nobody(trial: Trial) -> tuple[bool, str]:
    """What is launched while AddToLoadBalancer is suspended is registered by nobody."""
    before = set(trial.whole())
    named = {"AutoScalingGroupName": trial.name}
    trial.groups.suspend_processes(**named, ScalingProcesses=["AddToLoadBalancer"])
    trial.groups.set_desired_capacity(**named, DesiredCapacity=3)

    def launched():
        here = trial.instances()
        return [i for i in here if i not in before and here[i]["LifecycleState"] == "InService"]

    trial.until("one is launched", launched)
    new = (launched() or ["none"])[0]
    registered = trial.until("it is registered", lambda: new in trial.listed(), trial.pause * 5)
    trial.groups.resume_processes(**named, ScalingProcesses=["AddToLoadBalancer"])
    later = trial.until("it is registered", lambda: new in trial.listed(), trial.pause * 5)
    if new != "none":
        trial.terminate(new, True)
    return not registered, f"registered: {registered}, after the process was resumed: {later}"


def lowers_once(trial: Trial) -> tuple[bool, str]:
    """To terminate one that is terminating already, with a decrement, lowers nothing once more."""
    first, _ = trial.whole()
    trial.groups.set_desired_capacity(AutoScalingGroupName=trial.name, DesiredCapacity=3)
    trial.whole(3)
    trial.terminate(first, False)
    try:
        trial.terminate(first, True)
        answer = "accepted"
    except trial.groups.exceptions.ClientError as error:
        answer = error.response["Error"]["Message"]
    desired = trial.group()["DesiredCapacity"]
    return desired == 3, f"{answer}; the size is {desired} of 3"


def maintenance_says_nothing(trial: Trial) -> tuple[bool, str]:
    """A policy that launches before it terminates has TerminateInstanceInAutoScalingGroup alone."""
    trial.groups.update_auto_scaling_group(
        AutoScalingGroupName=trial.name,
        InstanceMaintenancePolicy={"MinHealthyPercentage": 100, "MaxHealthyPercentage": 150},
    )
    first, _ = trial.whole()
    trial.terminate(first, False)
    at_once = trial.instances().get(first, {"LifecycleState": "gone"})["LifecycleState"]
    trial.groups.update_auto_scaling_group(
        AutoScalingGroupName=trial.name,
        InstanceMaintenancePolicy={"MinHealthyPercentage": -1, "MaxHealthyPercentage": -1},
    )
    goes = at_once == "gone" or at_once.startswith("Terminating")
    return goes, f"it is {at_once} at once"


def reuses_nobody(trial: Trial) -> tuple[bool, str]:
    """ReuseOnScaleIn brings nobody back who was terminated with a decrement."""
    named = {"AutoScalingGroupName": trial.name}
    trial.groups.put_warm_pool(
        **named, MinSize=0, PoolState="Stopped", InstanceReusePolicy={"ReuseOnScaleIn": True}
    )
    trial.groups.set_desired_capacity(**named, DesiredCapacity=3)
    first = trial.whole(3)[0]
    trial.terminate(first, True)
    states = set()

    def is_gone():
        pool = trial.groups.describe_warm_pool(**named)["Instances"]
        here = {**trial.instances(), **{each["InstanceId"]: each for each in pool}}
        states.add(here.get(first, {"LifecycleState": "gone"})["LifecycleState"])
        return first not in here

    trial.until("it is gone", is_gone, trial.patience / 2)
    trial.groups.delete_warm_pool(**named, ForceDelete=True)
    trial.until("the pool is gone", lambda: "WarmPoolConfiguration" not in trial.group())
    return not any(state.startswith("Warmed") for state in states), ", ".join(sorted(states))


def refresh_stays_pending(trial: Trial) -> tuple[bool, str]:
    """A refresh that is started while InstanceRefresh is suspended waits, and launches nothing."""
    named = {"AutoScalingGroupName": trial.name}
    before = set(trial.whole())
    trial.groups.suspend_processes(**named, ScalingProcesses=["InstanceRefresh"])
    wanted = {"LaunchTemplateId": trial.template, "Version": "2"}
    trial.groups.start_instance_refresh(**named, DesiredConfiguration={"LaunchTemplate": wanted})
    trial.terminate(min(before), False)

    def launched():
        return [each for id, each in trial.instances().items() if id not in before]

    trial.until("one is launched", launched)
    versions = {each["LaunchTemplate"]["Version"] for each in launched()}
    told = trial.groups.describe_instance_refreshes(**named)["InstanceRefreshes"][0]
    trial.groups.cancel_instance_refresh(**named)
    trial.groups.resume_processes(**named, ScalingProcesses=["InstanceRefresh"])
    over = {"Cancelled", "Failed", "Successful"}
    refreshes = trial.groups.describe_instance_refreshes
    trial.until(
        "it is cancelled", lambda: refreshes(**named)["InstanceRefreshes"][0]["Status"] in over
    )
    held = told["Status"] in ("Pending", "InProgress") and told.get("PercentageComplete", 0) == 0
    seen = f"it is {told['Status']}, and the group launches version {', '.join(sorted(versions))}"
    return held and versions == {"1"}, seen


TRIALS = [
    replaces_deregistered,
    registers_nobody,
    lowers_once,
    maintenance_says_nothing,
    reuses_nobody,
    refresh_stays_pending,
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--region")
    parser.add_argument("--endpoint-url", help="an emulator of AWS, to try this script itself")
    parser.add_argument("--subnets", nargs="+", help="default: two of the default VPC")
    parser.add_argument("--image", help="default: the latest Amazon Linux 2023")
    parser.add_argument("--patience", type=float, default=600, help="seconds for one fact (600)")
    parser.add_argument("--pause", type=float, default=5, help="seconds between two looks (5)")
    trial, failed = Trial(parser.parse_args()), 0
    with trial.undo:
        for each in TRIALS:
            holds, seen = each(trial)
            verdict = {True: "holds", False: "does not hold", None: "seen"}[holds]
            failed += holds is False
            print(f"{each.__name__}: {verdict}: {seen} -- {each.__doc__}", flush=True)
            trial.reset()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
