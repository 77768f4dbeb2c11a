// SPDX-License-Identifier: Apache-2.0

/** Longest wait between two attempts to connect, in real milliseconds. */
export const backoffMax = 8_000;

/**
 * Real milliseconds before the `attempt`-th attempt to connect again (1, 2, ...): the ceiling doubles from half a
 * second, and the wait is drawn from all of it below the ceiling, so that a herd spreads out (full jitter).
 *
 * Drawn by name: the same seed, device and attempt wait equally long in every run.
 */
export function backoff(seed: number, device: string, attempt: number): number {
  const ceiling = Math.min(backoffMax, 250 * 2 ** Math.min(attempt, 10));
  return 20 + share(`${seed}/${device}/reconnect/${attempt}`) * ceiling;
}

/** A share of one, from a name: FNV-1a with the finisher of MurmurHash3. */
function share(name: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < name.length; index += 1) {
    hash = Math.imul(hash ^ name.charCodeAt(index), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
