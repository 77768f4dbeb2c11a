// SPDX-License-Identifier: Apache-2.0
// The message layer in virtual time: datagrams in, datagrams out.
import { describe, expect, test } from "vitest";
import { type Answer, type Application, Endpoint } from "./endpoint.ts";
import { type CoapLimits, defaultLimits, unlimited } from "./limits.ts";
import { Code, emptyMessage, formatMessage, type Message, parseMessage } from "./message.ts";
import { OptionNumber, optionOf } from "./option.ts";

function setUp(options: { readonly handle?: Application["handle"]; readonly limits?: Partial<CoapLimits>; readonly isTrusted?: boolean } = {}) {
  const sent: { readonly at_s: number; readonly bytes: Buffer; readonly port: number }[] = [];
  const failures: unknown[] = [];
  let now_s = 1_000;
  let handled = 0;
  const endpoint = new Endpoint({
    limits: { ...defaultLimits, datagrams: unlimited, ...options.limits },
    application: {
      handle: (request) => {
        handled += 1;
        return (options.handle ?? (() => ({ code: Code.changed })))(request);
      },
      evicted: () => undefined,
    },
    send: (parts, peer) => sent.push({ at_s: now_s, bytes: Buffer.concat(parts), port: peer.port }),
    now_s: () => now_s,
    random: () => 0.5,
    echoKey: new Uint8Array(32).fill(3),
    isTrusted: () => options.isTrusted ?? true,
    wake: () => undefined,
    failed: (error) => failures.push(error),
  });
  return {
    endpoint,
    sent,
    failures,
    handled: () => handled,
    /** Gives a datagram to the endpoint and returns what it sent at once. */
    give: (bytes: Buffer | Message, port = 5_000): Message[] => {
      const before = sent.length;
      endpoint.receive(Buffer.isBuffer(bytes) ? bytes : formatMessage(bytes), "192.0.2.1", port);
      return sent.slice(before).map(read);
    },
    messages: (): Message[] => sent.map(({ bytes }) => read(bytes)),
    passUntil: (end_s: number): void => {
      while (endpoint.next_s <= end_s) {
        now_s = endpoint.next_s;
        endpoint.run();
      }
      now_s = end_s;
    },
    now: () => now_s,
  };
}

function read(from: Buffer | { readonly bytes: Buffer }): Message {
  const parsed = parseMessage(Buffer.isBuffer(from) ? from : from.bytes);
  if (parsed.kind !== "message") {
    throw new Error(parsed.reason);
  }
  return parsed.message;
}

const token = Buffer.from("0a0b0c0d0e0f1011", "hex");
const post = (id: number, more: Partial<Message> = {}): Message => ({ type: "con", code: Code.post, id, token, options: [], payload: Buffer.from("x"), ...more });

