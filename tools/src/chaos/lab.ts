// SPDX-License-Identifier: Apache-2.0
// What a run needs on disk: the trusted key, the fleet's description, and the releases as signed images.
import { type BuiltRelease, parseScenario } from "@coalmine/fleet";
import { readYaml } from "@coalmine/orchestrator";
import { prepare } from "@coalmine/site";
import { createPublicKey, type KeyObject } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface LabOptions {
  readonly seed: number;
  readonly devices: number;
  /** Device seconds in a real one, for `serve` and `sim fleet` alike. */
  readonly speed: number;
  /** Parts of the plan that are other than in the file. */
  readonly planChanges?: Record<string, unknown>;
}

export interface Lab extends LabOptions {
  readonly folder: string;
  /** File of the public key that releases are signed with. */
  readonly key: string;
  /** File of the fleet's description. */
  readonly fleet: string;
  /** The plan as the API takes it. */
  readonly plan: Record<string, unknown>;
  readonly releases: ReadonlyMap<string, BuiltRelease>;
}

const name = "serve-kills.yaml";

/** Makes the files of a lab in `folder`. Everything follows from the seed. */
export function prepareLab(folder: string, options: LabOptions): Lab {
  const text = readFileSync(new URL(name, import.meta.url), "utf8");
  const scenario = parseScenario(text, { source: name });
  const described = (readYaml(text, name) as { readonly fleet: unknown }).fleet;
  const { fleet, releases } = prepare(scenario, options);
  mkdirSync(folder, { recursive: true });
  const lab: Lab = { folder, ...options, key: join(folder, "release.pub.pem"), fleet: join(folder, "fleet.yaml"), plan: { ...scenario.plan, ...options.planChanges }, releases };
  writeFileSync(lab.key, createPublicKey(fleet.signingKey as KeyObject).export({ type: "spki", format: "pem" }));
  writeFileSync(lab.fleet, JSON.stringify(described));
  return lab;
}
