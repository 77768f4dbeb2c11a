// SPDX-License-Identifier: Apache-2.0
// The quick form of `npm run interop`: without blocks of 16 and 32 bytes.
import { findLibcoap } from "@coalmine/coap/testing";
import { expect, test } from "vitest";
import { runServedRequests } from "./served.ts";

const client = findLibcoap();
if (client === undefined) {
  console.log("not run: coap-client-notls is not installed (Debian: libcoap3-bin)");
}

test.skipIf(client === undefined)("libcoap's client gets along with `serve`: 300 KB down, 64 KB up into the log, a command notified, nothing after a halt", async () => {
  const results = await runServedRequests(client as string, { isQuick: true });
  expect(results.length).toBeGreaterThan(25);
  expect(results.filter(({ problem }) => problem !== undefined)).toEqual([]);
});
