// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "@coalmine/core";

/** What the command's exit code says (docs: commands). */
export const exitCodes = {
  /** Done, or verdict pass. */
  done: 0,
  /** Verdict fail, halted, or an expectation not met. */
  failed: 1,
  /** Inconclusive, or on hold. */
  inconclusive: 2,
  /** Bad input or usage. */
  usage: 3,
  /** The environment: cannot connect, a missing tool. */
  environment: 4,
  /** A bug of ours. */
  bug: 70,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** Trouble with what the caller gave: exit 3. */
export function badUsage(message: string, cause?: unknown): CoalmineError {
  return new CoalmineError("cli/usage", message, { cause });
}

/** Trouble with what is around: exit 4. */
export function badEnvironment(message: string, cause?: unknown): CoalmineError {
  return new CoalmineError("cli/environment", message, { cause, retry: "later" });
}

/** Trouble instead of an import that found no package, which a clone has after a pull until `npm ci`; else undefined. */
export function uninstalled(error: unknown): CoalmineError | undefined {
  const found = error instanceof Error && "code" in error && error.code === "ERR_MODULE_NOT_FOUND" ? /Cannot find package '([^']+)'/.exec(error.message) : null;
  return found === null ? undefined : badEnvironment(`the package ${String(found[1])} is not installed: run "npm ci" in the repository, then try again`, error);
}

export function isTrouble(error: unknown): error is CoalmineError {
  return error instanceof CoalmineError;
}

const environmentAreas = new Set(["store", "link", "mqtt", "broker"]);

/** The same trouble, with the file it is about named first. */
export function about(file: string, error: unknown): unknown {
  if (!(error instanceof CoalmineError) || error.message.includes(file) || error.retry === "later") {
    return error;
  }
  return new CoalmineError(error.code, `${file}: ${error.message}`, { cause: error });
}

/** 4 for what may work another time or place, 3 for what was asked wrongly. */
export function exitCodeOf(error: CoalmineError): ExitCode {
  if (error.code === "api/bug") {
    return exitCodes.bug;
  }
  if (error.code === "link/bad-url") {
    return exitCodes.usage;
  }
  const area = error.code.split("/")[0] ?? "";
  return error.retry === "later" || environmentAreas.has(area) ? exitCodes.environment : exitCodes.usage;
}
