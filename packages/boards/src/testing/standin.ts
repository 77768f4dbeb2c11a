// SPDX-License-Identifier: Apache-2.0
// Builds firmware/standin: a bootloader and an application for the emulated board that need no Zephyr.

import { buildImage, parseVersion, type SigningKey } from "@coalmine/mcuboot";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findQemu } from "../qemu-board.ts";
import { IMAGE_HEADER_BYTES } from "../memory-map.ts";

const firmware = join(import.meta.dirname, "../../../../firmware");
const compiler = "arm-none-eabi-gcc";

/** What the compiler made of firmware/standin. */
export interface StandIn {
  readonly bootloader: Uint8Array;
  /** A signed image of the application. */
  image(version: string, options?: { readonly key?: SigningKey; readonly bytes?: number }): Uint8Array;
  /** The application's ELF, for symbols. */
  readonly elf: string;
  remove(): void;
}

/** Why the stand-in cannot run here; nothing when it can. */
export function whyNoStandIn(): string | undefined {
  const program = "#include <stdio.h>\nint main(void) { return 0; }";
  const compiled = spawnSync(compiler, ["-mcpu=cortex-m3", "-mthumb", "-fsyntax-only", "-x", "c", "-"], { input: program });
  if (compiled.status !== 0) {
    return `${compiler} with newlib is not installed (Debian: apt install gcc-arm-none-eabi libnewlib-arm-none-eabi)`;
  }
  return findQemu() === undefined ? "qemu-system-arm is not installed (Debian: apt install qemu-system-arm)" : undefined;
}

/** Compiles it; takes half a second. Throws with the compiler's words when it refuses. */
export function buildStandIn(): StandIn {
  const folder = mkdtempSync(join(tmpdir(), "coalmine-standin-"));
  try {
    const bootloader = build(folder, "boot", 0x2100_0000);
    const application = build(folder, "app", 0x2101_0000 + IMAGE_HEADER_BYTES);
    return {
      bootloader: bootloader.binary,
      elf: application.elf,
      image(version, { key, bytes = 0 } = {}) {
        const payload = new Uint8Array(Math.max(bytes, application.binary.length));
        payload.set(application.binary);
        return buildImage({ version: parseVersion(version), payload, headerSize: IMAGE_HEADER_BYTES, key });
      },
      remove: () => rmSync(folder, { recursive: true, force: true }),
    };
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

function build(folder: string, name: "boot" | "app", address: number): { readonly elf: string; readonly binary: Uint8Array } {
  const standin = join(firmware, "standin");
  const elf = join(folder, `${name}.elf`);
  const binary = join(folder, `${name}.bin`);
  run(compiler, [
    "-mcpu=cortex-m3", "-mthumb", "-std=c11", "-Os", "-g", "-ffunction-sections", "-fdata-sections", "-Wall", "-Wextra", "-Werror",
    "-I", join(firmware, "lib/include"), "-nostartfiles", "--specs=nano.specs", "--specs=nosys.specs", "-T", join(standin, "standin.ld"),
    "-Wl,--gc-sections", "-Wl,--no-warn-rwx-segments", "-Wl,--build-id=sha1", `-Wl,--defsym=flash_base=${address}`, "-o", elf,
    ...["start", "board", "flash", name].map((file) => join(standin, `${file}.c`)),
    ...["image", "sha256"].map((file) => join(firmware, "lib/src", `${file}.c`)),
  ]);
  run("arm-none-eabi-objcopy", ["-O", "binary", elf, binary]);
  return { elf, binary: new Uint8Array(readFileSync(binary)) };
}

function run(program: string, args: readonly string[]): void {
  const done = spawnSync(program, args, { encoding: "utf8" });
  if (done.status !== 0) {
    throw new Error(`${program} failed:\n${done.error?.message ?? ""}${done.stderr}`);
  }
}
