// SPDX-License-Identifier: Apache-2.0
// The client half of MQTT 3.1.1 (OASIS, October 2014), framed by hand: thousands of devices share one process, and a
// general parser costs a microsecond and a handful of objects for every packet.
//
// W1. A packet is looked at only when it is complete; an incomplete one is never longer than the limit.
// W2. Bytes that are not MQTT end the connection they came from and nothing else.

/** Control packet types, in the high half of the first byte (section 2.2.1). */
export const PacketType = { connack: 2, publish: 3, puback: 4, suback: 9, pingresp: 13 } as const;

export const pingRequest = Buffer.from([0xc0, 0]);
export const disconnect = Buffer.from([0xe0, 0]);

/** Called for each complete packet. `from` to `to` is the part behind the fixed header. False stops the reading. */
export interface PacketSink<C> {
  packet(connection: C, header: number, bytes: Buffer, from: number, to: number): boolean;
}

/** How far the reading got, or why it stopped. */
export type Taken = { readonly kind: "taken"; readonly bytes: number } | { readonly kind: "broken"; readonly reason: string } | { readonly kind: "stopped" };

const stopped: Taken = { kind: "stopped" };
const badLength: Taken = { kind: "broken", reason: "a remaining length of more than 4 bytes (MQTT 2.2.3)" };
const tooLong: Taken = { kind: "broken", reason: "a packet longer than any of ours" };

/**
 * Hands every complete packet of `bytes` to `sink` and says how many bytes they were; the rest is the start of a packet
 * that is still on its way. Packets with more than `limit` bytes behind the fixed header are refused by their header.
 */
export function takePackets<C>(bytes: Buffer, limit: number, sink: PacketSink<C>, connection: C): Taken {
  let at = 0;
  for (;;) {
    let length = 0;
    let factor = 1;
    let next = at + 1;
    for (;;) {
      if (next - at > 4) {
        return badLength;
      }
      const byte = bytes[next];
      if (byte === undefined) {
        return { kind: "taken", bytes: at };
      }
      next += 1;
      length += (byte & 0x7f) * factor;
      factor *= 128;
      if (byte < 0x80) {
        break;
      }
    }
    if (length > limit) {
      return tooLong;
    }
    const end = next + length;
    if (end > bytes.length) {
      return { kind: "taken", bytes: at };
    }
    if (!sink.packet(connection, bytes[at] as number, bytes, next, end)) {
      return stopped;
    }
    at = end;
  }
}

/** A PUBLISH as it came (section 3.3). `payload` is a view: copy what must outlive the call. */
export interface Publish {
  readonly qos: 0 | 1;
  readonly topic: string;
  /** 0 at QoS 0. */
  readonly packetId: number;
  readonly payload: Buffer;
}

/** Reads a PUBLISH; undefined when it is malformed or asks for QoS 2, which coalmine does not use. */
export function readPublish(header: number, bytes: Buffer, from: number, to: number): Publish | undefined {
  const qos = (header >> 1) & 3;
  if (qos > 1 || to - from < 2) {
    return undefined;
  }
  const topicEnd = from + 2 + bytes.readUInt16BE(from);
  const payloadAt = topicEnd + 2 * qos;
  if (payloadAt > to) {
    return undefined;
  }
  const packetId = qos === 1 ? bytes.readUInt16BE(topicEnd) : 0;
  if (qos === 1 && packetId === 0) {
    return undefined;
  }
  return { qos: qos as 0 | 1, topic: bytes.toString("latin1", from + 2, topicEnd), packetId, payload: bytes.subarray(payloadAt, to) };
}

/** CONNECT with client id = device id, a kept session and no will (section 3.1). `keepalive` in seconds. */
export function writeConnect(clientId: string, keepalive: number): Buffer {
  const body = 12 + clientId.length;
  const packet = Buffer.allocUnsafe(2 + body);
  packet[0] = 0x10;
  packet[1] = body;
  packet.writeUInt16BE(4, 2);
  packet.write("MQTT", 4, "latin1");
  packet[8] = 4;
  packet[9] = 0;
  packet.writeUInt16BE(keepalive, 10);
  packet.writeUInt16BE(clientId.length, 12);
  packet.write(clientId, 14, "latin1");
  return packet;
}

/** SUBSCRIBE to one filter at QoS 1 (section 3.8). */
export function writeSubscribe(packetId: number, filter: string): Buffer {
  const body = 5 + filter.length;
  const packet = Buffer.allocUnsafe(2 + body);
  packet[0] = 0x82;
  packet[1] = body;
  packet.writeUInt16BE(packetId, 2);
  packet.writeUInt16BE(filter.length, 4);
  packet.write(filter, 6, "latin1");
  packet[6 + filter.length] = 1;
  return packet;
}

/** PUBLISH; a packet id of 0 means QoS 0. Topics are ASCII, as device ids are. */
export function writePublish(topic: string, payload: Uint8Array, packetId: number, duplicate: boolean): Buffer {
  const idBytes = packetId === 0 ? 0 : 2;
  const length = 2 + topic.length + idBytes + payload.length;
  const lengthBytes = length < 128 ? 1 : length < 16_384 ? 2 : 3;
  const packet = Buffer.allocUnsafe(1 + lengthBytes + length);
  packet[0] = 0x30 | (packetId === 0 ? 0 : 2) | (duplicate ? 8 : 0);
  let rest = length;
  for (let at = 1; at <= lengthBytes; at += 1) {
    packet[at] = (rest & 0x7f) | (at < lengthBytes ? 0x80 : 0);
    rest >>= 7;
  }
  let at = 1 + lengthBytes;
  packet.writeUInt16BE(topic.length, at);
  packet.write(topic, at + 2, "latin1");
  at += 2 + topic.length;
  if (packetId !== 0) {
    packet.writeUInt16BE(packetId, at);
    at += 2;
  }
  packet.set(payload, at);
  return packet;
}

/** PUBACK (section 3.4). */
export function writePuback(packetId: number): Buffer {
  const packet = Buffer.allocUnsafe(4);
  packet[0] = 0x40;
  packet[1] = 2;
  packet.writeUInt16BE(packetId, 2);
  return packet;
}
