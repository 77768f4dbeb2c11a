// SPDX-License-Identifier: Apache-2.0
import type { Instant } from "./time.ts";

/** A token bucket as plain data: at most `perMinute` takes in any 60 s, however the calls fall (R10). */
export interface Pace {
  readonly perMinute: number;
  tokens: number;
  at: Instant;
}

const burst = (perMinute: number): number => Math.max(1, Math.floor(perMinute / 60));
/** Burst and refill together never exceed the cap in a window of a minute. */
const refill = (perMinute: number): number => perMinute - (burst(perMinute) - 1);

export function newPace(perMinute: number, at: Instant): Pace {
  return { perMinute, tokens: burst(perMinute), at };
}

/** Takes one token if there is one. */
export function take(pace: Pace, now: Instant): boolean {
  if (now > pace.at) {
    const gained = ((now - pace.at) / 60_000) * refill(pace.perMinute);
    pace.tokens = Math.min(burst(pace.perMinute), pace.tokens + gained);
    pace.at = now;
  }
  if (pace.tokens < 1 - 1e-9) {
    return false;
  }
  pace.tokens -= 1;
  return true;
}
