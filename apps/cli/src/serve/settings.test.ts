// SPDX-License-Identifier: Apache-2.0
import { instant } from "@coalmine/core";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { listenAddress } from "./address.ts";
import { openClock } from "./clock.ts";
import { serveSettings } from "./settings.ts";

const folder = mkdtempSync(join(tmpdir(), "coalmine-settings-"));
const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("settings", () => {
  test("flags go before the environment, that before the file, that before defaults", () => {
    const config = file("a.yaml", "http: 127.0.0.1:1\nmqtt: 127.0.0.1:2\ndata: here\nkeys: [release.pub.pem]\nspeed: 3\n");
    const settings = serveSettings({ config, http: "127.0.0.1:9" }, { COALMINE_HTTP: "127.0.0.1:8", COALMINE_MQTT: "127.0.0.1:7", COALMINE_SPEED: "5" });
    expect([settings.http.port, settings.mqtt?.port, settings.speed]).toEqual([9, 7, 5]);
    expect([settings.data, settings.keys]).toEqual([join(folder, "here"), [join(folder, "release.pub.pem")]]);
    expect(serveSettings({}, {})).toMatchObject({ http: { host: "127.0.0.1", port: 8080 }, mqtt: { port: 1883 }, speed: 1 });
  });

  test.each([
    ["an unknown field", "htp: 127.0.0.1:1\n", /b\.yaml: document: .*htp/],
    ["a wrong type", "keys: one.pem\n", /b\.yaml: keys: /],
    ["a bad address", "http: localhost\n", /--http "localhost" is not HOST:PORT/],
    ["a speed of nothing", "speed: 0\n", /speed/],
    ["an open door", "http: 0.0.0.0:80\n", /open to the network/],
    ["an open CoAP door", "coap: 0.0.0.0:5683\n", /--coap 0.0.0.0 is open to the network/],
    ["an open CoAP door without device secrets", "coap: 0.0.0.0:5683\ntoken: 0123456789abcdef\n", /give --device-secrets FILE/],
    ["CoAP with secrets it cannot open", "coap: 127.0.0.1:5683\ndeviceSecrets: d\n", /give --seal-key FILE/],
    ["a short token", "token: abc\n", /shorter than 16/],
    ["two brokers", "mqtt: 127.0.0.1:1\nbroker: mqtt://x\n", /one of them/],
    ["an alias", "data: &a x\nhttp: *a\n", /aliases/],
  ])("%s in the file is refused by name", (_what, text, message) => {
    const config = file("b.yaml", text);
    expect(() => serveSettings({ config }, {})).toThrow(message);
  });

  test.each(["127.0.0.1", "127.0.0.1:65536", ":80", "http://x:1", "a b:1", "[::1]"])("%s is no address to listen on", (text) => {
    expect(() => listenAddress(text, "--http")).toThrow(/is not HOST:PORT/);
  });

  test("an IPv6 address keeps its port apart", () => {
    expect(listenAddress("[::1]:0", "--http")).toEqual({ host: "::1", port: 0 });
  });
});

describe("the clock", () => {
  test("never runs backwards over a restart, whatever the speed was and is", () => {
    const data = mkdtempSync(join(folder, "data-"));
    const fast = openClock(data, { speed: 100_000, notBefore: instant(0) });
    const first = fast.now();
    expect(first).toBeGreaterThanOrEqual(Date.now() - 1_000);
    while (fast.now() < first + 3_600_000) {
      // an hour at this speed is 36 ms
    }
    const before = fast.now();
    const slow = openClock(data, { speed: 1, notBefore: instant(0) });
    expect(slow.now()).toBeGreaterThanOrEqual(before);
    expect(slow.now()).toBeGreaterThan(Date.now() + 3_000_000);
    expect(JSON.parse(readFileSync(join(data, "clock.json"), "utf8"))).toMatchObject({ speed: 1 });
  });

  test("starts no earlier than the log's last entry, though the machine's time was set back", () => {
    const data = mkdtempSync(join(folder, "data-"));
    const ahead = instant(Date.now() + 86_400_000);
    expect(openClock(data, { speed: 1, notBefore: ahead }).now()).toBeGreaterThanOrEqual(ahead);
    expect(() => readFileSync(join(data, "clock.json"))).toThrow(/ENOENT/);
  });

  test("a damaged epoch is told and not guessed", () => {
    const data = mkdtempSync(join(folder, "data-"));
    writeFileSync(join(data, "clock.json"), '{"wall":1}');
    expect(() => openClock(data, { speed: 1, notBefore: instant(0) })).toThrow(/clock\.json is damaged/);
  });
});
