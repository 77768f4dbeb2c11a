// SPDX-License-Identifier: Apache-2.0
import { Conductor } from "./conductor.ts";
import { planJudge } from "./gates.ts";
import { planRollout } from "./operations.ts";
import { planFromData } from "./plan-file.ts";
import { aRelease, operator, Speaker, start } from "./testing/build.ts";
import { expect, test } from "vitest";

/** A fleet whose devices name their site; so many of each. */
function plannedOver(sites: Readonly<Record<string, number>>, canaries: number) {
  const conductor = new Conductor(planJudge);
  for (const [site, count] of Object.entries(sites)) {
    for (let i = 0; i < count; i += 1) {
      const speaker = new Speaker(`${site}${i}`);
      const hello = speaker.hello();
      conductor.report(speaker.id, "virtual", { ...hello, body: { ...hello.body, attributes: { site } } as never }, start);
    }
  }
  conductor.change(aRelease("1.1.0"), start);
  const plan = planFromData({ stages: [canaries, "50%", "100%"], strata: ["site"], gates: "default" });
  return planRollout(conductor, { release: "1.1.0", plan, seed: 1, authority: operator }, start);
}

test("a canary too small for one device of every stratum is drawn in proportion, when that represents the fleet better", () => {
  const sites = { a: 300, b: 210, c: 150, d: 105, e: 90, f: 50, g: 45, h: 35, i: 15 };
  const { representativeness, warnings } = plannedOver(sites, 10);
  expect(representativeness.verdict).not.toBe("no");
  expect(representativeness.tv).toBeLessThan(0.15);
  expect(warnings).toEqual([]);
  // With room for all of them every stratum has one.
  expect(plannedOver(sites, 60).representativeness).toMatchObject({ uncovered: 0, verdict: "yes" });
});

test("a canary that cannot represent the fleet is a warning that names the size that would", () => {
  const sites = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`s${String.fromCharCode(97 + i)}`, 20]));
  const { representativeness, warnings } = plannedOver(sites, 5);
  expect(representativeness.verdict).toBe("no");
  expect(warnings).toHaveLength(1);
  const size = Number(/a canary of (\d+) devices would do/.exec(warnings[0] as string)?.[1]);
  expect(size).toBeGreaterThan(5);
  expect(plannedOver(sites, size).representativeness.verdict).not.toBe("no");
});

test("controls are shared out so that no stage finds them taken: by the root of its size, five for each canary, all from the last stage", () => {
  const site = (sizes: readonly number[], stages: readonly unknown[]) => {
    const count = sizes.reduce((sum, size) => sum + size, 0);
    const conductor = new Conductor(planJudge);
    for (let i = 0; i < count; i += 1) {
      const speaker = new Speaker(`d${i}`);
      conductor.report(speaker.id, "virtual", speaker.hello(), start);
    }
    conductor.change(aRelease("1.1.0"), start);
    const { members } = planRollout(conductor, { release: "1.1.0", plan: planFromData({ stages, gates: "default" }), seed: 1, authority: operator }, start);
    const last = stages.length - 1;
    expect(members.filter((member) => member.control !== null && member.stage !== last)).toEqual([]);
    return stages.map((_, stage) => members.filter((member) => member.control === stage).length);
  };
  // 500 are left for 10, 90 and 400 canaries: 5 for each of the ten, the rest as 9.5 to 20.
  expect(site([1_000], [10, "10%", "50%", "100%"])).toEqual([50, 144, 306, 0]);
  // Half of the last stage at most: the second stage is to be compared, too.
  expect(site([200], [30, "50%", "100%"])).toEqual([50, 50, 0]);
  // Ten for a canary are enough.
  expect(site([600], [5, "100%"])).toEqual([50, 0]);
});
