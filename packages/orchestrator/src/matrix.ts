// SPDX-License-Identifier: Apache-2.0
// The migration matrix that a release was tested with (R43), and what it leaves open: a migration stays in its canary stage without a green one.
import type { DeviceId, Rollout } from "@coalmine/core";
import { CoalmineError } from "@coalmine/core";
import { z } from "zod";
import type { DeviceRecord } from "./inventory.ts";
import { artifactFor, type ReleaseRecord } from "./membership.ts";
import { orderOf } from "./versions.ts";

/** What a test of a release's migration found. The whole table stays with whoever ran it. */
export interface MatrixResult {
  readonly ok: boolean;
  /** Versions it was tested from. */
  readonly from: readonly string[];
  /** Image hashes (hex) of the artifacts that ran. */
  readonly images: readonly string[];
  readonly cells: number;
  readonly failed: number;
  readonly boards: number;
  readonly cuts: number;
  readonly seed: number;
  /** First cells that failed, in words. */
  readonly failures: readonly string[];
}

/** The same for the API. */
export const matrixFields = {
  ok: z.boolean(),
  from: z.array(z.string().min(1).max(32)).min(1).max(256).describe("versions it was tested from"),
  images: z.array(z.string().regex(/^[0-9a-f]{64}$/, "must be an image hash in 64 lower-case hex digits")).min(1).max(64).describe("image hashes of the artifacts that ran"),
  cells: z.int().min(1).max(1_000_000),
  failed: z.int().min(0).max(1_000_000),
  boards: z.int().min(0).max(1_000_000_000),
  cuts: z.int().min(0).max(1_000_000_000),
  seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER),
  failures: z.array(z.string().max(500)).max(32).describe("first cells that failed"),
};

/** Refuses a result that contradicts itself or is about another release. Throws `release/matrix`. */
export function checkMatrix(release: ReleaseRecord, matrix: MatrixResult): void {
  const fail = (why: string): never => {
    throw new CoalmineError("release/matrix", `release ${release.id}: ${why}`);
  };
  if (matrix.ok !== (matrix.failed === 0) || matrix.failed > matrix.cells) {
    fail(`a matrix with ${matrix.failed} of ${matrix.cells} cells failed cannot be ${matrix.ok ? "green" : "red"}`);
  }
  const own = new Set(release.artifacts.map((artifact) => artifact.imageHash));
  const foreign = matrix.images.find((image) => !own.has(image));
  if (foreign !== undefined) {
    fail(`the matrix is of image ${foreign.slice(0, 16)}, which is none of its artifacts`);
  }
}

/**
 * Why a migration may not leave its canary stage; undefined when it may, or when the release is none. Members that have no offer yet
 * are what would come next: their images and versions must be in the matrix.
 */
export function matrixGap(release: ReleaseRecord, rollout: Pick<Rollout, "members">, devices: ReadonlyMap<DeviceId, DeviceRecord>): string | undefined {
  if (!release.migration) {
    return undefined;
  }
  const { matrix } = release;
  const how = `run "coalmine migrate test ${release.id} --fleet FLEET.yaml --url URL"`;
  if (matrix === null) {
    return `release ${release.id} is a migration without a migration matrix: ${how}`;
  }
  if (!matrix.ok) {
    return `the migration matrix of release ${release.id} is red, ${matrix.failed} of ${matrix.cells} cells: ${matrix.failures[0] ?? "no cell is named"}`;
  }
  const untested = new Set<string>();
  for (const { device: id, offer } of rollout.members) {
    const device = devices.get(id);
    const artifact = device === undefined ? undefined : artifactFor(release, device);
    if (offer !== 0 || device === undefined || artifact === undefined) {
      continue;
    }
    if (!matrix.images.includes(artifact.imageHash)) {
      untested.add(`${artifact.variant.board} ${artifact.variant.revision}`);
    }
    const version = device.running?.version || "an unknown version";
    if (!matrix.from.some((from) => from === version || orderOf(from, version) === "same")) {
      untested.add(`devices from ${version}`);
    }
  }
  return untested.size === 0 ? undefined : `the migration matrix of release ${release.id} leaves out ${[...untested].sort().join(", ")}: ${how}`;
}
