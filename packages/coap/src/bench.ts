// SPDX-License-Identifier: Apache-2.0
// The parts of the benchmark: a bare server to compare with, ours with many devices, and the peers that download.
import { type DeviceId, deviceId } from "@coalmine/core";
import type { Offer } from "@coalmine/protocol";
import { generate, parse } from "coap-packet";
import { createHash } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { signRequest } from "./envelope.ts";
import { unlimited } from "./limits.ts";
import { coapLink } from "./link.ts";
import { Code, formatMessage, type Message, parseMessage } from "./message.ts";
import { type Option, OptionNumber, optionOf, readBlock, writeBlock } from "./option.ts";

/** What is downloaded: the same bytes in every process. */
export function benchArtifact(size: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, index) => Math.imul(index, 2_654_435_761) >>> 24);
}

const version = "1.2.3";
const nameOf = (index: number): DeviceId => deviceId(`bench-${index}`);
/** Looked up as a store would, not computed each time. */
const secrets = new Map<DeviceId, Uint8Array>();
const secretOf = (device: DeviceId): Uint8Array => {
  const secret = secrets.get(device) ?? createHash("sha256").update(device).digest();
  secrets.set(device, secret);
  return secret;
};

/** A server under test. */
export interface BenchServer {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * The least that answers: coap-packet on a socket, every request taken for a block of the one artifact. No check of
 * anything, no memory of anybody.
 */
export async function bareServer(artifact: Uint8Array): Promise<BenchServer> {
  const content = Buffer.from(artifact.buffer, artifact.byteOffset, artifact.length);
  // As our own socket: no look-up of an address that is one, and room for a herd.
  const socket = createSocket({ type: "udp4", lookup: (hostname, _options, callback) => callback(null, hostname, 4), recvBufferSize: 4 * 1_048_576, sendBufferSize: 4 * 1_048_576 });
  socket.on("message", (bytes, peer) => {
    const { messageId, token, options } = parse(bytes);
    const value = options.find(({ name }) => name === "Block2")?.value ?? Buffer.of(6);
    const block = readBlock(value) ?? { num: 0, more: false, szx: 6 };
    const size = 16 << block.szx;
    const offset = block.num * size;
    const more = offset + size < content.length;
    const answer = generate({
      code: "2.05",
      messageId,
      token,
      ack: true,
      options: [{ name: "Block2", value: Buffer.from(writeBlock({ num: block.num, more, szx: block.szx })) }],
      payload: content.subarray(offset, offset + size),
    });
    socket.send(answer, peer.port, peer.address);
  });
  // The look-up above answers at once, so the socket may be listening before bind returns.
  const listening = once(socket, "listening");
  socket.bind(0, "127.0.0.1");
  await listening;
  return { port: socket.address().port, close: () => new Promise((resolve) => socket.close(() => resolve())) };
}

/** Our server with an accepted offer for each of the devices. */
export async function ourServer(artifact: Uint8Array, options: { readonly devices: number; readonly isSigned: boolean }): Promise<BenchServer> {
  const link = await coapLink(
    { port: 0, limits: { datagrams: unlimited }, ...(options.isSigned ? { secretOf } : {}) },
    {
      report: () => Promise.resolve(),
      block: (_device, { request, offset, length }) =>
        offset < artifact.length ? { kind: "block", request, offset, data: artifact.subarray(offset, offset + length) } : { kind: "refused", request, reason: "range" },
      undecodable: () => undefined,
    },
  );
  const offer: Offer = {
    kind: "offer",
    offer: 1,
    release: "bench",
    version,
    variant: { board: "bench", revision: "1", partitionMap: "bench" },
    digest: new Uint8Array(createHash("sha256").update(artifact).digest()),
    imageHash: new Uint8Array(32),
    size: artifact.length,
    jitter_s: 0,
    confirm: { minUptime_s: 1, deadline_s: 60, serverContact: true },
  };
  for (let index = 0; index < options.devices; index += 1) {
    await link.send(nameOf(index), offer);
  }
  return { port: link.port, close: () => link.close() };
}

/** What the peers saw. */
export interface DownloadFigures {
  readonly blocks: number;
  readonly seconds: number;
  readonly retransmitted: number;
  /** Peers whose bytes were not the artifact's. */
  readonly spoilt: number;
}

interface BenchPeer {
  readonly index: number;
  readonly socket: Socket;
  readonly parts: Uint8Array[];
  echo: Uint8Array | undefined;
  sequence: number;
  id: number;
  sentAt: number;
  request: Buffer;
  done: boolean;
}

/** Milliseconds before a peer asks again. */
const patience = 1_000;

/** Downloads the artifact as so many peers at once, in blocks of 1,024 bytes, each asking for one after the other. */
export async function download(options: { readonly port: number; readonly peers: number; readonly isSigned: boolean; readonly artifact: Uint8Array }): Promise<DownloadFigures> {
  const { port, isSigned, artifact } = options;
  let blocks = 0;
  let retransmitted = 0;
  let left = options.peers;
  let finish: () => void = () => undefined;
  const finished = new Promise<void>((resolve) => (finish = resolve));

  const ask = (peer: BenchPeer): void => {
    peer.id = (peer.id + 1) & 0xffff;
    const device = nameOf(peer.index);
    const segments: Option[] = [".u", "c", `main@${version}`].map((segment) => ({ number: OptionNumber.uriPath, value: Buffer.from(segment) }));
    const message: Message = {
      type: "con",
      code: Code.get,
      id: peer.id,
      token: Buffer.of(peer.index >> 8, peer.index & 255),
      options: [
        ...segments,
        ...(isSigned ? [] : [{ number: OptionNumber.uriQuery, value: Buffer.from(`d=${device}`) }]),
        { number: OptionNumber.block2, value: writeBlock({ num: peer.parts.length, more: false, szx: 6 }) },
        ...(peer.echo === undefined ? [] : [{ number: OptionNumber.echo, value: peer.echo }]),
      ],
      payload: Buffer.alloc(0),
    };
    peer.request = formatMessage(isSigned ? signRequest(message, { device, secret: secretOf(device), sequence: (peer.sequence += 1) }) : message);
    peer.sentAt = performance.now();
    peer.socket.send(peer.request);
  };

  const take = (peer: BenchPeer, bytes: Buffer): void => {
    const parsed = parseMessage(bytes);
    if (peer.done || parsed.kind !== "message" || parsed.message.id !== peer.id) {
      return;
    }
    const { code, options: got, payload } = parsed.message;
    const echo = optionOf(got, OptionNumber.echo);
    if (code === Code.unauthorized && echo !== undefined) {
      peer.echo = Uint8Array.from(echo);
      ask(peer);
      return;
    }
    peer.echo = undefined;
    const value = optionOf(got, OptionNumber.block2);
    const block = value === undefined ? undefined : readBlock(value);
    if (code === Code.content && block?.num === peer.parts.length) {
      peer.parts.push(payload);
      blocks += 1;
    }
    if (code !== Code.content || block?.more !== true) {
      peer.done = true;
      left -= 1;
      if (left === 0) {
        finish();
      }
      return;
    }
    ask(peer);
  };

  const peers = await Promise.all(
    Array.from({ length: options.peers }, async (_, index): Promise<BenchPeer> => {
      const socket = createSocket("udp4");
      socket.connect(port, "127.0.0.1");
      await once(socket, "connect");
      const peer: BenchPeer = { index, socket, parts: [], echo: undefined, sequence: 0, id: 0, sentAt: 0, request: Buffer.alloc(0), done: false };
      socket.on("message", (bytes) => take(peer, bytes));
      return peer;
    }),
  );
  const began = performance.now();
  const watch = setInterval(() => {
    for (const peer of peers) {
      if (!peer.done && performance.now() - peer.sentAt > patience) {
        retransmitted += 1;
        peer.sentAt = performance.now();
        peer.socket.send(peer.request);
      }
    }
  }, 100);
  for (const peer of peers) {
    ask(peer);
  }
  await finished;
  clearInterval(watch);
  const seconds = (performance.now() - began) / 1_000;
  await Promise.all(peers.map(({ socket }) => new Promise<void>((resolve) => socket.close(() => resolve()))));
  const expected = Buffer.from(artifact.buffer, artifact.byteOffset, artifact.length);
  const spoilt = peers.filter(({ parts }) => Buffer.compare(Buffer.concat(parts), expected) !== 0).length;
  return { blocks, seconds, retransmitted, spoilt };
}
