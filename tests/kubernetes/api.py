"""A client of the Kubernetes API, as small as the tests need it: calls, and a list that is followed
by a watch."""

import base64
import contextlib
import http.client
import json
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

JSON = "application/json"
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
CORE = "/api/v1"
APPS = "/apis/apps/v1"
# The API server ends a watch after this many seconds, and the reader begins another.
WATCH_SECONDS = 300
# Answers of a server that is too busy, and how often and after how long it is asked again.
BUSY = (429, 500, 503, 504)
TRIES, PAUSE = 5, 0.2


class ApiError(Exception):
    """A refusal of the API server: a Status object."""

    def __init__(self, code: int, status: dict):
        self.code = code
        self.reason = status.get("reason", "")
        super().__init__(f"{code} {self.reason}: {status.get('message', '')}")


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Cluster:
    """Where the API server is, and who asks. A thread has its own connection."""

    def __init__(self, kubeconfig: Path):
        config = read(kubeconfig)
        name = config["current-context"]
        context = named(config["contexts"], name)["context"]
        cluster = named(config["clusters"], context["cluster"])["cluster"]
        user = named(config["users"], context["user"])["user"]
        self.url = cluster["server"]
        place = urllib.parse.urlsplit(self.url)
        self.host, self.port = place.hostname, place.port or 443
        self.tls = trust(cluster)
        present_certificate(self.tls, user)
        self.headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
        self.local = threading.local()

    def connect(self, timeout: float) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=self.tls)

    def call(self, method: str, path: str, body=None, kind: str = JSON) -> dict:
        """Sends a request and returns the object in its answer.

        It is sent again where the server was too busy. That may repeat a call that took effect;
        what is sent here has the same effect twice.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = {**self.headers, "Content-Type": kind, "Accept": JSON}
        for tries_left in reversed(range(TRIES)):
            status, answer = self.send(method, path, data, headers)
            if status not in BUSY or not tries_left:
                break
            time.sleep(PAUSE)
        read = json.loads(answer) if answer.startswith(b"{") else {"message": answer.decode()}
        if status >= 400:
            raise ApiError(status, read)
        return read

    def send(self, method: str, path: str, data, headers: dict) -> tuple[int, bytes]:
        idle = getattr(self.local, "connection", None)
        connection = self.local.connection = idle or self.connect(30)
        try:
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            self.local.connection = None
            if idle is None:
                raise
            # The server closes connections that were idle for long.
            return self.send(method, path, data, headers)

    def get(self, path: str) -> dict:
        return self.call("GET", path)

    def create(self, path: str, body: dict) -> dict:
        return self.call("POST", path, body)

    def patch(self, path: str, body: dict, kind: str = STRATEGIC) -> dict:
        return self.call("PATCH", path, body, kind)

    def delete(self, path: str, body: dict | None = None) -> dict:
        return self.call("DELETE", path, body)

    def follow(self, path: str, ended: Callable[[], bool]) -> Iterator[tuple[str, dict]]:
        """Lists, then watches: yields `LISTED` with the list, then `ADDED`, `MODIFIED`, `DELETED`
        with an object each. After a gap that the server does not remember it lists again. Whether
        it should end is asked when something happens, so it belongs in a daemon thread."""
        version = None
        while not ended():
            try:
                if version is None:
                    listed = self.get(path)
                    version = listed["metadata"]["resourceVersion"]
                    yield "LISTED", listed
                for event in self.watch(path, version, ended):
                    if event["type"] == "ERROR":
                        version = None
                        break
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        yield event["type"], event["object"]
            except ApiError as error:
                if error.code not in (410, *BUSY):
                    raise
                version = None
                time.sleep(PAUSE)

    def watch(self, path: str, version: str, ended: Callable[[], bool]) -> Iterator[dict]:
        """Yields the events of one watch, until the server ends it."""
        words = {"watch": 1, "resourceVersion": version, "timeoutSeconds": WATCH_SECONDS}
        words["allowWatchBookmarks"] = "true"
        separator = "&" if "?" in path else "?"
        connection = self.connect(WATCH_SECONDS + 30)
        try:
            url = f"{path}{separator}{urllib.parse.urlencode(words)}"
            connection.request("GET", url, headers={**self.headers, "Accept": JSON})
            response = connection.getresponse()
            if response.status >= 400:
                raise ApiError(response.status, json.loads(response.read()))
            for line in response:
                if ended():
                    return
                yield json.loads(line)
        finally:
            connection.close()


def read(kubeconfig: Path) -> dict:
    """Reads a kubeconfig. Those of these tests are JSON; kubectl turns any other into it."""
    text = Path(kubeconfig).read_text()
    if not text.startswith("{"):
        command = ["kubectl", "config", "view", "--raw", "--flatten", "--minify", "-o", "json"]
        done = subprocess.run(
            [*command, "--kubeconfig", str(kubeconfig)], capture_output=True, text=True, check=True
        )
        text = done.stdout
    return json.loads(text)


def named(entries: list[dict], name: str) -> dict:
    return next(entry for entry in entries if entry["name"] == name)


def trust(cluster: dict) -> ssl.SSLContext:
    if cluster.get("insecure-skip-tls-verify"):
        return ssl._create_unverified_context()
    data = cluster.get("certificate-authority-data")
    text = base64.b64decode(data).decode() if data else None
    return ssl.create_default_context(cafile=cluster.get("certificate-authority"), cadata=text)


def present_certificate(tls: ssl.SSLContext, user: dict) -> None:
    if "client-certificate" in user:
        tls.load_cert_chain(user["client-certificate"], user["client-key"])
    elif "client-certificate-data" in user:
        # The library reads files only.
        with tempfile.NamedTemporaryFile() as both:
            for part in ("client-certificate-data", "client-key-data"):
                both.write(base64.b64decode(user[part]))
            both.flush()
            tls.load_cert_chain(both.name)


def pods(namespace: str, name: str = "") -> str:
    return f"{CORE}/namespaces/{namespace}/pods" + (f"/{name}" if name else "")


def key(thing: dict) -> str:
    return thing["metadata"]["uid"]


def labels(thing: dict) -> dict:
    return thing["metadata"].get("labels") or {}


def annotations(thing: dict) -> dict:
    return thing["metadata"].get("annotations") or {}


def owner(thing: dict) -> dict:
    """Returns the reference to the controller of an object, or an empty one."""
    references = thing["metadata"].get("ownerReferences") or []
    return next((each for each in references if each.get("controller")), {})


def condition(thing: dict, kind: str) -> dict:
    found = thing.get("status", {}).get("conditions") or []
    return next((each for each in found if each["type"] == kind), {})


def wait_for_account(cluster: Cluster, namespace: str) -> None:
    """Pods of a namespace are refused until its service account is there and has a token."""
    path = f"{CORE}/namespaces/{namespace}/serviceaccounts"
    for event, thing in cluster.follow(path, lambda: False):
        listed = thing.get("items") or [] if event == "LISTED" else [thing]
        if any(each.get("secrets") for each in listed):
            return


def ignore_gone() -> contextlib.AbstractContextManager:
    """What is sent to an object that is gone by then has no one to tell."""
    return Gone()


class Gone(contextlib.AbstractContextManager):
    def __exit__(self, kind, error, trace) -> bool:
        return isinstance(error, ApiError) and error.code in (404, 409)
