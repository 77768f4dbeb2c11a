// SPDX-License-Identifier: Apache-2.0
// The stratified sampler (evidence.md 5): exact integer arithmetic, so every implementation picks the same devices.

import { hash } from "node:crypto";
import { compareCodePoints } from "./order.ts";

interface Cell {
  readonly key: string;
  readonly size: bigint;
  readonly base: bigint;
}

/** Larger strata first, then key in code-point order. */
function bySize(a: Cell, b: Cell): number {
  return a.size === b.size ? compareCodePoints(a.key, b.key) : a.size > b.size ? -1 : 1;
}

/**
 * Splits `n` devices over strata: a minimum each, the rest in proportion, left-overs by largest remainder (evidence.md 5).
 *
 * `fleet` holds the number of devices per stratum; empty strata are left out of the answer, the others appear even with 0.
 */
export function allocate(
  fleet: Readonly<Record<string, number>>,
  options: { readonly n: number; readonly minPerStratum: number },
): Record<string, number> {
  const cells: Cell[] = Object.entries(fleet)
    .filter(([, size]) => size > 0)
    .map(([key, size]) => ({ key, size: BigInt(size), base: BigInt(Math.min(options.minPerStratum, size)) }))
    .sort(bySize);
  const taken = new Map<string, bigint>(cells.map((cell) => [cell.key, 0n]));
  const total = cells.reduce((sum, cell) => sum + cell.size, 0n);
  const wanted = BigInt(Math.max(0, options.n));
  const n = wanted < total ? wanted : total;
  if (n < cells.reduce((sum, cell) => sum + cell.base, 0n)) spendInRounds(cells, n, taken);
  else spendInProportion(cells, n, total, taken);
  return Object.fromEntries(
    [...taken].sort(([a], [b]) => compareCodePoints(a, b)).map(([key, count]) => [key, Number(count)]),
  );
}

/** Too few devices for every minimum: rounds over strata by size, one device each up to the minimum. */
function spendInRounds(cells: readonly Cell[], n: bigint, taken: Map<string, bigint>): void {
  let left = n;
  while (left > 0n) {
    for (const cell of cells) {
      const have = taken.get(cell.key) as bigint;
      if (left === 0n || have >= cell.base) continue;
      taken.set(cell.key, have + 1n);
      left -= 1n;
    }
  }
}

function spendInProportion(cells: readonly Cell[], n: bigint, total: bigint, taken: Map<string, bigint>): void {
  let free = [...cells];
  let left = n;
  let weight = total;
  for (;;) {
    const short = free.filter((cell) => left * cell.size < cell.base * weight);
    if (short.length === 0) break;
    for (const cell of short) taken.set(cell.key, cell.base);
    free = free.filter((cell) => !short.includes(cell));
    left -= short.reduce((sum, cell) => sum + cell.base, 0n);
    weight -= short.reduce((sum, cell) => sum + cell.size, 0n);
  }
  if (free.length === 0) return;
  let spent = 0n;
  for (const cell of free) {
    const share = (left * cell.size) / weight;
    taken.set(cell.key, share);
    spent += share;
  }
  const byRemainder = [...free].sort((a, b) => {
    const x = (left * a.size) % weight;
    const y = (left * b.size) % weight;
    return x === y ? bySize(a, b) : x > y ? -1 : 1;
  });
  for (const cell of byRemainder.slice(0, Number(left - spent))) {
    taken.set(cell.key, (taken.get(cell.key) as bigint) + 1n);
  }
}

/** Devices by ascending lower-case hex SHA-256 of the UTF-8 string `seed:deviceId`: seeded, reproducible, and blind to the id. */
export function hashOrder(seed: string, ids: readonly string[]): string[] {
  return ids
    .map((id) => ({ id, key: hash("sha256", `${seed}:${id}`, "hex") }))
    .sort((a, b) => (a.key === b.key ? compareCodePoints(a.id, b.id) : a.key < b.key ? -1 : 1))
    .map(({ id }) => id);
}

/** A device and the stratum it belongs to. */
export interface Member {
  readonly id: string;
  readonly stratum: string;
}

/** A drawn canary and its controls, both in hash order within strata. */
export interface Draw {
  readonly canary: readonly string[];
  readonly control: readonly string[];
}

/**
 * Draws `canaries` devices by {@link allocate} and {@link hashOrder}, then controls with the same sampler and seed from the devices that follow.
 *
 * Deterministic in (members, seed). An empty canary is the caller's error to refuse (R7).
 */
export function drawStratified(
  members: readonly Member[],
  options: { readonly seed: string; readonly canaries: number; readonly controls: number; readonly minPerStratum: number },
): Draw {
  const strata = new Map<string, string[]>();
  for (const { id, stratum } of members) {
    const ids = strata.get(stratum);
    if (ids === undefined) strata.set(stratum, [id]);
    else ids.push(id);
  }
  for (const [stratum, ids] of strata) strata.set(stratum, hashOrder(options.seed, ids));
  const take = (n: number, from: Map<string, string[]>): string[] => {
    const sizes = Object.fromEntries([...from].map(([stratum, ids]) => [stratum, ids.length]));
    const counts = allocate(sizes, { n, minPerStratum: options.minPerStratum });
    return Object.entries(counts).flatMap(([stratum, count]) => (from.get(stratum) as string[]).splice(0, count));
  };
  const canary = take(options.canaries, strata);
  return { canary, control: take(options.controls, strata) };
}
