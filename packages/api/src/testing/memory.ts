// SPDX-License-Identifier: Apache-2.0
// Ports of the host in memory, as small as honesty allows.
import type { Digest, Instant } from "@coalmine/core";
import type { ArtifactStore, Clock, EventLog, LogEntry, StoredEntry } from "@coalmine/orchestrator";
import { createHash } from "node:crypto";

export class MemoryLog implements EventLog {
  entries: StoredEntry[] = [];
  /** Set to make the next `durable` fail, as a full disk would. */
  failure: Error | undefined;
  readonly #sums: string[] = [];

  get length(): number {
    return this.entries.length;
  }

  append(entry: LogEntry): number {
    const { at, type, device, body } = entry; // the body may be made when it is read
    const stored = { at, type, device, body, sequence: this.entries.length + 1 };
    this.entries.push(stored);
    this.#sums.push(sum(this.#sums.at(-1) ?? "", stored));
    return stored.sequence;
  }

  async durable(): Promise<void> {
    if (this.failure !== undefined) {
      throw this.failure;
    }
  }

  *read(after: number): Iterable<StoredEntry> {
    const end = this.entries.length;
    for (let index = after; index < end; index += 1) {
      yield this.entries[index] as StoredEntry;
    }
  }

  saveSnapshot(): void {}

  loadSnapshot(): null {
    return null;
  }

  digest(): { events: number; sha256: string } {
    return { events: this.length, sha256: this.#sums.at(-1) ?? "0".repeat(64) };
  }

  verify(): ReturnType<EventLog["verify"]> {
    let link = "";
    for (const [index, entry] of this.entries.entries()) {
      link = sum(link, entry);
      if (link !== this.#sums[index]) {
        return { ok: false, brokenAt: index + 1, reason: "the entry is not what was written" };
      }
    }
    return { ok: true, entries: this.length };
  }

  async close(): Promise<void> {}
}

function sum(before: string, entry: StoredEntry): string {
  return createHash("sha256").update(`${before}\n${entry.sequence} ${entry.at} ${entry.type} ${entry.device}\n`).update(entry.body).digest("hex");
}

export class MemoryArtifacts implements ArtifactStore {
  readonly #files = new Map<Digest, Uint8Array>();

  async put(bytes: Uint8Array): Promise<Digest> {
    const digest = createHash("sha256").update(bytes).digest("hex") as Digest;
    this.#files.set(digest, bytes.slice());
    return digest;
  }

  get(digest: Digest): Uint8Array | null {
    return this.#files.get(digest) ?? null;
  }

  list(): readonly { digest: Digest; size: number }[] {
    return [...this.#files].map(([digest, { length }]) => ({ digest, size: length }));
  }

  async remove(digest: Digest): Promise<void> {
    this.#files.delete(digest);
  }
}

/** A clock that stands still until it is moved. */
export class StillClock implements Clock {
  time = Date.UTC(2026, 0, 1);

  now(): Instant {
    return this.time as Instant;
  }
}
