// SPDX-License-Identifier: Apache-2.0
import { setPending } from "../application.ts";
import type { BootResult } from "../boot.ts";
import { boot } from "../boot.ts";
import { slotCapacity } from "../capacity.ts";
import type { Profile, SwapMode } from "../config.ts";
import { board, configFor, device, draws, image } from "./boards.ts";

/** How one random upgrade or revert fared under power cuts. */
export interface CutTrial {
  readonly mode: SwapMode;
  /** Layout and sizes, to find the trial again. */
  readonly setup: string;
  cuts: number;
  /** Cuts after which no boot succeeded, or the device did not end with the image it has without a cut. */
  readonly bad: { readonly cut: string; readonly kind: "unbootable" | "wrong image" }[];
}

const MODES = ["swap-move", "swap-offset", "swap-scratch", "overwrite"] as const;

/**
 * Draws a layout, two images and an operation, and cuts the power at every operation, clean and torn, and a second
 * time during some of the recoveries. Nothing when the drawn layout has no room for an image.
 */
export function cutTrial(
  profile: Profile,
  seed: number,
  round: number,
  sectorSizes: readonly [number, ...number[]] = [1024, 2048, 4096, 16384],
): CutTrial | undefined {
  const next = draws(Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(round + 1, 0x85ebca6b));
  for (let i = 0; i < 4; i++) {
    next();
  }
  const pick = <T>(from: readonly [T, ...T[]]): T => from[next() % from.length] ?? from[0];
  const mode = pick(MODES);
  const sectorSize = pick(sectorSizes);
  const align = pick([1, 4, 8, 16, 32]);
  const sectors = 4 + (next() % 8);
  const scratch = 1 + (next() % 3);
  const operation = pick(["test", "perm", "revert"]);
  const config = configFor(mode, { profile, maxAlign: Math.max(8, align), maxImgSectors: sectors + 2 });
  const areas = board(mode, { sectors, sectorSize, align, scratch });
  const overhead = image(1, 0).length;
  const room = slotCapacity(config, areas) - overhead;
  if (room < 500) {
    return undefined;
  }
  const size = (): number => pick([room, 100 + (next() % 300), 100 + (next() % (room - 100)), 100 + (next() % (room - 100))]);
  const sizes = [size(), size()] as const;
  const flash = device(config, areas, image(1, sizes[0]), image(2, sizes[1]));
  setPending(config, flash, { permanent: operation === "perm" });
  if (operation === "revert") {
    boot(config, flash);
  }
  const start = flash.snapshot();
  const { total } = boot(config, flash).ops;
  flash.restore(start);
  const boots = (): (number | string)[] => [1, 2, 3].map(() => seen(boot(config, flash)));
  const right = boots().at(-1);
  const trial: CutTrial = {
    mode,
    setup: `${mode} ${operation}: ${sectors} sectors of ${sectorSize}, align ${align}, scratch ${scratch}, payloads ${sizes.join(" and ")}`,
    cuts: 0,
    bad: [],
  };
  const check = (cut: string): void => {
    const ends = boots();
    trial.cuts++;
    if (ends.every((end) => typeof end === "string")) {
      trial.bad.push({ cut, kind: "unbootable" });
    } else if (ends.at(-1) !== right) {
      trial.bad.push({ cut, kind: "wrong image" });
    }
  };
  for (const torn of [false, true]) {
    for (let n = 1; n <= total; n++) {
      flash.restore(start);
      boot(config, flash, { cutBefore: n, torn });
      const middle = flash.snapshot();
      check(`${torn ? "torn" : "clean"} ${n}`);
      if (next() % 8 !== 0) {
        continue;
      }
      flash.restore(middle);
      const again = boot(config, flash).ops.total;
      for (let m = 1; m <= again; m += m < 20 ? 1 : 1 + Math.floor(again / 10)) {
        flash.restore(middle);
        boot(config, flash, { cutBefore: m, torn });
        check(`${torn ? "torn" : "clean"} ${n} then ${m}`);
      }
    }
  }
  return trial;
}

function seen(result: BootResult): number | string {
  return result.outcome === "boot" ? (result.version?.major ?? 0) : result.outcome;
}
