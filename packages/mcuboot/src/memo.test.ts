// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { setConfirmed, setPending } from "./application.ts";
import { boot } from "./boot.ts";
import { BootMemo } from "./memo.ts";
import { SectorPool } from "./sector-pool.ts";
import { board, configFor, device, draws, image } from "./testing/boards.ts";

const MODES = ["swap-move", "swap-offset", "swap-scratch", "overwrite"] as const;

test("the fast path gives the results and the flash of the byte path, on random histories", () => {
  const seed = 7;
  const next = draws(seed);
  const pool = new SectorPool();
  const memo = new BootMemo();
  for (let round = 0; round < 250; round++) {
    const mode = MODES[next() % MODES.length] ?? "swap-move";
    const config = configFor(mode, next() % 3 === 0 ? { hwRollback: true } : {});
    const areas = board(mode, { sectorSize: next() % 2 === 0 ? 1024 : 2048 });
    const running = image(1, 600 + (next() % 3) * 900, 1);
    const fast = device(config, areas, running, image(2, 500 + (next() % 3) * 1100, 2), pool);
    const slow = fast.clone();
    let nv: readonly number[] = [next() % 2];
    for (let step = 0; step < 5; step++) {
      const choice = next() % 4;
      const cutBefore = next() % 3 === 0 ? 1 + (next() % 30) : undefined;
      const at = next();
      for (const flash of [fast, slow]) {
        if (choice === 0) {
          setPending(config, flash, { permanent: at % 2 === 0 });
        } else if (choice === 1) {
          setConfirmed(config, flash);
        } else if (choice === 2 && at % 5 === 0) {
          flash.poke("secondary", at % 4000, Uint8Array.of(at & 0xff));
        }
      }
      const slowResult = boot(config, slow, { nv, cutBefore });
      const fastResult = memo.boot(config, fast, { nv, cutBefore });
      const { ops: slowOps, ...slowRest } = slowResult;
      const { ops: fastOps, ...fastRest } = fastResult;
      expect(fastRest, `seed ${seed}, round ${round}, step ${step}`).toEqual(slowRest);
      expect(fastOps).toEqual(slowOps);
      expect(fast.identity()).toBe(slow.identity());
      nv = slowResult.nv;
    }
  }
  expect(memo.hits).toBeGreaterThan(100);
});

test("ten thousand devices that update alike cost one boot each step", () => {
  const pool = new SectorPool();
  const memo = new BootMemo();
  const config = configFor("swap-move");
  const first = device(config, board("swap-move"), image(1), image(2, 12000), pool);
  const fleet = Array.from({ length: 10_000 }, () => first.clone());
  for (const flash of fleet) {
    setPending(config, flash, { permanent: false });
    expect(memo.boot(config, flash).version?.major).toBe(2);
    setConfirmed(config, flash);
    memo.boot(config, flash);
  }
  expect(memo.misses).toBe(2);
  expect(pool.size).toBeLessThan(40);
});

test("the memo forgets the oldest boots beyond its bound", () => {
  const pool = new SectorPool();
  const memo = new BootMemo(3);
  const config = configFor("overwrite");
  const flashes = [1, 2, 3, 4].map((major) => device(config, board("overwrite"), image(major), undefined, pool));
  for (const flash of flashes) {
    memo.boot(config, flash);
  }
  expect(memo.misses).toBe(4);
  const [oldest] = flashes;
  if (oldest !== undefined) {
    memo.boot(config, oldest);
  }
  expect(memo.misses).toBe(5);
});

test("flashes of different pools are refused, as their sectors cannot be compared", () => {
  const memo = new BootMemo();
  const config = configFor("overwrite");
  memo.boot(config, device(config, board("overwrite"), image(1)));
  expect(() => memo.boot(config, device(config, board("overwrite"), image(1)))).toThrow(/sector pools/);
});
