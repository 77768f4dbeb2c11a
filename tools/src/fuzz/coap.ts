// SPDX-License-Identifier: Apache-2.0
//
// Datagrams of every kind at the CoAP server. Usage: coap.ts [--count 300000] [--datagrams 30000] [--seed 1]
//
// First in process, half against a server with secrets and half without: nothing may throw, take longer than 50 ms, get an
// answer that is no CoAP or has another token, or send an address that has not been validated more than three times what it
// sent; what the server holds stays within its limits. Then at a live socket: it must still answer afterwards, having
// failed never, with its memory bounded. Exits 1 when there is a finding.
import { coapLink, Code, formatMessage, OptionNumber, optionOf, parseMessage } from "@coalmine/coap";
import { numbers, packet, proof, target } from "@coalmine/coap/testing";
import { deviceId } from "@coalmine/core";
import { createHash } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: { count: { type: "string", default: "300000" }, datagrams: { type: "string", default: "30000" }, seed: { type: "string", default: "1" } },
});
const [count, datagrams, seed] = [Number(values.count), Number(values.datagrams), Number(values.seed)];
if (![count, datagrams, seed].every((value) => Number.isSafeInteger(value) && value >= 0)) {
  console.error("--count, --datagrams and --seed need whole numbers");
  process.exit(2);
}

const SLOW_MS = 50;
const secretOf = (device: string): Uint8Array => createHash("sha256").update(device).digest();
const artifact = new Uint8Array(10_000);
const host = {
  report: () => Promise.resolve(),
  block: (_device: string, { request, offset, length }: { request: number; offset: number; length: number }) =>
    offset < artifact.length ? ({ kind: "block", request, offset, data: artifact.subarray(offset, offset + length) } as const) : ({ kind: "refused", request, reason: "range" } as const),
  undecodable: () => undefined,
};
let findings = 0;

function find(what: string, bytes: Uint8Array, problem: string): void {
  findings += 1;
  if (findings <= 20) {
    console.log(`${what}: ${problem}: ${Buffer.from(bytes).toString("hex").slice(0, 400)}`);
  }
}

process.on("uncaughtException", (error) => {
  find("uncaught", new Uint8Array(), String(error.stack));
});
process.on("unhandledRejection", (error) => {
  find("unhandled rejection", new Uint8Array(), String(error));
});

const answers = new Map<string, number>();
let slowest = 0;

/** One datagram in process. */
function give(server: ReturnType<typeof target>, n: number, secret: ((device: string) => Uint8Array) | undefined): void {
  const bytes = packet(seed, n, secret);
  const original = Buffer.from(bytes);
  const next = numbers(n);
  // Mostly few peers, so that one meets what it left behind; now and then one of a hundred thousand.
  const [address, port] = next(8) === 0 ? [`192.0.2.${next(250)}`, 1 + next(400)] : [`192.0.2.${next(10)}`, 1 + next(4)];
  const begin = performance.now();
  let sent: Buffer[] = [];
  try {
    sent = server.receive(bytes, address, port);
  } catch (error) {
    find(`packet ${n}`, original, `threw ${String(error)}`);
  }
  let took = performance.now() - begin;
  // A stall of the machine is not the server's: what is slow because of its bytes is slow every time.
  for (let again = 0; took > SLOW_MS && again < 5; again += 1) {
    const restart = performance.now();
    server.receive(Buffer.from(original), "192.0.2.251", 1 + again);
    took = Math.min(took, performance.now() - restart);
  }
  slowest = Math.max(slowest, took);
  if (took > SLOW_MS) {
    find(`packet ${n}`, original, `took ${took.toFixed(1)} ms`);
  }
  const asked = parseMessage(original);
  const total = sent.reduce((sum, { length }) => sum + length, 0);
  if (total > 3 * original.length && !server.isValidated(address, port)) {
    find(`packet ${n}`, original, `${total} bytes to an address that was not validated, for ${original.length}`);
  }
  for (const answer of sent) {
    const parsed = parseMessage(answer);
    if (parsed.kind !== "message") {
      find(`packet ${n}`, original, `answered by ${parsed.kind} bytes ${answer.toString("hex")}`);
      continue;
    }
    const { code, token, options } = parsed.message;
    const echo = optionOf(options, OptionNumber.echo);
    if (echo !== undefined && secret !== undefined) {
      const device = `dev-${next(50)}`;
      server.receive(proof({ device, secret: secret(device), sequence: n, echo }), address, port);
    }
    const name = `${code >> 5}.${`${code & 31}`.padStart(2, "0")}`;
    answers.set(name, (answers.get(name) ?? 0) + 1);
    if (code !== 0 && asked.kind === "message" && Buffer.compare(token, asked.message.token) !== 0) {
      find(`packet ${n}`, original, "answered with another token");
    }
  }
}

