// SPDX-License-Identifier: Apache-2.0
// The Link port over SMP: one agent for each board, driven by what the board answers.
import { CoalmineError, type DeviceId, type Instant } from "@coalmine/core";
import { type Clock, type Link, type ProxyHost, Voice } from "@coalmine/orchestrator";
import { type Command, encodeReport, type Offer } from "@coalmine/protocol";
import { createHash } from "node:crypto";
import { openSmp } from "./address.ts";
import { type Agent, type AgentAction, type AgentInput, type BoardFacts, newAgent, nextAction, stepAgent } from "./agent.ts";
import type { SmpBoard } from "./boards-file.ts";
import { SmpClient, type SmpClientOptions } from "./client.ts";
import { confirmRunning, readImages, requestTest } from "./image.ts";
import { reset } from "./os.ts";
import { SmpRefused } from "./refusal.ts";
import type { SmpTransport, Timers } from "./transport.ts";
import { realTimers } from "./transport.ts";
import { uploadImage } from "./upload.ts";

export interface SmpLinkOptions {
  readonly boards: readonly SmpBoard[];
  /** Seconds between two looks at a board, by the wall's clock. */
  readonly poll_s: number;
  readonly clock: Clock;
  /** How many times as fast as the wall the clock runs. */
  readonly speed?: number;
  /** Told of trouble that stops nothing. */
  readonly warn?: (message: string) => void;
  readonly client?: SmpClientOptions;
  /** Opens a board's transport; by its URL when left out. */
  readonly open?: (url: string) => Promise<SmpTransport>;
  readonly timers?: Timers;
}

export interface SmpLink extends Link {
  readonly door: "smp";
}

/** Uploads under way at a time. */
const uploadsMax = 16;

/** Opens the door: looks at every board from now on, for as long as it is open. */
export function smpLink(options: SmpLinkOptions, host: ProxyHost): SmpLink {
  const gate = new Gate(uploadsMax);
  const drivers = new Map(options.boards.map((board) => [board.id, new BoardDriver(board, options, host, gate)]));
  let closed = false;
  return {
    door: "smp",
    async send(device: DeviceId, command: Command) {
      const driver = drivers.get(device);
      if (closed || driver === undefined) {
        throw new CoalmineError("link/closed", closed ? "the SMP link is closed" : `${device} is none of the boards that are reached by SMP; name it in the boards file`, { retry: "later" });
      }
      await driver.command(command);
    },
    async clear() {
      // An offer is kept by its job alone, and a cancel follows where that is to end.
    },
    async close() {
      closed = true;
      await Promise.all([...drivers.values()].map(async (driver) => driver.close()));
    },
  };
}

class BoardDriver {
  readonly #board: SmpBoard;
  readonly #options: SmpLinkOptions;
  readonly #host: ProxyHost;
  readonly #gate: Gate;
  readonly #facts: BoardFacts;
  readonly #agent: Agent;
  readonly #voice: Voice;
  readonly #timers: Timers;
  #client: SmpClient | undefined;
  #closed = false;
  #wake: () => void = () => undefined;
  readonly #running: Promise<void>;

  constructor(board: SmpBoard, options: SmpLinkOptions, host: ProxyHost, gate: Gate) {
    this.#board = board;
    this.#options = options;
    this.#host = host;
    this.#gate = gate;
    this.#timers = options.timers ?? realTimers;
    const speed = options.speed ?? 1;
    const { hardware, attributes, storageSchema } = board;
    this.#facts = { hardware, attributes, storageSchema, interval_s: Math.max(1, Math.ceil(options.poll_s * speed)), return_s: Math.min(options.poll_s, 2) * speed, resetAgain_s: 15 * speed };
    this.#agent = newAgent(this.#now);
    this.#voice = new Voice(host.known(board.id), this.#now);
    this.#running = this.#run();
  }

  async command(command: Command): Promise<void> {
    const jitter = command.kind === "offer" ? createHash("sha256").update(`${this.#board.id}/${command.offer}`).digest().readUInt32BE(0) / 2 ** 32 : 0;
    await this.#take({ kind: "command", command, jitter, standing: this.#host.standing(this.#board.id) });
    this.#wake();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#wake();
    await this.#client?.close();
    await this.#running;
  }

