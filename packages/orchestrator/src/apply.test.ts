// SPDX-License-Identifier: Apache-2.0
import { after, Hours } from "@coalmine/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { applyRollout, planChanges } from "./apply.ts";
import { Conductor } from "./conductor.ts";
import { planJudge } from "./gates.ts";
import { planFromData } from "./plan-file.ts";
import { aRelease, operator, Speaker, start } from "./testing/build.ts";

const plan = (change: Record<string, unknown> = {}) => planFromData({ stages: [4, "100%"], strata: ["hardware"], gates: { "boot-confirmation": null, "crash-rate": null }, ...change });

function fleet(devices = 20) {
  const conductor = new Conductor(planJudge);
  const speakers = Array.from({ length: devices }, (_, index) => new Speaker(`d${index}`));
  for (const speaker of speakers) {
    conductor.report(speaker.id, "virtual", speaker.hello(), start);
  }
  conductor.change(aRelease("1.1.0"), start);
  const apply = (change: Record<string, unknown> = {}, more: { readonly override?: boolean } = {}) =>
    applyRollout(conductor, { release: "1.1.0", plan: plan(change), seed: 1, authority: operator, ...more }, after(start, Hours(1)));
  return { conductor, speakers, apply };
}

describe("applying a plan", () => {
  test("starts once, and again changes nothing: no entry, no effect, however often", () => {
    const { conductor, apply } = fleet();
    const first = apply();
    expect(first.applied).toMatchObject({ action: "started", rollout: "r1" });
    expect(first.outcome.entries.length).toBeGreaterThan(0);
    for (let i = 0; i < 3; i += 1) {
      const again = apply();
      expect(again.applied).toMatchObject({ action: "unchanged", rollout: "r1", against: { status: "running", changes: [] } });
      expect(again.outcome).toEqual({ entries: [], effects: [] });
    }
    expect(conductor.state.rollouts.size).toBe(1);
  });

  test("another plan is refused while it runs, and the message names what differs", () => {
    const { conductor, apply } = fleet();
    apply();
    expect(() => apply({ soak: "48h" })).toThrow(/rollout r1 runs with another plan: soak\.min, soak\.max differ; a plan is frozen while it runs: hold or halt/);
    expect(conductor.rollout("r1" as never).status).toBe("running");
  });

  test("R32: after a halt a changed plan is the next revision: the old rollout ends, who reverted is left out, and the log tells both", () => {
    const { conductor, speakers, apply } = fleet();
    apply();
    const canary = conductor.rollout("r1" as never).members.find((member) => member.stage === 0);
    const speaker = speakers.find((one) => one.id === canary?.device) as Speaker;
    const at = after(start, Hours(2));
    conductor.tick(at);
    speaker.running = "1.1.0";
    speaker.reboot();
    conductor.report(speaker.id, "virtual", speaker.hello(), at);
    conductor.order("r1" as never, { kind: "halt", authority: operator }, at);
    expect(apply().applied.action).toBe("unchanged");
    const revised = apply({ soak: "48h" });
    expect(revised.applied).toMatchObject({ action: "revised", rollout: "r2", replaces: "r1", against: { status: "halted" } });
    expect(conductor.rollout("r1" as never).status).toBe("aborted");
    const members = conductor.rollout("r2" as never).members.map((member) => member.device);
    expect(members).toHaveLength(19);
    expect(members).not.toContain(speaker.id);
    expect(revised.outcome.entries.map((entry) => entry.type).filter((type) => type === "aborted" || type === "rollout-started")).toEqual(["aborted", "rollout-started"]);
    expect(new TextDecoder().decode(revised.outcome.entries.find((entry) => entry.type === "aborted")?.body)).toContain("replaced by the next revision of its plan (soak.min, soak.max): test");
    expect(apply({ soak: "48h" }).applied).toMatchObject({ action: "unchanged", rollout: "r2" });
  });

  test("what a gate halted is barred: the next revision needs an override, and a refusal leaves the old rollout as it was", () => {
    const { conductor, apply } = fleet();
    apply();
    conductor.order("r1" as never, { kind: "halt", authority: operator }, start);
    conductor.change({ type: "release-barred", release: "1.1.0" as never, authority: { by: "coalmine", reason: "halted by crash-rate" } }, start);
    expect(() => apply({ soak: "48h" })).toThrow(/release 1\.1\.0 is barred: halted by crash-rate/);
    expect(() => apply({ soak: "48h", stages: [20, "100%"] }, { override: true })).toThrow(/would be empty/);
    expect(conductor.rollout("r1" as never).status).toBe("halted");
    expect(apply({ soak: "48h" }, { override: true }).applied.action).toBe("revised");
    expect(conductor.state.releases.get("1.1.0" as never)?.barred).toBeNull();
  });
});

test("two plans differ in the fields that were changed, and in no other", () => {
  const changes = fc.record(
    {
      soak: fc.constantFrom("12h", "48h"),
      alpha: fc.constantFrom("1%", "10%"),
      stages: fc.constantFrom([5, "100%"], [4, "50%", "100%"]),
      gates: fc.constantFrom({ "boot-confirmation": { min: "99%" }, "crash-rate": null }, { "crash-rate": null }),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(changes, (change) => {
      const found = planChanges(plan(), plan(change));
      const touched = new Set(found.map(({ field }) => field.replace(/\..*/, "")));
      expect(touched).toEqual(new Set(Object.keys(change)));
      expect(found.every(({ runs, would }) => runs !== would)).toBe(true);
      // Seen from the other side, the same fields the other way round.
      const lines = (list: typeof found, turned: boolean): string[] => list.map(({ field, runs, would }) => JSON.stringify(turned ? [field, would, runs] : [field, runs, would])).sort();
      expect(lines(planChanges(plan(change), plan()), true)).toEqual(lines(found, false));
      expect(planChanges(plan(change), plan(change))).toEqual([]);
    }),
  );
});
