// SPDX-License-Identifier: Apache-2.0

/** Sequence numbers below the highest that are still told apart, as in OSCORE (RFC 8613 section 7.4). */
export const windowSize = 32;

/** The sequence numbers that one device has used: the highest, and a bit for each of the 32 below it. */
export class ReplayWindow {
  #highest: number;
  #seen = 0xffff_ffff;

  /** @param first a number whose freshness was shown otherwise, by an Echo option; nothing below it is fresh (RFC 8613 appendix B.1.2) */
  constructor(first: number) {
    this.#highest = first;
  }

  get highest(): number {
    return this.#highest;
  }

  /** Takes a number; false when it was used before, or is too old to tell. */
  accept(sequence: number): boolean {
    if (sequence > this.#highest) {
      const shift = sequence - this.#highest;
      this.#seen = shift >= windowSize ? 1 : ((this.#seen << shift) | 1) >>> 0;
      this.#highest = sequence;
      return true;
    }
    const below = this.#highest - sequence;
    if (below >= windowSize) {
      return false;
    }
    const bit = (1 << below) >>> 0;
    if ((this.#seen & bit) !== 0) {
      return false;
    }
    this.#seen = (this.#seen | bit) >>> 0;
    return true;
  }
}
