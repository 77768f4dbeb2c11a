// SPDX-License-Identifier: Apache-2.0
// QEMU's machine protocol over a unix socket (QEMU's documentation, "QMP Reference Manual").

import { CoalmineError } from "@coalmine/core";
import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** Bytes of one message; the greeting has 200. */
const MESSAGE_MAX = 1024 * 1024;

export interface QmpEvent {
  readonly name: string;
  readonly data: Readonly<Record<string, unknown>>;
}

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: CoalmineError) => void;
  readonly command: string;
}

/** One connection, past its greeting. QEMU serves one at a time on each socket. */
export class Qmp {
  readonly #socket: Socket;
  readonly #pending: Pending[] = [];
  readonly #onEvent: ((event: QmpEvent) => void) | undefined;
  #text = "";
  #greeted: { resolve: () => void; reject: (error: CoalmineError) => void } | undefined;

  private constructor(socket: Socket, onEvent: ((event: QmpEvent) => void) | undefined) {
    this.#socket = socket;
    this.#onEvent = onEvent;
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => this.#receive(text));
    socket.on("error", (error) => this.#end(error.message));
    socket.on("close", () => this.#end("QEMU closed the connection"));
  }

  /** Connects and negotiates. @throws CoalmineError `boards/qmp`. */
  static async connect(path: string, onEvent?: (event: QmpEvent) => void): Promise<Qmp> {
    const socket = connect(path);
    try {
      await once(socket, "connect");
    } catch (cause) {
      throw new CoalmineError("boards/qmp", `cannot reach QEMU at ${path}: ${(cause as Error).message}`, { retry: "later", cause });
    }
    const qmp = new Qmp(socket, onEvent);
    await new Promise<void>((resolve, reject) => {
      qmp.#greeted = { resolve, reject };
    });
    await qmp.execute("qmp_capabilities");
    return qmp;
  }

  /** Runs a command and gives what it returns. @throws CoalmineError `boards/qmp` when QEMU refuses it or goes away. */
  execute(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#pending.push({ resolve, reject, command });
      this.#socket.write(`${JSON.stringify(args === undefined ? { execute: command } : { execute: command, arguments: args })}\n`);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(text: string): void {
    this.#text += text;
    for (let end = this.#text.indexOf("\n"); end >= 0; end = this.#text.indexOf("\n")) {
      const line = this.#text.slice(0, end);
      this.#text = this.#text.slice(end + 1);
      this.#message(line);
    }
    if (this.#text.length > MESSAGE_MAX) {
      this.#socket.destroy(new Error("a message of QEMU is too long"));
    }
  }

  #message(line: string): void {
    let message: Record<string, unknown>;
    try {
      message = JSON.parse(line) as Record<string, unknown>;
    } catch {
      this.#socket.destroy(new Error("QEMU sent something that is not JSON"));
      return;
    }
    if ("QMP" in message) {
      this.#greeted?.resolve();
      this.#greeted = undefined;
    } else if (typeof message["event"] === "string") {
      this.#onEvent?.({ name: message["event"], data: (message["data"] ?? {}) as Record<string, unknown> });
    } else if ("return" in message) {
      this.#pending.shift()?.resolve(message["return"]);
    } else if ("error" in message) {
      const pending = this.#pending.shift();
      const detail = (message["error"] as { readonly desc?: unknown } | null)?.desc;
      pending?.reject(new CoalmineError("boards/qmp", `QEMU refuses ${pending.command}: ${String(detail)}`));
    }
  }

  #end(why: string): void {
    const gone = (): CoalmineError => new CoalmineError("boards/qmp", why, { retry: "later" });
    this.#greeted?.reject(gone());
    this.#greeted = undefined;
    for (const one of this.#pending.splice(0)) {
      one.reject(gone());
    }
  }
}
