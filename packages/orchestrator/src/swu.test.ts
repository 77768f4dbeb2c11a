// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { swuVersion } from "./swu.ts";

const text = (content: string): Uint8Array => new TextEncoder().encode(content);

function archive(name: string, content: string, size = content.length): Uint8Array {
  const fields = [1, 0o100644, 0, 0, 1, 0, size, 0, 0, 0, 0, name.length + 1, 0];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}${name}\0`;
  return text(header.padEnd((header.length + 3) & ~3, "\0") + content);
}

test("the version of a SWUpdate archive is what its description says, as libconfig or JSON", () => {
  expect(swuVersion(archive("sw-description", 'software =\n{\n  version = "1.2.3-rc1";\n}\n'), "x")).toBe("1.2.3-rc1");
  expect(swuVersion(archive("sw-description", '{"software":{"version":"2026.11"}}'), "x")).toBe("2026.11");
  expect(swuVersion(archive("sw-description", 'software: { version: "7"; }'), "x")).toBe("7");
});

test("what is no SWUpdate archive is refused by name", () => {
  for (const [bytes, why] of [
    [new Uint8Array(0), /artifact for x: no SWUpdate archive: it does not begin with a cpio header/],
    [text("070701zz"), /cpio header/],
    [archive("payload", "x"), /first member is not sw-description/],
    [archive("sw-description", 'hardware-version = "1";'), /names no version/],
    [archive("sw-description", `version = "${"9".repeat(33)}";`), /names no version/],
    [archive("sw-description", "x", 4_000), /of 4000 bytes is cut off/],
    [archive("sw-description", "x", 0xffff_ffff), /too large/],
  ] as const) {
    expect(() => swuVersion(bytes, "artifact for x")).toThrow(why);
  }
});
