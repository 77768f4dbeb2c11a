// SPDX-License-Identifier: Apache-2.0
import { FakeLinkHost } from "@coalmine/testkit";
import { decodeReport } from "@coalmine/protocol";
import { expect, it } from "vitest";
import { benchIngest } from "./bench.ts";

it("the ingest benchmark drives both arms with real reports, each sequence once", async () => {
  const hosts: FakeLinkHost[] = [];
  const figures = await benchIngest({
    seconds: 1,
    runs: 1,
    connections: 4,
    inFlight: 5,
    openHost: () => {
      const host = new FakeLinkHost();
      hosts.push(host);
      return Promise.resolve({ host, close: () => Promise.resolve() });
    },
  });
  expect(figures.ours).toBeGreaterThan(0);
  expect(figures.bare).toBeGreaterThan(0);
  expect(figures.ratio).toBe(figures.ours / figures.bare);
  const seen = new Set<string>();
  for (const { device, bytes } of hosts[0]?.reports ?? []) {
    const decoded = decodeReport(bytes);
    expect(decoded.kind).toBe("ok");
    seen.add(`${device} ${decoded.kind === "ok" ? decoded.value.sequence : ""}`);
  }
  expect(seen.size).toBe(hosts[0]?.reports.length);
});
