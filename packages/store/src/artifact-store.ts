// SPDX-License-Identifier: Apache-2.0
// Artifacts as files named by their SHA-256: <dir>/<first two digits>/<digest>. Names are labels; the bytes decide.
import { hash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { CoalmineError, type Digest } from "@coalmine/core";
import type { ArtifactStore } from "@coalmine/orchestrator";
import { ByteCache } from "./byte-cache.ts";
import { syncFolder, writeDurably } from "./durable-file.ts";

export interface ArtifactStoreOptions {
  /** Bytes of artifacts held in memory. One larger artifact is still served, and held alone. */
  readonly cacheBytesMax?: number;
}

const digestName = /^[0-9a-f]{64}$/;

/**
 * Opens a folder of artifacts, creating it when absent. Leftovers of interrupted writes are removed.
 *
 * `get` gives out the cached bytes themselves, so that serving blocks copies nothing: treat them as read-only.
 */
export function openArtifactStore(folder: string, options: ArtifactStoreOptions = {}): ArtifactStore {
  return new FileArtifactStore(folder, options.cacheBytesMax ?? 256 * 1_048_576);
}

class FileArtifactStore implements ArtifactStore {
  readonly #folder: string;
  readonly #incoming: string;
  readonly #cache: ByteCache;
  readonly #writing = new Map<Digest, Promise<void>>();
  #temporaries = 0;

  constructor(folder: string, cacheBytesMax: number) {
    this.#folder = folder;
    this.#incoming = join(folder, "incoming");
    this.#cache = new ByteCache(cacheBytesMax);
    rmSync(this.#incoming, { recursive: true, force: true });
    mkdirSync(this.#incoming, { recursive: true });
  }

  async put(bytes: Uint8Array): Promise<Digest> {
    const digest = hash("sha256", bytes) as Digest;
    // Two uploads of the same bytes at once share one write.
    let writing = this.#writing.get(digest);
    if (writing === undefined) {
      writing = this.#write(digest, bytes).finally(() => this.#writing.delete(digest));
      this.#writing.set(digest, writing);
    }
    await writing;
    return digest;
  }

  get(digest: Digest): Uint8Array | null {
    const held = this.#cache.get(digest);
    if (held !== undefined) {
      return held;
    }
    const bytes = this.#load(digest);
    if (bytes === null) {
      return null;
    }
    if (hash("sha256", bytes) !== digest) {
      throw new CoalmineError(
        "store/corrupt-artifact",
        `artifact ${digest} on disk (${this.#path(digest)}) has other bytes than its name says; upload it again`,
      );
    }
    this.#cache.set(digest, bytes);
    return bytes;
  }

  list(): readonly { readonly digest: Digest; readonly size: number }[] {
    const found: { digest: Digest; size: number }[] = [];
    for (const shard of readdirSync(this.#folder, { withFileTypes: true })) {
      if (!shard.isDirectory() || !/^[0-9a-f]{2}$/.test(shard.name)) {
        continue;
      }
      for (const name of readdirSync(join(this.#folder, shard.name))) {
        const stats = digestName.test(name) ? statSync(join(this.#folder, shard.name, name), { throwIfNoEntry: false }) : undefined;
        if (stats?.isFile() === true) {
          found.push({ digest: name as Digest, size: stats.size });
        }
      }
    }
    return found.sort((a, b) => (a.digest < b.digest ? -1 : 1));
  }

  async remove(digest: Digest): Promise<void> {
    this.#cache.delete(digest);
    const path = this.#path(digest);
    try {
      await rm(path);
    } catch (error) {
      if (isAbsent(error)) {
        return;
      }
      throw failure("remove", path, error);
    }
    await syncFolder(join(path, ".."));
  }

  async #write(digest: Digest, bytes: Uint8Array): Promise<void> {
    const path = this.#path(digest);
    try {
      const stored = this.#load(digest);
      if (stored !== null && hash("sha256", stored) === digest) {
        return;
      }
      const shard = join(path, "..");
      if ((await mkdir(shard, { recursive: true })) !== undefined) {
        await syncFolder(this.#folder);
      }
      this.#temporaries += 1;
      await writeDurably(path, bytes, join(this.#incoming, `${process.pid}-${this.#temporaries}`));
    } catch (error) {
      throw failure("store", path, error);
    }
  }

  #load(digest: Digest): Uint8Array | null {
    try {
      const file = readFileSync(this.#path(digest));
      return new Uint8Array(file.buffer, file.byteOffset, file.length);
    } catch (error) {
      if (isAbsent(error)) {
        return null;
      }
      throw failure("read", this.#path(digest), error);
    }
  }

  #path(digest: Digest): string {
    if (!digestName.test(digest)) {
      throw new Error(`${JSON.stringify(digest)} is not a digest`);
    }
    return join(this.#folder, digest.slice(0, 2), digest);
  }
}

function isAbsent(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}

function failure(doing: string, path: string, cause: unknown): CoalmineError {
  if (cause instanceof CoalmineError) {
    return cause;
  }
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new CoalmineError(`store/artifact-${doing}-failed`, `cannot ${doing} artifact ${path}: ${detail}`, { cause, retry: "later" });
}
