// SPDX-License-Identifier: Apache-2.0
// What comes up from devices: reports, batches of reports, update states.
//
// U1. A report is answered 2.04 only after the host made it durable (I1), and 5.03 when that failed: the device keeps it.
// U2. Every report has one answer for good: 2.04 taken, 4.00 never send it again, 4.29 and 5.03 later.
import type { DeviceId } from "@coalmine/core";
import type { LinkHost } from "@coalmine/orchestrator";
import { decodeReport, limits as wireLimits } from "@coalmine/protocol";
import { type Asked, refusal, signed } from "./answers.ts";
import { Uploads } from "./blockwise.ts";
import type { Commands } from "./commands.ts";
import type { Answer } from "./endpoint.ts";
import type { Reply } from "./envelope.ts";
import { Bucket, type CoapLimits } from "./limits.ts";
import { Code } from "./message.ts";
import { ContentFormat, type Option, OptionNumber, optionOf, readUint, writeBlock, writeUint } from "./option.ts";
import { splitSequence } from "./sequence.ts";
import { stateReport } from "./state.ts";

/** Reports in one batch. */
const batchMax = 1_024;
/** Seconds after which a device may try again what could not be made durable. */
const retry_s = 5;

const renew: Option = { number: OptionNumber.renew, value: new Uint8Array(0) };

type Take = (asked: Asked, payload: Uint8Array) => Answer | Promise<Answer>;

export class Reports {
  readonly uploads: Uploads;
  readonly #host: LinkHost;
  readonly #limits: CoapLimits;
  readonly #commands: Commands;
  readonly #now_s: () => number;
  readonly #failed: (error: unknown) => void;
  /** The device heard first goes first. */
  readonly #buckets = new Map<DeviceId, Bucket>();

  constructor(options: {
    readonly host: LinkHost;
    readonly limits: CoapLimits;
    readonly commands: Commands;
    readonly now_s: () => number;
    readonly failed: (error: unknown) => void;
  }) {
    this.#host = options.host;
    this.#limits = options.limits;
    this.#commands = options.commands;
    this.#now_s = options.now_s;
    this.#failed = options.failed;
    this.uploads = new Uploads(options.limits);
  }

  /** Takes a report, or a batch of them. */
  report(asked: Asked): Answer | Promise<Answer> {
    return this.#upload(asked, (whole, payload) => this.#reports(whole, payload));
  }

  /** Takes the state of an update. */
  state(asked: Asked): Answer | Promise<Answer> {
    return this.#upload(asked, (whole, payload) => this.#state(whole, payload));
  }

