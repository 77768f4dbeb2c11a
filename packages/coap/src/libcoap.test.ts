// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { findLibcoap, runOwnRequests } from "./testing/libcoap.ts";

const client = findLibcoap();
if (client === undefined) {
  console.log("not run: coap-client-notls is not installed (Debian: libcoap3-bin)");
}

test.skipIf(client === undefined)("libcoap's client gets every answer, downloads 300 KB and uploads 64 KB", { timeout: 60_000 }, async () => {
  const results = await runOwnRequests(client as string, true);
  expect(results.length).toBeGreaterThan(25);
  expect(results.filter(({ problem }) => problem !== undefined)).toEqual([]);
});
