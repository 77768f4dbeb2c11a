// SPDX-License-Identifier: Apache-2.0
// Devices that prove themselves by envelopes, over real sockets.
import type { DeviceId } from "@coalmine/core";
import { decodeCommand } from "@coalmine/protocol";
import { FakeLinkHost } from "@coalmine/testkit";
import { describe, expect, test } from "vitest";
import { signRequest } from "./envelope.ts";
import type { CoapLinkOptions } from "./link.ts";
import { Code, formatMessage, type Message, parseMessage } from "./message.ts";
import { OptionNumber, optionOf } from "./option.ts";
import type { TestDevice } from "./testing/device.ts";
import { cancel, dev1, heartbeat, noise, offerOf, openSite, type Site } from "./testing/host.ts";

const secrets: Readonly<Record<string, Uint8Array>> = { "dev-1": noise(32, 11), "dev-2": noise(32, 22) };
const secretOf = (device: DeviceId): Uint8Array | undefined => secrets[device];
const report = { code: Code.post, path: [".r"], payload: heartbeat(0) };

const secured = (options: Partial<CoapLinkOptions> = {}): Promise<Site<FakeLinkHost>> => openSite(new FakeLinkHost(), { secretOf, ...options });
const joined = (site: Site<FakeLinkHost>, id = "dev-1"): Promise<TestDevice> => site.device({ id, secret: secrets[id] as Uint8Array });

/** A signed POST of a heartbeat as raw bytes. */
function signed(options: { readonly id: number; readonly device?: string; readonly secret?: Uint8Array; readonly sequence: number; readonly echo?: Uint8Array; readonly payload?: Uint8Array }): Message {
  const { id, device = "dev-1", sequence, echo, payload = heartbeat(0) } = options;
  const message: Message = {
    type: "con",
    code: Code.post,
    id,
    token: Buffer.from("abcd"),
    options: [{ number: OptionNumber.uriPath, value: Buffer.from(".r") }, ...(echo === undefined ? [] : [{ number: OptionNumber.echo, value: echo }])],
    payload,
  };
  return signRequest(message, { device: device as DeviceId, secret: options.secret ?? (secrets[device] as Uint8Array), sequence });
}

describe("a device with a secret", () => {
  test("proves its freshness once after the server's start, and its reports are taken under its own id", async () => {
    const site = await secured();
    const one = await joined(site);
    expect(await one.request(report)).toMatchObject({ code: Code.changed });
    expect(await one.request({ ...report, payload: heartbeat(1) })).toMatchObject({ code: Code.changed });
    expect(one.sequence).toBe(3);
    expect(site.host.reports.map(({ device }) => device)).toEqual(["dev-1", "dev-1"]);
  });

  test("gets commands whose signature it checks, also split into blocks and in notifications", async () => {
    const site = await secured({ trustLoopback: false });
    const one = await joined(site);
    expect(await one.observe({ code: Code.get, path: [".u", "desired"] })).toMatchObject({ code: Code.content });
    await site.link.send(dev1, offerOf(noise(10)));
    await one.until(() => one.heard.length === 1);
    expect(decodeCommand(new Uint8Array(one.heard[0]?.payload ?? []))).toEqual({ kind: "ok", value: offerOf(noise(10)) });
  });

  test("does not take an answer that was changed on the way", async () => {
    const site = await secured();
    const one = await joined(site);
    await one.request(report);
    const [received, forged] = [one.received.length, Buffer.from(one.received.at(-1) as Buffer)];
    one.lose = (direction) => direction === "down" && one.received.length === received + 1;
    const answer = one.request({ ...report, payload: heartbeat(1) });
    await one.until(() => one.received.length > received);
    // The old answer, under the new token and message id, does not count as the answer to the new request.
    (one.received[received] as Buffer).copy(forged, 2, 2, 8);
    one.client.receive(forged);
    expect(one.client.isBusy).toBe(true);
    expect(await answer).toMatchObject({ code: Code.changed });
    expect(one.client.retransmitted).toBe(1);
  });

  test("downloads an artifact whose blocks are not signed, because its offer is", async () => {
    const site = await secured();
    site.host.artifact = noise(900);
    await site.link.send(dev1, offerOf(site.host.artifact));
    const one = await joined(site);
    const get = { code: Code.get, path: [".u", "c", "main@1.2.3"], isContentOpen: true };
    const answer = await one.request(get);
    expect(new Uint8Array(answer?.payload ?? [])).toEqual(site.host.artifact);
    expect(optionOf(answer?.options ?? [], OptionNumber.mac)).toBeUndefined();
  });
});

