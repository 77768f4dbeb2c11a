// SPDX-License-Identifier: Apache-2.0
import { hash } from "node:crypto";
import type { LogEntry } from "@coalmine/orchestrator";
import { CanonicalWriter } from "./canonical.ts";

/** The chain before the first entry. */
export const genesis: Uint8Array = new Uint8Array(32);

const scratch = new CanonicalWriter(4_096);

/**
 * The link of one entry: SHA-256(previous link, epoch, canonical bytes of the entry).
 *
 * An edit changes its own link and a reorder or a gap the next one, so whoever rewrites history must rewrite
 * everything after it (I10). The epoch names the writer (I9).
 */
export function chainLink(previous: Uint8Array, epoch: number, sequence: number, entry: LogEntry): Uint8Array {
  scratch.clear();
  scratch.raw(previous);
  scratch.uint64(epoch);
  scratch.entry(sequence, entry);
  return hash("sha256", scratch.written, "buffer");
}
