// SPDX-License-Identifier: Apache-2.0
// Arithmetic on natural logarithms. Evidence spans hundreds of orders of magnitude, so e-values are never exponentiated.

/** ln(1 - e^x) for x <= 0, accurate at both ends (Mächler, "Accurately computing log(1 - exp(-|a|))"). */
export function log1mExp(x: number): number {
  return x > -Math.LN2 ? Math.log(-Math.expm1(x)) : Math.log1p(-Math.exp(x));
}

/** ln(e^x + e^y). */
export function logAddExp(x: number, y: number): number {
  if (x === -Infinity) return y;
  if (y === -Infinity) return x;
  return x > y ? x + Math.log1p(Math.exp(y - x)) : y + Math.log1p(Math.exp(x - y));
}

/** ln(sum of e^x); -Infinity for an empty list. */
export function logSumExp(xs: readonly number[]): number {
  let top = -Infinity;
  for (const x of xs) if (x > top) top = x;
  if (top === -Infinity || top === Infinity) return top;
  let sum = 0;
  for (const x of xs) sum += Math.exp(x - top);
  return top + Math.log(sum);
}

/** ln(mean of e^x): the equal-weight mixture of e-values. */
export function logMeanExp(xs: readonly number[]): number {
  return logSumExp(xs) - Math.log(xs.length);
}

/**
 * The root of a monotone function by bisection, to the last bits of a double.
 *
 * `f` must change sign between `low` and `high`; the caller chooses a scale (log odds, ln ratio) in which that interval is finite.
 */
export function bisect(f: (x: number) => number, low: number, high: number): number {
  const rising = f(high) > 0;
  let a = low;
  let b = high;
  for (let i = 0; i < 200; i++) {
    const mid = (a + b) / 2;
    if (mid <= Math.min(a, b) || mid >= Math.max(a, b)) break;
    if (f(mid) > 0 === rising) b = mid;
    else a = mid;
    if (Math.abs(b - a) <= 1e-15 * Math.max(1, Math.abs(a))) break;
  }
  return (a + b) / 2;
}
