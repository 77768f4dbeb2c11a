// SPDX-License-Identifier: Apache-2.0
import type { DeviceId, Instant } from "@coalmine/core";
import type { EventLog, LogEntry, StoredEntry } from "@coalmine/orchestrator";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

/** Where an event log lives during one test. */
export interface EventLogHome {
  /** Opens the log; after a close, opens the same one again. */
  open(): EventLog;
  /** Whether what was appended is still there after close and open. */
  readonly persistent: boolean;
  dispose(): Promise<void> | void;
}

/** An entry to log; what a test sets is what it is about. */
export function logEntry(given: { at?: number; type?: string; device?: string | null; body?: Uint8Array | string } = {}): LogEntry {
  const { at = 1_700_000_000_000, type = "report", device = "device-1", body = "body" } = given;
  return {
    at: at as Instant,
    type,
    device: device as DeviceId | null,
    body: typeof body === "string" ? new TextEncoder().encode(body) : body,
  };
}

/** Entries of every shape the port allows: no device, no body, large body, fractional time. */
export const sampleEntries: readonly LogEntry[] = [
  logEntry({ body: "first" }),
  logEntry({ device: null, type: "release-created", body: "{}" }),
  logEntry({ body: new Uint8Array(0), at: 0 }),
  logEntry({ body: new Uint8Array(8_192).fill(0xa5), at: 1_700_000_000_000.5 }),
  logEntry({ device: "A-z_0", at: -1, body: new Uint8Array([0, 255, 128]) }),
  logEntry({ at: 8_640_000_000_000_000, body: "last" }),
];

