// SPDX-License-Identifier: Apache-2.0
import fc from "fast-check";
import { expect, test } from "vitest";
import { hazardRatio, addToLikelihood, emptyLikelihood, riskBounds, riskEvents, type RiskEvent, type Subject } from "./index.ts";

/** The rule read literally: every device looked at for every event. */
function literally(subjects: readonly Subject[], quiet: number): RiskEvent[] {
  const crashes = subjects
    .flatMap((s) => s.events.filter((at) => at >= s.enter && (s.exit === null || at <= s.exit)).map((at) => ({ at, s })))
    .sort((a, b) => a.at - b.at || (a.s.id < b.s.id ? -1 : 1));
  const last = new Map<Subject, number>();
  const episodes = new Map<Subject, number>();
  const out: RiskEvent[] = [];
  for (const { at, s } of crashes) {
    const atRisk = (d: Subject): boolean =>
      d.enter <= at && (d.exit === null || at <= d.exit) && (!last.has(d) || at - (last.get(d) as number) >= quiet);
    if (atRisk(s)) {
      const same = subjects.filter((d) => atRisk(d) && (episodes.get(d) ?? 0) === (episodes.get(s) ?? 0));
      out.push([s.canary, same.filter((d) => d.canary === 1).length, same.filter((d) => d.canary === 0).length]);
      episodes.set(s, (episodes.get(s) ?? 0) + 1);
    }
    last.set(s, at);
  }
  return out;
}

const hour = fc.integer({ min: 0, max: 60 });

test("risk sets agree with the rule read literally, ties and censoring included", () => {
  const subject = fc.record({
    canary: fc.constantFrom(0 as const, 1 as const),
    enter: fc.integer({ min: 0, max: 10 }),
    exit: fc.option(hour.map((h) => h + 10), { nil: null }),
    events: fc.uniqueArray(hour, { maxLength: 12 }),
  });
  fc.assert(
    fc.property(fc.array(subject, { minLength: 1, maxLength: 12 }), fc.constantFrom(1, 6, Infinity), (list, quiet) => {
      const subjects = list.map((s, i): Subject => ({ ...s, id: `d${String(i).padStart(2, "0")}` }));
      expect(riskEvents([["s", subjects]], quiet).map((p) => p.event)).toEqual(literally(subjects, quiet));
    }),
    { numRuns: 300 },
  );
});

test("bounds from the likelihood's nodes agree with bounds from the events themselves", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom(0 as const, 1 as const), fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 3000 })), { minLength: 1, maxLength: 200 }),
      (events) => {
        const nodes = emptyLikelihood();
        for (const event of events) addToLikelihood(nodes, event);
        const live = hazardRatio(nodes, 0.05);
        const exact = riskBounds(events, 0.05);
        for (const side of ["lower", "upper"] as const) {
          if (exact[side] === null) expect(live[side]).toBeNull();
          else expect((live[side] as number) / exact[side]).toBeCloseTo(1, 4);
        }
      },
    ),
    { numRuns: 40 },
  );
});
