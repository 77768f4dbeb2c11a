// SPDX-License-Identifier: Apache-2.0
import type { DeviceId } from "@coalmine/core";
import type { DeviceRecord, Door, ProxyHost, Standing } from "@coalmine/orchestrator";
import type { BlockAnswer, BlockRequest } from "@coalmine/protocol";

export interface TakenReport {
  readonly device: DeviceId;
  readonly bytes: Uint8Array;
  readonly door: Door;
}

/**
 * A host without a log: takes reports, answers block requests from one artifact, and can hold its acknowledgements, as a
 * slow disk does.
 */
export class FakeLinkHost implements ProxyHost {
  readonly reports: TakenReport[] = [];
  readonly requests: { readonly device: DeviceId; readonly request: BlockRequest }[] = [];
  readonly undecodables: { readonly device: DeviceId | null; readonly reason: string; readonly size: number }[] = [];
  /** Served by blocks, to every device. */
  artifact: Uint8Array = new Uint8Array(0);
  /** What it remembers of devices, as after a restart. */
  readonly records = new Map<DeviceId, DeviceRecord>();
  readonly standings = new Map<DeviceId, Standing>();
  /** Offers that were ever given, as `device/offer`. */
  readonly offered = new Set<string>();
  /** Rejects reports from now on, as a full disk does. */
  failure: Error | undefined;
  /** Reports rejected. */
  refused = 0;
  #holding = false;
  #held: (() => void)[] = [];
  #watchers: { readonly done: () => boolean; readonly resolve: () => void }[] = [];

  /** Reports taken and not acknowledged yet. */
  get held(): number {
    return this.#held.length;
  }

  /** From now on reports are taken but not acknowledged. */
  hold(): void {
    this.#holding = true;
  }

  /** Acknowledges what is held, oldest first: `count` of them, or all, and then everything that comes. */
  release(count?: number): void {
    this.#holding = count !== undefined;
    for (const acknowledge of this.#held.splice(0, count ?? this.#held.length)) {
      acknowledge();
    }
  }

  /** Resolves once something holds; looked at after each arrival. */
  until(done: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#watchers.push({ done, resolve });
      this.#notify();
    });
  }

  report(device: DeviceId, bytes: Uint8Array, door: Door): Promise<void> {
    if (this.failure !== undefined) {
      this.refused += 1;
      this.#notify();
      return Promise.reject(this.failure);
    }
    this.reports.push({ device, bytes: bytes.slice(), door });
    const kept = this.#holding ? new Promise<void>((resolve) => this.#held.push(resolve)) : Promise.resolve();
    this.#notify();
    return kept;
  }

  block(device: DeviceId, request: BlockRequest): BlockAnswer {
    this.requests.push({ device, request });
    this.#notify();
    const { request: number, offset, length } = request;
    return offset < this.artifact.length
      ? { kind: "block", request: number, offset, data: this.artifact.subarray(offset, offset + length) }
      : { kind: "refused", request: number, reason: "range" };
  }

  known(device: DeviceId): DeviceRecord | undefined {
    return this.records.get(device);
  }

  standing(device: DeviceId): Standing | undefined {
    return this.standings.get(device);
  }

  wasOffered(device: DeviceId, offer: number): boolean {
    return this.offered.has(`${device}/${offer}`);
  }

  undecodable(device: DeviceId | null, reason: string, size: number): void {
    this.undecodables.push({ device, reason, size });
    this.#notify();
  }

  #notify(): void {
    for (const watcher of this.#watchers.filter(({ done }) => done())) {
      this.#watchers.splice(this.#watchers.indexOf(watcher), 1);
      watcher.resolve();
    }
  }
}