  /** Puts the blocks of an upload together and hands the whole on. */
  #upload(asked: Asked, take: Take): Answer | Promise<Answer> {
    const { request, device, reply, method, path, block1 } = asked;
    if (method !== Code.post && method !== Code.put) {
      return refusal(Code.methodNotAllowed, reply);
    }
    const announced = optionOf(request.message.options, OptionNumber.size1);
    if (block1 === undefined) {
      return announced !== undefined && readUint(announced) > this.#limits.uploadBytes ? this.#tooLarge(reply) : take(asked, request.message.payload);
    }
    const tag = optionOf(request.message.options, OptionNumber.requestTag);
    const step = this.uploads.take({
      key: `${request.peer.key} ${device} ${method} ${path.join("/")} ${tag === undefined ? "" : Buffer.from(tag).toString("hex")}`,
      device,
      block: block1,
      payload: request.message.payload,
      announced: announced === undefined ? undefined : readUint(announced),
      now_s: this.#now_s(),
    });
    const echo: Option = { number: OptionNumber.block1, value: writeBlock(block1) };
    switch (step.kind) {
      case "continue":
        return signed({ code: Code.continue, options: [echo] }, reply);
      case "incomplete":
        return signed({ code: Code.incomplete, options: [echo] }, reply);
      case "too-large":
        return this.#tooLarge(reply);
      case "ragged":
        return refusal(Code.badRequest, reply, "a block with more to come must be full");
      case "whole": {
        const answer = take(asked, step.payload);
        const withBlock = (done: Answer): Answer => ({ ...done, options: [...(done.options ?? []), echo] });
        return answer instanceof Promise ? answer.then(withBlock) : withBlock(answer);
      }
    }
  }

  #tooLarge(reply: Reply | undefined): Answer {
    return signed({ code: Code.tooLarge, options: [{ number: OptionNumber.size1, value: writeUint(this.#limits.uploadBytes) }] }, reply);
  }

  #reports(asked: Asked, payload: Uint8Array): Answer | Promise<Answer> {
    const { device, request, reply } = asked;
    const format = optionOf(request.message.options, OptionNumber.contentFormat);
    const kind = format === undefined ? ContentFormat.cbor : readUint(format);
    if (kind === ContentFormat.cbor || kind === ContentFormat.octets) {
      return this.#limited(asked) ?? this.#one(asked, payload);
    }
    if (kind !== ContentFormat.cborSequence) {
      return refusal(Code.unsupportedFormat, reply);
    }
    const limited = this.#limited(asked);
    if (limited !== undefined) {
      return limited;
    }
    const items = splitSequence(payload, batchMax);
    if (items === undefined || items.length === 0) {
      this.#host.undecodable(device, "batch: no sequence of reports", payload.length, "coap");
      return refusal(Code.badRequest, reply, "no CBOR sequence of reports");
    }
    return this.#durably(asked, Promise.all(items.map((item) => this.#give(device, item))));
  }

  #state(asked: Asked, payload: Uint8Array): Answer | Promise<Answer> {
    const limited = this.#limited(asked);
    if (limited !== undefined) {
      return limited;
    }
    const state = stateReport(payload, this.#commands.kept(asked.device)?.offer);
    switch (state.kind) {
      case "report":
        return this.#one(asked, payload);
      case "ok":
        return this.#one(asked, state.value);
      case "undecodable":
        this.#host.undecodable(asked.device, state.reason, payload.length, "coap");
        return refusal(Code.badRequest, asked.reply, state.reason);
    }
  }

  #one(asked: Asked, payload: Uint8Array): Promise<Answer> | Answer {
    const bytes = plain(payload);
    const decoded = decodeReport(bytes);
    const kept = this.#durably(asked, this.#give(asked.device, bytes));
    // The host keeps a note of it either way; the device must know not to send it again.
    return decoded.kind === "ok" ? kept : kept.then((answer) => (answer.code === Code.changed ? refusal(Code.badRequest, asked.reply, decoded.reason) : answer));
  }

  /** Hands one report to the host. */
  #give(device: DeviceId, bytes: Uint8Array): Promise<void> {
    const given = plain(bytes);
    if (given.length > wireLimits.message) {
      this.#host.undecodable(device, "report: too long", given.length, "coap");
      return Promise.resolve();
    }
    return this.#host.report(device, given, "coap");
  }

  /** 2.04 once it is durable, 5.03 when it could not be made so: then the device keeps it. */
  async #durably(asked: Asked, durable: Promise<unknown>): Promise<Answer> {
    const { device, reply } = asked;
    try {
      await durable;
    } catch (error) {
      this.#failed(error);
      return signed({ code: Code.unavailable, options: [{ number: OptionNumber.maxAge, value: writeUint(retry_s) }] }, reply);
    }
    return signed({ code: Code.changed, options: this.#commands.isObserving(device) ? [] : [renew] }, reply);
  }

  /** The refusal of a device that reports too often (RFC 8516); undefined when it may. */
  #limited({ device, reply }: Asked): Answer | undefined {
    const now_s = this.#now_s();
    let bucket = this.#buckets.get(device);
    if (bucket === undefined) {
      bucket = new Bucket(this.#limits.reports, now_s);
      this.#buckets.set(device, bucket);
      if (this.#buckets.size > this.#limits.windows) {
        for (const oldest of this.#buckets.keys()) {
          this.#buckets.delete(oldest);
          break;
        }
      }
    }
    const wait_s = bucket.take(this.#limits.reports, now_s);
    return wait_s === 0 ? undefined : signed({ code: Code.tooManyRequests, options: [{ number: OptionNumber.maxAge, value: writeUint(Math.ceil(wait_s)) }] }, reply);
  }
}

/** The same bytes without Buffer's other meaning of `slice`, for code that knows Uint8Array only. */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}
