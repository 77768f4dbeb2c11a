// SPDX-License-Identifier: Apache-2.0
import type { RolloutReport } from "../report.ts";
import type { CrashCatalogue } from "./catalogue.ts";

/** Links the crashes of a rollout's report to their issues, where dumps and names are (R31). */
export function linkIssues(report: RolloutReport, catalogue: CrashCatalogue): RolloutReport {
  return {
    ...report,
    crashes: report.crashes.map((group) => {
      const id = catalogue.issueAt({ buildId: group.buildId, reason: group.reason, pc: Number(group.pc), lr: Number(group.lr) });
      const issue = id === undefined ? undefined : catalogue.issue(id);
      return issue === undefined ? group : { ...group, issue: { id: issue.id, signature: issue.signature, dumps: issue.dumps } };
    }),
  };
}