describe("a forger", () => {
  /** A site at which dev-1 has already proved its freshness, with sequence numbers up to 1. */
  async function known() {
    const site = await secured();
    const one = await joined(site);
    await one.request(report);
    expect(site.host.reports).toHaveLength(1);
    return { site, one };
  }

  test("without a secret, with a wrong one, or with another device's, is answered 4.01 and nothing is taken", async () => {
    const { site, one } = await known();
    const bare: Message = { ...signed({ id: 900, sequence: 50 }), options: [{ number: OptionNumber.uriPath, value: Buffer.from(".r") }, { number: OptionNumber.uriQuery, value: Buffer.from("d=dev-1") }] };
    const attempts = [bare, signed({ id: 901, sequence: 50, secret: noise(32, 99) }), signed({ id: 902, sequence: 50, secret: secrets["dev-2"] as Uint8Array }), signed({ id: 903, device: "dev-3", sequence: 50, secret: noise(32) })];
    for (const attempt of attempts) {
      const answer = await one.raw(formatMessage(attempt));
      expect(answer).toMatchObject({ code: Code.unauthorized });
      expect(optionOf(answer.options, OptionNumber.echo)).toBeUndefined();
    }
    expect(site.host.reports).toHaveLength(1);
    expect(site.link.stats().forged).toBe(4);
  });

  test("who changes any bit of a signed report is refused", async () => {
    const { site, one } = await known();
    const good = formatMessage(signed({ id: 0, sequence: 60 }));
    const start = good.indexOf("abcd") + 4;
    let refused = 0;
    for (let bit = start * 8; bit < good.length * 8; bit += 1) {
      const changed = Buffer.from(good);
      changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
      changed.writeUInt16BE(1_000 + bit, 2);
      const answer = await one.raw(changed);
      refused += [Code.unauthorized, Code.badOption, Code.proxyingNotSupported, Code.empty, Code.tooLarge].includes(answer.code as never) ? 1 : 0;
    }
    expect(refused).toBe((good.length - start) * 8);
    expect(site.host.reports).toHaveLength(1);
    expect(await one.raw(good)).toMatchObject({ code: Code.changed });
  });

  test("who replays a datagram under another message id, or from another address, is refused", async () => {
    const { site, one } = await known();
    const good = formatMessage(signed({ id: 700, sequence: 70 }));
    expect(await one.raw(good)).toMatchObject({ code: Code.changed });
    const again = Buffer.from(good);
    again.writeUInt16BE(701, 2);
    expect(await one.raw(again)).toMatchObject({ code: Code.unauthorized });
    const elsewhere = await site.device({ id: "dev-2" });
    expect(await elsewhere.raw(good)).toMatchObject({ code: Code.unauthorized });
    expect(site.host.reports).toHaveLength(2);
    expect(site.link.stats().replayed).toBe(2);
  });

  test("who replays a device's GET of its commands takes none of them away", async () => {
    const { site, one } = await known();
    const message = (path: string, id: number): Message => ({ type: "con", code: Code.get, id, token: Buffer.from("abcd"), options: [".u", path].map((segment) => ({ number: OptionNumber.uriPath, value: Buffer.from(segment) })), payload: new Uint8Array(0) });
    const asked = signRequest(message("command", 800), { device: dev1, secret: secrets["dev-1"] as Uint8Array, sequence: 80 });
    expect(await one.raw(formatMessage(asked))).toMatchObject({ code: Code.content, payload: Buffer.alloc(0) });
    await site.link.send(dev1, cancel(5));
    const elsewhere = await site.device({ id: "dev-2" });
    expect(await elsewhere.raw(formatMessage({ ...asked, id: 801 }))).toMatchObject({ code: Code.unauthorized });
    const own = await one.raw(formatMessage(signRequest(message("command", 802), { device: dev1, secret: secrets["dev-1"] as Uint8Array, sequence: 81 })));
    expect(decodeCommand(new Uint8Array(own.payload))).toEqual({ kind: "ok", value: cancel(5) });
  });

  test("who replays after a restart of the server meets the Echo challenge, and another address's Echo does not help", async () => {
    const site = await secured();
    const one = await site.device({ id: "dev-1" });
    const challenge = await one.raw(formatMessage(signed({ id: 1, sequence: 5 })));
    const echo = optionOf(challenge.options, OptionNumber.echo) as Uint8Array;
    expect(challenge.code).toBe(Code.unauthorized);
    expect(echo).toBeDefined();
    const elsewhere = await site.device({ id: "dev-2" });
    const stolen = await elsewhere.raw(formatMessage(signed({ id: 2, sequence: 6, echo })));
    expect(stolen.code).toBe(Code.unauthorized);
    expect(site.host.reports).toHaveLength(0);
    expect(await one.raw(formatMessage(signed({ id: 3, sequence: 7, echo })))).toMatchObject({ code: Code.changed });
  });

  test("cannot make the server throw by envelopes of garbage", async () => {
    const { one } = await known();
    for (let n = 0; n < 200; n += 1) {
      const message = signed({ id: 3_000 + n, sequence: 100 });
      const options = message.options.map((option) => (option.number === OptionNumber.mac ? { ...option, value: noise(1 + (n % 150), n) } : option));
      expect(parseMessage(formatMessage({ ...message, options })).kind).toBe("message");
      expect(await one.raw(formatMessage({ ...message, options }))).toMatchObject({ code: Code.unauthorized });
    }
  });
});

