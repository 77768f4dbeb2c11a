// SPDX-License-Identifier: Apache-2.0
import { createHmac } from "node:crypto";

/** What the key is made of, besides the secret: another door's key from the same secret is another one. */
const label = "coalmine/1 coap key";

/**
 * The key a device signs with over CoAP: HMAC-SHA-256 of the label under the device's secret (the bytes of its text).
 * So a host that signs and checks needs no secret, and what it keeps opens no other door.
 */
export function coapKey(secret: string): Uint8Array {
  return new Uint8Array(createHmac("sha256", secret).update(label).digest());
}
