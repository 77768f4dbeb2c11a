// SPDX-License-Identifier: Apache-2.0
import { createPrivateKey } from "node:crypto";
import { Milliseconds } from "@coalmine/core";
import { boot, bootConfig, buildImage, Flash, layOut, parseVersion, setConfirmed, setPending, type SwapMode, uploadOffset } from "@coalmine/mcuboot";
import { describe, expect, test } from "vitest";
import type { HardwareKind } from "./description.ts";
import { FlashLibrary, type FlashState } from "./flash-state.ts";
import { programPayload } from "./program.ts";

// The Ed25519 test key of RFC 8032, section 7.1, TEST 1.
const key = createPrivateKey({
  key: { kty: "OKP", crv: "Ed25519", d: "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" },
  format: "jwk",
});

function kindOf(mode: SwapMode): HardwareKind {
  const areas = [
    { name: "primary", id: 1, off: 0, size: 0x8000, align: 4, sectors: [[8, 4096]] as const },
    { name: "secondary", id: 2, off: 0x8000, size: 0x9000, align: 4, sectors: [[9, 4096]] as const },
    { name: "scratch", id: 3, off: 0x11000, size: 0x1000, align: 4, sectors: [[1, 4096]] as const },
  ].slice(0, mode === "swap-scratch" ? 3 : 2);
  if (mode !== "swap-offset") {
    areas[1] = { name: "secondary", id: 2, off: 0x8000, size: 0x8000, align: 4, sectors: [[8, 4096]] as const };
  }
  return {
    name: mode, board: "b", revision: "r", partitionMap: "p",
    geometry: layOut(areas),
    bootloader: bootConfig({ mode, keys: [key], maxImgSectors: 16 }),
    slotSize: 0x8000, tellsBootloader: true, watchdogFromBoot: true, bootTime: Milliseconds(0), flashTime: Milliseconds(0), memory: 1,
  };
}

function image(version: string, size: number): Uint8Array {
  const buildId = Array.from(new TextEncoder().encode(version.padEnd(8, "x")), (byte) => byte.toString(16)).join("");
  const payload = programPayload({ format: 1, version, buildId, defects: [], storageSchema: 1 }, size);
  return buildImage({ version: parseVersion(version), payload, headerSize: 0x200, key });
}

const contents = (state: FlashState): Uint8Array => state.look((flash) => flash.dump());

describe.each(["swap-move", "swap-offset", "swap-scratch", "overwrite"] as const)("%s", (mode) => {
  const kind = kindOf(mode);
  const old = image("1.0.0", 9_000);
  const next = image("1.1.0", 13_001);

  /** The same life on a flash of its own, byte by byte, without anything shared or remembered. */
  function byBytes(confirm: boolean): { flash: Flash; dumps: Uint8Array[] } {
    const flash = Flash.create(kind.geometry);
    flash.install("primary", old);
    const dumps = [flash.dump()];
    const area = flash.area("secondary");
    for (const index of area.sectorSize.keys()) {
      flash.eraseSector(area, index);
    }
    const from = uploadOffset(kind.bootloader, kind.geometry);
    for (let at = 0; at < next.length; at += 512) {
      const block = new Uint8Array(Math.ceil(Math.min(512, next.length - at) / 4) * 4).fill(0xff);
      block.set(next.subarray(at, at + 512));
      flash.write(area, from + at, block);
    }
    flash.settle();
    dumps.push(flash.dump());
    setPending(kind.bootloader, flash, { permanent: false });
    dumps.push(flash.dump());
    boot(kind.bootloader, flash);
    dumps.push(flash.dump());
    if (confirm) {
      setConfirmed(kind.bootloader, flash);
    }
    boot(kind.bootloader, flash);
    dumps.push(flash.dump());
    return { flash, dumps };
  }

  test.each([true, false])("F2: looked-up states are the bytes that the byte path leaves, step by step (confirmed: %s)", (confirm) => {
    const library = new FlashLibrary();
    const { dumps } = byBytes(confirm);
    for (let round = 0; round < 2; round++) {
      let state = library.factory(kind, { version: "1.0.0", image: old });
      expect(contents(state)).toEqual(dumps[0]);
      state = state.install("secondary", next, "next");
      expect(contents(state)).toEqual(dumps[1]);
      state = state.setPending("primary").state;
      expect(contents(state)).toEqual(dumps[2]);
      state = state.boot().state;
      expect(contents(state)).toEqual(dumps[3]);
      expect(state.image("primary")?.version).toBe("1.1.0");
      if (confirm) {
        state = state.setConfirmed("primary").state;
        expect(state.isConfirmed("primary")).toBe(true);
      }
      state = state.boot().state;
      expect(contents(state)).toEqual(dumps[4]);
    }
  });

  test("F2: equal contents are one object, however they came about", () => {
    const library = new FlashLibrary();
    const factory = { version: "1.0.0", image: old };
    const one = library.factory(kind, factory).install("secondary", next, "next").setPending("primary").state.boot().state;
    const two = library.factory(kind, factory).wipe("secondary").install("secondary", next.slice()).setPending("primary").state.boot().state;
    expect(two).toBe(one);
  });

  test("a partial upload is found again: as many bytes as were written", () => {
    const library = new FlashLibrary();
    const state = library.factory(kind, { version: "1.0.0", image: old }).install("secondary", next.slice(0, 5_000));
    expect(state.written("secondary", next.length)).toBeLessThanOrEqual(5_000);
    expect(state.written("secondary", next.length)).toBeGreaterThan(4_990);
    expect(state.image("secondary")).toBeNull();
    expect(state.boot().result.outcome).toBe("boot");
  });

  test("F3: a cut in a boot leaves what the byte path leaves", () => {
    const library = new FlashLibrary();
    const state = library.factory(kind, { version: "1.0.0", image: old }).install("secondary", next, "next").setPending("primary").state;
    for (let cutBefore = 1; cutBefore < 12; cutBefore++) {
      const flash = Flash.create(kind.geometry, { dump: contents(state) });
      const expected = boot(kind.bootloader, flash, { cutBefore });
      const step = state.boot(cutBefore);
      expect(step.result.outcome).toBe(expected.outcome);
      expect(contents(step.state)).toEqual(flash.dump());
    }
  });
});
