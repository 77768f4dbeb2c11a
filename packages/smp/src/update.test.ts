// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { SmpClient } from "./client.ts";
import { readImages, requestTest } from "./image.ts";
import { reset } from "./os.ts";
import type { SmpServer, Weather } from "./testing/index.ts";
import { JumpingTimers, hashOf, inMemory, sampleBoard, sampleImage, stormy } from "./testing/index.ts";
import type { BoardUpdateOptions, BoardUpdateOutcome } from "./update.ts";
import { updateBoard } from "./update.ts";
import { uploadImage } from "./upload.ts";

const next = sampleImage("1.1.0");

function update(server: SmpServer, options: BoardUpdateOptions = {}, weather?: Weather, file = next): Promise<BoardUpdateOutcome> {
  const timers = new JumpingTimers();
  return updateBoard(async () => new SmpClient(inMemory(server, weather), { timers }), file, { timers, ...options });
}

const connect = (server: SmpServer): SmpClient => new SmpClient(inMemory(server), { timers: new JumpingTimers() });

describe("updating a board", () => {
  test("leaves the new image on trial, confirms it when asked, and is done when it runs already", async () => {
    const server = sampleBoard();
    expect(await update(server)).toMatchObject({ kind: "running", confirmed: false });
    expect(await update(server)).toMatchObject({ kind: "already-running", confirmed: false });
    expect(await update(server, { confirm: true })).toMatchObject({ kind: "already-running", confirmed: true });
    expect(server.reboots).toBe(1);
    server.reboot();
    expect(await update(server)).toMatchObject({ kind: "already-running", confirmed: true });
  });

  test("ends in a known state in every weather tried, and never reboots a trial away", async () => {
    for (let seed = 1; seed <= 30; seed++) {
      const server = sampleBoard();
      const outcome = await update(server, { confirm: true }, stormy(seed * 104_729, { loss: 0.1 }));
      expect(outcome, `seed ${seed}`).toMatchObject({ kind: "running", confirmed: true });
      expect(server.reboots, `seed ${seed}`).toBe(1);
      server.reboot();
      expect((await readImages(connect(server)))[0], `seed ${seed}`).toMatchObject({ version: "1.1.0", confirmed: true });
    }
  });

  test("sends the reset again only after the board said that it has not happened", async () => {
    const server = sampleBoard();
    let resets = 0;
    const isReset = (packet: Uint8Array): boolean => packet[5] === 0 && packet[7] === 5;
    const outcome = await update(server, { confirm: true }, (packet, direction) => (direction === "to-board" && isReset(packet) && ++resets === 1 ? "lost" : "arrives"));
    expect(outcome).toMatchObject({ kind: "running", confirmed: true });
    expect([resets, server.reboots]).toEqual([2, 1]);
  });

  test("the lost answer to a reset does not cost the trial", async () => {
    const server = sampleBoard();
    const outcome = await update(server, {}, (packet, direction) => (direction === "to-client" && packet[5] === 0 && packet[7] === 5 ? "lost" : "arrives"));
    expect(outcome).toMatchObject({ kind: "running", confirmed: false });
    expect(server.reboots).toBe(1);
  });

  test("sends nothing while an image is on trial, whose way back the upload would destroy", async () => {
    const server = sampleBoard();
    await update(server);
    const uploads = server.handled.get("1/1");
    expect(await update(server, {}, undefined, sampleImage("1.2.0"))).toMatchObject({ kind: "busy", reason: expect.stringContaining("1.1.0 is on trial") as string });
    expect(server.handled.get("1/1")).toBe(uploads);
  });

  test("does not replace a pending image, and takes up its own where an earlier run ended", async () => {
    const server = sampleBoard();
    const client = connect(server);
    await uploadImage(client, next);
    await requestTest(client, hashOf(next));
    expect(await update(server, {}, undefined, sampleImage("1.2.0"))).toMatchObject({ kind: "busy", reason: expect.stringContaining("pending") as string });
    const uploads = server.handled.get("1/1");
    expect(await update(server)).toMatchObject({ kind: "running", confirmed: false });
    expect(server.handled.get("1/1")).toBe(uploads);
  });

  test("says when the bootloader kept the old image", async () => {
    const server = sampleBoard({ imageCheck: false });
    const damaged = next.slice();
    damaged[5_000] = (damaged[5_000] ?? 0) ^ 1;
    expect(await update(server, {}, undefined, damaged)).toMatchObject({ kind: "kept", images: [{ version: "1.0.0", confirmed: true }] });
  });

  test("says why the board refused, and which step it was", async () => {
    expect(await update(sampleBoard(), { upgradeOnly: true }, undefined, sampleImage("0.9.0"))).toMatchObject({ kind: "failed", step: "upload", reason: expect.stringContaining("not older") as string });
  });

  test("gives up on a board that does not come back, or does not reboot, when patience is over", async () => {
    const server = sampleBoard();
    expect(await update(server, { patience: 20_000 }, () => (server.reboots > 0 ? "lost" : "arrives"))).toMatchObject({ kind: "lost" });
    const stuck = sampleBoard();
    const outcome = await update(stuck, { patience: 20_000 }, (packet, direction) => (direction === "to-board" && packet[5] === 0 && packet[7] === 5 ? "lost" : "arrives"));
    expect(outcome).toMatchObject({ kind: "not-rebooted", images: [{ version: "1.0.0" }, { version: "1.1.0", pending: true }] });
  });

  test("installs without a trial when told to", async () => {
    const server = sampleBoard();
    expect(await update(server, { permanent: true })).toMatchObject({ kind: "running", confirmed: true });
    await reset(connect(server));
    expect((await readImages(connect(server)))[0]).toMatchObject({ version: "1.1.0", confirmed: true });
  });

  test("refuses a file that is no image before it talks to anybody", async () => {
    const never = (): Promise<SmpClient> => Promise.reject(new Error("connected"));
    await expect(updateBoard(never, new Uint8Array(100))).rejects.toMatchObject({ code: "smp/bad-image" });
  });
});
