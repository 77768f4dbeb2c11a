// SPDX-License-Identifier: Apache-2.0

/** Counts down to a loss of power inside flash work. */
export interface PowerSupply {
  /** Flash operations that still succeed; `Infinity` as a rule. */
  flashLeft: number;
  /** Share of the operation in which power is lost that is carried out, 0 to 1; half when left out. */
  torn?: number | undefined;
}

/** Unwinds flash work when power is lost inside it. */
export class PowerLoss extends Error {}

/** A supply that never fails. */
export function mains(): PowerSupply {
  return { flashLeft: Number.POSITIVE_INFINITY };
}

/**
 * Begins one flash operation of so many write units. Returns how many of them are carried out: all, or fewer when power is lost inside
 * it. The caller then writes those and throws `PowerLoss`.
 */
export function draw(power: PowerSupply, units: number): number {
  if (power.flashLeft > 0) {
    power.flashLeft -= 1;
    return units;
  }
  power.flashLeft = Number.POSITIVE_INFINITY;
  return Math.min(Math.max(0, units - 1), Math.floor(units * (power.torn ?? 0.5)));
}

/** Begins one flash operation that is carried out as a whole or not at all. Throws `PowerLoss`. */
export function spend(power: PowerSupply): void {
  if (draw(power, 1) < 1) {
    throw new PowerLoss();
  }
}
