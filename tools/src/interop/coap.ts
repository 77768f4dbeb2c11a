// SPDX-License-Identifier: Apache-2.0
//
// libcoap's coap-client against our CoAP server: every method, option and block size, long transfers both ways.
//
// Usage: coap.ts [--quick] [--url coap://HOST:PORT --device ID --release VERSION --artifact FILE] [--json]
//
// Without --url it starts `serve` with a release of 300 KB for the requests, and a link over a host that can be slow for
// separate answers and loss; --quick leaves out the smallest blocks. With it, the server
// must run without secrets and hold an accepted offer of that version for the device. Exits 0 when all pass, 1 when one
// fails, 4 when coap-client-notls is not installed (Debian: libcoap3-bin).
import { findLibcoap, type LibcoapResult, runOwnRequests, runRequests } from "@coalmine/coap/testing";
import { deviceId } from "@coalmine/core";
import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { runServedRequests } from "./served.ts";

const { values } = parseArgs({
  options: { url: { type: "string" }, device: { type: "string", default: "dev-1" }, release: { type: "string", default: "" }, artifact: { type: "string", default: "" }, quick: { type: "boolean", default: false }, json: { type: "boolean", default: false } },
});
const client = findLibcoap();
if (client === undefined) {
  console.error("coap-client-notls is not installed: apt-get install libcoap3-bin");
  process.exit(4);
}
const named = (where: string, results: readonly LibcoapResult[]): LibcoapResult[] => results.map((result) => ({ ...result, name: `${where}: ${result.name}` }));
const { url } = values;
const results =
  url === undefined
    ? [...named("serve", await runServedRequests(client, values.quick)), ...named("link", await runOwnRequests(client, values.quick))]
    : await runRequests(client, { url, device: deviceId(values.device), version: encodeURIComponent(values.release), artifact: await readFile(values.artifact) });
if (values.json) {
  console.log(JSON.stringify({ requests: results, failed: results.filter(({ problem }) => problem !== undefined).length }, null, 2));
} else {
  for (const { name, problem, seconds } of results) {
    console.log(`${problem === undefined ? "pass" : "FAIL"}  ${seconds.toFixed(2).padStart(6)} s  ${name}${problem === undefined ? "" : `: ${problem}`}`);
  }
  console.log(`${results.filter(({ problem }) => problem === undefined).length} of ${results.length} pass`);
}
process.exitCode = results.every(({ problem }) => problem === undefined) ? 0 : 1;
