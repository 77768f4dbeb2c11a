// SPDX-License-Identifier: Apache-2.0
// The firmware that the runs over a real Zephyr take: built elsewhere, found by name.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The samples whose images are taken; `mqtt-node` must be there. */
export const samples = ["mqtt-node", "coap-node", "smp-node"] as const;
export type Sample = (typeof samples)[number];

/** One signed image of a sample. */
export interface NodeImage {
  readonly sample: Sample;
  readonly file: string;
  readonly version: string;
  readonly bytes: Uint8Array;
  /** The ELF it was made from, if it is there. */
  readonly elf: string | undefined;
}

export interface Images {
  readonly bootloader: Uint8Array;
  /** Public keys (PEM files) that the images are signed with. */
  readonly keys: readonly string[];
  /** The image of a behaviour: good, good2, never, hangs, crash ... @throws Error naming the file that is missing. */
  image(name: string, sample?: Sample): NodeImage;
  has(name: string, sample?: Sample): boolean;
}

/** Why a folder cannot be used; see docs/boards.md for what it must hold. */
export interface NoImages {
  readonly reason: string;
}

/**
 * Looks into a folder with `mcuboot.bin`, `*.pub.pem`, `SAMPLE-NAME-VERSION.bin` and, for backtraces, `SAMPLE-NAME.elf`.
 */
export function findImages(folder: string | undefined): Images | NoImages {
  if (folder === undefined) {
    return { reason: "no images of a real Zephyr: give --images FOLDER or COALMINE_BOARD_IMAGES (docs/boards.md says what it holds)" };
  }
  if (!existsSync(join(folder, "mcuboot.bin"))) {
    return { reason: `there is no mcuboot.bin in ${folder}` };
  }
  const names = readdirSync(folder).sort();
  const keys = names.filter((name) => name.endsWith(".pub.pem")).map((name) => join(folder, name));
  if (keys.length === 0) {
    return { reason: `there is no public key (*.pub.pem) in ${folder}` };
  }
  const found = new Map<string, { readonly file: string; readonly version: string }>();
  for (const name of names) {
    const match = new RegExp(`^((?:${samples.join("|")})-[a-z0-9]+)-(\\d+\\.\\d+\\.\\d+)\\.bin$`).exec(name);
    if (match !== null) {
      found.set(match[1] as string, { file: join(folder, name), version: match[2] as string });
    }
  }
  return {
    bootloader: new Uint8Array(readFileSync(join(folder, "mcuboot.bin"))),
    keys,
    has: (name, sample = "mqtt-node") => found.has(`${sample}-${name}`),
    image(name, sample = "mqtt-node") {
      const one = found.get(`${sample}-${name}`);
      if (one === undefined) {
        throw new Error(`there is no ${sample}-${name}-VERSION.bin in ${folder}`);
      }
      const elf = join(folder, `${sample}-${name}.elf`);
      return { ...one, sample, bytes: new Uint8Array(readFileSync(one.file)), elf: existsSync(elf) ? elf : undefined };
    },
  };
}
