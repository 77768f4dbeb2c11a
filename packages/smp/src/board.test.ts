// SPDX-License-Identifier: Apache-2.0
// The client against a simulated board: bootloader and flash are byte-exact, the link is memory and time jumps.
import { describe, expect, test } from "vitest";
import { SmpClient } from "./client.ts";
import type { ImageState } from "./image.ts";
import { confirmRunning, eraseSlot, readImages, requestPermanent, requestTest } from "./image.ts";
import { echo, readParameters, reset } from "./os.ts";
import { deleteSetting, readSetting, saveSettings, writeSetting } from "./settings.ts";
import { listStatistics, readStatistics } from "./statistics.ts";
import type { SmpServer, Weather } from "./testing/index.ts";
import { JumpingTimers, hashOf, inMemory, sampleBoard, sampleImage, stormy } from "./testing/index.ts";
import { uploadImage } from "./upload.ts";

const old = sampleImage("1.0.0");
const next = sampleImage("1.1.0");

function connect(server: SmpServer, weather?: Weather): SmpClient {
  return new SmpClient(inMemory(server, weather), { timers: new JumpingTimers() });
}

/** `1.0.0 active confirmed | 1.1.0 pending` */
function listed(images: readonly ImageState[]): string {
  return images.map((one) => [one.version, ...(["active", "confirmed", "pending", "permanent"] as const).filter((flag) => one[flag])].join(" ")).join(" | ");
}

const state = async (client: SmpClient): Promise<string> => listed(await readImages(client));

