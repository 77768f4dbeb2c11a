// SPDX-License-Identifier: Apache-2.0
// What goes down to devices: the kept offer and the queue of other commands, each an observable resource.
//
// C1. A device reads its own offer and commands, and nothing of another's (I12).
// C2. A command leaves the queue when its notification was acknowledged, or with the answer to a plain GET.
import type { DeviceId } from "@coalmine/core";
import { type Command, encodeCommand, limits as wireLimits, type Offer } from "@coalmine/protocol";
import { accepts, type Asked, content, defaultSzx, formatOption, refusal, signed } from "./answers.ts";
import type { Answer, Endpoint } from "./endpoint.ts";
import type { CoapLimits } from "./limits.ts";
import { Code } from "./message.ts";
import { type Observer, Observers } from "./observers.ts";
import { blockSize, ContentFormat, type Option, OptionNumber, optionOf, readUint, writeUint } from "./option.ts";
import type { Peer } from "./peer.ts";

/** What the server keeps of an offer while it stands. */
export interface Kept {
  readonly offer: Offer;
  readonly bytes: Uint8Array;
  /** First bytes of the digest: names the artifact's state in every block. */
  readonly etag: Option;
  readonly size: Option;
}

const cborFormat = formatOption(ContentFormat.cbor);
const noBytes = new Uint8Array(0);
const desiredOf = (device: DeviceId): string => `${device} desired`;
const commandOf = (device: DeviceId): string => `${device} command`;

export class Commands {
  readonly observers: Observers;
  readonly #limits: CoapLimits;
  readonly #endpoint: () => Endpoint;
  readonly #kept = new Map<DeviceId, Kept>();
  readonly #queues = new Map<DeviceId, Uint8Array[]>();
  /** Queued orders to update, which can be taken back as an offer can. */
  readonly #orders = new WeakSet<Uint8Array>();

  constructor(options: { readonly limits: CoapLimits; readonly endpoint: () => Endpoint }) {
    this.#limits = options.limits;
    this.#endpoint = options.endpoint;
    this.observers = new Observers(options.limits);
  }

  /** The offer that stands for a device. */
  kept(device: DeviceId): Kept | undefined {
    return this.#kept.get(device);
  }

  /** True when the device will hear of an offer or a command by itself. */
  isObserving(device: DeviceId): boolean {
    return this.observers.of(desiredOf(device)).length > 0 && this.observers.of(commandOf(device)).length > 0;
  }

