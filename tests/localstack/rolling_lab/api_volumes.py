"""EC2's calls that replace root volumes, and the images that the door makes for them."""

from localstack.aws.api import CommonServiceException, RequestContext
from moto.ec2.exceptions import InvalidInstanceIdError
from moto.ec2.utils import random_ami_id
from moto.moto_api._internal import mock_random
from werkzeug import Request, Response

from . import root_volumes
from .api import world_of
from .cloud import BEHAVIOUR, now
from .door import answer
from .door import world_of as door_world
from .model import stamp
from .root_volumes import Task

RESOURCE = "replace-root-volume-task"
ASKED = ("InstanceId", "ImageId", "SnapshotId", "DeleteReplacedRootVolume", "TagSpecifications")


def refused(code: str, message: str) -> CommonServiceException:
    return CommonServiceException(code, message, 400, True)


def create(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        token = request.get("ClientToken")
        asked = repr([request.get(key) for key in ASKED])
        before, known = world.root_volumes.tokens.get(token, (asked, None))
        if before != asked:
            raise refused(
                "IdempotentParameterMismatch",
                "The request uses the same client token as a previous, but non-identical request.",
            )
        if known is None:
            check(world, request)
            if request.get("DryRun"):
                message = "Request would have succeeded, but DryRun flag is set."
                raise CommonServiceException("DryRunOperation", message, 412, True)
            known = begin(world, request).id
            if token:
                world.root_volumes.tokens[token] = (asked, known)
        return {"ReplaceRootVolumeTask": shown(world.root_volumes.tasks[known], world.now)}


def check(world, request: dict) -> None:
    """What AWS refuses."""
    wanted, image = request["InstanceId"], request.get("ImageId")
    snapshot = request.get("SnapshotId")
    ec2 = world.cloud.ec2
    try:
        fake = ec2.get_instance(wanted)
    except InvalidInstanceIdError:
        message = f"The instance ID '{wanted}' does not exist"
        raise refused("InvalidInstanceID.NotFound", message) from None
    if image and snapshot:
        raise refused(
            "InvalidParameterCombination", "You cannot specify both an ImageId and a SnapshotId."
        )
    if image and image not in ec2.amis:
        raise refused("InvalidAMIID.NotFound", f"The image id '[{image}]' does not exist")
    if snapshot and snapshot not in ec2.snapshots:
        raise refused("InvalidSnapshot.NotFound", f"The snapshot '{snapshot}' does not exist.")
    if fake._state.name != "running":
        raise refused(
            "IncorrectInstanceState", f"The instance '{wanted}' is not in the 'running' state."
        )
    if any(task.instance == wanted for task in world.root_volumes.under_way()):
        raise refused(
            "IncorrectInstanceState", f"The root volume of '{wanted}' is being replaced already."
        )


def begin(world, request: dict) -> Task:
    instance, image = request["InstanceId"], request.get("ImageId")
    tags = [
        tag
        for told in request.get("TagSpecifications") or []
        if told.get("ResourceType") == RESOURCE
        for tag in told.get("Tags") or []
    ]
    return root_volumes.start(
        world,
        id=f"replacevol-{mock_random.get_random_hex(17)}",
        instance=instance,
        image=image,
        snapshot=request.get("SnapshotId"),
        deletes=bool(request.get("DeleteReplacedRootVolume")),
        behaviour=world.cloud.image_behaviour(image) if image else None,
        tags=tags,
    )


def shown(task: Task, at: float) -> dict:
    told = {
        "ReplaceRootVolumeTaskId": task.id,
        "InstanceId": task.instance,
        "TaskState": task.state(at),
        "StartTime": stamp(task.started),
        "CompleteTime": stamp(task.ends) if task.outcome else None,
        "ImageId": task.image,
        "SnapshotId": task.snapshot,
        "DeleteReplacedRootVolume": task.deletes,
        "Tags": task.tags,
    }
    return {key: value for key, value in told.items() if value is not None}


def describe(context: RequestContext, request: dict) -> dict:
    world = world_of(context)
    with world.lock:
        world.advance(now())
        known = world.root_volumes.tasks
        wanted = request.get("ReplaceRootVolumeTaskIds") or list(known)
        missing = [task_id for task_id in wanted if task_id not in known]
        if missing:
            raise refused(
                "InvalidReplaceRootVolumeTaskID.NotFound",
                f"The replace root volume task IDs '{', '.join(missing)}' do not exist",
            )
        tasks = [known[task_id] for task_id in wanted]
        for condition in request.get("Filters") or []:
            if condition.get("Name") != "instance-id":
                raise refused(
                    "InvalidParameterValue", f"The filter '{condition.get('Name')}' is invalid"
                )
            tasks = [task for task in tasks if task.instance in condition.get("Values", [])]
        first, size = int(request.get("NextToken") or 0), request.get("MaxResults") or 50
        told = [shown(task, world.now) for task in tasks[first : first + size]]
        rest = {"NextToken": str(first + size)} if len(tasks) > first + size else {}
        return {"ReplaceRootVolumeTasks": told} | rest


OVERRIDES = {
    "CreateReplaceRootVolumeTask": create,
    "DescribeReplaceRootVolumeTasks": describe,
}


# -- the door -----------------------------------------------------------------------------


def images(request: Request, account_id: str) -> Response:
    """Makes images of the account's own, one for each behaviour that is asked for."""
    world = door_world(account_id, request)
    made = []
    with world.lock:
        for behaviour in request.json["images"]:
            image_id = random_ami_id()
            tags = {BEHAVIOUR: behaviour} if behaviour else {}
            world.cloud.make_image(f"lab-{image_id}", image_id, tags=tags)
            made.append(image_id)
    return answer({"image_ids": made})


ROUTES = {"images": images}
