// SPDX-License-Identifier: Apache-2.0
import type { CallResult, Flash } from "@coalmine/mcuboot";
import { type Command, InvalidArgumentError } from "commander";
import process from "node:process";
import type { Board, FlashState } from "../flash-file.ts";
import { exitCodes } from "../output/exit.ts";
import { output } from "../output/output.ts";
import { facts, table } from "../output/table.ts";
import { toneOf } from "../output/text.ts";
import { whole } from "./arguments.ts";
import { example } from "./example.ts";

interface FlashFlags {
  readonly flash: string;
  readonly config: string;
  readonly json?: true;
}

interface ChangeFlags extends FlashFlags {
  readonly out: string;
  readonly cutBefore?: number;
}

export function register(program: Command): void {
  const mcuboot = program.command("mcuboot").description("the bootloader's model over flash dumps");
  example(
    changeOptions(flashOptions(mcuboot.command("boot").description("one boot; ends with 1 when nothing boots")))
      .option("--nv <list>", "stored security counters by image, such as 3 or 3,0", counters)
      .action(boot),
    "coalmine mcuboot boot --flash flash.bin --config board.json --out after.bin",
    "coalmine mcuboot boot --flash flash.bin --config board.json --out cut.bin --cut-before 17 --json",
  );
  example(flashOptions(mcuboot.command("trailer").description("the trailers of a flash, and what the next boot will do")).action(trailer), "coalmine mcuboot trailer --flash flash.bin --config board.json");
  example(
    changeOptions(flashOptions(mcuboot.command("set-pending").description("ask for a swap at the next boot, as an application does")))
      .option("--permanent", "without a trial")
      .option("--image <n>", "image number", whole(0, 1), 0)
      .action(setPending),
    "coalmine mcuboot set-pending --flash flash.bin --config board.json --out pending.bin",
  );
  example(
    changeOptions(flashOptions(mcuboot.command("set-confirmed").description("make the running image permanent, as an application does")))
      .option("--image <n>", "image number", whole(0, 1), 0)
      .action(setConfirmed),
    "coalmine mcuboot set-confirmed --flash flash.bin --config board.json --out confirmed.bin",
  );
}

function flashOptions(command: Command): Command {
  return command
    .requiredOption("--flash <file>", "flat flash dump, gzipped or not")
    .requiredOption("--config <file>", "JSON with config and areas, in the format of the conformance vectors")
    .option("--json", "one JSON document on stdout");
}

function changeOptions(command: Command): Command {
  return command.requiredOption("--out <file>", "where to write the flash afterwards").option("--cut-before <n>", "lose power before the n-th flash operation", whole(1));
}

function counters(text: string): readonly number[] {
  const values = text.split(",").map(Number);
  if (!/^\d+(,\d+)*$/.test(text) || values.some((value) => value > 0xffff_ffff)) {
    throw new InvalidArgumentError("Give numbers separated by commas.");
  }
  return values;
}

async function boot(flags: ChangeFlags & { readonly nv?: readonly number[] }): Promise<void> {
  const { boot: bootOnce } = await import("@coalmine/mcuboot");
  const { flashState, headerState, readBoard, readFlash } = await import("../flash-file.ts");
  const { writeBytes } = await import("../files.ts");
  const board = readBoard(flags.config);
  const flash = readFlash(flags.flash, board);
  const result = bootOnce(board.config, flash, { cutBefore: flags.cutBefore, nv: flags.nv });
  const { rewrites, misaligned, ...ops } = result.ops;
  const shown = {
    outcome: result.outcome,
    slot: result.slot ?? null,
    hdr: headerState(result.header),
    imageHash: result.imageHash?.toHex() ?? null,
    swapTypeBefore: result.swapType,
    ops,
    rewrites,
    misaligned,
    nv: result.nv,
    assertion: result.assertion ?? null,
    ...flashState(board, flash),
  };
  writeBytes(flags.out, flash.dump(), { what: "the flash" });
  output(flags).result(shown, () => {
    const head = facts([
      ["outcome", { text: shown.outcome, tone: shown.outcome === "boot" ? "good" : shown.outcome === "cut" ? "warn" : "bad" }],
      ["runs", shown.hdr === null ? "nothing" : `${shown.hdr.version} in the ${shown.slot} slot`],
      ["swap type before", shown.swapTypeBefore],
      ["flash operations", `${ops.total}: ${ops.writes} writes of ${ops.bytesWritten} bytes, ${ops.erases} erases of ${ops.bytesErased} bytes`],
      ...(shown.assertion === null ? [] : [["assertion", { text: shown.assertion, tone: "bad" as const }] as const]),
    ]);
    return `${head}\n\n${describeState(shown)}`;
  });
  process.exitCode = result.outcome === "fail" || result.outcome === "assert" ? exitCodes.failed : exitCodes.done;
}

async function trailer(flags: FlashFlags): Promise<void> {
  const { flashState, readBoard, readFlash } = await import("../flash-file.ts");
  const board = readBoard(flags.config);
  const state = flashState(board, readFlash(flags.flash, board));
  output(flags).result(state, () => describeState(state));
}

async function setPending(flags: ChangeFlags & { readonly permanent?: true; readonly image: number }): Promise<void> {
  const { setPending: request } = await import("@coalmine/mcuboot");
  await change(flags, (board, flash) => request(board.config, flash, { permanent: flags.permanent === true, image: flags.image }, { cutBefore: flags.cutBefore }));
}

async function setConfirmed(flags: ChangeFlags & { readonly image: number }): Promise<void> {
  const { setConfirmed: confirm } = await import("@coalmine/mcuboot");
  await change(flags, (board, flash) => confirm(board.config, flash, { image: flags.image }, { cutBefore: flags.cutBefore }));
}

async function change(flags: ChangeFlags, act: (board: Board, flash: Flash) => CallResult): Promise<void> {
  const { flashState, readBoard, readFlash } = await import("../flash-file.ts");
  const { writeBytes } = await import("../files.ts");
  const board = readBoard(flags.config);
  const flash = readFlash(flags.flash, board);
  const result = act(board, flash);
  const { rewrites, misaligned, ...ops } = result.ops;
  const shown = { outcome: result.outcome, rc: result.rc, writes: ops.writes, ops, rewrites, misaligned, ...flashState(board, flash) };
  writeBytes(flags.out, flash.dump(), { what: "the flash" });
  output(flags).result(shown, () => `${facts([["outcome", shown.outcome], ["return code", { text: String(shown.rc), tone: shown.rc === 0 ? "good" : "bad" }], ["writes", shown.writes]])}\n\n${describeState(shown)}`);
  process.exitCode = result.outcome === "done" && result.rc !== 0 ? exitCodes.failed : exitCodes.done;
}

function describeState(state: FlashState): string {
  const rows = Object.entries(state.areas).map(([name, { sha, trailer: one }]) => [name, one?.magic ?? "-", one?.swapType ?? "-", one?.copyDone ?? "-", one?.imageOk ?? "-", sha.slice(0, 16)]);
  const next = facts([["next boot", { text: state.swapType + (state.swapType1 === undefined ? "" : `, second image ${state.swapType1}`), tone: toneOf(state.swapType) }], ["flash sha256", state.sha]]);
  return `${table([{ title: "AREA" }, { title: "MAGIC" }, { title: "SWAP" }, { title: "COPY DONE" }, { title: "IMAGE OK" }, { title: "SHA256" }], rows)}\n\n${next}`;
}
