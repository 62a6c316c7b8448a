"""The services that LocalStack has itself: what AWS does and they do not."""

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
    """Comes before the services are made: they look their methods up then."""
    # When an instance was launched is compared with what the lab's clock says.
    instances.utcnow = lambda: datetime.datetime.fromtimestamp(now(), datetime.UTC).replace(
        tzinfo=None
    )
    # It would make an IAM of its own for every account, with all of AWS's policies: 0.3 s each.
    iam.mark_account_as_visited = lambda **_account: None
    # Parameters that are secrets are not there, nor are the services behind them.
    API_DEPENDENCIES.pop("ssm", None)
    documents.mend()
    take_over(SsmProvider, api_commands.OVERRIDES)
    take_over(Ec2Provider, api_volumes.OVERRIDES)

    @patch(CloudwatchProvider.describe_alarms)
    def describe_alarms(original, provider, context, **request):
        """Composite alarms are shown to who asks for them."""
        wanted = request.get("alarm_types") or ["MetricAlarm"]
        answer = original(provider, context, **request)
        return {key: answer[key] if kind in wanted else [] for kind, key in TYPES.items()}

    @patch(AlarmScheduler.schedule_metric_alarm)
    def schedule_metric_alarm(_original, _scheduler, _alarm_arn):
        """No alarm looks at metrics: it would undo what SetAlarmState said."""

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
    """Has the lab answer what moto does not know, or has no life for."""
    for operation, answer in overrides.items():

        def take(_provider, context, request, answer=answer):
            return answer(context, request)

        # By this name LocalStack looks it up.
        take.__name__ = xform_name(operation)
        setattr(provider, take.__name__, handler(operation, expand=False)(take))
