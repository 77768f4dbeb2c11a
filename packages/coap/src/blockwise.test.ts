// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { cut, Uploads, type UploadStep } from "./blockwise.ts";
import { defaultLimits } from "./limits.ts";
import { noise } from "./testing/host.ts";

const limits = { ...defaultLimits, uploadsBytes: 262_144, uploads: 100 };

interface Given {
  readonly key?: string;
  readonly device?: string;
  readonly num: number;
  readonly more: boolean;
  readonly szx?: number;
  readonly payload: Uint8Array;
  readonly announced?: number;
  readonly now_s?: number;
}

const give = (uploads: Uploads, { key = "k", device = "d", num, more, szx = 0, payload, announced, now_s = 0 }: Given): UploadStep =>
  uploads.take({ key, device, block: { num, more, szx }, payload, announced, now_s });

/** Uploads `bytes` block by block and returns the last answer. */
function upload(uploads: Uploads, bytes: Uint8Array, szx: number): UploadStep {
  const size = 16 << szx;
  let step: UploadStep = { kind: "incomplete" };
  for (let num = 0; num * size < bytes.length; num += 1) {
    step = give(uploads, { num, more: (num + 1) * size < bytes.length, szx, payload: bytes.subarray(num * size, (num + 1) * size) });
  }
  return step;
}

describe("an upload", () => {
  test("of 64 KiB arrives whole at every block size and leaves nothing behind", () => {
    const uploads = new Uploads(limits);
    const bytes = noise(65_536);
    for (let szx = 0; szx <= 6; szx += 1) {
      expect(upload(uploads, bytes, szx)).toEqual({ kind: "whole", payload: bytes });
    }
    expect([uploads.size, uploads.bytes]).toEqual([0, 0]);
  });

  test("may change its block size on the way, as long as the bytes follow on (RFC 7959 section 2.3)", () => {
    const uploads = new Uploads(limits);
    const bytes = noise(100);
    give(uploads, { num: 0, more: true, szx: 2, payload: bytes.subarray(0, 64) });
    give(uploads, { num: 4, more: true, szx: 0, payload: bytes.subarray(64, 80) });
    expect(give(uploads, { num: 5, more: false, szx: 0, payload: bytes.subarray(80, 96) })).toEqual({ kind: "whole", payload: bytes.subarray(0, 96) });
  });

  test("takes its last block once more when the answer was lost, and no other twice", () => {
    const uploads = new Uploads(limits);
    const bytes = noise(48);
    const block = (num: number): UploadStep => give(uploads, { num, more: true, payload: bytes.subarray(num * 16, num * 16 + 16) });
    expect([block(0), block(1), block(1)].map(({ kind }) => kind)).toEqual(["continue", "continue", "continue"]);
    expect(give(uploads, { num: 1, more: true, payload: noise(16, 9) }).kind).toBe("incomplete");
    expect(give(uploads, { num: 2, more: false, payload: bytes.subarray(32) })).toEqual({ kind: "whole", payload: bytes });
  });

  test("is incomplete out of order, without a start, or after a pause", () => {
    const uploads = new Uploads(limits);
    const payload = noise(16);
    expect(give(uploads, { num: 1, more: true, payload }).kind).toBe("incomplete");
    give(uploads, { num: 0, more: true, payload });
    expect(give(uploads, { num: 2, more: true, payload }).kind).toBe("incomplete");
    expect(give(uploads, { num: 1, more: true, payload, now_s: limits.uploadPause_s + 1 }).kind).toBe("incomplete");
    expect(uploads.bytes).toBe(0);
  });

  test("is ragged when a block with more to come is not full, or any block is longer than its size", () => {
    const uploads = new Uploads(limits);
    expect(give(uploads, { num: 0, more: true, payload: noise(15) }).kind).toBe("ragged");
    expect(give(uploads, { num: 0, more: false, payload: noise(17) }).kind).toBe("ragged");
  });

  test("that announces a gigabyte, or begins at one, costs nothing", () => {
    const uploads = new Uploads(limits);
    expect(give(uploads, { num: 0, more: true, payload: noise(16), announced: 1_073_741_824 }).kind).toBe("too-large");
    expect(give(uploads, { num: 0xf_ffff, more: true, szx: 6, payload: noise(1_024) }).kind).toBe("too-large");
    expect([uploads.size, uploads.bytes]).toEqual([0, 0]);
  });

  test("over 64 KiB is too large at the block that passes it, whatever was announced", () => {
    const uploads = new Uploads(limits);
    const payload = noise(1_024);
    for (let num = 0; num < 64; num += 1) {
      expect(give(uploads, { num, more: true, szx: 6, payload, announced: 100 }).kind).toBe("continue");
    }
    expect(give(uploads, { num: 64, more: false, szx: 6, payload }).kind).toBe("too-large");
    expect(uploads.bytes).toBe(0);
  });

  test("by the thousand, unfinished, stays within the budget: the ones resting longest go", () => {
    const uploads = new Uploads(limits);
    for (let n = 0; n < 5_000; n += 1) {
      give(uploads, { key: `k${n}`, device: `d${n}`, num: 0, more: true, szx: 6, payload: noise(1_024), now_s: n / 1_000 });
      expect(uploads.bytes).toBeLessThanOrEqual(limits.uploadsBytes);
      expect(uploads.size).toBeLessThanOrEqual(limits.uploads);
    }
    expect(give(uploads, { key: "k4999", device: "d4999", num: 1, more: false, szx: 6, payload: noise(3), now_s: 5 }).kind).toBe("whole");
    expect(give(uploads, { key: "k0", device: "d0", num: 1, more: false, szx: 6, payload: noise(3), now_s: 5 }).kind).toBe("incomplete");
  });

  test("of a device pushes out that device's older ones, and nobody else's", () => {
    const uploads = new Uploads(limits);
    const fill = (key: string, device: string, blocks: number): void => {
      for (let num = 0; num < blocks; num += 1) {
        give(uploads, { key, device, num, more: true, szx: 6, payload: noise(1_024) });
      }
    };
    fill("other", "e", 10);
    fill("old", "d", 40);
    fill("new", "d", 40);
    const end = { num: 40, more: false, szx: 6, payload: noise(1) };
    expect(give(uploads, { ...end, key: "old" }).kind).toBe("incomplete");
    expect(give(uploads, { ...end, key: "new" }).kind).toBe("whole");
    expect(give(uploads, { ...end, key: "other", device: "e", num: 10 }).kind).toBe("whole");
  });
});

test("a representation is cut into blocks that come together again, and past the end is no block", () => {
  const content = noise(2_049);
  for (let szx = 0; szx <= 6; szx += 1) {
    const parts: number[] = [];
    for (let num = 0, more = true; more; num += 1) {
      const piece = cut(content, { num, more: false, szx });
      parts.push(...(piece?.data ?? []));
      more = piece?.block.more ?? false;
    }
    expect(Uint8Array.from(parts)).toEqual(content);
  }
  expect(cut(content, { num: 3, more: false, szx: 6 })).toBeUndefined();
  expect(cut(new Uint8Array(0), { num: 0, more: false, szx: 6 })).toMatchObject({ block: { more: false } });
});
