// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { decodeMac0, encodeHeader, encodeMac0, MacAlgorithm, macTag, tagsEqual } from "./cose.ts";

const hex = (text: string): Uint8Array => Uint8Array.fromHex(text);
const none: readonly Uint8Array[] = [];

describe("the MAC of a COSE_Mac0", () => {
  test("RFC 8392 appendix A.4: a CWT with HMAC 256/64", () => {
    const payload = hex(
      "a70175636f61703a2f2f61732e6578616d706c652e636f6d02656572696b77037818636f61703a2f2f6c696768742e6578616d706c652e636f6d041a5612aeb0051a5610d9f0061a5610d9f007420b71",
    );
    const tag = macTag({
      algorithm: MacAlgorithm.hmac256_64,
      key: hex("403697de87af64611c1d32a05dab0fe1fcb715a86ab435f1ec99192d79569388"),
      protectedBytes: encodeHeader({ algorithm: MacAlgorithm.hmac256_64 }),
      externalAad: none,
      payload,
    });
    expect(tag.toHex()).toBe("093101ef6d789200");
  });

  test("the COSE working group's examples: mac0-tests/HMac-01, HMAC 256", () => {
    const tag = macTag({
      algorithm: MacAlgorithm.hmac256,
      key: hex("849b57219dae48de646d07dbb533566e976686457c1491be3a76dcea6c427188"),
      protectedBytes: encodeHeader({ algorithm: MacAlgorithm.hmac256 }),
      externalAad: none,
      payload: new TextEncoder().encode("This is the content."),
    });
    expect(tag.toHex()).toBe("a1a848d3471f9d61ee49018d244c824772f223ad4f935293f1789fc3a08d8c58");
  });

  test("the COSE working group's examples: mac0-tests/mac-pass-02, external data", () => {
    const tag = macTag({
      algorithm: MacAlgorithm.hmac256,
      key: hex("849b57219dae48de646d07dbb533566e976686457c1491be3a76dcea6c427188"),
      protectedBytes: new Uint8Array(0),
      externalAad: [hex("ff00ee11dd22cc33"), hex("bb44aa559966")],
      payload: new TextEncoder().encode("This is the content."),
    });
    expect(tag.toHex()).toBe("0fecaec59bb46cc8a488aaca4b205e322dd52696b75a45768d3c302dd4bae2f7");
  });

  test("the external data counts, and so does where it ends", () => {
    const of = (externalAad: readonly Uint8Array[], payload: Uint8Array): string =>
      macTag({ algorithm: MacAlgorithm.hmac256_64, key: hex("00".repeat(32)), protectedBytes: encodeHeader({ algorithm: 4 }), externalAad, payload }).toHex();
    expect(of([hex("0102")], hex("03"))).toBe(of([hex("01"), hex("02")], hex("03")));
    expect(of([hex("01")], hex("0203"))).not.toBe(of([hex("0102")], hex("03")));
  });
});

describe("an encoded COSE_Mac0", () => {
  const header = { algorithm: MacAlgorithm.hmac256_64, keyId: new TextEncoder().encode("dev-1"), sequence: 65_536 } as const;
  const bytes = encodeMac0(encodeHeader(header), hex("0102030405060708"));

  test("is [protected, {}, nil, tag] and reads back as it was", () => {
    expect(bytes.toHex()).toBe("844f" + "a301040445" + "6465762d31" + "0643010000" + "a0f6480102030405060708");
    expect(decodeMac0(bytes)).toMatchObject({ header: { algorithm: 4, sequence: 65_536 }, tag: hex("0102030405060708") });
  });

  test("any byte cut off or put behind makes it none", () => {
    for (let length = 0; length < bytes.length; length += 1) {
      expect(decodeMac0(bytes.subarray(0, length))).toBeUndefined();
    }
    expect(decodeMac0(Uint8Array.from([...bytes, 0]))).toBeUndefined();
  });

  test("has one encoding: longer lengths, other key orders, unknown keys and leading zeros are refused", () => {
    const wrap = (header: string, rest = "a0f6480102030405060708"): string => `84${(0x40 + header.length / 2).toString(16)}${header}${rest}`;
    expect(decodeMac0(hex(wrap("a2010406410a")))?.header).toEqual({ algorithm: 4, sequence: 10 });
    const refused = [
      "84580fa3010404456465762d310643010000a0f6480102030405060708", // length 15 in two bytes
      wrap("a30104064301000004456465762d31"), // keys out of order
      wrap("a2010406410a00"), // a byte behind the header's map
      wrap("a301040641000700"), // unknown key 7
      wrap("a20104064200ff"), // sequence with a leading zero
      wrap("a201040648ffffffffffffffff"), // sequence past what is counted exactly
      wrap("a2010404" + "40"), // no key id
      wrap("a10106"), // algorithm 6
      wrap("a10104", "a0f64701020304050607"), // tag of 7 bytes
      wrap("a10105"), // tag too short for HMAC 256
      wrap("a10104", "a04101480102030405060708"), // payload attached
      wrap("a10104", "a10104f6480102030405060708"), // unprotected header
    ];
    for (const text of refused) {
      expect({ text, mac0: decodeMac0(hex(text)) }).toEqual({ text, mac0: undefined });
    }
  });
});

test("tags of different length are never equal", () => {
  expect(tagsEqual(hex("0102"), hex("010203"))).toBe(false);
  expect(tagsEqual(hex("0102"), hex("0102"))).toBe(true);
});
