// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { CoalmineError } from "@coalmine/core";
import { writeDurablySync } from "./durable-file.ts";

/**
 * What the log looked like when it was last opened, closed or snapshotted, kept in a file of its own beside it.
 *
 * The chain proves that a log is consistent with itself; yesterday's copy is. The witness proves that it is not older
 * than what we have seen: a log below its witness was replaced or cut.
 */
export interface Witness {
  readonly epoch: number;
  readonly sequence: number;
  /** Link of the entry `sequence`, lower-case hex. */
  readonly link: string;
}

/** Reads the witness; null when there is none. Throws `store/corrupt-witness`. */
export function readWitness(path: string): Witness | null {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      return null;
    }
    throw error;
  }
  try {
    const { epoch, sequence, link } = JSON.parse(text) as Record<string, unknown>;
    if (typeof epoch === "number" && typeof sequence === "number" && typeof link === "string") {
      return { epoch, sequence, link };
    }
  } catch {
    // Reported below, as any other text that is no witness.
  }
  throw new CoalmineError("store/corrupt-witness", `${path} is not readable; check the log with "audit verify", then delete this file`);
}

export function writeWitness(path: string, witness: Witness): void {
  writeDurablySync(path, new TextEncoder().encode(`${JSON.stringify(witness)}\n`));
}

/** The error for a log that is behind its witness. */
export function rolledBack(log: string, path: string, detail: string): CoalmineError {
  return new CoalmineError(
    "store/rolled-back",
    `${log} is older than what this installation has seen (${detail}): it was replaced by an old copy or cut. ` +
      `Nothing was opened. If you restored a backup on purpose, delete ${path} and start again`,
  );
}
