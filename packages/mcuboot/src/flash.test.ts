// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { draws } from "./testing/boards.ts";
import { Flash, PowerCut } from "./flash.ts";
import type { AreaSpec } from "./geometry.ts";
import { layOut } from "./geometry.ts";
import { SectorPool } from "./sector-pool.ts";

const AREAS: readonly AreaSpec[] = [
  { name: "a", id: 1, off: 0, size: 8192, align: 4, sectors: [[2, 4096]] },
  { name: "b", id: 2, off: 8192, size: 10240, align: 4, sectors: [[1, 4096], [3, 2048]] },
];

test("writes clear bits, and count as one operation each", () => {
  const flash = Flash.create(AREAS);
  const a = flash.area("a");
  expect(flash.write(a, 4094 - 2, Uint8Array.of(0xf0, 0xff, 0x01, 0xff, 1, 2, 3, 4))).toBe(true);
  expect(flash.write(a, 4092, Uint8Array.of(0x0f, 0xff, 0x02, 0xff))).toBe(true);
  expect(flash.read(a, 4092, 8)).toEqual(Uint8Array.of(0x00, 0xff, 0x00, 0xff, 1, 2, 3, 4));
  expect(flash.ops).toMatchObject({ total: 2, writes: 2, bytesWritten: 12, rewrites: 2 });
});

test("misaligned writes and writes outside the area are refused and change nothing", () => {
  const flash = Flash.create(AREAS);
  const a = flash.area("a");
  const before = flash.identity();
  expect(flash.write(a, 2, new Uint8Array(4))).toBe(false);
  expect(flash.write(a, 0, new Uint8Array(3))).toBe(false);
  expect(flash.write(a, 8192, new Uint8Array(4))).toBe(false);
  expect(flash.ops).toMatchObject({ total: 0, misaligned: 3 });
  expect(flash.identity()).toBe(before);
  expect(flash.read(a, 8190, 3)).toBeUndefined();
});

test("devices with equal contents share their sectors until one writes", () => {
  const pool = new SectorPool();
  const image = new Uint8Array(8000).fill(0x42);
  const devices = Array.from({ length: 100 }, () => Flash.create(AREAS, { pool }));
  for (const flash of devices) {
    flash.install("a", image);
  }
  const [first, second] = devices;
  expect(first?.snapshot()[0]).toBe(second?.snapshot()[0]);
  expect(pool.size).toBeLessThan(6);
  first?.write(first.area("a"), 8000, new Uint8Array(4));
  first?.settle();
  expect(first?.snapshot()[1]).not.toBe(second?.snapshot()[1]);
  expect(second?.read(second.area("a"), 8000, 4)).toEqual(new Uint8Array(4).fill(0xff));
});

test("a dump is read back as the same flash", () => {
  const flash = Flash.create(AREAS);
  flash.install("b", new Uint8Array(5000).fill(7), 100);
  const again = Flash.create(AREAS, { pool: flash.pool, dump: flash.dump() });
  expect(again.identity()).toBe(flash.identity());
});

test("a cut before operation N leaves N-1 done; torn, half of it too", () => {
  for (const torn of [false, true]) {
    const flash = Flash.create(AREAS);
    const a = flash.area("a");
    flash.arm({ cutBefore: 2, torn });
    flash.write(a, 0, new Uint8Array(16));
    expect(() => flash.write(a, 16, new Uint8Array(16))).toThrow(PowerCut);
    flash.arm();
    expect(flash.read(a, 0, 32)?.filter((byte) => byte === 0).length).toBe(torn ? 24 : 16);
    flash.arm({ cutBefore: 1, torn });
    expect(() => flash.eraseSector(a, 0)).toThrow(PowerCut);
    expect(flash.read(a, 0, 4)?.[0]).toBe(torn ? 0xff : 0);
  }
});

test("copying shared sectors gives the bytes and counts of copying byte by byte", () => {
  const next = draws(20260722);
  for (let round = 0; round < 300; round++) {
    const pool = new SectorPool();
    const dump = new Uint8Array(18432).map(() => next() & 0xff);
    const shared = Flash.create(AREAS, { pool, dump });
    const plain = Flash.create(AREAS, { pool, dump });
    // An observer forbids sharing, so this one copies in chunks.
    plain.observe(() => {});
    const cutBefore = next() % 12 === 0 ? 1 + (next() % 4) : undefined;
    const size = [2048, 4096, 8192, 3000][next() % 4] ?? 0;
    const toOff = [0, 4096, 4100][next() % 3] ?? 0;
    const results = [shared, plain].map((flash) => {
      flash.eraseSector(flash.area("a"), 0);
      flash.eraseSector(flash.area("a"), 1);
      flash.arm({ cutBefore, torn: true });
      try {
        return flash.copy(flash.area("b"), [0, 4096, 1024][round % 3] ?? 0, flash.area("a"), toOff, size);
      } catch (error) {
        expect(error).toBeInstanceOf(PowerCut);
        return "cut";
      }
    });
    expect(results[0]).toBe(results[1]);
    expect(shared.identity()).toBe(plain.identity());
    expect(shared.ops).toEqual(plain.ops);
  }
});

test.each([
  ["sectors that do not add up", { sectors: [[1, 4096]] as [number, number][] }],
  ["an alignment that is no power of two", { align: 3 }],
  ["overlapping areas", { off: 4096, size: 8192 }],
  ["sectors that are no multiple of the alignment", { align: 8, size: 4100, sectors: [[1, 4100]] as [number, number][] }],
])("a flash map with %s is refused by name", (_, change) => {
  const second: AreaSpec = { name: "b", id: 2, off: 8192, size: 8192, align: 4, sectors: [[2, 4096]], ...change };
  const first: AreaSpec = { name: "a", id: 1, off: 0, size: 8192, align: 4, sectors: [[2, 4096]] };
  expect(() => layOut([first, second])).toThrow(/"b"/);
});