/** SHA-256 of `sampleEntries` in canonical form. A change here means that stored logs no longer verify. */
const sampleDigest = "804d4d866d23fd9f1261053d8ec61d31bb459f539b59dbea7d8fd0f9896576e1";
const emptyDigest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** The promises of the `EventLog` port, run against any implementation. */
export function eventLogContract(name: string, makeHome: () => EventLogHome | Promise<EventLogHome>): void {
  describe(`${name} keeps the contract of an event log`, () => {
    let home: EventLogHome;
    let log: EventLog;

    beforeEach(async () => {
      home = await makeHome();
      log = home.open();
    });
    afterEach(async () => {
      await log.close();
      await home.dispose();
    });

    const appendAll = (entries: readonly LogEntry[]): number[] => entries.map((entry) => log.append(entry));
    const plain = (entries: Iterable<StoredEntry>): unknown[] =>
      [...entries].map((entry) => ({ ...entry, body: [...entry.body] }));
    const expected = (entries: readonly LogEntry[], first = 1): unknown[] =>
      entries.map((entry, index) => ({ ...entry, sequence: first + index, body: [...entry.body] }));

    it("starts empty", async () => {
      expect(log.length).toBe(0);
      expect([...log.read(0)]).toEqual([]);
      expect(log.digest()).toEqual({ events: 0, sha256: emptyDigest });
      expect(log.verify()).toEqual({ ok: true, entries: 0 });
      expect(log.loadSnapshot()).toBeNull();
      await log.durable();
    });

    it("numbers entries from 1 without gaps", async () => {
      expect(appendAll(sampleEntries)).toEqual(sampleEntries.map((_, index) => index + 1));
      expect(log.length).toBe(sampleEntries.length);
      await log.durable();
      expect(log.append(logEntry())).toBe(sampleEntries.length + 1);
    });

    it("reads one device's entries within a range, when it can", (ctx) => {
      if (log.readDevice === undefined) {
        ctx.skip("this log reads no single device");
      }
      appendAll(["a", "b", "a", "a", "b", "a"].map((device, index) => logEntry({ device, body: String(index) })));
      const read = (device: string, after: number, upTo: number): number[] => (log.readDevice?.(device as DeviceId, { after, upTo }) ?? []).map((entry) => entry.sequence);
      expect([read("a", 0, 6), read("a", 1, 4), read("b", 2, 4), read("c", 0, 6), read("a", -5, 100)]).toEqual([[1, 3, 4, 6], [3, 4], [], [], [1, 3, 4, 6]]);
      expect(plain(log.readDevice?.("b" as DeviceId, { after: 0, upTo: 2 }) ?? [])).toEqual(expected([logEntry({ device: "b", body: "1" })], 2));
    });

    it("reads back what was appended, durable or not, in order", async () => {
      appendAll(sampleEntries.slice(0, 3));
      await log.durable();
      appendAll(sampleEntries.slice(3));
      expect(plain(log.read(0))).toEqual(expected(sampleEntries));
      expect(plain(log.read(4))).toEqual(expected(sampleEntries.slice(4), 5));
      expect(plain(log.read(sampleEntries.length))).toEqual([]);
      expect(plain(log.read(sampleEntries.length + 10))).toEqual([]);
    });

    it("reads entries as of the call, whatever is appended meanwhile", () => {
      appendAll(sampleEntries.slice(0, 2));
      const reading = log.read(0);
      log.append(logEntry({ body: "too late" }));
      const seen: number[] = [];
      for (const { sequence } of reading) {
        seen.push(sequence);
        log.append(logEntry({ body: "while reading" }));
      }
      expect(seen).toEqual([1, 2]);
      expect(log.length).toBe(5);
    });

    it("is durable for everyone who asks at once", async () => {
      const asked = Array.from({ length: 50 }, (_, index) => {
        log.append(logEntry({ device: `device-${index}` }));
        return log.durable();
      });
      await Promise.all(asked);
      expect(log.verify()).toEqual({ ok: true, entries: 50 });
      await log.durable();
    });

    it("gives the digest that only the entries decide", async () => {
      appendAll(sampleEntries.slice(0, 2));
      log.digest();
      await log.durable();
      appendAll(sampleEntries.slice(2));
      expect(log.digest()).toEqual({ events: sampleEntries.length, sha256: sampleDigest });
      expect(log.digest()).toEqual({ events: sampleEntries.length, sha256: sampleDigest });
    });

    it("gives another digest for another order", () => {
      appendAll([...sampleEntries].reverse());
      expect(log.digest().events).toBe(sampleEntries.length);
      expect(log.digest().sha256).not.toBe(sampleDigest);
    });

    it("verifies thousands of entries", async () => {
      for (let index = 0; index < 3_500; index += 1) {
        log.append(logEntry({ at: index, device: `device-${index % 7}` }));
      }
      expect(log.verify()).toEqual({ ok: true, entries: 3_500 });
      await log.durable();
      expect(log.verify()).toEqual({ ok: true, entries: 3_500 });
    });

    it("refuses an entry that has no canonical form, and goes on", async () => {
      for (const bad of [logEntry({ at: Number.NaN }), logEntry({ type: "" }), logEntry({ device: "gerät" }), logEntry({ type: "x".repeat(256) })]) {
        expect(() => log.append(bad)).toThrow("cannot be logged");
      }
      expect(log.append(logEntry())).toBe(1);
      await log.durable();
      expect(log.verify()).toEqual({ ok: true, entries: 1 });
    });

    it("gives back the newest snapshot", async () => {
      appendAll(sampleEntries);
      log.saveSnapshot(2, new Uint8Array([1]));
      log.saveSnapshot(5, new Uint8Array([2, 2]));
      log.saveSnapshot(6, new Uint8Array(100_000).fill(3));
      await log.durable();
      const snapshot = log.loadSnapshot();
      expect(snapshot?.sequence).toBe(6);
      expect(snapshot?.state.length).toBe(100_000);
      expect(() => log.saveSnapshot(7, new Uint8Array(1))).toThrow("snapshot");
    });

    it("closes twice without harm", async () => {
      appendAll(sampleEntries);
      await log.close();
      await log.close();
    });

    it("is the same log when opened again", async () => {
      if (!home.persistent) {
        return;
      }
      appendAll(sampleEntries);
      log.saveSnapshot(3, new Uint8Array([3]));
      await log.close();
      log = home.open();
      expect(log.length).toBe(sampleEntries.length);
      expect(plain(log.read(0))).toEqual(expected(sampleEntries));
      expect(log.digest()).toEqual({ events: sampleEntries.length, sha256: sampleDigest });
      expect(log.loadSnapshot()).toEqual({ sequence: 3, state: new Uint8Array([3]) });
      expect(log.append(logEntry())).toBe(sampleEntries.length + 1);
      await log.durable();
      expect(log.verify()).toEqual({ ok: true, entries: sampleEntries.length + 1 });
    });
  });
}
