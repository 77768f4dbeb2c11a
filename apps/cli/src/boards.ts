// SPDX-License-Identifier: Apache-2.0
// What the board commands share: the boards file, images to flash, and programs that work for us.
import { type BoardEntry, findQemu, holderOf, IMAGE_HEADER_BYTES, Qmp, readInventory, smpAddress } from "@coalmine/boards";
import { locateWest } from "@coalmine/boards/west";
import { CoalmineError } from "@coalmine/core";
import { buildImage, parseImage, parseVersion } from "@coalmine/mcuboot";
import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { dirname, resolve } from "node:path";
import process from "node:process";
import { readBytes, readText } from "./files.ts";
import { readSigningKey } from "./keys.ts";
import { badEnvironment, badUsage } from "./output/exit.ts";

const DEFAULT_FILE = "boards.yaml";

/** The boards of the file that `--boards`, `COALMINE_BOARDS` or the working folder names; none when none does. */
export function loadBoards(flag: string | undefined): readonly BoardEntry[] {
  const named = flag ?? process.env["COALMINE_BOARDS"];
  if (named === undefined && !existsSync(DEFAULT_FILE)) {
    return [];
  }
  const file = resolve(named ?? DEFAULT_FILE);
  return readInventory(readText(file, { what: "boards file", bytesMax: 1024 * 1024 }), { source: named ?? DEFAULT_FILE, folder: dirname(file) });
}

/** The board of this name, or the only one there is. */
export function findBoard(boards: readonly BoardEntry[], name: string | undefined): BoardEntry {
  if (boards.length === 0) {
    throw badUsage(`there is no ${DEFAULT_FILE} here: name one with --boards, or address the board directly (--smp)`);
  }
  const [only] = boards;
  if (name === undefined && boards.length === 1 && only !== undefined) {
    return only;
  }
  const found = boards.find((one) => one.name === name);
  if (found === undefined) {
    throw badUsage(`${name === undefined ? "say which board with --board" : `there is no board ${JSON.stringify(name)}`}; there are ${boards.map((one) => one.name).join(", ")}`);
  }
  return found;
}

/** The SMP address that `--smp` gives, or the one of a board of the file. */
export function smpOf(flags: { readonly smp?: string; readonly board?: string; readonly boards?: string }): string {
  if (flags.smp !== undefined) {
    return flags.smp;
  }
  const board = findBoard(loadBoards(flags.boards), flags.board);
  const address = smpAddress(board);
  if (address === undefined) {
    throw badUsage(`board ${board.name} (${board.kind}) has no SMP address: add ${board.kind === "qemu" ? "smp: PORT" : "a serial or udp board"} to the boards file, or give --smp`);
  }
  return address;
}

/** What can be said of a board without touching it. */
export function presence(board: BoardEntry): string {
  switch (board.kind) {
    case "qemu": {
      const holder = holderOf(board.flash);
      return holder !== undefined ? `running, process ${holder.pid}` : existsSync(board.flash) ? "off" : "not made";
    }
    case "serial":
      return existsSync(board.port) ? "connected" : "not connected";
    case "udp":
      return "unknown";
    case "west":
      return existsSync(board.west.build) ? "unknown" : "not built";
  }
}

/** An image file for an emulated board. A plain binary is signed when a key is given. */
export function readBoardImage(file: string, sign: { readonly key?: string; readonly version?: string }): Uint8Array {
  const bytes = readBytes(file, { what: "image", bytesMax: 16 * 1024 * 1024 });
  if (parseImage(bytes).kind === "image") {
    return bytes;
  }
  if (sign.key === undefined || sign.version === undefined) {
    throw badUsage(`${file} is no MCUboot image; give --key and --version to sign it`);
  }
  const hasRoom = bytes.length > IMAGE_HEADER_BYTES && bytes.subarray(0, IMAGE_HEADER_BYTES).every((byte) => byte === 0);
  return buildImage({
    version: parseVersion(sign.version),
    payload: hasRoom ? bytes.subarray(IMAGE_HEADER_BYTES) : bytes,
    headerSize: IMAGE_HEADER_BYTES,
    key: readSigningKey(sign.key),
  });
}

/** `127.0.0.1:1883`, `:1883` or `1883`, as a port. The user network of QEMU leads to the host's loopback and nowhere else. */
export function readHostPort(text: string, flag: "--broker" | "--coap"): number {
  const match = /^(?:(127\.0\.0\.1|localhost)?:)?(\d{1,5})$/.exec(text.replace(/^(?:mqtt|coap):\/\//, ""));
  const port = match === null ? Number.NaN : Number(match[2]);
  if (!(port >= 1 && port <= 65_535)) {
    throw badUsage(`${flag} ${text}: an emulated board reaches the host's loopback only; give 127.0.0.1:PORT`);
  }
  return port;
}

/** Speaks QMP with a running board, whichever process runs it. */
export async function withQmp<T>(flash: string, use: (qmp: Qmp) => Promise<T>): Promise<T> {
  const holder = holderOf(resolve(flash));
  if (holder === undefined) {
    throw new CoalmineError("boards/off", `${flash} is not running: start it with \`coalmine board qemu run\``, { retry: "later" });
  }
  const qmp = await Qmp.connect(holder.qmp);
  try {
    return await use(qmp);
  } finally {
    qmp.close();
  }
}

/** Runs Zephyr's west in a build folder; its output goes to stderr. Gives its exit code. */
export async function runWest(args: readonly string[], folder: string): Promise<number> {
  if (!existsSync(folder)) {
    throw badUsage(`there is no build folder ${folder}: build first, with west build`);
  }
  const west = locateWest({ root: process.cwd(), path: process.env["PATH"] ?? "", windows: process.platform === "win32", self: repositoryWrappers() });
  if (west.kind === "absent") {
    throw badEnvironment(`Zephyr's west is not installed: not in .venv, not on PATH, not as a Python module. In this repository: npx west --install`);
  }
  const [program, ...before] = west.command;
  const child = spawn(program, [...before, ...args], { cwd: folder, stdio: ["inherit", 2, "inherit"] });
  const forward = (): void => void child.kill("SIGINT");
  process.on("SIGINT", forward);
  try {
    return await new Promise<number>((done, fail) => {
      child.on("error", (cause) => fail(badEnvironment(`${program} does not start: ${cause.message}`, cause)));
      child.on("close", (code) => done(code ?? 1));
    });
  } finally {
    process.off("SIGINT", forward);
  }
}

/** npm puts this repository's own wrapper of west on PATH; it is not west. */
function repositoryWrappers(): readonly string[] {
  const folders = (process.env["PATH"] ?? "").split(":").filter((folder) => folder.endsWith("node_modules/.bin"));
  return folders.flatMap((folder) => (existsSync(folder) ? readdirSync(folder).filter((name) => name === "west").map((name) => `${folder}/${name}`) : []));
}

/** Trouble when QEMU is missing, before anything else is done. */
export function requireQemu(): void {
  if (findQemu() === undefined) {
    throw badEnvironment("qemu-system-arm is not installed (Debian: apt install qemu-system-arm)");
  }
}
