// SPDX-License-Identifier: Apache-2.0
import { after, Hours, Minutes } from "@coalmine/core";
import type { Hello } from "@coalmine/protocol";
import { expect, test } from "vitest";
import { abilitiesOf, imageEvidenceName, tellingWarnings } from "./abilities.ts";
import { Conductor } from "./conductor.ts";
import { reportHtml } from "./html-report.ts";
import { planJudge } from "./gates.ts";
import { planRollout, startRollout } from "./operations.ts";
import { planFromData } from "./plan-file.ts";
import type { Door } from "./ports.ts";
import { planPower, sizesOf } from "./power.ts";
import { doorsOf } from "./report-doors.ts";
import { reportMarkdown } from "./report-markdown.ts";
import { rolloutReport } from "./report.ts";
import { aRelease, operator, Speaker, start } from "./testing/build.ts";
import type { EventLog } from "./ports.ts";

const doors: readonly (readonly [id: string, door: Door, evidence?: string])[] = [
  ["m0", "mqtt"],
  ["m1", "mqtt"],
  ["c0", "coap"],
  ["s0", "smp"],
  ["g0", "ddi", "version"],
  ["g1", "ddi", "claim"],
];

/** Devices of every door, all of which took the release and stayed. */
function mixed(gates: Record<string, unknown>) {
  const conductor = new Conductor(planJudge);
  const speakers = doors.map(([id, door, evidence]) => {
    const speaker = new Speaker(id);
    const hello = (): void => {
      const said = speaker.hello();
      const body = said.body as Hello;
      conductor.report(speaker.id, door, { ...said, body: { ...body, attributes: { ...body.attributes, ...(evidence === undefined ? {} : { [imageEvidenceName]: evidence }) } } }, at);
    };
    let at = start;
    return {
      speaker,
      door,
      hello: (now: typeof start) => {
        at = now;
        hello();
      },
    };
  });
  for (const { hello } of speakers) {
    hello(start);
  }
  conductor.change(aRelease("1.1.0"), start);
  const plan = planFromData({ stages: ["100%"], strata: ["hardware"], gates, offers: { perMinute: 6_000, jitter: "0s" }, soak: { min: "1h", max: "6h", dutyCycles: 3 } });
  const input = { release: "1.1.0", plan, seed: 7, authority: operator };
  return { conductor, speakers, plan, input };
}

test("a report says of each door how many took part, what came of them, and what such devices cannot tell", async () => {
  const { conductor, speakers, plan, input } = mixed({ "boot-confirmation": {}, "crash-rate": {} });
  const { id } = startRollout(conductor, input, start);
  for (const { speaker, hello } of speakers.slice(0, 5)) {
    speaker.reboot();
    speaker.running = "1.1.0";
    hello(after(start, Minutes(5)));
  }
  const empty = { length: 0, read: () => [] } as unknown as EventLog;
  const report = await rolloutReport(conductor, empty, id, after(start, Hours(1)));
  expect(report.doors.map(({ door, image, devices, exposed, states }) => [door, image, devices, exposed, states])).toEqual([
    ["coap", "hash", 1, 1, { confirmed: 1 }],
    ["ddi", "claim", 1, 0, { offered: 1 }],
    ["ddi", "version", 1, 1, { confirmed: 1 }],
    ["mqtt", "hash", 2, 2, { confirmed: 2 }],
    ["smp", "hash", 1, 1, { confirmed: 1 }],
  ]);
  expect(report.doors.find(({ door }) => door === "mqtt")?.cannotTell).toEqual([]);
  expect(report.doors.find(({ image }) => image === "claim")?.cannotTell).toContain("crashes");
  expect(reportMarkdown(report)).toContain("| ddi | 1 | the device's word | 0 | 1 offered | which image it runs: it is taken at its word, once it was heard again after the update; crashes; why it reset; link uptime; logs and coredumps |");
  expect(reportHtml({ report, plan, series: [], madeAt: "2026-01-01T00:00:00Z" })).toContain("Evidence by door");
  expect(doorsOf(conductor.rollout(id), new Map())).toEqual([]);
});

test("a plan says before it starts which canaries its crash gates do not see, and counts them out of what it can detect", () => {
  const { conductor, plan, input } = mixed({ "boot-confirmation": {}, "crash-rate": {} });
  const membership = planRollout(conductor, input, start);
  expect(membership.warnings).toContain("3 of 6 canaries cannot tell of crashes: crash-rate weighs the other 3");
  expect(membership.members.filter(({ mute }) => mute === true).map(({ device }) => device).sort()).toEqual(["g0", "g1", "s0"]);
  const power = planPower(plan, sizesOf(membership));
  expect(power.lines.map(({ gate, devices }) => [gate, devices])).toEqual(expect.arrayContaining([["boot-confirmation", 6], ["crash-rate", 3]]));
  expect(membership.evidence.all.map(({ door, image, devices }) => [door, image, devices])).toEqual([["coap", "hash", 1], ["ddi", "claim", 1], ["ddi", "version", 1], ["mqtt", "hash", 2], ["smp", "hash", 1]]);

  const gateways = doors.filter(([, door]) => door === "ddi").map(([id]) => conductor.state.devices.get(id as never));
  expect(tellingWarnings(plan, gateways as never)).toEqual([expect.stringContaining("no canary can tell of crashes, so crash-rate will never pass")]);
  expect(tellingWarnings({ ...plan, gates: plan.gates.filter(({ metric }) => metric !== "crash-rate") }, gateways as never)).toEqual([]);
});

test("a fixed bound on crash-free devices counts those that can tell, and holds a stage of none", () => {
  const { conductor, speakers, input } = mixed({ "crash-free-devices": { min: 0.9 } });
  const { id } = startRollout(conductor, input, start);
  const rollout = conductor.rollout(id);
  for (const { speaker, hello } of speakers) {
    speaker.reboot();
    speaker.running = "1.1.0";
    hello(after(start, Minutes(5)));
  }
  const reading = () => conductor.judge.judge(rollout.evidence, { now: after(start, Hours(2)), stage: 0, openedAt: start, size: 6, settled: 6, soakMin: Hours(1), soakMax: Hours(6), target: 6, minDevices: 1, representative: "yes", overrides: [] }).gates[0];
  expect(reading()).toMatchObject({ verdict: "pass", canary: { devices: 3 }, reason: "100.0 % of 3" });
  conductor.report("m0" as never, "mqtt", (speakers[0] as (typeof speakers)[number]).speaker.say({ kind: "crash", buildId: new Uint8Array(20), imageHash: Uint8Array.fromHex(aRelease("1.1.0").artifacts[0]?.imageHash as string), reason: "fault", pc: 1, lr: 2, uptime_s: 3 }), after(start, Minutes(9)));
  expect(reading()).toMatchObject({ canary: { devices: 3, events: 1 } });
  expect(abilitiesOf({ door: "mqtt", attributes: {} })).toEqual({ image: "hash", crashes: true, resetCauses: true, linkUptime: true, logs: true });
});
