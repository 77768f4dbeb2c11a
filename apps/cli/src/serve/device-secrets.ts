// SPDX-License-Identifier: Apache-2.0
// The file of device secrets: one line for each device, and in it no more than each door needs.
//
//     DEVICE SHA256 [SEALED]
//
// SHA256: of the secret's text, in hex. MQTT compares passwords with it; it signs nothing.
// SEALED: the key that the device signs with over CoAP, encrypted under the seal key, in base64url:
//         nonce (12) | AES-256-GCM of the key (32), with `coalmine/1 sealed coap key`, 00 and the device's id as
//         additional data | tag (16). A line cut out and put behind another device's name does not open.
import { coapKey } from "@coalmine/coap";
import { type CoalmineError, type DeviceId, deviceId } from "@coalmine/core";
import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { statSync } from "node:fs";
import process from "node:process";
import { readText } from "../files.ts";
import { badUsage } from "../output/exit.ts";

/** What the doors know of devices' secrets. */
export interface DeviceSecrets {
  /** SHA-256 of each secret, in lower-case hex. */
  readonly hashes: ReadonlyMap<DeviceId, string>;
  /** Key of each device that may come over CoAP; none without a seal key. */
  readonly coapKeys: ReadonlyMap<DeviceId, Uint8Array>;
  /** Devices whose line has no CoAP key. */
  readonly withoutCoapKey: number;
}

const cipher = "aes-256-gcm";
const nonceBytes = 12;
const keyBytes = 32;
const tagBytes = 16;
const linePattern = /^(\S+)\s+([0-9a-f]{64})(?:\s+([A-Za-z0-9_-]{80}))?$/;

/** The devices of a file of secrets. Throws `cli/usage` naming the line that is not one, or that the seal key does not open. */
export function readDeviceSecrets(file: string, sealKey: Uint8Array | undefined): DeviceSecrets {
  const hashes = new Map<DeviceId, string>();
  const coapKeys = new Map<DeviceId, Uint8Array>();
  let withoutCoapKey = 0;
  for (const [index, line] of readText(file, { what: "device secrets" }).split("\n").entries()) {
    const text = line.trim();
    if (text === "" || text.startsWith("#")) {
      continue;
    }
    const match = linePattern.exec(text);
    if (match === null) {
      throw badUsage(`${file}, line ${index + 1}: write DEVICE, the SHA-256 of its secret in hex and, for CoAP, its sealed key ("coalmine secret create" writes such lines)`);
    }
    const device = deviceOf(match[1] as string, `${file}, line ${index + 1}`);
    if (hashes.has(device)) {
      throw badUsage(`${file}, line ${index + 1}: ${device} has a line already; delete one of them`);
    }
    hashes.set(device, match[2] as string);
    const sealed = match[3];
    if (sealed === undefined) {
      withoutCoapKey += 1;
    } else if (sealKey !== undefined) {
      const key = unseal(sealed, device, sealKey);
      if (key === undefined) {
        throw badUsage(`${file}, line ${index + 1}: the seal key does not open the CoAP key of ${device}: it was sealed with another key, or for another device`);
      }
      coapKeys.set(device, key);
    }
  }
  return { hashes, coapKeys, withoutCoapKey };
}

/** The line that lets a device in: by MQTT, and with a seal key by CoAP too. */
export function secretLine(device: DeviceId, secret: string, sealKey: Uint8Array | undefined): string {
  const hash = createHash("sha256").update(secret).digest("hex");
  return [device, hash, ...(sealKey === undefined ? [] : [seal(coapKey(secret), device, sealKey)])].join(" ");
}

/** A new secret: 256 random bits as 64 hex digits. */
export function newSecret(): string {
  return randomBytes(keyBytes).toString("hex");
}

/** Lines of `DEVICE SECRET`, as `secret create` prints them: for programs that play devices. */
export function readPlainSecrets(file: string): Map<DeviceId, string> {
  const secrets = new Map<DeviceId, string>();
  for (const [index, line] of readText(file, { what: "secrets" }).split("\n").entries()) {
    const text = line.trim();
    if (text === "" || text.startsWith("#")) {
      continue;
    }
    const match = /^(\S+)\s+(\S{16,128})$/.exec(text);
    if (match === null) {
      throw badUsage(`${file}, line ${index + 1}: write DEVICE and its secret`);
    }
    secrets.set(deviceOf(match[1] as string, `${file}, line ${index + 1}`), match[2] as string);
  }
  return secrets;
}

/** Reads a seal key: 64 hex digits in a file that its owner alone may read. Throws `cli/usage`. */
export function readSealKey(file: string): Uint8Array {
  const text = readText(file, { what: "seal key", bytesMax: 1_024 }).trim();
  if (!/^[0-9a-f]{64}$/.test(text)) {
    throw badUsage(`seal key ${file} is not 64 hex digits: make one with "coalmine secret keygen --out ${file}"`);
  }
  if (process.platform !== "win32" && (statSync(file).mode & 0o077) !== 0) {
    throw badUsage(`seal key ${file} can be read by others than its owner: chmod 600 ${file}`);
  }
  return Uint8Array.fromHex(text);
}

function deviceOf(text: string, where: string): DeviceId {
  try {
    return deviceId(text);
  } catch (cause) {
    throw badUsage(`${where}: ${(cause as CoalmineError).message}`, cause);
  }
}

const label = (device: DeviceId): Buffer => Buffer.from(`coalmine/1 sealed coap key\0${device}`);

function seal(key: Uint8Array, device: DeviceId, sealKey: Uint8Array): string {
  const nonce = randomBytes(nonceBytes);
  const sealing = createCipheriv(cipher, sealKey, nonce).setAAD(label(device));
  return Buffer.concat([nonce, sealing.update(key), sealing.final(), sealing.getAuthTag()]).toString("base64url");
}

function unseal(text: string, device: DeviceId, sealKey: Uint8Array): Uint8Array | undefined {
  const bytes = Buffer.from(text, "base64url");
  const opening = createDecipheriv(cipher, sealKey, bytes.subarray(0, nonceBytes), { authTagLength: tagBytes })
    .setAAD(label(device))
    .setAuthTag(bytes.subarray(nonceBytes + keyBytes));
  try {
    return new Uint8Array(Buffer.concat([opening.update(bytes.subarray(nonceBytes, nonceBytes + keyBytes)), opening.final()]));
  } catch {
    return undefined;
  }
}
