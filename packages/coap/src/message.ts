// SPDX-License-Identifier: Apache-2.0
// CoAP messages as values. The codec is coap-packet; it is lenient (tokens of 9 bytes, options that run past the end, a
// payload marker without payload), so the format is checked first, in one pass that allocates nothing.
import { generate, parse } from "coap-packet";
import { type Option, OptionNumber } from "./option.ts";

export type MessageType = "con" | "non" | "ack" | "rst";

/** Class and detail as one byte, `c.dd` (RFC 7252 section 12.1). */
export const Code = {
  empty: 0x00,
  get: 0x01,
  post: 0x02,
  put: 0x03,
  delete: 0x04,
  created: 0x41,
  deleted: 0x42,
  valid: 0x43,
  changed: 0x44,
  content: 0x45,
  continue: 0x5f,
  badRequest: 0x80,
  unauthorized: 0x81,
  badOption: 0x82,
  forbidden: 0x83,
  notFound: 0x84,
  methodNotAllowed: 0x85,
  notAcceptable: 0x86,
  incomplete: 0x88,
  tooLarge: 0x8d,
  unsupportedFormat: 0x8f,
  /** RFC 8516. */
  tooManyRequests: 0x9d,
  internal: 0xa0,
  unavailable: 0xa3,
  proxyingNotSupported: 0xa5,
} as const;

/** `c.dd`, for people. */
export const codeText = (code: number): string => `${code >> 5}.${(code & 31).toString().padStart(2, "0")}`;

export interface Message {
  readonly type: MessageType;
  readonly code: number;
  /** Message id, 0 to 65,535. */
  readonly id: number;
  /** 0 to 8 bytes. */
  readonly token: Uint8Array;
  /** In the order of their numbers. */
  readonly options: readonly Option[];
  readonly payload: Uint8Array;
}

/** What a datagram is. */
export type Parsed =
  | {
      readonly kind: "message";
      readonly message: Message;
      /** The encoded options before the Mac option: what the envelope authenticates. */
      readonly optionBytes: Uint8Array;
    }
  /** Not CoAP of this version, or too short: ignored without an answer (RFC 7252 section 3). */
  | { readonly kind: "ignored"; readonly reason: string }
  /** A message format error: a CON is answered with RST, anything else ignored (sections 4.2, 4.3). */
  | { readonly kind: "malformed"; readonly reason: string; readonly type: MessageType; readonly id: number };

const types: readonly MessageType[] = ["con", "non", "ack", "rst"];

/** The numbers of the names that coap-packet gives to options. */
const named: Readonly<Record<string, number>> = {
  "If-Match": 1,
  "Uri-Host": 3,
  ETag: 4,
  "If-None-Match": 5,
  Observe: 6,
  "Uri-Port": 7,
  "Location-Path": 8,
  OSCORE: 9,
  "Uri-Path": 11,
  "Content-Format": 12,
  "Max-Age": 14,
  "Uri-Query": 15,
  "Hop-Limit": 16,
  Accept: 17,
  "Q-Block1": 19,
  "Location-Query": 20,
  Block2: 23,
  Block1: 27,
  Size2: 28,
  "Q-Block2": 31,
  "Proxy-Uri": 35,
  "Proxy-Scheme": 39,
  Size1: 60,
  "No-Response": 258,
  "OCF-Accept-Content-Format-Version": 2049,
  "OCF-Content-Format-Version": 2053,
};

/** Options in one message; more is a bomb, not a request. */
export const optionsMax = 48;

