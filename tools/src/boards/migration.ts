// SPDX-License-Identifier: Apache-2.0
// The migration matrix of a release on emulated boards (R42-R44): a real Zephyr, its NVS and a real MCUboot where `migrate test` has models of them.
import { composeFlash, inspectFlash, installSecond, QemuBoard, readLaboratory, requestSwap, writeLaboratory } from "@coalmine/boards";
import { labPaths, type LabPath, type MatrixCell } from "@coalmine/fleet";
import { parseImage } from "@coalmine/mcuboot";
import type { MatrixResult } from "@coalmine/orchestrator";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import type { NodeImage } from "./images.ts";
import { type BoardLab, until } from "./lab.ts";

/** What the sample `mqtt-node` stores: schema 1 has a period in seconds, schema 2 in milliseconds under another name. */
const period_s = 45;
const secret = new TextEncoder().encode("5a".repeat(32));
const provisioned = new Map([["node/1/period", u32(period_s)], ["coalmine/secret", secret]]);

const jumping = /Jumping to the first image slot/;
const started = /coalmine: \S+: \S+ (\d+\.\d+\.\d+)\+\d+ build \w+, (confirmed|on trial)/;
/** A trial confirms, or another start begins: it crashed, or lost power, or its watchdog bit. */
const decided = /coalmine: image confirmed \(0\)|Jumping to the first image slot/;
/** A healthy trial confirms after 30 seconds, unless it was built otherwise. */
const TRIAL_MS = 60_000;
const START_MS = 120_000;

const cutsMax = 12;

/** A cell of the matrix as the laboratory of `migrate test` has them: emulated boards are all of one kind and know two states. */
export interface MigrationCell extends Omit<MatrixCell, "hardware" | "state"> {
  readonly state: "clean" | "cut";
}

/** What became of one board. */
interface Fate {
  readonly runs: string;
  /** What it should have, and has not. */
  readonly wrong: readonly string[];
  /** Flash operations of the part of its life that a cut may fall into: the bootloader's, too, when it reverts in it. */
  readonly operations: number;
  readonly cuts: number;
}

export interface MigrationOptions {
  readonly from: readonly NodeImage[];
  readonly to: NodeImage;
  /** Power is lost in every so manieth flash operation, or less often: no cell has more than `cutsMax` boards. */
  readonly every: number;
  /** Boards that run at the same time. */
  readonly abreast: number;
  readonly told: (cell: MigrationCell) => void;
}

/** Runs from-versions x {clean, cut} x paths; a cell at a time, its boards together. */
export async function migrationOnBoards(lab: BoardLab, options: MigrationOptions): Promise<readonly MigrationCell[]> {
  const { from: versions, to, every, abreast, told } = options;
  const cells: MigrationCell[] = [];
  for (const from of versions) {
    const old = await oldBoard(lab, from);
    const lives: Record<LabPath, number> = { "upgrade": 0, "upgrade+revert": 0, "upgrade+rollback": 0 };
    const red = new Set<LabPath>();
    for (const state of ["clean", "cut"] as const) {
      for (const path of labPaths) {
        if (red.has(path)) {
          continue; // what fails with power needs no cuts
        }
        // The clean board says how many operations there are to cut.
        const step = Math.max(every, Math.ceil(lives[path] / cutsMax));
        const cuts = state === "clean" ? [undefined] : Array.from({ length: Math.ceil(lives[path] / step) }, (_, n) => 1 + n * step);
        const fates = await inTurns(cuts, abreast, async (cut) => ({ cut, fate: await life(lab, old, { from, to, path, cut }) }));
        if (state === "clean") {
          lives[path] = fates[0]?.fate.operations ?? 0;
        }
        const cell = judge({ from: from.version, state, path, to: to.version }, fates);
        if (!cell.ok) {
          red.add(path);
        }
        cells.push(cell);
        told(cell);
      }
    }
  }
  return cells;
}

