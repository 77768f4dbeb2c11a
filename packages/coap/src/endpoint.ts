// SPDX-License-Identifier: Apache-2.0
// The message layer (RFC 7252 section 4) of a server, without a socket: datagrams and time in, datagrams out.
//
// M1. A request that comes again, from the same peer, with the same message id and bytes, is handled once while it is
//     remembered (section 4.5); answers that may as well be made again are not remembered.
// M2. Every answer carries the token of its request, errors too.
// M3. An address that has not shown that it receives gets at most `amplification` bytes for each byte it sent.
// M4. No input makes anything throw past `receive`.
import { TimeHeap } from "@coalmine/core";
import { EchoValues } from "./echo.ts";
import { signResponse, type Reply } from "./envelope.ts";
import type { CoapLimits } from "./limits.ts";
import { Code, emptyMessage, messageParts, type Message, parseMessage } from "./message.ts";
import { checkOptions, type Option, OptionNumber, optionOf, writeBlock } from "./option.ts";
import { type Exchange, type Peer, Peers } from "./peer.ts";
import { type Outcome, Retransmission } from "./retransmission.ts";

export interface Request {
  readonly peer: Peer;
  readonly message: Message;
  /** The encoded options before the Mac option. */
  readonly optionBytes: Uint8Array;
  /** The request proved its freshness with an Echo value. */
  readonly fresh: boolean;
}

export interface Answer {
  readonly code: number;
  readonly options?: readonly Option[];
  readonly payload?: Uint8Array;
  /** Signs the answer for the request it belongs to. */
  readonly reply?: Reply;
  /** Making it again has no effect and costs little: it is not remembered for duplicates. */
  readonly repeatable?: true;
}

/** What sits on top of the message layer. */
export interface Application {
  handle(request: Request): Answer | Promise<Answer>;
  /** The peer was forgotten: observations of it are gone. */
  evicted(peer: Peer): void;
}

/** Counts since the start. */
export interface EndpointStats {
  datagrams: number;
  requests: number;
  duplicates: number;
  /** Datagrams dropped because their peer sent too many. */
  limited: number;
  ignored: number;
  malformed: number;
  /** Answers held back until the address is validated. */
  challenged: number;
  separate: number;
  retransmitted: number;
  /** Requests whose handling failed; a bug or a broken disk. */
  failures: number;
}

export interface EndpointOptions {
  readonly limits: CoapLimits;
  readonly application: Application;
  readonly send: (parts: readonly Buffer[], peer: Peer) => void;
  /** Seconds, monotonic. */
  readonly now_s: () => number;
  /** 0 to below 1. */
  readonly random: () => number;
  /** Key of the Echo values, random, at least 16 bytes. */
  readonly echoKey: Uint8Array;
  /** Addresses whose packets nobody outside can forge. */
  readonly isTrusted: (address: string) => boolean;
  /** Hears that there is something to do at `next_s`, earlier than before. */
  readonly wake: () => void;
  /** Hears of a failure in the application. */
  readonly failed: (error: unknown) => void;
}

interface Pending {
  readonly peer: Peer;
  readonly message: Message;
  readonly exchange: Exchange;
}

const noBytes = new Uint8Array(0);
const noOptions: readonly Option[] = [];
const sweepEvery_s = 10;

export class Endpoint {
  readonly stats: EndpointStats = {
    datagrams: 0,
    requests: 0,
    duplicates: 0,
    limited: 0,
    ignored: 0,
    malformed: 0,
    challenged: 0,
    separate: 0,
    retransmitted: 0,
    failures: 0,
  };
  readonly peers: Peers;
  readonly echo: EchoValues;
  readonly #options: EndpointOptions;
  readonly #retransmission: Retransmission;
  /** Requests whose answers are not ready, by the time of their empty acknowledgement. */
  readonly #late = new TimeHeap<Pending>();
  #sweep_s: number;