async function inProcess(): Promise<void> {
  const limits = { peers: 5_000, exchanges: 20_000, exchangeBytes: 1_048_576, uploadsBytes: 1_048_576, uploads: 500, observers: 40 };
  for (const secret of [undefined, secretOf]) {
    const server = target({ host, limits, failed: (error) => find("failure", new Uint8Array(), String(error)), ...(secret === undefined ? {} : { secretOf: secret }) });
    for (let n = 0; n < count / 2; n += 1) {
      give(server, n, secret);
      if (n % 100 === 0) {
        server.pass(0.05);
      }
      if (n % 1_000 === 0) {
        // Reports are handed over: their answers come in later turns.
        await new Promise((resolve) => setImmediate(resolve));
        const held = server.held();
        if (held.peers > limits.peers || held.exchanges > limits.exchanges || held.exchangeBytes > limits.exchangeBytes || held.uploadBytes > limits.uploadsBytes || held.uploads > limits.uploads || held.observers > limits.observers) {
          find(`after packet ${n}`, new Uint8Array(), `holds too much: ${JSON.stringify(held)}`);
        }
      }
    }
    console.log(`${secret === undefined ? "without" : "with"} secrets: holds ${JSON.stringify(server.held())}`);
  }
}

async function atSocket(): Promise<void> {
  const failures: unknown[] = [];
  const link = await coapLink({ port: 0, trustLoopback: false, failed: (error) => failures.push(error) }, host);
  const sockets = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const socket = createSocket("udp4");
      socket.connect(link.port, "127.0.0.1");
      await once(socket, "connect");
      return socket;
    }),
  );
  let received = 0;
  let largest = 0;
  for (const socket of sockets) {
    socket.on("message", () => {
      received += 1;
    });
    socket.on("error", () => undefined);
  }
  const before = process.memoryUsage.rss();
  for (let n = 0; n < datagrams; n += 1) {
    const socket = sockets[n % sockets.length] as (typeof sockets)[number];
    const bytes = packet(seed + 1, n);
    await new Promise<void>((resolve) => socket.send(bytes, () => resolve()));
    if (n % 20 === 19) {
      // The server lives in this process: it gets a turn before its receive buffer is full.
      await new Promise((resolve) => setImmediate(resolve));
    }
    largest = Math.max(largest, process.memoryUsage.rss());
  }
  const asker = createSocket("udp4");
  asker.connect(link.port, "127.0.0.1");
  await once(asker, "connect");
  const path = [".well-known", "core"].map((segment) => ({ number: OptionNumber.uriPath, value: Buffer.from(segment) }));
  const alive = once(asker, "message");
  asker.send(formatMessage({ type: "con", code: Code.get, id: 1, token: Buffer.from("alive"), options: path, payload: Buffer.alloc(100, 1) }));
  await Promise.race([alive, new Promise((_, reject) => setTimeout(() => reject(new Error("the server does not answer any more")), 5_000))]);
  await link.send(deviceId("dev-1"), { kind: "identify" });
  const stats = link.stats();
  if (stats.datagrams < datagrams * 0.9) {
    find("live", new Uint8Array(), `only ${stats.datagrams} of ${datagrams} datagrams were taken in`);
  }
  if (stats.failures > 0 || failures.length > 0) {
    find("live", new Uint8Array(), `${stats.failures} failures: ${String(failures[0])}`);
  }
  const grown = (largest - before) / 1_048_576;
  console.log(`live: ${datagrams} datagrams sent, ${stats.datagrams} taken, ${received} answers, alive, memory ${(largest / 1_048_576).toFixed(0)} MB (${grown.toFixed(0)} MB more)`);
  console.log(`live: ${JSON.stringify(stats)}`);
  if (grown > 200) {
    find("live", new Uint8Array(), `memory grew by ${grown.toFixed(0)} MB`);
  }
  for (const socket of [...sockets, asker]) {
    socket.close();
  }
  await link.close();
}

const began = process.cpuUsage();
await inProcess();
if (datagrams > 0) {
  await atSocket();
}
const used = process.cpuUsage(began);
console.log(`seed ${seed}: ${count} packets in process and ${datagrams} datagrams at a socket`);
console.log(`answers: ${[...answers].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([code, times]) => `${code} ${times}`).join(", ")}`);
console.log(`slowest ${slowest.toFixed(2)} ms, ${((used.user + used.system) / 1e6).toFixed(1)} s of CPU`);
console.log(`${findings} findings`);
process.exitCode = findings === 0 ? 0 : 1;