describe("a request", () => {
  test("that is confirmable gets its answer in the acknowledgement, with its token and message id", () => {
    const { give } = setUp();
    expect(give(post(77))).toMatchObject([{ type: "ack", id: 77, token, code: Code.changed }]);
  });

  test("that is not gets a NON with its token and another message id", () => {
    const { give } = setUp();
    expect(give(post(77, { type: "non" }))).toMatchObject([{ type: "non", token, code: Code.changed }]);
  });

  test("sent twice is handled once, and its answer sent again as it was", () => {
    const { give, handled, sent } = setUp();
    give(post(77));
    give(post(77));
    expect(handled()).toBe(1);
    expect(sent[1]?.bytes).toEqual(sent[0]?.bytes);
  });

  test("is another one from another port, with another message id or other content, or 247 seconds later", () => {
    const { give, handled, passUntil } = setUp();
    give(post(77));
    expect(give(post(77, { token: Buffer.of(1) }))).toMatchObject([{ token: Buffer.of(1) }]);
    give(post(77), 5_001);
    give(post(78));
    passUntil(1_248);
    give(post(77));
    expect(handled()).toBe(5);
  });

  test("whose answer is not remembered is handled again", () => {
    const { give, handled, endpoint } = setUp({ handle: () => ({ code: Code.content, repeatable: true }) });
    give(post(77));
    give(post(77));
    expect([handled(), endpoint.peers.exchanges]).toEqual([2, 0]);
  });

  test("whose answer takes long is acknowledged at once and answered by a CON of its own, again until that is acknowledged", async () => {
    const slow = Promise.withResolvers<Answer>();
    const { give, passUntil, messages, sent } = setUp({ handle: () => slow.promise });
    expect(give(post(77))).toEqual([]);
    passUntil(1_001);
    expect(messages()).toMatchObject([{ type: "ack", id: 77, code: Code.empty }]);
    expect(give(post(77))).toMatchObject([{ type: "ack", id: 77, code: Code.empty }]);
    slow.resolve({ code: Code.changed });
    await slow.promise;
    passUntil(1_004);
    const separate = messages().slice(2);
    expect(separate).toMatchObject([
      { type: "con", token, code: Code.changed },
      { type: "con", token, code: Code.changed },
    ]);
    expect(separate[0]?.id).toBe(separate[1]?.id);
    give(emptyMessage("ack", separate[0]?.id as number));
    passUntil(1_200);
    expect(sent).toHaveLength(4);
    expect(give(post(77))).toMatchObject([{ type: "ack", code: Code.empty }]);
  });

  test("whose answer is ready in time gets no empty acknowledgement", async () => {
    const { give, passUntil, messages } = setUp({ handle: () => Promise.resolve({ code: Code.changed }) });
    give(post(77));
    await Promise.resolve();
    await Promise.resolve();
    passUntil(1_100);
    expect(messages()).toMatchObject([{ type: "ack", id: 77, code: Code.changed }]);
  });

  test("whose handling fails is answered 5.00, and somebody hears of it", async () => {
    const thrown = setUp({
      handle: () => {
        throw new Error("bug");
      },
    });
    expect(thrown.give(post(1))).toMatchObject([{ code: Code.internal, token }]);
    expect(thrown.failures).toHaveLength(1);
    const rejected = setUp({ handle: () => Promise.reject(new Error("bug")) });
    rejected.give(post(1));
    await Promise.resolve();
    await Promise.resolve();
    expect(rejected.messages()).toMatchObject([{ code: Code.internal, token }]);
  });

  test("with a critical option nobody knows is answered 4.02 with its token; as a NON it is rejected in silence", () => {
    const { give, handled } = setUp();
    const options = [{ number: 9_999, value: Buffer.of(1) }];
    expect(give(post(1, { options }))).toMatchObject([{ type: "ack", code: Code.badOption, token }]);
    expect(give(post(2, { options, type: "non" }))).toEqual([]);
    expect(handled()).toBe(0);
  });

  test("for a proxy is answered 5.05", () => {
    const { give } = setUp();
    expect(give(post(1, { options: [{ number: OptionNumber.proxyUri, value: Buffer.from("coap://elsewhere/") }] }))).toMatchObject([{ code: Code.proxyingNotSupported }]);
  });

  test("in a datagram that is too large is answered 4.13 with the block size that fits", () => {
    const { give, handled } = setUp();
    const [answer] = give(post(1, { payload: Buffer.alloc(1_500) }));
    expect(answer).toMatchObject({ code: Code.tooLarge, token });
    expect(optionOf(answer?.options ?? [], OptionNumber.block1)).toEqual(Buffer.of(6));
    expect(handled()).toBe(0);
  });
});

describe("what is no request", () => {
  test("a ping is reset (RFC 7252 section 4.3)", () => {
    const { give } = setUp();
    expect(give(emptyMessage("con", 5))).toMatchObject([{ type: "rst", id: 5 }]);
  });

  test("a malformed CON is reset, other malformed messages are not answered", () => {
    const { give, endpoint } = setUp();
    const nineByteToken = Buffer.from("4901000101020304050607080942", "hex");
    expect(give(nineByteToken)).toMatchObject([{ type: "rst", id: 1 }]);
    for (const type of [0x50, 0x60, 0x70]) {
      const bytes = Buffer.from(nineByteToken);
      bytes[0] = type | 9;
      expect(give(bytes)).toEqual([]);
    }
    expect(endpoint.stats.malformed).toBe(4);
  });

  test("answers to what we never asked: a CON is reset, an acknowledgement ignored", () => {
    const { give, handled } = setUp();
    expect(give(post(3, { code: Code.content }))).toMatchObject([{ type: "rst", id: 3 }]);
    expect(give(post(3, { code: Code.content, type: "non" }))).toEqual([]);
    expect(give(post(3, { code: Code.content, type: "ack" }))).toEqual([]);
    expect(give(emptyMessage("rst", 9))).toEqual([]);
    expect(handled()).toBe(0);
  });
});

