// SPDX-License-Identifier: Apache-2.0
// Peers that mean harm, beside a device that does not: memory stays bounded, answers fit the protocol, the device is served.
import { FakeLinkHost } from "@coalmine/testkit";
import { expect, test } from "vitest";
import { defaultLimits } from "./limits.ts";
import { Code, formatMessage, type Message, parseMessage } from "./message.ts";
import { type Option, OptionNumber, writeBlock, writeUint } from "./option.ts";
import { dev1, heartbeat, noise, offerOf, openSite } from "./testing/host.ts";
import { target } from "./testing/target.ts";

const post = (id: number, options: readonly Option[], payload: Uint8Array): Message => ({
  type: "con",
  code: Code.post,
  id: id & 0xffff,
  token: Buffer.from("abcd"),
  options: [{ number: OptionNumber.uriPath, value: Buffer.from(".r") }, ...options],
  payload,
});

/** 24 bytes that announce a gigabyte: as Size1, as a block number far out, or both. */
function giant(id: number): Buffer {
  const size1: Option = { number: OptionNumber.size1, value: writeUint(2 ** 30) };
  const far: Option = { number: OptionNumber.block1, value: writeBlock({ num: 0xf_ffff, more: true, szx: 6 }) };
  const query: Option = { number: OptionNumber.uriQuery, value: Buffer.from("d=x") };
  return formatMessage(post(id, [[query, size1], [query, far], [query, far, size1]][id % 3] as Option[], new Uint8Array(0)));
}

/** Bytes that are no message of ours, each in its own way. */
const broken = {
  "a token of length 9": (id: number): Buffer => Buffer.concat([Buffer.of(0x49, Code.post, id >> 8, id & 255), Buffer.alloc(9, 1)]),
  "five hundred options": (id: number): Buffer => Buffer.concat([Buffer.of(0x40, Code.post, id >> 8, id & 255), Buffer.alloc(500, 0x10)]),
  "an option longer than the datagram": (id: number): Buffer => Buffer.of(0x40, Code.post, id >> 8, id & 255, 0xbe, 0xff, 0xff),
  "an option whose number passes every limit": (id: number): Buffer => Buffer.concat([Buffer.of(0x40, Code.post, id >> 8, id & 255), Buffer.alloc(60, Buffer.of(0xe0, 0xff, 0xff))]),
};

test("a device delivers and downloads while a flood of giants, unfinished uploads and broken messages goes on around it", async () => {
  const artifact = noise(20_000);
  const site = await openSite(new FakeLinkHost());
  site.host.artifact = artifact;
  await site.link.send(dev1, offerOf(artifact));
  const [good, bad] = [await site.device(), await site.device({ id: "dev-2" })];
  let sent = 0;
  const flood = (): void => {
    for (let n = 0; n < 40; n += 1, sent += 1) {
      const tag: Option = { number: OptionNumber.requestTag, value: writeUint(sent) };
      const query: Option = { number: OptionNumber.uriQuery, value: Buffer.from(`d=dev-${2 + (sent % 300)}`) };
      const begun = post(sent, [query, { number: OptionNumber.block1, value: writeBlock({ num: 0, more: true, szx: 6 }) }, tag], noise(1_024, sent));
      bad.socket.send([giant(sent), formatMessage(begun), ...Object.values(broken).map((make) => make(sent))][n % 6] as Buffer);
    }
  };
  for (let round = 0; round < 20; round += 1) {
    flood();
    expect(await good.request({ code: Code.post, path: [".r"], payload: heartbeat(round) })).toMatchObject({ code: Code.changed });
    flood();
    const block2: Option = { number: OptionNumber.block2, value: writeBlock({ num: round % 19, more: false, szx: 6 }) };
    const answer = await good.request({ code: Code.get, path: [".u", "c", "main@1.2.3"], options: [block2], isContentOpen: true });
    expect(answer).toMatchObject({ code: Code.content, payload: Buffer.from(artifact.subarray((round % 19) * 1_024, (round % 19) * 1_024 + 1_024)) });
  }
  expect(good.client.retransmitted).toBeLessThan(20);
  expect(site.host.reports).toHaveLength(20);
  expect(site.failures).toEqual([]);
  const { malformed, failures, uploadBytes } = site.link.stats();
  expect(malformed).toBeGreaterThan(500);
  expect(failures).toBe(0);
  expect(uploadBytes).toBeLessThanOrEqual(defaultLimits.uploadsBytes);
});

test("twenty thousand unfinished uploads of as many devices, and giants, hold no more than the limits say", () => {
  const failures: unknown[] = [];
  const server = target({ host: new FakeLinkHost(), failed: (error) => failures.push(error), limits: { uploadsBytes: 1_048_576, datagrams: { perSecond: 1e9, burst: 1e9 } } });
  for (let n = 0; n < 20_000; n += 1) {
    const options: Option[] = [{ number: OptionNumber.uriQuery, value: Buffer.from(`d=dev-${n}`) }, { number: OptionNumber.block1, value: writeBlock({ num: 0, more: true, szx: 6 }) }];
    const [answer] = server.receive(formatMessage(post(n, options, noise(1_024, n))), "192.0.2.2", 1 + (n % 50));
    expect(parseMessage(answer as Buffer)).toMatchObject({ message: { code: Code.continue, token: Buffer.from("abcd") } });
    const [refused] = server.receive(giant(n), "192.0.2.2", 1 + (n % 50));
    const parsed = parseMessage(refused as Buffer);
    expect([Code.tooLarge, Code.incomplete]).toContain(parsed.kind === "message" ? parsed.message.code : parsed.kind);
  }
  const held = server.held();
  expect(held.uploadBytes).toBeLessThanOrEqual(1_048_576);
  expect(held.uploads).toBeLessThanOrEqual(defaultLimits.uploads);
  expect(held.exchangeBytes).toBeLessThanOrEqual(defaultLimits.exchangeBytes);
  expect(failures).toEqual([]);
});

test.each(Object.entries(broken))("%s: a CON is reset, a NON is not answered", (_what, make) => {
  const server = target({ host: new FakeLinkHost(), failed: (error) => expect(error).toBeUndefined() });
  const con = make(0x1234);
  expect(server.receive(con, "192.0.2.2", 1)).toEqual([Buffer.of(0x70, 0, 0x12, 0x34)]);
  const non = Buffer.from(make(0x1234));
  non[0] = (non[0] as number) | 0x10;
  expect(server.receive(non, "192.0.2.2", 1)).toEqual([]);
});
