// SPDX-License-Identifier: Apache-2.0
// The Link port over real sockets, with our own client and with raw datagrams.
import { type Command, decodeCommand, decodeReport, encodeCommand, encodeReport } from "@coalmine/protocol";
import { FakeLinkHost } from "@coalmine/testkit";
import { describe, expect, test } from "vitest";
import type { ClientAnswer } from "./client.ts";
import { coapLink, type CoapLinkOptions } from "./link.ts";
import { Code, emptyMessage, formatMessage, type Message } from "./message.ts";
import { ContentFormat, OptionNumber, optionOf, readBlock, readUint, writeBlock, writeUint } from "./option.ts";
import { LwM2mResult, LwM2mState } from "./state.ts";
import type { TestDevice } from "./testing/device.ts";
import { cancel, dev1, dev2, heartbeat, noise, offerOf, openSite } from "./testing/host.ts";

const coapSite = (options: Partial<CoapLinkOptions> = {}) => openSite(new FakeLinkHost(), options);

const desired = { code: Code.get, path: [".u", "desired"] };
const command = { code: Code.get, path: [".u", "command"] };
const report = (payload: Uint8Array) => ({ code: Code.post, path: [".r"], payload });
const sequenceFormat = [{ number: OptionNumber.contentFormat, value: writeUint(ContentFormat.cborSequence) }];

async function download(device: TestDevice, version: string, szx: number, queries: readonly string[] = []): Promise<{ readonly bytes: Uint8Array; readonly etags: Set<string>; readonly first: ClientAnswer }> {
  const parts: Uint8Array[] = [];
  const etags = new Set<string>();
  let first: ClientAnswer | undefined;
  for (let num = 0, more = true; more; num += 1) {
    const options = [{ number: OptionNumber.block2, value: writeBlock({ num, more: false, szx }) }];
    const answer = await device.request({ code: Code.get, path: [".u", "c", `main@${version}`], queries, options, isContentOpen: true });
    expect(answer?.code).toBe(Code.content);
    const { options: got, payload } = answer as ClientAnswer;
    first ??= answer as ClientAnswer;
    parts.push(payload);
    etags.add(Buffer.from(optionOf(got, OptionNumber.etag) ?? []).toString("hex"));
    const block = readBlock(optionOf(got, OptionNumber.block2) ?? new Uint8Array());
    expect(block).toMatchObject({ num, szx });
    more = block?.more ?? false;
  }
  return { bytes: new Uint8Array(Buffer.concat(parts)), etags, first: first as ClientAnswer };
}

