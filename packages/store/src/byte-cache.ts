// SPDX-License-Identifier: Apache-2.0

/** Byte arrays by name, least recently used out first once their bytes exceed a budget. The newest always stays. */
export class ByteCache {
  readonly #budget: number;
  /** A Map iterates in insertion order, so the first key is the one used longest ago. */
  readonly #held = new Map<string, Uint8Array>();
  #bytes = 0;

  constructor(budget: number) {
    this.#budget = budget;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(name: string): Uint8Array | undefined {
    const held = this.#held.get(name);
    if (held !== undefined) {
      this.#held.delete(name);
      this.#held.set(name, held);
    }
    return held;
  }

  set(name: string, value: Uint8Array): void {
    this.delete(name);
    this.#held.set(name, value);
    this.#bytes += value.length;
    for (const [oldest] of this.#held) {
      if (this.#bytes <= this.#budget || oldest === name) {
        break;
      }
      this.delete(oldest);
    }
  }

  delete(name: string): void {
    const held = this.#held.get(name);
    if (held !== undefined) {
      this.#held.delete(name);
      this.#bytes -= held.length;
    }
  }
}
