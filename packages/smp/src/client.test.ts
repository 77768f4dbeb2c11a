// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { encodeBody } from "./cbor.ts";
import { SmpClient } from "./client.ts";
import { Group, Op, OsCommand, decodeFrame, encodeFrame } from "./frame.ts";
import { JumpingTimers } from "./testing/index.ts";
import type { SmpTransport, TransportListener } from "./transport.ts";

const request = { op: Op.read, group: Group.os, command: OsCommand.parameters } as const;

/** A board given as a function from request packets to answers. */
function scripted(answer: (packet: Uint8Array, count: number) => readonly Uint8Array[]): SmpTransport & { readonly sent: Uint8Array[]; listener: TransportListener | undefined } {
  const transport = {
    name: "a script",
    packetMax: 512,
    overhead: 0,
    sent: [] as Uint8Array[],
    listener: undefined as TransportListener | undefined,
    listen(one: TransportListener) {
      transport.listener = one;
    },
    send(packet: Uint8Array) {
      transport.sent.push(packet);
      for (const bytes of answer(packet, transport.sent.length)) {
        transport.listener?.packet(bytes);
      }
    },
    async close() {
      transport.listener?.closed(undefined);
    },
  };
  return transport;
}

function answerTo(packet: Uint8Array, body: Uint8Array, change: { sequence?: number; command?: number; op?: 0 | 1 | 2 | 3; group?: number; version?: 1 | 2 } = {}): Uint8Array {
  const frame = decodeFrame(packet);
  if (frame.kind === "malformed") {
    throw new Error(frame.reason);
  }
  return encodeFrame({ ...frame, op: frame.op === Op.read ? Op.readAnswer : Op.writeAnswer, ...change }, body);
}

const ok = encodeBody({ buf_size: 384 });
const client = (transport: SmpTransport, options = {}): SmpClient => new SmpClient(transport, { timers: new JumpingTimers(), ...options });

describe("the client", () => {
  test("writes the header of the specification: version in bits 3 and 4, big endian, sequence one by one and round", async () => {
    const transport = scripted((packet) => [answerTo(packet, ok)]);
    const one = client(transport, { firstSequence: 255 });
    await one.request({ op: Op.write, group: 0x1234, command: 7, body: { a: 1 } });
    await one.request(request);
    expect(transport.sent.map((packet) => packet.toHex())).toEqual(["0a0000041234ff07a1616101", "080000010000" + "0006" + "a0"]);
  });

  test("takes only the answer that fits operation, group, command and sequence", async () => {
    const wrong = encodeBody({ buf_size: 1 });
    const one = client(
      scripted((packet) => [
        answerTo(packet, wrong, { sequence: 200 }),
        answerTo(packet, wrong, { command: 5 }),
        answerTo(packet, wrong, { group: 1 }),
        answerTo(packet, wrong, { op: Op.writeAnswer }),
        answerTo(packet, wrong, { op: Op.read }),
        answerTo(packet, ok),
        answerTo(packet, wrong),
      ]),
      { firstSequence: 1 },
    );
    expect(await one.request(request)).toEqual({ kind: "ok", body: new Map([["buf_size", 384]]) });
    expect(one.counts).toEqual({ unmatched: 6, undecodable: 0, repeated: 0 });
  });

  test("repeats with the same sequence number, waiting twice as long each time, and then gives up", async () => {
    const timers = new JumpingTimers();
    const transport = scripted(() => []);
    const one = client(transport, { timers, timeout: 100, attempts: 4 });
    await expect(one.request(request)).rejects.toMatchObject({ code: "smp/timeout", retry: "later" });
    expect(timers.now()).toBe(100 + 200 + 400 + 800);
    expect(new Set(transport.sent.map((packet) => packet.toHex())).size).toBe(1);
    expect(transport.sent.length).toBe(4);
  });

  test("says that answers came but could not be read", async () => {
    const one = client(scripted((packet) => [answerTo(packet, Uint8Array.of(0xa1, 0x61)), packet.subarray(0, 5)]), { attempts: 2 });
    await expect(one.request(request)).rejects.toMatchObject({ code: "smp/bad-answer", retry: "never" });
    expect(one.counts.undecodable).toBe(4);
  });

  test("reads refusals of both versions, and takes 0 for none", async () => {
    const refuse = (body: Parameters<typeof encodeBody>[0]): Promise<unknown> => client(scripted((packet) => [answerTo(packet, encodeBody(body))])).request(request);
    expect(await refuse({ rc: 3 })).toEqual({ kind: "refused", group: undefined, rc: 3, reason: "invalid value" });
    expect(await refuse({ rc: 1, rsn: "flash is read only" })).toMatchObject({ reason: "unknown error (flash is read only)" });
    expect(await refuse({ err: { group: 1, rc: 9 } })).toEqual({ kind: "refused", group: 1, rc: 9, reason: "image: no free slot" });
    expect(await refuse({ err: { group: 64, rc: 5 } })).toMatchObject({ reason: "group 64: code 5" });
    expect(await refuse({ err: {} })).toMatchObject({ kind: "refused", rc: 1 });
    expect(await refuse({ rc: "no" })).toMatchObject({ kind: "refused", rc: 1 });
    expect(await refuse({ rc: 0 })).toMatchObject({ kind: "ok" });
    expect(await refuse({ err: { group: 1, rc: 0 } })).toMatchObject({ kind: "ok" });
  });

  test("speaks version 1 from then on to a board that finds 2 too new", async () => {
    const transport = scripted((packet, count) => [answerTo(packet, count === 1 ? encodeBody({ rc: 13 }) : ok, { version: 1 })]);
    const one = client(transport);
    expect(await one.request(request)).toMatchObject({ kind: "ok" });
    expect(await one.request(request)).toMatchObject({ kind: "ok" });
    expect(transport.sent.map((packet) => (packet[0] ?? 0) >> 3)).toEqual([1, 0, 0]);
  });

  test("has one request on its way at a time, and refuses when too many wait", async () => {
    const transport = scripted(() => []);
    const one = client(transport, { waitingMax: 3, attempts: 1 });
    const waiting = [1, 2, 3].map(() => one.request(request).catch((error: unknown) => error));
    await expect(one.request(request)).rejects.toMatchObject({ code: "smp/busy" });
    expect(transport.sent.length).toBeLessThanOrEqual(1);
    expect(await Promise.all(waiting)).toMatchObject([{ code: "smp/timeout" }, { code: "smp/timeout" }, { code: "smp/timeout" }]);
    expect(transport.sent.length).toBe(3);
  });

  test("ends what is on its way and what waits when the connection closes", async () => {
    const one = client(scripted(() => []), { timeout: 1e9 });
    const waiting = [one.request(request), one.request(request)].map((promise) => promise.catch((error: unknown) => error));
    await Promise.resolve();
    await one.close();
    expect(await Promise.all(waiting)).toMatchObject([{ code: "smp/closed" }, { code: "smp/closed" }]);
    await expect(one.request(request)).rejects.toMatchObject({ code: "smp/closed" });
  });

  test("refuses a request that does not fit a packet", async () => {
    await expect(client(scripted(() => [])).request({ ...request, body: { d: "x".repeat(600) } })).rejects.toMatchObject({ code: "smp/too-large" });
  });
});
