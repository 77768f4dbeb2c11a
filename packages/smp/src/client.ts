// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "@coalmine/core";
import { randomInt } from "node:crypto";
import type { CborMap, CborRecord } from "./cbor.ts";
import { decodeBody, encodeBody } from "./cbor.ts";
import type { SmpOp, SmpVersion } from "./frame.ts";
import { Op, decodeFrame, encodeFrame } from "./frame.ts";
import type { Refusal } from "./refusal.ts";
import { Rc, refusal } from "./refusal.ts";
import type { SmpTransport, Timers } from "./transport.ts";
import { realTimers } from "./transport.ts";

// C1. At most one request is on its way; the others wait in order, and only so many of them.
// C2. An answer counts when operation, group, command and sequence number are those of the request on its way.
// C3. Whatever arrives, a request ends: with an answer, or after its attempts with an error.
// C4. A repeated request has the sequence number of the first, so that a late answer to any attempt serves.

export interface SmpRequest {
  readonly op: typeof Op.read | typeof Op.write;
  readonly group: number;
  readonly command: number;
  readonly body?: CborRecord;
}

export interface RequestOptions {
  /** How long the first attempt waits, milliseconds; each later one twice as long. */
  readonly timeout?: number;
  /** How often to send. 1 for what must not happen twice. */
  readonly attempts?: number;
}

export type SmpAnswer = { readonly kind: "ok"; readonly body: CborMap } | Refusal;

export interface SmpClientOptions extends RequestOptions {
  /** Version to begin with. A board that finds 2 too new is spoken to in 1. */
  readonly version?: SmpVersion;
  /** How many requests may wait. */
  readonly waitingMax?: number;
  readonly timers?: Timers;
  readonly firstSequence?: number;
}

/** What arrived and did not count. */
export interface SmpClientCounts {
  /** Not SMP, or a body that is not CBOR. */
  undecodable: number;
  /** Answers nobody waits for: late, doubled or of another conversation. */
  unmatched: number;
  /** Attempts after the first. */
  repeated: number;
}

interface Current {
  readonly request: SmpRequest;
  readonly sequence: number;
  readonly settle: (outcome: SmpAnswer | CoalmineError) => void;
  lastUndecodable: string | undefined;
}

const ATTEMPTS = 5;
const TIMEOUT = 1_000;

/** The client side of SMP with one board. Bytes from the board never make it throw; they are counted. */
export class SmpClient {
  readonly transport: SmpTransport;
  readonly timers: Timers;
  readonly counts: SmpClientCounts = { undecodable: 0, unmatched: 0, repeated: 0 };
  readonly #options: SmpClientOptions;
  #version: SmpVersion;
  #sequence: number;
  #current: Current | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #closed: CoalmineError | undefined;

  constructor(transport: SmpTransport, options: SmpClientOptions = {}) {
    this.transport = transport;
    this.timers = options.timers ?? realTimers;
    this.#options = options;
    this.#version = options.version ?? 2;
    // On a serial line an answer to an earlier process may still be under way.
    this.#sequence = options.firstSequence ?? randomInt(256);
    transport.listen({
      packet: (bytes) => this.#receive(bytes),
      closed: (cause) => this.#end(new CoalmineError("smp/closed", `the connection to ${transport.name} is closed${cause === undefined ? "" : `: ${cause.message}`}`, { retry: "later", cause })),
    });
  }

  get version(): SmpVersion {
    return this.#version;
  }

  /**
   * Sends a request and waits for its answer.
   *
   * @throws CoalmineError `smp/timeout` or `smp/bad-answer` after all attempts, `smp/closed`, `smp/busy`, `smp/too-large`.
   */
  request(request: SmpRequest, options: RequestOptions = {}): Promise<SmpAnswer> {
    if (this.#waiting >= (this.#options.waitingMax ?? 64)) {
      return Promise.reject(new CoalmineError("smp/busy", `${this.#waiting} requests to ${this.transport.name} are waiting already`, { retry: "later" }));
    }
    this.#waiting++;
    const answer = this.#tail.then(() => this.#converse(request, options)).finally(() => this.#waiting--);
    this.#tail = answer.catch(() => undefined);
    return answer;
  }

