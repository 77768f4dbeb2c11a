// SPDX-License-Identifier: Apache-2.0
import { copyNvs, nvsFromBytes, nvsToBytes } from "@coalmine/nvs";
import { expect, test } from "vitest";
import { emptyStorage, isFresh, mount, PowerLoss, type PowerSupply, RecordKind, storageGeometry, store } from "./storage.ts";

const mains: PowerSupply = { flashLeft: Number.POSITIVE_INFINITY };
const data = (...bytes: number[]): Uint8Array => Uint8Array.from(bytes);

test("the newest record of each kind comes back, over many sectors, also from the bytes on flash", () => {
  const storage = emptyStorage();
  expect(isFresh(storage)).toBe(true);
  mount(storage, mains);
  for (let n = 0; n < 500; n++) {
    store(storage, mains, RecordKind.boot, data(n & 0xff, n >> 8));
    if (n % 50 === 0) {
      store(storage, mains, RecordKind.attempt, new Uint8Array(100).fill(n));
    }
  }
  store(storage, mains, RecordKind.offer, data(1));
  store(storage, mains, RecordKind.offer, data());
  expect(isFresh(storage)).toBe(false);
  const again = nvsFromBytes(nvsToBytes(storage), storageGeometry);
  expect(mount(again, mains)).toEqual(new Map([[RecordKind.attempt, new Uint8Array(100).fill(450)], [RecordKind.boot, data(499 & 0xff, 1)]]));
});

test("power lost in any operation leaves every record at its old or its new value", () => {
  let lost = true;
  let cuts = 0;
  for (let left = 0; lost; left++) {
    const storage = emptyStorage();
    mount(storage, mains);
    store(storage, mains, RecordKind.seen, data(42));
    let done = 0;
    try {
      for (const power = { flashLeft: left }; done < 120; done++) {
        store(storage, power, RecordKind.boot, data(done, 7, 7, 7, 7, 7, 7, 7, 7, 7));
      }
      lost = false;
    } catch (error) {
      expect(error).toBeInstanceOf(PowerLoss);
      cuts++;
    }
    const copy = copyNvs(storage);
    const records = mount(copy, mains);
    expect(records.get(RecordKind.seen), `cut at ${left}`).toEqual(data(42));
    expect([done - 1, done], `cut at ${left}`).toContain(records.get(RecordKind.boot)?.[0] ?? -1);
  }
  expect(cuts).toBeGreaterThan(300);
});
