// SPDX-License-Identifier: Apache-2.0
import { KeyObject, constants, createPrivateKey, createPublicKey, hash, sign, verify } from "node:crypto";
import { CoalmineError } from "@coalmine/core";
import { TlvType } from "./format.ts";

/** The signature types MCUboot can be built for (one per bootloader), and `none` for hash only. */
export type SignatureKind = "none" | "ecdsa-p256" | "ed25519" | "rsa-2048" | "rsa-3072";
export type KeyKind = Exclude<SignatureKind, "none">;

/** A verification key as a bootloader holds it. */
export interface PublicKey {
  readonly kind: KeyKind;
  readonly key: KeyObject;
  /** SHA-256 of the encoding MCUboot embeds: PKCS#1 for RSA, SubjectPublicKeyInfo for the others. */
  readonly hash: Uint8Array;
}

export type KeyInput = KeyObject | string | Uint8Array;
/** A private key: KeyObject, PEM text, or PKCS#8 DER. */
export type SigningKey = KeyInput;

export const SIGNATURE_TLV: Readonly<Record<KeyKind, number>> = {
  "ecdsa-p256": TlvType.ecdsa,
  ed25519: TlvType.ed25519,
  "rsa-2048": TlvType.rsa2048,
  "rsa-3072": TlvType.rsa3072,
};

/** Longest signature TLV the bootloader's buffer takes, in bytes. */
export const SIGNATURE_BYTES_MAX: Readonly<Record<KeyKind, number>> = {
  "ecdsa-p256": 128,
  ed25519: 64,
  "rsa-2048": 256,
  "rsa-3072": 384,
};

/**
 * Reads a verification key from PEM, DER (SubjectPublicKeyInfo or PKCS#1) or a KeyObject; a private key gives its public half.
 *
 * @throws CoalmineError `mcuboot/bad-key` when it is no key, `mcuboot/unsupported-key` for types MCUboot does not verify here.
 */
export function loadPublicKey(input: KeyInput | PublicKey): PublicKey {
  if (isPublicKey(input)) {
    return input;
  }
  const key = readPublic(input);
  const kind = keyKind(key);
  const encoded = kind === "rsa-2048" || kind === "rsa-3072" ? key.export({ type: "pkcs1", format: "der" }) : key.export({ type: "spki", format: "der" });
  return { kind, key, hash: new Uint8Array(hash("sha256", encoded, "buffer")) };
}

/** Reads a private key. @throws CoalmineError like `loadPublicKey`. */
export function loadSigningKey(input: SigningKey): KeyObject {
  if (input instanceof KeyObject) {
    return input;
  }
  try {
    return typeof input === "string"
      ? createPrivateKey(input)
      : createPrivateKey(pem("PRIVATE KEY", input));
  } catch (cause) {
    throw new CoalmineError("mcuboot/bad-key", "the signing key is not a readable private key (PEM or PKCS#8 DER, without a password)", { cause });
  }
}

/** SHA-256 of a public key in the encoding that a key-hash TLV refers to. */
export function publicKeyHash(key: KeyInput | PublicKey): Uint8Array {
  return loadPublicKey(key).hash;
}

export function keyKind(key: KeyObject): KeyKind {
  const details = key.asymmetricKeyDetails;
  switch (key.asymmetricKeyType) {
    case "ed25519":
      return "ed25519";
    case "ec":
      if (details?.namedCurve === "prime256v1") {
        return "ecdsa-p256";
      }
      break;
    case "rsa":
      if (details?.modulusLength === 2048) {
        return "rsa-2048";
      }
      if (details?.modulusLength === 3072) {
        return "rsa-3072";
      }
      break;
    default:
      break;
  }
  throw new CoalmineError(
    "mcuboot/unsupported-key",
    `key type ${key.asymmetricKeyType ?? "unknown"} ${details?.namedCurve ?? details?.modulusLength ?? ""} is not supported: use ed25519, ecdsa-p256, rsa-2048 or rsa-3072`,
  );
}

/** Signs an image: Ed25519 over the SHA-256 digest, the others over the bytes themselves. ECDSA and RSA differ from run to run. */
export function signBytes(key: KeyObject, signed: Uint8Array, digest: Uint8Array): Uint8Array {
  switch (keyKind(key)) {
    case "ed25519":
      return new Uint8Array(sign(null, digest, key));
    case "ecdsa-p256":
      return new Uint8Array(sign("sha256", signed, { key, dsaEncoding: "der" }));
    case "rsa-2048":
    case "rsa-3072":
      return new Uint8Array(sign("sha256", signed, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }));
  }
}

