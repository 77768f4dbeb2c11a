// SPDX-License-Identifier: Apache-2.0
// Checks of a release's files before it exists (R13): what each says of itself, and whether the fleet could install it at all.
import { CoalmineError, type Digest, fits, variantKey } from "@coalmine/core";
import { formatVersion, type ParsedImage, parseImage, type PublicKey, sampleKeyName, verifyImage } from "@coalmine/mcuboot";
import { createHash } from "node:crypto";
import { hex, type ReleaseArtifact } from "./entry.ts";
import { type DeviceRecord, isLab } from "./inventory.ts";
import type { ArtifactInput } from "./operations.ts";
import { roomMax } from "./slots.ts";
import { swuVersion } from "./swu.ts";

/** Largest artifact taken in. */
export const artifactBytesMax = 16 * 1024 * 1024;

/** Hex digits of a key hash that messages show. */
const keyDigits = 16;

/**
 * What one file says of itself, or why it is refused: structure, signature by a trusted key, nothing behind the image. Of a
 * SWUpdate archive only that it is one, and its version.
 */
export function inspectArtifact(input: ArtifactInput, keys: readonly PublicKey[]): ReleaseArtifact {
  const { bytes, variant } = input;
  const where = `artifact for ${variantKey(variant)}`;
  if (variant.board === "" || variant.partitionMap === "") {
    throw new CoalmineError("artifact/variant", `${where}: board and partition map must be named`);
  }
  if (bytes.length > artifactBytesMax) {
    throw new CoalmineError("artifact/size", `${where}: ${bytes.length} bytes are more than ${artifactBytesMax}`);
  }
  if (input.format === "swu") {
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    return { variant, digest: sha256 as Digest, format: "swu", imageHash: sha256, size: bytes.length, version: swuVersion(bytes, where) };
  }
  const image = parseImage(bytes);
  if (image.kind === "malformed") {
    const archive = /^07070[12]/.test(String.fromCharCode(...bytes.subarray(0, 6))) ? "; it is a cpio archive: give a SWUpdate file with --swu" : "";
    throw new CoalmineError("artifact/malformed", `${where}: ${image.reason} (at byte ${image.offset})${archive}`);
  }
  if (keys.length === 0) {
    throw new CoalmineError("artifact/no-key", `${where}: no trusted public key is configured, so no signature can be checked; start with --key PUBLIC.pem`);
  }
  const verified = verifyImage(bytes, keys);
  if (!verified.ok) {
    throw new CoalmineError("artifact/refused", `${where}: ${verified.reason}${signedBy(image, keys)}`);
  }
  if (bytes.subarray(image.totalSize).some((byte) => byte !== 0xff)) {
    throw new CoalmineError(
      "artifact/padded",
      `${where}: ${bytes.length - image.totalSize} bytes follow the image; a trailer written with --pad or --confirm would start the image without a trial, so sign it without`,
    );
  }
  const key = verified.keyIndex === undefined ? undefined : keys[verified.keyIndex];
  const sampleKey = key === undefined ? undefined : sampleKeyName(key.hash);
  const imageHash = hex(verified.imageHash);
  return {
    variant,
    digest: createHash("sha256").update(bytes).digest("hex") as Digest,
    imageHash,
    size: bytes.length,
    // Devices leave a build number of 0 out.
    version: formatVersion(verified.version).replace(/\+0$/, ""),
    ...(image.securityCounter === undefined ? {} : { securityCounter: image.securityCounter }),
    ...(sampleKey === undefined ? {} : { sampleKey }),
  };
}

/** Who signed an image that does not verify, as far as it says. */
function signedBy(image: ParsedImage, keys: readonly PublicKey[]): string {
  if (image.signatures.length === 0) {
    return ": the image is not signed";
  }
  const said = image.keyHashes.map(hex);
  const trusted = keys.map((key) => hex(key.hash));
  if (said.length === 0 || said.some((hash) => trusted.some((known) => known.startsWith(hash)))) {
    return "";
  }
  const names = image.keyHashes.map((hash) => {
    const sample = sampleKeyName(hash);
    return `${hex(hash).slice(0, keyDigits)}${sample === undefined ? "" : ` (MCUboot's published sample key ${sample})`}`;
  });
  return `: signed with key ${names.join(", ")}; trusted ${trusted.length === 1 ? "is" : "are"} ${trusted.map((hash) => hash.slice(0, keyDigits)).join(", ")}`;
}

/** Refuses what no device of the fleet that it is for could install. Devices that have not reported yet are not looked at. */
export function refuseForFleet(artifact: ReleaseArtifact, fleet: Iterable<DeviceRecord>): void {
  const where = `artifact for ${variantKey(artifact.variant)}`;
  const devices = [...fleet].filter((device) => device.hardware !== null && fits(artifact.variant, device.hardware));
  if (artifact.sampleKey !== undefined && !(devices.length > 0 && devices.every(isLab))) {
    const others = devices.find((device) => !isLab(device));
    throw new CoalmineError(
      "artifact/sample-key",
      `${where}: signed with MCUboot's published sample key ${artifact.sampleKey}, whose private half everybody has; it is for lab devices only ` +
        (others === undefined ? "(site=lab or tag lab), and none of this hardware has reported" : `(site=lab or tag lab), and ${others.id} is none`),
    );
  }
  const rooms = devices.map((device) => ({ device, room: device.hardware === null ? 0 : roomMax(device.hardware) }));
  const widest = rooms.reduce<(typeof rooms)[number] | undefined>((best, one) => (best === undefined || one.room > best.room ? one : best), undefined);
  if (widest !== undefined && artifact.size > widest.room) {
    const { hardware, id } = widest.device;
    throw new CoalmineError(
      "artifact/too-large",
      `${where}: ${artifact.size} bytes, and the slot of ${hardware?.slotSize} in mode ${hardware?.mode} takes at most ${widest.room} (${id} has the widest); make the image smaller`,
    );
  }
}
