// SPDX-License-Identifier: Apache-2.0
// `npm run boards -- [RUN ...] --images FOLDER`: a real Zephyr under a real MCUboot in QEMU, end to end. Exits 0 when all runs are as they should be, 1 when one
// is not, 4 when there is nothing to run with.
import { findQemu } from "@coalmine/boards";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { fleetBoards, mixedRollouts, simulatedReleases } from "./fleet.ts";
import { findImages, type Images } from "./images.ts";
import { BoardLab } from "./lab.ts";
import { crashes, goodAndBack, lost } from "./one-board.ts";
import { migrations } from "./migrations.ts";
import type { Outcome } from "./outcome.ts";
import { cuts, kills } from "./power.ts";

const runs = ["updates", "kills", "cuts", "fleet", "migration"] as const;
type Run = (typeof runs)[number];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    images: { type: "string" },
    seed: { type: "string", default: "7" },
    kills: { type: "string", default: "20" },
    every: { type: "string" },
    boards: { type: "string", default: "5" },
    devices: { type: "string", default: "500" },
    abreast: { type: "string", default: "6" },
    out: { type: "string" },
    json: { type: "boolean", default: false },
  },
});

function count(name: "seed" | "kills" | "every" | "boards" | "devices" | "abreast", fallback?: number): number {
  const value = Number(values[name] ?? fallback);
  if (!Number.isSafeInteger(value) || value < (name === "seed" ? 0 : 1)) {
    usage(`--${name} needs a whole number`);
  }
  return value;
}

function usage(problem: string): never {
  console.error(`${problem}\nexample: npm run -s boards -- updates cuts --images FOLDER [--every 5] [--kills 20] [--boards 5 --devices 500] [--abreast 6 --out matrix.json] [--seed 7] [--json]\nruns: ${runs.join(", ")}; all of them without a name`);
  process.exit(3);
}

const wanted = positionals.length === 0 ? runs : positionals.map((name) => runs.find((run) => run === name) ?? usage(`there is no run ${JSON.stringify(name)}`));
const images = findImages(values.images ?? process.env["COALMINE_BOARD_IMAGES"]);
if ("reason" in images) {
  console.error(`nothing was run: ${images.reason}`);
  process.exit(4);
}
if (findQemu() === undefined) {
  console.error("nothing was run: qemu-system-arm is not installed (Debian: apt install qemu-system-arm)");
  process.exit(4);
}
const note = (line: string): void => console.error(line);
const outcomes: Outcome[] = [];

function take(...more: readonly Outcome[]): void {
  for (const one of more) {
    outcomes.push(one);
    note(`${one.ok ? "ok    " : "FAILED"} ${one.name}: ${one.detail}`);
  }
}

for (const run of wanted) {
  await carryOut(run, images);
}
const failed = outcomes.filter((one) => !one.ok).length;
if (values.json) {
  console.log(JSON.stringify({ seed: count("seed"), outcomes }));
} else {
  for (const one of outcomes) {
    console.log(`${one.ok ? "ok    " : "FAILED"} ${one.name}: ${Object.entries(one.numbers).map(([name, value]) => `${name} ${value}`).join(", ")}`);
  }
}
console.error(`${outcomes.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

async function carryOut(run: Run, of: Images): Promise<void> {
  switch (run) {
    case "updates": {
      await using lab = await BoardLab.start(of, note);
      // A board behind SMP tells nothing of crashes.
      const crashing = (["mqtt-node", "coap-node"] as const).filter((sample) => of.has("crash", sample) && of.has("good", sample));
      const all = await Promise.all([goodAndBack(lab), ...(["never", "hangs", "settings"] as const).filter((name) => of.has(name)).map(async (name) => [await lost(lab, name)]), ...crashing.map(async (sample) => [await crashes(lab, sample)])]);
      take(...all.flat());
      return;
    }
    case "kills": {
      await using lab = await BoardLab.start(of, note);
      take(await kills(lab, count("kills"), count("seed")));
      return;
    }
    case "cuts": {
      await using lab = await BoardLab.start(of, note);
      const every = count("every", 5);
      take(await cuts(lab, "upgrade", every), await cuts(lab, "revert", every));
      return;
    }
    case "fleet": {
      const folder = mkdtempSync(join(tmpdir(), "coalmine-releases-"));
      try {
        const simulated = simulatedReleases(folder, ["good2", "crash"].map((name) => of.image(name).version), count("seed"));
        const boards = fleetBoards(of, count("boards"));
        await using lab = await BoardLab.start(of, note, { keys: [simulated.key], smp: boards.filter(({ sample }) => sample === "smp-node").map(({ id }) => id) });
        take(...(await mixedRollouts(lab, simulated, { boards, devices: count("devices"), seed: count("seed") })));
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
      return;
    }
    case "migration": {
      await using lab = await BoardLab.start(of, note);
      take(...(await migrations(lab, { every: count("every", 2), abreast: count("abreast"), seed: count("seed"), out: values.out })));
    }
  }
}
