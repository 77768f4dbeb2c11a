// SPDX-License-Identifier: Apache-2.0
// Which builds a migration matrix is about: the release, and the versions that devices may come from.
import { compareVersion, parseVersion } from "@coalmine/mcuboot";
import type { Fleet } from "./fleet.ts";
import { failuresOf, type LabBuild, type Matrix } from "./migration-lab.ts";
import { type BuiltRelease, buildRelease } from "./release.ts";
import { declarationOf, type ReleaseSpec } from "./scenario.ts";
import { storageDeclared } from "./storage-file.ts";

/** A built release with the storage schemas it declares. */
export function labBuild(release: BuiltRelease, storage: { readonly minRead: number; readonly maxRead: number; readonly writes: number } | null): LabBuild {
  return { release, reads: storage, writes: storage?.writes ?? null };
}

export function isOlder(version: string, than: string): boolean {
  return compareVersion(parseVersion(version), parseVersion(than), { build: true }) < 0;
}

/** One of these releases, and the older ones of them that devices may come from, the fleet's factory versions included. Oldest first. */
export function labBuilds(fleet: Fleet, releases: readonly ReleaseSpec[], version: string): { readonly target: LabBuild; readonly earlier: readonly LabBuild[] } {
  const built = (spec: ReleaseSpec): LabBuild => {
    const kinds = fleet.hardware.filter((kind) => spec.hardware?.includes(kind.name) ?? true);
    return labBuild(buildRelease(spec, kinds, fleet.signingKey), declarationOf(releases, spec.version).storage ?? null);
  };
  const target = releases.find((one) => one.version === version);
  if (target === undefined) {
    throw new RangeError(`no release ${version} among ${releases.map((one) => one.version).join(", ")}`);
  }
  const known = releases.filter((one) => one.reversionOf === undefined && isOlder(one.version, version)).map(built);
  return { target: built(target), earlier: oldestFirst([...factoryBuilds(fleet, version, known), ...known]) };
}

/** The versions that the fleet's devices left the factory with, but for those that a release is known of. */
export function factoryBuilds(fleet: Fleet, version: string, known: readonly LabBuild[]): LabBuild[] {
  return fleet.spec.firmware
    .filter((one) => one.share > 0 && isOlder(one.version, version) && !known.some((build) => build.release.version === one.version))
    .map((one) => {
      const built = buildRelease({ ...one, size: one.size ?? fleet.spec.imageSize }, fleet.hardware, fleet.signingKey);
      return labBuild(built, one.storage === undefined ? null : storageDeclared(one.storage, one.storageSchema ?? 1));
    });
}

export function oldestFirst(builds: readonly LabBuild[]): LabBuild[] {
  return [...builds].sort((a, b) => compareVersion(parseVersion(a.release.version), parseVersion(b.release.version), { build: true }));
}

/** What is recorded of a matrix with the release. */
export function matrixResult(matrix: Matrix, release: BuiltRelease) {
  return {
    ok: matrix.ok,
    from: matrix.from,
    images: release.artifacts.filter((artifact) => matrix.hardware.includes(artifact.hardware)).map((artifact) => artifact.imageHash),
    cells: matrix.cells.length,
    failed: matrix.cells.filter((cell) => !cell.ok).length,
    boards: matrix.boards,
    cuts: matrix.cuts,
    seed: matrix.seed,
    failures: failuresOf(matrix),
  };
}
