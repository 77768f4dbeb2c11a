// SPDX-License-Identifier: Apache-2.0
// The message layer of a device, without a socket: one request at a time (NSTART = 1), answers and notifications in.
//
// K1. A request ends exactly once: with an answer, or as lost after MAX_RETRANSMIT (RFC 7252 section 4.2).
// K2. With a secret, an answer that is not signed for the request is no answer, but for artifact blocks, whose digest is in
//     a signed offer, and a bare 4.01, with which the host says that it does not know us.
// K4. A signed 4.01 that names a number means that ours was used in an earlier life of this device: it goes on above it, at once.
// K3. An Echo value in a 4.01 is sent back at once, with a new sequence number (RFC 9175 section 2.3).
import type { DeviceId } from "@coalmine/core";
import { isResponseGenuine, signRequest } from "./envelope.ts";
import { Code, emptyMessage, formatMessage, type Message, parseMessage } from "./message.ts";
import { type Option, OptionNumber, optionOf, readBlock, readUint, writeBlock } from "./option.ts";

/** Who the device is, and how it proves it. */
export interface ClientIdentity {
  readonly device: DeviceId;
  readonly secret?: Uint8Array;
  /** The next sequence number; never the same twice in the life of the secret. Needed with a secret. */
  readonly sequence?: () => number;
  /** Hears that all numbers up to this one were used: `sequence` must go on above it. */
  readonly behind?: (used: number) => void;
}

export interface ClientRequest {
  readonly code: number;
  readonly path: readonly string[];
  readonly queries?: readonly string[];
  readonly options?: readonly Option[];
  readonly payload?: Uint8Array;
  /** The answer's content needs no signature: it is checked against a digest. */
  readonly isContentOpen?: boolean;
}

export interface ClientAnswer {
  readonly code: number;
  readonly options: readonly Option[];
  readonly payload: Uint8Array;
}

export interface ClientTimes {
  readonly ackTimeout_s: number;
  readonly ackRandomFactor: number;
  readonly maxRetransmit: number;
}

export interface ClientOptions {
  readonly identity: ClientIdentity;
  readonly send: (bytes: Buffer) => void;
  /** Seconds, monotonic. */
  readonly now_s: () => number;
  /** 0 to below 1. */
  readonly random: () => number;
  readonly times?: Partial<ClientTimes>;
  /** Size exponent of the blocks of an upload. */
  readonly szx?: number;
}

const defaultTimes: ClientTimes = { ackTimeout_s: 2, ackRandomFactor: 1.5, maxRetransmit: 4 };
/** Echo challenges, and corrections of the sequence number, in a row for one request. */
const challengesMax = 2;
/** Seconds that a separate answer may take once its request was acknowledged. */
const separateMax_s = 30;

interface Running {
  readonly request: ClientRequest;
  readonly token: number;
  readonly done: (answer: ClientAnswer | undefined) => void;
  /** Block of the upload that is being sent. */
  block: number;
  echo: Uint8Array | undefined;
  challenges: number;
  bytes: Buffer;
  id: number;
  sequence: number;
  timeout_s: number;
  sendings: number;
  isAcknowledged: boolean;
}

interface Observation {
  readonly heard: (answer: ClientAnswer) => void;
  readonly sequence: number;
  /** The Observe value heard last. */
  order: number;
}

const noBytes = new Uint8Array(0);
const maxToken = 0xffff_ffff;

