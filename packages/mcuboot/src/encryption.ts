// SPDX-License-Identifier: Apache-2.0
import type { KeyObject } from "node:crypto";
import { createCipheriv, createHmac, createPublicKey, diffieHellman, hkdfSync } from "node:crypto";
import type { BootConfig } from "./config.ts";
import { TlvType, equalBytes } from "./format.ts";
import { ENC_KEY_BYTES } from "./trailer.ts";

// MCUboot design document, "Encrypted images": AES-128-CTR over the payload, the key wrapped with ECIES
// (X25519 or P-256, HKDF-SHA256 with a zero salt, HMAC-SHA256 over the wrapped key).

const INFO = new TextEncoder().encode("MCUBoot_ECIES_v1");

/** TLV type and layout of the wrapped key for one kind of encryption. */
export function wrappedKeyTlv(enc: NonNullable<BootConfig["enc"]>): { type: number; publicBytes: number; size: number } {
  const publicBytes = enc === "x25519" ? 32 : 65;
  const type = enc === "x25519" ? TlvType.encryptedX25519 : TlvType.encryptedEc256;
  return { type, publicBytes, size: publicBytes + 32 + ENC_KEY_BYTES };
}

/** The image key from a wrapped-key TLV's value; nothing when the tag does not match or the point is bad. */
export function unwrapKey(enc: NonNullable<BootConfig["enc"]>, privateKey: KeyObject, value: Uint8Array): Uint8Array | undefined {
  const { publicBytes, size } = wrappedKeyTlv(enc);
  if (value.length !== size) {
    return undefined;
  }
  try {
    const publicKey = rawPublicKey(enc, value.subarray(0, publicBytes));
    const shared = new Uint8Array(diffieHellman({ privateKey, publicKey }));
    const derived = new Uint8Array(hkdfSync("sha256", shared, new Uint8Array(32), INFO, ENC_KEY_BYTES + 32));
    const tag = value.subarray(publicBytes, publicBytes + 32);
    const wrapped = value.subarray(publicBytes + 32);
    const expected = new Uint8Array(createHmac("sha256", derived.subarray(ENC_KEY_BYTES)).update(wrapped).digest());
    return equalBytes(tag, expected) ? applyKeystream(derived.subarray(0, ENC_KEY_BYTES), 0, wrapped) : undefined;
  } catch {
    // A point that is not on the curve, or a private key of the other kind.
    return undefined;
  }
}

/** Encrypts or decrypts payload bytes whose first one is byte `off` of the payload; the two are the same operation. */
export function applyKeystream(key: Uint8Array, off: number, bytes: Uint8Array): Uint8Array {
  const counter = new Uint8Array(16);
  new DataView(counter.buffer).setUint32(12, off >>> 4);
  const cipher = createCipheriv("aes-128-ctr", key, counter);
  const lead = off & 0xf;
  if (lead > 0) {
    cipher.update(new Uint8Array(lead));
  }
  return new Uint8Array(cipher.update(bytes));
}

function rawPublicKey(enc: NonNullable<BootConfig["enc"]>, raw: Uint8Array): KeyObject {
  if (enc === "x25519") {
    return createPublicKey({ key: { kty: "OKP", crv: "X25519", x: base64url(raw) }, format: "jwk" });
  }
  if (raw[0] !== 4) {
    throw new Error("not an uncompressed point");
  }
  return createPublicKey({
    key: { kty: "EC", crv: "P-256", x: base64url(raw.subarray(1, 33)), y: base64url(raw.subarray(33)) },
    format: "jwk",
  });
}

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
