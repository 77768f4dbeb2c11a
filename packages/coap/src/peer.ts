// SPDX-License-Identifier: Apache-2.0
// Who is at the other end: an address and a port, and what is remembered about them.
//
// P1. The number of peers, of exchanges and of kept bytes never exceeds the limits, whatever arrives.
// P2. What goes first is what belongs to the peer that has been silent for longest.
import { Bucket, type CoapLimits } from "./limits.ts";

/** A request that was taken, by its message id (RFC 7252 section 4.5). */
export interface Exchange {
  readonly at_s: number;
  /** Checksum of the request: a retransmission is the same to the last byte. */
  readonly checksum: number;
  /** The answer, to be sent again when the request comes again; null while there is none. */
  answer: readonly Buffer[] | null;
  bytes: number;
  /** An empty acknowledgement was sent: the answer comes separately. */
  acknowledged: boolean;
  /** It was dropped while its answer was being made. */
  gone: boolean;
}

export class Peer {
  readonly key: string;
  readonly address: string;
  readonly port: number;
  readonly bucket: Bucket;
  seenAt_s: number;
  /** It has shown that it receives what is sent to this address. */
  validated = false;
  exchanges: Map<number, Exchange> | null = null;
  nextId: number;

  constructor(options: { readonly key: string; readonly address: string; readonly port: number; readonly bucket: Bucket; readonly now_s: number; readonly firstId: number }) {
    this.key = options.key;
    this.address = options.address;
    this.port = options.port;
    this.bucket = options.bucket;
    this.seenAt_s = options.now_s;
    this.nextId = options.firstId;
  }

  /** A message id that has not been used for a message to this peer for as long as possible. */
  takeId(): number {
    this.nextId = (this.nextId + 1) & 0xffff;
    return this.nextId;
  }
}

/** All peers, the longest silent first. */
export class Peers {
  readonly #limits: CoapLimits;
  readonly #random: () => number;
  readonly #evicted: (peer: Peer) => void;
  readonly #byKey = new Map<string, Peer>();
  #exchanges = 0;
  #bytes = 0;

  constructor(options: { readonly limits: CoapLimits; readonly random: () => number; readonly evicted: (peer: Peer) => void }) {
    this.#limits = options.limits;
    this.#random = options.random;
    this.#evicted = options.evicted;
  }

  get size(): number {
    return this.#byKey.size;
  }

  get exchanges(): number {
    return this.#exchanges;
  }

  get exchangeBytes(): number {
    return this.#bytes;
  }

  /** The peer at this address; a new one may push out the one silent for longest. */
  at(address: string, port: number, now_s: number): Peer {
    const key = `${address} ${port}`;
    const known = this.#byKey.get(key);
    if (known !== undefined) {
      // To the end of the order, but not for every datagram of a burst.
      if (now_s - known.seenAt_s > 1) {
        known.seenAt_s = now_s;
        this.#byKey.delete(key);
        this.#byKey.set(key, known);
      }
      return known;
    }
    if (this.#byKey.size >= this.#limits.peers) {
      for (const oldest of this.#byKey.values()) {
        this.#forget(oldest);
        break;
      }
    }
    const bucket = new Bucket(this.#limits.datagrams, now_s);
    const peer = new Peer({ key, address, port, bucket, now_s, firstId: Math.floor(this.#random() * 0x1_0000) });
    this.#byKey.set(key, peer);
    return peer;
  }

  /**
   * The exchange that this request repeats. A message id alone does not make it one: a device that rebooted may begin
   * again with the same ids, and must not get the answers of its former life.
   */
  exchange(peer: Peer, id: number, bytes: Uint8Array, now_s: number): Exchange | undefined {
    const exchange = peer.exchanges?.get(id);
    if (exchange === undefined || (now_s - exchange.at_s <= this.#limits.exchangeLifetime_s && exchange.checksum === checksum(bytes))) {
      return exchange;
    }
    this.#drop(peer, id, exchange);
    return undefined;
  }

  /** Remembers that a request was taken. */
  open(peer: Peer, id: number, bytes: Uint8Array, now_s: number): Exchange {
    const exchanges = (peer.exchanges ??= new Map());
    this.#expire(peer, exchanges, now_s);
    const exchange: Exchange = { at_s: now_s, checksum: checksum(bytes), answer: null, bytes: 0, acknowledged: false, gone: false };
    exchanges.set(id, exchange);
    this.#exchanges += 1;
    return exchange;
  }

  /** Keeps the answer of an exchange. */
  settle(exchange: Exchange, answer: readonly Buffer[]): void {
    if (exchange.gone) {
      return;
    }
    const bytes = answer.reduce((sum, part) => sum + part.length, 0);
    exchange.answer = answer;
    exchange.bytes = bytes;
    this.#bytes += bytes;
    this.#trim();
  }

  /** Forgets an exchange whose answer may as well be made again. */
  close(peer: Peer, id: number): void {
    const exchange = peer.exchanges?.get(id);
    if (exchange !== undefined) {
      this.#drop(peer, id, exchange);
    }
  }

  /** Drops what is too old, everywhere; called now and then. */
  sweep(now_s: number): void {
    for (const peer of this.#byKey.values()) {
      if (peer.exchanges !== null) {
        this.#expire(peer, peer.exchanges, now_s);
      }
      if (now_s - peer.seenAt_s > 2 * this.#limits.exchangeLifetime_s) {
        this.#forget(peer);
      }
    }
  }

  #expire(peer: Peer, exchanges: Map<number, Exchange>, now_s: number): void {
    for (const [id, exchange] of exchanges) {
      if (exchanges.size < this.#limits.exchangesOfPeer && now_s - exchange.at_s <= this.#limits.exchangeLifetime_s) {
        break;
      }
      this.#drop(peer, id, exchange);
    }
  }

  #trim(): void {
    if (this.#bytes <= this.#limits.exchangeBytes && this.#exchanges <= this.#limits.exchanges) {
      return;
    }
    for (const peer of this.#byKey.values()) {
      for (const [id, exchange] of peer.exchanges ?? []) {
        if (this.#bytes <= this.#limits.exchangeBytes * 0.9 && this.#exchanges <= this.#limits.exchanges * 0.9) {
          return;
        }
        if (exchange.answer !== null) {
          this.#drop(peer, id, exchange);
        }
      }
    }
  }

  #drop(peer: Peer, id: number, exchange: Exchange): void {
    peer.exchanges?.delete(id);
    this.#exchanges -= 1;
    this.#bytes -= exchange.bytes;
    exchange.bytes = 0;
    exchange.gone = true;
    if (peer.exchanges?.size === 0) {
      peer.exchanges = null;
    }
  }

  #forget(peer: Peer): void {
    for (const [id, exchange] of peer.exchanges ?? []) {
      this.#drop(peer, id, exchange);
    }
    this.#byKey.delete(peer.key);
    this.#evicted(peer);
  }
}

/** FNV-1a. */
export function checksum(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < bytes.length; index += 1) {
    hash = Math.imul(hash ^ (bytes[index] as number), 0x01000193);
  }
  return hash >>> 0;
}
