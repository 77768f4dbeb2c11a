// SPDX-License-Identifier: Apache-2.0
// What an attacking connection sends, drawn from (seed, number): mostly a good CONNECT, then packets in any order, some
// mutated in their bytes and some wrong in what they say.
import { generate, type Packet } from "mqtt-packet";

export const packetsPerConnection = 8;

/** mulberry32: small, fast, and the same everywhere. */
function generator(seed: number, number: number): () => number {
  let state = (Math.imul(seed, 0x9e3779b1) ^ Math.imul(number + 1, 0x85ebca6b)) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

interface Draw {
  /** A whole number below `limit`. */
  below(limit: number): number;
  chance(share: number): boolean;
  one<T>(values: readonly T[]): T;
}

function draw(random: () => number): Draw {
  const below = (limit: number): number => Math.floor(random() * limit);
  return { below, chance: (share) => random() < share, one: (values) => values[below(values.length)] as never };
}

const strangeIds = ["", "dev#", "+", "a/b", "x".repeat(70), "__proto__", "constructor", "\u0000", "\ud83d\ude00", "$SYS"];

/** The bytes of one connection, in the pieces they are written in. */
export function connectionBytes(seed: number, number: number): { readonly pieces: readonly Uint8Array[]; readonly device: string } {
  const by = draw(generator(seed, number));
  const device = by.chance(0.9) ? `dev-${by.below(40)}` : by.one(strangeIds);
  const bytes: Uint8Array[] = [];
  // Most wrong packets end the connection, so some connections are left to get further.
  const mutated = by.one([0, 0.1, 0.3, 0.8]);
  const wild = by.one([0, 0.05, 0.5]);
  if (by.chance(0.95)) {
    bytes.push(by.chance(0.9) ? bytesOf(connectPacket(by, device)) : mutate(by, bytesOf(connectPacket(by, device))));
  }
  for (let index = 0; index < packetsPerConnection; index += 1) {
    const packet = bytesOf(anyPacket(by, device, wild));
    bytes.push(by.chance(mutated) ? mutate(by, packet) : packet);
  }
  return { pieces: split(by, Buffer.concat(bytes)), device };
}

function bytesOf(packet: Packet): Uint8Array {
  try {
    return generate(packet, { protocolVersion: 4 });
  } catch {
    // The library refuses to write some wrong packets; random bytes take their place.
    return Uint8Array.from([0x30, 0x02, 0xff, 0xff]);
  }
}

function connectPacket(by: Draw, clientId: string): Packet {
  return {
    cmd: "connect",
    protocolId: by.chance(0.95) ? "MQTT" : "MQIsdp",
    protocolVersion: by.one([4, 4, 4, 4, 4, 4, 3, 5] as const),
    clean: clientId === "" || by.chance(0.5),
    clientId,
    keepalive: by.chance(0.9) ? 60 : by.one([0, 1, 3_600, 65_535]),
    ...(by.chance(0.2) ? { username: "u", password: Buffer.from("p".repeat(by.below(300))) } : {}),
    ...(by.chance(0.1) ? { will: { topic: topicOf(by, clientId), payload: Buffer.alloc(by.below(200)), qos: by.one([0, 1, 2] as const), retain: by.chance(0.2) } } : {}),
  };
}

function topicOf(by: Draw, device: string): string {
  const own = `c/v1/d/${device}`;
  return by.one([
    `${own}/up/report`,
    `${own}/up/report`,
    `${own}/up/block`,
    `${own}/down/command`,
    `${own}/down/#`,
    `c/v1/d/dev-${by.below(40)}/up/report`,
    "c/v1/d/+/down/#",
    "#",
    "$SYS/x",
    "$share/g/#",
    "",
    "/".repeat(by.below(300)),
    "é\u0000",
    "__proto__",
  ]);
}

function anyPacket(by: Draw, device: string, wild: number): Packet {
  const messageId = by.below(65_536);
  const qos = by.one([0, 1, 1] as const);
  switch (by.below(11)) {
    case 0:
    case 1:
    case 2:
    case 3:
      return {
        cmd: "publish",
        topic: by.chance(wild) ? topicOf(by, device) : `c/v1/d/${device}/up/${by.one(["report", "block"])}`,
        payload: Buffer.alloc(by.chance(wild) ? by.one([0, 8_192, 8_193, 20_000]) : by.below(100), by.below(256)),
        qos: by.chance(wild) ? 2 : qos,
        messageId: messageId === 0 ? 1 : messageId,
        dup: qos > 0 && by.chance(0.2),
        retain: by.chance(wild / 2),
      };
    case 4:
    case 5:
      return { cmd: "subscribe", messageId, subscriptions: Array.from({ length: 1 + by.below(4) }, () => ({ topic: topicOf(by, device), qos: by.one([0, 1, 2]) })) };
    case 6:
      return { cmd: "unsubscribe", messageId, unsubscriptions: [topicOf(by, device)] };
    case 7:
      return { cmd: by.one(["puback", "pubrec", "pubcomp"]), messageId };
    case 8:
      return { cmd: "pubrel", messageId };
    case 9:
      return by.chance(0.7) ? { cmd: "pingreq" } : { cmd: "disconnect" };
    default:
      return by.chance(1 - wild) ? { cmd: "pingreq" } : by.chance(0.5) ? connectPacket(by, device) : { cmd: "connack", returnCode: 0, sessionPresent: false };
  }
}

function mutate(by: Draw, given: Uint8Array): Uint8Array {
  let bytes = Uint8Array.from(given);
  for (let round = 1 + by.below(3); round > 0 && bytes.length > 0; round -= 1) {
    const at = by.below(Math.min(bytes.length, by.chance(0.5) ? 12 : bytes.length));
    switch (by.below(7)) {
      case 0:
        bytes[at] = (bytes[at] as number) ^ (1 << by.below(8));
        break;
      case 1:
        bytes[at] = by.one([0, 1, 0x7f, 0x80, 0xff]);
        break;
      case 2:
        bytes = bytes.slice(0, at);
        break;
      case 3:
        bytes = joined(bytes.subarray(0, at), Uint8Array.from({ length: by.below(9) }, () => by.below(256)), bytes.subarray(at));
        break;
      case 4:
        bytes = joined(bytes.subarray(0, at), bytes.subarray(at + by.below(9)));
        break;
      case 5: // another remaining length
        bytes = joined(bytes.subarray(0, 1), Uint8Array.from({ length: 1 + by.below(5) }, () => by.below(256)), bytes.subarray(2));
        break;
      default: // another packet type
        bytes[0] = by.below(256);
    }
  }
  return bytes;
}

function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.concat(parts));
}

function split(by: Draw, bytes: Uint8Array): Uint8Array[] {
  const cuts = Array.from({ length: by.below(5) }, () => by.below(bytes.length + 1)).sort((a, b) => a - b);
  return [0, ...cuts].map((from, index) => bytes.subarray(from, cuts[index] ?? bytes.length));
}
