// Plans and rolls every deployment of a document: node dist/deploy.js web.tf.json
//
// Ends with the exit codes of the command line: 0 succeeded, 1 failed, 2 invalid document,
// 3 rolled back, 4 paused or aborted, 5 another engine is at work. Ctrl-C stops at the next safe
// point, a second one after the step under way; the same command finishes the job later.

import { readFile } from "node:fs/promises";
import { type Config, type Diagnosed, type Progress, RollingClient, RollingError } from "./rolling.js";

const EXIT_CODES = { succeeded: 0, failed: 1, rolled_back: 3, paused: 4, aborted: 4 };
const INVALID = 2;
const ERROR_EXIT_CODES: Record<number, number> = { [-32800]: 4, 1005: 5 }; // Cancelled; locked.

type Document = {
  provider?: { rolling?: Config };
  resource: { rolling_deployment: Record<string, Config> };
};

async function main(file = "web.tf.json"): Promise<number> {
  const document: Document = JSON.parse(await readFile(file, "utf8"));
  const client = await RollingClient.start();
  try {
    const settings = { config: document.provider?.rolling ?? {} };
    if (refused(await client.call("provider.configure", settings))) return INVALID;
    for (const [name, config] of Object.entries(document.resource.rolling_deployment)) {
      const code = await deploy(client, name, config);
      if (code !== 0) return code;
    }
    return 0;
  } finally {
    await client.close();
  }
}

async function deploy(client: RollingClient, name: string, config: Config): Promise<number> {
  const request = { type: "rolling_deployment", prior: null, config } as const;
  const plan = await client.call("resource.plan", request);
  if (refused(plan)) return INVALID;
  const sizes = plan.batches.map((batch) => batch.launches + batch.replaces);
  console.log(sizes.length ? `${name}: batches of ${sizes.join(", ")}` : `${name}: up to date`);
  // With what was planned, apply refuses if something else would come of it meanwhile.
  const planned = { planned: plan.planned, private: plan.private };
  const apply = client.begin("resource.apply", { ...request, ...planned }, show);
  const stop = () => {
    console.log("stopping");
    client.cancel(apply.id);
  };
  process.on("SIGINT", stop).on("SIGTERM", stop);
  const result = await apply.result.finally(() => process.off("SIGINT", stop).off("SIGTERM", stop));
  refused(result);
  console.log(`${name}: ${result.status}`);
  return EXIT_CODES[result.status];
}

function show(progress: Progress): void {
  for (const { event } of progress.events) {
    if (event.type === "batch_started") {
      console.log(`batch ${event.number}: ${event.launches + event.instances.length}`);
    } else if (event.type === "rolling_back" || event.type === "halting") {
      console.log(`${event.type.replace("_", " ")}: ${event.reason}`);
    } else if (event.type === "progressed") {
      console.log(`${event.updated} of ${event.size} updated, ${event.serving} serving`);
    }
  }
}

/** Tells what is wrong, and whether any of it is an error. */
function refused({ diagnostics }: Diagnosed): boolean {
  for (const { severity, pointer, summary, remedy } of diagnostics) {
    const where = pointer && ` at ${pointer}`;
    console.error(`${severity}${where}: ${summary}${remedy ? `; ${remedy}` : ""}`);
  }
  return diagnostics.some((found) => found.severity === "error");
}

try {
  process.exitCode = await main(process.argv[2]);
} catch (error) {
  console.error(`error: ${error instanceof Error ? error.message : error}`);
  process.exitCode = error instanceof RollingError ? (ERROR_EXIT_CODES[error.code] ?? 1) : 1;
}
