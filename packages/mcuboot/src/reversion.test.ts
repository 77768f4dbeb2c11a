// SPDX-License-Identifier: Apache-2.0
import { generateKeyPairSync } from "node:crypto";
import { describe, expect, test } from "vitest";
import { buildImage } from "./build.ts";
import { ImageFlag, TlvType } from "./format.ts";
import { loadPublicKey } from "./keys.ts";
import { parseImage } from "./parse.ts";
import { reversionImage } from "./reversion.ts";
import { verifyImage } from "./verify.ts";
import { formatVersion, parseVersion } from "./version.ts";

const { privateKey: key } = generateKeyPairSync("ed25519");
const payload = Uint8Array.from({ length: 3_000 }, (_, i) => i & 0xff);
const original = buildImage({
  version: parseVersion("1.1.0"),
  payload,
  headerSize: 0x200,
  loadAddr: 0x1000,
  flags: ImageFlag.romFixed,
  securityCounter: 3,
  dependencies: [{ image: 1, version: parseVersion("2.0.0") }],
  protectedTlvs: [{ type: 0xa0, value: Uint8Array.of(1, 2, 3) }],
  key,
});

describe("reversion", () => {
  test("same payload, higher version, valid signature; flags, address, dependencies and own TLVs stay", () => {
    const { image, caveats } = reversionImage(original, { version: parseVersion("1.2.1"), key });
    const verified = verifyImage(image, [loadPublicKey(key)]);
    expect(verified.ok && formatVersion(verified.version)).toBe("1.2.1+0");
    const parsed = parseImage(image);
    const before = parseImage(original);
    if (parsed.kind !== "image" || before.kind !== "image") {
      throw new Error("no image");
    }
    expect(image.subarray(parsed.payload.off, parsed.payload.off + parsed.payload.size)).toEqual(payload);
    expect([parsed.flags, parsed.loadAddr, parsed.hdrSize, parsed.securityCounter, parsed.dependencies]).toEqual([before.flags, before.loadAddr, before.hdrSize, 3, before.dependencies]);
    expect(parsed.tlvs.find((tlv) => tlv.type === 0xa0)?.value).toEqual(Uint8Array.of(1, 2, 3));
    expect(parsed.imageHash).not.toEqual(before.imageHash);
    expect(caveats.join("\n")).toMatch(/still says 1\.1\.0\+0, while bootloader and reports say 1\.2\.1\+0[\s\S]*downloaded, never swapped back[\s\S]*security counter is 3/);
  });

  test("a security counter is replaced, not added", () => {
    const { image } = reversionImage(original, { version: parseVersion("1.2.1"), key, securityCounter: 9 });
    const parsed = parseImage(image);
    expect(parsed.kind === "image" && parsed.tlvs.filter((tlv) => tlv.type === TlvType.securityCounter)).toHaveLength(1);
    expect(parsed.kind === "image" && parsed.securityCounter).toBe(9);
  });

  test("what cannot be read in the file is refused, with what to do instead", () => {
    const sealed = buildImage({ version: parseVersion("1.0.0"), payload, headerSize: 0x200, flags: ImageFlag.encryptedAes128, key });
    expect(() => reversionImage(sealed, { version: parseVersion("1.2.1"), key })).toThrow(/encrypted or compressed.*build it again/);
    expect(() => reversionImage(new Uint8Array(100), { version: parseVersion("1.2.1"), key })).toThrow(/no MCUboot image/);
  });
});