describe("a report", () => {
  test("is answered 2.04 only once it is durable", async () => {
    const { host, device } = await coapSite();
    const one = await device();
    host.hold();
    const answer = one.request(report(heartbeat(0)));
    await host.until(() => host.held === 1);
    expect(one.received).toHaveLength(0);
    host.release();
    expect(await answer).toMatchObject({ code: Code.changed });
    expect(host.reports).toEqual([{ device: dev1, bytes: heartbeat(0), door: "coap" }]);
  });

  test("that takes long to become durable is answered separately, once, though the device asks again", async () => {
    const { host, link, device } = await coapSite({ limits: { separateAfter_s: 0.02 } });
    const one = await device();
    host.hold();
    const answer = one.request(report(heartbeat(0)));
    await one.until(() => one.received.length >= 1);
    expect(one.received[0]?.subarray(0, 2)).toEqual(Buffer.of(0x60, 0));
    host.release();
    expect(await answer).toMatchObject({ code: Code.changed });
    expect(host.reports).toHaveLength(1);
    expect(link.stats().separate).toBe(1);
  });

  test("that could not be made durable is answered 5.03 with the time to wait, and the host hears why", async () => {
    const { host, device, failures } = await coapSite();
    const one = await device();
    host.failure = new Error("disk full");
    const answer = await one.request(report(heartbeat(0)));
    expect(answer?.code).toBe(Code.unavailable);
    expect(readUint(optionOf(answer?.options ?? [], OptionNumber.maxAge) ?? new Uint8Array())).toBe(5);
    expect(failures).toEqual([host.failure]);
  });

  test("that means nothing is answered 4.00 with the reason, and counted", async () => {
    const { device } = await coapSite();
    const one = await device();
    const answer = await one.request(report(Uint8Array.of(0xff, 1, 2)));
    expect(answer?.code).toBe(Code.badRequest);
    expect(Buffer.from(answer?.payload ?? []).toString()).toMatch(/^message: /);
  });

  test("of several blocks arrives whole; a lost datagram in either direction does not matter", async () => {
    const { host, device } = await coapSite();
    const one = await device();
    one.lose = (direction, number) => (direction === "up" ? number % 3 === 0 : number % 4 === 1);
    const large = encodeReport({ boot: 1, sequence: 5, uptime_s: 9, body: { kind: "log", stream: "coredump", buildId: noise(20), id: 1, offset: 0, total: 4_096, data: noise(4_096) } });
    expect(await one.request(report(large))).toMatchObject({ code: Code.changed });
    expect(host.reports.map(({ bytes }) => bytes)).toEqual([large]);
    expect(one.client.retransmitted).toBeGreaterThan(2);
  });

  test("comes in batches of up to 64 KiB, each report kept by itself", async () => {
    const { host, device } = await coapSite();
    const one = await device();
    const batch = Array.from({ length: 400 }, (_, sequence) => heartbeat(sequence, { [`metric${sequence}`]: sequence, padding: 1, more: 2, rest: 3 }));
    const payload = new Uint8Array(Buffer.concat(batch));
    expect(payload.length).toBeGreaterThan(32_000);
    expect(payload.length).toBeLessThan(65_536);
    expect(await one.request({ ...report(payload), options: sequenceFormat })).toMatchObject({ code: Code.changed });
    expect(host.reports.map(({ bytes }) => bytes)).toEqual(batch);
    expect(await one.request({ ...report(noise(300)), options: sequenceFormat })).toMatchObject({ code: Code.badRequest });
  });

  test("that comes too often is answered 4.29 with the time to wait; other devices are not slowed down", async () => {
    const { host, device } = await coapSite({ limits: { reports: { perSecond: 0.1, burst: 2 } } });
    const [one, two] = [await device(), await device({ id: "dev-2" })];
    const codes: number[] = [];
    for (let sequence = 0; sequence < 4; sequence += 1) {
      const answer = await one.request(report(heartbeat(sequence)));
      codes.push(answer?.code ?? 0);
    }
    expect(codes).toEqual([Code.changed, Code.changed, Code.tooManyRequests, Code.tooManyRequests]);
    expect(await two.request(report(heartbeat(0)))).toMatchObject({ code: Code.changed });
    expect(host.reports).toHaveLength(3);
  });
});

describe("an artifact", () => {
  test("arrives intact at every block size, with its ETag and size", async () => {
    const { host, link, device } = await coapSite();
    host.artifact = noise(10_001);
    await link.send(dev1, offerOf(host.artifact));
    const one = await device();
    for (let szx = 0; szx <= 6; szx += 1) {
      const { bytes, etags, first } = await download(one, "1.2.3", szx);
      expect(bytes).toEqual(host.artifact);
      expect([...etags]).toEqual([Buffer.from(offerOf(host.artifact).digest.subarray(0, 8)).toString("hex")]);
      expect(readUint(optionOf(first.options, OptionNumber.size2) ?? new Uint8Array())).toBe(10_001);
    }
  });

  test("is found by its digest where the server knows no offer, as after a restart", async () => {
    const { host, device } = await coapSite();
    host.artifact = noise(2_048);
    const one = await device();
    const named = [`h=${Buffer.from(offerOf(host.artifact).digest.subarray(0, 8)).toString("hex")}`];
    expect((await download(one, "1.2.3", 6, named)).bytes).toEqual(host.artifact);
    expect((await download(one, "1.2.3", 4, named)).bytes).toEqual(host.artifact);
  });

  test("that changes in the middle of a download changes its ETag", async () => {
    const { host, link, device } = await coapSite();
    host.artifact = noise(4_000);
    await link.send(dev1, offerOf(host.artifact));
    const one = await device();
    const before = (await download(one, "1.2.3", 6)).etags;
    host.artifact = noise(4_000, 2);
    await link.send(dev1, offerOf(host.artifact));
    expect(before.isDisjointFrom((await download(one, "1.2.3", 6)).etags)).toBe(true);
  });

  test("is refused as the host refuses it: 4.03 not offered, 4.04 unknown, 4.00 past the end", async () => {
    const { host, link, device } = await coapSite();
    const one = await device();
    const get = { code: Code.get, path: [".u", "c", "main@1.2.3"] };
    expect(await one.request(get)).toMatchObject({ code: Code.notFound });
    await link.send(dev1, offerOf(noise(100)));
    const answers: (number | undefined)[] = [];
    for (const reason of ["not-offered", "unknown", "range"] as const) {
      host.block = (_device, { request }) => ({ kind: "refused", request, reason });
      answers.push((await one.request(get))?.code);
    }
    expect(answers).toEqual([Code.forbidden, Code.notFound, Code.badRequest]);
    expect(await one.request({ ...get, path: [".u", "c", "main@9.9.9"] })).toMatchObject({ code: Code.notFound });
    expect(await one.request({ ...get, queries: ["h=12"] })).toMatchObject({ code: Code.badRequest });
    expect(await one.request({ ...get, path: [".u", "c", "modem@1.2.3"] })).toMatchObject({ code: Code.notFound });
  });
});

