// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { BoardConsole, LineReader } from "./console.ts";

function read(...pieces: readonly (string | Uint8Array)[]): string[] {
  const lines: string[] = [];
  const reader = new LineReader((line) => lines.push(line));
  for (const piece of pieces) {
    reader.push(typeof piece === "string" ? new TextEncoder().encode(piece) : piece);
  }
  reader.end();
  return lines;
}

const ESC = String.fromCharCode(27);

describe("a console", () => {
  test("gives plain lines, whatever pieces the bytes come in", () => {
    const text = `${ESC}[1;31m<err> os: fault${ESC}[0m\r\nsecond\r\n${ESC}]0;title${String.fromCharCode(7)}third: 20 °C`;
    const expected = ["<err> os: fault", "second", "third: 20 °C"];
    expect(read(text)).toEqual(expected);
    const bytes = new TextEncoder().encode(text);
    expect(read(...Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(expected);
  });

  test("is not led astray by what a reset cut off, nor by control characters or bytes that are no text", () => {
    expect(read(`half a sequence ${ESC}[1;3\n*** Booting`)).toEqual(["half a sequence ", "*** Booting"]);
    expect(read(`${ESC}]0;never ended\nnext`)).toEqual(["", "next"]);
    expect(read(Uint8Array.of(65, 0, 8, 0xff, 66, 127, 10))).toEqual(["A\uFFFDB"]);
  });

  test("cuts lines without an end and forgets old ones, so a board cannot fill the memory", () => {
    const [line] = read("x".repeat(100_000));
    expect(line).toBe(`${"x".repeat(4096)} [cut]`);
    const board = new BoardConsole();
    for (let n = 0; n < 12_000; n++) {
      board.add(`line ${n}`);
    }
    expect(board.count).toBe(12_000);
    expect(board.lines().length).toBeLessThanOrEqual(5000);
    expect(board.lines(11_999)).toEqual(["line 11999"]);
  });

  test("finds a line that was there and one that comes, from where one looks, and gives up with a reason", async () => {
    const board = new BoardConsole();
    board.add("boot 1");
    expect(await board.find(/boot (\d)/)).toEqual({ number: 0, line: "boot 1", groups: ["1"] });
    const next = board.find(/boot (\d)/, { from: 1 });
    board.add("other");
    board.add("boot 2");
    expect(await next).toMatchObject({ number: 2, groups: ["2"] });
    const stop = new AbortController();
    const never = board.find(/never/, { signal: stop.signal });
    stop.abort(new Error("enough"));
    await expect(never).rejects.toThrow("enough");
  });
});
