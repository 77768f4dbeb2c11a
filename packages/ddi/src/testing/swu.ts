// SPDX-License-Identifier: Apache-2.0
// Makes archives that SWUpdate installs: cpio in its crc form, signed with CMS by the openssl program.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A key and its certificate in a folder, for signing archives in tests. Throws when there is no openssl. */
export class SwuSigner {
  readonly folder: string;

  /** @param folder an empty one */
  constructor(folder: string) {
    this.folder = folder;
    const usage = ["-addext", "extendedKeyUsage=emailProtection", "-addext", "keyUsage=digitalSignature"];
    execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", join(folder, "swu.key.pem"), "-out", this.certificate, "-days", "3650", "-subj", "/CN=coalmine test", ...usage], { stdio: "ignore" });
  }

  get certificate(): string {
    return join(this.folder, "swu.cert.pem");
  }

  /** An archive that installs `payload` as `path`, below the folder that SWUpdate runs in. */
  archive(options: { readonly version: string; readonly payload: Uint8Array; readonly path: string }): Uint8Array {
    const { version, payload, path } = options;
    const sha256 = createHash("sha256").update(payload).digest("hex");
    const description = new TextEncoder().encode(`software =
{
  version = "${version}";
  hardware-compatibility = [ "1.0" ];
  files: ( { filename = "payload"; path = "${path}"; sha256 = "${sha256}"; } );
}
`);
    return cpio([["sw-description", description], ["sw-description.sig", this.#sign(description)], ["payload", payload]]);
  }

  #sign(bytes: Uint8Array): Uint8Array {
    const [file, signature] = [join(this.folder, "sw-description"), join(this.folder, "sw-description.sig")];
    writeFileSync(file, bytes);
    execFileSync("openssl", ["cms", "-sign", "-in", file, "-out", signature, "-signer", this.certificate, "-inkey", join(this.folder, "swu.key.pem"), "-outform", "DER", "-nosmimecap", "-binary"], { stdio: "ignore" });
    return new Uint8Array(readFileSync(signature));
  }
}

/** A cpio archive with checksums ("070702"), padded to whole blocks. */
export function cpio(members: readonly (readonly [name: string, data: Uint8Array])[]): Uint8Array {
  const parts = [...members, ["TRAILER!!!", new Uint8Array(0)] as const].map(([name, data], index) => {
    const named = new TextEncoder().encode(`${name}\0`);
    const sum = data.reduce((total, byte) => (total + byte) >>> 0, 0);
    const fields = [index + 1, 0o100644, 0, 0, 1, 0, data.length, 0, 0, 0, 0, named.length, sum];
    const header = new TextEncoder().encode(`070702${fields.map((field) => field.toString(16).toUpperCase().padStart(8, "0")).join("")}`);
    return Buffer.concat([padded(Buffer.concat([header, named]), 4), padded(data, 4)]);
  });
  return new Uint8Array(padded(Buffer.concat(parts), 512));
}

function padded(bytes: Uint8Array, to: number): Buffer {
  return Buffer.concat([bytes, new Uint8Array((to - (bytes.length % to)) % to)]);
}