  constructor(options: EndpointOptions) {
    this.#options = options;
    const { limits, random } = options;
    this.echo = new EchoValues({ key: options.echoKey, lifetime_s: limits.echoLifetime_s });
    this.#retransmission = new Retransmission({
      limits,
      random,
      send: (peer, parts, again) => {
        this.stats.retransmitted += again ? 1 : 0;
        options.send(parts, peer);
      },
    });
    this.peers = new Peers({
      limits,
      random,
      evicted: (peer) => {
        this.#retransmission.drop(peer);
        options.application.evicted(peer);
      },
    });
    this.#sweep_s = options.now_s() + sweepEvery_s;
  }

  /** When `run` has something to do, in seconds; `Infinity` for never. */
  get next_s(): number {
    return Math.min(this.#retransmission.next_s, this.#late.first);
  }

  /** Takes a datagram. `bytes` belongs to the endpoint from here on. */
  receive(bytes: Buffer, address: string, port: number): void {
    const now_s = this.#options.now_s();
    this.stats.datagrams += 1;
    if (now_s >= this.#sweep_s) {
      this.#sweep_s = now_s + sweepEvery_s;
      this.peers.sweep(now_s);
    }
    const parsed = parseMessage(bytes);
    if (parsed.kind === "ignored" || port === 0) {
      this.stats.ignored += 1;
      return;
    }
    const peer = this.peers.at(address, port, now_s);
    if (peer.bucket.take(this.#options.limits.datagrams, now_s) > 0) {
      this.stats.limited += 1;
      return;
    }
    if (!peer.validated && this.#options.isTrusted(address)) {
      peer.validated = true;
    }
    if (parsed.kind === "malformed") {
      this.stats.malformed += 1;
      if (parsed.type === "con") {
        this.#send(peer, [emptyMessage("rst", parsed.id)]);
      }
      return;
    }
    const { message } = parsed;
    if (message.type === "ack" || message.type === "rst") {
      this.#retransmission.settle(peer, message.id, message.type === "ack" ? "acknowledged" : "reset", now_s);
      return;
    }
    if (message.code === Code.empty || message.code > 31) {
      // A ping (section 4.3), or an answer to something we never asked.
      if (message.type === "con") {
        this.#send(peer, [emptyMessage("rst", message.id)]);
      }
      return;
    }
    this.#request(peer, message, parsed.optionBytes, bytes, now_s);
  }

  /** Sends again what is due, and announces late answers. */
  run(): void {
    const now_s = this.#options.now_s();
    this.#retransmission.run(now_s);
    while (this.#late.first <= now_s) {
      const { peer, message, exchange } = this.#late.pop() as Pending;
      if (exchange.answer === null && !exchange.gone) {
        exchange.acknowledged = true;
        this.#send(peer, [emptyMessage("ack", message.id)]);
      }
    }
  }

  /** Sends a confirmable message of our own: a notification, or a separate answer. Returns nothing; `ended` hears how it went. */
  post(peer: Peer, options: { readonly token: Uint8Array; readonly answer: Answer; readonly ended: (outcome: Outcome) => void }): void {
    const id = peer.takeId();
    const parts = format({ type: "con", id, token: options.token }, options.answer);
    this.#retransmission.post({ peer, id, parts, ended: options.ended }, this.#options.now_s());
    this.#options.wake();
  }

  /** The answer that asks for proof of the address and of freshness (RFC 9175 section 2.3). */
  challenge(peer: Peer): Answer {
    return { code: Code.unauthorized, options: [{ number: OptionNumber.echo, value: this.echo.make(peer.key, this.#options.now_s()) }] };
  }

  #request(peer: Peer, message: Message, optionBytes: Uint8Array, bytes: Buffer, now_s: number): void {
    const size = bytes.length;
    const known = this.peers.exchange(peer, message.id, bytes, now_s);
    if (known !== undefined) {
      this.stats.duplicates += 1;
      if (known.acknowledged) {
        this.#send(peer, [emptyMessage("ack", message.id)]);
      } else if (known.answer !== null) {
        this.#send(peer, known.answer);
      }
      return;
    }
    this.stats.requests += 1;
    const early = this.#early(message, size);
    if (early === null) {
      return;
    }
    const answer = early ?? this.#handle({ peer, message, optionBytes, fresh: this.#isFresh(peer, message, now_s) });
    if (!(answer instanceof Promise)) {
      const parts = this.#answer(peer, message, answer, size);
      if (answer.repeatable !== true && parts !== null) {
        this.peers.settle(this.peers.open(peer, message.id, bytes, now_s), parts);
      }
      return;
    }
    const exchange = this.peers.open(peer, message.id, bytes, now_s);
    if (message.type === "con") {
      this.#late.push(now_s + this.#options.limits.separateAfter_s, { peer, message, exchange });
      this.#options.wake();
    }
    answer.then(
      (ready) => this.#ready({ peer, message, exchange }, ready, size),
      (error: unknown) => this.#ready({ peer, message, exchange }, this.#failure(error), size),
    );
  }

  /** What is answered, or dropped (null), before anybody looks at the path. */
  #early(message: Message, size: number): Answer | null | undefined {
    if (size > this.#options.limits.datagramBytes) {
      return { code: Code.tooLarge, options: [{ number: OptionNumber.block1, value: writeBlock({ num: 0, more: false, szx: 6 }) }] };
    }
    const check = checkOptions(message.options);
    switch (check.kind) {
      case "ok":
        return undefined;
      case "proxy":
        return { code: Code.proxyingNotSupported };
      case "bad-option":
        // Section 5.4.1: a NON request is rejected instead, which here means silently.
        return message.type === "con" ? { code: Code.badOption, payload: new TextEncoder().encode(`option ${check.number}`) } : null;
    }
  }

  #isFresh(peer: Peer, message: Message, now_s: number): boolean {
    const value = optionOf(message.options, OptionNumber.echo);
    const fresh = value !== undefined && this.echo.isFresh(value, peer.key, now_s);
    if (fresh) {
      peer.validated = true;
    }
    return fresh;
  }

  #handle(request: Request): Answer | Promise<Answer> {
    try {
      return this.#options.application.handle(request);
    } catch (error) {
      return this.#failure(error);
    }
  }

  #failure(error: unknown): Answer {
    this.stats.failures += 1;
    this.#options.failed(error);
    return { code: Code.internal };
  }

  #ready({ peer, message, exchange }: Pending, answer: Answer, size: number): void {
    if (exchange.acknowledged) {
      // Settled as an empty acknowledgement: that is what a duplicate gets; the answer has a life of its own.
      this.stats.separate += 1;
      this.post(peer, { token: message.token, answer, ended: () => undefined });
      this.peers.settle(exchange, [emptyMessage("ack", message.id)]);
      return;
    }
    const parts = this.#answer(peer, message, answer, size);
    if (parts !== null) {
      this.peers.settle(exchange, parts);
    }
  }

  /** Sends an answer, or the challenge instead of one that is too large for an address that may be forged (M3). */
  #answer(peer: Peer, message: Message, answer: Answer, size: number): readonly Buffer[] | null {
    const head = { type: message.type === "con" ? "ack" : "non", id: message.type === "con" ? message.id : peer.takeId(), token: message.token } as const;
    const parts = format(head, answer);
    const most = this.#options.limits.amplification * size;
    if (peer.validated || length(parts) <= most) {
      this.#send(peer, parts);
      return parts;
    }
    this.stats.challenged += 1;
    const challenge = format(head, this.challenge(peer));
    if (length(challenge) <= most) {
      this.#send(peer, challenge);
    }
    return null;
  }

  #send(peer: Peer, parts: readonly Buffer[]): void {
    this.#options.send(parts, peer);
  }
}

function length(parts: readonly Buffer[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

function format(head: Pick<Message, "type" | "id" | "token">, answer: Answer): Buffer[] {
  const message: Message = { ...head, code: answer.code, options: answer.options ?? noOptions, payload: answer.payload ?? noBytes };
  return messageParts(answer.reply === undefined ? message : signResponse(message, answer.reply));
}
