// SPDX-License-Identifier: Apache-2.0
// A board's console as lines of plain text.
//
// C1. Whatever a board prints, memory stays bounded: long lines are cut, old lines forgotten.
// C2. Escape sequences and control characters never leave this file.

/** Characters of one line that are kept. */
const LINE_MAX = 4096;
const LINES_KEPT = 5000;

type State = "text" | "escape" | "sequence" | "command";

/** Splits bytes into lines; a sequence or a line may come in pieces. */
export class LineReader {
  #line = "";
  #cut = false;
  #state: State = "text";
  readonly #decoder = new TextDecoder();
  readonly #onLine: (line: string) => void;

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  push(bytes: Uint8Array): void {
    for (const character of this.#decoder.decode(bytes, { stream: true })) {
      this.#take(character, character.codePointAt(0) ?? 0);
    }
  }

  /** A last line without an end, when nothing more will come. */
  end(): void {
    if (this.#line !== "") {
      this.#emit();
    }
  }

  #take(character: string, code: number): void {
    // A line feed ends everything: what a reset cut off must not swallow the next boot's first line.
    if (code === 10) {
      this.#state = "text";
      this.#emit();
      return;
    }
    switch (this.#state) {
      case "text":
        if (code === 27) {
          this.#state = "escape";
        } else if (code === 9 || (code >= 32 && code !== 127 && !(code >= 128 && code < 160))) {
          this.#add(character);
        }
        return;
      case "escape":
        // ECMA-48: CSI is ESC [, OSC is ESC ]; others are two characters.
        this.#state = character === "[" ? "sequence" : character === "]" ? "command" : "text";
        return;
      case "sequence":
        if (code >= 0x40 && code <= 0x7e) {
          this.#state = "text";
        }
        return;
      case "command":
        if (code === 7 || code === 27) {
          this.#state = code === 7 ? "text" : "escape";
        }
    }
  }

  #add(character: string): void {
    if (this.#line.length < LINE_MAX) {
      this.#line += character;
    } else {
      this.#cut = true;
    }
  }

  #emit(): void {
    const line = this.#cut ? `${this.#line} [cut]` : this.#line;
    this.#line = "";
    this.#cut = false;
    this.#onLine(line);
  }
}

interface Waiting {
  readonly wanted: RegExp;
  readonly found: (match: ConsoleMatch) => void;
}

/** A line that was waited for. */
export interface ConsoleMatch {
  /** Counted from the first line the board ever printed. */
  readonly number: number;
  readonly line: string;
  readonly groups: readonly string[];
}

/** The lines a board printed, the newest few thousand of them, and who waits for one. */
export class BoardConsole {
  readonly #lines: string[] = [];
  readonly #waiting = new Set<Waiting>();
  readonly #onLine: ((line: string) => void) | undefined;
  #forgotten = 0;

  constructor(onLine?: (line: string) => void) {
    this.#onLine = onLine;
  }

  /** Lines so far; the number of the next one. */
  get count(): number {
    return this.#forgotten + this.#lines.length;
  }

  /** Lines from number `from` on that are still kept. */
  lines(from = 0): readonly string[] {
    return this.#lines.slice(Math.max(0, from - this.#forgotten));
  }

  add(line: string): void {
    const number = this.count;
    this.#lines.push(line);
    if (this.#lines.length > LINES_KEPT) {
      this.#forgotten += this.#lines.splice(0, LINES_KEPT / 5).length;
    }
    this.#onLine?.(line);
    for (const one of this.#waiting) {
      const match = one.wanted.exec(line);
      if (match !== null) {
        one.found({ number, line, groups: match.slice(1) });
      }
    }
  }

  /**
   * The first line from number `from` on that matches. Gives up when `signal` aborts, with its reason.
   *
   * @param options.from defaults to all kept lines: a line that is there already counts.
   */
  async find(wanted: RegExp, options: { readonly from?: number; readonly signal?: AbortSignal } = {}): Promise<ConsoleMatch> {
    const { from = 0, signal } = options;
    for (const [index, line] of this.#lines.entries()) {
      const match = this.#forgotten + index >= from ? wanted.exec(line) : null;
      if (match !== null) {
        return { number: this.#forgotten + index, line, groups: match.slice(1) };
      }
    }
    signal?.throwIfAborted();
    return new Promise((resolve, reject) => {
      const end = (): void => {
        this.#waiting.delete(waiting);
        signal?.removeEventListener("abort", abort);
      };
      const abort = (): void => {
        end();
        reject(signal?.reason as Error);
      };
      const waiting: Waiting = {
        wanted,
        found: (match) => {
          end();
          resolve(match);
        },
      };
      this.#waiting.add(waiting);
      signal?.addEventListener("abort", abort);
    });
  }
}
