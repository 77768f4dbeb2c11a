// SPDX-License-Identifier: Apache-2.0
// The boards of a desk, as a YAML file names them.

import { CoalmineError } from "@coalmine/core";
import { checkShape, readYaml } from "@coalmine/orchestrator";
import { isAbsolute, join } from "node:path";
import { z } from "zod";

const port = z.int().min(1, "must be a port, 1 to 65535").max(65_535, "must be a port, 1 to 65535");
const baud = z.int().min(300).max(12_000_000);
const path = z.string().min(1).max(4096);
const west = z.strictObject({
  /** Build folder that west flashes from. */
  build: path,
  runner: z.string().regex(/^[A-Za-z0-9_-]{1,40}$/, "must be the name of a west runner: jlink, openocd, pyocd, nrfjprog").optional(),
  /** More arguments of the runner, such as the probe's serial number. */
  options: z.array(z.string().max(200)).max(20).optional(),
});
const common = {
  name: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, "must be 1 to 64 letters, digits, _ and -"),
  /** Serial device with the board's console. */
  console: path.optional(),
  baud: baud.optional(),
  west: west.optional(),
};

const board = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("serial"), ...common, /** Serial device that speaks SMP, and is the console when no other is named. */ port: path }),
  z.strictObject({ kind: z.literal("udp"), ...common, host: z.string().regex(/^[A-Za-z0-9.:_-]{1,253}$/, "must be a host name or address"), port: port.optional() }),
  z.strictObject({ kind: z.literal("west"), ...common, west }),
  z.strictObject({
    kind: z.literal("qemu"),
    name: common.name,
    flash: path,
    /** What a new flash file is made of. */
    bootloader: path.optional(),
    image: path.optional(),
    /** Port of the MQTT broker on the host's loopback. */
    broker: port.optional(),
    /** UDP port of the host's loopback that leads to the board's SMP. */
    smp: port.optional(),
    network: z.boolean().optional(),
  }),
]);

const file = z.strictObject({ boards: z.array(board).max(1000) });

/** One board; paths are relative to the working folder or absolute. */
export type BoardEntry = z.infer<typeof board>;

/**
 * Reads a boards file. Paths in it are relative to its folder.
 *
 * @throws CoalmineError `boards/inventory` with each problem, `yaml/...` with line and column.
 */
export function readInventory(text: string, options: { readonly source: string; readonly folder: string }): readonly BoardEntry[] {
  const { boards } = checkShape(file, readYaml(text, options.source), { code: "boards/inventory", source: options.source });
  const names = new Set<string>();
  for (const { name } of boards) {
    if (names.has(name)) {
      throw new CoalmineError("boards/inventory", `${options.source}: two boards are called ${name}`);
    }
    names.add(name);
  }
  return boards.map((one) => placed(one, (relative) => (isAbsolute(relative) ? relative : join(options.folder, relative))));
}

function placed(entry: BoardEntry, at: (path: string) => string): BoardEntry {
  if (entry.kind === "qemu") {
    return {
      ...entry,
      flash: at(entry.flash),
      ...(entry.bootloader === undefined ? {} : { bootloader: at(entry.bootloader) }),
      ...(entry.image === undefined ? {} : { image: at(entry.image) }),
    };
  }
  const section = entry.west === undefined ? {} : { west: { ...entry.west, build: at(entry.west.build) } };
  return { ...entry, ...section };
}

/** Where a board speaks SMP: a URL for `connectSmp`. Nothing for one that does not. */
export function smpAddress(entry: BoardEntry): string | undefined {
  switch (entry.kind) {
    case "serial":
      return `serial://${entry.port}${entry.baud === undefined ? "" : `?baud=${entry.baud}`}`;
    case "udp":
      return `udp://${entry.host.includes(":") ? `[${entry.host}]` : entry.host}${entry.port === undefined ? "" : `:${entry.port}`}`;
    case "qemu":
      return entry.smp === undefined ? undefined : `udp://127.0.0.1:${entry.smp}`;
    case "west":
      return undefined;
  }
}

/** Serial device of a board's console. */
export function consolePort(entry: BoardEntry): string | undefined {
  return entry.kind === "qemu" ? undefined : (entry.console ?? (entry.kind === "serial" ? entry.port : undefined));
}

/** Arguments for west: what flashes a board's build, or starts its debugger. */
export function westArguments(command: "flash" | "debug", section: { readonly build: string; readonly runner?: string | undefined; readonly options?: readonly string[] | undefined }): readonly string[] {
  return [command, "--build-dir", section.build, ...(section.runner === undefined ? [] : ["--runner", section.runner]), ...(section.options ?? [])];
}
