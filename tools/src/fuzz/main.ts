// SPDX-License-Identifier: Apache-2.0
// `npm run fuzz -- NAME [options]`: mutated input through the real parsers. Counts are printed; a finding ends with 1.

const targets: Readonly<Record<string, () => Promise<unknown>>> = {
  cbor: () => import("./cbor.ts"),
  coap: () => import("./coap.ts"),
  coredumps: () => import("./coredumps.ts"),
  images: () => import("./images.ts"),
  mqtt: () => import("./mqtt.ts"),
  powercuts: () => import("./powercuts.ts"),
};

const [name = "", ...rest] = process.argv.slice(2);
const load = Object.hasOwn(targets, name) ? targets[name] : undefined;
if (load === undefined) {
  console.error(`${name === "" ? "a target is missing" : `there is no target ${JSON.stringify(name)}`}; there are ${Object.keys(targets).join(", ")}\nexample: npm run -s fuzz -- images --count 500000`);
  process.exit(3);
}
// Each target reads its own options and runs when it is loaded.
process.argv.splice(2, process.argv.length, ...rest);
await load();
