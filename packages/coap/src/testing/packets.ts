// SPDX-License-Identifier: Apache-2.0
// Datagrams to try the server with: valid ones, broken ones, and the known tricks.
import type { DeviceId } from "@coalmine/core";
import { encodeReport } from "@coalmine/protocol";
import { signRequest } from "../envelope.ts";
import { Code, emptyMessage, formatMessage, type Message } from "../message.ts";
import { type Option, OptionNumber, writeBlock, writeUint } from "../option.ts";

/** A stream of numbers from 0 to below `below`, the same for the same seed. */
export function numbers(seed: number): (below: number) => number {
  let state = (seed ^ 0x9e3779b9) >>> 0;
  return (below) => {
    // splitmix32
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) % below;
  };
}

const texts = (number: number, values: readonly string[]): Option[] => values.map((value) => ({ number, value: Buffer.from(value) }));
const heartbeat = encodeReport({ boot: 1, sequence: 1, uptime_s: 1, body: { kind: "heartbeat", imageHash: new Uint8Array(32), confirmed: true, battery: 50, linkUptime: 1, metrics: { m: 1 } } });

const paths: readonly (readonly string[])[] = [[".u", "desired"], [".u", "command"], [".u", "c", "main"], [".u", "c", "main@1.2.3"], [".r"], [".well-known", "core"], ["x".repeat(255)], [], ["", "", ""], [".u", "c", "main@"]];

/** The known tricks (issue: bad input), as bytes. */
export const tricks: readonly Buffer[] = [
  // 24 bytes that announce a GiB.
  formatMessage({ type: "con", code: Code.post, id: 1, token: Buffer.alloc(1), options: [...texts(OptionNumber.uriPath, [".r"]), ...texts(OptionNumber.uriQuery, ["d=d"]), { number: OptionNumber.block1, value: Uint8Array.of(8) }, { number: OptionNumber.size1, value: writeUint(2 ** 30) }], payload: Buffer.alloc(1) }),
  Buffer.from("4901000101020304050607080942", "hex"),
  Buffer.from(`40010001${"00".repeat(1_400)}`, "hex"),
  Buffer.from(`40010001${"10".repeat(1_400)}`, "hex"),
  Buffer.from(`40010001${"b0".padEnd(1_000, "0")}`, "hex"),
  Buffer.from(`40010001eeffffffff${"41".repeat(100)}`, "hex"),
  Buffer.alloc(1_472, 0xff),
  Buffer.alloc(65_507, 0x40),
  emptyMessage("con", 0),
  emptyMessage("rst", 0xffff),
];

function valid(next: (below: number) => number): Message {
  const options: Option[] = [...texts(OptionNumber.uriPath, paths[next(paths.length)] ?? [])];
  if (next(4) > 0) {
    options.push(...texts(OptionNumber.uriQuery, [`d=dev-${next(50)}`]));
  }
  if (next(4) === 0) {
    options.push({ number: OptionNumber.observe, value: writeUint(next(3)) });
  }
  if (next(3) === 0) {
    options.push({ number: OptionNumber.block1, value: writeBlock({ num: next(3) === 0 ? next(0x10_0000) : next(4), more: next(3) > 0, szx: next(8) }) });
  }
  if (next(4) === 0) {
    options.push({ number: OptionNumber.block2, value: writeBlock({ num: next(3) === 0 ? next(0x10_0000) : next(4), more: next(2) === 0, szx: next(8) }) });
  }
  if (next(8) === 0) {
    options.push({ number: OptionNumber.size1, value: writeUint(next(0xffff_ffff)) });
  }
  if (next(8) === 0) {
    options.push({ number: OptionNumber.contentFormat, value: writeUint([0, 50, 60, 63][next(4)] as number) });
  }
  if (next(8) === 0) {
    options.push({ number: next(65_536), value: Buffer.alloc(next(20), next(256)) });
  }
  const payloads = [Buffer.alloc(0), heartbeat, Buffer.alloc(16 << next(7), 0x61), Buffer.alloc(next(1_200), next(256))];
  return {
    type: (["con", "non", "ack", "rst"] as const)[next(10) < 8 ? next(2) : next(4)] as Message["type"],
    code: next(10) < 9 ? 1 + next(7) : next(256),
    id: next(65_536),
    token: Buffer.alloc(next(9), next(256)),
    options: options.toSorted((a, b) => a.number - b.number),
    payload: payloads[next(payloads.length)] as Uint8Array,
  };
}

/** The `n`-th datagram of a seed: valid, signed, mutated, a trick, or noise. */
export function packet(seed: number, n: number, secret?: (device: string) => Uint8Array): Buffer {
  const next = numbers(Math.imul(seed, 1_000_003) + n);
  const kind = next(10);
  if (kind === 0) {
    return Buffer.from(Uint8Array.from({ length: next(120) }, () => next(256)));
  }
  if (kind === 1) {
    return Buffer.from(tricks[next(tricks.length)] as Buffer);
  }
  const message = valid(next);
  const device = `dev-${next(50)}`;
  const bytes = formatMessage(secret === undefined || kind < 4 ? message : signRequest(message, { device: device as DeviceId, secret: secret(device), sequence: n }));
  if (kind < 5) {
    return bytes;
  }
  const cut = next(4) === 0 ? Buffer.from(bytes.subarray(0, next(bytes.length + 1))) : bytes;
  for (let changes = next(4); changes > 0 && cut.length > 0; changes -= 1) {
    cut[next(cut.length)] = next(256);
  }
  return cut;
}

/** A device's registration that proves its freshness with an Echo value. */
export function proof(options: { readonly device: string; readonly secret: Uint8Array; readonly sequence: number; readonly echo: Uint8Array }): Buffer {
  const message: Message = {
    type: "con",
    code: Code.get,
    id: options.sequence & 0xffff,
    token: Buffer.from("prove"),
    options: [{ number: OptionNumber.observe, value: writeUint(0) }, ...texts(OptionNumber.uriPath, [".u", "desired"]), { number: OptionNumber.echo, value: options.echo }],
    payload: Buffer.alloc(0),
  };
  return formatMessage(signRequest(message, { device: options.device as DeviceId, secret: options.secret, sequence: options.sequence }));
}