describe("an address that has not shown that it receives", () => {
  const large = (): Answer => ({ code: Code.content, payload: Buffer.alloc(1_024) });

  test("gets no more than three bytes for each it sent, but a challenge; with its Echo value it gets everything", () => {
    const { give, sent } = setUp({ handle: large, isTrusted: false });
    const request = formatMessage(post(1, { options: [{ number: OptionNumber.uriPath, value: Buffer.from("artifact") }] }));
    const [challenge] = give(request);
    expect(challenge).toMatchObject({ code: Code.unauthorized, token });
    expect(sent[0]?.bytes.length).toBeLessThanOrEqual(3 * request.length);
    const echo = optionOf(challenge?.options ?? [], OptionNumber.echo) as Uint8Array;
    expect(give(post(2, { options: [{ number: OptionNumber.echo, value: echo }] }))).toMatchObject([{ code: Code.content }]);
    expect(give(post(3))).toMatchObject([{ code: Code.content }]);
    expect(give(post(3), 5_001)).not.toMatchObject([{ code: Code.content }]);
  });

  test("gets nothing when even the challenge would be too large", () => {
    const { give, endpoint } = setUp({ handle: large, isTrusted: false });
    expect(give(Buffer.from("40010001", "hex"))).toEqual([]);
    expect(endpoint.stats.challenged).toBe(1);
  });

  test("cannot use another address's Echo value, an old one, or one of its own making", () => {
    const { give, passUntil } = setUp({ handle: large, isTrusted: false });
    const request = (id: number, echo: Uint8Array): Message => post(id, { payload: Buffer.alloc(20), options: [{ number: OptionNumber.echo, value: echo }] });
    const [challenge] = give(post(1, { payload: Buffer.alloc(40) }));
    const echo = optionOf(challenge?.options ?? [], OptionNumber.echo) as Uint8Array;
    expect(give(request(2, echo), 5_001)).toMatchObject([{ code: Code.unauthorized }]);
    const forged = Buffer.from(echo);
    forged[13] = (forged[13] as number) ^ 1;
    expect(give(request(3, forged))).toMatchObject([{ code: Code.unauthorized }]);
    passUntil(1_000 + defaultLimits.echoLifetime_s + 1);
    expect(give(request(4, echo))).toMatchObject([{ code: Code.unauthorized }]);
  });
});

describe("limits", () => {
  test("a peer that sends too much is not answered until its rate allows it; others are", () => {
    const { give, passUntil, endpoint } = setUp({ limits: { datagrams: { perSecond: 10, burst: 5 } } });
    const answered = Array.from({ length: 20 }, (_, id) => give(post(id)).length);
    expect(answered.reduce((sum, count) => sum + count, 0)).toBe(5);
    expect(give(post(1), 5_001)).toHaveLength(1);
    passUntil(1_000.2);
    expect([give(post(30)), give(post(31)), give(post(32))].map((sent) => sent.length)).toEqual([1, 1, 0]);
    expect(endpoint.stats.limited).toBe(16);
  });

  test("peers, exchanges and kept bytes stay bounded whatever arrives, and nothing of a forgotten peer is counted on", () => {
    const limits = { peers: 50, exchangesOfPeer: 10, exchanges: 100_000, exchangeBytes: 20_000 };
    const { give, endpoint } = setUp({ limits, handle: () => ({ code: Code.changed, payload: Buffer.alloc(300) }) });
    for (let n = 0; n < 20_000; n += 1) {
      give(post(n & 0xffff), 1 + (n % 200));
    }
    expect(endpoint.peers.size).toBeLessThanOrEqual(50);
    expect(endpoint.peers.exchanges).toBeLessThanOrEqual(500);
    expect(endpoint.peers.exchangeBytes).toBeLessThanOrEqual(20_000);
    expect(endpoint.peers.exchangeBytes).toBeGreaterThan(0);
  });

  test("answers that come after their peer was forgotten leave no bytes behind", async () => {
    const waiting: ((answer: Answer) => void)[] = [];
    const { give, endpoint } = setUp({ limits: { peers: 5 }, handle: () => new Promise((resolve) => waiting.push(resolve)) });
    for (let n = 0; n < 100; n += 1) {
      give(post(n), 1 + n);
    }
    for (const resolve of waiting) {
      resolve({ code: Code.changed, payload: Buffer.alloc(100) });
    }
    await new Promise((resolve) => setImmediate(resolve));
    expect(endpoint.peers.exchanges).toBe(5);
    expect(endpoint.peers.exchangeBytes).toBeLessThan(5 * 130);
  });
});
