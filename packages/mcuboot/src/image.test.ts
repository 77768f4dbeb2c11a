// SPDX-License-Identifier: Apache-2.0
import { createHash, generateKeyPairSync } from "node:crypto";
import { expect, test } from "vitest";
import { ED25519, ED25519_OTHER, P256 } from "./testing/boards.ts";
import type { ImageInput } from "./build.ts";
import { buildImage, padImage } from "./build.ts";
import { TlvType } from "./format.ts";
import { hex, loadPublicKey, publicKeyHash } from "./keys.ts";
import { parseImage } from "./parse.ts";
import { sampleKeyName } from "./sample-keys.ts";
import { verifyImage } from "./verify.ts";
import { parseVersion } from "./version.ts";

const PAYLOAD = new Uint8Array(5000).map((_, i) => i & 0xff);
const rsa = (bits: number) => generateKeyPairSync("rsa", { modulusLength: bits }).privateKey;

function make(input: Partial<ImageInput> = {}): Uint8Array {
  return buildImage({ version: parseVersion("1.2.3+4"), payload: PAYLOAD, headerSize: 512, key: ED25519, ...input });
}

test("an image is read back as it was made", () => {
  const image = make({
    securityCounter: 7,
    dependencies: [{ image: 1, version: parseVersion("2.1.0") }],
    protectedTlvs: [{ type: 0xa5, value: Uint8Array.of(1, 2, 3) }],
    loadAddr: 0x1000,
    flags: 0x20,
  });
  const parsed = parseImage(image);
  expect(parsed).toMatchObject({
    kind: "image",
    version: { major: 1, minor: 2, revision: 3, build: 4 },
    hdrSize: 512,
    imgSize: 5000,
    loadAddr: 0x1000,
    flags: 0x20,
    securityCounter: 7,
    dependencies: [{ image: 1, version: { major: 2, minor: 1, revision: 0, build: 0 } }],
    signatures: [TlvType.ed25519],
    totalSize: image.length,
    payload: { off: 512, size: 5000 },
  });
  if (parsed.kind !== "image") throw new Error("unreachable");
  expect(parsed.imageHash).toEqual(parsed.computedHash);
  const signed = image.subarray(0, 512 + 5000 + parsed.protTlvSize);
  expect(hex(parsed.computedHash)).toBe(createHash("sha256").update(signed).digest("hex"));
  expect(parsed.tlvs.filter((tlv) => tlv.isProtected).map((tlv) => tlv.type)).toEqual([TlvType.securityCounter, TlvType.dependency, 0xa5]);
});

test("Ed25519 images and unsigned images are reproducible", () => {
  expect(make()).toEqual(make());
  expect(buildImage({ version: parseVersion("1"), payload: PAYLOAD, headerSize: 32 })).toEqual(
    buildImage({ version: parseVersion("1"), payload: PAYLOAD, headerSize: 32 }),
  );
});

test.each([
  ["ed25519", ED25519],
  ["ecdsa-p256", P256],
  ["rsa-2048", rsa(2048)],
  ["rsa-3072", rsa(3072)],
] as const)("an image signed with %s verifies with its key and no other", (kind, key) => {
  const image = make({ key });
  const right = loadPublicKey(key);
  expect(right.kind).toBe(kind);
  expect(verifyImage(image, [right])).toMatchObject({ ok: true, keyIndex: 0, version: { major: 1 } });
  expect(verifyImage(image, [loadPublicKey(ED25519_OTHER), right])).toMatchObject({ ok: true, keyIndex: 1 });
  expect(verifyImage(image, [loadPublicKey(ED25519_OTHER)])).toMatchObject({ ok: false, reason: "signature-missing" });
  const damaged = image.slice();
  damaged[600] = (damaged[600] ?? 0) ^ 1;
  expect(verifyImage(damaged, [right])).toEqual({ ok: false, reason: "hash-mismatch" });
});

test("unsigned images verify only where no signature is asked for", () => {
  const image = buildImage({ version: parseVersion("1"), payload: PAYLOAD, headerSize: 32 });
  expect(verifyImage(image, [loadPublicKey(ED25519)])).toEqual({ ok: false, reason: "signature-missing" });
  expect(verifyImage(image, [])).toEqual({ ok: false, reason: "no-key" });
  expect(verifyImage(image, [], { sig: "none" }).ok).toBe(true);
});

test("a key hash of four bytes is enough to choose the key, as in the bootloader", () => {
  const whole = make();
  const parsed = parseImage(whole);
  if (parsed.kind !== "image") throw new Error("unreachable");
  const signature = parsed.tlvs.find((tlv) => tlv.type === TlvType.ed25519)?.value ?? new Uint8Array(0);
  const image = make({
    key: undefined,
    unprotectedTlvs: [
      { type: TlvType.keyHash, value: publicKeyHash(ED25519).subarray(0, 4) },
      { type: TlvType.ed25519, value: signature },
    ],
  });
  expect(verifyImage(image, [loadPublicKey(ED25519)]).ok).toBe(true);
});

