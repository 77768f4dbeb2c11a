// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { ago, changeWords, duration, estimateWords, type GateView, groupOf, odds, percent, short, stateWords } from "./words.ts";

const gate = (change: Partial<GateView>): GateView => ({
  gate: "boot-confirmation",
  metric: "boot-confirmation",
  verdict: "inconclusive",
  canary: { devices: 12, events: 0, exposure_h: 0, estimate: 0 },
  control: null,
  bound: "at least 70 %",
  reason: "",
  evidence: { kind: "share", lnEHalt: Math.log(0.4), haltAt: Math.log(20), lnEPass: Math.log(3), passAt: Math.log(20), margin: 0.15, effect: { estimate: 0, lower: null, upper: null } },
  ...change,
});

describe("numbers", () => {
  test("have three digits and their unit", () => {
    expect([short(0.123456), short(1234.5), short(0), short(0.00001), short(Number.POSITIVE_INFINITY)]).toEqual(["0.123", "1,230", "0", "1.0e-5", "unbounded"]);
    expect([percent(0.005), percent(1)]).toEqual(["0.5 %", "100 %"]);
    expect([estimateWords("rate", 0.5), estimateWords("share", 0.5), estimateWords("mean", 12), estimateWords("mean", null)]).toEqual(["0.5 / device-day", "50 %", "12", "–"]);
  });

  test("of evidence are odds, with powers of ten where they are large", () => {
    expect([odds(Math.log(0.37)), odds(Math.log(20)), odds(Math.log(160)), odds(22.37), odds(-50)]).toEqual(["0.37", "20", "160", "5.2 × 10⁹", "under 0.0001"]);
  });
});

describe("times", () => {
  test("are the two largest units", () => {
    expect([0, 45_000, 90_000, 3_600_000, 5_400_000, 183_600_000].map(duration)).toEqual(["0 s", "45 s", "1 min", "1 h", "1 h 30 min", "2 d 3 h"]);
  });

  test("are counted by the orchestrator's clock, whatever the browser's says", () => {
    expect(ago("2026-01-01T00:00:00Z", "2026-01-01T00:12:00Z")).toBe("12 min ago");
    expect(ago("2026-01-01T00:00:05Z", "2026-01-01T00:00:00Z")).toBe("just now");
  });
});

describe("a gate", () => {
  test("says what would change its verdict, with how far it is from it", () => {
    expect(changeWords(gate({}))).toEqual([
      "More trouble on canaries than on controls would halt: evidence of harm 0.4 of the 20 that halts.",
      "More devices or hours without trouble would pass: evidence that it is harmless 3 of the 20 that passes (excluding a failure share of 15 %).",
    ]);
    expect(changeWords(gate({ verdict: "pass" }))).toEqual(["New harm would: evidence of harm 0.4 of the 20 that halts."]);
    expect(changeWords(gate({ verdict: "fail" })).join(" ")).toMatch(/Nothing the devices still say takes it back.*override it by resuming/);
    const { evidence: _, ...fixed } = gate({ metric: "crash-free-devices" });
    expect(changeWords(fixed)).toEqual(["It fails below its bound (at least 70 %), and passes when enough devices have shown it."]);
  });
});

test("every state of the machine has its words; one that is new counts as waiting", async () => {
  const { assignmentStates } = await import("@coalmine/core");
  expect(Object.keys(stateWords).sort()).toEqual([...assignmentStates].sort());
  expect(groupOf("unheard-of")).toBe("waiting");
});
