// SPDX-License-Identifier: Apache-2.0
// The seed of a test run. Tests read it from COALMINE_SEED; the same seed gives the same run.

/** Runs are alike unless one asks for another seed: what CI says, a second run says again. */
const usual = 7;

/** Takes `--seed N` or `--seed=N` out of the arguments. */
export function takeSeed(argv: readonly string[]): { readonly seed: string | undefined; readonly rest: readonly string[] } {
  const rest: string[] = [];
  let seed: string | undefined;
  for (let index = 0; index < argv.length; index += 1) {
    const word = argv[index] ?? "";
    if (word === "--seed") {
      index += 1;
      seed = argv[index] ?? "";
    } else if (word.startsWith("--seed=")) {
      seed = word.slice("--seed=".length);
    } else {
      rest.push(word);
    }
  }
  return { seed, rest };
}

/** A seed of 32 bits from what was asked: a number, "random", or nothing. Undefined when it is none of these. */
export function seedFrom(asked: string | undefined): number | undefined {
  if (asked === undefined) {
    return usual;
  }
  if (asked === "random") {
    return Math.floor(Math.random() * 2 ** 32);
  }
  const seed = /^\d{1,10}$/.test(asked) ? Number(asked) : Number.NaN;
  return seed < 2 ** 32 ? seed : undefined;
}