describe("an offer", () => {
  test("is kept, told to whoever observes, replaced, and taken back", async () => {
    const { link, device } = await coapSite();
    const one = await device();
    expect(await one.observe(desired)).toMatchObject({ code: Code.content, payload: Buffer.alloc(0) });
    const offers = [offerOf(noise(10)), offerOf(noise(20), "2.0.0")] as const;
    await link.send(dev1, offers[0]);
    await one.until(() => one.heard.length === 1);
    await link.send(dev1, offers[1]);
    await one.until(() => one.heard.length === 2);
    await link.clear(dev1);
    await one.until(() => one.heard.length === 3);
    expect(one.heard.map(({ payload }) => (payload.length === 0 ? null : decodeCommand(new Uint8Array(payload))))).toEqual([
      { kind: "ok", value: offers[0] },
      { kind: "ok", value: offers[1] },
      null,
    ]);
    const late = await device();
    await link.send(dev1, offers[0]);
    expect((await late.request(desired))?.payload).toEqual(Buffer.from(encodeCommand(offers[0])));
  });

  test("is taken back with an order to go back that the device has not fetched; other commands stay", async () => {
    const { link, device } = await coapSite();
    const order: Command = { kind: "swap-back", offer: 9, imageHash: noise(32) };
    await link.send(dev1, order);
    await link.send(dev1, cancel(3));
    await link.send(dev1, order); // once more, for it was not heard of
    await link.clear(dev1);
    const one = await device();
    expect(decodeCommand(new Uint8Array((await one.request(command))?.payload ?? []))).toEqual({ kind: "ok", value: cancel(3) });
    expect((await one.request(command))?.payload).toHaveLength(0);
  });

  test("of one device is never told to another (I12)", async () => {
    const { link, device } = await coapSite();
    const two = await device({ id: "dev-2" });
    await two.observe(desired);
    await link.send(dev1, offerOf(noise(10)));
    await link.send(dev2, cancel(1));
    expect(await two.request(desired)).toMatchObject({ code: Code.content, payload: Buffer.alloc(0) });
    expect(two.heard).toEqual([]);
  });

  test("that changes twice while a notification is on its way is told once more, as it is then", async () => {
    const { link, device } = await coapSite({ limits: { ackTimeout_s: 0.05 } });
    const one = await device();
    await one.observe(desired);
    let lost = 0;
    one.lose = (direction) => direction === "down" && lost++ === 0;
    for (const version of ["1.0.0", "2.0.0", "3.0.0"]) {
      await link.send(dev1, offerOf(noise(10), version));
    }
    await one.until(() => one.heard.length === 2);
    const versions = one.heard.map(({ payload }) => decodeCommand(new Uint8Array(payload))).map((decoded) => (decoded.kind === "ok" && decoded.value.kind === "offer" ? decoded.value.version : ""));
    expect(versions).toEqual(["1.0.0", "3.0.0"]);
  });
});

