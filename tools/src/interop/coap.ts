// SPDX-License-Identifier: Apache-2.0
//
// libcoap's coap-client against our CoAP server: every method, option and block size, long transfers both ways.
//
// Usage: coap.ts [--quick] [--client PROGRAM] [--through coaps://HOST:PORT --forwards-to HOST:PORT --psk ID:KEY] [--json]
//        coap.ts [--url coap://HOST:PORT --device ID --release VERSION --artifact FILE] [--json]
//
// Without --url it starts `serve` with a release of 300 KB for the requests, and a link over a host that can be slow for
// separate answers and loss; --quick leaves out the smallest blocks. With --through, requests go to a DTLS terminator that is
// there already (tools/dtls), and `serve` listens where it forwards to; --client names a client that speaks DTLS. With --url, the server
// must run without secrets and hold an accepted offer of that version for the device. Exits 0 when all pass, 1 when one
// fails, 4 when coap-client-notls is not installed (Debian: libcoap3-bin).
import { findLibcoap, type LibcoapResult, runOwnRequests, runRequests } from "@coalmine/coap/testing";
import { deviceId } from "@coalmine/core";
import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { runServedRequests, type Terminator } from "./served.ts";

const { values } = parseArgs({
  options: { url: { type: "string" }, device: { type: "string", default: "dev-1" }, release: { type: "string", default: "" }, artifact: { type: "string", default: "" }, quick: { type: "boolean", default: false }, client: { type: "string", default: "coap-client-notls" }, through: { type: "string" }, "forwards-to": { type: "string", default: "" }, psk: { type: "string", default: ":" }, json: { type: "boolean", default: false } },
});
const client = findLibcoap(values.client);
if (client === undefined) {
  console.error(`${values.client} is not installed: apt-get install libcoap3-bin`);
  process.exit(4);
}
const named = (where: string, results: readonly LibcoapResult[]): LibcoapResult[] => results.map((result) => ({ ...result, name: `${where}: ${result.name}` }));
const { url } = values;
const [identity = "", psk = ""] = values.psk.split(":");
const through: Terminator | undefined = values.through === undefined ? undefined : { url: values.through, forwardsTo: values["forwards-to"], args: ["-u", identity, "-k", psk] };
const results =
  through !== undefined
    ? await runServedRequests(client, { isQuick: values.quick, through })
    : url === undefined
    ? [...named("serve", await runServedRequests(client, { isQuick: values.quick })), ...named("link", await runOwnRequests(client, values.quick))]
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
