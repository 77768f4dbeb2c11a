// SPDX-License-Identifier: Apache-2.0
// SMP's envelope (Zephyr, "SMP Protocol Specification", section Frame): eight bytes, big endian, then a CBOR map.

export const SMP_HEADER_BYTES = 8;

export type SmpVersion = 1 | 2;

/** Operations of requests; an answer has the request's plus one. */
export const Op = { read: 0, readAnswer: 1, write: 2, writeAnswer: 3 } as const;
export type SmpOp = (typeof Op)[keyof typeof Op];

export const Group = { os: 0, image: 1, statistics: 2, settings: 3 } as const;

/** Commands by group. */
export const OsCommand = { echo: 0, reset: 5, parameters: 6 } as const;
export const ImageCommand = { state: 0, upload: 1, erase: 5, slotInfo: 6 } as const;
export const StatisticsCommand = { read: 0, list: 1 } as const;
export const SettingsCommand = { value: 0, delete: 1, commit: 2, storage: 3 } as const;

export interface SmpHeader {
  readonly version: SmpVersion;
  readonly op: SmpOp;
  readonly group: number;
  readonly sequence: number;
  readonly command: number;
}

export type SmpFrame = ({ readonly kind: "frame"; readonly body: Uint8Array } & SmpHeader) | { readonly kind: "malformed"; readonly reason: string };

export function encodeFrame(header: SmpHeader, body: Uint8Array): Uint8Array {
  if (body.length > 0xffff) {
    throw new Error(`smp: a body of ${body.length} bytes`);
  }
  const packet = new Uint8Array(SMP_HEADER_BYTES + body.length);
  const view = new DataView(packet.buffer);
  view.setUint8(0, ((header.version - 1) << 3) | header.op);
  view.setUint16(2, body.length);
  view.setUint16(4, header.group);
  view.setUint8(6, header.sequence);
  view.setUint8(7, header.command);
  packet.set(body, SMP_HEADER_BYTES);
  return packet;
}

/** Reads one packet. Its length must be the announced one; reserved bits, versions and operations are refused. `body` is a view. */
export function decodeFrame(packet: Uint8Array): SmpFrame {
  if (packet.length < SMP_HEADER_BYTES) {
    return { kind: "malformed", reason: `${packet.length} bytes, less than a header` };
  }
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const first = view.getUint8(0);
  const op = first & 7;
  const version = first >> 3;
  if (version > 1) {
    return { kind: "malformed", reason: `a reserved version (first byte ${first})` };
  }
  if (!isOp(op)) {
    return { kind: "malformed", reason: `operation ${op}` };
  }
  const length = view.getUint16(2);
  if (length !== packet.length - SMP_HEADER_BYTES) {
    return { kind: "malformed", reason: `${length} bytes announced, ${packet.length - SMP_HEADER_BYTES} there` };
  }
  return {
    kind: "frame",
    version: version === 0 ? 1 : 2,
    op,
    group: view.getUint16(4),
    sequence: view.getUint8(6),
    command: view.getUint8(7),
    body: packet.subarray(SMP_HEADER_BYTES),
  };
}

function isOp(op: number): op is SmpOp {
  return op <= Op.writeAnswer;
}
