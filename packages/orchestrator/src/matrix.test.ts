// SPDX-License-Identifier: Apache-2.0
// R42: a migration does not leave its canary stage without a green matrix of its own images and the fleet's versions.
import { after, type Instant, Minutes, type RolloutId } from "@coalmine/core";
import { expect, test } from "vitest";
import { auditLine } from "./audit.ts";
import { readRecord } from "./entry.ts";
import { boundJudge } from "./judge.ts";
import { type MatrixResult } from "./matrix.ts";
import { attestRelease, startRollout } from "./operations.ts";
import { planFromData } from "./plan-file.ts";
import type { LogEntry } from "./ports.ts";
import { replay } from "./replay.ts";
import { readSnapshot, writeSnapshot } from "./snapshot.ts";
import { aConductor, aRelease, hashOf, operator, start } from "./testing/build.ts";

const r1 = "r1" as RolloutId;
const at = (minutes: number): Instant => after(start, Minutes(minutes));
const green: MatrixResult = { ok: true, from: ["1.0.0"], images: [hashOf("1.1.0").toHex()], cells: 15, failed: 0, boards: 160, cuts: 120, seed: 7, failures: [] };

/** A migration in its rollout, whose canaries are well. */
function migrating() {
  const { conductor, speakers, plan, entries } = aConductor({ started: false, devices: 10 });
  const release = { ...aRelease("1.1.0"), release: "m" as never, storage: { minRead: 1, maxRead: 2, writes: 2 }, migration: true };
  const log: LogEntry[] = [...entries, ...conductor.change(release, start).entries];
  log.push(...startRollout(conductor, { release: "m", plan, seed: 7, authority: operator }, start).outcome.entries);
  const live = (from: number, to: number): void => {
    for (let minute = from; minute < to; minute += 1) {
      for (const speaker of speakers) {
        const member = conductor.rollout(r1).members.find((one) => one.device === speaker.id);
        if (member?.state === "offered") {
          speaker.reboot();
          speaker.running = "1.1.0";
          log.push(...conductor.report(speaker.id, "virtual", speaker.hello(), at(minute)).entries);
        }
        if (minute % 5 === 0) {
          log.push(...conductor.report(speaker.id, "virtual", speaker.heartbeat(), at(minute)).entries);
        }
      }
      log.push(...conductor.tick(at(minute)).entries);
    }
  };
  const attest = (matrix: MatrixResult, minute: number): void => {
    log.push(...attestRelease(conductor, { release: "m", matrix, authority: operator }, at(minute)).entries);
  };
  live(1, 120);
  return { conductor, log, live, attest };
}

test("without a matrix it holds when its canaries are well, says why, and nobody else is offered it", () => {
  const { conductor, log } = migrating();
  const rollout = conductor.rollout(r1);
  expect(rollout).toMatchObject({ status: "held", stage: 0, verdict: { kind: "inconclusive", missing: [expect.stringMatching(/^release m is a migration without a migration matrix: run "coalmine migrate test m --fleet/)] } });
  expect(rollout.members.filter((member) => member.offer !== 0)).toHaveLength(rollout.stages[0]?.size as number);
  const why = expect.stringMatching(/^release m is a migration without a migration matrix: run /) as string;
  const held = log.filter((entry) => entry.type === "held").map(readRecord);
  expect(held).toEqual([{ type: "held", rollout: r1, verdict: { kind: "inconclusive", missing: [why] }, authority: { by: "coalmine", reason: why } }]);
});

test("with a red one, or one of other versions, it stays; with a green one it goes on when a person lets it, and a replay agrees", () => {
  const { conductor, log, live, attest } = migrating();
  const resume = (minute: number): void => {
    log.push(...conductor.order(r1, { kind: "resume", authority: operator }, at(minute)).entries);
  };
  attest({ ...green, ok: false, failed: 2, failures: ["revA from 1.0.0, clean, upgrade+revert: identity lost"] }, 121);
  resume(121);
  expect(conductor.rollout(r1).verdict).toMatchObject({ missing: ["the migration matrix of release m is red, 2 of 15 cells: revA from 1.0.0, clean, upgrade+revert: identity lost"] });
  attest({ ...green, from: ["0.9.0"] }, 122);
  resume(122);
  expect(conductor.rollout(r1)).toMatchObject({ status: "held", stage: 0, verdict: { missing: [expect.stringMatching(/leaves out devices from 1\.0\.0: run/)] } });
  attest(green, 123);
  resume(123);
  expect(conductor.rollout(r1)).toMatchObject({ status: "running", stage: 1 });
  live(124, 400);
  expect(conductor.rollout(r1).stage).toBe(2);
  expect(replay(log, boundJudge)).toMatchObject({ ok: true });
  expect(readSnapshot(writeSnapshot(conductor.state)).releases.get("m" as never)?.matrix).toEqual({ ...green, by: "ada" });
});

test("a promotion past the canaries needs an override, and the log keeps what was overridden", () => {
  const { conductor } = migrating();
  const authority = { by: "ada", reason: "the bench says so" };
  expect(() => conductor.order(r1, { kind: "promote", authority }, at(121))).toThrow(/promote: release m is a migration without a migration matrix.*--override and a reason/);
  const { entries } = conductor.order(r1, { kind: "promote", override: true, authority }, at(121));
  expect(conductor.rollout(r1)).toMatchObject({ status: "running", stage: 1 });
  const line = auditLine(entries[0] as LogEntry, 1);
  expect(line).toMatchObject({ type: "promoted", by: "ada", reason: "the bench says so", detail: { despite: expect.stringMatching(/without a migration matrix/) as string } });
});

test("a plan of a single stage would reach everybody at once: refused without a matrix", () => {
  const { conductor, attest } = migrating();
  conductor.order(r1, { kind: "abort", authority: operator }, at(121));
  const plan = planFromData({ stages: ["100%"], strata: [], gates: { "boot-confirmation": { minSample: 1 } } });
  const begin = () => startRollout(conductor, { release: "m", plan, seed: 7, authority: operator }, at(122));
  expect(begin).toThrow(/without a migration matrix.*give the plan a canary stage/);
  attest(green, 123);
  expect(begin().id).toBe("r2");
});

test("a matrix of other images, or one that contradicts itself, is refused", () => {
  const { attest } = migrating();
  expect(() => attest({ ...green, images: [hashOf("1.2.0").toHex()] }, 121)).toThrow(/is of image 312e322e30000000, which is none of its artifacts/);
  expect(() => attest({ ...green, failed: 1 }, 121)).toThrow(/1 of 15 cells failed cannot be green/);
});
