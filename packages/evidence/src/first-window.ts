// SPDX-License-Identifier: Apache-2.0
// How many canaries got through the first day after their confirmation without an event.

import { lowerBound, type Spell, spellEnd } from "./device-record.ts";
import type { DeviceRecord, EventGateSpec } from "./gate-spec.ts";
import { WINDOW_DEFAULT } from "./gate-spec.ts";

/** Caches beside the state for one event gate; a function of the records alone, in any order. */
export class FirstWindow {
  readonly #kind: EventGateSpec["kind"];
  readonly #window: number;
  readonly #settle: number;
  /** When each canary's window began. */
  readonly #entered = new Map<string, number>();
  /** The same, ascending. */
  readonly #ascending: number[] = [];
  /** Canaries whose window was spoilt by an event, or cut short. */
  readonly #spoilt = new Map<string, number>();

  constructor(spec: EventGateSpec) {
    this.#kind = spec.kind;
    this.#window = spec.window ?? WINDOW_DEFAULT;
    this.#settle = spec.settle ?? 0;
  }

  /** Takes note of a canary's record; `spell` is undefined while it has not confirmed. */
  changed(device: string, spell: Spell | undefined, record: DeviceRecord): void {
    if (this.#kind === "crash" && record.mute === true) return;
    const known = this.#entered.get(device);
    if (known !== spell?.enter) {
      if (known !== undefined) {
        this.#ascending.splice(lowerBound(this.#ascending, known), 1);
        this.#entered.delete(device);
      }
      if (spell !== undefined) {
        this.#ascending.splice(lowerBound(this.#ascending, spell.enter), 0, spell.enter);
        this.#entered.set(device, spell.enter);
      }
    }
    if (spell !== undefined && this.#isSpoilt(spell, record)) this.#spoilt.set(device, spell.enter);
    else this.#spoilt.delete(device);
  }

  /** Canaries whose whole window lies behind and was free of events; pending ones are none (J2). */
  clean(now: number): number {
    const last = now - this.#window - this.#settle;
    let count = lowerBound(this.#ascending, last + 1);
    for (const enter of this.#spoilt.values()) if (enter <= last) count -= 1;
    return count;
  }

  #isSpoilt(spell: Spell, record: DeviceRecord): boolean {
    const until = spell.enter + this.#window;
    const end = spellEnd(spell);
    if (this.#kind === "silence") return end !== null && end < until;
    // Who was silent for a while and came back would have told of its crashes.
    const isBack = end !== null && end === spell.overdue && (record.returnedAt ?? 0) > end && (spell.exit === null || spell.exit >= until);
    if (end !== null && end < until && !isBack) return true;
    const first = record.crashes[lowerBound(record.crashes, spell.enter)];
    return first !== undefined && first < until;
  }
}
