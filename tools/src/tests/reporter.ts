// SPDX-License-Identifier: Apache-2.0
// Counts what Vitest ran, beside the reporter a person reads.
import { readFileSync } from "node:fs";
import type { Reporter, TestCase, TestModule } from "vitest/node";
import type { Skip, Tally, Trouble } from "./summary.ts";

/** Keeps the tally of the last run. A run that was broken off keeps none, so it cannot look like a good one. */
export class TallyReporter implements Reporter {
  #tally: Tally | undefined;

  get tally(): Tally | undefined {
    return this.#tally;
  }

  onTestRunEnd(
    modules: readonly TestModule[],
    unhandled: readonly { readonly message: string }[],
    reason: "passed" | "interrupted" | "failed",
  ): void {
    const skips: Skip[] = [];
    const troubles: Trouble[] = unhandled.map(({ message }) => ({ where: "outside any test", message }));
    let passed = 0;
    let failed = 0;
    for (const module of modules) {
      const file = module.relativeModuleId;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === "passed") {
          passed += 1;
        } else if (state === "failed") {
          failed += 1;
        } else if (state === "skipped") {
          skips.push({ file, name: test.fullName, note: noteOf(test) ?? sayingOf(module) });
        } else {
          troubles.push({ where: file, message: `"${test.fullName}" did not finish` });
        }
      }
      troubles.push(...errorsOf(module));
    }
    if (reason === "interrupted") {
      troubles.push({ where: "the run", message: "was interrupted" });
    }
    this.#tally = { passed, failed, skips, troubles };
  }
}

function noteOf(test: TestCase): string | undefined {
  const result = test.result();
  return result.state === "skipped" ? result.note : undefined;
}

/** What a file prints when it skips by `skipIf`, which takes no note: `console.warn("skipped: REASON")`. */
function sayingOf(module: TestModule): string | undefined {
  try {
    return /console\.\w+\(\s*["`](?:skipped|not run): ([^"`$]+)/.exec(readFileSync(module.moduleId, "utf8"))?.[1]?.trim();
  } catch {
    return undefined;
  }
}

/** Errors of the file itself and of its suites' hooks. */
function errorsOf(module: TestModule): Trouble[] {
  const own = module.errors().map(({ message }) => ({ where: module.relativeModuleId, message }));
  const suites = [...module.children.allSuites()].flatMap((suite) =>
    suite.errors().map(({ message }) => ({ where: `${module.relativeModuleId} > ${suite.fullName}`, message })),
  );
  return [...own, ...suites];
}