test("a stored security counter above the image's refuses it", () => {
  const image = make({ securityCounter: 3 });
  const keys = [loadPublicKey(ED25519)];
  expect(verifyImage(image, keys, { rollbackCounter: 3 }).ok).toBe(true);
  expect(verifyImage(image, keys, { rollbackCounter: 4 })).toEqual({ ok: false, reason: "security-counter-too-low" });
  expect(verifyImage(make(), keys, { rollbackCounter: 0 })).toEqual({ ok: false, reason: "security-counter-missing" });
});

test("flags the bootloader cannot handle refuse the image", () => {
  const keys = [loadPublicKey(ED25519)];
  expect(verifyImage(make({ flags: 0x10 }), keys)).toEqual({ ok: false, reason: "non-bootable" });
  expect(verifyImage(make({ flags: 0x4 }), keys)).toEqual({ ok: false, reason: "encrypted" });
  expect(verifyImage(make({ flags: 0x200 }), keys)).toEqual({ ok: false, reason: "compressed" });
  expect(verifyImage(make({ flags: 0x40000000 }), keys).ok).toBe(true);
});

test("a vendor TLV is fine when protected, and refused outside by the allow list", () => {
  const keys = [loadPublicKey(ED25519)];
  const vendor = { type: 0xa0, value: Uint8Array.of(1) };
  expect(verifyImage(make({ protectedTlvs: [vendor] }), keys).ok).toBe(true);
  expect(verifyImage(make({ unprotectedTlvs: [vendor] }), keys)).toEqual({ ok: false, reason: "tlv-not-allowed" });
  expect(verifyImage(make({ unprotectedTlvs: [vendor] }), keys, { tlvAllowList: false }).ok).toBe(true);
});

test("malformed files name the byte", () => {
  const image = make();
  expect(parseImage(new Uint8Array(10))).toMatchObject({ kind: "malformed", offset: 10 });
  expect(parseImage(new Uint8Array(100))).toMatchObject({ kind: "malformed", offset: 0 });
  expect(parseImage(image.subarray(0, 3000))).toMatchObject({ kind: "malformed", offset: 12 });
  expect(parseImage(image.subarray(0, image.length - 1))).toMatchObject({ kind: "malformed", offset: 5514 });
  expect(parseImage(image, { sizeMax: 100 })).toMatchObject({ kind: "malformed", offset: 100 });
  expect(parseImage(image, { tlvsMax: 1 })).toMatchObject({ kind: "malformed" });
});

test("input that does not fit the format is refused with the field's name", () => {
  expect(() => make({ headerSize: 31 })).toThrow(/headerSize/);
  expect(() => make({ securityCounter: -1 })).toThrow(/securityCounter/);
  expect(() => make({ dependencies: [{ image: 256, version: parseVersion("1") }] })).toThrow(/dependency/);
  expect(() => make({ protectedTlvs: [{ type: 0xffff, value: new Uint8Array(1) }] })).toThrow(/TLV type/);
  expect(() => make({ key: "no key" })).toThrow(/private key/);
  expect(() => loadPublicKey(generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey)).toThrow(/not supported/);
});

test("a padded image fills its slot and asks for a swap", () => {
  const image = make();
  const padded = padImage(image, { slotSize: 16384, align: 8, maxImgSectors: 4 });
  expect(padded.length).toBe(16384);
  expect(padded.subarray(0, image.length)).toEqual(image);
  expect(hex(padded.subarray(-16))).toBe("77c295f360d2ef7f3552500f2cb67980");
  expect(padded[16384 - 24]).toBe(0xff);
  expect(padImage(image, { slotSize: 16384, align: 8, maxImgSectors: 4, confirm: true })[16384 - 24]).toBe(1);
  expect(padImage(image, { slotSize: 16384, align: 8, maxImgSectors: 4, confirm: true, overwriteOnly: true })[16384 - 24]).toBe(0xff);
  expect(() => padImage(image, { slotSize: 5700, align: 8, maxImgSectors: 4 })).toThrow(/do not fit/);
});

test("the published sample keys are known by their hashes, shortened ones too", () => {
  const hash = Uint8Array.from(Buffer.from("fc5701dc6135e1323847bdc40f04d2e5bee5833b23c29f93593d00018cfa9994", "hex"));
  expect(sampleKeyName(hash)).toBe("root-rsa-2048");
  expect(sampleKeyName(hash.subarray(0, 4))).toBe("root-rsa-2048");
  expect(sampleKeyName(hash.subarray(0, 3))).toBeUndefined();
  expect(sampleKeyName(publicKeyHash(ED25519))).toBeUndefined();
});
