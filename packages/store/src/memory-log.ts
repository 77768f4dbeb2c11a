// SPDX-License-Identifier: Apache-2.0
import type { DeviceId } from "@coalmine/core";
import { createHash } from "node:crypto";
import type { EventLog, LogEntry, StoredEntry } from "@coalmine/orchestrator";
import { CanonicalWriter } from "./canonical.ts";
import type { Verification } from "./verify.ts";

export interface MemoryEventLogOptions {
  /** Keep entries so that `read` and `verify` see them. Without, a log of millions costs no memory. Default true. */
  readonly keep?: boolean;
}

/** Bytes hashed at a time: one call into the hash costs as much as a kilobyte. */
const BATCH_BYTES = 65_536;

interface Checkpoint {
  readonly sequence: number;
  readonly sha256: string;
}

/**
 * The event log of virtual time: the same entries give the same digest as in a file, and nothing survives the process.
 */
export function memoryEventLog(options: MemoryEventLogOptions = {}): EventLog {
  return new MemoryEventLog(options.keep ?? true);
}

class MemoryEventLog implements EventLog {
  readonly #entries: LogEntry[] | null;
  readonly #hash = createHash("sha256");
  readonly #canonical = new CanonicalWriter(2 * BATCH_BYTES);
  /** Digests along the way, so that `verify` can say where it went wrong. */
  readonly #checkpoints: Checkpoint[] = [];
  readonly #durable = Promise.resolve();
  #length = 0;
  #snapshot: { readonly sequence: number; readonly state: Uint8Array } | null = null;

  constructor(keep: boolean) {
    this.#entries = keep ? [] : null;
  }

  get length(): number {
    return this.#length;
  }

  append(entry: LogEntry): number {
    this.#canonical.entry(this.#length + 1, entry);
    this.#length += 1;
    if (this.#canonical.size >= BATCH_BYTES) {
      this.#flush();
    }
    this.#entries?.push(entry);
    return this.#length;
  }

  durable(): Promise<void> {
    return this.#durable;
  }

  read(after: number): Iterable<StoredEntry> {
    const end = this.#length;
    const entries = this.#entries;
    if (entries === null) {
      if (after < end) {
        throw new Error("this memory log keeps no entries: open it with keep to read them");
      }
      return [];
    }
    return (function* () {
      for (let index = Math.max(0, after); index < end; index += 1) {
        const { at, type, device, body } = entries[index] as LogEntry;
        yield { sequence: index + 1, at, type, device, body };
      }
    })();
  }

  readDevice(device: DeviceId, { after, upTo }: { readonly after: number; readonly upTo: number }): readonly StoredEntry[] {
    const found: StoredEntry[] = [];
    const entries = this.#entries ?? [];
    for (let index = Math.max(0, after); index < Math.min(upTo, entries.length); index += 1) {
      const { at, type, device: of, body } = entries[index] as LogEntry;
      if (of === device) {
        found.push({ sequence: index + 1, at, type, device: of, body });
      }
    }
    return found;
  }

  saveSnapshot(sequence: number, state: Uint8Array): void {
    if (!Number.isSafeInteger(sequence) || sequence < 0 || sequence > this.#length) {
      throw new Error(`snapshot as of entry ${sequence} of a log with ${this.#length}`);
    }
    if (this.#snapshot === null || sequence >= this.#snapshot.sequence) {
      this.#snapshot = { sequence, state: state.slice() };
    }
  }

  loadSnapshot(): { readonly sequence: number; readonly state: Uint8Array } | null {
    return this.#snapshot;
  }

  digest(): { readonly events: number; readonly sha256: string } {
    this.#flush();
    return { events: this.#length, sha256: this.#hash.copy().digest("hex") };
  }

  /** Hashes the kept entries again: finds one that was changed after it was appended. Without entries it verifies none. */
  verify(): Verification {
    if (this.#entries === null) {
      return { ok: true, entries: 0 };
    }
    this.#checkpoint();
    const hash = createHash("sha256");
    const canonical = new CanonicalWriter(2 * BATCH_BYTES);
    let sequence = 0;
    for (const checkpoint of this.#checkpoints) {
      const first = sequence + 1;
      for (; sequence < checkpoint.sequence; sequence += 1) {
        canonical.entry(sequence + 1, this.#entries[sequence] as LogEntry);
      }
      hash.update(canonical.written);
      canonical.clear();
      if (hash.copy().digest("hex") !== checkpoint.sha256) {
        return { ok: false, brokenAt: first, reason: `an entry from ${first} to ${sequence} was changed` };
      }
    }
    return { ok: true, entries: sequence };
  }

  async close(): Promise<void> {}

  #flush(): void {
    if (this.#canonical.size > 0) {
      this.#hash.update(this.#canonical.written);
      this.#canonical.clear();
      if (this.#entries !== null) {
        this.#checkpoint();
      }
    }
  }

  #checkpoint(): void {
    if (this.#canonical.size > 0) {
      this.#flush();
    } else if (this.#length > (this.#checkpoints.at(-1)?.sequence ?? 0)) {
      this.#checkpoints.push({ sequence: this.#length, sha256: this.#hash.copy().digest("hex") });
    }
  }
}
