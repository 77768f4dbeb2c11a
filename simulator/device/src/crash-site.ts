// SPDX-License-Identifier: Apache-2.0
// Where a simulated build crashes: the places in its program, what they are called, and who called them.
import type { Draw } from "./device.ts";

/** An index into a build's own addresses. From `bootLoop` on, one for each kind of crash. */
export const Site = { baseline: 0, bootLoop: 8, afterBoot: 9, late: 10, leak: 11, rate: 12 } as const;

/** Places of crashes without any defect. */
export const baselineSites = 3;

export interface CrashSite {
  /** As the fault handler of the firmware words it. */
  readonly reason: string;
  /** Zephyr's code of it in a dump (fatal_types.h, arch/arm error codes). */
  readonly code: number;
  /** Functions: the one that crashed, its caller, and theirs up to the thread's entry. */
  readonly calls: readonly [crashed: string, caller: string, ...above: string[]];
  readonly thread: string;
  /** What the application logged last. */
  readonly lastWords: string;
}

const sites: Readonly<Record<number, CrashSite>> = {
  0: { reason: "hard fault", code: 0, calls: ["fifo_pop", "sensor_collect", "sensor_thread", "z_thread_entry"], thread: "sensor", lastWords: "<wrn> sensor: queue emptied while it was read" },
  1: { reason: "hard fault", code: 0, calls: ["net_buf_unref", "mqtt_input", "net_thread", "z_thread_entry"], thread: "net", lastWords: "<wrn> net: fragment freed twice" },
  2: { reason: "hard fault", code: 0, calls: ["settings_line_read", "settings_load_handler", "work_queue_main", "z_thread_entry"], thread: "sysworkq", lastWords: "<inf> settings: loading app/calibration" },
  [Site.bootLoop]: { reason: "assertion failed", code: 4, calls: ["assert_post_action", "board_check_revision", "main", "z_thread_entry"], thread: "main", lastWords: "<err> app: ASSERTION FAIL [rev <= BOARD_REV_MAX] @ board.c:118" },
  [Site.afterBoot]: { reason: "bus fault", code: 25, calls: ["calibration_read", "sensor_configure", "sensor_thread", "z_thread_entry"], thread: "sensor", lastWords: "<wrn> sensor: no calibration page on this revision, reading anyway" },
  [Site.late]: { reason: "stack overflow", code: 2, calls: ["cbor_encode_map", "report_encode", "net_thread", "z_thread_entry"], thread: "net", lastWords: "<wrn> net: 14 readings wait for the uplink" },
  [Site.leak]: { reason: "out of memory", code: 3, calls: ["heap_alloc_or_oops", "report_new", "work_queue_main", "z_thread_entry"], thread: "sysworkq", lastWords: "<err> app: no memory for a report of 184 bytes" },
  [Site.rate]: { reason: "usage fault", code: 29, calls: ["filter_apply", "sensor_collect", "sensor_thread", "z_thread_entry"], thread: "sensor", lastWords: "<dbg> sensor: filter window of 0 samples" },
};

export function crashSite(site: number): CrashSite {
  return sites[site] ?? (sites[Site.baseline] as CrashSite);
}

const codeStart = 0x0800_0200;
const codeHalfWords = 32_768;
/** Behind what is drawn: what threads begin with, the same place in every build. */
const threadCode = codeStart + 2 * codeHalfWords + 0x200;
const threadFunctions: readonly string[] = [...new Set(Object.values(sites).flatMap(({ calls }) => calls.slice(2)))];
const threadFunctionSize = 0x80;
/** A function reaches so far around the address that is drawn in it. */
const reach = 0x60;

/** Program counter and link register of a crash at a site: addresses of this build, by the hash of its image. */
export function addressesAt(draw: Draw, imageHash: string, site: number): { readonly pc: number; readonly lr: number } {
  const address = (what: string): number => codeStart + 2 * Math.floor(draw(0, imageHash, what, site) * codeHalfWords);
  return { pc: address("pc"), lr: address("lr") };
}

/** Where calls from functions higher up return to: what a stack holds of them. Bit 0 says Thumb. */
export function returnAddresses({ calls }: CrashSite): number[] {
  return calls.slice(2).map((name) => (threadCode + threadFunctions.indexOf(name) * threadFunctionSize + threadFunctionSize / 2) | 1);
}

export interface ProgramFunction {
  readonly name: string;
  readonly start: number;
  readonly size: number;
}

/** The functions of a build that its crashes go through, by address; and the addresses that lie behind a call. */
export function programFunctions(draw: Draw, imageHash: string): { readonly functions: readonly ProgramFunction[]; readonly returns: readonly number[] } {
  const points = Object.entries(sites).flatMap(([site, { calls }]) => {
    const { pc, lr } = addressesAt(draw, imageHash, Number(site));
    return [{ name: calls[0], at: pc }, { name: calls[1], at: lr - 2 }];
  });
  points.sort((a, b) => a.at - b.at);
  const between = (left: number, right: number): number => left + 2 + 2 * Math.floor((right - left - 2) / 4);
  const functions = points.map(({ name, at }, index): ProgramFunction => {
    const [before, next] = [points[index - 1], points[index + 1]];
    const start = Math.max(at - reach, before === undefined ? codeStart : between(before.at, at));
    const end = Math.min(at + reach, next === undefined ? at + reach : between(at, next.at));
    return { name, start: Math.min(start, at), size: Math.max(2, end - Math.min(start, at)) };
  });
  const threads = threadFunctions.map((name, index): ProgramFunction => ({ name, start: threadCode + index * threadFunctionSize, size: threadFunctionSize }));
  return { functions: [...functions, ...threads], returns: Object.values(sites).flatMap(returnAddresses).map((address) => address - 1) };
}
