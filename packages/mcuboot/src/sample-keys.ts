// SPDX-License-Identifier: Apache-2.0
import { hex } from "./keys.ts";

/**
 * Key hashes of the signing keys in MCUboot's source repository, whose private halves everybody has.
 * An image signed with one of them is as good as unsigned.
 */
const SAMPLE_KEYS: Readonly<Record<string, string>> = {
  fc5701dc6135e1323847bdc40f04d2e5bee5833b23c29f93593d00018cfa9994: "root-rsa-2048",
  "449793fb65cd7698753d5b3f35fab15f1e3a45111ff24e1d46741de5ae12d59e": "root-rsa-3072",
  e30466f6b8470c1f29070b17f1e2d3e94d445e3f608087fdc711e4382bb538b6: "root-ec-p256",
  c1907fa4eac7fae3840a78902b6f0710b037e9968e5c6274a12a28790c7d4e3c: "root-ed25519",
  "6754edab1e29affef4a05935adecbeb1a7b8b62397b31e39a61b5bfcaafd63af": "root-ed25519-2",
  b1d87d60173352b9a4808979790fc699fb4c4f83b49cf1970edd96ff4adc36a6: "root-ed25519-unknown",
  e6c097daf1458d0f8b8d43fc4b4b9d4425203484b3afe5570ed074073901bab0: "bad-ec-p256",
  e32a93d4ef8c5f4d503642e2cc7c5eece7693e3246c7766dbb4b54d79441db2a: "bad-rsa-2048",
  bb868a727f0ef75e890a6a52bccd1d936fb34438afd6f237e8af259865742446: "cypress-test-ec-p256",
};

/** Fewest bytes of a key hash that identify a key; a bootloader accepts even shorter ones. */
const PREFIX_BYTES_MIN = 4;

/**
 * The name of the published sample key that a key-hash TLV refers to, if it is one.
 *
 * Shortened hashes are recognised too, because bootloaders compare only as many bytes as the TLV has.
 */
export function sampleKeyName(keyHash: Uint8Array): string | undefined {
  if (keyHash.length < PREFIX_BYTES_MIN) {
    return undefined;
  }
  const prefix = hex(keyHash);
  const found = Object.entries(SAMPLE_KEYS).find(([known]) => known.startsWith(prefix));
  return found?.[1];
}
