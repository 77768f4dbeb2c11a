// SPDX-License-Identifier: Apache-2.0
// One case for each deviation of the `safe` profile listed in docs/mcuboot-modes.md.
import { describe, expect, test } from "vitest";
import { setPending } from "./application.ts";
import type { BootResult } from "./boot.ts";
import { boot } from "./boot.ts";
import { slotCapacity, uploadOffset } from "./capacity.ts";
import type { Profile, SwapMode } from "./config.ts";
import { board, configFor, device, image } from "./testing/boards.ts";
import { cutTrial } from "./testing/cut-trial.ts";

function seen(result: BootResult): number | string {
  return result.outcome === "boot" ? (result.version?.major ?? 0) : result.outcome;
}

interface Trial {
  readonly mode: SwapMode;
  readonly kind: "test" | "perm" | "revert";
  /** Payload bytes of the two images. */
  readonly old: number;
  readonly new: number;
  readonly torn?: boolean;
  readonly double?: boolean;
  readonly sectorSize?: number;
}

/** Power cuts after which the device does not end up with the image it has without a cut, and what it does instead. */
function wrongEnds(profile: Profile, trial: Trial): string[] {
  const { mode, kind, torn = false, double = false, sectorSize = 4096 } = trial;
  const config = configFor(mode, { profile, maxImgSectors: 8 });
  const flash = device(config, board(mode, { sectors: 6, sectorSize, align: 8 }), image(1, trial.old), image(2, trial.new));
  setPending(config, flash, { permanent: kind === "perm" });
  if (kind === "revert") {
    boot(config, flash);
  }
  const start = flash.snapshot();
  const { total } = boot(config, flash).ops;
  flash.restore(start);
  const ends = (): number | string => [1, 2, 3].map(() => seen(boot(config, flash)))[2] ?? "";
  const right = ends();
  const found: string[] = [];
  const check = (name: string): void => {
    const end = ends();
    if (end !== right) {
      found.push(`${name}: ${end}`);
    }
  };
  for (let n = 1; n <= total; n++) {
    flash.restore(start);
    boot(config, flash, { cutBefore: n, torn });
    if (!double) {
      check(`${n}`);
      continue;
    }
    const middle = flash.snapshot();
    const again = boot(config, flash).ops.total;
    for (let m = 1; m <= again; m++) {
      flash.restore(middle);
      boot(config, flash, { cutBefore: m, torn });
      check(`${n},${m}`);
    }
  }
  return found;
}

const MOST = slotCapacity(configFor("swap-scratch", { maxImgSectors: 8 }), board("swap-scratch", { sectors: 6, align: 8 })) - 176;

describe.each<[string, Trial, RegExp]>([
  ["S1 swap-offset, both images in one sector: a cut between erase and first write bricks", { mode: "swap-offset", kind: "perm", old: 3000, new: 2500 }, /fail/],
  ["S1 swap-offset, old image two sectors larger: a cut in its last sector loses the later revert", { mode: "swap-offset", kind: "test", old: 12000, new: 1000 }, /: 2/],
  ["S2 swap-offset, two cuts in a revert: an assertion at every boot", { mode: "swap-offset", kind: "revert", old: 9000, new: 9000, double: true }, /assert/],
  ["S3 swap-scratch, torn erase of scratch with an image in the trailer's sector: bricks", { mode: "swap-scratch", kind: "perm", old: 3000, new: MOST, torn: true }, /fail/],
  ["S4 swap-scratch, two cuts at the start of a revert: the revert is lost", { mode: "swap-scratch", kind: "revert", old: 3000, new: 5000, double: true }, /: 2/],
  ["S5 swap-move, a torn magic and a cut at the start of a revert: the revert is lost", { mode: "swap-move", kind: "revert", old: 3000, new: 5000, double: true, torn: true }, /: 2/],
  ["S5 swap-offset, the same", { mode: "swap-offset", kind: "revert", old: 3000, new: 5000, double: true, torn: true }, /: 2/],
])("%s", (_, trial, end) => {
  test("in the exact profile", () => {
    expect(wrongEnds("exact", trial).join(" ")).toMatch(end);
  });

  test("and the safe profile ends right after every cut", () => {
    expect(wrongEnds("safe", trial)).toEqual([]);
  });
});

test("S6 swap-offset, an upload while an image is on trial: exact is bricked by the revert, safe stays on the trial image", () => {
  const ends: Record<string, unknown[]> = {};
  for (const profile of ["exact", "safe"] as const) {
    const config = configFor("swap-offset", { profile });
    const areas = board("swap-offset");
    const flash = device(config, areas, image(1), image(2));
    setPending(config, flash, { permanent: false });
    boot(config, flash);
    flash.install("secondary", image(3), uploadOffset(config, areas));
    ends[profile] = [1, 2, 3].map(() => seen(boot(config, flash)));
    setPending(config, flash, { permanent: true });
    ends[`${profile}, then a request`] = [1, 2].map(() => seen(boot(config, flash)));
  }
  expect(ends["exact"]).toEqual(["fail", "fail", "fail"]);
  expect(ends["safe"]).toEqual([2, 2, 2]);
  expect(ends["safe, then a request"]).toEqual([3, 3]);
});

test.each(["swap-move", "swap-offset"] as const)("S7 %s, an empty primary: exact never installs the pending image, safe does, also when cut", (mode) => {
  for (const content of [new Uint8Array(0), new Uint8Array(6000).fill(0x21)]) {
    for (const profile of ["exact", "safe"] as const) {
      const config = configFor(mode, { profile });
      const flash = device(config, board(mode), content, image(2));
      setPending(config, flash, { permanent: true });
      const start = flash.snapshot();
      const whole = boot(config, flash);
      expect([seen(whole), seen(boot(config, flash))]).toEqual(profile === "exact" ? ["fail", "fail"] : [2, 2]);
      for (let n = 1; n <= whole.ops.total; n++) {
        flash.restore(start);
        boot(config, flash, { cutBefore: n });
        expect([1, 2].map(() => seen(boot(config, flash))), `cut before ${n}`).toEqual([2, 2]);
      }
    }
  }
});

test("S8 swap-scratch, an image ending where the secondary cannot be written: exact asserts for ever, safe has less room instead", () => {
  for (const profile of ["exact", "safe"] as const) {
    const config = configFor("swap-scratch", { profile, maxImgSectors: 9 });
    const areas = board("swap-scratch", { sectors: 6, align: 8 }).map((area) => (area.name === "secondary" ? area : { ...area, align: 1 }));
    const most = slotCapacity(config, areas);
    const flash = device(config, areas, image(1, 3000), image(2, most - 176));
    setPending(config, flash, { permanent: true });
    expect([1, 2].map(() => seen(boot(config, flash)))).toEqual(profile === "exact" ? ["assert", "assert"] : [2, 2]);
    expect(most % 8 === 0).toBe(profile === "safe");
  }
});

test("on random layouts the safe profile survives every single and many double cuts, clean and torn", () => {
  const seed = 5;
  let cuts = 0;
  for (let round = 0; round < 6; round++) {
    const trial = cutTrial("safe", seed, round, [1024]);
    expect(trial?.bad ?? [], `seed ${seed}, round ${round}: ${trial?.setup}`).toEqual([]);
    cuts += trial?.cuts ?? 0;
  }
  expect(cuts).toBeGreaterThan(300);
});
