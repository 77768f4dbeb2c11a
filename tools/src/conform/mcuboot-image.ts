// SPDX-License-Identifier: Apache-2.0
import { hash } from "node:crypto";
import type { AreaSpec, BootConfig, SectorPool } from "@coalmine/mcuboot";
import { Flash, boot, bootConfig, buildImage, parseImage, setPending, slotCapacity, verifyImage } from "@coalmine/mcuboot";
import type { ImageCase, Vectors } from "./mcuboot-vectors.ts";
import { differ } from "./mcuboot-vectors.ts";

// The bootloader builds of the image cases: vectors/mcuboot/README.md, "image".

const AREAS: readonly AreaSpec[] = [
  { name: "primary", id: 1, off: 0, size: 65536, align: 8, sectors: [[16, 4096]] },
  { name: "secondary", id: 2, off: 65536, size: 61440, align: 8, sectors: [[15, 4096]] },
];

const BUILDS: Readonly<Record<string, { readonly sig: "none" | "ecdsa-p256" | "ed25519" | "rsa-2048" | "rsa-3072"; readonly keys: readonly string[]; readonly noAllow?: true }>> = {
  none: { sig: "none", keys: [] },
  "none-noallow": { sig: "none", keys: [], noAllow: true },
  "p256-a": { sig: "ecdsa-p256", keys: ["ecdsa-p256-a"] },
  "p256-b": { sig: "ecdsa-p256", keys: ["ecdsa-p256-b"] },
  "p256-ab": { sig: "ecdsa-p256", keys: ["ecdsa-p256-a", "ecdsa-p256-b"] },
  "p256-a-noallow": { sig: "ecdsa-p256", keys: ["ecdsa-p256-a"], noAllow: true },
  "ed25519-a": { sig: "ed25519", keys: ["ed25519-a"] },
  "rsa2048-a": { sig: "rsa-2048", keys: ["rsa-2048-a"] },
  "rsa3072-a": { sig: "rsa-3072", keys: ["rsa-3072-a"] },
};

interface Build {
  readonly config: BootConfig;
  /** A good image of an older version, as installed before the one under test arrives. */
  readonly installed: Uint8Array;
}

/** The bootloader builds, made once per run. */
export class ImageBench {
  readonly #vectors: Vectors;
  readonly #pool: SectorPool;
  readonly #builds = new Map<string, Build>();

  constructor(vectors: Vectors, pool: SectorPool) {
    this.#vectors = vectors;
    this.#pool = pool;
  }

