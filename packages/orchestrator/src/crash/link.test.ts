// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { crashWords, type RolloutReport } from "../report.ts";
import type { CrashCatalogue, CrashIssue } from "./catalogue.ts";
import { linkIssues } from "./link.ts";

test("a halt report links its crashes to their issues, by name where symbols are known (R31)", () => {
  const group = { signature: "bus fault@2006", buildId: "ab", reason: "bus fault", pc: "0x2006", lr: "0x1153", count: 3, devices: ["a", "b"], first: { device: "a", at: "", uptime_s: 1 } };
  const issue = { id: "0123456789ab", signature: "bus fault / divide_deep / worker", dumps: 2 } as CrashIssue;
  const catalogue = {
    issueAt: ({ buildId, reason, pc, lr }) => (buildId === "ab" && reason === "bus fault" && pc === 0x2006 && lr === 0x1153 ? issue.id : undefined),
    issue: (id) => (id === issue.id ? issue : undefined),
  } satisfies Partial<CrashCatalogue> as unknown as CrashCatalogue;
  const report = { crashes: [group, { ...group, pc: "0x1" }] } as unknown as RolloutReport;
  const [linked, other] = linkIssues(report, catalogue).crashes;
  expect(linked === undefined ? "" : crashWords(linked)).toBe("bus fault / divide_deep / worker (issue 0123456789ab, 2 dumps)");
  expect(other === undefined ? "" : crashWords(other)).toBe("bus fault@2006");
});
