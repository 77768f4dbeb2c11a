// SPDX-License-Identifier: Apache-2.0
import { type Command, InvalidArgumentError } from "commander";
import process from "node:process";
import { authorityOf, type AuthorityFlags, authorityOptions, type ClientFlags, clientOf, clientOptions, path } from "../client.ts";
import type { MigrationTest } from "../migration-run.ts";
import { exitCodes } from "../output/exit.ts";
import { output } from "../output/output.ts";
import { progress } from "../output/progress.ts";
import { table } from "../output/table.ts";
import { tone } from "../output/text.ts";
import { example } from "./example.ts";

interface Flags extends ClientFlags, AuthorityFlags {
  readonly release?: string;
  readonly fleet?: string;
  readonly hardware?: readonly string[];
  readonly from?: readonly string[];
  readonly seed: number;
  readonly key?: string;
  readonly out?: string;
  readonly junit?: string;
  readonly record: boolean;
}

export function register(program: Command): void {
  const migrate = program.command("migrate").description("whether a release takes over stored settings, and gives them back");
  const gather = (text: string, before: readonly string[] | undefined): readonly string[] => [...(before ?? []), text];
  example(
    authorityOptions(
      clientOptions(
        migrate
          .command("test")
          .description("run the migration matrix in virtual time: every version to come from, every state of its storage, there and back; ends with 1 when a cell is red")
          .argument("<release>", "a scenario file, or the id of a registered release made of simulated images"),
      ),
      { reason: "optional" },
    )
      .option("--release <version>", "version of the scenario file that is meant; its last one if not given")
      .option("--fleet <file>", "fleet or scenario file: hardware, and the versions that its devices run; else the scenario's, else the demo's")
      .option("--from <version>", "come from this version only (repeatable)", gather)
      .option("--hardware <name>", "try this kind of hardware only (repeatable)", gather)
      .option("--seed <n>", "seed of everything random, and of the lab's signing key", whole, 7)
      .option("--key <file>", "private key (PEM) that signed the images; derived from the seed without one")
      .option("--out <file>", "write the whole matrix as JSON, for release attest")
      .option("--junit <file>", "write JUnit XML")
      .option("--no-record", "do not record the result with the registered release")
      .action(test),
    "coalmine migrate test simulator/scenarios/settings-migration.yaml --release 1.2.0",
    "coalmine migrate test 1.2.0 --fleet fleet.yaml --url http://127.0.0.1:8080 --reason 'build 812'",
  );
}

async function test(release: string, flags: Flags): Promise<void> {
  const out = output(flags);
  out.note(`seed ${flags.seed}`);
  const { isScenarioFile, testMigration } = await import("../migration-run.ts");
  // With an orchestrator named, the result belongs to it; a file alone is tried without one.
  const client = !isScenarioFile(release) || flags.url !== undefined || process.env["COALMINE_URL"] !== undefined ? clientOf(flags) : undefined;
  const shown = progress("cells", process.stderr);
  let made: MigrationTest;
  try {
    made = await testMigration({
      release,
      version: flags.release,
      fleet: flags.fleet,
      hardware: flags.hardware,
      from: flags.from,
      seed: flags.seed,
      key: flags.key,
      client,
      progress: (done, total) => shown.update(done, total, ""),
    });
  } finally {
    shown.end();
  }
  const { writeBytes } = await import("../files.ts");
  if (flags.out !== undefined) {
    writeBytes(flags.out, `${JSON.stringify(made, null, 2)}\n`, { what: "the matrix" });
  }
  if (flags.junit !== undefined) {
    writeBytes(flags.junit, junit(made), { what: "JUnit XML" });
  }
  const recorded = client !== undefined && flags.record;
  if (recorded) {
    await client.post(path`/releases/${made.release}/matrix`, { matrix: made.result, ...authorityOf(flags) });
  }
  out.result({ ...made.matrix, release: made.release, result: made.result, recorded }, () => `${matrixText(made)}${recorded ? `\nrecorded with release ${made.release}` : ""}`);
  process.exitCode = made.matrix.ok ? exitCodes.done : exitCodes.failed;
}

function matrixText({ matrix, result }: MigrationTest): string {
  const rows = matrix.cells.map((cell) => [
    { text: cell.ok ? "ok" : "RED", tone: cell.ok ? "good" : "bad" } as const,
    cell.hardware,
    cell.from,
    cell.state,
    cell.path,
    cell.boards,
    cell.expected,
    cell.ok ? cell.actual : { text: cell.actual, tone: "bad" as const },
  ]);
  const columns = [{ title: "" }, { title: "HARDWARE" }, { title: "FROM" }, { title: "STORAGE" }, { title: "WAY" }, { title: "BOARDS", align: "right" as const }, { title: "EXPECTED", flexible: true }, { title: "ACTUAL", flexible: true }];
  const red = result.failures.length === 0 ? "" : `\n\n${result.failures.join("\n")}`;
  const verdict = matrix.ok ? tone("good", "green") : tone("bad", "red");
  return `${table(columns, rows)}${red}\n\nmatrix of ${matrix.version}: ${verdict}, ${result.cells - result.failed} of ${result.cells} cells, ${matrix.boards} boards, ${matrix.cuts} of them cut`;
}

/** One case per cell. */
function junit({ matrix }: MigrationTest): string {
  const escape = (text: string): string => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
  const cases = matrix.cells.map(
    (cell) =>
      `    <testcase classname="${escape(`${cell.hardware} from ${cell.from}`)}" name="${escape(`${cell.state} ${cell.path}`)}">${cell.ok ? "" : `<failure message="${escape([cell.actual, ...cell.failures].join("; "))}"/>`}</testcase>`,
  );
  const failures = matrix.cells.filter((cell) => !cell.ok).length;
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n  <testsuite name="migration to ${escape(matrix.version)}" tests="${cases.length}" failures="${failures}">\n${cases.join("\n")}\n  </testsuite>\n</testsuites>\n`;
}

function whole(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new InvalidArgumentError("must be a whole number");
  }
  return value;
}
