// SPDX-License-Identifier: Apache-2.0
// One emulated board: one flash file, one QEMU process at a time.
//
// Q1. When a board is closed, its process is gone, and nothing but its file, its console and what the file says remains.
// Q2. A QEMU that ends without being told to is a crash of the board (it aborts on a lockup); the board starts again, a limited number of times.
// Q3. Power comes back only by `powerOn`, or by itself after a planned cut when `restart` is set.

import { CoalmineError } from "@coalmine/core";
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import process from "node:process";
import type { Readable, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { BoardConsole, type ConsoleMatch, LineReader } from "./console.ts";
import { armCut, readLaboratory, readRegion, vectorsOf } from "./flash-file.ts";
import { hold, type Holder, noteHolder, release } from "./hold.ts";
import type { CutStyle } from "./laboratory.ts";
import { type ForwardedPort, machineArguments, NETWORK } from "./machine.ts";
import { REGIONS } from "./memory-map.ts";
import { Qmp } from "./qmp.ts";

export interface QemuOptions {
  readonly flash: string;
  /** Default true. Without it a board starts in a tenth of a second instead of two and a half. */
  readonly network?: boolean;
  readonly forward?: readonly ForwardedPort[];
  /** Whether the board starts again by itself after a crash or a planned cut; default true. */
  readonly restart?: boolean;
  /** Crashes of QEMU after which the board stays off. */
  readonly crashesMax?: number;
  /** Program; default `qemu-system-arm` on PATH. */
  readonly program?: string;
  readonly onEvent?: (event: BoardEvent) => void;
}

export type BoardEvent =
  | { readonly kind: "line"; readonly line: string }
  | { readonly kind: "on"; readonly starts: number }
  /** `lockup`: QEMU aborted, as it does when a fault handler faults. `cut`: power was lost, as planned or by `powerCut`. */
  | { readonly kind: "off"; readonly why: "cut" | "lockup" | "closed" | "failed"; readonly detail: string };

/** What happened to a board since it was made. */
export interface BoardCounts {
  /** Times that power came. */
  starts: number;
  lockups: number;
  cuts: number;
}

type Machine = ChildProcessByStdio<Writable, Readable, Readable>;

const POLL_MS = 10;
const WORDS_OF_STDERR = 4096;

/** Where QEMU is: an explicit program or a name on PATH. Nothing when it is not installed. */
export function findQemu(path = process.env["PATH"] ?? ""): string | undefined {
  return path.split(delimiter).filter((folder) => folder !== "").map((folder) => join(folder, "qemu-system-arm")).find((file) => existsSync(file));
}

export class QemuBoard {
  readonly flash: string;
  readonly console: BoardConsole;
  readonly counts: BoardCounts = { starts: 0, lockups: 0, cuts: 0 };
  /** Where other processes speak QMP with it. */
  readonly qmpForOthers: string;
  readonly consoleLog: string;
  readonly #options: QemuOptions;
  readonly #program: string;
  readonly #folder: string;
  readonly #life = new AbortController();
  #machine: Machine | undefined;
  #qmp: Qmp | undefined;
  #ending: "cut" | "closed" | undefined;
  /** Switched off by us, also when another start has followed by now. */
  readonly #cutOff = new WeakSet<Machine>();
  #ended: Promise<void> = Promise.resolve();
  #dead: CoalmineError | undefined;

  private constructor(options: QemuOptions, program: string) {
    this.flash = resolve(options.flash);
    this.#options = options;
    this.#program = program;
    this.#folder = mkdtempSync(join(tmpdir(), "coalmine-qemu-"));
    this.qmpForOthers = join(this.#folder, "others.qmp");
    this.consoleLog = `${this.flash}.console`;
    this.console = new BoardConsole((line) => options.onEvent?.({ kind: "line", line }));
  }

  /**
   * Takes the flash file and switches the board on.
   *
   * @throws CoalmineError `boards/no-qemu`, `boards/in-use`, `boards/file`, `boards/bad-image`, `boards/qemu`.
   */
  static async start(options: QemuOptions): Promise<QemuBoard> {
    const program = options.program ?? findQemu();
    if (program === undefined) {
      throw new CoalmineError("boards/no-qemu", "qemu-system-arm is not installed (Debian: apt install qemu-system-arm)", { retry: "later" });
    }
    const vectors = vectorsOf(readRegion(options.flash, REGIONS.bootloader));
    const board = new QemuBoard(options, program);
    try {
      hold(board.flash, board.#holder(null));
      writeFileSync(join(board.#folder, "vectors"), vectors);
      await board.powerOn();
    } catch (error) {
      await board.close();
      throw error;
    }
    return board;
  }

  get isOn(): boolean {
    return this.#machine !== undefined;
  }

  /** Starts QEMU on the file as it is. */
  async powerOn(): Promise<void> {
    if (this.#life.signal.aborted) {
      throw new CoalmineError("boards/closed", `${this.flash} was closed`);
    }
    if (this.#machine !== undefined) {
      return;
    }
    // Before QEMU runs: a cut may come within its first milliseconds.
    const { cuts } = readLaboratory(this.flash);
    const own = join(this.#folder, "own.qmp");
    rmSync(own, { force: true });
    rmSync(this.qmpForOthers, { force: true });
    const { network = true, forward = [] } = this.#options;
    const args = machineArguments({ flash: this.flash, vectors: join(this.#folder, "vectors"), qmp: [own, this.qmpForOthers], consoleLog: this.consoleLog, network, forward });
    // A process group of its own: the terminal's Ctrl-C is for us, who then end it in order.
    const machine: Machine = spawn(this.#program, [...args], { stdio: ["pipe", "pipe", "pipe"], detached: true });
    this.#machine = machine;
    this.#ending = undefined;
    noteHolder(this.flash, this.#holder(machine.pid ?? null));
    this.counts.starts += 1;
    living.add(machine);
    const reader = new LineReader((line) => this.console.add(line));
    let words = "";
    machine.stdout.on("data", (bytes: Uint8Array) => reader.push(bytes));
    machine.stderr.on("data", (bytes: Uint8Array) => {
      words = (words + new TextDecoder().decode(bytes)).slice(-WORDS_OF_STDERR);
    });
    machine.stdin.on("error", () => undefined);
    this.#ended = new Promise((done) => {
      let over = false;
      const end = (code: number | null, signal: NodeJS.Signals | null, trouble?: Error): void => {
        if (over) {
          return;
        }
        over = true;
        living.delete(machine);
        reader.end();
        this.#machine = undefined;
        this.#qmp?.close();
        this.#qmp = undefined;
        this.#off(code, signal, trouble?.message ?? words.trim());
        done();
      };
      machine.on("error", (error) => end(null, null, error));
      machine.on("close", (code, signal) => end(code, signal));
    });
    await this.#connect(own, machine, () => words.trim());
    if (this.#machine !== machine) {
      return;
    }
    this.#options.onEvent?.({ kind: "on", starts: this.counts.starts });
    this.#watchForCut(machine, cuts).catch((error: unknown) => this.#fail(error));
  }

  #holder(machine: number | null): Holder {
    return { pid: process.pid, machine, qmp: this.qmpForOthers, console: this.consoleLog };
  }

  /** The socket is there a few milliseconds after the process. */
  async #connect(path: string, machine: Machine, words: () => string): Promise<void> {
    for (;;) {
      if (this.#machine !== machine) {
        if (this.#cutOff.has(machine) || this.#life.signal.aborted) {
          return; // it was switched off again while it started
        }
        throw this.#dead ?? new CoalmineError("boards/qemu", `QEMU ended at once: ${words() || "it said nothing"}`, { retry: "later" });
      }
      if (existsSync(path)) {
        try {
          this.#qmp = await Qmp.connect(path);
          return;
        } catch {
          // Bound, and not listening yet; or the board has locked up already.
        }
      }
      await sleep(POLL_MS);
    }
  }

  /** A firmware that stands still in a planned cut waits for the host to end it: that is the loss of power. */
  async #watchForCut(machine: Machine, before: number): Promise<void> {
    let cuts = before;
    while (this.#machine === machine && !this.#life.signal.aborted) {
      const page = readLaboratory(this.flash);
      if (page.cuts !== cuts) {
        cuts = page.cuts;
        if (page.cutStyle === "spin") {
          await this.powerCut();
          if (this.#options.restart !== false && !this.#life.signal.aborted) {
            await this.powerOn();
          }
          return;
        }
        this.counts.cuts += 1;
      }
      await sleep(POLL_MS);
    }
  }

  #off(code: number | null, signal: NodeJS.Signals | null, words: string): void {
    const { onEvent, restart = true, crashesMax = 100 } = this.#options;
    if (this.#ending !== undefined || this.#life.signal.aborted) {
      onEvent?.({ kind: "off", why: this.#ending ?? "closed", detail: signal ?? `code ${code}` });
      return;
    }
    if (signal === "SIGABRT") {
      this.counts.lockups += 1;
      onEvent?.({ kind: "off", why: "lockup", detail: words.split("\n")[0] ?? "" });
      if (restart && this.counts.lockups < crashesMax) {
        this.powerOn().catch((error: unknown) => this.#fail(error));
      } else if (restart) {
        this.#fail(new CoalmineError("boards/qemu", `the board locked up ${this.counts.lockups} times and stays off`));
      }
      return;
    }
    onEvent?.({ kind: "off", why: "failed", detail: words });
    this.#fail(new CoalmineError("boards/qemu", `QEMU ended by itself (${signal ?? `code ${code}`}): ${words || "it said nothing"}`, { retry: "later" }));
  }

  #fail(error: unknown): void {
    this.#dead ??= error instanceof CoalmineError ? error : new CoalmineError("boards/qemu", String(error), { cause: error });
    for (const give of this.#givingUp) {
      give(this.#dead);
    }
  }

  readonly #givingUp = new Set<(error: CoalmineError) => void>();

  /**
   * The first console line from number `from` on that matches.
   *
   * @throws CoalmineError `boards/silent` after `patience` milliseconds, with the last lines; `boards/closed`; why QEMU ended.
   */
  async waitFor(wanted: RegExp, options: { readonly from?: number; readonly patience?: number } = {}): Promise<ConsoleMatch> {
    const { from = 0, patience = 60_000 } = options;
    if (this.#dead !== undefined) {
      throw this.#dead;
    }
    const giveUp = new AbortController();
    const give = (error: CoalmineError): void => giveUp.abort(error);
    const closed = (): void => give(new CoalmineError("boards/closed", `${this.flash} was closed`));
    const timer = setTimeout(() => {
      const last = this.console.lines(Math.max(from, this.console.count - 5)).join(" | ");
      give(new CoalmineError("boards/silent", `${this.flash} printed nothing like ${String(wanted)} in ${patience / 1000} s; last: ${last || "nothing"}`, { retry: "later" }));
    }, patience);
    this.#givingUp.add(give);
    this.#life.signal.addEventListener("abort", closed);
    try {
      return await this.console.find(wanted, { from, signal: giveUp.signal });
    } finally {
      clearTimeout(timer);
      this.#givingUp.delete(give);
      this.#life.signal.removeEventListener("abort", closed);
    }
  }

  /** Types at the board's console. */
  send(text: string): void {
    this.#machine?.stdin.write(text);
  }

  /** SIGKILL, at once: what the file holds now is what the board has. */
  async powerCut(): Promise<void> {
    const machine = this.#machine;
    if (machine === undefined) {
      return;
    }
    this.#ending = "cut";
    this.#cutOff.add(machine);
    this.counts.cuts += 1;
    killGroup(machine);
    await this.#ended;
  }

  /** Plans a loss of power in the flash operation that is `operations` away. */
  armCut(operations: number, style: CutStyle): void {
    armCut(this.flash, operations, style);
  }

  /** Plugs the network cable in or out. */
  async setLink(up: boolean): Promise<void> {
    await this.#command("set_link", { name: NETWORK, up });
  }

  /** Halts the CPU and its clock: a silent board. */
  async pause(): Promise<void> {
    await this.#command("stop");
  }

  async resume(): Promise<void> {
    await this.#command("cont");
  }

  /** A warm reset: memory is kept. */
  async reset(): Promise<void> {
    await this.#command("system_reset");
  }

  /** Kernel's number of the QEMU process, for who measures it. */
  get pid(): number | undefined {
    return this.#machine?.pid;
  }

  async #command(name: string, args?: Readonly<Record<string, unknown>>): Promise<void> {
    if (this.#qmp === undefined) {
      throw new CoalmineError("boards/off", `${this.flash} is off`, { retry: "later" });
    }
    await this.#qmp.execute(name, args);
  }

  /** Ends QEMU and gives the file back. */
  async close(): Promise<void> {
    this.#life.abort();
    const machine = this.#machine;
    if (machine !== undefined) {
      this.#ending = "closed";
      killGroup(machine);
      await this.#ended;
    }
    release(this.flash);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

const living = new Set<Machine>();

// A process that ends without closing its boards takes them with it.
process.on("exit", () => {
  for (const machine of living) {
    killGroup(machine);
  }
});

function killGroup(machine: Machine): void {
  if (machine.pid === undefined) {
    return;
  }
  try {
    process.kill(-machine.pid, "SIGKILL");
  } catch {
    // Gone already.
  }
}
