// SPDX-License-Identifier: Apache-2.0
// A process that lives to be killed: appends to the log argv[2], and writes an entry's number to stdout once that
// entry is durable. Bursts of 1 to 40 entries with several waiting at once, as reports of many devices do.
import { writeSync } from "node:fs";
import type { DeviceId, Instant } from "@coalmine/core";
import { openEventLog } from "../event-log.ts";

const log = openEventLog(process.argv[2] as string);
const seed = Number(process.argv[3]);
writeSync(1, `open ${log.length}\n`);
for (let round = 0; ; round += 1) {
  const burst = 1 + ((round * 7 + seed * 13) % 40);
  const waiting: Promise<void>[] = [];
  for (let index = 0; index < burst; index += 1) {
    const body = new TextEncoder().encode(`entry ${log.length + 1}`);
    const sequence = log.append({ at: round as Instant, type: "report", device: `device-${index}` as DeviceId, body });
    waiting.push(log.durable().then(() => void writeSync(1, `${sequence}\n`)));
  }
  if (round % 50 === 49) {
    log.saveSnapshot(log.length, new Uint8Array(5_000).fill(round));
  }
  await Promise.all(waiting);
}
