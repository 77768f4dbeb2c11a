// SPDX-License-Identifier: Apache-2.0
import { hash } from "node:crypto";
import type { Digest } from "@coalmine/core";
import type { ArtifactStore } from "@coalmine/orchestrator";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

/** Where an artifact store lives during one test. */
export interface ArtifactStoreHome {
  /** Opens the store; a second time, the same one with nothing cached. */
  open(): ArtifactStore;
  /** Whether artifacts are still there when opened again. */
  readonly persistent: boolean;
  /** Changes one stored byte behind the store's back; absent where nobody can. */
  corrupt?(digest: Digest): void;
  dispose(): Promise<void> | void;
}

/** The promises of the `ArtifactStore` port, run against any implementation. */
export function artifactStoreContract(name: string, makeHome: () => ArtifactStoreHome | Promise<ArtifactStoreHome>): void {
  describe(`${name} keeps the contract of an artifact store`, () => {
    let home: ArtifactStoreHome;
    let store: ArtifactStore;

    beforeEach(async () => {
      home = await makeHome();
      store = home.open();
    });
    afterEach(async () => {
      await home.dispose();
    });

    const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
    const absent = "0".repeat(64) as Digest;

    it("names artifacts by their SHA-256 and gives them back", async () => {
      const bytes = bytesOf("image 1.1.0");
      const digest = await store.put(bytes);
      expect(digest).toBe(hash("sha256", bytes));
      expect(store.get(digest)).toEqual(bytes);
      expect(store.get(digest)).toEqual(bytes);
    });

    it("has nothing for a digest it never saw", () => {
      expect(store.get(absent)).toBeNull();
      expect(store.list()).toEqual([]);
    });

    it("keeps an empty artifact and a large one apart", async () => {
      const large = new Uint8Array(3_000_000).fill(0x5a);
      const digests = [await store.put(new Uint8Array(0)), await store.put(large)];
      expect(store.get(digests[0] as Digest)).toEqual(new Uint8Array(0));
      expect(store.get(digests[1] as Digest)?.length).toBe(3_000_000);
      expect(store.list()).toEqual(
        [
          { digest: digests[0], size: 0 },
          { digest: digests[1], size: 3_000_000 },
        ].sort((a, b) => ((a.digest as string) < (b.digest as string) ? -1 : 1)),
      );
    });

    it("stores the same bytes once, one after the other or at the same time", async () => {
      const digests = await Promise.all(Array.from({ length: 10 }, () => store.put(bytesOf("twice"))));
      digests.push(await store.put(bytesOf("twice")));
      expect(new Set(digests).size).toBe(1);
      expect(store.list()).toHaveLength(1);
    });

    it("does not follow later changes of the bytes it was given", async () => {
      const bytes = bytesOf("mine");
      const digest = await store.put(bytes);
      bytes[0] = 0;
      expect(store.get(digest)).toEqual(bytesOf("mine"));
    });

    it("removes an artifact, and removing it again is no error", async () => {
      const digest = await store.put(bytesOf("old release"));
      const kept = await store.put(bytesOf("new release"));
      store.get(digest);
      await store.remove(digest);
      await store.remove(digest);
      await store.remove(absent);
      expect(store.get(digest)).toBeNull();
      expect(store.list().map((one) => one.digest)).toEqual([kept]);
      expect(await store.put(bytesOf("old release"))).toBe(digest);
      expect(store.get(digest)).toEqual(bytesOf("old release"));
    });

    it("still has them when opened again", async () => {
      if (!home.persistent) {
        return;
      }
      const digest = await store.put(bytesOf("kept"));
      store = home.open();
      expect(store.get(digest)).toEqual(bytesOf("kept"));
      expect(store.list()).toEqual([{ digest, size: 4 }]);
    });

    it("refuses bytes that no longer match their digest, until they are stored again", async () => {
      if (home.corrupt === undefined) {
        return;
      }
      const digest = await store.put(bytesOf("precious"));
      home.corrupt(digest);
      store = home.open();
      expect(() => store.get(digest)).toThrow(expect.objectContaining({ code: "store/corrupt-artifact" }));
      expect(await store.put(bytesOf("precious"))).toBe(digest);
      expect(store.get(digest)).toEqual(bytesOf("precious"));
    });
  });
}
