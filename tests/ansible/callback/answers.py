"""Prints what each task answered, one JSON object a line, and nothing else."""

import json

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: answers
type: stdout
short_description: Prints what each task answered as JSON lines
description: For tests.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "answers"

    def v2_runner_on_ok(self, result):
        print(json.dumps({"failed": False, **result.result}), flush=True)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        print(json.dumps({**result.result, "failed": True}), flush=True)
