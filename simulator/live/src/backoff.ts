// SPDX-License-Identifier: Apache-2.0
import { draw } from "@coalmine/world";

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
  return 20 + draw(seed, device, "reconnect", attempt) * ceiling;
}
