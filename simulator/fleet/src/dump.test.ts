// SPDX-License-Identifier: Apache-2.0
import type { LogChunk } from "@coalmine/protocol";
import { expect, test } from "vitest";
import { Bench, minute } from "./testing/bench.ts";

function pieces(bench: Bench): (LogChunk & { readonly boot: number; readonly sequence: number })[] {
  return bench.heard.flatMap(({ report: { boot, sequence, body } }) => (body.kind === "log" ? [{ ...body, boot, sequence }] : []));
}

test("a dump goes on where it was lost: a piece without acknowledgement is sent again, over resets too, and what was acknowledged is not", () => {
  const bench = new Bench({ fleet: { dumps: 1 } }).start();
  bench.run(10 * minute);
  bench.input(0, { kind: "crash" });
  while (pieces(bench).length < 2) {
    bench.run(10);
  }
  bench.acknowledges = false;
  bench.run(30 * minute);
  // The acknowledgement of the second was on its way already.
  const stuck = pieces(bench).slice(2);
  expect(stuck.length).toBeGreaterThan(2);
  expect(new Set(stuck.map(({ boot, sequence, offset }) => `${boot} ${sequence} ${offset}`)).size).toBe(1);

  bench.input(0, { kind: "power-on", cause: "pin" });
  bench.acknowledges = true;
  bench.run(10 * minute);
  const boots = new Set(pieces(bench).map(({ boot }) => boot));
  expect(boots.size).toBe(2);
  const again = pieces(bench).filter(({ boot }) => boot === Math.max(...boots));
  expect(again[0]).toMatchObject({ stream: stuck[0]?.stream, offset: stuck[0]?.offset });
  for (const stream of ["coredump", "log"] as const) {
    const own = [...new Map(pieces(bench).filter((piece) => piece.stream === stream).map((piece) => [piece.offset, piece])).values()];
    expect(own.reduce((sum, { data }) => sum + data.length, 0)).toBe(own[0]?.total);
    expect(own.every(({ id, total }) => id === 1 && total === own[0]?.total)).toBe(true);
  }
  const before = pieces(bench).length;
  bench.input(0, { kind: "crash" });
  bench.run(30 * minute);
  expect(pieces(bench)).toHaveLength(before);
});

test("without room for dumps a crash is a report and nothing else", () => {
  const bench = new Bench().start();
  bench.run(10 * minute);
  bench.input(0, { kind: "crash" });
  bench.run(30 * minute);
  expect(pieces(bench)).toEqual([]);
  expect(bench.heard.some(({ report }) => report.body.kind === "crash")).toBe(true);
});
