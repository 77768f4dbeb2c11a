// SPDX-License-Identifier: Apache-2.0
import { generate } from "mqtt-packet";
import { describe, expect, it } from "vitest";
import { FrameMeter } from "./frames.ts";
import { Bucket, unlimited } from "./limits.ts";

describe("the frame meter", () => {
  const publish = (bytes: number): Uint8Array =>
    generate({ cmd: "publish", topic: "t", payload: Buffer.alloc(bytes), qos: 0, retain: false, dup: false });

  it("admits any packets up to its size, cut anywhere", () => {
    const bytes = Buffer.concat([publish(0), publish(100), generate({ cmd: "pingreq" }), publish(997), publish(130)]);
    for (let first = 0; first <= bytes.length; first += 1) {
      const meter = new FrameMeter(1_000);
      expect(meter.admit(bytes.subarray(0, first)) && meter.admit(bytes.subarray(first, first + 1)) && meter.admit(bytes.subarray(first + 1))).toBe(true);
    }
  });

  it("refuses one that announces a byte more, as soon as it does", () => {
    const meter = new FrameMeter(1_000);
    const bytes = publish(998); // 2 bytes of topic length, 1 of topic
    expect(meter.admit(bytes.subarray(0, 2))).toBe(true);
    expect(meter.admit(bytes.subarray(2, 3))).toBe(false);
  });

  it("refuses a length of more than four bytes", () => {
    expect(new FrameMeter(1_000).admit(Uint8Array.from([0x30, 0x80, 0x80, 0x80, 0x80, 0x01]))).toBe(false);
  });
});

describe("the token bucket", () => {
  it("gives its burst at once, then its rate", () => {
    const bucket = new Bucket({ perSecond: 10, burst: 3 }, 100);
    expect([bucket.take(100), bucket.take(100), bucket.take(100)]).toEqual([0, 0, 0]);
    expect(bucket.take(100)).toBeCloseTo(0.1);
    expect(bucket.take(100)).toBeCloseTo(0.2);
    expect(bucket.isFull(100.4)).toBe(false);
    expect(bucket.take(101)).toBe(0);
    expect(bucket.isFull(200)).toBe(true);
  });

  it("refuses without lending when asked to", () => {
    const bucket = new Bucket({ perSecond: 1, burst: 1 }, 0);
    expect([bucket.takeNow(0), bucket.takeNow(0.5), bucket.takeNow(1)]).toEqual([true, false, true]);
  });

  it("never keeps anybody waiting without a limit", () => {
    const bucket = new Bucket(unlimited, 0);
    expect([bucket.take(0), bucket.takeNow(0)]).toEqual([0, true]);
  });
});
