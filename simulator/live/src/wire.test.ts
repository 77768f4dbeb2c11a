// SPDX-License-Identifier: Apache-2.0
import fc from "fast-check";
import { generate, type Packet, parser } from "mqtt-packet";
import { describe, expect, test } from "vitest";
import { readPublish, takePackets, writeConnect, writePublish, writePuback, writeSubscribe } from "./wire.ts";

const bytesOf = (max: number) => fc.uint8Array({ maxLength: max });

/** Reads a stream that comes in the given pieces, as a connection does. */
function readAll(chunks: readonly Uint8Array[], limit = 20_000): { packets: { header: number; body: string }[]; end: string } {
  const packets: { header: number; body: string }[] = [];
  const sink = {
    packet(_connection: null, header: number, bytes: Buffer, from: number, to: number): boolean {
      packets.push({ header, body: bytes.toString("hex", from, to) });
      return true;
    },
  };
  let rest = Buffer.alloc(0);
  for (const chunk of chunks) {
    const whole = Buffer.concat([rest, chunk]);
    const taken = takePackets(whole, limit, sink, null);
    if (taken.kind !== "taken") {
      return { packets, end: taken.kind === "broken" ? taken.reason : taken.kind };
    }
    rest = Buffer.from(whole.subarray(taken.bytes));
  }
  return { packets, end: `${rest.length} left` };
}

function cut(stream: Uint8Array, at: readonly number[]): Uint8Array[] {
  const places = [...new Set(at.map((place) => place % (stream.length + 1)))].sort((a, b) => a - b);
  return [0, ...places].map((from, index) => stream.subarray(from, places[index] ?? stream.length));
}

function parseWith(bytes: Uint8Array): Packet {
  let found: Packet | undefined;
  const other = parser();
  other.on("packet", (packet: Packet) => {
    found = packet;
  });
  other.parse(Buffer.from(bytes));
  if (found === undefined) {
    throw new Error("mqtt-packet found no packet");
  }
  return found;
}

describe("reassembly", () => {
  test("W1: the same packets come out however the stream is cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ topic: fc.stringMatching(/^[a-z/]{1,40}$/), payload: bytesOf(700), qos: fc.constantFrom(0 as const, 1 as const) }), { minLength: 1, maxLength: 6 }),
        fc.array(fc.nat(5_000), { maxLength: 12 }),
        (messages, places) => {
          const stream = Buffer.concat(
            messages.map((message) =>
              generate({ cmd: "publish", dup: false, retain: false, ...message, payload: Buffer.from(message.payload), ...(message.qos === 1 ? { messageId: 9 } : {}) }),
            ),
          );
          const whole = readAll([stream]);
          expect(whole.packets).toHaveLength(messages.length);
          expect(readAll(cut(stream, places))).toEqual(whole);
          for (const [index, packet] of whole.packets.entries()) {
            const body = Buffer.from(packet.body, "hex");
            const publish = readPublish(packet.header, body, 0, body.length);
            expect(publish?.topic).toBe(messages[index]?.topic);
            expect(publish?.qos).toBe(messages[index]?.qos);
            expect(publish === undefined ? undefined : new Uint8Array(publish.payload)).toEqual(messages[index]?.payload);
          }
        },
      ),
    );
  });

  test("W2: any bytes end as packets, an incomplete packet within the limit, or a named reason; never as an exception", () => {
    fc.assert(
      fc.property(bytesOf(300), fc.array(fc.nat(300), { maxLength: 5 }), (bytes, places) => {
        const { packets, end } = readAll(cut(bytes, places), 100);
        expect(end).toMatch(/^\d+ left$|remaining length|longer than/);
        const left = /^(\d+) left$/.exec(end);
        expect(Number(left?.[1] ?? 0)).toBeLessThanOrEqual(105);
        for (const { header, body } of packets) {
          const buffer = Buffer.from(body, "hex");
          const publish = readPublish(header, buffer, 0, buffer.length);
          expect(publish === undefined || publish.payload.length <= buffer.length).toBe(true);
        }
      }),
    );
  });

  test("a packet over the limit is refused by its header, before its bytes are kept", () => {
    expect(readAll([new Uint8Array([0x30, 0xff, 0xff, 0xff, 0x7f])]).end).toBe("a packet longer than any of ours");
    expect(readAll([new Uint8Array([0x30, 0xff, 0xff, 0xff, 0xff, 1])]).end).toMatch(/remaining length of more than 4 bytes/);
  });
});

describe("what we write", () => {
  test("is what another implementation reads", () => {
    expect(parseWith(writeConnect("dev-1", 60))).toMatchObject({ cmd: "connect", clientId: "dev-1", keepalive: 60, clean: false, protocolVersion: 4, protocolId: "MQTT" });
    expect(parseWith(writeSubscribe(5, "c/v1/d/dev-1/down/#"))).toMatchObject({ cmd: "subscribe", messageId: 5, subscriptions: [{ topic: "c/v1/d/dev-1/down/#", qos: 1 }] });
    expect(parseWith(writePuback(65_535))).toMatchObject({ cmd: "puback", messageId: 65_535 });
  });

  test("a PUBLISH of any size survives, at both qualities", () => {
    for (const size of [0, 1, 110, 111, 112, 113, 16_000, 16_383, 16_384, 17_000]) {
      const payload = new Uint8Array(size).fill(size & 0xff);
      for (const id of [0, 1, 65_535]) {
        const packet = parseWith(writePublish("c/v1/d/dev/up", payload, id, id === 1));
        expect(packet).toMatchObject({ cmd: "publish", topic: "c/v1/d/dev/up", qos: id === 0 ? 0 : 1, dup: id === 1, retain: false });
        expect(packet.cmd === "publish" && Buffer.from(payload).equals(packet.payload as Buffer)).toBe(true);
      }
    }
  });
});
