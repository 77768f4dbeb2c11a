// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import type { Command } from "./command.ts";
import { describeCommand, describeReport } from "./describe.ts";
import type { Report } from "./report.ts";
import { samples } from "./testing/messages.ts";

function described(name: string): string {
  const sample = samples.find((one) => one.name === name)!;
  return sample.type === "report" ? describeReport(sample.value as Report) : describeCommand(sample.value as Command);
}

test.each([
  [
    "hello",
    "boot 3 report 0 at 2 s: hello from nrf52840dk/nrf52840/2.0.0 (swap-move), runs 1.1.0 10111213 build a0a1a2a3 confirmed, " +
      "slot 1 1.0.0+17 30313233, reset software, attempt of offer 7 to 20212223 reverted (ran, reset watchdog), storage 2, " +
      "every 60 s, site=lab, power=battery, connectivity=lte-m",
  ],
  [
    "heartbeat",
    "boot 3 report 412 at 86000 s: heartbeat, image 10111213 confirmed, battery 87.5 %, link 99.3 %, heap_free=12345, rssi=-71.5",
  ],
  ["deferred, battery", "boot 3 report 412 at 86000 s: offer 7 deferred for battery, again in 3600 s"],
  [
    "crash",
    "boot 3 report 412 at 86000 s: crash of build a0a1a2a3, image 20212223, after 31 s: K_ERR_CPU_EXCEPTION: MPU fault, " +
      "pc 0x19a3c, lr 0x19a11",
  ],
  ["log", "boot 3 report 412 at 86000 s: log 4 of build a0a1a2a3, bytes 512 to 536 of ?"],
  [
    "offer",
    "offer 7: release thermostat-1.1.0 (1.1.0) for nrf52840dk/nrf52840/2.0.0/5f3c9a01, 201345 bytes, digest 40414243, " +
      "image 20212223, within 120 s, confirm after 30 s and contact with the server, revert after 300 s",
  ],
  ["swap-back", "swap back to image 30313233 (offer 8)"],
  ["identify", "identify"],
  ["renumber", "count boots on from 41"],
])("%s in one line", (name, line) => {
  expect(described(name)).toBe(line);
});

test("every report and command has a line of printable characters", () => {
  for (const { type, name } of samples) {
    if (type === "report" || type === "command") {
      expect(described(name)).toMatch(/^[ -~]+$/);
    }
  }
});

test("a text cannot bring a terminal sequence, a new line or an override into a log, nor flood it", () => {
  const body = { kind: "crash", buildId: new Uint8Array(4), imageHash: new Uint8Array(32), pc: 0, lr: 0, uptime_s: 1 } as const;
  const report = { boot: 1, sequence: 1, uptime_s: 1, body: { ...body, reason: "\u001b[2J\r\nERROR \u202egnp\u{1f600}\ud800" } };
  expect(describeReport(report)).toContain("\\u{1b}[2J\\u{d}\\u{a}ERROR \\u{202e}gnp\\u{1f600}\\u{d800}");
  expect(describeReport({ ...report, body: { ...body, reason: "x".repeat(1_000_000) } }).length).toBeLessThan(400);
});
