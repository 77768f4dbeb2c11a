// SPDX-License-Identifier: Apache-2.0
import { hash } from "node:crypto";

/**
 * The contents of one flash sector, shared by every simulated device that has the same bytes there.
 *
 * `bytes` must never be written to: a device that changes a sector gets its own copy first.
 */
export interface Sector {
  /** Unique within the pool; two sectors of one pool are equal exactly when their ids are. */
  readonly id: number;
  readonly bytes: Uint8Array;
}

const DIGESTS_MAX = 8192;

/**
 * Interns sector contents, so that ten thousand devices with one image hold its bytes once and
 * "the same flash" is a comparison of identities.
 *
 * Contents nobody refers to any more may be collected; they then get a new id when they appear again, which
 * costs a cache miss and changes no outcome.
 */
export class SectorPool {
  readonly #byDigest = new Map<string, WeakRef<Sector>>();
  readonly #erased = new Map<number, Sector>();
  readonly #digests = new Map<string, Uint8Array>();
  readonly #sliced = new WeakMap<Uint8Array, Map<string, readonly Sector[]>>();
  #nextId = 1;
  #sweepAt = 4096;

  /** The shared sector with these contents. The pool keeps `bytes` itself when they are new: do not write to them afterwards. */
  intern(bytes: Uint8Array): Sector {
    const name = `${bytes.length}:${hash("sha256", bytes, "base64")}`;
    const known = this.#byDigest.get(name)?.deref();
    if (known !== undefined) {
      return known;
    }
    const sector: Sector = { id: this.#nextId++, bytes };
    this.#byDigest.set(name, new WeakRef(sector));
    if (this.#byDigest.size >= this.#sweepAt) {
      this.#sweep();
    }
    return sector;
  }

  /** The erased sector of a size: all 0xff. */
  erased(size: number): Sector {
    let sector = this.#erased.get(size);
    if (sector === undefined) {
      sector = this.intern(new Uint8Array(size).fill(0xff));
      this.#erased.set(size, sector);
    }
    return sector;
  }

  /**
   * `image` written from byte `off` into erased sectors of the given sizes, as shared sectors.
   *
   * Remembered per image object, so installing one artifact on many devices hashes it once. `image` must not change afterwards.
   */
  place(image: Uint8Array, sectorSizes: readonly number[], off: number): readonly Sector[] {
    let layouts = this.#sliced.get(image);
    if (layouts === undefined) {
      layouts = new Map();
      this.#sliced.set(image, layouts);
    }
    const name = `${off}:${sectorSizes.join(",")}`;
    let sectors = layouts.get(name);
    if (sectors === undefined) {
      let at = -off;
      sectors = sectorSizes.map((size) => {
        const begin = at;
        at += size;
        if (begin + size <= 0 || begin >= image.length) {
          return this.erased(size);
        }
        const bytes = new Uint8Array(size).fill(0xff);
        const from = Math.max(begin, 0);
        bytes.set(image.subarray(from, Math.min(begin + size, image.length)), from - begin);
        return this.intern(bytes);
      });
      layouts.set(name, sectors);
    }
    return sectors;
  }

  /** The SHA-256 of a run of shared bytes, computed once per `name`: the name must identify the bytes (`Flash.rangeIdentity`). */
  digest(name: string, bytes: () => Uint8Array | undefined): Uint8Array | undefined {
    let digest = this.#digests.get(name);
    if (digest === undefined) {
      const content = bytes();
      if (content === undefined) {
        return undefined;
      }
      digest = new Uint8Array(hash("sha256", content, "buffer"));
      if (this.#digests.size >= DIGESTS_MAX) {
        this.#digests.clear();
      }
      this.#digests.set(name, digest);
    }
    return digest;
  }

  /** Number of distinct sector contents known, including ones that may be collected. */
  get size(): number {
    return this.#byDigest.size;
  }

  #sweep(): void {
    for (const [name, ref] of this.#byDigest) {
      if (ref.deref() === undefined) {
        this.#byDigest.delete(name);
      }
    }
    this.#sweepAt = Math.max(4096, this.#byDigest.size * 2);
  }
}
