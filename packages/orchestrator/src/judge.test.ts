// SPDX-License-Identifier: Apache-2.0
import { type Assignment, type DeviceId, Hours, instant, type JudgeContext, Minutes, type Observation } from "@coalmine/core";
import { expect, test } from "vitest";
import { planJudge } from "./gates.ts";
import { boundJudge } from "./judge.ts";
import { planFromData } from "./plan-file.ts";

const start = { at: instant(0), seed: "7" };
const plan = planFromData({ stages: [12, "100%"], gates: { "crash-free-devices": { min: "70%" } } });
const member = (index: number): Assignment => ({
  device: `d${index}` as DeviceId,
  stage: 0,
  stratum: "revA",
  hardware: "revA",
  connectivity: "wifi",
  control: null,
  state: "offered",
  since: start.at,
  offer: index + 1,
  offeredAt: start.at,
  startedAt: null,
  confirmedAt: null,
  heardAt: start.at,
  interval: Minutes(5),
  crashes: 0,
  silent: false,
  way: "download",
  swapBack: false,
  keeps: false,
  swapBackFailed: false,
  ready: true,
  reason: "",
});
const context: JudgeContext = {
  now: start.at,
  stage: 0,
  openedAt: start.at,
  size: 12,
  settled: 12,
  soakMin: Hours(1),
  soakMax: Hours(6),
  target: 12,
  minDevices: 1,
  representative: "yes",
  overrides: [],
};

test("a crash on trial, one before a late confirmation and one after it each take one device from the crash-free ones", () => {
  const members = Array.from({ length: 12 }, (_, index) => member(index));
  const state = boundJudge.init(plan, members, start);
  const tell = (index: number, observation: Observation): void => {
    const one = members[index] as Assignment;
    if (observation.kind === "confirmed") {
      one.confirmedAt = start.at;
    }
    boundJudge.observe(state, one, observation, start.at);
  };
  const crash: Observation = { kind: "crash", onRelease: true, signature: "x" };
  for (let index = 0; index < 12; index += 1) {
    tell(index, { kind: "started" });
  }
  expect(boundJudge.judge(state, context).gates[0]?.reason).toBe("0 of 12 devices have shown it, 70.0 % are needed");
  tell(0, crash);
  expect(boundJudge.judge(state, context).gates[0]?.reason).toBe("0 of 12 devices have shown it, 70.0 % are needed");
  tell(1, crash);
  for (let index = 1; index < 9; index += 1) {
    tell(index, { kind: "confirmed" });
  }
  expect(boundJudge.judge(state, context).gates[0]?.reason).toBe("7 of 12 devices have shown it, 70.0 % are needed");
  tell(2, crash);
  tell(2, crash);
  expect(boundJudge.judge(state, context).gates[0]?.reason).toBe("6 of 12 devices have shown it, 70.0 % are needed");
});

test("a gate's reason does not begin with the gate's own name: who shows it has said it", () => {
  const weighed = planFromData({ stages: [12, "100%"], gates: { "boot-confirmation": null } });
  const members = Array.from({ length: 12 }, (_, index) => member(index));
  const state = planJudge.init(weighed, members, start);
  for (const one of members) {
    planJudge.observe(state, one, { kind: "started" }, start.at);
    one.startedAt = start.at;
    planJudge.observe(state, one, { kind: "failed", reason: "reset" }, start.at);
  }
  const { verdict, gates } = planJudge.judge(state, context);
  expect(verdict).toMatchObject({ kind: "fail", gate: "boot-confirmation", reason: expect.stringMatching(/^12 of 12 started updates failed/) as string });
  expect(gates[0]?.reason).toMatch(/^12 of 12 started updates failed/);
});
