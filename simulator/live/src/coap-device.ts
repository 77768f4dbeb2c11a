// SPDX-License-Identifier: Apache-2.0
// One device's side of CoAP: what it asks for, in which order, and what the answers mean to it.
//
// Q1. One request at a time. Registering comes first, then reports in order, then blocks.
// Q2. A report leaves the outbox by a 2.04, or by a 4.00 (never send it again); anything else keeps it.
// Q3. The link is up from the answer to the second registration to the first request that stays without an answer.
import { type ClientAnswer, Code, type CoapClient, type Option, OptionNumber, optionOf, readBlock, readUint, writeBlock } from "@coalmine/coap";
import { type BlockAnswer, type BlockRequest, type Command, decodeCommand, encodeReport } from "@coalmine/protocol";
import { type Connection, Phase } from "./connection.ts";
import type { Flight, Posted } from "./outbox.ts";

/** What a device needs of the driver of all of them. */
export interface CoapOwner<B> {
  registered(device: CoapDevice<B>): void;
  /** The host does not answer, or does not want this device. */
  failed(device: CoapDevice<B>, reason: string, isRefused: boolean): void;
  acknowledged(device: CoapDevice<B>, item: Posted): void;
  /** The report means nothing to the host; it is not sent again. */
  refused(device: CoapDevice<B>, item: Posted): void;
  command(device: CoapDevice<B>, command: Command): void;
  block(device: CoapDevice<B>, answer: BlockAnswer): void;
  undecodable(device: CoapDevice<B>): void;
  /** A report was not taken this time: wait so many real seconds before the next request. */
  wait(device: CoapDevice<B>, seconds: number): void;
  /** A request is over: the next one may begin. */
  over(device: CoapDevice<B>): void;
}

/** A block request that is being fetched, in pieces of 1,024 bytes. */
export interface Fetch extends Flight {
  /** As asked last: the number in it is what the board waits for. */
  request: BlockRequest;
  readonly parts: Uint8Array[];
  /** Number of the next piece. */
  num: number;
}

const szx = 6;
const pieceSize = 1_024;
const component = "main";
const desired = [".u", "desired"];
const command = [".u", "command"];

export class CoapDevice<B> {
  readonly connection: Connection<B>;
  readonly client: CoapClient;
  readonly #owner: CoapOwner<B>;
  readonly #polls: boolean;
  /** Registrations, or polls, still to be done. */
  #todo: "desired" | "command" | null = "desired";
  readonly fetches: Fetch[] = [];
  /** Its registration, as something that device time waits for. */
  readonly #registration: Flight = { sentAt: 0, writtenAt: 0, flying: false };
  /** The offer heard last. */
  #offer: Uint8Array | undefined;
  readonly #tokens: number[] = [];
  /** The answer to the first registration: told when the link is up, as a command reaches only a device with one. */
  #early: ClientAnswer | undefined;

  constructor(options: { readonly connection: Connection<B>; readonly client: CoapClient; readonly owner: CoapOwner<B>; readonly polls: boolean }) {
    this.connection = options.connection;
    this.client = options.client;
    this.#owner = options.owner;
    this.#polls = options.polls;
  }

  /** True when there is something to send. */
  get hasWork(): boolean {
    return this.#todo !== null || (this.connection.outbox?.length ?? 0) > 0 || this.fetches.length > 0;
  }

  get isRegistering(): boolean {
    return this.#todo !== null;
  }

  /** What the host has to answer: the registration, or all reports and fetches. */
  get unanswered(): readonly Flight[] {
    return this.#todo !== null ? [this.#registration] : [...(this.connection.outbox ?? []), ...this.fetches];
  }

  /** Starts over: the next request registers again, and what was heard before counts for nothing. */
  restart(): void {
    this.client.reset();
    this.#registration.flying = false;
    this.#tokens.length = 0;
    this.#todo = "desired";
    this.#offer = undefined;
    for (const fetch of this.fetches.splice(0)) {
      fetch.flying = false;
    }
    for (const item of this.connection.outbox ?? []) {
      item.packetId = 0;
    }
  }

  /** A board that asks again for what is being fetched already gets that, under its new number: nothing is fetched twice. */
  isFetching(request: BlockRequest): boolean {
    const same = this.fetches.find((fetch) => fetch.request.offset === request.offset && fetch.request.length === request.length && Buffer.compare(fetch.request.digest, request.digest) === 0);
    if (same !== undefined) {
      same.request = request;
    }
    return same !== undefined;
  }

  /** Sends the next request. */
  next(): void {
    const report = this.connection.outbox?.[0];
    const fetch = this.fetches[0];
    if (this.#todo !== null) {
      this.#register(this.#todo);
    } else if (report !== undefined) {
      this.#post(report);
    } else if (fetch !== undefined) {
      this.#fetch(fetch);
    }
  }

