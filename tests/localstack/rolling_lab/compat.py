"""LocalStack's S3 and CloudWatch are written for Python 3.13, and need little of it."""

import importlib.util
import sys
import warnings
from pathlib import Path

import typing_extensions

STORES = "localstack.services.stores"


def know_newer_python() -> None:
    """Lets an older Python import them. The stores' type parameters are for type checkers only."""
    if sys.version_info >= (3, 13):
        return
    warnings.deprecated = typing_extensions.deprecated
    spec = importlib.util.find_spec(STORES)
    text = Path(spec.origin).read_text().replace("[BaseStoreType](dict)", "(dict)")
    sys.modules[STORES] = importlib.util.module_from_spec(spec)
    exec(compile(text, spec.origin, "exec"), sys.modules[STORES].__dict__)
