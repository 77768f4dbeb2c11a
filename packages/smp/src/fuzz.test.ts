// SPDX-License-Identifier: Apache-2.0
// Anything a board, a noisy line or somebody else's datagram may hold. The seeds are fixed; a failure names its own.
import { describe, expect, test } from "vitest";
import { decodeBody, encodeBody } from "./cbor.ts";
import { SmpClient } from "./client.ts";
import { decodeFrame } from "./frame.ts";
import { readImages } from "./image.ts";
import { echo, readParameters } from "./os.ts";
import { SerialDecoder, encodeSerial } from "./serial-frame.ts";
import { readSetting } from "./settings.ts";
import { listStatistics, readStatistics } from "./statistics.ts";
import { JumpingTimers, inMemory, sampleBoard, sampleImage } from "./testing/index.ts";
import type { SmpTransport, TransportListener } from "./transport.ts";
import { uploadImage } from "./upload.ts";
import { CoalmineError } from "@coalmine/core";

/** Reproducible 32-bit numbers (xorshift). */
function draws(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % below;
  };
}

/** The bytes with something wrong: flipped, cut, longer, spliced or replaced. */
function damage(bytes: Uint8Array, draw: (below: number) => number): Uint8Array {
  const out = bytes.slice();
  switch (draw(6)) {
    case 0:
      for (let i = draw(4); i >= 0; i--) {
        out[draw(out.length)] = draw(256);
      }
      return out;
    case 1:
      return out.subarray(0, draw(out.length));
    case 2:
      return Uint8Array.from([...out, ...Array.from({ length: draw(40) }, () => draw(256))]);
    case 3:
      return Uint8Array.from([...out.subarray(0, draw(out.length)), ...out.subarray(draw(out.length))]);
    case 4:
      return Uint8Array.from({ length: draw(300) }, () => draw(256));
    default:
      // Right header, and a body that means something else.
      return out.length < 9 ? out : Uint8Array.from([...out.subarray(0, 8), ...out.subarray(8).map((byte) => (draw(8) === 0 ? draw(256) : byte))]);
  }
}

/** A board whose answers are damaged: always, or half the time. */
function damaging(draw: (below: number) => number): SmpTransport {
  const inner = inMemory(sampleBoard({ statistics: { a: { b: 1 } }, settings: new Map([["s", Uint8Array.of(1)]]) }));
  let listener: TransportListener | undefined;
  inner.listen({
    packet: (bytes) => {
      for (let i = draw(3); i > 0; i--) {
        listener?.packet(damage(bytes, draw));
      }
      if (draw(2) === 0) {
        listener?.packet(bytes);
      }
    },
    closed: (cause) => listener?.closed(cause),
  });
  return { ...inner, listen: (one) => void (listener = one) };
}

