// SPDX-License-Identifier: Apache-2.0
// What a run needs on disk: the trusted key, the fleet's description, and the releases as signed images.
import { type BuiltRelease, deviceDescription, type Fleet, parseScenario } from "@coalmine/fleet";
import { Minutes, type Plan, stageCounts } from "@coalmine/core";
import { planFromData, planPower, readYaml } from "@coalmine/orchestrator";
import { prepare } from "@coalmine/site";
import { execFileSync } from "node:child_process";
import { createPublicKey, type KeyObject } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { coalmine } from "./programs.ts";

export interface LabOptions {
  readonly seed: number;
  readonly devices: number;
  /** Device seconds in a real one, for `serve` and `sim fleet` alike. */
  readonly speed: number;
  /** Every device gets a secret and signs over CoAP, on a network that loses datagrams. */
  readonly coap?: boolean;
  /** Parts of the plan that are other than in the file. */
  readonly planChanges?: Record<string, unknown>;
}

export interface Lab extends LabOptions {
  readonly folder: string;
  /** File of the public key that releases are signed with. */
  readonly key: string;
  /** File of the fleet's description. */
  readonly fleet: string;
  /** What `serve` and `sim fleet` are told for that. */
  readonly secrets: { readonly serve: readonly string[]; readonly fleet: readonly string[] };
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
  const plan = passable({ ...scenario.plan, ...options.planChanges }, options.devices);
  const lab: Lab = { folder, ...options, key: join(folder, "release.pub.pem"), fleet: join(folder, "fleet.yaml"), plan, releases, secrets: options.coap === true ? makeSecrets(folder, fleet, options.devices) : { serve: [], fleet: [] } };
  writeFileSync(lab.key, createPublicKey(fleet.signingKey as KeyObject).export({ type: "spki", format: "pem" }));
  writeFileSync(lab.fleet, JSON.stringify(described));
  return lab;
}

/** Longest time between two reports of a device in the file. */
const slowest = Minutes(6);

/** Second stages to choose from: the file's, and larger ones for fleets of which its share is too few devices to show anything. */
const secondStages = ["25%", "40%", "50%", "60%"];

/**
 * The plan with the first second stage of the list that a good release can pass: a fleet of 60 has three devices between the
 * canary and a quarter, and fifteen without a failure do not exclude what its harm budget wants excluded of the other 45.
 * @throws when none will do: such a rollout holds, and waiting for its end would tell nothing
 */
export function passable(plan: Record<string, unknown>, devices: number): Record<string, unknown> {
  const stages = plan["stages"] as readonly unknown[];
  const choices = stages.length === 3 ? secondStages.map((second) => ({ ...plan, stages: [stages[0], second, stages[2]] })) : [plan];
  const warnings: string[] = [];
  for (const choice of choices) {
    try {
      const power = planPower(planFromData(choice), { stages: sizesFor(planFromData(choice), devices), slowest });
      if (power.hoursToComplete !== null) {
        return choice;
      }
      warnings.push(...power.warnings);
    } catch (error) {
      warnings.push((error as Error).message); // a stage would be empty
    }
  }
  throw new Error(`no good release could pass this plan with ${devices} devices: ${warnings.find((line) => line.includes("cannot exclude")) ?? warnings.join("; ")}`);
}

function sizesFor(plan: Plan, devices: number): { readonly name: string; readonly size: number; readonly controls: number }[] {
  return stageCounts(plan, devices).map((size, index) => ({ name: plan.stages[index]?.name ?? "", size, controls: 0 }));
}

/** By the command that people use: a seal key, and a secret for every device. */
function makeSecrets(folder: string, fleet: Fleet, devices: number): Lab["secrets"] {
  const [sealKey, sealed, plain] = ["seal.key", "devices.secrets", "plain.secrets"].map((file) => join(folder, file)) as [string, string, string];
  const ids = Array.from({ length: devices }, (_, index) => deviceDescription(fleet, index).id);
  const call = (...args: string[]): string => execFileSync(process.execPath, [coalmine, "secret", ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  call("keygen", "--out", sealKey);
  writeFileSync(plain, call("create", ...ids, "--out", sealed, "--seal-key", sealKey), { mode: 0o600 });
  return { serve: ["--device-secrets", sealed, "--seal-key", sealKey], fleet: ["--secrets", plain, "--loss", "5%"] };
}
