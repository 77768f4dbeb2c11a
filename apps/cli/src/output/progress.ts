// SPDX-License-Identifier: Apache-2.0
import process from "node:process";
import { cut, printable, terminalWidth } from "./text.ts";

/** Progress on stderr: a bar that redraws itself on a terminal, a line now and then elsewhere. */
export interface Progress {
  /** `done` of `total`, and what is going on in words. */
  update(done: number, total: number, text: string): void;
  /** A line that stays, above the bar. */
  line(text: string): void;
  /** Removes the bar. Must be called. */
  end(): void;
}

const barWidth = 24;
const redrawMs = 80;
const plainMs = 5_000;

export function progress(label: string, stream: NodeJS.WriteStream = process.stderr): Progress {
  return stream.isTTY ? new Bar(label, stream) : new Lines(label, stream);
}

/** `██████░░░░` of the given width. */
export function bar(done: number, total: number, width = barWidth): string {
  const share = total <= 0 ? 0 : Math.min(1, Math.max(0, done / total));
  const full = Math.floor(share * width);
  return "█".repeat(full) + "░".repeat(width - full);
}

class Bar implements Progress {
  readonly #label: string;
  readonly #stream: NodeJS.WriteStream;
  #drawnAt = 0;
  #shown = false;

  constructor(label: string, stream: NodeJS.WriteStream) {
    this.#label = label;
    this.#stream = stream;
  }

  update(done: number, total: number, text: string): void {
    const now = performance.now();
    if (this.#shown && done < total && now - this.#drawnAt < redrawMs) {
      return;
    }
    this.#drawnAt = now;
    const line = `${this.#label} ${bar(done, total)} ${done}/${total} ${printable(text)}`;
    this.#stream.write(`\r\u001b[2K${cut(line, terminalWidth(this.#stream) - 1)}`);
    this.#shown = true;
  }

  line(text: string): void {
    this.end();
    this.#stream.write(`${printable(text)}\n`);
  }

  end(): void {
    if (this.#shown) {
      this.#stream.write("\r\u001b[2K");
      this.#shown = false;
    }
  }
}

class Lines implements Progress {
  readonly #label: string;
  readonly #stream: NodeJS.WriteStream;
  #writtenAt = Number.NEGATIVE_INFINITY;
  #last = "";

  constructor(label: string, stream: NodeJS.WriteStream) {
    this.#label = label;
    this.#stream = stream;
  }

  update(done: number, total: number, text: string): void {
    const line = `${this.#label} ${done}/${total} ${printable(text)}`;
    const now = performance.now();
    if (line !== this.#last && now - this.#writtenAt >= plainMs) {
      this.#stream.write(`${line}\n`);
      this.#last = line;
      this.#writtenAt = now;
    }
  }

  line(text: string): void {
    this.#stream.write(`${printable(text)}\n`);
  }

  end(): void {}
}
