// SPDX-License-Identifier: Apache-2.0

/** A named stream of pseudo-random numbers: sfc32 (Doty-Humphrey, PractRand), seeded from a text by FNV-1a and mixing. */
export class Stream {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;
  #spare: number | null = null;

  constructor(name: string) {
    const word = (salt: number): number => {
      let h = 0x811c9dc5 ^ salt;
      for (let i = 0; i < name.length; i++) h = Math.imul(h ^ name.charCodeAt(i), 0x01000193);
      h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
      h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
      return h ^ (h >>> 16);
    };
    this.#a = word(0x9e3779b9);
    this.#b = word(0x243f6a88);
    this.#c = word(0xb7e15162);
    for (let i = 0; i < 15; i++) this.#next();
  }

  #next(): number {
    const t = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + t;
    this.#c |= 0;
    return t >>> 0;
  }

  /** Uniform on [0, 1) with 53 bits. */
  uniform(): number {
    return ((this.#next() >>> 5) * 67_108_864 + (this.#next() >>> 6)) / 9_007_199_254_740_992;
  }

  /** Standard exponential. */
  exponential(): number {
    return -Math.log1p(-this.uniform());
  }

  /** Standard normal, Marsaglia's polar method. */
  normal(): number {
    if (this.#spare !== null) {
      const spare = this.#spare;
      this.#spare = null;
      return spare;
    }
    for (;;) {
      // 32 bits are plenty here, and this is the simulation's innermost draw.
      const x = this.#next() / 2_147_483_648 - 1;
      const y = this.#next() / 2_147_483_648 - 1;
      const r = x * x + y * y;
      if (r === 0 || r >= 1) continue;
      const scale = Math.sqrt((-2 * Math.log(r)) / r);
      this.#spare = y * scale;
      return x * scale;
    }
  }

  /** Gamma with the given shape below 1 and mean 1: Marsaglia and Tsang (2000) at shape + 1, then their power boost. */
  gammaMean1(shape: number): number {
    const d = shape + 1 - 1 / 3;
    const c = 1 / Math.sqrt(9 * d);
    for (;;) {
      const x = this.normal();
      const v = (1 + c * x) ** 3;
      if (v <= 0) continue;
      if (Math.log(1 - this.uniform()) < 0.5 * x * x + d - d * v + d * Math.log(v)) {
        return (d * v * (1 - this.uniform()) ** (1 / shape)) / shape;
      }
    }
  }
}
