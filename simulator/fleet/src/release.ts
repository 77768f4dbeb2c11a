// SPDX-License-Identifier: Apache-2.0
import { createHash, createPrivateKey, type KeyObject } from "node:crypto";
import { CoalmineError, type Variant } from "@coalmine/core";
import { type Defect, type HardwareKind, programPayload } from "@coalmine/device";
import { buildImage, parseImage, parseVersion, reversionImage, type SigningKey, slotCapacity } from "@coalmine/mcuboot";
import { headerSize } from "./kinds.ts";
import { storageProgram, type StorageSpec } from "./storage-file.ts";

/**
 * The signing key of a simulated lab, derived from the seed: the same seed signs the same bytes on every machine.
 *
 * Anyone who knows the seed has the key. It is for simulated devices only; no real bootloader must ever trust it.
 */
export function labKey(seed: number): KeyObject {
  const secret = createHash("sha256").update(`coalmine simulated lab key ${seed}`).digest();
  // PKCS#8 wrapping of a raw Ed25519 private key (RFC 8410, section 7).
  const der = new Uint8Array(48);
  der.set([0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20]);
  der.set(secret, 16);
  const encoded = `-----BEGIN PRIVATE KEY-----\n${base64(der)}\n-----END PRIVATE KEY-----\n`;
  return createPrivateKey(encoded);
}

/** What to build. */
export interface BuildSpec {
  readonly version: string;
  /** Payload bytes. */
  readonly size: number;
  readonly defects?: readonly Defect[];
  readonly storageSchema?: number | undefined;
  readonly storage?: StorageSpec | undefined;
  /** Distinguishes rebuilds of one version; part of the build id. */
  readonly build?: string;
  readonly securityCounter?: number;
}

/** One signed artifact of a release. */
export interface BuiltArtifact {
  readonly variant: Variant;
  readonly hardware: string;
  /** The signed image file. */
  readonly bytes: Uint8Array;
  /** MCUboot image hash, hex. */
  readonly imageHash: string;
  /** Hex. */
  readonly buildId: string;
}

/** One version, built for every kind of hardware. */
export interface BuiltRelease {
  readonly version: string;
  readonly artifacts: readonly BuiltArtifact[];
}

/**
 * Builds and signs one image for each kind of hardware. With an Ed25519 key the same input gives the same bytes.
 *
 * The payload carries the board, so two kinds never share an image hash even when nothing else differs.
 *
 * @throws CoalmineError `fleet/image-too-large` naming the kind whose slot cannot hold it.
 */
export function buildRelease(spec: BuildSpec, kinds: readonly HardwareKind[], key: SigningKey): BuiltRelease {
  return { version: spec.version, artifacts: kinds.map((kind) => buildArtifact(spec, kind, key)) };
}

function buildArtifact(spec: BuildSpec, kind: HardwareKind, key: SigningKey): BuiltArtifact {
  const variant = { board: kind.board, revision: kind.revision, partitionMap: kind.partitionMap };
  const buildId = createHash("sha256")
    .update(JSON.stringify([spec.version, spec.build ?? "", variant, spec.defects ?? [], spec.storageSchema ?? 1, spec.size, ...(spec.storage === undefined ? [] : [spec.storage])]))
    .digest("hex")
    .slice(0, 32);
  const storageSchema = spec.storageSchema ?? 1;
  const storage = spec.storage === undefined ? {} : { storage: storageProgram(spec.storage, storageSchema) };
  const payload = programPayload({ format: 1, version: spec.version, buildId, defects: spec.defects ?? [], storageSchema, ...storage }, spec.size);
  const bytes = buildImage({
    version: parseVersion(spec.version),
    payload,
    headerSize,
    key,
    ...(spec.securityCounter === undefined ? {} : { securityCounter: spec.securityCounter }),
  });
  return signed(spec.version, kind, { variant, bytes, buildId });
}

/** The payloads of a release under another version, signed again (R34): the code is the old one, and so is the build id that it carries. */
export function reversionRelease(release: BuiltRelease, version: string, kinds: readonly HardwareKind[], key: SigningKey): BuiltRelease {
  const artifacts = release.artifacts.map(({ variant, hardware, bytes, buildId }) => {
    const { image } = reversionImage(bytes, { version: parseVersion(version), key });
    return signed(version, kinds.find((kind) => kind.name === hardware) as HardwareKind, { variant, bytes: image, buildId });
  });
  return { version, artifacts };
}

function signed(version: string, kind: HardwareKind, made: Pick<BuiltArtifact, "variant" | "bytes" | "buildId">): BuiltArtifact {
  const { bytes } = made;
  const capacity = slotCapacity(kind.bootloader, kind.geometry);
  if (bytes.length > capacity) {
    throw new CoalmineError(
      "fleet/image-too-large",
      `version ${version} for ${kind.name}: ${bytes.length} bytes do not fit a slot that takes ${capacity} in mode ${kind.bootloader.mode}; make the release smaller or the slot larger`,
    );
  }
  const parsed = parseImage(bytes);
  if (parsed.kind !== "image") {
    throw new Error(`buildRelease: our own image does not parse: ${parsed.reason}`);
  }
  return { ...made, hardware: kind.name, imageHash: hex(parsed.computedHash) };
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function base64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}