export class CoapClient {
  readonly #options: ClientOptions;
  readonly #times: ClientTimes;
  #running: Running | undefined;
  readonly #observations = new Map<number, Observation>();
  #nextToken: number;
  #nextId: number;
  /** When something has to be sent again or given up, in seconds; `Infinity` for never. */
  due_s = Number.POSITIVE_INFINITY;
  /** Datagrams sent again. */
  retransmitted = 0;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#times = { ...defaultTimes, ...options.times };
    this.#nextToken = Math.floor(options.random() * maxToken);
    this.#nextId = Math.floor(options.random() * 0x1_0000);
  }

  get isBusy(): boolean {
    return this.#running !== undefined;
  }

  /**
   * Sends a request; `done` gets the answer, or undefined when none came. A payload over one block is sent block by block
   * (RFC 7959). Only one at a time: throws while one is running.
   */
  request(request: ClientRequest, done: (answer: ClientAnswer | undefined) => void): void {
    this.#start(request, this.#takeToken(), done);
  }

  /** Registers an observation (RFC 7641). `done` gets the first answer; `heard` every notification after it. */
  observe(request: ClientRequest, options: { readonly done: (answer: ClientAnswer | undefined) => void; readonly heard: (answer: ClientAnswer) => void }): number {
    const token = this.#takeToken();
    const observe: Option = { number: OptionNumber.observe, value: noBytes };
    this.#start({ ...request, options: [...(request.options ?? []), observe] }, token, (answer) => {
      const value = answer === undefined ? undefined : optionOf(answer.options, OptionNumber.observe);
      if (answer !== undefined && value !== undefined) {
        this.#observations.set(token, { heard: options.heard, sequence: this.#lastSequence, order: readUint(value) });
      }
      options.done(answer);
    });
    return token;
  }

  /** Forgets an observation: its next notification is answered with a reset. */
  forget(token: number): void {
    this.#observations.delete(token);
  }

  /** Takes a datagram from the host. */
  receive(bytes: Buffer): void {
    const parsed = parseMessage(bytes);
    if (parsed.kind !== "message") {
      return;
    }
    const { message, optionBytes } = parsed;
    const running = this.#running;
    if (message.type === "rst") {
      if (running?.id === message.id) {
        this.#end(undefined);
      }
      return;
    }
    if (message.code === Code.empty) {
      if (message.type === "ack" && running?.id === message.id && !running.isAcknowledged) {
        running.isAcknowledged = true;
        this.due_s = this.#options.now_s() + separateMax_s;
      }
      return;
    }
    const token = message.token.length === 4 ? readUint(message.token) : -1;
    if (running?.token === token && (message.type !== "ack" || message.id === running.id)) {
      if (this.#isAcceptable(message, optionBytes, running)) {
        this.#acknowledge(message);
        this.#answered(running, message);
      }
      return;
    }
    const observation = this.#observations.get(token);
    if (observation === undefined) {
      if (message.type === "con") {
        this.#options.send(emptyMessage("rst", message.id));
      }
      return;
    }
    if (this.#isGenuine(message, optionBytes, observation.sequence)) {
      this.#acknowledge(message);
      this.#notified(token, observation, message);
    }
  }

  /** Sends again what is due, or gives it up. */
  run(): void {
    const running = this.#running;
    if (running === undefined || this.due_s > this.#options.now_s()) {
      return;
    }
    if (running.isAcknowledged || running.sendings > this.#times.maxRetransmit) {
      this.#end(undefined);
      return;
    }
    running.timeout_s *= 2;
    this.retransmitted += 1;
    this.#transmit(running);
  }

  /** Gives the running request up, without an answer, and forgets the observations. */
  reset(): void {
    this.#observations.clear();
    if (this.#running !== undefined) {
      this.#end(undefined);
    }
  }

  #lastSequence = 0;

  #takeToken(): number {
    this.#nextToken = (this.#nextToken + 1) % maxToken;
    return this.#nextToken;
  }

  #start(request: ClientRequest, token: number, done: (answer: ClientAnswer | undefined) => void): void {
    if (this.#running !== undefined) {
      throw new Error(`${this.#options.identity.device} already has a request running`);
    }
    this.#running = {
      request,
      token,
      done,
      block: 0,
      echo: undefined,
      challenges: 0,
      bytes: Buffer.alloc(0),
      id: 0,
      sequence: 0,
      timeout_s: 0,
      sendings: 0,
      isAcknowledged: false,
    };
    this.#compose(this.#running);
  }

  /** Writes the request, or its current block, and sends it. */
  #compose(running: Running): void {
    const { identity } = this.#options;
    const { request } = running;
    const options: Option[] = [];
    for (const segment of request.path) {
      options.push({ number: OptionNumber.uriPath, value: Buffer.from(segment) });
    }
    for (const query of request.queries ?? []) {
      options.push({ number: OptionNumber.uriQuery, value: Buffer.from(query) });
    }
    if (identity.secret === undefined) {
      options.push({ number: OptionNumber.uriQuery, value: Buffer.from(`d=${identity.device}`) });
    }
    options.push(...(request.options ?? []));
    if (running.echo !== undefined) {
      options.push({ number: OptionNumber.echo, value: running.echo });
    }
    let payload = request.payload ?? noBytes;
    const szx = this.#options.szx ?? 6;
    const size = 16 << szx;
    if (payload.length > size) {
      const at = running.block * size;
      const more = at + size < payload.length;
      payload = payload.subarray(at, at + size);
      options.push({ number: OptionNumber.block1, value: writeBlock({ num: running.block, more, szx }) });
    }
    const token = Buffer.alloc(4);
    token.writeUInt32BE(running.token);
    this.#nextId = (this.#nextId + 1) & 0xffff;
    running.id = this.#nextId;
    const message: Message = { type: "con", code: request.code, id: running.id, token, options, payload };
    if (identity.secret === undefined) {
      running.bytes = formatMessage(message);
    } else {
      running.sequence = identity.sequence?.() ?? 0;
      running.bytes = formatMessage(signRequest(message, { device: identity.device, secret: identity.secret, sequence: running.sequence }));
    }
    const { ackTimeout_s, ackRandomFactor } = this.#times;
    running.timeout_s = ackTimeout_s * (1 + this.#options.random() * (ackRandomFactor - 1));
    running.sendings = 0;
    running.isAcknowledged = false;
    this.#transmit(running);
  }

  #transmit(running: Running): void {
    running.sendings += 1;
    this.due_s = this.#options.now_s() + running.timeout_s;
    this.#options.send(running.bytes);
  }

  #isGenuine(message: Message, optionBytes: Uint8Array, sequence: number): boolean {
    const { secret } = this.#options.identity;
    return secret === undefined || isResponseGenuine(message, optionBytes, { secret, sequence });
  }

  #isAcceptable(message: Message, optionBytes: Uint8Array, running: Running): boolean {
    return (
      (message.code === Code.unauthorized && optionOf(message.options, OptionNumber.mac) === undefined) ||
      (message.code === Code.content && running.request.isContentOpen === true) ||
      this.#isGenuine(message, optionBytes, running.sequence)
    );
  }

  #acknowledge(message: Message): void {
    if (message.type === "con") {
      this.#options.send(emptyMessage("ack", message.id));
    }
  }

  #answered(running: Running, message: Message): void {
    const { code, options, payload } = message;
    const echo = optionOf(options, OptionNumber.echo);
    if (code === Code.unauthorized && echo !== undefined && running.challenges < challengesMax) {
      running.challenges += 1;
      running.echo = Uint8Array.from(echo);
      this.#compose(running);
      return;
    }
    const used = this.#usedUpTo(running, message);
    if (used !== undefined && running.challenges < challengesMax) {
      running.challenges += 1;
      this.#options.identity.behind?.(used);
      this.#compose(running);
      return;
    }
    if (code === Code.continue) {
      const value = optionOf(options, OptionNumber.block1);
      if (value === undefined || readBlock(value)?.num !== running.block) {
        this.#end(undefined);
        return;
      }
      running.block += 1;
      running.echo = undefined;
      this.#compose(running);
      return;
    }
    this.#lastSequence = running.sequence;
    this.#end({ code, options, payload });
  }

  /** The highest sequence number that the host has seen of us, when it says that the one of this request is not above it. */
  #usedUpTo(running: Running, { code, options }: Message): number | undefined {
    const value = optionOf(options, OptionNumber.renew);
    if (code !== Code.unauthorized || value === undefined || this.#options.identity.behind === undefined || optionOf(options, OptionNumber.mac) === undefined) {
      return undefined; // a bare 4.01 is nobody's word
    }
    const used = value.length > 7 ? Number.POSITIVE_INFINITY : readUint(value);
    return Number.isSafeInteger(used) && used >= running.sequence ? used : undefined;
  }

  #notified(token: number, observation: Observation, message: Message): void {
    const { code, options, payload } = message;
    const value = optionOf(options, OptionNumber.observe);
    if (value === undefined) {
      // The last one (section 4.2 of RFC 7641).
      this.#observations.delete(token);
    } else if (isNewer(readUint(value), observation.order)) {
      observation.order = readUint(value);
    } else {
      return;
    }
    observation.heard({ code, options, payload });
  }

  #end(answer: ClientAnswer | undefined): void {
    const running = this.#running as Running;
    this.#running = undefined;
    this.due_s = Number.POSITIVE_INFINITY;
    running.done(answer);
  }
}

/** Order of two Observe values (RFC 7641 section 3.4). Ours rise by one, so the clock of that section is not needed. */
function isNewer(value: number, than: number): boolean {
  return (than < value && value - than < 0x80_0000) || (than > value && than - value > 0x80_0000);
}
