// SPDX-License-Identifier: Apache-2.0
//
// Sends mutated MQTT packets to the embedded broker over real sockets. Usage: mqtt.ts [--count 60000] [--seed 1]
//
// Nothing may be thrown where nobody catches it, no report may reach the host from a device that did not prove to be it,
// the broker must answer a good device all the while, and every connection must end. Each connection is drawn from
// (seed, number), so `--first NUMBER --count 20` brings one back. Exits 1 when there is a finding.
import { connect } from "node:net";
import { parseArgs } from "node:util";
import { brokerOfFuzz, type FuzzedBroker } from "./mqtt-broker.ts";
import { connectionBytes, packetsPerConnection } from "./mqtt-packets.ts";

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "60000" },
    seed: { type: "string", default: "1" },
    first: { type: "string", default: "0" },
  },
});
const [count, seed, first] = [Number(values.count), Number(values.seed), Number(values.first)];
if (![count, seed, first].every((value) => Number.isSafeInteger(value) && value >= 0)) {
  console.error("--count, --seed and --first need whole numbers");
  process.exit(2);
}
const AT_ONCE = 32;
const CHECK_EVERY = 500;
const ANSWER_WITHIN_MS = 50;
const END_WITHIN_MS = 5_000;
let findings = 0;

function find(problem: string): void {
  findings += 1;
  if (findings <= 50) {
    console.log(problem);
  }
}

process.on("uncaughtException", (error) => find(`uncaught: ${error.stack ?? String(error)}`));
process.on("unhandledRejection", (error) => find(`unhandled rejection: ${error instanceof Error ? error.stack : String(error)}`));

/** Sends one connection's bytes in a few pieces and waits until it is over. */
async function attack(broker: FuzzedBroker, number: number): Promise<void> {
  const { pieces, device } = connectionBytes(seed, number);
  const socket = connect({ port: broker.port, host: "127.0.0.1", noDelay: true });
  socket.on("error", () => undefined);
  // A last PINGREQ: once it is answered, everything before it was handled. Behind a cut packet it never is.
  const handled = new Promise<void>((resolve) =>
    socket.on("data", (chunk: Buffer) => {
      if (chunk.at(-2) === 0xd0 && chunk.at(-1) === 0) {
        resolve();
      }
    }),
  );
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  await Promise.race([new Promise<void>((resolve) => socket.once("connect", resolve)), closed]);
  for (const piece of pieces) {
    if (socket.destroyed) {
      break;
    }
    socket.write(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (!socket.destroyed) {
    socket.write(Uint8Array.from([0xc0, 0x00]));
  }
  let patience: NodeJS.Timeout | undefined;
  await Promise.race([handled, closed, new Promise((resolve) => (patience = setTimeout(resolve, ANSWER_WITHIN_MS)))]);
  clearTimeout(patience);
  socket.end();
  const late = setTimeout(() => {
    find(`connection ${number} of seed ${seed} (${device}) was not ended in ${END_WITHIN_MS} ms`);
    socket.destroy();
  }, END_WITHIN_MS);
  await closed;
  clearTimeout(late);
}

const broker = await brokerOfFuzz(find);
const start = performance.now();
const before = process.memoryUsage().rss;
const connections = Math.ceil(count / packetsPerConnection);
let next = first;
const end = first + connections;
async function lane(): Promise<void> {
  for (let number = next++; number < end; number = next++) {
    await attack(broker, number);
    if (number % CHECK_EVERY === 0) {
      await broker.check();
    }
  }
}
await Promise.all(Array.from({ length: AT_ONCE }, lane));
await broker.check();
const { reports, counters } = broker.figures();
console.log(`seed ${seed}: ${connections} connections with about ${count} packets in ${((performance.now() - start) / 1_000).toFixed(1)} s`);
console.log(`reports taken: ${reports}; refused: ${Object.entries(counters).map(([reason, times]) => `${reason} ${times}`).join(", ")}`);
console.log(`memory grew by ${((process.memoryUsage().rss - before) / 1e6).toFixed(0)} MB`);
await broker.close();
console.log(`${findings} findings`);
process.exitCode = findings === 0 ? 0 : 1;