describe("whatever arrives", () => {
  test("a body of any bytes is a value or malformed, 100 000 times", () => {
    const draw = draws(1);
    const whole = encodeBody({ images: [{ slot: 0, version: "1.0.0", hash: new Uint8Array(32), active: true }], off: 70_000, n: -3n }, { indefinite: true });
    const kinds = { body: 0, malformed: 0 };
    for (let i = 0; i < 100_000; i++) {
      kinds[decodeBody(damage(whole, draw)).kind]++;
    }
    expect(kinds.body).toBeGreaterThan(1_000);
    expect(kinds.malformed).toBeGreaterThan(50_000);
  });

  test("a body cut at any byte is malformed", () => {
    for (const indefinite of [false, true]) {
      const whole = encodeBody({ err: { group: 1, rc: 9 }, list: [1, 2, "x"], data: new Uint8Array(300) }, { indefinite });
      for (let length = 0; length < whole.length; length++) {
        expect(decodeBody(whole.subarray(0, length)).kind).toBe("malformed");
      }
    }
  });

  test("a packet of any bytes is a frame or malformed, and a frame's length is the packet's", () => {
    const draw = draws(2);
    for (let i = 0; i < 50_000; i++) {
      const packet = Uint8Array.from({ length: draw(24) }, (_, at) => (at === 2 ? 0 : draw(at === 3 ? 16 : 256)));
      const frame = decodeFrame(packet);
      expect(frame.kind === "malformed" || frame.body.length === packet.length - 8).toBe(true);
    }
  });

  test("serial bytes never make the decoder throw, give out a packet with a wrong CRC, or grow", () => {
    const draw = draws(3);
    const decoder = new SerialDecoder(512);
    const genuine = new Set<string>();
    let found = 0;
    let forged = 0;
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < 30_000; i++) {
      const packet = Uint8Array.from({ length: 8 + draw(200) }, () => draw(256));
      const lines = encodeSerial(packet);
      const intact = draw(3) === 0;
      genuine.clear();
      genuine.add(packet.toHex());
      decoder.push(intact ? lines : damage(lines, draw), (bytes) => {
        found++;
        forged += genuine.has(bytes.toHex()) ? 0 : 1;
      });
    }
    // A CRC of 16 bits lets one damaged packet in 65 536 pass.
    expect(found).toBeGreaterThan(9_000);
    expect(forged).toBeLessThanOrEqual(3);
    expect(decoder.counts.malformed).toBeGreaterThan(5_000);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(64 * 1024 * 1024);
    decoder.push(new Uint8Array(1_000_000).fill(0x41), () => expect.unreachable("noise"));
    decoder.push(Uint8Array.from([6, 9, ...new Uint8Array(1_000_000).fill(0x41)]), () => expect.unreachable("noise"));
  });

  test("every command ends with a value or a CoalmineError, and nothing of it stays behind", async () => {
    const ended = { value: 0, trouble: 0 };
    for (let seed = 1; seed <= 300; seed++) {
      const client = new SmpClient(damaging(draws(seed * 48_271)), { timers: new JumpingTimers(), attempts: 2, timeout: 10 });
      const commands = [
        () => readImages(client),
        () => echo(client, "hello"),
        () => readParameters(client),
        () => listStatistics(client),
        () => readStatistics(client, "a"),
        () => readSetting(client, "s"),
        () => uploadImage(client, sampleImage("1.1.0", 2_000), { packetBytes: 256 }),
      ];
      for (const command of commands) {
        try {
          await command();
          ended.value++;
        } catch (error) {
          if (!(error instanceof CoalmineError)) {
            throw new Error(`seed ${seed}`, { cause: error });
          }
          ended.trouble++;
        }
      }
      expect(client.counts.undecodable + client.counts.unmatched, `seed ${seed}`).toBeGreaterThan(0);
    }
    expect(ended.value).toBeGreaterThan(500);
    expect(ended.trouble).toBeGreaterThan(100);
  });

  test("the simulated board answers any request or stays silent, and keeps what it runs", async () => {
    const server = sampleBoard();
    const draw = draws(5);
    const recorded: Uint8Array[] = [];
    const client = new SmpClient({ ...inMemory(server), send: (packet) => void recorded.push(packet) }, { timers: new JumpingTimers(), attempts: 1, timeout: 1 });
    for (const attempt of [readImages(client), uploadImage(client, sampleImage("1.1.0"), { packetBytes: 300 }), client.request({ op: 2, group: 1, command: 5, body: { slot: 1 } }), client.request({ op: 2, group: 3, command: 0, body: { name: "s", val: new Uint8Array(8) } })]) {
      await expect(attempt).rejects.toMatchObject({ code: "smp/timeout" });
    }
    for (let i = 0; i < 20_000; i++) {
      server.handle(damage(recorded[i % recorded.length] as Uint8Array, draw));
      if (server.resetRequested) {
        server.reboot();
      }
    }
    expect(server.alive).toBe(true);
    expect((await readImages(new SmpClient(inMemory(server))))[0]).toMatchObject({ version: "1.0.0", active: true });
  });
});
