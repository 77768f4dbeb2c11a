// SPDX-License-Identifier: Apache-2.0
import { deviceId } from "@coalmine/core";
import { expect, test } from "vitest";
import { parseDdiConfig } from "./config.ts";

test("the operator's words for a device come from every pattern it matches, the later over the earlier", () => {
  const config = parseDdiConfig(
    `poll: 30s
url: https://ota.example/ddi
devices:
  "*": { site: field, board: unknown }
  "mps2_an385-*": { board: mps2_an385, revision: "1", slotSize: 131072 }
`,
    "ddi.yaml",
  );
  expect(config).toMatchObject({ poll_s: 30, tenant: "DEFAULT", publicUrl: "https://ota.example/ddi", gateways: [] });
  expect(config.factsOf(deviceId("mps2_an385-00ff"))).toEqual({ site: "field", board: "mps2_an385", revision: "1", slotSize: "131072" });
  expect(config.factsOf(deviceId("gate-1"))).toEqual({ site: "field", board: "unknown" });
  expect(parseDdiConfig("", "ddi.yaml").poll_s).toBe(300);
});

test("a mistake names its field and what to write", () => {
  for (const [text, message] of [
    ["poll: 0s", /ddi\.yaml: poll: "0s" is not from 1s to 12h/],
    ["poll: soon", /poll: "soon" is not a duration/],
    ["gatewayTokens: [secret]", /gatewayTokens\.0: must be the SHA-256/],
    ["url: https://ota.example/", /url: must be/],
    ["devices: { 'a.b': {} }", /devices\.a\.b: /],
    ["tokens: []", /Unrecognized key/],
  ] as const) {
    expect(() => parseDdiConfig(text, "ddi.yaml")).toThrow(message);
  }
});
