"""Starts the processes of one control plane on free ports of 127.0.0.1, and ends them all."""

import json
import os
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import urllib.request
from pathlib import Path

import api
import build
import certificates
from api import Cluster

HERE = Path(__file__).resolve().parent
READY_WITHIN = 120
POLL = 0.03
TAKEN = "address already in use"
# A port is free when it is chosen, and may be taken before it is used.
TRIES = 4
TOKENS = {"admin": "admin-token,admin,1,system:masters", "nobody": "nobody-token,nobody,2"}
CONTROLLERS = (
    "deployment,replicaset,statefulset,disruption,endpoint,endpointslice,"
    "garbagecollector,namespace,resourcequota,serviceaccount,serviceaccount-token"
)
# Removes the folder when its standard input ends, so also after a `kill -9` of this process; what
# is killed at the same moment may still write to it.
CLEANUP = 'cat >/dev/null; for i in 1 2 3 4 5 6 7 8 9; do rm -rf "$0" && exit; sleep 0.2; done'


class Stopped(Exception):
    """The caller has ended, or a signal came."""


class Failed(Exception):
    """A process ended that should not have; the message has the end of its log."""


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class ControlPlane:
    """`ends` is a file descriptor that becomes readable when it is to end."""

    def __init__(self, programs: Path, options: list[str], ends: int):
        self.programs, self.options, self.ends = programs, options, ends
        self.folder = Path(tempfile.mkdtemp(prefix="rolling-kubernetes-"))
        self.children: dict[int, tuple[str, subprocess.Popen]] = {}  # by pidfd
        self.kubeconfig = self.folder / "kubeconfig"
        # In a session of its own: what is sent to a terminal's group must not end it first.
        self.cleaner = subprocess.Popen(
            ["sh", "-c", CLEANUP, self.folder], stdin=subprocess.PIPE, start_new_session=True
        )

    def start(self) -> dict:
        certificates.make(self.folder)
        (self.folder / "tokens.csv").write_text("\n".join(TOKENS.values()) + "\n")
        for tries_left in reversed(range(TRIES)):
            try:
                url = self.start_servers()
                break
            except Failed as error:
                self.kill()
                shutil.rmtree(self.folder / "etcd", ignore_errors=True)
                if TAKEN not in str(error) or not tries_left:
                    raise
        self.spawn("kube-controller-manager", self.controller_manager())
        self.start_nodes()
        self.wait_until_accounts_are_made()
        description = {"kubeconfig": str(self.kubeconfig), "url": url, "pid": os.getpid()}
        description |= {"kubectl": str(self.programs / "kubectl"), "folder": str(self.folder)}
        return {**description, "version": f"v{build.RELEASE}"}

    def start_servers(self) -> str:
        etcd, peer, port = free_ports(3)
        url, client = f"https://127.0.0.1:{port}", f"http://127.0.0.1:{etcd}"
        self.write_kubeconfig(url)
        arguments = [f"--listen-client-urls={client}", f"--advertise-client-urls={client}"]
        arguments += [f"--listen-peer-urls=http://127.0.0.1:{peer}", "--unsafe-no-fsync"]
        self.spawn("etcd", [*arguments, f"--data-dir={self.folder}/etcd", "--logger=zap"])
        self.spawn("kube-apiserver", self.api_server(client, port))
        context = ssl.create_default_context(cafile=self.folder / "ca.crt")
        https = urllib.request.HTTPSHandler(context=context)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), https)

        def ready() -> bool:
            try:
                with opener.open(f"{url}/readyz", timeout=5) as answer:
                    return answer.status == 200
            except OSError:
                return False

        for _ in range(int(READY_WITHIN / POLL)):
            self.check(POLL)
            if ready():
                return url
        raise Failed(f"the API server is not ready; {self.log_tail('kube-apiserver')}")

    def api_server(self, etcd: str, port: int) -> list[str]:
        at = self.folder
        return [
            f"--etcd-servers={etcd}",
            f"--secure-port={port}",
            "--insecure-port=0",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=RBAC",
            f"--token-auth-file={at}/tokens.csv",
            f"--client-ca-file={at}/ca.crt",
            f"--tls-cert-file={at}/server.crt",
            f"--tls-private-key-file={at}/server.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={at}/accounts.pub",
            f"--service-account-signing-key-file={at}/accounts.key",
        ]

    def controller_manager(self) -> list[str]:
        return [
            f"--kubeconfig={self.kubeconfig}",
            "--port=0",
            "--secure-port=0",
            "--leader-elect=false",
            f"--controllers={CONTROLLERS}",
            f"--service-account-private-key-file={self.folder}/accounts.key",
            f"--root-ca-file={self.folder}/ca.crt",
            # Its own limit of 20 calls a second would be what a rollout of a hundred pods shows.
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
        ]

    def start_nodes(self) -> None:
        arguments = ["--kubeconfig", str(self.kubeconfig), *self.options]
        process = self.spawn(
            "nodes", arguments, [sys.executable, "-B", HERE / "nodes.py"], pipe=True
        )
        # Its one line says that it watches.
        while not self.check(READY_WITHIN, process.stdout.fileno()):
            raise Failed(f"the stand-in for nodes does not watch; {self.log_tail('nodes')}")
        process.stdout.readline()

    def wait_until_accounts_are_made(self) -> None:
        """The controllers are at work, then, and pods are not refused."""
        reader, writer = os.pipe()

        def watch():
            api.wait_for_account(Cluster(self.kubeconfig), "default")
            os.write(writer, b".")

        threading.Thread(target=watch, daemon=True).start()
        if not self.check(READY_WITHIN, reader):
            raise Failed(f"no service account is made; {self.log_tail('kube-controller-manager')}")

    def write_kubeconfig(self, url: str) -> None:
        """As JSON, which is YAML too: Python's library reads no other."""
        at, encoded = self.folder, certificates.encoded
        cluster = {"server": url, "certificate-authority-data": encoded(at / "ca.crt")}
        users: dict[str, dict] = {
            name: {"token": line.split(",")[0]} for name, line in TOKENS.items()
        }
        pair = {"crt": "client-certificate-data", "key": "client-key-data"}
        users["admin-certificate"] = {
            word: encoded(at / f"client.{suffix}") for suffix, word in pair.items()
        }
        context = {"cluster": "rolling-test", "namespace": "default"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "rolling-test", "cluster": cluster}],
            "users": [{"name": name, "user": user} for name, user in users.items()],
            "contexts": [{"name": name, "context": {**context, "user": name}} for name in users],
            "current-context": "admin",
        }
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(json.dumps(config, indent=1))

    def spawn(self, name: str, arguments: list, program: list | None = None, pipe=False):
        command = [str(word) for word in [*(program or [self.programs / name]), *arguments]]
        with open(self.folder / f"{name}.log", "ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipe else log,
                stderr=log,
                start_new_session=True,
                preexec_fn=build.die_with_parent(),
            )
        self.children[os.pidfd_open(process.pid)] = (name, process)
        return process

    def check(self, timeout: float | None, also: int | None = None) -> bool:
        """Waits so long, or until `also` can be read, which it returns; raises when it is over."""
        watched = [self.ends, *self.children, *([] if also is None else [also])]
        readable, _, _ = select.select(watched, [], [], timeout)
        if self.ends in readable:
            raise Stopped
        for each in readable:
            if each in self.children:
                name, process = self.children[each]
                raise Failed(f"{name} ended with {process.wait()}; {self.log_tail(name)}")
        return also in readable

    def log_tail(self, name: str) -> str:
        text = (self.folder / f"{name}.log").read_text(errors="replace")
        errors = [line for line in text.splitlines() if not re.match("[IW][0-9]{4} ", line)]
        return "the end of its log:\n" + "\n".join((errors or text.splitlines())[-15:])

    def kill(self) -> None:
        """Nothing of what they hold is needed any more."""
        for descriptor, (_, process) in self.children.items():
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
            os.close(descriptor)
        self.children = {}

    def stop(self) -> None:
        self.kill()
        self.cleaner.stdin.close()
        self.cleaner.wait()
