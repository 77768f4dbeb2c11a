// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Digest } from "@coalmine/core";
import { artifactStoreContract } from "@coalmine/testkit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openArtifactStore } from "./artifact-store.ts";
import { ByteCache } from "./byte-cache.ts";
import { memoryArtifactStore } from "./memory-artifacts.ts";

const pathOf = (folder: string, digest: Digest): string => join(folder, digest.slice(0, 2), digest);

artifactStoreContract("the store on disk", () => {
  const folder = mkdtempSync(join(tmpdir(), "coalmine-artifacts-"));
  return {
    open: () => openArtifactStore(folder),
    persistent: true,
    corrupt: (digest) => {
      const bytes = readFileSync(pathOf(folder, digest));
      bytes[2] = (bytes[2] ?? 0) ^ 1;
      writeFileSync(pathOf(folder, digest), bytes);
    },
    dispose: () => rmSync(folder, { recursive: true }),
  };
});

artifactStoreContract("the store in memory", () => ({ open: () => memoryArtifactStore(), persistent: false, dispose: () => undefined }));

describe("the store on disk", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "coalmine-artifacts-"));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  it("holds no more bytes in memory than its budget, and still serves them all", async () => {
    const store = openArtifactStore(folder, { cacheBytesMax: 2_500 });
    const digests: Digest[] = [];
    for (let index = 0; index < 5; index += 1) {
      digests.push(await store.put(new Uint8Array(1_000).fill(index)));
    }
    const first = digests.map((digest) => store.get(digest));
    expect(first.map((bytes) => bytes?.[0])).toEqual([0, 1, 2, 3, 4]);
    // Held: the same array. Dropped: read again.
    expect(store.get(digests[4] as Digest)).toBe(first[4]);
    expect(store.get(digests[0] as Digest)).not.toBe(first[0]);
  });

  it("clears what an interrupted write left, and ignores files that are no artifacts", async () => {
    const store = openArtifactStore(folder);
    const digest = await store.put(new Uint8Array([1]));
    writeFileSync(join(folder, "incoming", "1234-1"), "half");
    writeFileSync(join(folder, digest.slice(0, 2), "notes.txt"), "mine");
    expect(openArtifactStore(folder).list()).toEqual([{ digest, size: 1 }]);
    expect(() => readFileSync(join(folder, "incoming", "1234-1"))).toThrow("ENOENT");
  });

  it("never builds a path from a name that is no digest", () => {
    expect(() => openArtifactStore(folder).get("../../etc/passwd" as Digest)).toThrow("not a digest");
  });
});

describe("the byte cache", () => {
  it("drops what was used longest ago, but never the newest", () => {
    const cache = new ByteCache(10);
    cache.set("a", new Uint8Array(4));
    cache.set("b", new Uint8Array(4));
    cache.get("a");
    cache.set("c", new Uint8Array(4));
    expect([cache.get("a") !== undefined, cache.get("b") !== undefined, cache.get("c") !== undefined]).toEqual([true, false, true]);
    cache.set("huge", new Uint8Array(50));
    expect(cache.get("huge")?.length).toBe(50);
    expect(cache.bytes).toBe(50);
    cache.set("huge", new Uint8Array(3));
    expect(cache.bytes).toBe(3);
  });
});