/** Where the options of a message are, or what is wrong with its form. */
function layout(bytes: Uint8Array): { readonly start: number; readonly lastAt: number; readonly lastNumber: number } | string {
  const start = 4 + ((bytes[0] as number) & 15);
  if (start > 12) {
    return "token of more than 8 bytes";
  }
  const code = bytes[1] as number;
  const kind = code >> 5;
  if (code === 0) {
    return bytes.length === 4 ? { start: 4, lastAt: 4, lastNumber: 0 } : "empty message with content";
  }
  if (kind === 1 || kind === 6 || kind === 7) {
    return "reserved class";
  }
  if (start > bytes.length) {
    return "token past the end";
  }
  let at = start;
  let number = 0;
  let count = 0;
  let lastAt = start;
  while (at < bytes.length) {
    const head = bytes[at] as number;
    if (head === 0xff) {
      return at + 1 < bytes.length ? { start, lastAt, lastNumber: number } : "payload marker without payload";
    }
    lastAt = at;
    at += 1;
    let delta = head >> 4;
    let length = head & 15;
    if (delta === 15 || length === 15) {
      return "reserved option delta or length";
    }
    if (delta >= 13) {
      const wide = delta === 14;
      if (at + (wide ? 2 : 1) > bytes.length) {
        return "option past the end";
      }
      delta = wide ? (((bytes[at] as number) << 8) | (bytes[at + 1] as number)) + 269 : (bytes[at] as number) + 13;
      at += wide ? 2 : 1;
    }
    if (length >= 13) {
      const wide = length === 14;
      if (at + (wide ? 2 : 1) > bytes.length) {
        return "option past the end";
      }
      length = wide ? (((bytes[at] as number) << 8) | (bytes[at + 1] as number)) + 269 : (bytes[at] as number) + 13;
      at += wide ? 2 : 1;
    }
    number += delta;
    at += length;
    count += 1;
    if (number > 65_535) {
      return "option number past 65535";
    }
    if (at > bytes.length) {
      return "option past the end";
    }
    if (count > optionsMax) {
      return "too many options";
    }
  }
  return { start, lastAt, lastNumber: number };
}

/** Reads a datagram. Never throws; what it returns are views of `bytes`. */
export function parseMessage(bytes: Buffer): Parsed {
  if (bytes.length < 4) {
    return { kind: "ignored", reason: "shorter than a header" };
  }
  const first = bytes[0] as number;
  if (first >> 6 !== 1) {
    return { kind: "ignored", reason: "not version 1" };
  }
  const type = types[(first >> 4) & 3] as MessageType;
  const id = ((bytes[2] as number) << 8) | (bytes[3] as number);
  const found = layout(bytes);
  if (typeof found === "string") {
    return { kind: "malformed", reason: found, type, id };
  }
  const packet = parse(bytes);
  const options: Option[] = [];
  for (const { name, value } of packet.options) {
    options.push({ number: named[name] ?? Number(name), value });
  }
  const message: Message = { type, code: bytes[1] as number, id, token: packet.token, options, payload: packet.payload };
  const end = found.lastNumber === OptionNumber.mac ? found.lastAt : bytes.length - (packet.payload.length === 0 ? 0 : packet.payload.length + 1);
  return { kind: "message", message, optionBytes: bytes.subarray(found.start, end) };
}

const marker = Buffer.of(0xff);
const noBytes = Buffer.alloc(0);

/** The same memory as a Buffer. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** The encoded form of options alone: what an envelope authenticates. */
export function encodeOptions(options: readonly Option[]): Buffer {
  return generate({ code: "0.01", messageId: 0, token: noBytes, options: packetOptions(options) }, Number.POSITIVE_INFINITY).subarray(4);
}

function packetOptions(options: readonly Option[]): { name: number; value: Buffer }[] {
  return options.map(({ number, value }) => ({ name: number, value: asBuffer(value) }));
}

/**
 * Writes a message in parts, to be sent as one datagram: the payload is not copied (coap-packet would turn it into a
 * string first to see whether it is empty).
 */
export function messageParts(message: Message): Buffer[] {
  const { type, code, id, token, options, payload } = message;
  const head = generate(
    {
      code: codeText(code),
      messageId: id,
      token: asBuffer(token),
      options: packetOptions(options),
      confirmable: type === "con",
      ack: type === "ack",
      reset: type === "rst",
    },
    Number.POSITIVE_INFINITY,
  );
  return payload.length === 0 ? [head] : [head, marker, asBuffer(payload)];
}

/** Writes a message as one piece of memory of its own. */
export function formatMessage(message: Message): Buffer {
  return Buffer.concat(messageParts(message));
}

/** An empty message: an acknowledgement, a reset, or (as a CON) a ping (RFC 7252 section 4.1). */
export function emptyMessage(type: MessageType, id: number): Buffer {
  return Buffer.of(0x40 | (types.indexOf(type) << 4), 0, id >> 8, id & 0xff);
}
