// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { bar, progress } from "./progress.ts";
import { facts, table } from "./table.ts";
import { displayWidth, printable, terminalWidth, wrap } from "./text.ts";

const columns = [{ title: "ID", flexible: true }, { title: "N", align: "right" as const }];

describe("output for people", () => {
  test("columns are aligned, numbers to the right, and nothing is cut off a terminal", () => {
    const long = "x".repeat(300);
    expect(table(columns, [["a", 5], ["bcd", 12]])).toBe("ID    N\na     5\nbcd  12");
    expect(table(columns, [[long, 1]])).toContain(long);
  });

  test("on a narrow terminal flexible columns give way, and the others do not", () => {
    const lines = table(columns, [["abcdefghijklmnopqrstuvwxyz", 123_456]], { width: 20 }).split("\n");
    expect(Math.max(...lines.map(displayWidth))).toBe(20);
    expect(lines[1]).toBe("abcdefghijk…  123456");
  });

  test("what a device says cannot move the cursor, recolour the terminal or add lines to a table", () => {
    const evil = "\u001b[2J\u0007name\r\nnext\u202e";
    expect(table(columns, [[evil, 1]]).split("\n")).toHaveLength(2);
    expect(table(columns, [[evil, 1]])).not.toMatch(/[\u0007\u001b\u202e\r]/);
    expect(printable("a\u001bb")).toBe("a\\u001bb");
  });

  test("wide characters take two columns and marks none", () => {
    expect([displayWidth("日本"), displayWidth("e\u0301"), displayWidth("\u001b[31mred\u001b[39m")]).toEqual([4, 1, 3]);
  });

  test("a terminal that does not know its width gets 80 columns, and a bar fits any terminal", () => {
    expect([terminalWidth({ columns: 0 }), terminalWidth({}), terminalWidth({ columns: 132 })]).toEqual([80, 80, 132]);
    for (const columns of [0, 20, 40, 200]) {
      const written: string[] = [];
      const stream = { isTTY: true, columns, write: (text: string) => written.push(text) > 0 } as unknown as NodeJS.WriteStream;
      const shown = progress("rollout r1", stream);
      shown.update(1, 10, "soaking ".repeat(30));
      shown.end();
      const [drawn = "", cleared] = written;
      expect(displayWidth(drawn.replace("\r\u001b[2K", ""))).toBeLessThan(columns === 0 ? 80 : columns);
      expect(cleared).toBe("\r\u001b[2K");
    }
  });

  test("long lines break between words, and no word is lost", () => {
    const text = "2 of 11 started updates failed (18.2 %, limit 0.5 %)";
    expect(wrap(text, 20)).toEqual(["2 of 11 started", "updates failed (18.2", "%, limit 0.5 %)"]);
    expect(wrap("short averyverylongword end", 8)).toEqual(["short", "averyverylongword", "end"]);
    expect(wrap("", 8)).toEqual([""]);
    expect(wrap(text, 7).join(" ")).toBe(text);
  });

  test("a long fact goes on below its value on a terminal, and stays one line elsewhere", () => {
    const rows = [["why", "two of eleven updates failed"], ["n", 3]] as const;
    expect(facts(rows, { width: 25 })).toBe("why  two of eleven\n     updates failed\nn    3");
    expect(facts(rows)).toBe("why  two of eleven updates failed\nn    3");
  });

  test("a bar is never longer than its width, whatever the numbers", () => {
    expect([bar(1, 2, 4), bar(9, 3, 4), bar(-1, 3, 4), bar(0, 0, 4)]).toEqual(["██░░", "████", "░░░░", "░░░░"]);
  });
});
