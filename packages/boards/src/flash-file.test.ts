// SPDX-License-Identifier: Apache-2.0
import { buildImage, loadPublicKey, parseVersion, verifyImage } from "@coalmine/mcuboot";
import { blankNvs, mains, mountNvs, nvsToBytes, saveSetting } from "@coalmine/nvs";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { armCut, composeFlash, type FlashContents, installSecond, readLaboratory, readRegion, requestSwap, vectorsOf, writeLaboratory } from "./flash-file.ts";
import { inspectFlash } from "./inspect.ts";
import { decodeLaboratory, encodeLaboratory } from "./laboratory.ts";
import { FILE_BYTES, REGIONS } from "./memory-map.ts";

const { privateKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
const image = (version: string, headerSize = 0x200): Uint8Array => buildImage({ version: parseVersion(version), payload: new Uint8Array(9000).fill(7), headerSize, key: privateKey });

function bootloader(stack = 0x2000_8000, reset = 0x2100_0101): Uint8Array {
  const bytes = new Uint8Array(1000).fill(1);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, stack, true);
  view.setUint32(4, reset, true);
  return bytes;
}

const identity = { device: "lab_1", brokerPort: 21_883, coapPort: 5683, smpPort: 1337 };

function composed(contents: Partial<FlashContents> = {}): string {
  const folder = mkdtempSync(join(tmpdir(), "coalmine-flash-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "board.flash");
  composeFlash(file, { bootloader: bootloader(), image: image("1.0.0"), identity, ...contents });
  return file;
}

describe("a flash file", () => {
  test("holds bootloader, images and identity where the firmware looks for them, erased flash elsewhere, and little on disk", () => {
    const file = composed({ second: { image: image("2.0.0"), pending: true }, laboratory: { cutAt: 9, cutStyle: "reset", eraseMicros: 5000, writeMicros: 40 } });
    const bytes = new Uint8Array(readFileSync(file));
    expect(bytes.length).toBe(FILE_BYTES);
    expect(statSync(file).blocks * 512).toBeLessThan(3 * 1024 * 1024);
    expect(bytes.subarray(0, 1000)).toEqual(bootloader());
    expect(bytes.subarray(0x10000, 0x10000 + 9000 + 0x200)).toEqual(image("1.0.0").subarray(0, 9000 + 0x200));
    expect(new Set(bytes.subarray(0xf0000, 0x200000))).toEqual(new Set([0xff]));
    // firmware/qemu/README.md, "Laboratory page"
    const view = new DataView(bytes.buffer, 0x7ff000);
    expect([0, 4, 8, 12, 16, 20, 24, 28].map((at) => view.getUint32(at, true))).toEqual([0x4c414231, 0, 9, 1, 5000, 40, 0, 0]);
    expect([view.getUint32(0x100, true), view.getUint16(0x104, true), view.getUint16(0x106, true), view.getUint16(0x108, true), view.getUint16(0x10a, true)]).toEqual([0x44494d43, 1, 21_883, 5683, 1337]);
    expect(new TextDecoder().decode(bytes.subarray(0x7ff10c, 0x7ff112))).toBe("lab_1\0");
  });

  test("is read back: slots with version and hash, trailers, what the next boot does", () => {
    const state = inspectFlash(composed({ second: { image: image("2.0.0"), pending: true } }));
    expect(state.slots.map((slot) => [slot.image?.version, slot.image?.intact, slot.trailer.magic])).toEqual([["1.0.0+0", true, "unset"], ["2.0.0+0", true, "good"]]);
    expect(state).toMatchObject({ swapType: "test", coredump: null, laboratory: { identity, cuts: 0 } });
    expect(inspectFlash(composed()).slots[1]).toMatchObject({ image: null, reason: "empty" });
  });

  test("holds settings where Zephyr's NVS finds them", () => {
    const settings = new Map([["node/1/period", Uint8Array.of(45, 0, 0, 0)], ["coalmine/secret", new TextEncoder().encode("ab".repeat(32))]]);
    const file = composed({ settings });
    expect(inspectFlash(file).settings).toEqual(settings);
    expect(() => composed({ settings: new Map([["large", new Uint8Array(4_090)]]) })).toThrow(expect.objectContaining({ code: "nvs/full" }));
  });

  test("takes another image, a request for the kept one, and a planned cut that counts from now", () => {
    const file = composed();
    installSecond(file, image("3.0.0"));
    expect(inspectFlash(file)).toMatchObject({ swapType: "test", slots: [{}, { image: { version: "3.0.0+0", intact: true } }] });
    installSecond(file, image("3.0.1"), { permanent: true });
    expect(inspectFlash(file).swapType).toBe("perm");
    const kept = composed({ second: { image: image("0.9.0"), pending: false } });
    expect(inspectFlash(kept).swapType).toBe("none");
    requestSwap(kept);
    expect(inspectFlash(kept).swapType).toBe("test");
    const whole = readRegion(kept, REGIONS.slot1);
    expect(verifyImage(whole, [loadPublicKey(privateKey)]).ok).toBe(true);

    writeLaboratory(file, identity, {});
    armCut(file, 5, "reset");
    expect(readLaboratory(file)).toMatchObject({ operations: 0, cutAt: 5, cutStyle: "reset" });
    armCut(file, 0, "spin");
    expect(readLaboratory(file)).toMatchObject({ cutAt: 0, cutStyle: "spin", identity });
  });

  test("is not made of what cannot run on this board, and the message says why", () => {
    const refused = (contents: Partial<FlashContents>): string => {
      try {
        composed(contents);
      } catch (error) {
        return (error as { code: string; message: string }).message;
      }
      return "composed";
    };
    expect(refused({ bootloader: new Uint8Array(0x10001) })).toContain("its place has 65536");
    expect(refused({ bootloader: bootloader(0x2000_8000, 0x1001) })).toContain("mps2_an385");
    expect(refused({ image: new Uint8Array(100) })).toContain("artifact sign");
    expect(refused({ image: image("1.0.0", 0x400) })).toContain("0x400");
    expect(refused({ identity: { ...identity, device: "a/b" } })).toContain("device id");
    expect(vectorsOf(bootloader())).toEqual(bootloader().subarray(0, 8));
  });

  test("that is no board's says so", () => {
    const file = composed();
    writeFileSync(file, "short");
    expect(() => readLaboratory(file)).toThrow("not the flash of an emulated board");
    writeFileSync(file, new Uint8Array(FILE_BYTES));
    expect(() => inspectFlash(file)).toThrow("no laboratory page");
    expect(() => inspectFlash(`${file}.none`)).toThrow("there is none");
  });
});

test("a laboratory page is read as it was written, and without its magics nothing is made up", () => {
  const page = new Uint8Array(4096);
  page.set(encodeLaboratory(identity, { cutAt: 77 }));
  expect(decodeLaboratory(page)).toMatchObject({ cutAt: 77, identity });
  const secret = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
  const sealed = encodeLaboratory({ ...identity, secret });
  expect(new TextDecoder().decode(sealed.subarray(0x14d, 0x14d + 65))).toBe(`${secret}\0`);
  expect(JSON.stringify(decodeLaboratory(sealed))).not.toContain(secret);
  expect(() => encodeLaboratory({ ...identity, secret: `${secret}0` })).toThrow(/secret of lab_1 is none/);
  expect(decodeLaboratory(page.with(0x100, 0))).toMatchObject({ identity: null });
  expect(decodeLaboratory(page.with(0x10c, 0x2f))).toMatchObject({ identity: null });
  expect(decodeLaboratory(page.with(0, 0))).toBeUndefined();
  expect(decodeLaboratory(page.subarray(0, 64))).toBeUndefined();
});

test("settings are read out of the storage partition by name, also when its bytes are damaged", () => {
  const file = composed();
  const geometry = { sectorSize: 4096, sectorCount: 8, align: 4 };
  const nvs = blankNvs(geometry);
  mountNvs(nvs, mains());
  saveSetting(nvs, mains(), "node/name", new TextEncoder().encode("sensor-7"));
  const bytes = nvsToBytes(nvs);
  const write = (storage: Uint8Array): void => {
    const whole = readFileSync(file);
    whole.set(storage, REGIONS.storage.offset);
    writeFileSync(file, whole);
  };
  write(bytes);
  expect([...inspectFlash(file).settings]).toEqual([["node/name", new TextEncoder().encode("sensor-7")]]);
  let state = 1;
  write(bytes.map(() => (state = (state * 1_103_515_245 + 12_345) & 0x7fffffff) >> 16));
  expect(() => inspectFlash(file)).not.toThrow();
});
