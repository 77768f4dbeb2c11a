// SPDX-License-Identifier: Apache-2.0
import { createHash, hash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import type { AreaSpec, BootConfig, Flash, FlashOperation, PublicKey, SignatureKind, SwapMode } from "@coalmine/mcuboot";
import { bootConfig, loadPublicKey, readTrailer, swapType } from "@coalmine/mcuboot";

// The format of vectors/mcuboot/README.md.

export interface Ref {
  readonly file: string;
  readonly sha256: string;
  readonly size: number;
}

export interface VectorConfig {
  readonly mode: SwapMode;
  readonly sig: SignatureKind;
  readonly keys: readonly string[];
  readonly maxAlign: number;
  readonly maxImgSectors: number;
  readonly validatePrimary: boolean;
  readonly bootstrap: boolean;
  readonly downgrade: null | "version" | "counter";
  readonly hwRollback: boolean;
  readonly tlvAllowList: boolean;
  readonly images: number;
  readonly overwriteFast: boolean;
  readonly xipRevert: boolean;
  readonly versionCmpBuild: boolean;
  readonly enc: null | "x25519" | "ec256";
}

export interface ExpectedTrailer {
  readonly magic: string;
  readonly swapType: string;
  readonly imageNum: number;
  readonly copyDone: string;
  readonly imageOk: string;
}

export interface ExpectedState {
  readonly sha: string;
  readonly areas: Readonly<Record<string, { readonly sha: string; readonly trailer?: ExpectedTrailer }>>;
  readonly swapType: string;
  readonly swapType1?: string;
  readonly nv?: readonly number[];
}

export interface ExpectedStep extends ExpectedState {
  readonly outcome?: string;
  readonly rc?: number;
  readonly writes?: number;
  readonly slot?: string;
  readonly imageOff?: number;
  readonly hdr?: ExpectedHeader;
  readonly swapTypeBefore?: string;
  readonly rewrites?: number;
  readonly misaligned?: number;
  readonly cutOp?: OperationRecord | null;
  readonly ops?: Readonly<Record<"total" | "writes" | "erases" | "bytesWritten" | "bytesErased", number>>;
}

export interface ExpectedHeader {
  readonly magic: string;
  readonly loadAddr: number;
  readonly hdrSize: number;
  readonly protTlvSize: number;
  readonly imgSize: number;
  readonly flags: number;
  readonly version: string;
}

export interface Step {
  readonly do: string;
  readonly cutBefore?: number;
  readonly permanent?: boolean;
  readonly image?: number;
  readonly area?: string;
  readonly active?: boolean;
  readonly confirm?: boolean;
  readonly data?: Ref;
  readonly off?: number;
  readonly mask?: number;
  readonly value?: number;
  readonly expect: ExpectedStep;
}

interface CaseBase {
  readonly id: string;
  readonly config: VectorConfig;
  readonly areas: readonly AreaSpec[];
  readonly flash0: Ref;
  readonly state0: ExpectedState;
}

export interface ScenarioCase extends CaseBase {
  readonly kind: "scenario";
  readonly steps: readonly Step[];
  readonly finalFlash?: Ref;
}

/** An operation: kind, flash area id, offset in the area, length. */
export type OperationRecord = readonly [kind: "E" | "W", area: number, off: number, len: number];
export type BootRow = readonly [outcome: string, swapTypeBefore: string, ops: number, slot: string | null, version: string | null, state: number, assertion?: string];
export type CutRow = readonly [n: number, op: OperationRecord, state: number, boots: readonly BootRow[]];

export interface PowercutCase extends CaseBase {
  readonly kind: "powercut" | "powercut-double";
  readonly torn: boolean;
  readonly chain: number;
  readonly total: number;
  readonly trace: Ref;
  readonly states: readonly string[];
  readonly savedStates: readonly (readonly [state: number, file: string])[];
  readonly reference: readonly ExpectedStep[];
  readonly anomalies: readonly (readonly [...unknown[]])[];
  readonly rows?: readonly CutRow[];
  readonly doubles?: readonly { readonly n1: number; readonly afterFirst: number; readonly total2: number; readonly rows: readonly CutRow[] }[];
}

export interface ImageCase {
  readonly id: string;
  readonly kind: "image";
  readonly image: Ref;
  readonly parsed: {
    readonly header: ExpectedHeader;
    readonly tlvOff: number;
    readonly tlvs: readonly { readonly prot: boolean; readonly type: string; readonly len: number; readonly value: string | null; readonly valueSha256: string | null }[];
    readonly protTotal?: number;
    readonly unprotTotal?: number;
    readonly totalSize?: number;
    readonly sha256HdrPayloadProt: string | null;
  };
  readonly verdicts: readonly { readonly config: string; readonly primary?: string; readonly secondary?: string }[];
}

/** One line of the folder's index. */
export interface IndexEntry {
  readonly id: string;
  readonly kind: string;
  readonly file: string;
}

/** A folder of vectors. Binaries and keys are read once. */
export class Vectors {
  readonly dir: string;
  readonly #binaries = new Map<string, Uint8Array>();
  readonly #keys = new Map<string, PublicKey>();
  readonly #configs = new Map<string, BootConfig>();

  constructor(dir: string) {
    this.dir = dir;
  }

  index(): readonly IndexEntry[] {
    return this.json("index.json") as readonly IndexEntry[];
  }

  /** A JSON file, gzipped or not. */
  json(file: string): unknown {
    const bytes = readFileSync(join(this.dir, file));
    return JSON.parse((file.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString("utf8")) as unknown;
  }

  has(file: string): boolean {
    return existsSync(join(this.dir, file));
  }

  /** A referenced binary, checked against its size and digest. */
  binary(ref: Ref): Uint8Array {
    let bytes = this.#binaries.get(ref.file);
    if (bytes === undefined) {
      bytes = new Uint8Array(gunzipSync(readFileSync(join(this.dir, ref.file))));
      if (bytes.length !== ref.size || hash("sha256", bytes) !== ref.sha256) {
        throw new Error(`${ref.file}: its contents do not match size and digest`);
      }
      this.#binaries.set(ref.file, bytes);
    }
    return bytes;
  }

  /** Digest of a binary that is named without one. */
  digestOf(file: string): string {
    return hash("sha256", gunzipSync(readFileSync(join(this.dir, file))));
  }

  publicKey(name: string): PublicKey {
    let key = this.#keys.get(name);
    if (key === undefined) {
      key = loadPublicKey(new Uint8Array(readFileSync(join(this.dir, "keys", `${name}.pub.der`))));
      this.#keys.set(name, key);
    }
    return key;
  }

  privateKeyPem(name: string): string {
    return readFileSync(join(this.dir, "keys", `${name}.pem`), "utf8");
  }

  config(config: VectorConfig): BootConfig {
    const name = JSON.stringify(config);
    let made = this.#configs.get(name);
    if (made === undefined) {
      made = bootConfig({
        ...config,
        keys: config.keys.map((key) => this.publicKey(key)),
        encKey: config.enc === null ? undefined : this.privateKeyPem(`enc-${config.enc}`),
      });
      this.#configs.set(name, made);
    }
    return made;
  }

}

/** SHA-256 of the whole flash and of its areas, remembered by content. */
export class Digests {
  readonly #whole = new Map<string, string>();
  readonly #area = new Map<string, string>();

  whole(flash: Flash): string {
    const name = flash.identity();
    let digest = this.#whole.get(name);
    if (digest === undefined) {
      digest = hash("sha256", flash.dump());
      this.#whole.set(name, digest);
    }
    return digest;
  }

  area(flash: Flash, areaName: string): string {
    const area = flash.area(areaName);
    const sectors = flash.snapshot().slice(area.firstSector, area.firstSector + area.sectorSize.length);
    const name = sectors.map((sector) => sector.id).join();
    let digest = this.#area.get(name);
    if (digest === undefined) {
      const sha = createHash("sha256");
      for (const sector of sectors) {
        sha.update(sector.bytes);
      }
      digest = sha.digest("hex");
      this.#area.set(name, digest);
    }
    return digest;
  }
}

/** Differences between a flash and an expected state, as `field: have, want`. */
export function compareState(
  config: BootConfig,
  flash: Flash,
  digests: Digests,
  expected: ExpectedState,
  nv: readonly number[],
): { outcome: string[]; state: string[] } {
  const outcome: string[] = [];
  const state: string[] = [];
  differ(outcome, "swapType", swapType(config, flash), expected.swapType);
  if (expected.swapType1 !== undefined) {
    differ(outcome, "swapType1", swapType(config, flash, 1), expected.swapType1);
  }
  if (expected.nv !== undefined) {
    differ(outcome, "nv", expected.nv.map((_, i) => nv[i] ?? 0).join(), expected.nv.join());
  }
  differ(state, "sha", digests.whole(flash), expected.sha);
  for (const [name, area] of Object.entries(expected.areas)) {
    differ(state, `${name}.sha`, digests.area(flash, name), area.sha);
    if (area.trailer !== undefined && name !== "scratch") {
      const trailer = readTrailer(config, flash, name);
      for (const [field, want] of Object.entries(area.trailer)) {
        const have = trailer[field as keyof typeof trailer];
        differ(state, `${name}.${field}`, have === "unknown" ? "?" : have, want as string | number);
      }
    }
  }
  return { outcome, state };
}

/** An operation as the recordings write it. */
export function operationRecord(operation: FlashOperation | undefined): string {
  return operation === undefined ? "none" : [operation.kind === "erase" ? "E" : "W", operation.area.id, operation.off, operation.len].join();
}

export function differ(into: string[], field: string, have: unknown, want: unknown): void {
  if (have !== want) {
    into.push(`${field}: ${String(have)}, expected ${String(want)}`);
  }
}