  /** Differences between what a file's bytes and the bootloaders say and what was recorded. */
  run(test: ImageCase): string[] {
    const image = this.#vectors.binary(test.image);
    const problems = compareParse(image, test.parsed);
    for (const { config, primary, secondary } of test.verdicts) {
      const build = this.#build(config);
      if (build === undefined) {
        problems.push(`unknown bootloader ${JSON.stringify(config)}`);
        continue;
      }
      if (primary !== undefined) {
        differ(problems, `${config} primary`, this.#inPrimary(build, image), primary);
        differ(problems, `${config} artifact verify`, this.#verified(build, image) ? "boot" : "fail", primary);
      }
      if (secondary !== undefined) {
        differ(problems, `${config} secondary`, this.#inSecondary(build, image), secondary);
      }
    }
    return problems;
  }

  #inPrimary(build: Build, image: Uint8Array): string {
    const flash = Flash.create(AREAS, { pool: this.#pool });
    flash.install("primary", image);
    return boot(build.config, flash).outcome;
  }

  /** What `artifact verify` says for this bootloader. */
  #verified({ config }: Build, image: Uint8Array): boolean {
    const { sig, keys, tlvAllowList } = config;
    return verifyImage(image, keys, { sig, tlvAllowList, slotSize: AREAS[0]?.size ?? 0, maxSize: slotCapacity(config, AREAS) }).ok;
  }

  #inSecondary(build: Build, image: Uint8Array): string {
    const flash = Flash.create(AREAS, { pool: this.#pool });
    flash.install("primary", build.installed);
    flash.install("secondary", image);
    const offered = flash.dump().slice(65536);
    setPending(build.config, flash, { permanent: false });
    const result = boot(build.config, flash);
    if (result.outcome !== "boot") {
      return `nothing boots (${result.outcome})`;
    }
    const after = flash.dump();
    if (sameStart(after, image)) {
      return "swapped";
    }
    const secondary = after.subarray(65536);
    if (secondary.every((byte) => byte === 0xff)) {
      return offered.every((byte) => byte === 0xff) ? "rejected-trailer-erased" : "rejected-slot-erased";
    }
    return "rejected-trailer-erased";
  }

  #build(name: string): Build | undefined {
    const spec = BUILDS[name];
    if (spec === undefined) {
      return undefined;
    }
    let build = this.#builds.get(name);
    if (build === undefined) {
      const signer = spec.keys[0];
      build = {
        config: bootConfig({
          mode: "swap-move",
          sig: spec.sig,
          keys: spec.keys.map((key) => this.#vectors.publicKey(key)),
          maxImgSectors: 16,
          tlvAllowList: spec.noAllow !== true,
        }),
        installed: buildImage({
          version: { major: 0, minor: 9, revision: 0, build: 0 },
          headerSize: 32,
          payload: new Uint8Array(2000).fill(0x5a),
          key: signer === undefined ? undefined : this.#vectors.privateKeyPem(signer),
        }),
      };
      this.#builds.set(name, build);
    }
    return build;
  }
}

function sameStart(flash: Uint8Array, image: Uint8Array): boolean {
  return image.every((byte, i) => flash[i] === byte);
}

function compareParse(image: Uint8Array, expected: ImageCase["parsed"]): string[] {
  const problems: string[] = [];
  const parsed = parseImage(image);
  // The recording's parser reads on where ours stops, so a broken structure shows there as sums that do not fit.
  differ(problems, "parse", parsed.kind, isWhole(expected, image.length) ? "image" : "malformed");
  if (parsed.kind === "malformed") {
    return problems;
  }
  differ(problems, "tlvOff", parsed.payload.off + parsed.payload.size, expected.tlvOff);
  differ(problems, "protTlvSize", parsed.protTlvSize, expected.header.protTlvSize);
  differ(problems, "flags", parsed.flags, expected.header.flags);
  differ(problems, "unprotTotal", parsed.unprotectedTlvSize, expected.unprotTotal);
  differ(problems, "totalSize", parsed.totalSize, expected.totalSize);
  differ(problems, "computed hash", toHex(parsed.computedHash), expected.sha256HdrPayloadProt);
  differ(problems, "TLVs", parsed.tlvs.length, expected.tlvs.length);
  for (const [i, want] of expected.tlvs.entries()) {
    const have = parsed.tlvs[i];
    differ(problems, `TLV ${i}`, have && `${have.isProtected} ${have.type} ${have.value.length}`, `${want.prot} ${Number(want.type)} ${want.len}`);
    const value = want.value ?? want.valueSha256;
    differ(problems, `TLV ${i} value`, have && (want.value === null ? hash("sha256", have.value) : toHex(have.value)), value);
  }
  return problems;
}

/** True when header, TLV areas and entries of the recorded reading fit each other and the file. */
function isWhole(expected: ImageCase["parsed"], fileSize: number): boolean {
  const bytes = (isProtected: boolean): number =>
    expected.tlvs.filter((tlv) => tlv.prot === isProtected).reduce((sum, tlv) => sum + 4 + tlv.len, 4);
  return (
    expected.header.magic === "96f3b83d" &&
    expected.totalSize !== undefined &&
    expected.totalSize <= fileSize &&
    expected.header.protTlvSize === (expected.protTotal ?? 0) &&
    bytes(true) === (expected.protTotal ?? 4) &&
    bytes(false) === expected.unprotTotal
  );
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
