// SPDX-License-Identifier: Apache-2.0

/**
 * The bounds of the wire format. A message outside them is undecodable, and an encoder refuses to write one.
 *
 * They are part of the format: `coalmine.cddl` states the same numbers and a test compares the two. A C reader can size
 * static buffers by them.
 */
export const limits = {
  /** Version of the format: the first pair of every message. */
  version: 1,

  /** Bytes of any message but a block answer. Checked before the first byte is looked at. */
  message: 8_192,
  /** Bytes of any report but a log chunk. */
  report: 4_096,
  /** Bytes of a block answer: its data and the envelope around it. */
  blockAnswer: 16_384 + 64,

  /** Bytes that one block request may ask for. */
  blockData: 16_384,
  /** Bytes of log or coredump in one report. */
  logData: 4_096,

  hash: 32,
  buildIdMin: 4,
  buildIdMax: 32,
  /** Leading bytes of an artifact's digest in a block request. */
  digestPrefix: 8,

  /** Entries of `attributes` and of `metrics`. */
  entries: 16,
  /** Characters of an attribute's or a metric's name. */
  name: 32,
  /** Characters of an attribute's value. */
  value: 64,
  /** Characters of a board, a hardware revision, a partition-map fingerprint. */
  hardware: 64,
  /** Characters of a version. */
  versionText: 32,
  /** Characters of a release id. */
  release: 64,
  /** Characters of a result's or a crash's reason. */
  reason: 128,

  /** Counts, sizes and seconds: what a `uint32_t` holds. */
  uint32: 4_294_967_295,
  /** Offer numbers and addresses: what JavaScript counts exactly; a `uint64_t` in C. */
  safe: Number.MAX_SAFE_INTEGER,
} as const;

const nameText = /^[A-Za-z][A-Za-z0-9._-]{0,31}$/;
const valueText = /^[ -~]{0,64}$/;

/** True for a name that an attribute or a metric may have: a letter, then at most 31 of `A-Z a-z 0-9 . _ -`. */
export function isFactName(text: string): boolean {
  return nameText.test(text);
}

/** True for a text that an attribute may carry: at most 64 printable ASCII characters. */
export function isAttributeValue(text: string): boolean {
  return valueText.test(text);
}