  #register(what: "desired" | "command"): void {
    const request = { code: Code.get, path: what === "desired" ? desired : command };
    const done = (answer: ClientAnswer | undefined): void => this.#registered(what, answer);
    if (this.#polls) {
      this.client.request(request, done);
    } else {
      this.#tokens.push(this.client.observe(request, { done, heard: (answer) => this.#heard(what, answer) }));
    }
  }

  #registered(what: "desired" | "command", answer: ClientAnswer | undefined): void {
    if (answer?.code !== Code.content) {
      this.#owner.failed(this, answer === undefined ? "the host did not answer" : `the host answered ${answer.code >> 5}.${`${answer.code & 31}`.padStart(2, "0")} to a registration`, answer !== undefined);
      return;
    }
    this.#registration.flying = false;
    // A poll that brought a command asks for the next one.
    const isMore = this.#polls && what === "command" && answer.payload.length > 0;
    this.#todo = what === "desired" || isMore ? "command" : null;
    if (this.connection.phase === Phase.up) {
      this.#heard(what, answer);
    } else if (what === "desired") {
      this.#early = answer;
    } else if (this.#todo === null || isMore) {
      this.#owner.registered(this);
      this.#heard("desired", this.#early as ClientAnswer);
      this.#heard(what, answer);
    }
    this.#owner.over(this);
  }

  #heard(what: "desired" | "command", { payload }: ClientAnswer): void {
    if (payload.length === 0) {
      if (what === "desired") {
        this.#offer = undefined;
      }
      return;
    }
    const bytes = new Uint8Array(payload);
    if (what === "desired" && this.#offer !== undefined && Buffer.compare(this.#offer, bytes) === 0) {
      return;
    }
    const decoded = decodeCommand(bytes);
    if (decoded.kind === "undecodable") {
      this.#owner.undecodable(this);
      return;
    }
    if (decoded.value.kind === "offer") {
      this.#offer = bytes;
    }
    this.#owner.command(this, decoded.value);
  }

  #post(item: Posted): void {
    item.packetId = 1;
    this.client.request({ code: Code.post, path: [".r"], payload: encodeReport(item.report) }, (answer) => this.#posted(item, answer));
  }

  #posted(item: Posted, answer: ClientAnswer | undefined): void {
    if (answer === undefined) {
      this.#owner.failed(this, "the host did not acknowledge a report", false);
      return;
    }
    const { code, options } = answer;
    if (code === Code.changed || code === Code.badRequest) {
      item.flying = false;
      const at = this.connection.outbox?.indexOf(item) ?? -1;
      if (at >= 0) { // else it was dropped meanwhile, as the oldest of too many
        this.connection.outbox?.splice(at, 1);
      }
      if (code === Code.changed) {
        const isForgotten = optionOf(options, OptionNumber.renew) !== undefined;
        if (isForgotten || this.#polls) {
          this.#renew();
        }
        this.#owner.acknowledged(this, item);
      } else {
        this.#owner.refused(this, item);
      }
    } else if (code === Code.unauthorized) {
      this.#owner.failed(this, "the host does not know this device", true);
      return;
    } else {
      // 4.29, 5.03, 4.08: later.
      const wait = optionOf(options, OptionNumber.maxAge);
      this.#owner.wait(this, wait === undefined ? 1 : readUint(wait));
      return;
    }
    this.#owner.over(this);
  }

  #renew(): void {
    for (const token of this.#tokens.splice(0)) {
      this.client.forget(token);
    }
    this.#todo = "desired";
  }

  #fetch(fetch: Fetch): void {
    // By its digest: a host that was restarted in the middle of a download may not have sent its offer again.
    const digest = fetch.request.digest.toHex();
    const options: Option[] = [{ number: OptionNumber.block2, value: writeBlock({ num: fetch.num, more: false, szx }) }];
    this.client.request(
      {
        code: Code.get,
        path: [".u", "c", `${component}@-`],
        queries: [`h=${digest}`],
        options,
        isContentOpen: true,
      },
      (answer) => this.#fetched(fetch, digest, answer),
    );
  }

  #fetched(fetch: Fetch, digest: string, answer: ClientAnswer | undefined): void {
    if (answer === undefined) {
      this.#owner.failed(this, "the host did not answer a block request", false);
      return;
    }
    const { request } = fetch;
    const end = request.offset + request.length;
    let done: BlockAnswer | undefined;
    if (answer.code === Code.content) {
      const etag = optionOf(answer.options, OptionNumber.etag);
      const block = optionOf(answer.options, OptionNumber.block2);
      const isLast = block === undefined || readBlock(block)?.more !== true;
      if (etag === undefined || Buffer.from(etag).toString("hex") !== digest) {
        done = { kind: "refused", request: request.request, reason: "unknown" };
      } else {
        fetch.parts.push(answer.payload);
        fetch.num += 1;
        if (isLast || fetch.num * pieceSize >= end) {
          const start = request.offset % pieceSize;
          done = { kind: "block", request: request.request, offset: request.offset, data: new Uint8Array(Buffer.concat(fetch.parts).subarray(start, start + request.length)) };
        }
      }
    } else {
      const reasons: Readonly<Record<number, "not-offered" | "unknown" | "range">> = { [Code.forbidden]: "not-offered", [Code.notFound]: "unknown", [Code.badRequest]: "range" };
      const reason = reasons[answer.code];
      if (reason === undefined) {
        this.#owner.failed(this, "the host refused a block request", true);
        return;
      }
      done = { kind: "refused", request: request.request, reason };
    }
    if (done !== undefined) {
      this.fetches.splice(this.fetches.indexOf(fetch), 1);
      fetch.flying = false;
      this.#owner.block(this, done);
    }
    this.#owner.over(this);
  }
}

/** A request for a piece of an artifact, ready to be fetched. */
export function fetchOf(request: BlockRequest, sentAt: number): Fetch {
  return { request, parts: [], num: Math.floor(request.offset / pieceSize), sentAt, writtenAt: performance.now(), flying: false };
}
