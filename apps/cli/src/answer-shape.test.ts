// SPDX-License-Identifier: Apache-2.0
// A command against an orchestrator of another version says so, instead of calling its own stumbling a bug.
import { coalmineVersion } from "@coalmine/core";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { expect, onTestFinished, test } from "vitest";
import { misfit } from "./answer-shape.ts";
import { coalmine } from "./testing/spawn.ts";

/** Something that answers as it is told, saying its version or none. */
async function answering(answer: (method: string, path: string) => { readonly status: number; readonly body: unknown }, version?: string): Promise<string> {
  const server = createServer((request, response) => {
    const { status, body } = answer(request.method ?? "", request.url ?? "");
    response.writeHead(status, { "content-type": "application/json", ...(version === undefined ? {} : { "coalmine-version": version }) });
    response.end(JSON.stringify(body));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const preflight = { release: "1.2.0", version: "1.2.0", installable: 1, risky: 0, refused: 0 }; // as it once was

test("an answer that lacks what this version needs is told of by what it lacks and by both versions, and is exit code 4", async () => {
  const url = await answering(() => ({ status: 200, body: preflight }));
  const { code, stderr, stdout } = await coalmine(["release", "preflight", "1.2.0", "--url", url]);
  expect([code, stdout]).toEqual([4, ""]);
  expect(stderr).toMatch(/^error: http:\/\/127\.0\.0\.1:\d+ is a coalmine that does not say its version, so an older one, and this is coalmine [\d.]+: its answer to GET \/releases\/1\.2\.0\/preflight has no \w+.*; use one version for both\n$/);
});

test("a route that an older orchestrator does not have is told of in the same way", async () => {
  const noRoute = { error: { code: "http/no-route", message: "there is no GET /crashes; /openapi.json lists what there is" } };
  const { code, stderr } = await coalmine(["crash", "list", "--url", await answering(() => ({ status: 404, body: noRoute }), "0.0.9")]);
  expect([code, stderr]).toEqual([4, expect.stringMatching(/^error: there is no GET \/crashes.*The orchestrator is coalmine 0\.0\.9, and this is coalmine/)]);
});

test("an answer that is as it should be leaves a bug a bug", async () => {
  const exchange = { method: "GET", path: "/cohorts/a/devices", url: "http://h", server: coalmineVersion };
  expect(await misfit([{ ...exchange, body: { name: "a", count: 0, devices: [] } }], new TypeError("x"))).toBeUndefined();
  expect(await misfit([{ ...exchange, body: { name: "a", count: 0 } }], new TypeError("x"))).toMatchObject({ code: "cli/environment", message: expect.stringContaining("GET /cohorts/a/devices has no devices") as string });
  expect(await misfit([], new TypeError("x"))).toBeUndefined();
});

test("the version that is told is that of the package", () => {
  expect((JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version: string }).version).toBe(coalmineVersion);
});