  get #now(): Instant {
    return this.#options.clock.now();
  }

  async #run(): Promise<void> {
    // A host is ready for reports when the door is attached, not while it opens.
    await Promise.resolve();
    while (!this.#closed) {
      try {
        const action = nextAction(this.#agent, this.#now);
        if (action.kind === "wait") {
          await this.#sleep(Math.max(1, (action.until - this.#now) / (this.#options.speed ?? 1)));
        } else {
          await this.#perform(action);
        }
      } catch (error) {
        if (this.#closed) {
          return;
        }
        if (!(error instanceof CoalmineError)) {
          throw error;
        }
        await this.#trouble(error);
      }
    }
  }

  async #perform(action: Exclude<AgentAction, { kind: "wait" }>): Promise<void> {
    const client = (this.#client ??= new SmpClient(await (this.#options.open ?? openSmp)(this.#board.url), this.#options.client));
    switch (action.kind) {
      case "look":
        await this.#take({ kind: "images", images: await readImages(client) });
        break;
      case "upload":
        await this.#gate.pass(async () => this.#upload(client, action.manifest));
        break;
      case "test": {
        const outcome = await requestTest(client, action.hash);
        await this.#take(outcome.kind === "ok" ? { kind: "marked" } : { kind: "refused", what: "a trial", reason: outcome.reason, final: false });
        break;
      }
      case "reset": {
        const outcome = await reset(client);
        await this.#take(outcome.kind === "refused" ? { kind: "refused", what: "a reset", reason: outcome.reason, final: false } : { kind: "reset" });
        break;
      }
      case "confirm": {
        const outcome = await confirmRunning(client, { hash: action.hash });
        await this.#take(
          outcome.kind === "refused"
            ? { kind: "refused", what: "confirming", reason: outcome.reason, final: false }
            : { kind: "images", images: outcome.kind === "confirmed" ? outcome.images : await readImages(client) },
        );
        break;
      }
    }
  }

  async #upload(client: SmpClient, manifest: Offer): Promise<void> {
    const { job } = this.#agent;
    const answer = this.#host.block(this.#board.id, { request: 1, digest: manifest.digest.subarray(0, 8), offset: 0, length: manifest.size });
    if (answer.kind !== "block" || answer.data.length !== manifest.size) {
      await this.#take({ kind: "refused", what: "the artifact", reason: answer.kind === "refused" ? answer.reason : "it is cut", final: answer.kind === "refused" && answer.reason !== "not-offered" });
      return;
    }
    let said: Promise<void> = Promise.resolve();
    const outcome = await uploadImage(client, answer.data, {
      onProgress: ({ sent }) => {
        if (this.#closed || this.#agent.job !== job) {
          throw new CoalmineError("smp/withdrawn", "the offer was taken back", { retry: "later" });
        }
        said = said.then(async () => this.#take({ kind: "sent", offset: sent }));
      },
    });
    await said;
    if (this.#agent.job !== job) {
      return;
    }
    switch (outcome.kind) {
      case "uploaded":
        await this.#take({ kind: "uploaded" });
        break;
      case "refused":
        await this.#take({ kind: "refused", what: "the upload", reason: outcome.reason, final: false });
        break;
      case "mismatch":
        await this.#take({ kind: "refused", what: "the upload", reason: "the board's check of the file failed", final: false });
        break;
      case "stuck":
        await this.#take({ kind: "refused", what: "the upload", reason: `the board does not get past byte ${outcome.offset}`, final: false });
        break;
    }
  }

  /** A no of the board is an answer; everything else is silence, and a new connection. */
  async #trouble(error: CoalmineError): Promise<void> {
    try {
      if (error instanceof SmpRefused) {
        await this.#take({ kind: "refused", what: "SMP", reason: error.refusal.reason, final: false });
        return;
      }
      if (error.code.startsWith("smp/")) {
        await this.#take({ kind: "unreachable" });
      } else {
        // The host cannot take reports. What was not heard is said again after its restart.
        this.#options.warn?.(`SMP board ${this.#board.id}: ${error.message}`);
        await this.#sleep(1_000);
      }
    } finally {
      const client = this.#client;
      this.#client = undefined;
      await client?.close();
    }
  }

  /** Steps the agent and resolves once what it said by it is durable. */
  async #take(input: AgentInput): Promise<void> {
    const now = this.#now;
    const reports: Uint8Array[] = [];
    for (const effect of stepAgent(this.#agent, this.#facts, input, now)) {
      if (effect.kind === "reboot") {
        this.#voice.reboot(now);
      } else {
        reports.push(encodeReport(this.#voice.say(effect.body, now)));
      }
    }
    await Promise.all(reports.map(async (report) => this.#host.report(this.#board.id, report, "smp")));
  }

  #sleep(delay: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#closed) {
        resolve();
        return;
      }
      const timer = this.#timers.after(delay, resolve);
      this.#wake = () => {
        timer.cancel();
        resolve();
      };
    });
  }
}

/** Lets so many through at a time, in order. */
class Gate {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(size: number) {
    this.#free = size;
  }

  async pass(work: () => Promise<void>): Promise<void> {
    if (this.#free === 0) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#free -= 1;
    }
    try {
      await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) {
        this.#free += 1;
      } else {
        next();
      }
    }
  }
}