  async close(): Promise<void> {
    this.#end(new CoalmineError("smp/closed", `the connection to ${this.transport.name} was closed`, { retry: "later" }));
    await this.transport.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #converse(request: SmpRequest, options: RequestOptions): Promise<SmpAnswer> {
    const answer = await this.#exchange(request, options);
    if (answer.kind === "refused" && answer.group === undefined && answer.rc === Rc.tooNew && this.#version === 2) {
      this.#version = 1;
      return this.#exchange(request, options);
    }
    return answer;
  }

  #exchange(request: SmpRequest, options: RequestOptions): Promise<SmpAnswer> {
    const { attempts = this.#options.attempts ?? ATTEMPTS, timeout = this.#options.timeout ?? TIMEOUT } = options;
    const sequence = this.#sequence;
    this.#sequence = (sequence + 1) & 0xff;
    const packet = encodeFrame({ version: this.#version, sequence, ...request }, encodeBody(request.body ?? {}));
    if (packet.length > this.transport.packetMax) {
      return Promise.reject(new CoalmineError("smp/too-large", `a request of ${packet.length} bytes does not fit a packet of ${this.transport.packetMax} to ${this.transport.name}`));
    }
    if (this.#closed !== undefined) {
      return Promise.reject(this.#closed);
    }
    return new Promise((resolve, reject) => {
      let timer: { cancel(): void } | undefined;
      const current: Current = {
        request,
        sequence,
        lastUndecodable: undefined,
        settle: (outcome) => {
          timer?.cancel();
          this.#current = undefined;
          if (outcome instanceof CoalmineError) {
            reject(outcome);
          } else {
            resolve(outcome);
          }
        },
      };
      this.#current = current;
      const attempt = (number: number): void => {
        // Armed before sending: a transport in memory may answer within the call.
        timer = this.timers.after(timeout * 2 ** (number - 1), () => {
          if (number >= attempts) {
            current.settle(this.#silence(current, number));
            return;
          }
          this.counts.repeated++;
          attempt(number + 1);
        });
        this.transport.send(packet);
      };
      attempt(1);
    });
  }

  #silence(current: Current, attempts: number): CoalmineError {
    const times = attempts === 1 ? "one attempt" : `${attempts} attempts`;
    return current.lastUndecodable === undefined
      ? new CoalmineError("smp/timeout", `no answer from ${this.transport.name} after ${times}; is SMP enabled there, and the address right?`, { retry: "later" })
      : new CoalmineError("smp/bad-answer", `the answers of ${this.transport.name} cannot be read: ${current.lastUndecodable}`);
  }

  #receive(packet: Uint8Array): void {
    const frame = decodeFrame(packet);
    if (frame.kind === "malformed") {
      this.counts.undecodable++;
      return;
    }
    const current = this.#current;
    if (current === undefined || frame.sequence !== current.sequence || frame.group !== current.request.group || frame.command !== current.request.command || frame.op !== answerTo(current.request.op)) {
      this.counts.unmatched++;
      return;
    }
    const decoded = frame.body.length === 0 ? { kind: "body" as const, body: new Map() as CborMap } : decodeBody(frame.body);
    if (decoded.kind === "malformed") {
      this.counts.undecodable++;
      current.lastUndecodable = decoded.reason;
      return;
    }
    current.settle(readAnswer(decoded.body));
  }

  #end(cause: CoalmineError): void {
    this.#closed ??= cause;
    this.#current?.settle(this.#closed);
  }
}

function answerTo(op: SmpRequest["op"]): SmpOp {
  return op === Op.read ? Op.readAnswer : Op.writeAnswer;
}

/** `rc` in version 1 and for the protocol's own errors in 2, `err` with group and code in 2; 0 is no error. */
function readAnswer(body: CborMap): SmpAnswer {
  const error = body.get("err");
  if (error instanceof Map) {
    const group: unknown = error.get("group");
    const rc: unknown = error.get("rc");
    if (rc !== 0) {
      return refusal({ group: typeof group === "number" ? group : undefined, rc: typeof rc === "number" ? rc : Rc.unknown });
    }
  }
  const rc = body.get("rc");
  if (rc !== undefined && rc !== 0) {
    const words = body.get("rsn");
    return refusal({ rc: typeof rc === "number" ? rc : Rc.unknown, words: typeof words === "string" ? words : undefined });
  }
  return { kind: "ok", body };
}
