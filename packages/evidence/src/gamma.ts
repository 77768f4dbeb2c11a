// SPDX-License-Identifier: Apache-2.0
// Gamma and beta functions in log space (evidence.md 3.8).

import { log1mExp } from "./logspace.ts";

const HALF_LN_2PI = 0.918938533204672741780329736406;

/**
 * The remainder of Stirling's series, ln Γ(x) - [(x - 1/2) ln x - x + ln(2π)/2], for x >= 10.
 *
 * Bernoulli-number coefficients (Abramowitz and Stegun 6.1.41); the first omitted term is below 3e-17.
 */
function stirlingRemainder(x: number): number {
  const z = 1 / (x * x);
  return (
    (1 / 12 - z * (1 / 360 - z * (1 / 1260 - z * (1 / 1680 - z * (1 / 1188 - z * (691 / 360360 - z / 156)))))) / x
  );
}

/** ln Γ(x) for x > 0: Stirling's series above 10, the recurrence Γ(x + 1) = x Γ(x) below. */
export function lnGamma(x: number): number {
  if (!(x > 0)) return x === 0 ? Infinity : NaN;
  if (x === 1 || x === 2) return 0;
  if (x === Infinity) return Infinity;
  let product = 1;
  let y = x;
  while (y < 10) product *= y++;
  return (y - 0.5) * Math.log(y) - y + HALF_LN_2PI + stirlingRemainder(y) - Math.log(product);
}

/**
 * ln B(a, b) = ln Γ(a) + ln Γ(b) - ln Γ(a + b), without the cancellation of the naive form.
 *
 * With b large the three terms are near b ln b each while the result is near ln b, so Stirling's leading terms are
 * combined by hand (the same algebra as Didonato and Morris, ACM TOMS 708, section on BETALN).
 */
export function lnBeta(a: number, b: number): number {
  const p = Math.min(a, b);
  const q = Math.max(a, b);
  if (!(p > 0)) return p === 0 ? Infinity : NaN;
  if (q < 10) return lnGamma(p) + lnGamma(q) - lnGamma(p + q);
  const sum = p + q;
  const remainders = stirlingRemainder(q) - stirlingRemainder(sum);
  if (p < 10) return lnGamma(p) - (q - 0.5) * Math.log1p(p / q) - p * Math.log(sum) + p + remainders;
  return (
    HALF_LN_2PI + stirlingRemainder(p) + remainders -
    0.5 * Math.log(q) + (p - 0.5) * Math.log(p / sum) - q * Math.log1p(p / q)
  );
}

/** Both tails of a distribution function, as natural logarithms. */
export interface LnTails {
  readonly lower: number;
  readonly upper: number;
}

/** Continued fraction of the incomplete beta function (DLMF 8.17.22), by Lentz's method as modified by Thompson and Barnett. */
function betaFraction(a: number, b: number, x: number): number {
  const tiny = 1e-300;
  const limit = 1000 + 20 * Math.ceil(Math.sqrt(Math.max(a, b)));
  let c = 1;
  let d = 1 - ((a + b) * x) / (a + 1);
  d = 1 / (Math.abs(d) < tiny ? tiny : d);
  let h = d;
  for (let m = 1; m <= limit; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 + even * d;
    d = 1 / (Math.abs(d) < tiny ? tiny : d);
    c = 1 + even / c;
    if (Math.abs(c) < tiny) c = tiny;
    h *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 + odd * d;
    d = 1 / (Math.abs(d) < tiny ? tiny : d);
    c = 1 + odd / c;
    if (Math.abs(c) < tiny) c = tiny;
    const delta = d * c;
    h *= delta;
    if (Math.abs(delta - 1) < 1e-16) break;
  }
  return h;
}

/**
 * ln I_x(a, b) and ln(1 - I_x(a, b)): the regularised incomplete beta function, both tails in log space.
 *
 * The tail on the near side of the mean is summed directly, the other follows by log1mExp, so neither is ever `1 - large`.
 * `y` is 1 - x, given apart where the caller knows it more exactly.
 */
export function lnBetaInc(a: number, b: number, x: number, y: number = 1 - x): LnTails {
  if (x <= 0) return { lower: -Infinity, upper: 0 };
  if (y <= 0) return { lower: 0, upper: -Infinity };
  const lnX = x < 0.5 ? Math.log(x) : Math.log1p(-y);
  const lnY = y < 0.5 ? Math.log(y) : Math.log1p(-x);
  if (b === 1) return { lower: a * lnX, upper: log1mExp(a * lnX) };
  if (a === 1) return { lower: log1mExp(b * lnY), upper: b * lnY };
  const front = a * lnX + b * lnY - lnBeta(a, b);
  if (x <= (a + 1) / (a + b + 2)) {
    const lower = Math.min(0, front - Math.log(a) + Math.log(betaFraction(a, b, x)));
    return { lower, upper: log1mExp(lower) };
  }
  const upper = Math.min(0, front - Math.log(b) + Math.log(betaFraction(b, a, y)));
  return { lower: log1mExp(upper), upper };
}

/** ln P(a, x) and ln Q(a, x): the regularised incomplete gamma function, by its series below a + 1 and Lentz's fraction above (DLMF 8.11.4, 8.9.2). */
export function lnGammaInc(a: number, x: number): LnTails {
  if (x <= 0) return { lower: -Infinity, upper: 0 };
  const front = a * Math.log(x) - x - lnGamma(a);
  if (x < a + 1) {
    let term = 1 / a;
    let sum = term;
    for (let n = 1; n < 100_000; n++) {
      term *= x / (a + n);
      sum += term;
      if (term < sum * 1e-17) break;
    }
    const lower = Math.min(0, front + Math.log(sum));
    return { lower, upper: log1mExp(lower) };
  }
  const tiny = 1e-300;
  let b = x + 1 - a;
  let c = 1 / tiny;
  let d = 1 / b;
  let h = d;
  for (let n = 1; n < 100_000; n++) {
    const an = -n * (n - a);
    b += 2;
    d = an * d + b;
    d = 1 / (Math.abs(d) < tiny ? tiny : d);
    c = b + an / c;
    if (Math.abs(c) < tiny) c = tiny;
    const delta = d * c;
    h *= delta;
    if (Math.abs(delta - 1) < 1e-16) break;
  }
  const upper = Math.min(0, front + Math.log(h));
  return { lower: log1mExp(upper), upper };
}
