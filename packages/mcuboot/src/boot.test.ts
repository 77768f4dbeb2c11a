// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { setConfirmed, setNext, setPending } from "./application.ts";
import type { BootResult } from "./boot.ts";
import { boot } from "./boot.ts";
import { buildImage } from "./build.ts";
import { modeFacts, slotCapacity, uploadOffset } from "./capacity.ts";
import type { SwapMode } from "./config.ts";
import { bootConfig } from "./config.ts";
import { swapType } from "./swap-type.ts";
import { ED25519, ED25519_OTHER, board, configFor, device, image } from "./testing/boards.ts";
import { readTrailer } from "./trailer.ts";

const SWAP_MODES = ["swap-move", "swap-offset", "swap-scratch"] as const;
const UPGRADE_MODES = [...SWAP_MODES, "overwrite"] as const;

/** `1` for version 1.0.0, `fail` and so on otherwise. */
function seen(result: BootResult): number | string {
  return result.outcome === "boot" ? (result.version?.major ?? 0) : result.outcome;
}

function upgraded(mode: SwapMode, permanent = false) {
  const config = configFor(mode);
  const flash = device(config, board(mode), image(1), image(2, 12000));
  expect(setPending(config, flash, { permanent })).toMatchObject({ outcome: "done", rc: 0 });
  return { config, flash };
}

describe.each(SWAP_MODES)("%s", (mode) => {
  test("a test upgrade that is confirmed stays", () => {
    const { config, flash } = upgraded(mode);
    expect(seen(boot(config, flash))).toBe(2);
    expect(swapType(config, flash)).toBe("revert");
    expect(setConfirmed(config, flash).rc).toBe(0);
    expect(seen(boot(config, flash))).toBe(2);
    expect(seen(boot(config, flash))).toBe(2);
  });

  test("a test upgrade that is not confirmed is reverted at the next boot, and stays reverted", () => {
    const { config, flash } = upgraded(mode);
    expect([1, 2, 3].map(() => seen(boot(config, flash)))).toEqual([2, 1, 1]);
    expect(readTrailer(config, flash, "primary")).toMatchObject({ magic: "good", swapType: "revert", copyDone: "set", imageOk: "set" });
  });

  test("a permanent upgrade stays without confirmation", () => {
    const { config, flash } = upgraded(mode, true);
    expect([1, 2].map(() => seen(boot(config, flash)))).toEqual([2, 2]);
  });

  test("a second request before the reboot changes nothing and returns 0", () => {
    const { config, flash } = upgraded(mode);
    expect(setPending(config, flash, { permanent: true })).toMatchObject({ rc: 0, ops: { writes: 0 } });
    expect(swapType(config, flash)).toBe("test");
  });

  test("power lost after the first write of a permanent request leaves a test request", () => {
    const config = configFor(mode);
    const flash = device(config, board(mode), image(1), image(2));
    expect(setPending(config, flash, { permanent: true }, { cutBefore: 2 }).outcome).toBe("cut");
    expect(swapType(config, flash)).toBe("test");
  });

  test("swap-back brings the previous image back exactly where the mode facts say so", () => {
    const { config, flash } = upgraded(mode);
    boot(config, flash);
    setConfirmed(config, flash);
    boot(config, flash);
    expect(setPending(config, flash, { permanent: true }).rc).toBe(0);
    expect(seen(boot(config, flash))).toBe(modeFacts(config).swapBackWorks ? 1 : 2);
  });

  test("a damaged image and one of an unknown key are erased, and the old image runs", () => {
    const config = configFor(mode);
    const damaged = image(2).slice();
    damaged[500] = (damaged[500] ?? 0) ^ 1;
    const stranger = buildImage({ version: { major: 2, minor: 0, revision: 0, build: 0 }, headerSize: 32, payload: new Uint8Array(3000), key: ED25519_OTHER });
    for (const offered of [damaged, stranger]) {
      const flash = device(config, board(mode), image(1), offered);
      setPending(config, flash, { permanent: false });
      expect(seen(boot(config, flash))).toBe(1);
      const secondary = flash.area("secondary");
      expect(flash.read(secondary, 0, secondary.size)?.every((byte) => byte === 0xff)).toBe(true);
    }
  });
});

test("overwrite keeps nothing: an unconfirmed image stays and no rollback image is left", () => {
  const { config, flash } = upgraded("overwrite");
  expect([1, 2, 3].map(() => seen(boot(config, flash)))).toEqual([2, 2, 2]);
  expect(modeFacts(config)).toMatchObject({ keepsRollbackImage: false, revertWorks: false, swapBackWorks: false });
});

test("direct-XIP runs the newest image, and with revert drops one that was not confirmed", () => {
  const plain = configFor("direct-xip");
  expect(boot(plain, device(plain, board("direct-xip"), image(1), image(2)))).toMatchObject({ outcome: "boot", slot: "secondary" });
  const config = configFor("direct-xip", { xipRevert: true });
  const flash = device(config, board("direct-xip"), image(1), image(2));
  setNext(config, flash, { area: "primary", active: true, confirm: true });
  setNext(config, flash, { area: "secondary", active: false, confirm: false });
  expect([1, 2, 3].map(() => boot(config, flash).slot)).toEqual(["secondary", "primary", "primary"]);
});

