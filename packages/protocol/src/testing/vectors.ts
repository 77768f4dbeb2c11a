// SPDX-License-Identifier: Apache-2.0
import { toHex } from "./hex.ts";
import { malformed } from "./malformed.ts";
import { codecs, samples, type MessageType } from "./messages.ts";

const files: Record<string, readonly MessageType[]> = {
  "report.json": ["report"],
  "command.json": ["command"],
  "block.json": ["block-request", "block-answer"],
};

/**
 * The golden vectors that every implementation of the protocol is tested against, as text by file name.
 *
 * `report.json`, `command.json` and `block.json` hold `{name, type, hex, value}`: `hex` decodes to `value` and `value`
 * encodes to `hex`. In `value` a byte string is `{"bytes": "hex"}`; `type` is the rule of coalmine.cddl. `malformed.json`
 * holds `{name, type, hex, reason, offset}`: a decoder must refuse `hex`; the reason is that of the TypeScript decoder.
 */
export function goldenVectors(): ReadonlyMap<string, string> {
  const written = new Map<string, string>();
  for (const [file, types] of Object.entries(files)) {
    const vectors = samples
      .filter((sample) => types.includes(sample.type))
      .map(({ name, type, value }) => ({ name, type, hex: toHex(codecs[type].encode(value)), value: bytesToHex(value) }));
    written.set(file, lines(vectors));
  }
  // Oversized ones are left out: their length is the point, not their content, and they are tests of the decoders.
  const refused = malformed
    .filter(({ bytes }) => bytes.length <= 256)
    .map(({ name, type, bytes, reason, offset }) => ({ name, type, hex: toHex(bytes), reason, offset }));
  written.set("malformed.json", lines(refused));
  return written;
}

/** A plain copy with every byte string as `{bytes: hex}`. */
export function bytesToHex(value: unknown): unknown {
  if (value instanceof Uint8Array) {
    return { bytes: toHex(value) };
  }
  if (typeof value !== "object" || value === null) {
    return value;
  }
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, bytesToHex(inner)]));
}

/** One vector a line: a changed encoding shows as one changed line in a review. */
function lines(vectors: readonly unknown[]): string {
  return `[\n${vectors.map((vector) => `  ${JSON.stringify(vector)}`).join(",\n")}\n]\n`;
}
