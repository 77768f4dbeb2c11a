// SPDX-License-Identifier: Apache-2.0
import type { CutStyle } from "@coalmine/boards";
import { type Command, InvalidArgumentError, Option } from "commander";
import process from "node:process";
import { badUsage, exitCodes } from "../output/exit.ts";
import { output } from "../output/output.ts";
import { facts, table } from "../output/table.ts";
import { whole } from "./arguments.ts";
import { example } from "./example.ts";

interface JsonFlag {
  readonly json?: true;
}

interface ContentFlags {
  readonly bootloader?: string;
  readonly image?: string;
  readonly second?: string;
  readonly pending?: true;
  readonly key?: string;
  readonly imageVersion?: string;
  readonly id: string;
  readonly broker?: string;
  readonly coap?: string;
  readonly secret?: string;
  readonly smp?: number;
  readonly eraseUs?: number;
  readonly writeUs?: number;
}

export interface QemuRunFlags extends ContentFlags, JsonFlag {
  readonly flash?: string;
  readonly fresh?: true;
  readonly count: number;
  readonly network: boolean;
  readonly restart: boolean;
  readonly cutAt?: number;
  readonly cutStyle: CutStyle;
  readonly for?: number;
  readonly until?: RegExp;
}

/** Adds `board qemu`: boards whose flash is a file. */
export function registerQemu(board: Command): void {
  const qemu = board.command("qemu").description("emulated boards: QEMU's mps2-an385 with its flash in a file");
  example(
    contents(qemu.command("make").description("compose the flash file of a board").argument("<flash>", "file to write; replaced when it is there"))
      .option("--json", "one JSON document on stdout")
      .action(async (flash: string, flags: ContentFlags & JsonFlag) => {
        const { make } = await import("../board-qemu-run.ts");
        make(flash, flags);
        await inspect(flash, flags);
      }),
    "coalmine board qemu make lab-1.flash --bootloader mcuboot.bin --image node-1.0.0.bin --id lab-1 --broker 127.0.0.1:1883",
  );
  example(
    contents(qemu.command("run").description("run one board or several until Ctrl-C, console lines on stdout; a flash file that is not there yet is composed"))
      .option("--flash <file>", "flash file; ID.flash without one. Not with --count")
      .option("--fresh", "compose anew, even if the file is there")
      .option("--count <n>", "so many boards, ID-1 to ID-N", whole(1, 500), 1)
      .option("--no-network", "without a network card: starts in a tenth of a second")
      .option("--no-restart", "stay off after a crash of QEMU or a planned cut")
      .option("--cut-at <n>", "lose power in the n-th flash operation from the start", whole(1, 0xffff_ffff))
      .addOption(new Option("--cut-style <style>", "spin: until the process is killed; reset: the CPU resets itself").choices(["spin", "reset"]).default("spin"))
      .option("--for <seconds>", "end after so many seconds", whole(1))
      .option("--until <pattern>", "end with 0 once every board has printed a line like this; with --for, with 1 when the time is up", pattern)
      .option("--json", "one JSON document with what happened on stdout; the console goes to stderr")
      .action(async (flags: QemuRunFlags) => {
        const { run } = await import("../board-qemu-run.ts");
        await run(flags);
      }),
    "coalmine board qemu run --bootloader mcuboot.bin --image node-1.0.0.bin --id lab --count 5 --broker 127.0.0.1:1883",
    "coalmine board qemu run --flash lab-1.flash --id lab-1 --no-network --until 'APP .* confirmed=1' --for 30 --json",
  );
  example(
    qemu
      .command("inspect")
      .description("slots, trailers, settings, coredump and counters of a flash file, also of a running board")
      .argument("<flash>")
      .option("--coredump <file>", "write the stored coredump there, for `coalmine coredump decode`")
      .option("--json", "one JSON document on stdout")
      .action(inspect),
    "coalmine board qemu inspect lab-1.flash --json",
  );
  example(
    qemu
      .command("cut")
      .description("plan a loss of power in a later flash operation, also of a running board; without a running board it is a power cut at its next start")
      .argument("<flash>")
      .requiredOption("--at <n>", "operations from now on; 1 is the next, 0 takes a plan back", whole(0, 0xffff_ffff))
      .addOption(new Option("--style <style>", "spin or reset").choices(["spin", "reset"]).default("spin"))
      .option("--json", "one JSON document on stdout")
      .action(async (flash: string, flags: JsonFlag & { readonly at: number; readonly style: CutStyle }) => {
        const { armCut, readLaboratory } = await import("@coalmine/boards");
        armCut(flash, flags.at, flags.style);
        const page = readLaboratory(flash);
        output(flags).result(page, () => facts([["operations so far", page.operations], ["power is lost in operation", page.cutAt === 0 ? "none" : page.cutAt], ["style", page.cutStyle]]));
      }),
    "coalmine board qemu cut lab-1.flash --at 40",
  );
  example(
    qemu
      .command("install")
      .description("put a signed image into slot 1 of a board that is off, and ask for a test swap")
      .argument("<flash>")
      .argument("<image>")
      .option("--permanent", "without a trial")
      .option("--json", "one JSON document on stdout")
      .action(async (flash: string, image: string, flags: JsonFlag & { readonly permanent?: true }) => {
        const { installSecond } = await import("@coalmine/boards");
        const { readBoardImage } = await import("../boards.ts");
        await requireOff(flash);
        installSecond(flash, readBoardImage(image, {}), { permanent: flags.permanent === true });
        await inspect(flash, flags);
      }),
    "coalmine board qemu install lab-1.flash node-2.0.0.bin",
  );
  example(
    qemu
      .command("swap")
      .description("ask for the image that slot 1 keeps, on a board that is off: a swap-back, on trial unless --permanent")
      .argument("<flash>")
      .option("--permanent", "without a trial")
      .option("--json", "one JSON document on stdout")
      .action(async (flash: string, flags: JsonFlag & { readonly permanent?: true }) => {
        const { requestSwap } = await import("@coalmine/boards");
        await requireOff(flash);
        requestSwap(flash, { permanent: flags.permanent === true });
        await inspect(flash, flags);
      }),
    "coalmine board qemu swap lab-1.flash",
  );
  example(
    qemu.command("link").description("plug the network cable of a running board in or out").argument("<flash>").argument("<state>", "up or down").option("--json", "one JSON document on stdout").action(link),
    "coalmine board qemu link lab-1.flash down",
  );
  for (const [name, command, description] of [
    ["pause", "stop", "halt a running board: silent, but not gone"],
    ["resume", "cont", "let a halted board go on"],
    ["reset", "system_reset", "press the reset button of a running board"],
  ] as const) {
    example(
      qemu.command(name).description(description).argument("<flash>").option("--json", "one JSON document on stdout").action(async (flash: string, flags: JsonFlag) => {
        const { withQmp } = await import("../boards.ts");
        await withQmp(flash, (qmp) => qmp.execute(command));
        output(flags).result({ flash, outcome: name }, () => `${flash}: ${name}`);
      }),
      `coalmine board qemu ${name} lab-1.flash`,
    );
  }
}

