// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { tar, tarSize } from "./tar.ts";

async function bytesOf(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(pieces));
}

const entry = (name: string, text: string) => ({ name, size: text.length, content: [new TextEncoder().encode(text)] });
const long = `${"r".repeat(64)}/rollouts/${"x".repeat(64)}/report.json`;

describe("a tar archive", () => {
  test("is read by tar itself: names that need the prefix, an empty file, a file of whole blocks", async (ctx) => {
    const files = [entry("1.0.0/SHA256SUMS", "sums\n"), entry("1.0.0/empty", ""), entry("1.0.0/block", "b".repeat(1_024)), entry(long, "{}")];
    const bytes = await bytesOf(tar(files, 1_767_225_600));
    expect(bytes).toHaveLength(tarSize(files.map(({ size }) => size)));
    const listed = spawnSync("tar", ["--utc", "-tvf", "-"], { input: bytes, encoding: "utf8" });
    if (listed.error !== undefined) {
      ctx.skip("tar is not installed");
    }
    expect(listed.stderr).toBe("");
    expect(listed.stdout.trim().split("\n").map((line) => line.split(/\s+/).slice(2))).toEqual([
      ["5", "2026-01-01", "00:00", "1.0.0/SHA256SUMS"],
      ["0", "2026-01-01", "00:00", "1.0.0/empty"],
      ["1024", "2026-01-01", "00:00", "1.0.0/block"],
      ["2", "2026-01-01", "00:00", long],
    ]);
    expect(spawnSync("tar", ["-xOf", "-", long], { input: bytes, encoding: "utf8" }).stdout).toBe("{}");
  });

  test("is the same bytes whenever it is made", async () => {
    const made = await Promise.all([1, 2].map(async () => bytesOf(tar([entry("a", "x")], 5))));
    expect(made[0]?.equals(made[1] as Buffer)).toBe(true);
  });

  test("refuses a file that is not of its size, and a name that does not fit", async () => {
    await expect(bytesOf(tar([{ ...entry("a", "xy"), size: 3 }], 0))).rejects.toThrow(/a has 2 bytes, and 3 were announced/);
    await expect(bytesOf(tar([entry("x".repeat(101), "")], 0))).rejects.toThrow(/too long for a tar header/);
  });
});
