// SPDX-License-Identifier: Apache-2.0
import { hash } from "node:crypto";
import { expect, test } from "vitest";
import { type Content, ContentCache } from "./content.ts";
import { hits } from "./defect.ts";
import type { DeviceDescription } from "./description.ts";
import { programPayload, readProgram, type SimProgram } from "./program.ts";
import { decodeAttempt, decodeCrashes, decodeOffer, decodeSeen, encodeAttempt, encodeCrashes, encodeOffer, encodeSeen } from "./records.ts";

const program: SimProgram = { format: 1, version: "1.2.3", buildId: "0123456789abcdef", defects: [{ kind: "leak", exhausted_s: 60 }], storageSchema: 2 };

test("a program survives its payload, whatever follows it", () => {
  const payload = programPayload(program, 4_096);
  expect(payload).toHaveLength(4_096);
  expect(readProgram(payload)).toEqual(program);
  expect(programPayload(program, 4_096)).toEqual(payload);
  const other = programPayload({ ...program, buildId: "fedcba9876543210" }, 4_096);
  expect(other.subarray(3_000).some((byte, i) => byte !== payload[3_000 + i])).toBe(true);
});

test("other payloads have no program, and damaged ones never throw", () => {
  const payload = programPayload(program, 512);
  expect(readProgram(new Uint8Array(0))).toBeUndefined();
  expect(readProgram(new Uint8Array(512))).toBeUndefined();
  let refused = 0;
  for (let at = 0; at < 200; at++) {
    for (const flip of [1, 0x80, 0xff]) {
      const damaged = payload.slice();
      damaged[at] = (damaged[at] as number) ^ flip;
      refused += readProgram(damaged) === undefined ? 1 : 0;
    }
    readProgram(payload.subarray(0, at));
  }
  expect(refused).toBeGreaterThan(100);
});

test("a program that does not fit, or without a build id in hex, is refused", () => {
  expect(() => programPayload(program, 64)).toThrow(/does not fit a payload of 64 bytes/);
  expect(() => programPayload({ ...program, buildId: "xyz" }, 4_096)).toThrow(/buildId/);
});

test("a filter needs every part it gives", () => {
  const device = { hardware: { board: "pump", revision: "B" }, connectivity: { name: "lte" } } as DeviceDescription;
  expect(hits(undefined, device, "1.0.0", 0.9)).toBe(true);
  expect(hits({ revisions: ["A", "B"], boards: ["pump"] }, device, "1.0.0", 0.9)).toBe(true);
  expect(hits({ revisions: ["A"] }, device, "1.0.0", 0.1)).toBe(false);
  expect(hits({ revisions: ["B"], connectivity: ["wifi"] }, device, "1.0.0", 0.1)).toBe(false);
  expect(hits({ fromVersions: ["1.0.0"] }, device, "1.0.0+0", 0.1)).toBe(true);
  expect(hits({ fromVersions: ["1.0.0"] }, device, "1.0.1", 0.1)).toBe(false);
  expect(hits({ share: 0.5 }, device, "1.0.0", 0.49)).toBe(true);
  expect(hits({ share: 0.5 }, device, "1.0.0", 0.5)).toBe(false);
});

test("records come back as they were written", () => {
  const target = Uint8Array.from({ length: 32 }, (_, i) => i);
  const policy = { minUptime_s: 70_000, deadline_s: 4_000_000_000, serverContact: true };
  const attempt = {
    offer: 2 ** 45 + 3, target, stage: "testing", ran: true, resetCause: "watchdog", trialBoots: 2, acknowledged: true, policy, fromVersion: "1.0.0", reason: "because",
  } as const;
  expect(decodeAttempt(encodeAttempt(attempt))).toEqual(attempt);
  const offer = { offer: 9, version: "1.2.0", digest: target, imageHash: target, size: 300_000, policy, started: true };
  expect(decodeOffer(encodeOffer(offer))).toEqual(offer);
  const seen = { offers: [5, 2 ** 40], quarantined: ["0011223344556677"] };
  expect(decodeSeen(encodeSeen(seen))).toEqual(seen);
  const crash = { kind: "crash", buildId: target.slice(0, 16), imageHash: target, reason: "bus fault", pc: 0x8000_1234, lr: 1, uptime_s: 99 } as const;
  expect(decodeCrashes(encodeCrashes([crash, crash]))).toEqual([crash, crash]);
});

test("equal bytes of an artifact are held once, in any order of blocks; different ones are told", () => {
  const bytes = Uint8Array.from({ length: 10_000 }, (_, i) => (i * 7) & 0xff);
  const cache = new ContentCache();
  const content = cache.get("d", bytes.length);
  expect(cache.get("d", bytes.length)).toBe(content);
  const offsets = [6_000, 0, 9_000, 3_000];
  for (const offset of offsets) {
    expect(content.accept(offset, bytes.slice(offset, offset + 3_000))).toBe(true);
  }
  expect(content.digest()).toBe(hash("sha256", bytes, "hex"));
  expect(content.accept(1_000, bytes.slice(1_000, 5_000))).toBe(true);
  const wrong = bytes.slice(1_000, 5_000);
  wrong[17] = (wrong[17] as number) ^ 1;
  expect(content.accept(1_000, wrong)).toBe(false);
  expect(content.accept(9_999, bytes.slice(0, 2))).toBe(false);
  cache.drop("d", bytes.length);
  const fresh: Content = cache.get("d", bytes.length);
  expect(fresh).not.toBe(content);
  expect(fresh.digest()).toBeUndefined();
});