function contents(command: Command): Command {
  return command
    .option("--bootloader <file>", "binary at the start of flash: MCUboot's zephyr.bin")
    .option("--image <file>", "signed image for slot 0; a plain binary with --key and --image-version")
    .option("--second <file>", "signed image for slot 1")
    .option("--pending", "ask for a test swap to the second image")
    .option("--key <file>", "private key (PEM) to sign plain binaries with")
    .option("--image-version <version>", "version of a binary that is signed here")
    .requiredOption("--id <device>", "the board's device id")
    .option("--broker <host:port>", "MQTT broker on the host's loopback; the port that was built in without it")
    .option("--coap <host:port>", "CoAP server on the host's loopback; the port that was built in without it")
    .option("--secret <text>", "what the board proves itself with (coalmine secret create); one board only")
    .option("--smp <port>", "UDP port of the host's loopback that leads to the board's SMP server", whole(1, 65_535))
    .option("--erase-us <n>", "microseconds that erasing a page takes", whole(0, 10_000_000))
    .option("--write-us <n>", "microseconds that a write takes", whole(0, 10_000_000));
}

async function requireOff(flash: string): Promise<void> {
  const { holderOf } = await import("@coalmine/boards");
  const { resolve } = await import("node:path");
  const holder = holderOf(resolve(flash));
  if (holder !== undefined) {
    throw badUsage(`${flash} is running (process ${holder.pid}): stop it first, or update it over its link`);
  }
}

