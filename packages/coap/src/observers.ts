// SPDX-License-Identifier: Apache-2.0
// Observations (RFC 7641): who wants to hear about which resource.
//
// O1. An observation is named by its peer and token; registering again replaces it (section 4.1).
// O2. It ends by deregistration, a reset, a notification that was never acknowledged, or its peer being forgotten.
// O3. At most one notification of an observation is on its way; when it ends, the state of that moment follows.
import type { Reply } from "./envelope.ts";
import type { CoapLimits } from "./limits.ts";
import type { Peer } from "./peer.ts";

export interface Observer {
  readonly resource: string;
  readonly peer: Peer;
  readonly token: Uint8Array;
  readonly name: string;
  /** Block size the device asked for. */
  readonly szx: number;
  readonly reply: Reply | undefined;
  /** A notification is on its way. */
  busy: boolean;
  /** The state changed since. */
  stale: boolean;
  gone: boolean;
}

const nameOf = (peer: Peer, token: Uint8Array): string => `${peer.key} ${Buffer.from(token).toString("hex")}`;

export class Observers {
  readonly #limits: CoapLimits;
  readonly #byResource = new Map<string, Observer[]>();
  readonly #byPeer = new Map<Peer, Set<Observer>>();
  #size = 0;
  #sequence = 0;

  constructor(limits: CoapLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#size;
  }

  /** The next value of the Observe option: 24 bits that rise (section 4.4). */
  takeSequence(): number {
    this.#sequence = (this.#sequence + 1) & 0xff_ffff;
    return this.#sequence;
  }

  /** Registers an observation; undefined when there are too many of all devices. */
  register(options: { readonly resource: string; readonly peer: Peer; readonly token: Uint8Array; readonly szx: number; readonly reply: Reply | undefined }): Observer | undefined {
    const { resource, peer, token } = options;
    this.deregister(resource, peer, token);
    const others = this.of(resource);
    if (others.length >= this.#limits.observersOfDevice) {
      this.remove(others[0] as Observer);
    }
    if (this.#size >= this.#limits.observers) {
      return undefined;
    }
    const observer: Observer = { ...options, token: Uint8Array.from(token), name: nameOf(peer, token), busy: false, stale: false, gone: false };
    this.#byResource.set(resource, [...this.of(resource), observer]);
    const ofPeer = this.#byPeer.get(peer);
    if (ofPeer === undefined) {
      this.#byPeer.set(peer, new Set([observer]));
    } else {
      ofPeer.add(observer);
    }
    this.#size += 1;
    return observer;
  }

  /** Ends the observation with this peer and token. */
  deregister(resource: string, peer: Peer, token: Uint8Array): void {
    const name = nameOf(peer, token);
    for (const observer of this.of(resource)) {
      if (observer.name === name) {
        this.remove(observer);
      }
    }
  }

  /** Observers of a resource, the newest last. */
  of(resource: string): readonly Observer[] {
    return this.#byResource.get(resource) ?? [];
  }

  remove(observer: Observer): void {
    if (observer.gone) {
      return;
    }
    observer.gone = true;
    this.#size -= 1;
    const left = this.of(observer.resource).filter((other) => other !== observer);
    if (left.length === 0) {
      this.#byResource.delete(observer.resource);
    } else {
      this.#byResource.set(observer.resource, left);
    }
    const ofPeer = this.#byPeer.get(observer.peer);
    ofPeer?.delete(observer);
    if (ofPeer?.size === 0) {
      this.#byPeer.delete(observer.peer);
    }
  }

  /** Ends all observations of a forgotten peer. */
  removePeer(peer: Peer): void {
    for (const observer of this.#byPeer.get(peer) ?? []) {
      this.remove(observer);
    }
  }
}
