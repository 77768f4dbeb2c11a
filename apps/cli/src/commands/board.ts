// SPDX-License-Identifier: Apache-2.0
import type { ImageState, SmpClient } from "@coalmine/smp";
import type { Command } from "commander";
import process from "node:process";
import { exitCodes } from "../output/exit.ts";
import { output } from "../output/output.ts";
import { facts, table } from "../output/table.ts";
import { whole } from "./arguments.ts";
import { boardsOption, registerInventory } from "./board-inventory.ts";
import { registerQemu } from "./board-qemu.ts";
import { example } from "./example.ts";

interface SmpFlags {
  readonly smp?: string;
  readonly board?: string;
  readonly boards?: string;
  readonly timeout: number;
  readonly json?: true;
}

/** With the address found out. */
interface BoardFlags extends SmpFlags {
  readonly smp: string;
}

interface UpdateFlags extends SmpFlags {
  readonly confirm?: true;
  readonly permanent?: true;
  readonly upgradeOnly?: true;
  readonly patience: number;
}

export function register(program: Command): void {
  const board = program.command("board").description("boards on the desk and in QEMU: flash them, watch them, look at them, update them");
  registerInventory(board);
  example(
    smpOptions(board.command("info").description("images, buffers and statistics of a board"))
      .option("--statistics", "read every group of statistics too")
      .action(info),
    "coalmine board info --smp udp://192.0.2.7",
    "coalmine board info --smp serial:///dev/ttyACM0 --statistics --json",
  );
  example(
    smpOptions(board.command("update").description("upload an image, try it and see it run; ends with 1 when the board does not run it"))
      .argument("<file>", "signed MCUboot image")
      .option("--confirm", "confirm it once it answers; without this it stays on trial until it confirms itself or reverts")
      .option("--permanent", "install without a trial")
      .option("--upgrade-only", "let the board refuse an image that is not newer")
      .option("--patience <s>", "seconds the board may take to come back", whole(1, 3_600), 120)
      .action(update),
    "coalmine board update zephyr.signed.bin --smp udp://192.0.2.7 --confirm",
    "coalmine board update zephyr.signed.bin --smp serial:///dev/ttyACM0 --json",
  );
  example(smpOptions(board.command("reset").description("reboot a board; an image on trial that is not confirmed reverts")).action(reset), "coalmine board reset --smp udp://192.0.2.7");
  registerQemu(board);
}

function smpOptions(command: Command): Command {
  return boardsOption(command)
    .option("--smp <url>", "udp://HOST[:1337] or serial:///dev/ttyACM0[?baud=115200]; without it, the address of --board")
    .option("--board <name>", "a board of the boards file")
    .option("--timeout <ms>", "milliseconds the first of five attempts waits; each later one twice as long", whole(10, 60_000), 1_000)
    .option("--json", "one JSON document on stdout");
}

async function connect(flags: BoardFlags): Promise<SmpClient> {
  const { connectSmp } = await import("@coalmine/smp");
  return connectSmp(flags.smp, { timeout: flags.timeout });
}

/** The same flags with the address that they mean. */
async function addressed<T extends SmpFlags>(flags: T): Promise<T & { readonly smp: string }> {
  const { smpOf } = await import("../boards.ts");
  return { ...flags, smp: smpOf(flags) };
}

async function info(asked: SmpFlags & { readonly statistics?: true }): Promise<void> {
  const flags = await addressed(asked);
  const { SmpRefused, listStatistics, readImages, readParameters, readStatistics } = await import("@coalmine/smp");
  await using client = await connect(flags);
  const images = (await readImages(client)).map(shownImage);
  const parameters = (await readParameters(client)) ?? null;
  const statistics: Record<string, Record<string, number | string>> = {};
  if (flags.statistics === true) {
    try {
      for (const name of await listStatistics(client)) {
        statistics[name] = Object.fromEntries([...(await readStatistics(client, name))].map(([field, value]) => [field, typeof value === "bigint" ? String(value) : value]));
      }
    } catch (error) {
      if (!(error instanceof SmpRefused)) {
        throw error;
      }
      output(flags).note(`no statistics: ${error.message}`);
    }
  }
  const shown = { board: flags.smp, smpVersion: client.version, parameters, images, ...(flags.statistics === true ? { statistics } : {}) };
  output(flags).result(shown, () =>
    [
      facts([["board", shown.board], ["SMP version", shown.smpVersion], ["buffers", parameters === null ? "unknown" : `${parameters.buffers} of ${parameters.bufferBytes} bytes`]]),
      imageTable(images),
      ...Object.entries(statistics).map(([name, fields]) => table([{ title: name.toUpperCase() }, { title: "VALUE", align: "right" }], Object.entries(fields))),
    ].join("\n\n"),
  );
}