describe("a device that was erased and counts from the start again", () => {
  /** dev-1 with three reports taken under the numbers 1000 to 1002, and what was recorded of them. */
  async function erased() {
    const site = await secured();
    const one = await joined(site);
    one.sequence = 1_000;
    const recorded: Buffer[] = [];
    const send = one.socket.send.bind(one.socket) as (bytes: Buffer) => void;
    one.socket.send = ((bytes: Buffer) => {
      recorded.push(Buffer.from(bytes));
      send(bytes);
    }) as typeof one.socket.send;
    for (const sequence of [0, 1, 2]) {
      await one.request({ ...report, payload: heartbeat(sequence) });
    }
    one.sequence = 0;
    return { site, one, recorded: [...recorded], send };
  }

  test("is told by a signed answer where its numbers stood, goes on above them, and is heard with its next datagram", async () => {
    const { site, one } = await erased();
    expect(await one.request({ ...report, payload: heartbeat(3) })).toMatchObject({ code: Code.changed });
    expect(one.sequence).toBe(1_005);
    expect(await one.request({ ...report, payload: heartbeat(4) })).toMatchObject({ code: Code.changed });
    expect(site.host.reports).toHaveLength(5);
    expect(site.link.stats()).toMatchObject({ replayed: 1, forged: 0 });
  });

  test("opens no door to what was recorded before: all of it stays refused", async () => {
    const { site, one, recorded, send } = await erased();
    await one.request({ ...report, payload: heartbeat(3) });
    expect(recorded.length).toBeGreaterThan(3); // an Echo challenge among them
    const elsewhere = await site.device({ id: "dev-2" });
    for (const [index, datagram] of recorded.entries()) {
      datagram.writeUInt16BE(9_000 + index, 2);
      expect(await elsewhere.raw(datagram)).toMatchObject({ code: Code.unauthorized });
      const count = one.received.length;
      send(datagram); // from the very address that the Echo value was made for
      await one.until(() => one.received.length > count);
    }
    expect(site.host.reports).toHaveLength(4);
  });

  test("does not believe a number that nobody signed, nor one signed for another request", async () => {
    const { one } = await erased();
    let forged: Buffer | undefined;
    one.lose = (direction) => direction === "down";
    const answer = one.request({ ...report, payload: heartbeat(3) });
    const count = one.received.length;
    await one.until(() => one.received.length > count);
    forged = Buffer.from(one.received.at(-1) as Buffer);
    const parsed = parseMessage(forged);
    const { message } = parsed as Extract<typeof parsed, { kind: "message" }>;
    const option = { number: OptionNumber.renew, value: Buffer.from([0x0f, 0xff, 0xff]) };
    const mac = { number: OptionNumber.mac, value: optionOf(message.options, OptionNumber.mac) as Uint8Array };
    one.client.receive(formatMessage({ ...message, options: [option, mac] }));
    expect([one.client.isBusy, one.sequence]).toEqual([true, 1]);
    one.lose = () => false;
    expect(await answer).toMatchObject({ code: Code.changed });
    expect(one.sequence).toBe(1_005);
  });
});

test("commands for a device are not given to another that asks with its own envelope", async () => {
  const site = await secured();
  await site.link.send(dev1, cancel(1));
  const two = await joined(site, "dev-2");
  expect(await two.request({ code: Code.get, path: [".u", "command"] })).toMatchObject({ code: Code.content, payload: Buffer.alloc(0) });
});
