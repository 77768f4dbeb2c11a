// SPDX-License-Identifier: Apache-2.0
// Randomness drawn by name, never from a stream: the same (seed, names) give the same number in every run, on every
// transport and in any order, so two worlds that see events in another order still agree on every device.

/** Names what a number is drawn for: `draw(seed, "pump-0042", "jitter", 7)`. Text and numbers are told apart. */
export type DrawName = string | number;

/** Uniform in [0, 1) with 53 random bits. */
export type Draw = (seed: number, ...names: readonly DrawName[]) => number;

/** The 32-bit finalizer of MurmurHash3 (A. Appleby, public domain algorithm): every input bit flips each output bit half the time. */
function finalize(word: number): number {
  let mixed = word;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

const doubles = new Float64Array(1);
const words = new Uint32Array(doubles.buffer);

/**
 * A uniform number in [0, 1) that depends on the seed and the names alone; 53 bits.
 *
 * A fast non-cryptographic hash of our own, in the manner of MurmurHash3: two 32-bit lanes of multiply-rotate rounds over
 * the UTF-16 units of a text or the bits of a number, joined by its finalizer. Tests check uniformity, avalanche and the
 * independence of neighbouring names. Never use it where somebody could profit from guessing.
 *
 * One function with the rounds written out and the lanes in locals: a heartbeat draws four times, and calls or
 * module-level state made it four times as slow.
 */
export const draw: Draw = (seed, ...names) => {
  let a = 0x2545f491;
  let b = 0x6c078965;
  for (let i = -1; i < names.length; i++) {
    const name = i < 0 ? seed : (names[i] as DrawName);
    // Ends a name: its length and type, so ("ab", "c") and ("a", "bc") differ, as do "1" and 1.
    let tail: number;
    if (typeof name === "string") {
      for (let at = 0; at < name.length; at++) {
        a = Math.imul(a ^ name.charCodeAt(at), 0xcc9e2d51);
        a = (a << 15) | (a >>> 17);
        b = (Math.imul(b, 5) + a) | 0;
      }
      tail = (name.length << 2) | 3;
    } else if ((name | 0) === name) {
      a = Math.imul(a ^ name, 0xcc9e2d51);
      a = (a << 15) | (a >>> 17);
      b = (Math.imul(b, 5) + a) | 0;
      tail = 1;
    } else {
      doubles[0] = name;
      a = Math.imul(a ^ (words[0] as number), 0xcc9e2d51);
      a = (a << 15) | (a >>> 17);
      b = Math.imul(b ^ a ^ (words[1] as number), 0x1b873593);
      tail = 2;
    }
    a = Math.imul(a ^ (b >>> 16) ^ tail, 0x85ebca6b);
    a = (a << 13) | (a >>> 19);
    b = Math.imul(b ^ a, 0x27d4eb2f);
    b = (b << 16) | (b >>> 16);
  }
  a = finalize(a ^ Math.imul(b, 0x9e3779b1));
  b = finalize(b + Math.imul(a, 0x9e3779b1));
  return ((a >>> 5) * 67_108_864 + (b >>> 6)) / 9_007_199_254_740_992;
};

/** Exponential with the given mean (any unit): the wait for the next event of a Poisson process. `Infinity` for an infinite mean. */
export function drawExponential(mean: number, seed: number, ...names: readonly DrawName[]): number {
  return mean === 0 ? 0 : -mean * Math.log1p(-draw(seed, ...names));
}

/** Standard normal by Box and Muller (1958), from two draws of the same name. */
export function drawNormal(seed: number, ...names: readonly DrawName[]): number {
  const radius = Math.sqrt(-2 * Math.log1p(-draw(seed, ...names, "radius")));
  return radius * Math.cos(2 * Math.PI * draw(seed, ...names, "angle"));
}

/**
 * Gamma with the given shape and mean 1: the frailty of a device, by which its crash rate is multiplied. Shape 0.3 gives
 * a fleet in which few devices have most crashes. Marsaglia and Tsang, "A simple method for generating gamma variables"
 * (2000), with their correction for shapes below 1.
 */
export function drawGamma(shape: number, seed: number, ...names: readonly DrawName[]): number {
  if (!(shape > 0)) {
    throw new RangeError(`drawGamma: shape ${shape} is not above 0`);
  }
  if (shape < 1) {
    const power = (1 - draw(seed, ...names, "boost")) ** (1 / shape);
    return (drawGamma(shape + 1, seed, ...names) * (shape + 1) * power) / shape;
  }
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (let n = 0; ; n++) {
    const normal = drawNormal(seed, ...names, "gamma", n);
    const v = (1 + c * normal) ** 3;
    const u = 1 - draw(seed, ...names, "accept", n);
    if (v > 0 && Math.log(u) < 0.5 * normal * normal + d - d * v + d * Math.log(v)) {
      return (d * v) / shape;
    }
  }
}

/** Index of one of the weights, each as likely as its share of their sum. */
export function drawWeighted(weights: readonly number[], seed: number, ...names: readonly DrawName[]): number {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (!(total > 0)) {
    throw new RangeError("drawWeighted: no weight is above 0");
  }
  let rest = draw(seed, ...names) * total;
  let last = 0;
  for (const [index, weight] of weights.entries()) {
    if (weight > 0) {
      last = index;
      if (rest < weight) {
        return index;
      }
    }
    rest -= weight;
  }
  return last; // rounding left a sliver above the last weight
}
