"""Runs a copy of examples/pulumi, in the working directory, as Pulumi does: its program on mocks,
its provider in the process that Pulumi would start, spoken to over gRPC."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import grpc
import pulumi
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import provider_pb2 as proto
from pulumi.runtime.proto.provider_pb2_grpc import ResourceProviderStub
from pulumi.runtime.rpc import UNKNOWN

sys.path.insert(0, "")
# What the provider tells the user.
LOG = Path("provider.log")
NONE, SOME = proto.DiffResponse.DIFF_NONE, proto.DiffResponse.DIFF_SOME


def struct(values):
    packed = Struct()
    packed.update(values)
    return packed


class Provider:
    """The dynamic provider as the engine sees it."""

    def __init__(self):
        with LOG.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pulumi.dynamic"],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        port = int(self.process.stdout.readline())
        direct = [("grpc.enable_http_proxy", 0)]
        self.stub = ResourceProviderStub(grpc.insecure_channel(f"127.0.0.1:{port}", direct))
        self.stub.Configure(proto.ConfigureRequest(args=struct({})))

    def check(self, news):
        answer = self.stub.Check(proto.CheckRequest(olds=struct({}), news=struct(news)))
        return {failure.property: failure.reason for failure in answer.failures}

    def diff(self, id, olds, news):
        answer = self.stub.Diff(proto.DiffRequest(id=id, olds=struct(olds), news=struct(news)))
        return answer.changes, list(answer.replaces)

    def create(self, news):
        answer = self.stub.Create(proto.CreateRequest(properties=struct(news)))
        return answer.id, MessageToDict(answer.properties)

    def update(self, id, olds, news):
        request = proto.UpdateRequest(id=id, olds=struct(olds), news=struct(news))
        return MessageToDict(self.stub.Update(request).properties)

    def read(self, id, props):
        answer = self.stub.Read(proto.ReadRequest(id=id, properties=struct(props)))
        return answer.id, MessageToDict(answer.properties), MessageToDict(answer.inputs)

    def delete(self, id, props):
        self.stub.Delete(proto.DeleteRequest(id=id, properties=struct(props)))


def fails(call, *arguments):
    try:
        call(*arguments)
    except grpc.RpcError as error:
        return error.details()
    raise AssertionError(f"{call.__name__} did not fail")


class Engine(pulumi.runtime.Mocks):
    """Creates what the program declares."""

    def __init__(self, provider):
        self.provider, self.inputs = provider, None

    def call(self, args):
        return {}

    def new_resource(self, args):
        assert args.typ == "pulumi-python:dynamic/rolling:Deployment", args.typ
        # A secret, which the engine unwraps for providers that take none.
        self.inputs = {**args.inputs, "__provider": args.inputs["__provider"]["value"]}
        assert self.provider.check(self.inputs) == {}
        self.id, self.state = self.provider.create(self.inputs)
        return self.id, self.state


def run_the_program(engine):
    @pulumi.runtime.test
    def program():
        web = runpy.run_path("__main__.py")["web"]

        def told(values):
            assert values == ["succeeded", "v2"], values

        return pulumi.Output.all(web.status, web.deployed_revision).apply(told)

    pulumi.runtime.set_mocks(engine)
    program()


def main(part):
    provider = Provider()
    try:
        engine = Engine(provider)
        run_the_program(engine)
        {"roll": roll, "unknown": unknown, "delete": delete}[part](provider, engine)
    finally:
        provider.process.kill()
        print(LOG.read_text(), file=sys.stderr)


def changed(inputs, **fleet):
    return {**inputs, "simulated_fleet": {**inputs["simulated_fleet"], **fleet}}


def roll(provider, engine):
    inputs, id, state = engine.inputs, engine.id, engine.state
    assert id == "simulated:web"
    assert len(state["instances"]) == 10 and state["completed_revision"] == "v2", state

    assert "did you mean" in provider.check({**inputs, "policy": "rollin"})["policy"]
    assert list(provider.check(changed(inputs, revision="v 4"))) == ["simulated_fleet.revision"]

    assert provider.diff(id, state, inputs) == (NONE, [])
    assert LOG.read_text().count("info: ") == 1, LOG.read_text()  # That of its creation.
    assert provider.diff(id, state, changed(inputs, revision="v4")) == (SOME, [])
    shown = "info: batches of 3, 3, 3, 1, at least 7 serve, at most 10 live, about 4m"
    assert LOG.read_text().count(shown) == 2, LOG.read_text()
    assert provider.diff(id, state, {**inputs, "batch_size": 20}) == (SOME, [])
    assert "info: this update rolls nothing" in LOG.read_text(), LOG.read_text()
    outage = {**changed(inputs, revision="v4"), "policy": "all_at_once"}
    del outage["batch_size"], outage["batch_size_type"]
    assert provider.diff(id, state, outage) == (SOME, [])
    assert "warning: no instance has to serve" in LOG.read_text(), LOG.read_text()
    moved = provider.diff(id, state, changed(inputs, name="other"))
    assert moved == (SOME, ["simulated_fleet"]), moved

    state = provider.update(id, state, changed(inputs, revision="v4"))
    assert state["deployed_revision"] == "v4" and state["status"] == "succeeded", state
    # Version 3 is bad. Pulumi then keeps the previous state and inputs.
    why = fails(provider.update, id, state, changed(inputs, revision="v3"))
    assert "rolled_back" in why and "502" in why and "next `pulumi up`" in why, why

    same, read, settled = provider.read(id, state)
    assert same == id and read["deployed_revision"] == "v4" and "status" not in settled, read
    assert settled == changed(inputs, revision="v4") | {"__provider": inputs["__provider"]}
    # If the fleet runs another revision than after the last update, the inputs differ.
    _, read, drifted = provider.read(id, {**state, **changed(state, revision="v5")})
    assert drifted["status"] == "pending", drifted
    assert provider.diff(id, read, changed(inputs, revision="v5")) == (SOME, [])

    # Pulumi saves nothing of a create that failed; the next one continues it.
    bad = changed(inputs, name="other", revision="v3")
    why = fails(provider.create, {**bad, "on_failure": "stop"})
    assert "failed" in why and "next `pulumi up` resumes" in why, why
    id, state = provider.create(changed(bad, revision="v4"))
    assert (id, state["deployed_revision"]) == ("simulated:other", "v4"), state

    warnings = LOG.read_text().count("warning: no instance has to serve")
    provider.create(changed(outage, name="third"))
    assert LOG.read_text().count("warning: no instance has to serve") > warnings


def unknown(provider, engine):
    """Inputs that another resource has not produced yet are planned, too."""
    inputs = changed(engine.inputs, revision=UNKNOWN)
    assert provider.check(inputs) == {}
    assert provider.diff(engine.id, engine.state, inputs) == (SOME, [])


def delete(provider, engine):
    """A rollout under way is given up, its record removed, and no instance touched."""
    id, state, inputs = engine.id, engine.state, engine.inputs
    bad = {**changed(inputs, revision="v3"), "on_failure": "pause"}
    assert "paused" in fails(provider.update, id, state, bad)
    before, recorded = fleet()
    assert recorded
    provider.delete(id, state)
    after, recorded = fleet()
    assert after == before and not recorded
    provider.delete(id, state)  # Deleting what is gone succeeds.


def fleet():
    """Returns the instances, and whether there is a record."""
    document = {
        "resource": {
            "rolling_deployment": {
                "web": {
                    "policy": "all_at_once",
                    "simulated_fleet": {"name": "web", "revision": "v2"},
                }
            }
        }
    }
    Path("status.tf.json").write_text(json.dumps(document))
    command = ["rolling", "status", "--output", "json", "status.tf.json"]
    status = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    found = status["resources"][0]
    return sorted(instance["id"] for instance in found["instances"]), found["record"] is not None


if __name__ == "__main__":
    main(sys.argv[1])