  /** Keeps an offer for a device, or puts another command into its queue. */
  send(device: DeviceId, command: Command): void {
    const bytes = encodeCommand(command);
    if (command.kind === "offer") {
      this.#kept.set(device, {
        offer: command,
        bytes,
        etag: { number: OptionNumber.etag, value: command.digest.slice(0, wireLimits.digestPrefix) },
        size: { number: OptionNumber.size2, value: writeUint(command.size) },
      });
      this.#changed(device);
      return;
    }
    const queue = this.#queues.get(device) ?? [];
    if (command.kind === "swap-back") {
      this.#orders.add(bytes);
    }
    queue.push(bytes);
    if (queue.length > this.#limits.commands) {
      queue.shift();
    }
    this.#queues.set(device, queue);
    this.#pump(device);
  }

  /** Takes back the kept offer, and every order to go back that the device has not fetched: it may have been sent more than once. */
  clear(device: DeviceId): void {
    const queue = this.#queues.get(device) ?? [];
    queue.splice(0, queue.length, ...queue.filter((bytes) => !this.#orders.has(bytes)));
    if (this.#kept.delete(device)) {
      this.#changed(device);
    }
  }

  /** Forgets the observations of a forgotten peer. */
  evicted(peer: Peer): void {
    this.observers.removePeer(peer);
  }

  /** Answers a request for the offer. */
  desired(asked: Asked): Answer {
    return this.#observable(asked, desiredOf(asked.device), () => this.#kept.get(asked.device)?.bytes ?? noBytes);
  }

  /** Answers a request for commands. */
  command(asked: Asked): Answer {
    const { device, request, method } = asked;
    const isObserve = optionOf(request.message.options, OptionNumber.observe) !== undefined;
    const queue = this.#queues.get(device);
    const first = queue?.[0];
    if (isObserve || queue === undefined || first === undefined) {
      return this.#observable(asked, commandOf(device), () => noBytes, () => this.#pump(device));
    }
    // A device that asks now and then instead of observing: the answer takes the command with it, so it must get there.
    if (!request.peer.validated) {
      return signed(this.#endpoint().challenge(request.peer), asked.reply);
    }
    const answer = this.#observable(asked, commandOf(device), () => first);
    const { num, szx } = asked.block2 ?? { num: 0, szx: defaultSzx };
    if (method === Code.get && answer.code === Code.content && (num + 1) * blockSize(szx) >= first.length) {
      this.#shift(device, queue);
    }
    return answer;
  }

  #observable(asked: Asked, resource: string, whole: () => Uint8Array, registered: () => void = () => undefined): Answer {
    const { request, reply, block2 } = asked;
    if (asked.method !== Code.get) {
      return refusal(Code.methodNotAllowed, reply);
    }
    if (!accepts(request, ContentFormat.cbor)) {
      return refusal(Code.notAcceptable, reply);
    }
    const option = optionOf(request.message.options, OptionNumber.observe);
    const wish = option === undefined ? undefined : readUint(option);
    let observe: number | undefined;
    if (wish === 0 && (block2?.num ?? 0) === 0) {
      // Notifications go to this address for as long as it keeps quiet: it must be the device's.
      if (!request.peer.validated) {
        return signed(this.#endpoint().challenge(request.peer), reply);
      }
      const observer = this.observers.register({ resource, peer: request.peer, token: request.message.token, szx: block2?.szx ?? defaultSzx, reply });
      if (observer !== undefined) {
        observe = this.observers.takeSequence();
        queueMicrotask(registered);
      }
    } else if (wish === 1) {
      this.observers.deregister(resource, request.peer, request.message.token);
    }
    return content({ whole: whole(), format: cborFormat, asked: block2, szx: defaultSzx, observe, reply });
  }

  #changed(device: DeviceId): void {
    for (const observer of this.observers.of(desiredOf(device))) {
      if (observer.busy) {
        observer.stale = true;
      } else {
        this.#notifyDesired(observer, device);
      }
    }
  }

  #notifyDesired(observer: Observer, device: DeviceId): void {
    observer.stale = false;
    this.#notify(observer, this.#kept.get(device)?.bytes ?? noBytes, (acknowledged) => {
      if (!acknowledged) {
        this.observers.remove(observer);
      } else if (observer.stale && !observer.gone) {
        this.#notifyDesired(observer, device);
      }
    });
  }

  /** Sends the oldest waiting command to the newest observer; its acknowledgement takes it off the queue. */
  #pump(device: DeviceId): void {
    const queue = this.#queues.get(device);
    const observer = this.observers.of(commandOf(device)).at(-1);
    const bytes = queue?.[0];
    if (queue === undefined || bytes === undefined || observer === undefined || observer.busy) {
      return;
    }
    this.#notify(observer, bytes, (acknowledged) => {
      if (!acknowledged) {
        this.observers.remove(observer);
      } else if (queue[0] === bytes) {
        this.#shift(device, queue);
      }
      this.#pump(device);
    });
  }

  #shift(device: DeviceId, queue: Uint8Array[]): void {
    queue.shift();
    if (queue.length === 0 && this.#queues.get(device) === queue) {
      this.#queues.delete(device);
    }
  }

  #notify(observer: Observer, whole: Uint8Array, ended: (acknowledged: boolean) => void): void {
    observer.busy = true;
    this.#endpoint().post(observer.peer, {
      token: observer.token,
      answer: content({ whole, format: cborFormat, asked: undefined, szx: observer.szx, observe: this.observers.takeSequence(), reply: observer.reply }),
      ended: (outcome) => {
        observer.busy = false;
        ended(outcome === "acknowledged");
      },
    });
  }
}
