// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "./error.ts";

declare const brand: unique symbol;
/** A length of time in milliseconds. */
export type Millis = number & { readonly [brand]: "Millis" };
/** A moment: milliseconds since 1970-01-01T00:00:00Z, from a driver's clock. */
export type Instant = number & { readonly [brand]: "Instant" };

export const Milliseconds = (n: number): Millis => n as Millis;
export const Seconds = (n: number): Millis => (n * 1_000) as Millis;
export const Minutes = (n: number): Millis => (n * 60_000) as Millis;
export const Hours = (n: number): Millis => (n * 3_600_000) as Millis;
export const Days = (n: number): Millis => (n * 86_400_000) as Millis;

export const instant = (n: number): Instant => n as Instant;
export const after = (at: Instant, delay: Millis): Instant => (at + delay) as Instant;
export const since = (now: Instant, then: Instant): Millis => (now - then) as Millis;

const units: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const duration = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/;

/** Reads `250ms`, `30s`, `15m`, `1.5h` or `2d`. Throws `time/duration` naming the text. */
export function parseDuration(text: string): Millis {
  const match = duration.exec(text.trim());
  if (match === null) {
    throw new CoalmineError("time/duration", `${JSON.stringify(text)} is not a duration: write 30s, 15m, 24h or 2d`);
  }
  return Math.round(Number(match[1]) * (units[match[2] as string] as number)) as Millis;
}

/** Writes a duration for people: two units at most, `1d 4h`, `12m 30s`, `0s`. */
export function formatDuration(length: Millis): string {
  const parts: string[] = [];
  let rest = Math.max(0, Math.round(length / 1_000));
  for (const [unit, seconds] of [["d", 86_400], ["h", 3_600], ["m", 60], ["s", 1]] as const) {
    const count = Math.floor(rest / seconds);
    if (count > 0 && parts.length < 2) {
      parts.push(`${count}${unit}`);
    }
    rest -= count * seconds;
  }
  return parts.length === 0 ? "0s" : parts.join(" ");
}
