// SPDX-License-Identifier: Apache-2.0
import { sampleBoard, sampleImage, serveUdp } from "@coalmine/smp/testing";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { coalmine } from "../testing/spawn.ts";

test("board info, update and reset work on a board behind UDP, with the exit codes of the documentation", async () => {
  const folder = mkdtempSync(join(tmpdir(), "coalmine-board-"));
  const server = sampleBoard({ bufferBytes: 1024, statistics: { net: { rx: 3, total: 2n ** 60n } } });
  const door = await serveUdp(server);
  onTestFinished(async () => {
    await door.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const smp = ["--smp", `udp://127.0.0.1:${door.port}`, "--json"];
  const file = join(folder, "next.bin");
  writeFileSync(file, sampleImage("1.1.0"));
  const later = join(folder, "later.bin");
  writeFileSync(later, sampleImage("1.2.0"));

  const info = await coalmine(["board", "info", ...smp, "--statistics"]);
  expect([info.code, JSON.parse(info.stdout)]).toMatchObject([0, { smpVersion: 2, parameters: { bufferBytes: 1024, buffers: 4 }, images: [{ slot: 0, version: "1.0.0", active: true, confirmed: true }], statistics: { net: { rx: 3, total: "1152921504606846976" } } }]);

  const trial = await coalmine(["board", "update", file, ...smp]);
  expect([trial.code, JSON.parse(trial.stdout)]).toMatchObject([0, { outcome: "running", confirmed: false }]);
  const busy = await coalmine(["board", "update", later, ...smp]);
  expect([busy.code, JSON.parse(busy.stdout)]).toMatchObject([2, { outcome: "busy" }]);

  const reset = await coalmine(["board", "reset", ...smp]);
  expect([reset.code, JSON.parse(reset.stdout)]).toMatchObject([0, { outcome: "answered" }]);
  const kept = await coalmine(["board", "update", file, ...smp, "--confirm"]);
  expect([kept.code, JSON.parse(kept.stdout)]).toMatchObject([0, { outcome: "running", confirmed: true, images: [{ version: "1.1.0", confirmed: true }, { version: "1.0.0" }] }]);

  const refused = await coalmine(["board", "update", join(folder, "next.bin"), "--upgrade-only", ...smp]);
  expect([refused.code, JSON.parse(refused.stdout)]).toMatchObject([0, { outcome: "already-running" }]);
});

test("a bad address or file ends with 3, a board that is not there with 4", async () => {
  const [url, file, nobody] = await Promise.all([
    coalmine(["board", "info", "--smp", "http://board", "--json"]),
    coalmine(["board", "update", "/there/is/none", "--smp", "udp://127.0.0.1:9", "--json"]),
    coalmine(["board", "info", "--smp", "udp://127.0.0.1:9", "--timeout", "10", "--json"]),
  ]);
  expect([url.code, JSON.parse(url.stdout)]).toMatchObject([3, { error: { code: "smp/bad-url" } }]);
  expect([file.code, JSON.parse(file.stdout)]).toMatchObject([3, { error: { message: expect.stringMatching(/there is no such file/) as string } }]);
  expect([nobody.code, JSON.parse(nobody.stdout)]).toMatchObject([4, { error: { code: "smp/timeout" } }]);
});
