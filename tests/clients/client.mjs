// What a program may expect of rolling.ts, beyond what deploy.ts shows: client.mjs COMPILED.

import assert from "node:assert/strict";

const { RollingClient, RollingError } = await import(process.argv[2]);

const request = (name) => ({
  type: "rolling_deployment",
  prior: null,
  config: {
    policy: "all_at_once",
    health: { healthy_timeout: "1h" }, // At this speed that is two seconds.
    simulated_fleet: { name, revision: "v2" },
  },
});
const configured = async (speed) => {
  const client = await RollingClient.start();
  await client.call("provider.configure", { config: { simulator: { speed } } });
  return client;
};

let client = await configured(2000);
const apply = async (name) => {
  const told = [];
  const { state } = await client.begin("resource.apply", request(name), (p) => told.push(p)).result;
  assert.equal(state.id, `simulated:${name}`);
  assert.deepEqual(told.map((progress) => progress.sequence), [...told.keys()]);
  assert.equal(told.at(-1).events.at(-1).event.type, "finished");
};
await Promise.all([..."abcdef"].map(apply));

const fault = (code) => (error) => error instanceof RollingError && error.code === code;
await assert.rejects(client.call("resource.dance", {}), fault(-32601));
const stale = { ...request("a"), private: { plan_hash: "0" } };
await assert.rejects(
  client.call("resource.apply", stale),
  (error) => fault(1006)(error) && error.data.planned === "0",
);

const last = client.call("resource.apply", request("g"));
assert.equal(await client.close(), 0);
assert.equal((await last).status, "succeeded");
await assert.rejects(client.call("ping", {}));

// U+2028 ends no line.
client = await configured(20);
const config = { ...request("h").config, "a\u2028b": 1 };
const { diagnostics } = await client.call("resource.validate", { type: request("h").type, config });
assert.equal(diagnostics[0].pointer, "/a\u2028b");

// What onProgress throws, the caller gets; and the server, not heard any more, stops.
const unable = () => {
  throw new TypeError("cannot show this");
};
await assert.rejects(client.begin("resource.apply", request("i"), unable).result, TypeError);
assert.equal(await client.close(), 0);

await assert.rejects(RollingClient.start([process.execPath, "-e", ""]), /the server has ended/);
await assert.rejects(RollingClient.start(["no-such-program"]), /ENOENT/);
