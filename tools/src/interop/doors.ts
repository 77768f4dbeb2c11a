// SPDX-License-Identifier: Apache-2.0
//
// One rollout over a mixed fleet: MQTT, CoAP, SMP and real swupdate processes, each counted by its door.
//
// Usage: doors.ts [--devices 40] [--boards 4] [--gateways 2] [--seed 7] [--out FOLDER] [--json]
//
// --out keeps the report as Markdown and HTML. Exits 0 when everybody of every door got healthy, 1 when not, 4 when swupdate
// or openssl is not installed.
import { parseArgs } from "node:util";
import { mixedMissing, runMixedFleet } from "./mixed-fleet.ts";

const { values } = parseArgs({
  options: {
    devices: { type: "string", default: "40" },
    boards: { type: "string", default: "4" },
    gateways: { type: "string", default: "2" },
    seed: { type: "string", default: "7" },
    out: { type: "string" },
    json: { type: "boolean", default: false },
  },
});
const missing = mixedMissing();
if (missing !== undefined) {
  console.error(`${missing}: apt-get install swupdate openssl`);
  process.exit(4);
}
const { out } = values;
const result = await runMixedFleet({
  devices: Number(values.devices),
  boards: Number(values.boards),
  gateways: Number(values.gateways),
  seed: Number(values.seed),
  note: (line) => console.error(line),
  ...(out === undefined ? {} : { out }),
});
if (values.json) {
  console.log(JSON.stringify(result, null, 2));
} else {
  for (const door of result.doors) {
    const states = Object.entries(door.states).map(([state, count]) => `${count} ${state}`).join(", ");
    console.log(`${door.door.padEnd(5)} ${String(door.devices).padStart(4)} devices, image known by ${door.image}: ${states}${door.cannotTell.length === 0 ? "" : `; cannot tell ${door.cannotTell.join(", ")}`}`);
  }
  console.log(`${result.outcome}, verdict ${result.verdict}, ${result.wallSeconds} s, seed ${values.seed}`);
  for (const problem of result.problems) {
    console.log(`PROBLEM ${problem}`);
  }
}
process.exitCode = result.problems.length === 0 ? 0 : 1;