/** What a release is attested with, as `migrate test` writes it. */
export function matrixOfBoards(cells: readonly MigrationCell[], to: NodeImage, seed: number): MatrixResult {
  const image = parseImage(to.bytes);
  const failed = cells.filter((cell) => !cell.ok);
  return {
    ok: failed.length === 0,
    from: [...new Set(cells.map((cell) => cell.from))],
    images: image.kind === "image" && image.imageHash !== undefined ? [image.imageHash.toHex()] : [],
    cells: cells.length,
    failed: failed.length,
    boards: cells.reduce((sum, cell) => sum + cell.boards, 0),
    cuts: cells.reduce((sum, cell) => sum + cell.cuts, 0),
    seed,
    failures: failed.slice(0, 16).map((cell) => `boards from ${cell.from}, ${cell.state}, ${cell.path}: ${cell.failures[0] ?? "no board that could be updated"}`.slice(0, 500)),
  };
}

/** A flash file of a board that has lived with the old image. */
async function oldBoard(lab: BoardLab, image: NodeImage): Promise<string> {
  const flash = join(lab.folder, `old-${image.version}.flash`);
  composeFlash(flash, { bootloader: lab.images.bootloader, image: image.bytes, settings: provisioned, identity: lab.identityOf("old") });
  await using board = await QemuBoard.start({ flash });
  await board.waitFor(started, { patience: START_MS });
  await board.waitFor(/coalmine: link up/, { patience: START_MS });
  return flash;
}

let boards = 0;

interface Life {
  readonly from: NodeImage;
  readonly to: NodeImage;
  readonly path: LabPath;
  /** Power is lost in this flash operation of the part that the path is about. */
  readonly cut: number | undefined;
}

/** One board: swapped to the new image, and whatever the path is about; then it must run, know what it knew, and speak. */
async function life(lab: BoardLab, old: string, { from, to, path, cut }: Life): Promise<Fate> {
  const id = `migrates-${++boards}`;
  const flash = join(lab.folder, `${id}.flash`);
  copyFileSync(old, flash);
  const before = inspectFlash(flash).settings;
  writeLaboratory(flash, lab.identityOf(id));
  installSecond(flash, to.bytes);
  await using board = await QemuBoard.start({ flash });
  let begun: number;
  let line = 0;
  if (path === "upgrade") {
    begun = await begin(board, flash, line, cut);
  } else {
    const first = await board.waitFor(started, { patience: START_MS });
    if (path === "upgrade+revert") {
      await board.powerCut(); // on trial, with its settings migrated: MCUboot reverts
    } else {
      await settle(board, first.number);
      await retired(flash, to);
      await board.powerCut();
      requestSwap(flash);
    }
    line = board.console.count;
    await board.powerOn();
    begun = await begin(board, flash, line, cut);
  }
  const runs = await settle(board, line);
  await retired(flash, { version: runs });
  const { operations } = readLaboratory(flash);
  const device = await lab.deviceWhen(id, `says that it runs ${runs}, confirmed`, ({ running }) => running?.version.startsWith(runs) === true && running.confirmed, 60).catch(() => undefined);
  await board.powerCut();
  const after = inspectFlash(flash);
  const wrong = [
    ...(after.slots[0].image?.intact === true ? [] : ["its image is damaged"]),
    ...(device === undefined ? ["it cannot speak"] : []),
    ...lost(before, after.settings, runs === to.version ? 2 : 1),
    ...(allowed(path, cut !== undefined, from.version, to.version).includes(runs) ? [] : [`it runs ${runs}`]),
  ];
  return { runs, wrong, operations: operations - begun, cuts: after.laboratory.cuts };
}

/**
 * MCUboot is done and the image has not written yet: its network driver sleeps two seconds before its settings are opened. From here on power may be
 * lost. Gives the number of flash operations so far.
 */
async function begin(board: QemuBoard, flash: string, line: number, cut: number | undefined): Promise<number> {
  await board.waitFor(jumping, { from: line, patience: START_MS });
  const { operations } = readLaboratory(flash);
  if (cut !== undefined) {
    board.armCut(cut, "spin");
  }
  return operations;
}