describe("another command", () => {
  test("waits for a device that is not there, and each is delivered once its forerunner was acknowledged", async () => {
    const { link, device } = await coapSite();
    await link.send(dev1, cancel(1));
    await link.send(dev1, cancel(2));
    const one = await device();
    await one.observe(command);
    await one.until(() => one.heard.length === 2);
    expect(one.heard.map(({ payload }) => decodeCommand(new Uint8Array(payload)))).toEqual([1, 2].map((offer) => ({ kind: "ok", value: cancel(offer) })));
  });

  test("goes with the answer to a device that asks now and then; a repeated request gets the same one", async () => {
    const { link, device } = await coapSite();
    await link.send(dev1, cancel(1));
    await link.send(dev1, cancel(2));
    const one = await device();
    let lost = false;
    one.lose = (direction) => direction === "down" && !lost && (lost = true);
    const got: Uint8Array[] = [];
    for (let asked = 0; asked < 3; asked += 1) {
      got.push((await one.request(command))?.payload ?? new Uint8Array(1));
    }
    expect(got).toEqual([Buffer.from(encodeCommand(cancel(1))), Buffer.from(encodeCommand(cancel(2))), Buffer.alloc(0)]);
  });

  test("stays in the queue when its observer is gone, for the next one", async () => {
    const { link, device } = await coapSite({ limits: { ackTimeout_s: 0.02, maxRetransmit: 1 } });
    const gone = await device();
    await gone.observe(command);
    gone.lose = () => true;
    await link.send(dev1, cancel(1));
    await gone.until(() => gone.received.length >= 3);
    const back = await device();
    await back.observe(command);
    await back.until(() => back.heard.length === 1);
    expect(decodeCommand(new Uint8Array(back.heard[0]?.payload ?? []))).toEqual({ kind: "ok", value: cancel(1) });
  });

  test("goes elsewhere after a reset: a device that rebooted does not know the token", async () => {
    const { link, device } = await coapSite();
    const one = await device();
    await one.observe(command);
    one.client.reset();
    await link.send(dev1, cancel(1));
    await one.until(() => link.stats().observers === 0 || one.received.length > 1);
    await one.observe(command);
    await one.until(() => one.heard.length === 1);
  });
});

test("a report's answer says when the server knows no observation of the device, and stops when it does", async () => {
  const { device } = await coapSite();
  const one = await device();
  const hint = async (sequence: number): Promise<boolean> => {
    const answer = await one.request(report(heartbeat(sequence)));
    return optionOf(answer?.options ?? [], OptionNumber.renew) !== undefined;
  };
  expect(await hint(0)).toBe(true);
  await one.observe(desired);
  await one.observe(command);
  expect(await hint(1)).toBe(false);
});

describe("the state of an update", () => {
  const map = (...pairs: readonly (readonly [number, number])[]): Uint8Array =>
    Uint8Array.from([0xa0 + pairs.length, ...pairs.flatMap(([key, value]) => [key, ...(value < 24 ? [value] : value < 256 ? [0x18, value] : [0x19, value >> 8, value & 255])])]);
  const state = (payload: Uint8Array) => ({ code: Code.put, path: [".u", "c", "main"], payload });

  test("in LwM2M's codes becomes a report about the offer that stands", async () => {
    const { host, link, device } = await coapSite();
    const one = await device();
    const idle = map([1, LwM2mState.idle], [2, LwM2mResult.initial], [3, 4], [4, 0], [5, 10]);
    expect(await one.request(state(idle))).toMatchObject({ code: Code.badRequest });
    const offer = offerOf(noise(5_000));
    await link.send(dev1, offer);
    const posted = [
      idle,
      map([1, LwM2mState.downloading], [2, 0], [3, 4], [4, 1], [5, 11], [6, 1_024]),
      map([1, LwM2mState.downloaded], [2, 0], [3, 4], [4, 2], [5, 300]),
      map([1, LwM2mState.idle], [2, LwM2mResult.deferredBattery], [3, 4], [4, 3], [5, 301], [7, 3_600]),
      map([1, LwM2mState.idle], [2, LwM2mResult.reverted], [3, 5], [4, 0], [5, 1]),
      map([1, LwM2mState.idle], [2, LwM2mResult.integrity], [3, 5], [4, 1], [5, 2]),
      map([1, LwM2mState.idle], [2, LwM2mResult.updated], [3, 6], [4, 0], [5, 3]),
    ];
    for (const payload of posted) {
      expect(await one.request(state(payload))).toMatchObject({ code: Code.changed });
    }
    const bodies = host.reports.map(({ bytes }) => decodeReport(bytes)).map((decoded) => (decoded.kind === "ok" ? decoded.value.body : decoded));
    expect(bodies).toMatchObject([
      { kind: "progress", offer: 7, state: "accepted" },
      { kind: "progress", offer: 7, state: "downloading", offset: 1_024 },
      { kind: "progress", offer: 7, state: "downloaded", offset: 5_000 },
      { kind: "deferred", offer: 7, reason: "battery", until_s: 3_600 },
      { kind: "result", attempt: { offer: 7, outcome: "reverted", target: offer.imageHash } },
      { kind: "result", attempt: { outcome: "failed" }, reason: "integrity check failed" },
      { kind: "result", attempt: { outcome: "confirmed", ran: true } },
    ]);
  });

  test("may be one of our reports, and is refused when it is neither", async () => {
    const { host, link, device } = await coapSite();
    const one = await device();
    await link.send(dev1, offerOf(noise(10)));
    const progress = encodeReport({ boot: 1, sequence: 0, uptime_s: 1, body: { kind: "progress", offer: 7, state: "testing", offset: 10 } });
    expect(await one.request(state(progress))).toMatchObject({ code: Code.changed });
    expect(host.reports[0]?.bytes).toEqual(progress);
    for (const payload of [new Uint8Array(0), noise(20), map([1, 9], [2, 0], [3, 1], [4, 1], [5, 1]), map([1, 0], [2, 99], [3, 1], [4, 1], [5, 1]), map([2, 0], [1, 0], [3, 1], [4, 1], [5, 1])]) {
      expect(await one.request(state(payload))).toMatchObject({ code: Code.badRequest });
    }
    expect(host.undecodables).toHaveLength(5);
  });
});