test("downgrade prevention refuses a lower version and erases it, but never a revert", () => {
  for (const mode of UPGRADE_MODES) {
    const config = configFor(mode, { downgrade: "version" });
    const flash = device(config, board(mode), image(3), image(2));
    setPending(config, flash, { permanent: true });
    expect(seen(boot(config, flash))).toBe(3);
    expect(swapType(config, flash)).toBe("none");
  }
  const config = configFor("swap-move", { downgrade: "version" });
  const flash = device(config, board("swap-move"), image(1), image(2));
  setPending(config, flash, { permanent: false });
  expect([1, 2].map(() => seen(boot(config, flash)))).toEqual([2, 1]);
});

test("the stored security counter follows confirmed images only, and then refuses lower ones", () => {
  const config = configFor("swap-move", { hwRollback: true });
  const flash = device(config, board("swap-move"), image(1, 9000, 5), image(2, 9000, 6));
  let nv: readonly number[] = boot(config, flash, { nv: [0] }).nv;
  expect(nv).toEqual([5]);
  setPending(config, flash, { permanent: false });
  nv = boot(config, flash, { nv }).nv;
  expect(nv).toEqual([5]);
  setConfirmed(config, flash);
  nv = boot(config, flash, { nv }).nv;
  expect(nv).toEqual([6]);
  expect(boot(config, flash, { nv: [7] }).outcome).toBe("fail");
});

describe.each(UPGRADE_MODES)("capacity of %s", (mode) => {
  test.each([1024, 2048, 4096])("an image of the maximum size is installed, one byte more is erased (sectors of %i)", (sectorSize) => {
    const areas = board(mode, { sectors: 12, sectorSize, align: 8 });
    const config = configFor(mode, { maxImgSectors: 16 });
    const most = slotCapacity(config, areas);
    expect(most).toBeGreaterThan(4 * sectorSize);
    const overhead = image(2, 1000).length - 1000;
    for (const extra of [0, 1]) {
      const flash = device(config, areas, image(1, 1000));
      const offered = image(2, most - overhead + extra);
      expect(offered.length).toBe(most + extra);
      flash.install("secondary", offered, uploadOffset(config, areas));
      setPending(config, flash, { permanent: true });
      expect(seen(boot(config, flash))).toBe(extra === 0 ? 2 : 1);
    }
  });
});

test("slots that do not fit each other have no capacity", () => {
  const areas = board("swap-scratch", { sectors: 8 }).map((area) =>
    area.name === "secondary" ? { ...area, size: 32768, sectors: [[4, 8192]] as [number, number][] } : area,
  );
  expect(slotCapacity(configFor("swap-scratch"), areas)).toBe(0);
  expect(slotCapacity(configFor("swap-move", { maxImgSectors: 4 }), board("swap-move"))).toBe(0);
});

describe.each(["exact", "safe"] as const)("power cuts, profile %s", (profile) => {
  const geometries = [
    { mode: "swap-move", options: {} },
    { mode: "swap-scratch", options: { scratch: 2 } },
    { mode: "swap-scratch", options: { sectorSize: 2048, align: 8 } },
    { mode: "overwrite", options: { align: 8 } },
    ...(profile === "safe" ? [{ mode: "swap-offset", options: {} } as const, { mode: "swap-offset", options: { sectorSize: 16384, sectors: 4 } } as const] : []),
  ] as const;

  test.each(geometries)("at every operation of an upgrade and of a revert: $mode $options", ({ mode, options }) => {
    const config = configFor(mode, { profile });
    const flash = device(config, board(mode, options), image(1, 3000), image(2, 7000));
    setPending(config, flash, { permanent: false });
    const old = mode === "overwrite" ? 2 : 1;
    for (const sequence of [[2, old, old], [old, old, old]]) {
      const start = flash.snapshot();
      const whole = boot(config, flash);
      const after = flash.snapshot();
      expect(seen(whole)).toBe(sequence[0]);
      for (let n = 1; n <= whole.ops.total; n++) {
        flash.restore(start);
        expect(boot(config, flash, { cutBefore: n }).outcome).toBe("cut");
        expect(sequence.map(() => seen(boot(config, flash))), `cut before ${n}`).toEqual(sequence);
      }
      flash.restore(after);
    }
  });
});

test("swap-offset with both images in one sector is bricked by one cut in the exact profile, and by none in the safe one", () => {
  const bricks: Record<string, number[]> = {};
  for (const profile of ["exact", "safe"] as const) {
    const config = configFor("swap-offset", { profile });
    const flash = device(config, board("swap-offset", { sectorSize: 16384, sectors: 4 }), image(1, 3000), image(2, 5000));
    setPending(config, flash, { permanent: true });
    const start = flash.snapshot();
    const total = boot(config, flash).ops.total;
    bricks[profile] = [];
    for (let n = 1; n <= total; n++) {
      flash.restore(start);
      boot(config, flash, { cutBefore: n });
      if ([1, 2, 3].every(() => boot(config, flash).outcome !== "boot")) {
        bricks[profile].push(n);
      }
    }
  }
  expect(bricks["exact"]).toHaveLength(1);
  expect(bricks["safe"]).toEqual([]);
});

test("a boot never throws, whatever the flash holds", () => {
  for (const mode of [...UPGRADE_MODES, "direct-xip"] as const) {
    const config = bootConfig({ mode, keys: [ED25519], maxImgSectors: 16, bootstrap: mode !== "direct-xip" });
    const areas = board(mode, { sectorSize: 1024 });
    const flash = device(config, areas, new Uint8Array(5000).fill(0), new Uint8Array(3000).fill(1));
    expect(boot(config, flash).outcome).toBe("fail");
    expect(["fail", "assert"]).toContain(boot(config, flash).outcome);
  }
});
