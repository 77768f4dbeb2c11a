// SPDX-License-Identifier: Apache-2.0
import { hash } from "node:crypto";
import { CoalmineError, type Digest } from "@coalmine/core";
import type { ArtifactStore } from "@coalmine/orchestrator";

/** Artifacts in memory, for virtual time. Bytes are copied in, and checked when first read as the files are. */
export function memoryArtifactStore(): ArtifactStore {
  const held = new Map<Digest, Uint8Array>();
  const checked = new Set<Digest>();
  return {
    async put(bytes) {
      const digest = hash("sha256", bytes) as Digest;
      if (!held.has(digest)) {
        held.set(digest, bytes.slice());
      }
      return digest;
    },
    get(digest) {
      const bytes = held.get(digest) ?? null;
      if (bytes !== null && !checked.has(digest)) {
        if (hash("sha256", bytes) !== digest) {
          throw new CoalmineError("store/corrupt-artifact", `artifact ${digest} in memory has other bytes than its name says`);
        }
        checked.add(digest);
      }
      return bytes;
    },
    list: () => [...held].map(([digest, { length }]) => ({ digest, size: length })).sort((a, b) => (a.digest < b.digest ? -1 : 1)),
    async remove(digest) {
      held.delete(digest);
      checked.delete(digest);
    },
  };
}
