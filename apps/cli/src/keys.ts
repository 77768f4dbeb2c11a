// SPDX-License-Identifier: Apache-2.0
import { type KeyKind, loadPublicKey, loadSigningKey, type PublicKey } from "@coalmine/mcuboot";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { readBytes } from "./files.ts";
import { badUsage } from "./output/exit.ts";

const keyBytesMax = 64 * 1024;

/** A public key from PEM or DER; of a private key its public half. */
export function readPublicKey(file: string): PublicKey {
  const bytes = readBytes(file, { what: "key", bytesMax: keyBytesMax });
  return named(file, () => loadPublicKey(isPem(bytes) ? textOf(bytes) : bytes));
}

export function readSigningKey(file: string): KeyObject {
  const bytes = readBytes(file, { what: "key", bytesMax: keyBytesMax });
  return named(file, () => {
    const key = loadSigningKey(isPem(bytes) ? textOf(bytes) : bytes);
    loadPublicKey(key); // refuses kinds no bootloader here verifies
    return key;
  });
}

/** A fresh key pair from the system's random source. The one thing here that takes no seed, on purpose. */
export function generateKeys(kind: KeyKind): { readonly privatePem: string; readonly publicPem: string; readonly hash: string } {
  const { privateKey, publicKey } = pairOf(kind);
  return {
    privatePem: privateKey.export({ type: "pkcs8", format: "pem" }),
    publicPem: publicKey.export({ type: "spki", format: "pem" }),
    hash: loadPublicKey(publicKey).hash.toHex(),
  };
}

function pairOf(kind: KeyKind): { readonly privateKey: KeyObject; readonly publicKey: KeyObject } {
  switch (kind) {
    case "ed25519":
      return generateKeyPairSync("ed25519");
    case "ecdsa-p256":
      return generateKeyPairSync("ec", { namedCurve: "prime256v1" });
    case "rsa-2048":
      return generateKeyPairSync("rsa", { modulusLength: 2048 });
    case "rsa-3072":
      return generateKeyPairSync("rsa", { modulusLength: 3072 });
  }
}

function named<T>(file: string, load: () => T): T {
  try {
    return load();
  } catch (cause) {
    throw badUsage(`key ${file}: ${(cause as Error).message}`, cause);
  }
}

function isPem(bytes: Uint8Array): boolean {
  return textOf(bytes.subarray(0, 4_096)).includes("-----BEGIN ");
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder("latin1").decode(bytes);
}
