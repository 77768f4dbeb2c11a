// SPDX-License-Identifier: Apache-2.0
// The ELF of a build, kept so that its crashes have names.
import { type Authority, CoalmineError, type Digest, type Instant, type ReleaseId } from "@coalmine/core";
import { readSymbols, type SymbolTable } from "@coalmine/coredump";
import type { Conductor, Outcome } from "../conductor.ts";
import type { ReleaseArtifact } from "../entry.ts";
import type { ReleaseRecord } from "../membership.ts";
import { checkAuthority, releaseOf } from "../operations.ts";
import type { ArtifactStore } from "../ports.ts";

/** Largest ELF taken in, in bytes. */
export const symbolsBytesMax = 32 * 1024 * 1024;

export interface SymbolsInput {
  readonly release: string;
  /** The ELF file, with its symbol table. */
  readonly bytes: Uint8Array;
  /** Build id that devices report, in hex; else the GNU build id of the file. */
  readonly buildId?: string | undefined;
  readonly authority: Authority;
}

export interface AddedSymbols {
  readonly buildId: string;
  /** The artifacts of the release that it is the program of, by image hash. */
  readonly imageHashes: readonly string[];
  readonly digest: Digest;
  readonly size: number;
  /** Functions and objects with a name. */
  readonly symbols: number;
}

/** Names for the addresses of one build. */
export type CrashSymbols = SymbolTable;

/** Reads an ELF; undefined when it has no symbols. */
export function loadSymbols(elf: Uint8Array): CrashSymbols | undefined {
  const table = readSymbols(elf);
  return table.kind === "symbols" ? table : undefined;
}

const hexBytes = /^(?:[0-9a-f]{2}){4,32}$/;

/**
 * The artifacts that are the program of a build: those whose files hold the build id, as linkers put it there; of a release with
 * one artifact, that one. What is not kept any more is not looked into.
 */
function programsOf(release: ReleaseRecord, buildId: string, artifacts: Pick<ArtifactStore, "get">): string[] {
  const [only] = release.artifacts;
  if (release.artifacts.length === 1 && only !== undefined) {
    return [only.imageHash];
  }
  const id = Buffer.from(buildId, "hex");
  return release.artifacts.flatMap(({ digest, imageHash }) => {
    const bytes = artifacts.get(digest);
    return bytes !== null && Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes(id) ? [imageHash] : [];
  });
}

/** The build id of an artifact: of the ELF that was given for it. Null until there is one. */
export function buildIdOf(release: Pick<ReleaseRecord, "symbols">, artifact: Pick<ReleaseArtifact, "imageHash">): string | null {
  return Object.entries(release.symbols).findLast(([, { imageHashes }]) => imageHashes?.includes(artifact.imageHash))?.[0] ?? null;
}

/** Checks a file of symbols. Throws `symbols/...` saying what is wrong and what to try. */
export function inspectSymbols(conductor: Conductor, input: SymbolsInput, artifacts: Pick<ArtifactStore, "get">): Omit<AddedSymbols, "digest"> {
  checkAuthority(input.authority, "adding symbols");
  const release = releaseOf(conductor, input.release);
  if (input.bytes.length > symbolsBytesMax) {
    throw new CoalmineError("symbols/size", `the ELF of ${input.bytes.length} bytes is larger than ${symbolsBytesMax}; keep the symbol table and strip debug sections (objcopy --strip-debug)`);
  }
  const table = readSymbols(input.bytes);
  if (table.kind === "broken") {
    throw new CoalmineError("symbols/elf", `not an ELF with symbols: ${table.detail}; give the zephyr.elf of the build, unstripped`);
  }
  const buildId = (input.buildId ?? table.buildId ?? "").toLowerCase();
  if (!hexBytes.test(buildId)) {
    throw new CoalmineError(
      "symbols/build",
      input.buildId === undefined ? "the ELF has no GNU build id: name the build id that its devices report" : `build id ${JSON.stringify(input.buildId)} is not 4 to 32 bytes in hex`,
    );
  }
  return { buildId, imageHashes: programsOf(release, buildId, artifacts), size: input.bytes.length, symbols: table.symbols.length };
}

export function addSymbols(conductor: Conductor, input: SymbolsInput, added: AddedSymbols, at: Instant): Outcome {
  const { buildId, digest, size, imageHashes } = added;
  return conductor.change({ type: "symbols-added", release: input.release as ReleaseId, buildId, imageHashes, digest, size, authority: input.authority }, at);
}
