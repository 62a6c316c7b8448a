"""What people write when they have no tool: instance by instance, with sleeps of ten seconds.

roll.py ENDPOINT GROUP TEMPLATE VERSION. Prints one JSON object with the calls that it made.
"""

import collections
import json
import sys
import time

import boto3

SLEEP = 10
endpoint, name, template, version = sys.argv[1:]
calls = collections.Counter()


def client(service):
    made = boto3.client(service, endpoint_url=endpoint)
    made.meta.events.register("before-call", lambda model, **_: calls.update([model.name]))
    return made


autoscaling, elb = client("autoscaling"), client("elbv2")


def group():
    answer = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])
    return answer["AutoScalingGroups"][0]


def states(arn):
    answer = elb.describe_target_health(TargetGroupArn=arn)
    found = answer["TargetHealthDescriptions"]
    return {each["Target"]["Id"]: each["TargetHealth"]["State"] for each in found}


autoscaling.update_auto_scaling_group(
    AutoScalingGroupName=name,
    LaunchTemplate={"LaunchTemplateId": template, "Version": version},
)
found = group()
arn, size = found["TargetGroupARNs"][0], found["DesiredCapacity"]
for instance in found["Instances"]:
    victim = instance["InstanceId"]
    elb.deregister_targets(TargetGroupArn=arn, Targets=[{"Id": victim}])
    while victim in states(arn):
        time.sleep(SLEEP)
    autoscaling.terminate_instance_in_auto_scaling_group(
        InstanceId=victim, ShouldDecrementDesiredCapacity=False
    )
    while True:
        time.sleep(SLEEP)
        healthy = {i for i, state in states(arn).items() if state == "healthy"}
        ready = [i for i in group()["Instances"] if i["LifecycleState"] == "InService"]
        if len(ready) == size and all(i["InstanceId"] in healthy for i in ready):
            break
print(json.dumps({"calls": sum(calls.values())}))
