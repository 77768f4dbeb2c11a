// SPDX-License-Identifier: Apache-2.0
// The migration matrix (R43): every from-version, every state of its storage, every way there and back, on a simulated board.
//
// L1. A cell is green when every board of it ends on an image it may end on, reads what its old image read before, and can speak.
// L2. The same release, fleet and seed give the same matrix.
import { CoalmineError } from "@coalmine/core";
import { createShared, type Device, type FactoryImage, type HardwareKind, lookAtSettings, manufacture, valueNames } from "@coalmine/device";
import { modeFacts } from "@coalmine/mcuboot";
import { draw } from "@coalmine/world";
import { deviceDescription, type Fleet } from "./fleet.ts";
import { LabBoard, artifactFor } from "./lab-board.ts";
import { prepare, type StartState, startStates, variants } from "./lab-state.ts";
import type { BuiltRelease } from "./release.ts";

export const labPaths = ["upgrade", "upgrade+revert", "upgrade+rollback"] as const;
export type LabPath = (typeof labPaths)[number];

/** A build and the storage schemas it declares; null when it declares none. */
export interface LabBuild {
  readonly release: BuiltRelease;
  readonly reads: { readonly minRead: number; readonly maxRead: number } | null;
  readonly writes: number | null;
}

export interface MatrixCell {
  readonly hardware: string;
  readonly from: string;
  readonly state: StartState;
  readonly path: LabPath;
  readonly expected: string;
  readonly actual: string;
  readonly ok: boolean;
  /** Boards that were tried, and how many power cuts they met. */
  readonly boards: number;
  readonly cuts: number;
  /** What went wrong, first ones first. */
  readonly failures: readonly string[];
}

export interface Matrix {
  readonly version: string;
  /** Kinds of hardware that were tried. */
  readonly hardware: readonly string[];
  readonly seed: number;
  readonly from: readonly string[];
  readonly cells: readonly MatrixCell[];
  readonly ok: boolean;
  readonly boards: number;
  readonly cuts: number;
}

export interface LabOptions {
  readonly fleet: Fleet;
  readonly target: LabBuild;
  /** In the order of the table. */
  readonly from: readonly LabBuild[];
  /** Kinds of hardware; else all that the release is built for. */
  readonly hardware?: readonly string[] | undefined;
  readonly seed: number;
  readonly progress?: (done: number, total: number) => void;
}

const hour = 3_600_000;
/** An uncut run counts its flash operations down from here. */
const plenty = 1e9;

/** Runs the matrix. */
export function migrationMatrix(options: LabOptions): Matrix {
  const { fleet, seed, target } = options;
  const kinds = kindsOf(options);
  const cells: MatrixCell[] = [];
  const total = kinds.length * options.from.length * startStates.length * labPaths.length;
  for (const kind of kinds) {
    for (const from of options.from) {
      const lab = new Lab({ fleet, kind, from, target, seed });
      for (const state of startStates) {
        for (const path of labPaths) {
          cells.push(lab.cell(state, path));
          options.progress?.(cells.length, total);
        }
      }
    }
  }
  const sum = (of: (cell: MatrixCell) => number): number => cells.reduce((all, cell) => all + of(cell), 0);
  return {
    version: target.release.version,
    hardware: kinds.map((kind) => kind.name),
    seed,
    from: options.from.map((one) => one.release.version),
    cells,
    ok: cells.every((cell) => cell.ok),
    boards: sum((cell) => cell.boards),
    cuts: sum((cell) => cell.cuts),
  };
}

function kindsOf({ fleet, target, from, hardware }: LabOptions): readonly HardwareKind[] {
  const builtFor = (kind: HardwareKind): boolean => [target, ...from].every(({ release }) => release.artifacts.some((artifact) => artifact.hardware === kind.name));
  const unknown = hardware?.find((name) => !fleet.hardware.some((kind) => kind.name === name && builtFor(kind)));
  const kinds = fleet.hardware.filter((kind) => (hardware === undefined || hardware.includes(kind.name)) && builtFor(kind));
  if (unknown !== undefined || kinds.length === 0) {
    const names = fleet.hardware.filter(builtFor).map((kind) => kind.name).join(", ") || "none";
    throw new CoalmineError("migrate/hardware", `release ${target.release.version} and the versions it comes from are built for ${names} of this fleet${unknown === undefined ? "" : `, not for ${unknown}`}`);
  }
  return kinds;
}

