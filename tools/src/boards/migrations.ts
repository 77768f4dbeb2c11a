// SPDX-License-Identifier: Apache-2.0
// Two migrations on boards: one that keeps everything, whose matrix the orchestrator then takes, and one that loses a value, whose matrix must be red.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { NodeImage } from "./images.ts";
import type { BoardLab } from "./lab.ts";
import { matrixOfBoards, type MigrationCell, migrationOnBoards } from "./migration.ts";
import { type Outcome, outcomeOf, since } from "./outcome.ts";

export interface MigrationsOptions {
  readonly every: number;
  readonly abreast: number;
  readonly seed: number;
  /** Where the good release's result goes. */
  readonly out: string | undefined;
}

export async function migrations(lab: BoardLab, options: MigrationsOptions): Promise<readonly Outcome[]> {
  const from = ["good", "good2"].filter((name) => lab.images.has(name)).map((name) => lab.images.image(name));
  const run = async (to: NodeImage): Promise<readonly MigrationCell[]> => {
    lab.note(`migration to ${to.version}`);
    return await migrationOnBoards(lab, { from, to, every: options.every, abreast: options.abreast, told: (cell) => lab.note(told(cell)) });
  };
  const good = await outcomeOf("a migration that keeps everything is green, and its matrix is taken for its release", async () => {
    const began = performance.now();
    const to = lab.images.image("migrates");
    const result = matrixOfBoards(await run(to), to, options.seed);
    const file = options.out ?? join(lab.folder, "matrix.json");
    writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`);
    const attested = result.ok ? await attest(lab, to, file) : "not attested";
    return { ok: result.ok && attested === "", detail: `${result.cells - result.failed} of ${result.cells} cells green; ${attested || "attested"}`, numbers: { cells: result.cells, boards: result.boards, cuts: result.cuts, seconds: since(began) } };
  });
  const bad = await outcomeOf("a migration that loses a value is red where it is installed, and green where it is reverted", async () => {
    const began = performance.now();
    const cells = await run(lab.images.image("settings"));
    const asItShould = cells.filter((cell) => cell.ok === (cell.path === "upgrade+revert"));
    const red = cells.filter((cell) => !cell.ok).length;
    return { ok: cells.length > 0 && asItShould.length === cells.length, detail: `${red} of ${cells.length} cells red`, numbers: { cells: cells.length, red, seconds: since(began) } };
  });
  return [good, bad];
}

function told({ ok, from, state, path, expected, actual, cuts, failures }: MigrationCell): string {
  return `${ok ? "green" : "RED  "} from ${from}, ${state}, ${path}: expected ${expected}; ${actual}${cuts > 0 ? `; ${cuts} cuts` : ""}${failures.length === 0 ? "" : ` (${failures[0]})`}`;
}

/** Registers the release with its schemas and gives the orchestrator the matrix. What is wrong, or nothing. */
async function attest(lab: BoardLab, to: NodeImage, file: string): Promise<string> {
  const variant = await lab.variantOf("old");
  await lab.release(to.version, [{ variant, bytes: to.bytes }], { minRead: 1, maxRead: 2, writes: 2 });
  await lab.ask(["release", "attest", to.version, "--matrix", file, "--reason", "run on boards"]);
  const { matrix, migration } = await lab.api.get<{ readonly matrix: { readonly ok: boolean } | null; readonly migration: boolean }>(`/releases/${to.version}`);
  return matrix?.ok === true && migration ? "" : `the release shows ${JSON.stringify({ matrix, migration })}`;
}
