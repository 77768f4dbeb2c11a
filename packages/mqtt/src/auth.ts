// SPDX-License-Identifier: Apache-2.0
import { createHash, timingSafeEqual } from "node:crypto";
import type { DeviceId } from "@coalmine/core";

/** Decides whether a connection is the device it says it is (R61). */
export interface DeviceAuth {
  /** @param secret the CONNECT packet's password */
  verify(device: DeviceId, secret: Uint8Array | undefined): boolean;
}

/** Secrets per device, held as SHA-256 only. */
export interface SecretAuth extends DeviceAuth {
  /** Sets a device's secret by its SHA-256 in lower-case hex. */
  set(device: DeviceId, sha256: string): void;
  /** Forgets a device. Its open connection goes by `Broker.disconnect`. */
  remove(device: DeviceId): void;
}

const sha256Hex = /^[0-9a-f]{64}$/;

/**
 * Pre-shared secrets. They are compared as hashes in constant time, and an unknown device takes as long as a known one.
 * A secret is random and at least 128 bits long, so one round of SHA-256 is enough to keep it.
 * @param secrets SHA-256 of each device's secret, lower-case hex
 */
export function secretAuth(secrets: Iterable<readonly [DeviceId, string]> = []): SecretAuth {
  const known = new Map<string, Uint8Array>();
  const nobody = new Uint8Array(32);
  const auth: SecretAuth = {
    verify(device, secret) {
      const expected = known.get(device);
      const given = createHash("sha256").update(secret ?? new Uint8Array(0)).digest();
      const equal = timingSafeEqual(given, expected ?? nobody);
      return equal && expected !== undefined && secret !== undefined;
    },
    set(device, sha256) {
      if (!sha256Hex.test(sha256)) {
        throw new Error(`secret of ${device}: not a SHA-256 in lower-case hex`);
      }
      known.set(device, Uint8Array.fromHex(sha256));
    },
    remove: (device) => void known.delete(device),
  };
  for (const [device, sha256] of secrets) {
    auth.set(device, sha256);
  }
  return auth;
}
