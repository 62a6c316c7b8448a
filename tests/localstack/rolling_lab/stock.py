"""What LocalStack's own services lack."""

import datetime

import moto.ec2.models.instances as instances
import moto.iam.models as iam
from botocore import xform_name
from localstack.aws.api import handler
from localstack.services.cloudwatch.alarm_scheduler import AlarmScheduler
from localstack.services.cloudwatch.provider_v2 import CloudwatchProvider
from localstack.services.ec2.provider import Ec2Provider
from localstack.services.s3.provider import S3Provider, verify_object_equality_precondition_write
from localstack.services.ssm.provider import SsmProvider
from localstack.utils.bootstrap import API_DEPENDENCIES
from localstack.utils.patch import patch

from . import api_commands, api_volumes, documents
from .cloud import now

TYPES = {"MetricAlarm": "MetricAlarms", "CompositeAlarm": "CompositeAlarms"}


def mend() -> None:
    """Runs before the services are made, since they look their methods up then."""
    # The launch time of an instance is compared with the lab's clock.
    instances.utcnow = lambda: datetime.datetime.fromtimestamp(now(), datetime.UTC).replace(
        tzinfo=None
    )
    # It would make an IAM for every account, with all of AWS's policies: 0.3 s each.
    iam.mark_account_as_visited = lambda **_account: None
    # There are no secret parameters, and so no need for the services behind them.
    API_DEPENDENCIES.pop("ssm", None)
    documents.mend()
    take_over(SsmProvider, api_commands.OVERRIDES)
    take_over(Ec2Provider, api_volumes.OVERRIDES)

    @patch(CloudwatchProvider.describe_alarms)
    def describe_alarms(original, provider, context, **request):
        """Shows composite alarms only if they are asked for."""
        wanted = request.get("alarm_types") or ["MetricAlarm"]
        answer = original(provider, context, **request)
        return {key: answer[key] if kind in wanted else [] for kind, key in TYPES.items()}

    @patch(AlarmScheduler.schedule_metric_alarm)
    def schedule_metric_alarm(_original, _scheduler, _alarm_arn):
        """Keeps alarms from evaluating metrics, which would undo SetAlarmState."""

    @patch(S3Provider.delete_object)
    def delete_object(original, provider, context, bucket, key, if_match=None, **request):
        if if_match is None:
            return original(provider, context, bucket, key, **request)
        _, known = provider._get_cross_account_bucket(context, bucket)
        # The lock that conditional writes take.
        with provider._preconditions_locks[bucket][key]:
            present = getattr(known.objects.get(key), "etag", "")
            wanted = present if if_match == "*" else if_match
            verify_object_equality_precondition_write(known, key, wanted)
            return original(provider, context, bucket, key, **request)


def take_over(provider: type, overrides: dict) -> None:
    """Makes the lab answer what moto does not know or does not model."""
    for operation, answer in overrides.items():

        def take(_provider, context, request, answer=answer):
            return answer(context, request)

        # LocalStack looks it up by this name.
        take.__name__ = xform_name(operation)
        setattr(provider, take.__name__, handler(operation, expand=False)(take))