async function update(file: string, asked: UpdateFlags): Promise<void> {
  const flags = await addressed(asked);
  const { updateBoard } = await import("@coalmine/smp");
  const { readBytes } = await import("../files.ts");
  const { progress } = await import("../output/progress.ts");
  const image = readBytes(file, { what: "the image", bytesMax: 64 * 1024 * 1024 });
  const shownProgress = progress("upload");
  let outcome;
  try {
    outcome = await updateBoard(() => connect(flags), image, {
      confirm: flags.confirm === true,
      permanent: flags.permanent === true,
      upgradeOnly: flags.upgradeOnly === true,
      patience: flags.patience * 1_000,
      onStep: (step) => (step.kind === "upload" ? shownProgress.update(step.sent, step.total, "bytes") : shownProgress.line(STEPS[step.kind])),
    });
  } finally {
    shownProgress.end();
  }
  const images = "images" in outcome ? outcome.images.map(shownImage) : [];
  const shown = { board: flags.smp, outcome: outcome.kind, confirmed: "confirmed" in outcome && outcome.confirmed, resumedAt: "resumedAt" in outcome ? outcome.resumedAt : null, step: "step" in outcome ? outcome.step : null, reason: "reason" in outcome ? outcome.reason : null, images };
  const good = outcome.kind === "running" || outcome.kind === "already-running";
  output(flags).result(shown, () =>
    [
      facts([
        ["outcome", { text: shown.outcome, tone: good ? "good" : "bad" }],
        ["confirmed", shown.confirmed ? "yes" : "no"],
        ...(shown.reason === null ? [] : [["reason", shown.reason] as const]),
      ]),
      ...(images.length === 0 ? [] : [imageTable(images)]),
    ].join("\n\n"),
  );
  process.exitCode = good ? exitCodes.done : outcome.kind === "busy" ? exitCodes.inconclusive : outcome.kind === "lost" ? exitCodes.environment : exitCodes.failed;
}

async function reset(asked: SmpFlags): Promise<void> {
  const flags = await addressed(asked);
  const { echo, reset: resetBoard } = await import("@coalmine/smp");
  await using client = await connect(flags);
  // The reset itself is sent once; that anybody is there is found out before, with repetition.
  await echo(client, "coalmine");
  const answer = await resetBoard(client);
  const shown = { board: flags.smp, outcome: answer.kind, reason: answer.kind === "refused" ? answer.reason : null };
  output(flags).result(shown, () =>
    facts([
      ["board", shown.board],
      ["reset", { text: answer.kind === "silent" ? "sent; no answer, so whether it arrived is unknown" : shown.outcome, tone: answer.kind === "answered" ? "good" : answer.kind === "silent" ? "warn" : "bad" }],
      ...(shown.reason === null ? [] : [["reason", shown.reason] as const]),
    ]),
  );
  process.exitCode = { answered: exitCodes.done, silent: exitCodes.inconclusive, refused: exitCodes.failed }[answer.kind];
}

const STEPS = {
  requested: "swap requested",
  reset: "resetting the board",
  waiting: "waiting for it to come back",
  confirming: "confirming the image",
} as const;

function shownImage(image: ImageState) {
  return { ...image, hash: image.hash?.toHex() ?? null };
}

function imageTable(images: readonly ReturnType<typeof shownImage>[]): string {
  return table(
    [{ title: "IMAGE" }, { title: "SLOT" }, { title: "VERSION" }, { title: "STATE" }, { title: "HASH" }],
    images.map((one) => [one.image, one.slot, one.version, (["active", "confirmed", "pending", "permanent"] as const).filter((flag) => one[flag]).join(" ") || "-", one.hash?.slice(0, 16) ?? "-"]),
  );
}