/** Waits until an image is confirmed and stays; one that will not confirm loses power, and is reverted. Gives its version. */
async function settle(board: QemuBoard, from: number): Promise<string> {
  let line = from;
  for (;;) {
    const start = await board.waitFor(started, { from: line, patience: START_MS });
    const [version = "", state] = start.groups;
    if (state === "confirmed") {
      return version;
    }
    line = start.number + 1;
    const next = await board.waitFor(decided, { from: line, patience: TRIAL_MS }).catch(() => undefined);
    if (next?.line.includes("image confirmed") === true) {
      return version;
    }
    if (next === undefined) {
      await board.powerCut();
      line = board.console.count;
      await board.powerOn();
    }
  }
}

/** The confirmed new image removes the old schema's values a moment later; an old one has none to remove. */
async function retired(flash: string, { version }: { readonly version: string }): Promise<void> {
  await until(`${flash}: ${version} to be done with its settings`, 10, () => (inspectFlash(flash).settings.has("node/2/period") && inspectFlash(flash).settings.has("node/1/period") ? undefined : true)).catch(() => undefined);
}

/** The versions that a board may end on. The sample's old images cannot read schema 2 once schema 1 is retired: they refuse, and are reverted. */
function allowed(path: LabPath, cut: boolean, from: string, to: string): readonly string[] {
  if (path === "upgrade+rollback") {
    return [to];
  }
  return path === "upgrade" ? (cut ? [to, from] : [to]) : [from];
}

/** What an image of a schema should find, and does not. */
function lost(before: ReadonlyMap<string, Uint8Array>, after: ReadonlyMap<string, Uint8Array>, schema: 1 | 2): string[] {
  const wrong: string[] = [];
  const period = after.get(`node/${schema}/period`);
  const expected = schema === 1 ? period_s : period_s * 1_000;
  if (period === undefined || number(period) !== expected) {
    wrong.push(`its period is ${period === undefined ? "gone" : number(period)}, not ${expected}`);
  }
  const record = after.get("node/schema");
  const [oldest, newest] = record?.length === 6 ? [half(record, 0), half(record, 2)] : [0, 0];
  if (!(oldest <= schema && schema <= newest)) {
    wrong.push(`its schema record has ${oldest} to ${newest}, not ${schema}`);
  }
  if (after.get("coalmine/secret")?.toHex() !== before.get("coalmine/secret")?.toHex()) {
    wrong.push("its secret is gone");
  }
  const [earlier, boots] = [before.get("coalmine/1"), after.get("coalmine/1")];
  if (boots === undefined || earlier === undefined || number(boots.subarray(1)) <= number(earlier.subarray(1))) {
    wrong.push("it does not count its starts any more");
  }
  return wrong;
}

function judge(about: { readonly from: string; readonly to: string; readonly state: "clean" | "cut"; readonly path: LabPath }, fates: readonly { readonly cut: number | undefined; readonly fate: Fate }[]): MigrationCell {
  const { from, to, state, path } = about;
  const failures = fates.flatMap(({ cut, fate }) => (fate.wrong.length === 0 ? [] : [`${cut === undefined ? "" : `cut at operation ${cut}: `}${fate.wrong.join(", ")}`]));
  const ends = [...new Set(fates.map(({ fate }) => fate.runs))].map((version) => `${fates.filter(({ fate }) => fate.runs === version).length} on ${version}`).join(", ");
  return {
    from,
    state,
    path,
    expected: `on ${allowed(path, state === "cut", from, to).join(" or ")}, keeps all`,
    actual: `${ends || "no board"}${failures.length === 0 ? ", keeps all" : `; ${failures.length} of ${fates.length} wrong`}`,
    ok: failures.length === 0 && fates.length > 0,
    boards: fates.length,
    cuts: fates.reduce((sum, { fate }) => sum + fate.cuts, 0),
    failures,
  };
}

/** In order, at most so many at a time. */
async function inTurns<T, R>(items: readonly T[], most: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: Math.min(most, items.length) }, async () => {
      while (next < items.length) {
        const at = next++;
        results[at] = await work(items[at] as T);
      }
    }),
  );
  return results;
}

function u32(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24);
}

function number(bytes: Uint8Array): number {
  return bytes.reduceRight((sum, byte) => sum * 256 + byte, 0);
}

function half(bytes: Uint8Array, at: number): number {
  return number(bytes.subarray(at, at + 2));
}
