// SPDX-License-Identifier: Apache-2.0
// Releases for simulated devices, as files: what a build machine would hand over.
import { type Defect, symbolFile } from "@coalmine/device";
import { assembleFleet, buildRelease, declarationOf, type FleetSpec, labKey, type ReleaseSpec, releaseFromData } from "@coalmine/fleet";
import { readYaml } from "@coalmine/orchestrator";
import { draw } from "@coalmine/world";
import { createPublicKey } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join, relative } from "node:path";
import { writeBytes } from "./files.ts";
import { loadFleet, loadScenario } from "./fleet-source.ts";
import { readSigningKey } from "./keys.ts";
import { badUsage } from "./output/exit.ts";
import { parseDefect } from "./rehearse-defect.ts";

export interface SimReleaseOptions {
  readonly version: string;
  readonly scenario?: string;
  readonly fleet?: string;
  readonly defect?: readonly string[];
  /** `48KiB` */
  readonly size?: string;
  readonly storageSchema?: number;
  readonly seed: number;
  /** File of a private key; the lab's key of the seed without one. */
  readonly key?: string;
  /** Folder. */
  readonly out: string;
}

/** What was written, and the command lines that use it. */
export interface SimRelease {
  readonly version: string;
  readonly seed: number;
  readonly signedBy: string;
  readonly publicKey: string;
  readonly defects: readonly Defect[];
  readonly artifacts: readonly {
    readonly hardware: string;
    /** BOARD/REVISION/PARTITIONMAP, as `release create --artifact` takes it. */
    readonly variant: string;
    readonly file: string;
    /** The build's ELF, as `release symbols` takes it. */
    readonly symbols: string;
    readonly size: number;
    readonly imageHash: string;
    readonly buildId: string;
  }[];
  readonly commands: { readonly serve: string; readonly fleet: string; readonly create: string; readonly symbols: readonly string[] };
}

/**
 * Builds, signs and writes one image per kind of hardware and the public key. The same input gives the same files when the
 * key is Ed25519, as the lab's is. Nothing is written when anything is wrong.
 */
export function writeSimRelease(options: SimReleaseOptions): SimRelease {
  const { fleet: spec, release } = sourcesOf(options);
  const key = options.key === undefined ? labKey(options.seed) : readSigningKey(options.key);
  const fleet = assembleFleet({ ...spec, seed: options.seed }, key);
  const kinds = release.hardware === undefined ? fleet.hardware : fleet.hardware.filter((kind) => release.hardware?.includes(kind.name));
  const built = buildRelease(release, kinds, key);

  const at = (name: string): string => join(options.out, name);
  makeFolder(options.out);
  const publicKey = at("key.pub.pem");
  writeBytes(publicKey, createPublicKey(key).export({ type: "spki", format: "pem" }), { what: "the public key" });
  const artifacts = built.artifacts.map(({ variant, hardware, bytes, imageHash, buildId }) => {
    const file = at(`${built.version}-${hardware}.bin`);
    writeBytes(file, bytes, { what: "the image" });
    const symbols = at(`${built.version}-${hardware}.elf`);
    writeBytes(symbols, symbolFile({ imageHash, buildId }, draw), { what: "the build's ELF" });
    return { hardware, variant: `${variant.board}/${variant.revision}/${variant.partitionMap}`, file, symbols, size: bytes.length, imageHash, buildId };
  });
  const manifest = writeManifest(release, { artifacts, file: at(`${built.version}.yaml`), folder: options.out });
  return {
    version: built.version,
    seed: options.seed,
    signedBy: options.key ?? `lab key of seed ${options.seed}, for simulated devices only`,
    publicKey,
    defects: release.defects,
    artifacts,
    commands: {
      serve: line("npx coalmine serve", ["--key", publicKey]),
      fleet: line("npx coalmine sim fleet", [
        "--connect",
        "mqtt://127.0.0.1:1883",
        "--seed",
        String(options.seed),
        ...fileOption("--fleet", options.scenario ?? options.fleet),
        ...fileOption("--key", options.key),
      ]),
      create: manifest === undefined ? line("npx coalmine release create", [built.version, ...artifacts.flatMap(({ variant, file }) => ["--artifact", `${variant}=${file}`])]) : line("npx coalmine release create", ["--manifest", manifest]),
      symbols: artifacts.map(({ symbols }) => line("npx coalmine release symbols", [built.version, symbols])),
    },
  };
}

/** A release that declares something has a manifest that says it; undefined for the others. */
function writeManifest(release: ReleaseSpec, { artifacts, file, folder }: { readonly artifacts: SimRelease["artifacts"]; readonly file: string; readonly folder: string }): string | undefined {
  const declaration = declarationOf([release], release.version);
  if (Object.keys(declaration).length === 0) {
    return undefined;
  }
  const files = Object.fromEntries(artifacts.map((artifact) => [artifact.variant, relative(folder, artifact.file)]));
  // JSON is YAML, too.
  writeBytes(file, `${JSON.stringify({ id: release.version, artifacts: files, ...declaration }, null, 2)}\n`, { what: "the manifest" });
  return file;
}

function sourcesOf(options: SimReleaseOptions): { readonly fleet: FleetSpec; readonly release: ReleaseSpec } {
  const { scenario: path, version } = options;
  if (path === undefined) {
    const fleet = loadFleet(options.fleet);
    const built = releaseFromData(
      {
        version,
        ...(options.size === undefined ? {} : { size: /^\d+$/.test(options.size) ? Number(options.size) : options.size }),
        ...(options.storageSchema === undefined ? {} : { storageSchema: options.storageSchema }),
      },
      "sim release",
    );
    return { fleet, release: { ...built, defects: (options.defect ?? []).flatMap((text) => defectsOf(text, fleet)) } };
  }
  if (options.fleet !== undefined || options.defect !== undefined || options.size !== undefined || options.storageSchema !== undefined) {
    throw badUsage("--scenario brings its own fleet and release: leave --fleet, --defect, --size and --storage-schema out");
  }
  const scenario = loadScenario(path);
  const release = scenario.releases.find((one) => one.version === version);
  if (release === undefined) {
    throw badUsage(`${path} has no release ${version}; it has ${scenario.releases.map((one) => one.version).join(", ")}`);
  }
  return { fleet: scenario.fleet, release };
}

/** `boot-failure=5%` as a rehearsal takes it, or an entry of a scenario's `defects`, whole or by its kind alone. */
function defectsOf(text: string, fleet: FleetSpec): readonly Defect[] {
  if (text.includes("=") && !text.trimStart().startsWith("{")) {
    return parseDefect(text, fleet).defects;
  }
  const data = readYaml(text, "--defect");
  return releaseFromData({ version: "0.0.0", defects: [typeof data === "string" ? { kind: data } : data] }, `--defect ${text}`).defects;
}

function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (cause) {
    throw badUsage(`cannot use the folder ${folder}: ${(cause as Error).message}`, cause);
  }
}

function fileOption(name: string, file: string | undefined): string[] {
  return file === undefined ? [] : [name, file];
}

/** A command line that a POSIX shell reads as it is meant. */
function line(command: string, words: readonly string[]): string {
  const quoted = words.map((word) => (/^[A-Za-z0-9_./:=+,@%-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`));
  return [command, ...quoted].join(" ");
}
