// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { decodeBody, encodeBody } from "./cbor.ts";

const bytes = (hex: string): Uint8Array => Uint8Array.fromHex(hex.replaceAll(" ", ""));
const reasonOf = (hex: string): string | undefined => {
  const decoded = decodeBody(bytes(hex));
  return decoded.kind === "malformed" ? decoded.reason : undefined;
};

describe("CBOR bodies", () => {
  const body = { off: 0, len: 300_000, big: 2n ** 60n, below: -7, sha: new Uint8Array([1, 2, 3]), names: ["a", "ü"], deep: { yes: true, no: false } };
  const expected = new Map<string, unknown>([
    ["off", 0],
    ["len", 300_000],
    ["big", 2n ** 60n],
    ["below", -7],
    ["sha", new Uint8Array([1, 2, 3])],
    ["names", ["a", "ü"]],
    ["deep", new Map([["yes", true], ["no", false]])],
  ]);

  test("of definite and of indefinite length say the same", () => {
    for (const indefinite of [false, true]) {
      expect(decodeBody(encodeBody(body, { indefinite }))).toEqual({ kind: "body", body: expected });
    }
    expect(encodeBody({}, { indefinite: true })).toEqual(bytes("bf ff"));
  });

  test("use the shortest form of a number at each border (RFC 8949 section 4.2.1)", () => {
    const forms = [[23, "17"], [24, "1818"], [255, "18ff"], [256, "190100"], [65_535, "19ffff"], [65_536, "1a00010000"], [2 ** 32, "1b0000000100000000"], [-1, "20"], [-25, "3818"]] as const;
    for (const [value, form] of forms) {
      expect(encodeBody({ a: value }).toHex()).toBe(`a16161${form}`);
      expect(decodeBody(bytes(`a16161${form}`))).toEqual({ kind: "body", body: new Map([["a", value]]) });
    }
  });

  test("read halves, floats and doubles (RFC 8949 appendix A)", () => {
    for (const [form, value] of [["f93c00", 1], ["f90001", 2 ** -24], ["f97c00", Infinity], ["f9c400", -4], ["fa47c35000", 100_000], ["fb3ff199999999999a", 1.1]] as const) {
      expect(decodeBody(bytes(`a16161${form}`))).toEqual({ kind: "body", body: new Map([["a", value]]) });
    }
  });

  test("are refused when they are not to the letter", () => {
    expect(reasonOf("80")).toBe("the body is not a map");
    expect(reasonOf("a0 00")).toBe("bytes follow the map");
    expect(reasonOf("a1 6161")).toBe("the body ends early");
    expect(reasonOf("a2 616101 616102")).toBe('the key "a" twice');
    expect(reasonOf("a1 01 02")).toBe("a key that is not text");
    expect(reasonOf("a1 6161 c0 01")).toBe("a tag");
    expect(reasonOf("a1 6161 1c")).toBe("a reserved length");
    expect(reasonOf("a1 6161 7f 6161 ff")).toBe("an indefinite length where none can be");
    expect(reasonOf("a1 6161 61ff")).toBe("text that is not UTF-8");
    expect(reasonOf("a1 6161 ff")).toBe("a simple value without meaning");
    expect(reasonOf("bf 6161 01")).toBe("the body ends early");
  });

  test("that announce more than they bring cost nothing", () => {
    expect(reasonOf("a1 6161 5b 0000004000000000")).toBe("a length beyond the body");
    expect(reasonOf("a1 6161 9b ffffffffffffffff")).toBe("a length beyond the body");
    expect(reasonOf("bb 7fffffffffffffff")).toBe("a length beyond the body");
    expect(reasonOf(`a1 6161 ${"81".repeat(50)}00`)).toBe("more than 8 levels");
    expect(reasonOf(`a1 6161 9f ${"00".repeat(5_000)} ff`)).toBe("more than 4096 values");
  });
});
