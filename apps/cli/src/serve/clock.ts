// SPDX-License-Identifier: Apache-2.0
// The orchestrator's clock. It never runs backwards: not when the machine's time is set back, and not over a restart.
import { CoalmineError, type Instant, instant } from "@coalmine/core";
import type { Clock } from "@coalmine/orchestrator";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

/** At the wall-clock time `wall` (ms since 1970) the orchestrator's clock stood at `time` and ran `speed` times as fast. */
const epochShape = z.strictObject({ wall: z.number(), time: z.number(), speed: z.number().positive() });
type Epoch = z.output<typeof epochShape>;

const name = "clock.json";

export interface ServeClock extends Clock {
  readonly speed: number;
}

/**
 * Opens the clock of a data folder. A clock that ever ran at another speed than 1 has left the wall's time, so its epoch
 * is kept in the folder: the time it shows goes on over restarts, also while nothing runs.
 * @param notBefore time of the newest entry of the log
 */
export function openClock(folder: string, options: { readonly speed: number; readonly notBefore: Instant }): ServeClock {
  const { speed, notBefore } = options;
  const stored = readEpoch(join(folder, name));
  const wall = Date.now();
  const resumed = stored === undefined ? wall : stored.time + Math.max(0, wall - stored.wall) * stored.speed;
  const time = Math.max(resumed, notBefore);
  if (stored !== undefined || speed !== 1) {
    writeEpoch(join(folder, name), { wall, time, speed });
  }
  const started = performance.now();
  return { speed, now: () => instant(Math.floor(time + (performance.now() - started) * speed)) };
}

function readEpoch(path: string): Epoch | undefined {
  if (!existsSync(path)) {
    return undefined;
  }
  try {
    return epochShape.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch (cause) {
    throw new CoalmineError("store/clock", `${path} is damaged: restore it, or delete it to go on from the time of the log's last entry`, { cause });
  }
}

function writeEpoch(path: string, epoch: Epoch): void {
  writeFileSync(`${path}.new`, `${JSON.stringify(epoch)}\n`, { flush: true });
  renameSync(`${path}.new`, path);
}
