// SPDX-License-Identifier: Apache-2.0
// Parsers of option values. A bad value is a usage error that names the option.
import { InvalidArgumentError } from "commander";

/** A whole number from `min` to `max`. */
export function whole(min: number, max = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = /^(0x[0-9a-fA-F]{1,13}|\d{1,16})$/.test(text) ? Number(text) : Number.NaN;
    if (!Number.isSafeInteger(value) || value < min || value > max) {
      throw new InvalidArgumentError(max === Number.MAX_SAFE_INTEGER ? `Give a whole number of at least ${min}.` : `Give a whole number from ${min} to ${max}.`);
    }
    return value;
  };
}

/** A share of datagrams that may get lost: `5%` or `0.05`, up to a half. */
export function lossShare(text: string): number {
  const value = text.endsWith("%") ? Number(text.slice(0, -1)) / 100 : Number(text);
  if (!(value >= 0 && value <= 0.5) || /^%?$/.test(text.trim())) {
    throw new InvalidArgumentError("Give a share from 0 to 50%.");
  }
  return value;
}

/** Gathers an option that may stand several times. */
export function gather(text: string, earlier: readonly string[] | undefined): readonly string[] {
  return [...(earlier ?? []), text];
}

/** Gathers `name=value`. */
export function gatherPairs(text: string, earlier: Readonly<Record<string, string>> | undefined): Readonly<Record<string, string>> {
  const at = text.indexOf("=");
  if (at < 1) {
    throw new InvalidArgumentError("Give NAME=VALUE.");
  }
  return { ...earlier, [text.slice(0, at)]: text.slice(at + 1) };
}
