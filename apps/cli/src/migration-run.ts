// SPDX-License-Identifier: Apache-2.0
// The migration matrix of a release: of a scenario file, or registered with an orchestrator and made of simulated images.
import { readProgram } from "@coalmine/device";
import { assembleFleet, factoryBuilds, type Fleet, isOlder, type LabBuild, labBuild, labBuilds, labKey, type Matrix, matrixResult, migrationMatrix, oldestFirst } from "@coalmine/fleet";
import { parseImage, verifyImage } from "@coalmine/mcuboot";
import type { MatrixResult } from "@coalmine/orchestrator";
import { type Client, path } from "./client.ts";
import { loadFleet, loadScenario } from "./fleet-source.ts";
import { readSigningKey } from "./keys.ts";
import { badUsage } from "./output/exit.ts";
import type { Release } from "./release-view.ts";

export interface MigrationTestOptions {
  /** A scenario file, or the id of a registered release. */
  readonly release: string;
  /** Version of the scenario that is meant; its last one if not given. */
  readonly version?: string | undefined;
  readonly fleet?: string | undefined;
  readonly hardware?: readonly string[] | undefined;
  readonly from?: readonly string[] | undefined;
  readonly seed: number;
  readonly key?: string | undefined;
  /** Needed for a registered release. */
  readonly client?: Client | undefined;
  readonly progress?: (done: number, total: number) => void;
}

/** The matrix, and what of it is recorded with the release. */
export interface MigrationTest {
  /** Id of the release that it is about. */
  readonly release: string;
  readonly matrix: Matrix;
  readonly result: MatrixResult;
}

export function isScenarioFile(release: string): boolean {
  return /\.ya?ml$/.test(release);
}

/** Runs the matrix. Throws `cli/usage` for what cannot be tested. */
export async function testMigration(options: MigrationTestOptions): Promise<MigrationTest> {
  const { fleet, target, earlier, id } = isScenarioFile(options.release) ? ofScenario(options) : await registered(options);
  const missing = options.from?.find((version) => !earlier.some((one) => one.release.version === version));
  if (missing !== undefined) {
    throw badUsage(`--from ${missing}: there is no build of it; there are ${earlier.map((one) => one.release.version).join(", ") || "none"}`);
  }
  const from = earlier.filter((one) => options.from === undefined || options.from.includes(one.release.version));
  if (from.length === 0) {
    throw badUsage(`no version older than ${target.release.version} to come from: name a fleet that runs one with --fleet`);
  }
  const matrix = migrationMatrix({ fleet, target, from, hardware: options.hardware, seed: options.seed, ...(options.progress === undefined ? {} : { progress: options.progress }) });
  return { release: id, matrix, result: matrixResult(matrix, target.release) };
}

interface Subject {
  readonly id: string;
  readonly fleet: Fleet;
  readonly target: LabBuild;
  readonly earlier: readonly LabBuild[];
}

function ofScenario(options: MigrationTestOptions): Subject {
  const scenario = loadScenario(options.release);
  const spec = options.fleet === undefined ? scenario.fleet : loadFleet(options.fleet);
  const fleet = assembleFleet({ ...spec, seed: options.seed }, keyOf(options));
  const version = options.version ?? scenario.releases.at(-1)?.version ?? "";
  if (!scenario.releases.some((one) => one.version === version)) {
    throw badUsage(`--release ${version}: ${options.release} has ${scenario.releases.map((one) => one.version).join(", ")}`);
  }
  return { id: version, fleet, ...labBuilds(fleet, scenario.releases, version) };
}

function keyOf(options: MigrationTestOptions) {
  return options.key === undefined ? labKey(options.seed) : readSigningKey(options.key);
}

/** The artifacts of a registered release, and those of older ones. */
async function registered(options: MigrationTestOptions): Promise<Subject> {
  const { client } = options;
  if (client === undefined) {
    throw badUsage(`${options.release} is no scenario file, and no orchestrator is named that could have such a release: give --url`);
  }
  const fleet = assembleFleet({ ...loadFleet(options.fleet), seed: options.seed }, keyOf(options));
  const one = await client.get<Release>(path`/releases/${options.release}`);
  const { releases } = await client.get<{ releases: readonly Release[] }>("/releases");
  const build = async (release: Release): Promise<LabBuild> => {
    const artifacts = [];
    for (const { variant, digest, imageHash } of release.artifacts) {
      const kind = fleet.hardware.find((hardware) => hardware.board === variant.board && hardware.revision === variant.revision && hardware.partitionMap === variant.partitionMap);
      if (kind !== undefined) {
        const bytes = await client.bytes(path`/artifacts/${digest}`);
        refuseForeign(release.id, bytes, fleet);
        artifacts.push({ variant, hardware: kind.name, bytes, imageHash, buildId: "" });
      }
    }
    return labBuild({ version: release.version, artifacts }, release.storage);
  };
  const earlier: LabBuild[] = [];
  for (const release of releases) {
    if (release.id !== one.id && isOlder(release.version, one.version)) {
      earlier.push(await build(release));
    }
  }
  return { id: one.id, fleet, target: await build(one), earlier: oldestFirst([...factoryBuilds(fleet, one.version, earlier), ...earlier]) };
}

/** The lab can only run what it knows to be a simulated image, signed with the key that its bootloaders trust. */
function refuseForeign(id: string, bytes: Uint8Array, fleet: Fleet): void {
  const image = parseImage(bytes);
  if (image.kind !== "image" || readProgram(bytes.subarray(image.payload.off, image.payload.off + image.payload.size)) === undefined) {
    throw badUsage(`release ${id} is no simulated firmware, so it cannot run here: run its matrix on boards, and record what came of it with "coalmine release attest"`);
  }
  const verified = verifyImage(bytes, [fleet.publicKey]);
  if (!verified.ok) {
    throw badUsage(`release ${id} is not signed with the key of this lab (${verified.reason}): give the --seed, or the --key, that sim release was given`);
  }
}
