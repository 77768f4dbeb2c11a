// SPDX-License-Identifier: Apache-2.0
// Power lost during swaps of the real MCUboot: at every Nth flash operation, and at random moments of a whole life.
import { composeFlash, inspectFlash, installSecond, QemuBoard } from "@coalmine/boards";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { BoardLab } from "./lab.ts";
import { type Outcome, outcomeOf, since } from "./outcome.ts";

const booted = /Jumping to the first image slot/;
const alive = /coalmine: \S+: \S+ (\d+\.\d+\.\d+)\+\d+ build \w+/;

/** What a sweep of cuts counted. */
interface Sweep {
  cuts: number;
  operations: number;
  readonly ends: Map<string, number>;
  damaged: number;
  violations: number;
}

/**
 * Cuts power in every `every`-th operation of an upgrade, or of the revert that follows one, and starts the board again: it must come to
 * an image that is whole. MCUboot before 2.2.0 may keep the new one in a single place of a revert (upstream commit 4f393563).
 */
export function cuts(lab: BoardLab, direction: "upgrade" | "revert", every: number): Promise<Outcome> {
  return outcomeOf(`power lost in every ${ordinal(every)} flash operation of an ${direction === "upgrade" ? "upgrade" : "upgrade's revert"}`, async () => {
    const began = performance.now();
    const [from, to] = [lab.images.image("good"), lab.images.image("good2")];
    const flash = join(lab.folder, `cut-${direction}.flash`);
    const compose = (): void =>
      composeFlash(flash, { bootloader: lab.images.bootloader, image: from.bytes, second: { image: to.bytes, pending: true }, identity: { device: "cut", brokerPort: 0, coapPort: 0, smpPort: 0 } });
    const sweep: Sweep = { cuts: 0, operations: 0, ends: new Map(), damaged: 0, violations: 0 };
    compose();
    await using board = await QemuBoard.start({ flash, network: false });
    await board.waitFor(booted);
    for (let at = 1; ; at += every) {
      await board.powerCut();
      compose();
      if (direction === "revert") {
        await bootOnce(board);
        await board.powerCut();
      }
      board.armCut(at, at % 2 === 0 ? "spin" : "reset");
      await bootOnce(board);
      const { laboratory } = inspectFlash(flash);
      sweep.violations += laboratory.violations;
      if (laboratory.cuts === 0) {
        sweep.operations = laboratory.operations;
        break;
      }
      sweep.cuts += 1;
      // One more start: what it came to must be stable, or be the revert of a swap that was not confirmed.
      const { image, trailer } = inspectFlash(flash).slots[0];
      if (image === null || !image.intact) {
        sweep.damaged += 1;
      }
      const end = `${image?.version ?? "nothing"}${trailer.magic === "bad" ? ", trailer damaged" : ""}`;
      sweep.ends.set(end, (sweep.ends.get(end) ?? 0) + 1);
    }
    const wanted = direction === "upgrade" ? to.version : from.version;
    const others = [...sweep.ends].filter(([end]) => !end.startsWith(wanted)).reduce((sum, [, count]) => sum + count, 0);
    return {
      ok: sweep.cuts > 0 && sweep.damaged === 0 && sweep.violations === 0 && others <= 1,
      detail: `${sweep.cuts} cuts: ${[...sweep.ends].map(([end, count]) => `${count} end in ${end}`).join(", ")}; ${sweep.damaged} damaged, ${sweep.violations} writes against the rules of NOR flash`,
      numbers: { cuts: sweep.cuts, damaged: sweep.damaged, others, seconds: since(began) },
    };
  });
}

async function bootOnce(board: QemuBoard): Promise<void> {
  const from = board.console.count;
  await board.powerOn();
  await board.waitFor(booted, { from, patience: 120_000 });
}

/** `kill -9` at random moments of download, swap, trial and confirmation: the board must start each time. */
export function kills(lab: BoardLab, count: number, seed: number): Promise<Outcome> {
  return outcomeOf(`kill -9 at ${count} random moments of a board's life`, async () => {
    const began = performance.now();
    const random = generator(seed);
    const [from, to] = [lab.images.image("good"), lab.images.image("good2")];
    const id = "lab-kill";
    const board = await lab.board(id, from);
    const started = await board.waitFor(alive, { patience: 120_000 });
    let version = started.groups[0] as string;
    let bootable = 0;
    let swaps = 0;
    const ends = new Map<string, number>();
    for (let round = 0; round < count; round++) {
      await board.powerCut();
      const pending = round % 2 === 0;
      if (pending) {
        installSecond(board.flash, (version === from.version ? to : from).bytes);
        swaps += 1;
      }
      await board.powerOn();
      // A swap and the boot around it take half a second, the rest of a life some more.
      await sleep(random() * (pending ? 700 : 8_000));
      await board.powerCut();
      const line = board.console.count;
      await board.powerOn();
      const again = await board.waitFor(alive, { from: line, patience: 120_000 });
      version = again.groups[0] as string;
      const { slots } = inspectFlash(board.flash);
      bootable += slots[0].image?.intact === true && [from.version, to.version].includes(version) ? 1 : 0;
      ends.set(version, (ends.get(version) ?? 0) + 1);
    }
    await board.close();
    return {
      ok: bootable === count,
      detail: `${bootable} of ${count} bootable; ${[...ends].map(([end, times]) => `${times} in ${end}`).join(", ")}; ${swaps} with a swap pending (seed ${seed})`,
      numbers: { kills: count, bootable, swaps, seconds: since(began) },
    };
  });
}

function ordinal(n: number): string {
  return n === 1 ? "single" : n === 2 ? "second" : n === 3 ? "third" : `${n}th`;
}

/** Numbers from 0 to 1 by seed: SplitMix32. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e37_79b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0_aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a_2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32;
  };
}
