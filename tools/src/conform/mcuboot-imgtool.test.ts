// SPDX-License-Identifier: Apache-2.0
// MCUboot's own signing tool as a peer: it verifies what we sign, we verify what it signs, and trailers are equal.
import { spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, expect, test } from "vitest";
import { buildImage, loadPublicKey, padImage, parseImage, parseVersion, verifyImage } from "@coalmine/mcuboot";
import { ED25519, P256 } from "@coalmine/mcuboot/testing";

const candidates = [process.env["IMGTOOL"], resolve(import.meta.dirname, "../../../.venv/bin/imgtool"), "imgtool"];
const imgtool = candidates.find((path) => path !== undefined && spawnSync(path, ["version"]).status === 0);
const withImgtool = test.skipIf(imgtool === undefined);
if (imgtool === undefined) {
  console.warn("skipped: no imgtool in IMGTOOL, .venv or PATH (pip install imgtool)");
}

const folder = mkdtempSync(join(tmpdir(), "imgtool-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(...args: string[]): { status: number | null; text: string } {
  const { status, stdout, stderr } = spawnSync(imgtool ?? "", args, { encoding: "utf8" });
  return { status, text: `${stdout}${stderr}` };
}

function file(name: string, contents?: string | Uint8Array): string {
  const path = join(folder, name);
  if (contents !== undefined) {
    writeFileSync(path, contents);
  }
  return path;
}

function signed(key: KeyObject, ...options: string[]): Uint8Array {
  const out = file("signed.bin");
  rmSync(out, { force: true });
  const pem = file("key.pem", key.export({ type: "pkcs8", format: "pem" }));
  const { text } = run(
    "sign", "--key", pem, "--header-size", "0x200", "--pad-header", "--slot-size", "0x8000", "--align", "8", "--version", "1.2.3+4",
    ...options, file("payload.bin", PAYLOAD), out,
  );
  expect(existsSync(out), `${text}`).toBe(true);
  return new Uint8Array(readFileSync(out));
}

const PAYLOAD = new Uint8Array(4001).map((_, i) => (i * 13) & 0xff);
const KEYS: readonly (readonly [string, () => KeyObject])[] = [
  ["ed25519", () => ED25519],
  ["ecdsa-p256", () => P256],
  ["rsa-2048", () => generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey],
  ["rsa-3072", () => generateKeyPairSync("rsa", { modulusLength: 3072 }).privateKey],
];

withImgtool.each(KEYS)("imgtool verifies an image that we sign with %s", (_, make) => {
  const key = make();
  const image = buildImage({
    version: parseVersion("1.2.3+4"),
    payload: PAYLOAD,
    headerSize: 512,
    key,
    securityCounter: 9,
    dependencies: [{ image: 0, version: parseVersion("1.0.0") }],
  });
  const pem = file("key.pem", key.export({ type: "pkcs8", format: "pem" }));
  const { status, text } = run("verify", "--key", pem, file("ours.bin", image));
  expect(text).toContain("1.2.3+4");
  expect(status, `${text}`).toBe(0);
  const damaged = image.slice();
  damaged[1000] = (damaged[1000] ?? 0) ^ 1;
  expect(run("verify", "--key", pem, file("damaged.bin", damaged)).status).not.toBe(0);
});

withImgtool.each(KEYS)("we verify an image that imgtool signs with %s", (_, make) => {
  const key = make();
  const image = signed(key, "--security-counter", "7");
  expect(verifyImage(image, [loadPublicKey(key)])).toMatchObject({ ok: true, keyIndex: 0, version: { major: 1, minor: 2, revision: 3, build: 4 } });
  const parsed = parseImage(image);
  expect(parsed).toMatchObject({ kind: "image", hdrSize: 512, securityCounter: 7, totalSize: image.length });
  if (parsed.kind === "image") {
    expect(parsed.imageHash).toEqual(parsed.computedHash);
  }
});

withImgtool("with Ed25519 both make the same bytes", () => {
  const ours = buildImage({ version: parseVersion("1.2.3+4"), payload: PAYLOAD, headerSize: 512, key: ED25519, securityCounter: 7 });
  expect(ours).toEqual(signed(ED25519, "--security-counter", "7"));
});

withImgtool.each([[["--pad"], {}], [["--pad", "--confirm"], { confirm: true }]] as const)("padding with %j is the same", (options, input) => {
  const plain = signed(ED25519);
  const padded = signed(ED25519, ...options, "--max-sectors", "16");
  expect(padImage(plain, { slotSize: 0x8000, align: 8, maxImgSectors: 16, ...input })).toEqual(padded);
});
