// SPDX-License-Identifier: Apache-2.0

/** Whether trying the same thing again can help. */
export type Retry = "later" | "never";

/**
 * Trouble in the world: a file, a peer, an operator's input.
 *
 * `code` is stable and starts with its area (`plan/unknown-field`, `link/closed`); the message says what failed,
 * on what, and what to try. Expected outcomes are values, and bugs are plain `Error`s.
 */
export class CoalmineError extends Error {
  readonly code: string;
  readonly retry: Retry;

  constructor(code: string, message: string, options: { retry?: Retry; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "CoalmineError";
    this.code = code;
    this.retry = options.retry ?? "never";
  }
}

/** Ends a switch over a union: a new member that nobody handles is a type error here. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`);
}

/** Stops the machine when something that must hold does not: a bug of ours, never bad input. */
export function invariant(condition: boolean, name: string): asserts condition {
  if (!condition) {
    throw new Error(`invariant broken: ${name}`);
  }
}