interface Cut {
  /** Flash operations that still succeed, and the share of the next that is carried out. */
  readonly after: number;
  readonly torn: number;
}

/** How one board fared. */
interface Fate {
  readonly runs: string;
  /** What is wrong with it; empty when nothing is. */
  readonly wrong: readonly string[];
  /** The board could not speak from the start: it is no board that an update reaches. */
  readonly mute: boolean;
  readonly operations: number;
}

class Lab {
  readonly #kind: HardwareKind;
  readonly #fleet: Fleet;
  readonly #from: LabBuild;
  readonly #target: LabBuild;
  readonly #seed: number;
  readonly #factory: FactoryImage;
  readonly #shared = createShared(draw);

  constructor(options: { readonly fleet: Fleet; readonly kind: HardwareKind; readonly from: LabBuild; readonly target: LabBuild; readonly seed: number }) {
    this.#kind = options.kind;
    this.#fleet = options.fleet;
    this.#from = options.from;
    this.#target = options.target;
    this.#seed = options.seed;
    this.#factory = { version: options.from.release.version, image: artifactFor(options.from.release, options.kind.name).bytes };
  }

  cell(state: StartState, path: LabPath): MatrixCell {
    const about = { hardware: this.#kind.name, from: this.#from.release.version, state, path };
    const impossible = this.#impossible(path);
    if (impossible !== undefined) {
      return { ...about, expected: impossible, actual: impossible, ok: true, boards: 0, cuts: 0, failures: [] };
    }
    const fates: { readonly name: string; readonly fate: Fate }[] = [];
    if (state === "cut") {
      const { operations } = this.#live(state, path, { variant: 0 });
      for (let after = 0; after < operations; after++) {
        const torn = [0, 0.5, 0.99][after % 3] as number;
        fates.push({ name: `cut at ${after + 1}`, fate: this.#live(state, path, { variant: 0, cut: { after, torn } }) });
      }
    } else {
      for (let variant = 0; variant < variants[state]; variant++) {
        const fate = this.#live(state, path, { variant });
        if (!fate.mute) {
          fates.push({ name: variants[state] === 1 ? "it" : `board ${variant + 1}`, fate });
        }
      }
    }
    const failures = fates.flatMap(({ name, fate }) => (fate.wrong.length === 0 ? [] : [`${name}: runs ${fate.runs}, ${fate.wrong.join(", ")}`]));
    const runs = new Map<string, number>();
    for (const { fate } of fates) {
      runs.set(fate.runs, (runs.get(fate.runs) ?? 0) + 1);
    }
    const where = [...runs].map(([version, count]) => (fates.length === 1 ? `runs ${version}` : `${count} run ${version}`)).join(", ");
    return {
      ...about,
      expected: this.#expectedText(state, path),
      actual: failures.length === 0 ? `${where}, keeps all` : `${where}; ${failures.length} of ${fates.length} wrong`,
      ok: failures.length === 0 && fates.length > 0,
      boards: fates.length,
      cuts: state === "cut" ? fates.length : 0,
      failures,
    };
  }

  /** Why a way cannot be gone at all, which is an outcome of its own. */
  #impossible(path: LabPath): string | undefined {
    const { bootloader } = this.#kind;
    if (path === "upgrade+revert" && !modeFacts(bootloader).revertWorks) {
      return `no revert: ${bootloader.mode} keeps no image`;
    }
    const { reads } = this.#from;
    const { writes } = this.#target;
    if (path === "upgrade+rollback" && reads !== null && writes !== null && (writes < reads.minRead || writes > reads.maxRead)) {
      return `preflight refuses: it reads ${reads.minRead === reads.maxRead ? reads.minRead : `${reads.minRead} to ${reads.maxRead}`}`;
    }
    return undefined;
  }

  /** Images that a board may end on. */
  #allowed(state: StartState, path: LabPath): readonly string[] {
    const [from, to] = [this.#from.release.version, this.#target.release.version];
    switch (path) {
      case "upgrade":
        return state === "clean" || state === "worn" ? [to] : [to, from];
      case "upgrade+revert":
        return [from];
      case "upgrade+rollback":
        // Power lost in the old image's trial takes it back up, like any trial.
        return state === "cut" ? [from, to] : [from];
    }
  }

  #expectedText(state: StartState, path: LabPath): string {
    return `runs ${this.#allowed(state, path).join(" or ")}, keeps all`;
  }

  /** One board from the factory to the end of the path. */
  #live(state: StartState, path: LabPath, { variant, cut }: { readonly variant: number; readonly cut?: Cut }): Fate {
    const board = new LabBoard(this.#description(), this.#seed, this.#shared);
    const { device } = board;
    device.running = device.flash.image("primary");
    manufacture(device);
    prepare(device, state, variant);
    board.powerOn().run(hour, ({ device: { contacted } }) => contacted);
    if (device.identityLost) {
      return { runs: device.running?.version ?? "nothing", wrong: [], mute: true, operations: 0 };
    }
    const before = lookAtSettings(device);
    const target = artifactFor(this.#target.release, this.#kind.name).imageHash;
    const old = device.running?.hash ?? "";
    if (path === "upgrade+revert") {
      board.deaf = target; // nobody answers it: its trial cannot pass
    }
    const firstRun = path === "upgrade+rollback" ? undefined : cut;
    const upgraded = this.#update(board, this.#target.release, target, firstRun);
    let operations = upgraded;
    const isUp = device.running?.hash === target && device.trial === null;
    if (path === "upgrade+rollback" && isUp) {
      operations = this.#update(board, this.#from.release, old, cut);
    }
    // A last start: what is stored is what counts, not what an image still has in memory.
    board.powerOn().run(hour, ({ device: { phase, contacted } }) => phase === "running" && contacted);
    return { runs: device.running?.version ?? "nothing", wrong: this.#judge(device, before, this.#allowed(state, path)), mute: false, operations };
  }

  /** Takes an update to its end, with power lost in the new image's starts. Returns the flash operations of those. */
  #update(board: LabBoard, release: BuiltRelease, hash: string, cut: Cut | undefined): number {
    const { device } = board;
    let armed = false;
    board.offer(release);
    const offer = device.attempt?.offer ?? 0;
    board.run(
      6 * hour,
      ({ device: { attempt, trial, phase, update, outbox } }) =>
        attempt !== null && attempt.offer !== offer && attempt.acknowledged && trial === null && phase === "running" && update === null && outbox.length === 0,
      () => {
        if (!armed && device.phase === "booting" && device.flash.image(device.slot)?.hash === hash) {
          armed = true;
          device.power.flashLeft = cut?.after ?? plenty;
          device.power.torn = cut?.torn;
        }
      },
    );
    const operations = plenty - device.power.flashLeft;
    device.power.flashLeft = Number.POSITIVE_INFINITY;
    device.power.torn = undefined;
    return operations;
  }

  #description() {
    const any = deviceDescription(this.#fleet, 0);
    const noise = { crashesPerDay: 0, bootFailure: 0 };
    return { ...any, hardware: this.#kind, firmware: this.#factory, noise, connectivity: { ...any.connectivity, sleepy: false }, power: { name: "bench", battery: null } };
  }

  #judge(device: Device, before: ReturnType<typeof lookAtSettings>, allowed: readonly string[]): string[] {
    const wrong: string[] = [];
    const { running, phase } = device;
    if (phase !== "running" || running === null) {
      return [`nothing runs (${phase})`];
    }
    if (!allowed.includes(running.version)) {
      wrong.push(`should run ${allowed.join(" or ")}`);
    }
    const { fates, counter } = lookAtSettings(device);
    for (const name of valueNames) {
      if (fates[name] !== before.fates[name] && before.fates[name] === "kept") {
        wrong.push(`${name} ${fates[name]}`);
      }
    }
    if (fates.counter === "kept" && counter < before.counter) {
      wrong.push(`counter ${counter}, was ${before.counter}`);
    }
    if (device.identityLost) {
      wrong.push("cannot speak");
    }
    return wrong;
  }
}

/** The red cells in words, first ones first. */
export function failuresOf(matrix: Matrix, most = 16): string[] {
  return matrix.cells
    .filter((cell) => !cell.ok)
    .slice(0, most)
    .map((cell) => `${cell.hardware} from ${cell.from}, ${cell.state}, ${cell.path}: ${cell.failures[0] ?? "no board that could be updated"}`.slice(0, 500));
}
