// SPDX-License-Identifier: Apache-2.0
// The tests written in C, built for a Cortex-M3 and run in QEMU: the library where it lives, with another libc and 32 bits.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { whyNoStandIn } from "@coalmine/boards/testing";
import { firmware, librarySources, testSources } from "./compiler.ts";
import type { HostRun } from "./host-tests.ts";

const compiler = "arm-none-eabi-gcc";
const emulator = "qemu-system-arm";
const PATIENCE_MS = 240_000;

/** Why the tests cannot run on target here; nothing when they can. */
export function whyNoTarget(): string | undefined {
  return whyNoStandIn();
}

/** Builds the tests with firmware/tests/target and runs them; output and exit code come by semihosting. Throws with the compiler's words when it refuses. */
export function runTargetTests(): HostRun {
  const folder = mkdtempSync(join(tmpdir(), "coalmine-target-"));
  try {
    const program = join(folder, "tests.elf");
    const target = join(firmware, "tests/target");
    const built = spawnSync(
      compiler,
      [
        // uint32_t is a long here: the tests' formats are for the host, and no 32-bit machine minds.
        "-mcpu=cortex-m3", "-mthumb", "-std=c11", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-format",
        "-I", join(firmware, "lib/include"), "--specs=rdimon.specs", "-nostartfiles", "-T", join(target, "target.ld"), "-Wl,--no-warn-rwx-segments",
        "-o", program, join(target, "start.c"), ...testSources(), ...librarySources(), "-lm",
      ],
      { encoding: "utf8" },
    );
    if (built.status !== 0) {
      throw new Error(`${compiler} failed:\n${built.error?.message ?? ""}${built.stderr}`);
    }
    const args = ["-machine", "mps2-an385", "-kernel", program, "-semihosting-config", "enable=on,target=native", "-display", "none", "-monitor", "none", "-serial", "none"];
    const run = spawnSync(emulator, args, { encoding: "utf8", timeout: PATIENCE_MS, killSignal: "SIGKILL" });
    const counts = /^(\d+) passed, (\d+) failed$/m.exec(run.stdout);
    const [passed, failed] = [Number(counts?.[1] ?? 0), Number(counts?.[2] ?? 0)];
    return { passed, failed: run.status === 0 ? failed : Math.max(1, failed), output: `${run.stdout}${run.stderr}` };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
