// SPDX-License-Identifier: Apache-2.0
import type { BootConfig, SwapMode } from "@coalmine/mcuboot";
import { Flash, bootConfig, buildImage, parseImage, parseVersion, uploadOffset } from "@coalmine/mcuboot";
import type { SmpServerOptions } from "./server.ts";
import { SmpServer } from "./server.ts";

const SECTOR = 4096;
const SECTORS = 16;

/** An unsigned image whose payload depends on its version. */
export function sampleImage(version: string, size = 20_000): Uint8Array {
  const parsed = parseVersion(version);
  return buildImage({ version: parsed, headerSize: 32, payload: new Uint8Array(size).map((_, i) => (i * 7 + parsed.major * 31 + parsed.minor * 17 + (i >> 8)) & 0xff) });
}

/** The hash by which a board names an image. */
export function hashOf(file: Uint8Array): Uint8Array {
  const parsed = parseImage(file);
  if (parsed.kind === "malformed" || parsed.imageHash === undefined) {
    throw new Error("not an image");
  }
  return parsed.imageHash;
}

/** A simulated board that runs `running`, by default 1.0.0, with slots of 16 sectors and hash-only bootloader. */
export function sampleBoard(options: Partial<Omit<SmpServerOptions, "config" | "flash">> & { readonly mode?: SwapMode; readonly running?: Uint8Array; readonly other?: Uint8Array } = {}): SmpServer {
  const { mode = "swap-move", running = sampleImage("1.0.0"), other, ...rest } = options;
  const config: BootConfig = bootConfig({ mode, maxImgSectors: 32 });
  const size = (SECTORS + 1) * SECTOR;
  const areas = (["primary", "secondary"] as const).map((name, i) => ({ name, id: i + 1, off: i * size, size, align: 4, sectors: [[SECTORS + 1, SECTOR]] as [number, number][] }));
  const flash = Flash.create(areas);
  flash.install("primary", running);
  if (other !== undefined) {
    flash.install("secondary", other, uploadOffset(config, areas));
  }
  const server = new SmpServer({ config, flash, ...rest });
  server.reboot();
  server.reboots = 0;
  return server;
}
