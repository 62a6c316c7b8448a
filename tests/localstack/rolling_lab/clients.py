"""The lab's own calls: one client a service for all accounts, since making one takes long."""

import functools
import threading

import boto3
from botocore.credentials import Credentials, ReadOnlyCredentials

REGION = "us-east-1"
_caller = threading.local()


class OfCaller(Credentials):
    """LocalStack takes the account from the access key, which is asked for at every call."""

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return ReadOnlyCredentials(_caller.account, "test", None)


@functools.cache
def _client(service: str, endpoint: str):
    session = boto3.Session(region_name=REGION)
    session._session._credentials = OfCaller("-", "test")
    return session.client(service, endpoint_url=endpoint)


_making = threading.Lock()


def clients(account_id: str, host: str, *services: str) -> list:
    """Returns clients that use this account until this thread asks for others."""
    _caller.account = account_id
    with _making:
        return [_client(service, f"http://{host}") for service in services]