function pattern(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch {
    throw new InvalidArgumentError("Give a regular expression.");
  }
}

async function link(flash: string, state: string, flags: JsonFlag): Promise<void> {
  const { NETWORK } = await import("@coalmine/boards");
  const { withQmp } = await import("../boards.ts");
  if (state !== "up" && state !== "down") {
    throw badUsage(`the link is up or down, not ${JSON.stringify(state)}`);
  }
  await withQmp(flash, (qmp) => qmp.execute("set_link", { name: NETWORK, up: state === "up" }));
  output(flags).result({ flash, link: state }, () => `${flash}: link ${state}`);
}

async function inspect(flash: string, flags: JsonFlag & { readonly coredump?: string }): Promise<void> {
  const { holderOf, inspectFlash, storedCoredump } = await import("@coalmine/boards");
  const { resolve } = await import("node:path");
  const state = inspectFlash(flash);
  const dump = flags.coredump === undefined ? undefined : storedCoredump(flash);
  if (flags.coredump !== undefined) {
    const { writeBytes } = await import("../files.ts");
    if (dump === undefined) {
      throw badUsage(`${flash} holds no coredump`);
    }
    writeBytes(flags.coredump, dump, { what: "the coredump" });
  }
  const { coredump } = state;
  const shown = {
    flash,
    running: holderOf(resolve(flash))?.pid ?? null,
    identity: state.laboratory.identity,
    laboratory: { operations: state.laboratory.operations, cutAt: state.laboratory.cutAt, cutStyle: state.laboratory.cutStyle, cuts: state.laboratory.cuts, violations: state.laboratory.violations },
    slots: state.slots,
    swapType: state.swapType,
    settings: Object.fromEntries([...state.settings].map(([name, value]) => [name, value.toHex()])),
    coredump:
      coredump === null ? null : coredump.kind === "broken" ? { kind: coredump.kind, block: coredump.block, detail: coredump.detail } : { kind: coredump.kind, reason: coredump.header.reasonName, bytes: coredump.bytes.length, thread: coredump.thread?.name ?? null },
  };
  output(flags).result(shown, () =>
    [
      facts([
        ["board", shown.identity === null ? "without identity" : `${shown.identity.device}, broker port ${shown.identity.brokerPort === 0 ? "built in" : shown.identity.brokerPort}`],
        ["running", shown.running === null ? "no" : `process ${shown.running}`],
        ["next boot", shown.swapType],
        ["flash operations", `${shown.laboratory.operations}, ${shown.laboratory.cuts} cut, ${shown.laboratory.violations} against the rules of NOR flash`],
        ["settings", Object.keys(shown.settings).join(", ") || "none"],
        ["coredump", shown.coredump === null ? "none" : shown.coredump.kind === "broken" ? `damaged in ${shown.coredump.block}: ${shown.coredump.detail}` : `${shown.coredump.reason}, ${shown.coredump.bytes} bytes`],
      ]),
      table(
        [{ title: "SLOT" }, { title: "VERSION" }, { title: "BYTES", align: "right" }, { title: "INTACT" }, { title: "MAGIC" }, { title: "COPY DONE" }, { title: "IMAGE OK" }, { title: "HASH", flexible: true }],
        shown.slots.map(({ image, reason, trailer }, slot) => [slot, image?.version ?? reason ?? "-", image?.bytes ?? "-", image === null ? "-" : image.intact ? "yes" : "no", trailer.magic, trailer.copyDone, trailer.imageOk, image?.imageHash?.slice(0, 16) ?? "-"]),
      ),
    ].join("\n\n"),
  );
  process.exitCode = exitCodes.done;
}
