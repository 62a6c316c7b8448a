// A client of `rolling serve`: JSON-RPC 2.0, one object a line. Node 20 or newer, no more.

import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
/** What stands in a document below /resource/rolling_deployment/NAME. */
export type Config = { [attribute: string]: Json };
/** The configuration as it was applied, and what came of it. */
export type State = Config & { id: string; target_revision: string };
export type Private = { plan_hash: string } | null;

export type Diagnostic = {
  severity: "error" | "warning";
  pointer: string;
  summary: string;
  remedy: string | null;
};
export type Diagnosed = { diagnostics: Diagnostic[] };

export type Plan = Diagnosed & {
  action: "create" | "update" | "none";
  planned: State | null;
  unknown: string[];
  requires_replace: string[];
  batches: { launches: number; replaces: number }[];
  private: Private;
  plan_hash: string | null;
};
export type Ended = Diagnosed & {
  status: "succeeded" | "rolled_back" | "failed" | "paused" | "aborted";
  state: State | null;
};

export type Progress = {
  sequence: number;
  updated: number;
  serving: number;
  size: number;
  events: { at: number; event: RolloutEvent }[];
};
/** Those that most want to know of. There are more, and there will be others. */
export type RolloutEvent =
  | { type: "batch_started"; number: number; launches: number; instances: string[] }
  | { type: "rolling_back" | "halting"; reason: string }
  | { type: "progressed"; updated: number; serving: number; size: number };

type Type = { type: "rolling_deployment" };
type Planned = { planned?: State | null; private?: Private };
type Run = { operation_id?: string; deadline_ms?: number };

/** Each method's parameters and result. */
export type Methods = {
  initialize: [{ protocol_versions: number[] }, { protocol_version: number }];
  "provider.configure": [{ config: Config }, Diagnosed];
  "resource.validate": [Type & { config: Config }, Diagnosed];
  "resource.plan": [Type & { prior: State | null; config: Config }, Plan];
  "resource.apply": [
    Type & { prior: State | null; config: Config } & Planned & Run,
    Ended & { private: Private },
  ];
  "resource.read": [Type & { prior: State }, Diagnosed & { state: State | null }];
  "resource.delete": [Type & { prior: State } & Run, Ended];
  ping: [object, object];
  shutdown: [object, null];
};
type Params<M extends keyof Methods> = Methods[M][0];
type Result<M extends keyof Methods> = Methods[M][1];

/** A fault of the protocol. A deployment that failed is none: it is a result with a status. */
export class RollingError extends Error {
  constructor(readonly code: number, message: string, readonly data?: Json) {
    super(`${message} (${code})`);
  }
}

type Waiting = {
  resolve: (result: never) => void;
  reject: (error: unknown) => void;
  onProgress?: (progress: Progress) => void;
};

/** A server process of its own. Calls may overlap; answers come in any order. */
export class RollingClient {
  readonly #server: ChildProcessByStdio<Writable, Readable, null>;
  readonly #exit: Promise<number>;
  readonly #waiting = new Map<number, Waiting>();
  #next = 0;
  #ended?: unknown;

  private constructor([program = "rolling", ...args]: string[]) {
    // In a session of its own, so that Ctrl-C reaches this program alone, which may cancel.
    this.#server = spawn(program, args, { detached: true, stdio: ["pipe", "pipe", "inherit"] });
    this.#server.on("error", (error) => this.#end(error));
    this.#exit = new Promise((resolve) => {
      this.#server.on("close", (code) => resolve(code ?? 1));
    });
    this.#exit.then(() => this.#end(new Error("the server has ended")));
    this.#server.stdin.on("error", () => {}); // That nobody reads it is for "close" to tell.
    // Not node:readline: that ends a line at U+2028 too, which JSON does not.
    let rest = "";
    this.#server.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      try {
        for (const line of lines) this.#hear(JSON.parse(line));
      } catch (error) {
        // A server whose output is closed cancels everything: nothing continues unattended.
        this.#server.stdout.destroy();
        this.#end(error);
      }
    });
  }

  static async start(command = ["rolling", "serve"]): Promise<RollingClient> {
    const client = new RollingClient(command);
    try {
      await client.call("initialize", { protocol_versions: [1] });
      return client;
    } catch (error) {
      await client.close();
      throw error;
    }
  }

  call<M extends keyof Methods>(method: M, params: Params<M>): Promise<Result<M>> {
    return this.begin(method, params).result;
  }

  /** The same with the id, which is what `cancel` wants. */
  begin<M extends keyof Methods>(
    method: M,
    params: Params<M>,
    onProgress?: (progress: Progress) => void,
  ): { id: number; result: Promise<Result<M>> } {
    const id = this.#next++;
    const result = new Promise<Result<M>>((resolve, reject) => {
      if (this.#ended) return reject(this.#ended);
      this.#waiting.set(id, { resolve, reject, onProgress });
      const token = onProgress && { progress_token: id };
      this.#write({ id, method, params: { ...params, ...token } });
    });
    return { id, result };
  }

  /** Stops a call at the next safe point, and asked again after the step under way. It still
   * answers, with what happened. */
  cancel(id: number): void {
    this.#write({ method: "$/cancel_request", params: { id } });
  }

  /** Waits for what is in flight, ends the server, and gives its exit code. */
  async close(): Promise<number> {
    try {
      await this.call("shutdown", {});
      this.#write({ method: "exit" });
    } catch {
      // It has ended already.
    }
    this.#server.stdin.end();
    return this.#exit;
  }

  #write(message: object): void {
    this.#server.stdin.write(JSON.stringify({ jsonrpc: "2.0", ...message }) + "\n");
  }

  #hear(message: any): void {
    if (message.method === "$/progress") {
      this.#waiting.get(message.params.token)?.onProgress?.(message.params);
    }
    if (message.method) return;
    const error =
      message.error && new RollingError(message.error.code, message.error.message, message.error.data);
    // Without an id, it could not read a line of ours, and cannot say which.
    if (message.id === null) throw error;
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (error) waiting?.reject(error);
    else waiting?.resolve(message.result as never);
  }

  #end(error: unknown): void {
    this.#ended ??= error;
    for (const waiting of this.#waiting.values()) waiting.reject(this.#ended);
    this.#waiting.clear();
  }
}
