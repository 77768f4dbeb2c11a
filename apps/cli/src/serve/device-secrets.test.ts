// SPDX-License-Identifier: Apache-2.0
import { coapKey } from "@coalmine/coap";
import { deviceId } from "@coalmine/core";
import { createHash, randomBytes } from "node:crypto";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { newSecret, readDeviceSecrets, readSealKey, secretLine } from "./device-secrets.ts";

const folder = mkdtempSync(join(tmpdir(), "coalmine-secrets-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text, { mode: 0o600 });
  return join(folder, name);
};
const one = deviceId("dev-1");
const two = deviceId("dev-2");
const sealKey = new Uint8Array(randomBytes(32));

describe("a file of device secrets", () => {
  test("holds for MQTT the secret's hash, and for CoAP the key made of it, which only the seal key opens", () => {
    const secret = newSecret();
    const path = file("both", `# ours\n\n${secretLine(one, secret, sealKey)}\n${secretLine(two, newSecret(), undefined)}\n`);
    const read = readDeviceSecrets(path, sealKey);
    expect(read.hashes.get(one)).toBe(createHash("sha256").update(secret).digest("hex"));
    expect([...read.coapKeys]).toEqual([[one, coapKey(secret)]]);
    expect(read.withoutCoapKey).toBe(1);
    expect(readDeviceSecrets(path, undefined).coapKeys.size).toBe(0);
    const text = readFileSync(path, "latin1");
    for (const clear of [secret, Buffer.from(coapKey(secret)).toString("hex"), Buffer.from(coapKey(secret)).toString("base64url")]) {
      expect(text).not.toContain(clear);
    }
  });

  test("a sealed key does not open behind another device's name, changed, or under another seal key", () => {
    const line = secretLine(one, newSecret(), sealKey);
    for (const [text, key] of [
      [line.replace("dev-1", "dev-2"), sealKey],
      [line.replace(/.$/, (last) => (last === "A" ? "B" : "A")).replace(/(.)(.{10})$/, (_all, c: string, rest: string) => `${c === "A" ? "B" : "A"}${rest}`), sealKey],
      [line, new Uint8Array(32)],
    ] as const) {
      expect(() => readDeviceSecrets(file("moved", text), key)).toThrow(/line 1: the seal key does not open the CoAP key of dev-/);
    }
  });

  test.each([
    ["no hash", "dev-1\n", /line 1: write DEVICE/],
    ["a hash cut short", `dev-1 ${"a".repeat(63)}\n`, /line 1: write DEVICE/],
    ["a key cut short", `dev-1 ${"a".repeat(64)} ${"A".repeat(79)}\n`, /line 1: write DEVICE/],
    ["a name that is none", `de/v ${"a".repeat(64)}\n`, /line 1: .*de\/v/],
    ["a device twice", `dev-1 ${"a".repeat(64)}\ndev-1 ${"b".repeat(64)}\n`, /line 2: dev-1 has a line already/],
  ])("%s is refused with its line", (_what, text, message) => {
    expect(() => readDeviceSecrets(file("bad", text), sealKey)).toThrow(message);
  });

  test("a seal key that others can read, or that is none, is refused", () => {
    const path = file("seal.key", `${"ab".repeat(32)}\n`);
    expect(readSealKey(path)).toEqual(new Uint8Array(32).fill(0xab));
    chmodSync(path, 0o644);
    expect(() => readSealKey(path)).toThrow(/chmod 600/);
    expect(() => readSealKey(file("short.key", "abcd"))).toThrow(/not 64 hex digits/);
  });
});
