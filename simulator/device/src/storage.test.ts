// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { emptyStorage, mount, pageBytes, PowerLoss, type PowerSupply, RecordKind, type Storage, store } from "./storage.ts";

const mains: PowerSupply = { flashLeft: Number.POSITIVE_INFINITY };
const data = (...bytes: number[]): Uint8Array => Uint8Array.from(bytes);

test("S1: the newest record of each kind comes back, also over page changes", () => {
  const storage = emptyStorage();
  for (let n = 0; n < 500; n++) {
    store(storage, mains, RecordKind.boot, data(n & 0xff, n >> 8));
    if (n % 50 === 0) {
      store(storage, mains, RecordKind.attempt, new Uint8Array(100).fill(n));
    }
    expect(storage.page.length).toBeLessThanOrEqual(pageBytes);
  }
  const records = mount(storage, mains);
  expect(records.get(RecordKind.boot)).toEqual(data(499 & 0xff, 1));
  expect(records.get(RecordKind.attempt)).toEqual(new Uint8Array(100).fill(450));
  expect(storage.other.length).toBe(0);
});

test("empty data removes a record for good", () => {
  const storage = emptyStorage();
  store(storage, mains, RecordKind.offer, data(1));
  store(storage, mains, RecordKind.offer, data());
  expect(mount(storage, mains).get(RecordKind.offer)?.length ?? 0).toBe(0);
  for (let n = 0; n < 300; n++) {
    store(storage, mains, RecordKind.boot, data(n));
  }
  expect(mount(storage, mains).get(RecordKind.offer)).toBeUndefined();
});

test("S1, S2: power lost in any operation leaves every record at its old or its new value, never a mixture or nothing", () => {
  /** Writes a fixed series with power lost after `left` operations; returns what was written for sure, and what was being written. */
  const run = (storage: Storage, left: number): { done: number; lost: boolean } => {
    const power: PowerSupply = { flashLeft: left };
    let done = 0;
    try {
      for (; done < 200; done++) {
        store(storage, power, RecordKind.boot, data(done & 0xff, 7, 7, 7, 7, 7, 7, 7, 7, 7));
      }
    } catch (error) {
      expect(error).toBeInstanceOf(PowerLoss);
      return { done, lost: true };
    }
    return { done, lost: false };
  };
  let lost = true;
  for (let left = 0; lost; left++) {
    const storage = emptyStorage();
    store(storage, mains, RecordKind.identity, data(42));
    const fate = run(storage, left);
    lost = fate.lost;
    // The repair may lose power as well, at any of its operations.
    for (let again = 0; again < 8; again++) {
      const copy: Storage = { page: storage.page.slice(), other: storage.other.slice() };
      try {
        mount(copy, { flashLeft: again });
      } catch (error) {
        expect(error).toBeInstanceOf(PowerLoss);
      }
      const records = mount(copy, mains);
      expect(records.get(RecordKind.identity), `cut at ${left}, repair cut at ${again}`).toEqual(data(42));
      const boot = records.get(RecordKind.boot);
      const value = boot === undefined ? -1 : (boot[0] as number);
      expect([fate.done - 1, fate.done], `cut at ${left}, repair cut at ${again}`).toContain(value);
      store(copy, mains, RecordKind.boot, data(99));
      expect(mount(copy, mains).get(RecordKind.boot)).toEqual(data(99));
    }
  }
});

test("a page of rubbish is no record and no crash", () => {
  for (let seed = 1; seed < 200; seed++) {
    const rubbish = Uint8Array.from({ length: 64 }, (_, i) => (seed * 2_654_435_761 * (i + 1)) >>> 24);
    const storage: Storage = { page: rubbish, other: new Uint8Array(0) };
    mount(storage, mains);
    store(storage, mains, RecordKind.boot, data(seed));
    expect(mount(storage, mains).get(RecordKind.boot)).toEqual(data(seed & 0xff));
  }
});
