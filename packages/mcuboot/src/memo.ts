// SPDX-License-Identifier: Apache-2.0
import type { BootOptions, BootResult } from "./boot.ts";
import { boot } from "./boot.ts";
import type { BootConfig } from "./config.ts";
import type { Flash } from "./flash.ts";
import type { Sector, SectorPool } from "./sector-pool.ts";

interface Remembered {
  readonly result: BootResult;
  readonly after: readonly Sector[];
}

/**
 * Boots by looking up what the same boot did before.
 *
 * A boot depends on nothing but configuration, flash contents and stored counters. Contents are interned, so devices
 * that update alike share one entry: ten thousand of them cost one boot and as many look-ups. Boots with a planned
 * power cut take the byte path. A test proves both paths equal.
 */
export class BootMemo {
  readonly #entriesMax: number;
  readonly #known = new Map<string, Remembered>();
  #pool: SectorPool | undefined;
  #hits = 0;
  #misses = 0;

  /** Remembers at most this many distinct boots; the oldest are forgotten first. */
  constructor(entriesMax = 20_000) {
    this.#entriesMax = entriesMax;
  }

  get hits(): number {
    return this.#hits;
  }

  get misses(): number {
    return this.#misses;
  }

  /** Like `boot`; every flash given to one memo must use the same sector pool. */
  boot(config: BootConfig, flash: Flash, options: BootOptions = {}): BootResult {
    if (options.cutBefore !== undefined) {
      return boot(config, flash, options);
    }
    this.#pool ??= flash.pool;
    if (this.#pool !== flash.pool) {
      throw new Error("BootMemo: flashes of different sector pools cannot share results");
    }
    const counters = options.nv ?? [];
    const name = `${config.id}|${options.profile ?? ""}|${counters.join(",")}|${geometryName(flash)}|${flash.identity()}`;
    const known = this.#known.get(name);
    if (known !== undefined) {
      this.#hits++;
      flash.restore(known.after);
      return known.result;
    }
    this.#misses++;
    const result = boot(config, flash, options);
    this.#known.set(name, { result, after: flash.snapshot() });
    if (this.#known.size > this.#entriesMax) {
      for (const oldest of this.#known.keys()) {
        this.#known.delete(oldest);
        break;
      }
    }
    return result;
  }
}

const names = new WeakMap<object, string>();

/** Two flashes with equal sectors may still have other areas or alignments. */
function geometryName(flash: Flash): string {
  let name = names.get(flash.geometry);
  if (name === undefined) {
    name = flash.geometry.areas.map((area) => `${area.name}:${area.id}:${area.off}:${area.size}:${area.align}:${area.sectorSize.length}`).join(";");
    names.set(flash.geometry, name);
  }
  return name;
}
