// SPDX-License-Identifier: Apache-2.0
import type { KeyObject } from "node:crypto";
import { buildImage } from "../build.ts";
import { equalBytes } from "../format.ts";
import { loadPublicKey } from "../keys.ts";
import type { PublicKey } from "../keys.ts";
import { parseImage } from "../parse.ts";
import { verifyImage } from "../verify.ts";
import { mutateImage } from "./mutations.ts";

export interface FuzzReport {
  mutants: number;
  /** Mutants whose signed bytes differ from every original's and that verified nevertheless: must stay 0. */
  accepted: number;
  /** Mutants that verified because header, payload and protected TLVs are an original's, such as one with bytes behind its TLVs. */
  sameContent: number;
  /** Mutants that still have the structure of an image. */
  parsed: number;
  findings: string[];
}

/** Signed images of several kinds, and the question whether a mutant of them is ever taken for one. */
export class ImageTrial {
  readonly #originals: readonly Uint8Array[];
  readonly #signed: readonly Uint8Array[];
  readonly #keys: readonly PublicKey[];
  readonly report: FuzzReport = { mutants: 0, accepted: 0, sameContent: 0, parsed: 0, findings: [] };

  constructor(keys: readonly KeyObject[]) {
    const version = { major: 1, minor: 2, revision: 3, build: 4 };
    this.#originals = keys.flatMap((key, i) => [
      buildImage({ version, headerSize: 32, payload: new Uint8Array(700 + i).map((_, at) => at & 0xff), key }),
      buildImage({
        version,
        headerSize: 64,
        payload: new Uint8Array(300).fill(i),
        key,
        securityCounter: 3,
        dependencies: [{ image: 0, version }],
        protectedTlvs: [{ type: 0xa1, value: Uint8Array.of(1, 2, 3) }],
      }),
    ]);
    this.#signed = this.#originals.map(signedBytes);
    this.#keys = keys.map((key) => loadPublicKey(key));
  }

  /** Parses and verifies one mutant. */
  try(seed: number, number: number): void {
    const { report } = this;
    const { bytes } = mutateImage(this.#originals, seed, number);
    report.mutants++;
    try {
      report.parsed += Number(parseImage(bytes).kind === "image");
      const verdict = verifyImage(bytes, this.#keys);
      if (!verdict.ok) {
        return;
      }
      const content = signedBytes(bytes);
      if (this.#signed.some((original) => equalBytes(original, content))) {
        report.sameContent++;
      } else {
        report.accepted++;
        report.findings.push(`mutant ${number} of seed ${seed} verifies`);
      }
    } catch (error) {
      report.findings.push(`mutant ${number} of seed ${seed} throws ${String(error)}`);
    }
  }
}

/** What hash and signature cover. */
function signedBytes(image: Uint8Array): Uint8Array {
  const parsed = parseImage(image);
  return parsed.kind === "image" ? image.subarray(0, parsed.payload.off + parsed.payload.size + parsed.protTlvSize) : image;
}
