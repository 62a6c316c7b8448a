"""SSM documents, which moto has, with what it lacks of their versions."""

import re

from localstack.aws.api import CommonServiceException
from localstack.utils.patch import patch
from moto.ssm.models import Document, Documents, SimpleSystemManagerBackend, ssm_backends

# A document whose description says so is bad in that version.
BEHAVIOUR = re.compile(r"lab:behaviour=([\w-]+)")
PLATFORMS = {
    "aws:runShellScript": ["Linux", "MacOS"],
    "aws:runPowerShellScript": ["Windows", "Linux", "MacOS"],
}


def refused(code: str, message: str) -> CommonServiceException:
    return CommonServiceException(code, message, 400, True)


def version_of(documents: Documents, asked: str | None) -> str:
    """Returns the version that is meant, as a number."""
    if asked in (None, "", "$DEFAULT"):
        return documents.default_version
    if asked == "$LATEST":
        return documents.latest_version
    if asked not in documents.versions:
        raise refused(
            "InvalidDocumentVersion", "The document version is not valid or does not exist."
        )
    return asked


def find(context, name: str, asked: str | None) -> Document:
    """Returns a version of a document, by its name or ARN."""
    backend = ssm_backends[context.account_id][context.region]
    known = backend._documents.get(name.rpartition(":document/")[2])
    if known is None:
        raise refused("InvalidDocument", f"Document with name {name} does not exist.")
    return known.versions[version_of(known, asked)]


def behaviour(document: Document) -> str | None:
    found = BEHAVIOUR.search(document.description or "")
    return found and found[1]


def steps(content: dict) -> list[dict]:
    """Returns the steps of a document with their names; before schema 2 it has plugins instead."""
    if content.get("mainSteps"):
        return content["mainSteps"]
    plugins = content.get("runtimeConfig") or {}
    return [{"name": name, "action": name} for name in plugins] or [{"name": "", "action": ""}]


def check_parameters(document: Document, given: dict[str, list[str]]) -> None:
    known = document.content_json.get("parameters") or {}
    for name in given:
        if name not in known:
            raise refused("InvalidParameters", f"Parameter {name} is not defined in the document.")
    for name, about in known.items():
        if name not in given and "default" not in about:
            raise refused("InvalidParameters", f"Parameter {name} requires a value.")
        allowed, pattern = about.get("allowedValues"), about.get("allowedPattern")
        for value in given.get(name, []):
            listed = not allowed or value in [str(each) for each in allowed]
            if not listed or (pattern and not re.search(pattern, value)):
                raise refused("InvalidParameters", f"Parameter {name} has no valid value: {value}")


def mend() -> None:
    backend = SimpleSystemManagerBackend

    @patch(Document.__init__)
    def begin(original, document, *args, **kwargs):
        original(document, *args, **kwargs)
        actions = {step.get("action") for step in steps(document.content_json)}
        runs = [set(PLATFORMS[action]) for action in actions if action in PLATFORMS]
        every = PLATFORMS["aws:runPowerShellScript"]
        document.platform_types = [p for p in every if all(p in each for each in runs)]
        document.parameter_list = document.parameter_list or []

    @patch(backend.create_document)
    def create_document(original, known, *args, **kwargs):
        kwargs["document_type"] = kwargs["document_type"] or "Command"
        return original(known, *args, **kwargs) | {"Status": "Creating"}

    @patch(backend.update_document)
    def update_document(original, known, *args, **kwargs):
        return original(known, *args, **kwargs) | {"Status": "Updating"}

    @patch(backend.describe_document)
    def describe_document(original, known, name, document_version, version_name):
        if not version_name:
            document_version = version_of(known._get_documents(name), document_version)
        return original(known, name, document_version, version_name)

    @patch(backend.get_document)
    def get_document(original, known, name, document_version, version_name, document_format):
        if not version_name:
            document_version = version_of(known._get_documents(name), document_version)
        return original(known, name, document_version, version_name, document_format)

    @patch(backend.update_document_default_version)
    def update_document_default_version(original, known, name, document_version):
        version_of(known._get_documents(name), document_version)
        return original(known, name, document_version)