describe("a board over SMP", () => {
  for (const version of [1, 2] as const) {
    test(`answers echo, parameters, statistics and settings in version ${version}`, async () => {
      const client = connect(sampleBoard({ versionMax: version, bufferBytes: 512, statistics: { smp: { rx: 4, huge: 2n ** 63n } }, settings: new Map([["ble/name", Uint8Array.of(1, 2)]]) }));
      expect(await echo(client, "kö")).toBe("kö");
      expect(await readParameters(client)).toEqual({ bufferBytes: 512, buffers: 4 });
      expect(await listStatistics(client)).toEqual(["smp"]);
      expect(await readStatistics(client, "smp")).toEqual(new Map<string, number | bigint>([["rx", 4], ["huge", 2n ** 63n]]));
      await expect(readStatistics(client, "none")).rejects.toMatchObject({ code: "smp/refused" });
      expect(await readSetting(client, "ble/name")).toEqual(Uint8Array.of(1, 2));
      expect(await writeSetting(client, "ble/name", Uint8Array.of(9))).toEqual({ kind: "ok" });
      expect(await saveSettings(client)).toEqual({ kind: "ok" });
      expect(await readSetting(client, "ble/name")).toEqual(Uint8Array.of(9));
      expect(await deleteSetting(client, "ble/name")).toEqual({ kind: "ok" });
      expect(client.version).toBe(version);
    });
  }

  test("says that a setting does not exist, where the version has words for it", async () => {
    expect(await readSetting(connect(sampleBoard()), "none")).toBeUndefined();
    await expect(readSetting(connect(sampleBoard({ versionMax: 1 })), "none")).rejects.toMatchObject({ code: "smp/refused" });
  });

  test("has parameters unknown when it was built without them", async () => {
    expect(await readParameters(connect(sampleBoard({ parameters: false })))).toBeUndefined();
  });

  for (const mode of ["swap-move", "swap-offset", "overwrite"] as const) {
    test(`takes an image, tries it and keeps it when confirmed (${mode})`, async () => {
      const server = sampleBoard({ mode });
      const client = connect(server);
      expect(await state(client)).toBe("1.0.0 active confirmed");
      expect(await uploadImage(client, next)).toEqual({ kind: "uploaded", resumedAt: 0, restarts: 0, checked: true });
      expect(await state(client)).toBe("1.0.0 active confirmed | 1.1.0");
      expect(await requestTest(client, hashOf(next))).toMatchObject({ kind: "ok" });
      expect(await state(client)).toBe("1.0.0 active confirmed | 1.1.0 pending");
      expect(await reset(client)).toEqual({ kind: "answered" });
      const onTrial = { "swap-move": "1.1.0 active | 1.0.0 confirmed", "swap-offset": "1.1.0 active", overwrite: "1.1.0 active confirmed" }[mode];
      expect(await state(client)).toBe(onTrial);
      expect(await confirmRunning(client, { hash: hashOf(next) })).toMatchObject({ kind: "confirmed" });
      await reset(client);
      expect(await state(client)).toMatch(/^1\.1\.0 active confirmed/);
      expect(server.reboots).toBe(2);
    });
  }

  test("goes back by itself when the trial is not confirmed", async () => {
    const client = connect(sampleBoard());
    await uploadImage(client, next);
    await requestTest(client, hashOf(next));
    await reset(client);
    await reset(client);
    expect(await state(client)).toBe("1.0.0 active confirmed | 1.1.0");
    expect(await confirmRunning(client, { hash: hashOf(next) })).toMatchObject({ kind: "other-image", running: { version: "1.0.0" } });
    expect(await state(client)).toBe("1.0.0 active confirmed | 1.1.0");
  });

  test("is ordered back to the image it kept (swap-back), on trial like any other", async () => {
    const client = connect(sampleBoard());
    await uploadImage(client, next);
    await requestPermanent(client, hashOf(next));
    expect(await state(client)).toBe("1.0.0 active confirmed | 1.1.0 pending permanent");
    await reset(client);
    expect(await state(client)).toBe("1.1.0 active confirmed | 1.0.0");
    expect(await requestTest(client, hashOf(old))).toMatchObject({ kind: "ok" });
    await reset(client);
    expect(await state(client)).toBe("1.0.0 active | 1.1.0 confirmed");
    expect(await confirmRunning(client, { hash: hashOf(old) })).toMatchObject({ kind: "confirmed" });
  });

  test("cannot be ordered back in swap-offset, whose kept image is not where a request looks", async () => {
    const client = connect(sampleBoard({ mode: "swap-offset" }));
    await uploadImage(client, next);
    await requestPermanent(client, hashOf(next));
    await reset(client);
    expect(await requestTest(client, hashOf(old))).toMatchObject({ kind: "refused", group: 1, rc: 8 });
  });

  test("with the same image in both slots is not confirmed by a request for that image", async () => {
    const server = sampleBoard({ other: old });
    const client = connect(server);
    expect(await requestPermanent(client, hashOf(old))).toEqual({ kind: "already-running" });
    expect(server.handled.get("1/0")).toBe(1);
    expect(await requestTest(client, hashOf(old))).toMatchObject({ kind: "refused", rc: 33 });
  });

  test("is confirmed without a hash: a board that reverted in between is not given the bad image for good", async () => {
    const server = sampleBoard();
    const client = connect(server);
    await uploadImage(client, next);
    await requestTest(client, hashOf(next));
    await reset(client);
    // The board reverts between the look and the confirmation.
    let requests = 0;
    const unlucky = connect(server, (_, direction) => {
      if (direction === "to-board" && ++requests === 2) {
        server.reboot();
      }
      return "arrives";
    });
    expect(await confirmRunning(unlucky, { hash: hashOf(next) })).toMatchObject({ kind: "other-image", running: { version: "1.0.0" } });
    await reset(client);
    expect(await state(client)).toBe("1.0.0 active confirmed | 1.1.0");
  });

  test("erases its other slot, but neither what runs, nor what is pending, nor a way back", async () => {
    const client = connect(sampleBoard());
    await uploadImage(client, next);
    expect(await eraseSlot(client, 0)).toMatchObject({ kind: "refused", rc: 9 });
    expect(await eraseSlot(client, 7)).toMatchObject({ kind: "refused", rc: 14 });
    expect(await eraseSlot(client)).toEqual({ kind: "erased" });
    expect(await state(client)).toBe("1.0.0 active confirmed");
    await uploadImage(client, next);
    await requestTest(client, hashOf(next));
    expect(await eraseSlot(client)).toMatchObject({ kind: "refused", rc: 9 });
    await reset(client);
    expect(await eraseSlot(client)).toMatchObject({ kind: "refused", rc: 9 });
    expect(await uploadImage(client, sampleImage("1.2.0"))).toMatchObject({ kind: "refused", rc: 9, reason: "image: no free slot" });
  });

  test("refuses requests that make no sense, in words", async () => {
    const client = connect(sampleBoard());
    expect(await requestTest(client, hashOf(next))).toMatchObject({ kind: "refused", reason: "image: no image with this hash" });
    expect(await requestTest(client, hashOf(next).subarray(0, 8))).toMatchObject({ kind: "refused", reason: "image: invalid hash" });
    expect(await uploadImage(client, new Uint8Array(5_000))).toMatchObject({ kind: "refused", reason: "image: not an MCUboot image" });
    expect(await uploadImage(client, sampleImage("0.9.0"), { upgradeOnly: true })).toMatchObject({ kind: "refused", reason: "image: the running image is not older" });
    expect(await uploadImage(client, sampleImage("2.0.0", 80_000))).toMatchObject({ kind: "refused", reason: "image: image too large for the slot" });
    expect(await uploadImage(client, next, { image: 1 })).toMatchObject({ kind: "refused", rc: 9 });
  });
});