describe("a request that fits nothing", () => {
  test.each([
    ["an unknown path", { code: Code.get, path: ["nothing"] }, Code.notFound],
    ["a long unknown path", { code: Code.get, path: Array.from({ length: 20 }, () => "a".repeat(50)) }, Code.notFound],
    ["a GET of reports", { code: Code.get, path: [".r"] }, Code.methodNotAllowed],
    ["a POST to the offer", { code: Code.post, path: [".u", "desired"] }, Code.methodNotAllowed],
    ["a DELETE of an artifact", { code: Code.delete, path: [".u", "c", "main@1"] }, Code.methodNotAllowed],
    ["text where CBOR is", { code: Code.get, path: [".u", "desired"], options: [{ number: OptionNumber.accept, value: new Uint8Array(0) }] }, Code.notAcceptable],
    ["a report in JSON", { code: Code.post, path: [".r"], payload: heartbeat(0), options: [{ number: OptionNumber.contentFormat, value: Uint8Array.of(50) }] }, Code.unsupportedFormat],
    ["a reserved block size", { code: Code.get, path: [".u", "desired"], options: [{ number: OptionNumber.block2, value: Uint8Array.of(7) }] }, Code.badRequest],
    ["a block out of order", { ...report(noise(16)), options: [{ number: OptionNumber.block1, value: writeBlock({ num: 3, more: true, szx: 0 }) }] }, Code.incomplete],
    ["a GiB announced in 24 bytes", { ...report(noise(16)), options: [{ number: OptionNumber.block1, value: writeBlock({ num: 0, more: true, szx: 0 }) }, { number: OptionNumber.size1, value: writeUint(2 ** 30) }] }, Code.tooLarge],
  ])("%s", async (_name, request, code) => {
    const { link, device } = await coapSite();
    const one = await device();
    expect((await one.request(request))?.code).toBe(code);
    expect(link.stats().uploadBytes).toBe(0);
  });

  test("a device that does not say who it is, or has an impossible name, is answered 4.01", async () => {
    const { device } = await coapSite();
    const one = await device();
    const message: Message = { type: "con", code: Code.get, id: 1, token: Buffer.from("abcdefgh"), options: desired.path.map((segment) => ({ number: OptionNumber.uriPath, value: Buffer.from(segment) })), payload: Buffer.alloc(0) };
    expect(await one.raw(formatMessage(message))).toMatchObject({ code: Code.unauthorized, token: message.token });
    const named = { ...message, id: 2, options: [...message.options, { number: OptionNumber.uriQuery, value: Buffer.from("d=../x") }] };
    expect(await one.raw(formatMessage(named))).toMatchObject({ code: Code.unauthorized });
  });

  test("discovery needs no name and lists the resources", async () => {
    const { device } = await coapSite();
    const one = await device();
    const answer = await one.request({ code: Code.get, path: [".well-known", "core"] });
    expect(Buffer.from(answer?.payload ?? []).toString()).toContain("</.u/desired>;obs;ct=60");
  });

  test("a ping on the socket is reset", async () => {
    const { device } = await coapSite();
    expect(await (await device()).raw(emptyMessage("con", 9))).toMatchObject({ type: "rst", id: 9 });
  });
});

test("beyond the loopback the link does not open without secrets, and a closed one says so", async () => {
  const { host, link } = await coapSite();
  await expect(coapLink({ port: 0, host: "0.0.0.0" }, host)).rejects.toMatchObject({ code: "coap/unprotected" });
  await expect(coapLink({ port: link.port }, host)).rejects.toMatchObject({ code: "coap/listen" });
  await link.close();
  await expect(link.send(dev1, cancel(1))).rejects.toMatchObject({ code: "link/closed", retry: "later" });
});
