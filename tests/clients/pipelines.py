"""Runs the shell of a pipeline as its runner would: pipelines.py FILE JOB, in the checkout."""

import os
import subprocess
import sys

import yaml

file, name = sys.argv[1:]
with open(file) as text:
    pipeline = yaml.safe_load(text)

if "jobs" in pipeline:  # GitHub: each step is a script of its own.
    job = pipeline["jobs"][name]
    scripts = [step["run"] for step in job["steps"] if "run" in step]
    variables = pipeline["env"]
    strict = ["-e"]
else:  # GitLab: one script after the other in one shell.
    job = pipeline[name]
    scripts = ["\n".join([*pipeline["default"]["before_script"], *job["script"]])]
    variables = {**pipeline["variables"], **job["variables"]}
    strict = ["-eo", "pipefail"]

# One rollout at a time, which is never cancelled half-way.
if name == "apply" and "jobs" in pipeline:
    assert job["concurrency"] == {"group": "rolling-production", "cancel-in-progress": False}
elif name == "apply":
    assert job["resource_group"] == "production" and job["interruptible"] is False

environment = {
    **os.environ,
    **variables,
    "AWS_TOKEN": "a token",
    "GITHUB_STEP_SUMMARY": os.path.abspath("summary.md"),
}
for script in scripts:
    code = subprocess.run(["bash", *strict, "-c", script], env=environment).returncode
    if code:
        sys.exit(code)
