// SPDX-License-Identifier: Apache-2.0

/** How one run ended. */
export interface Outcome {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
  readonly numbers: Readonly<Record<string, number | string>>;
}

/** Runs one and gives an outcome in any case. */
export async function outcomeOf(name: string, run: () => Promise<Omit<Outcome, "name">>): Promise<Outcome> {
  try {
    return { name, ...(await run()) };
  } catch (error) {
    return { name, ok: false, detail: error instanceof Error ? error.message : String(error), numbers: {} };
  }
}

/** Seconds since `began`, to a tenth. */
export function since(began: number): number {
  return Math.round((performance.now() - began) / 100) / 10;
}
