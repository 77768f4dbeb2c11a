// SPDX-License-Identifier: Apache-2.0
// How a simulated image behaves travels in the image itself: its payload begins with a data block, followed by filler.
//
//     offset  size  content
//     0       8     magic "CMSIMPRG"
//     8       4     length of the JSON text in bytes, little endian
//     12      n     SimProgram as JSON in UTF-8
//     12+n    ...   filler, different for every build id, as machine code would be
import { CoalmineError } from "@coalmine/core";
import type { Defect } from "./defect.ts";
import { isStorageProgram, type StorageProgram } from "./storage-program.ts";

/** The behaviour of one build, as data. */
export interface SimProgram {
  readonly format: 1;
  /** A label for people; the version that counts is in the image header. */
  readonly version: string;
  /** Build id in hex, 8 to 64 digits: names this exact build in crash reports. */
  readonly buildId: string;
  readonly defects: readonly Defect[];
  /** Storage schema this build writes (R42); a device that runs it migrates to it. */
  readonly storageSchema: number;
  /** Where it keeps its settings and how it takes over older ones; the first layout when left out. */
  readonly storage?: StorageProgram | undefined;
}

const magic = new TextEncoder().encode("CMSIMPRG");
const headBytes = 12;
/** A program is a description, not a payload: larger ones are refused. */
const programBytesMax = 16 * 1024;
const buildIdText = /^(?:[0-9a-f]{2}){4,32}$/;

/**
 * The payload of an image that behaves like `program`, `size` bytes long.
 *
 * @throws CoalmineError `sim/bad-program` when the program does not fit the size or its build id is no hex.
 */
export function programPayload(program: SimProgram, size: number): Uint8Array {
  if (!buildIdText.test(program.buildId)) {
    throw new CoalmineError("sim/bad-program", `buildId ${JSON.stringify(program.buildId)} is not 8 to 64 lower-case hex digits`);
  }
  const text = new TextEncoder().encode(JSON.stringify(program));
  if (text.length > programBytesMax || headBytes + text.length > size) {
    throw new CoalmineError(
      "sim/bad-program",
      `the program of ${headBytes + text.length} bytes does not fit a payload of ${size} bytes (at most ${programBytesMax}); enlarge the release's size`,
    );
  }
  const payload = new Uint8Array(size);
  payload.set(magic);
  new DataView(payload.buffer).setUint32(8, text.length, true);
  payload.set(text, headBytes);
  // xorshift32 (Marsaglia 2003) seeded by the build id: equal builds are equal bytes, others differ in every sector.
  let state = Number.parseInt(program.buildId.slice(0, 8), 16) | 1;
  for (let at = headBytes + text.length; at < size; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    payload[at] = state;
  }
  return payload;
}

/** Reads the program of a payload; undefined when it carries none, or a damaged one. Never throws, for any bytes. */
export function readProgram(payload: Uint8Array): SimProgram | undefined {
  if (payload.length < headBytes || magic.some((byte, i) => payload[i] !== byte)) {
    return undefined;
  }
  const length = new DataView(payload.buffer, payload.byteOffset).getUint32(8, true);
  if (length > programBytesMax || headBytes + length > payload.length) {
    return undefined;
  }
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload.subarray(headBytes, headBytes + length)));
    return isProgram(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Only images made by `programPayload` come here, but any signed file may: the outer shape is checked, not every number. */
function isProgram(value: unknown): value is SimProgram {
  if (typeof value !== "object" || value === null) {
    return false;
  }
  const { format, version, buildId, defects, storageSchema, storage } = value as Partial<Record<keyof SimProgram, unknown>>;
  return (
    format === 1 &&
    typeof version === "string" &&
    typeof buildId === "string" &&
    buildIdText.test(buildId) &&
    Number.isSafeInteger(storageSchema) &&
    (storage === undefined || isStorageProgram(storage)) &&
    Array.isArray(defects) &&
    defects.every((defect) => typeof defect === "object" && defect !== null && typeof (defect as { kind?: unknown }).kind === "string")
  );
}
