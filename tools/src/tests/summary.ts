// SPDX-License-Identifier: Apache-2.0
// What a test run came to: counts, and why tests were skipped.

/** One test that did not run. `note` is what it passed to `ctx.skip(note)`. */
export type Skip = { readonly file: string; readonly name: string; readonly note: string | undefined };

/** A file that could not be loaded, a failing hook, an error outside any test: failures no single test shows. */
export type Trouble = { readonly where: string; readonly message: string };

export type Tally = {
  readonly passed: number;
  readonly failed: number;
  readonly skips: readonly Skip[];
  readonly troubles: readonly Trouble[];
};

/** The failures of a run: a trouble counts as one, because it hides tests that never ran. */
export function failures(tally: Tally): number {
  return tally.failed + tally.troubles.length;
}

/** The line CI reads: `N passed, N failed`, and `, N skipped` when there are any. */
export function summaryLine(tally: Tally): string {
  const line = `${tally.passed} passed, ${failures(tally)} failed`;
  return tally.skips.length === 0 ? line : `${line}, ${tally.skips.length} skipped`;
}

/** Skipped tests grouped by reason, one line for each reason. A test without a note is named itself. */
export function skipLines(skips: readonly Skip[]): string[] {
  const groups = new Map<string, Skip[]>();
  for (const skip of skips) {
    const reason = skip.note ?? `no reason given: ${skip.name}`;
    groups.set(reason, [...(groups.get(reason) ?? []), skip]);
  }
  return [...groups].map(([reason, group]) => {
    const files = [...new Set(group.map((skip) => skip.file))].join(", ");
    return `skipped ${group.length}: ${reason} (${files})`;
  });
}