/** Verifies one signature TLV the way the bootloader does, including its lenient reading of ECDSA's DER. */
export function verifySignature(key: PublicKey, input: { signed: () => Uint8Array; digest: Uint8Array; signature: Uint8Array }): boolean {
  const name = `${hex(key.hash)}${hex(input.digest)}${hex(input.signature)}`;
  const known = verdicts.get(name);
  if (known !== undefined) {
    return known;
  }
  const verdict = check(key, input);
  if (verdicts.size >= VERDICTS_MAX) {
    verdicts.clear();
  }
  verdicts.set(name, verdict);
  return verdict;
}

// A verdict depends on nothing but its name, so remembering it changes no outcome; the bound only limits memory.
const VERDICTS_MAX = 8192;
const verdicts = new Map<string, boolean>();

function check(key: PublicKey, { signed, digest, signature }: { signed: () => Uint8Array; digest: Uint8Array; signature: Uint8Array }): boolean {
  try {
    switch (key.kind) {
      case "ed25519":
        return signature.length === 64 && verify(null, digest, key.key, signature);
      case "ecdsa-p256": {
        const raw = ecdsaFromDer(signature);
        return raw !== undefined && verify("sha256", signed(), { key: key.key, dsaEncoding: "ieee-p1363" }, raw);
      }
      case "rsa-2048":
      case "rsa-3072":
        return verify("sha256", signed(), { key: key.key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }, signature);
    }
  } catch {
    // OpenSSL reports some malformed signatures as errors instead of false.
    return false;
  }
}

/** r and s as 64 bytes. Only the low 32 bytes of each integer count, and bytes after the two integers are ignored. */
function ecdsaFromDer(der: Uint8Array): Uint8Array | undefined {
  const outer = derItem(der, 0, 0x30);
  const r = outer && derItem(der, outer.off, 0x02);
  const s = r && derItem(der, r.off + r.len, 0x02);
  if (r === undefined || s === undefined) {
    return undefined;
  }
  const raw = new Uint8Array(64);
  for (const [item, end] of [[r, 32], [s, 64]] as const) {
    const used = Math.min(item.len, 32);
    raw.set(der.subarray(item.off + item.len - used, item.off + item.len), end - used);
  }
  return raw;
}

function derItem(bytes: Uint8Array, at: number, tag: number): { off: number; len: number } | undefined {
  if (bytes[at] !== tag) {
    return undefined;
  }
  const first = bytes[at + 1];
  if (first === undefined) {
    return undefined;
  }
  let off = at + 2;
  let len = first;
  if (first >= 0x80) {
    const count = first & 0x7f;
    if (count < 1 || count > 4 || off + count > bytes.length) {
      return undefined;
    }
    len = 0;
    for (let i = 0; i < count; i++) {
      len = len * 256 + (bytes[off + i] ?? 0);
    }
    off += count;
  }
  return off + len > bytes.length ? undefined : { off, len };
}

function readPublic(input: KeyInput): KeyObject {
  if (input instanceof KeyObject) {
    return input.type === "private" ? createPublicKey(input) : input;
  }
  if (typeof input === "string") {
    try {
      return createPublicKey(input);
    } catch (cause) {
      throw new CoalmineError("mcuboot/bad-key", "the key is not a readable PEM public key", { cause });
    }
  }
  for (const label of ["PUBLIC KEY", "RSA PUBLIC KEY"]) {
    try {
      return createPublicKey(pem(label, input));
    } catch {
      // Not this encoding; the next one may fit.
    }
  }
  throw new CoalmineError("mcuboot/bad-key", "the key is neither a SubjectPublicKeyInfo nor a PKCS#1 public key in DER");
}

function isPublicKey(input: KeyInput | PublicKey): input is PublicKey {
  return typeof input === "object" && "kind" in input && "hash" in input;
}

function pem(label: string, der: Uint8Array): string {
  let text = "";
  for (const byte of der) {
    text += String.fromCharCode(byte);
  }
  return `-----BEGIN ${label}-----\n${btoa(text)}\n-----END ${label}-----\n`;
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** Lower-case hexadecimal text. */
export function hex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) {
    text += HEX[byte] ?? "";
  }
  return text;
}