describe("an upload", () => {
  test("arrives intact with packets lost and doubled, for every weather tried", async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const server = sampleBoard({ imageCheck: seed % 2 === 0, bufferBytes: [128, 384, 1024][seed % 3] as number });
      const client = connect(server, stormy(seed * 7919, { loss: 0.1, double: 0.05 }));
      const outcome = await uploadImage(client, next);
      expect(outcome, `seed ${seed}`).toMatchObject({ kind: "uploaded" });
      expect(listed(await readImages(connect(server))), `seed ${seed}`).toBe("1.0.0 active confirmed | 1.1.0");
      expect(server.options.flash.read(server.options.flash.area("secondary"), 0, next.length), `seed ${seed}`).toEqual(next);
    }
  });

  test("goes on after a broken connection where the board stopped", async () => {
    const server = sampleBoard();
    const first = connect(server);
    const broken = uploadImage(first, next, {
      onProgress: ({ sent }) => {
        if (sent > next.length / 2) {
          void first.close();
        }
      },
    });
    await expect(broken).rejects.toMatchObject({ code: "smp/closed", retry: "later" });
    const pieces = server.handled.get("1/1") ?? 0;
    const outcome = await uploadImage(connect(server), next);
    expect(outcome).toMatchObject({ kind: "uploaded", restarts: 0, checked: true });
    expect(outcome.kind === "uploaded" && outcome.resumedAt).toBeGreaterThan(next.length / 2);
    expect((server.handled.get("1/1") ?? 0) - pieces).toBeLessThan(pieces + 3);
  });

  test("begins anew, with all fields, when the board forgot it", async () => {
    const server = sampleBoard();
    let rebooted = false;
    const outcome = await uploadImage(connect(server), next, {
      onProgress: ({ sent }) => {
        if (!rebooted && sent > 9_000) {
          rebooted = true;
          server.reboot();
        }
      },
    });
    expect(outcome).toEqual({ kind: "uploaded", resumedAt: 0, restarts: 1, checked: true });
  });

  test("of what the board holds already ends with the first answer", async () => {
    const server = sampleBoard({ other: next });
    expect(await uploadImage(connect(server), next)).toEqual({ kind: "uploaded", resumedAt: next.length, restarts: 0, checked: true });
    expect(server.handled.get("1/1")).toBe(1);
  });

  test("ends when the board goes back to 0 for ever, or never forward", async () => {
    const forgetful = sampleBoard();
    expect(await uploadImage(connect(forgetful), next, { onProgress: ({ sent }) => (sent > 0 ? void forgetful.reboot() : undefined) })).toMatchObject({ kind: "stuck" });
    const other = sampleBoard();
    const rival = connect(other);
    const stubborn = uploadImage(connect(other), next, {
      onProgress: () => {
        void rival.request({ op: 2, group: 1, command: 5, body: {} });
      },
    });
    expect(await stubborn).toMatchObject({ kind: "stuck" });
  });

  test("that the flash damaged is a mismatch where the board checks", async () => {
    const server = sampleBoard();
    const outcome = await uploadImage(connect(server), next, {
      onProgress: ({ sent }) => {
        if (sent < next.length) {
          server.options.flash.poke("secondary", 100, Uint8Array.of(0));
        }
      },
    });
    expect(outcome).toEqual({ kind: "mismatch" });
  });
});
