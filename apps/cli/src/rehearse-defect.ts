// SPDX-License-Identifier: Apache-2.0
// Hypothetical defects of a rehearsal as people write them, and the device's defects they stand for.
import { CoalmineError, parseDuration } from "@coalmine/core";
import type { Defect, DefectBehaviour, DefectFilter } from "@coalmine/device";
import type { FleetSpec } from "@coalmine/fleet";

/** One hypothetical release. */
export interface Hypothesis {
  /** `boot-failure`, or with its conditions `hardware=revB,boot-failure`. */
  readonly name: string;
  readonly value: string;
  readonly defects: readonly Defect[];
}

const conditions = ["hardware", "connectivity", "from"] as const;

/** What a name means, and how its value is written. */
const effects: Readonly<Record<string, string>> = {
  "boot-failure": "share of devices whose update hangs on trial and reverts: boot-failure=5%",
  "crash-rate": "crash rate against the fleet's own: crash-rate=5x",
  "crash-onset": "the crash rate (crash-rate, 5x if not given) begins this long after the update: crash-onset=48h",
  battery: "more battery drain: battery=+30%",
  silent: "share of devices that run on but fall silent: silent=2%",
  brick: "share of devices that die within a day of the update: brick=1%",
  leak: "memory is exhausted this long after every boot: leak=20h",
  "link-loss": "share of the time without a link: link-loss=20%",
};

/** For help. */
export const defectHelp: readonly string[] = [
  ...Object.entries(effects).map(([name, text]) => `${name.padEnd(13)} ${text}`),
  `${"hardware=REV".padEnd(13)} only on that hardware kind or revision: hardware=revB,boot-failure=20%`,
  `${"connectivity=NAME, from=VERSION".padEnd(13)} only there; conditions stand before the defect, separated by commas`,
];

/** Reads `boot-failure=5%` or `hardware=revB,boot-failure=20%`. Throws `rehearse/defect` saying what is allowed. */
export function parseDefect(text: string, fleet: FleetSpec): Hypothesis {
  const pairs = text.split(",").map((part): readonly [string, string] => {
    const at = part.indexOf("=");
    return at <= 0 ? fail(text, `${JSON.stringify(part)} is not NAME=VALUE`) : [part.slice(0, at).trim(), part.slice(at + 1).trim()];
  });
  const isCondition = (name: string): boolean => conditions.some((condition) => condition === name);
  const only = filterOf(text, pairs.filter(([name]) => isCondition(name)), fleet);
  const wanted = pairs.filter(([name]) => !isCondition(name));
  if (wanted.length === 0) {
    fail(text, "names no defect, only where it would be");
  }
  const given = new Map(wanted);
  const defects = wanted.flatMap(([name, value]) => behaviours(text, name, value, given, fleet)).map(({ share, behaviour }): Defect => {
    const filter = { ...only, ...(share === undefined ? {} : { share }) };
    return Object.keys(filter).length === 0 ? behaviour : { ...behaviour, only: filter };
  });
  const [, value] = wanted.at(-1) as readonly [string, string];
  return { name: text.slice(0, text.length - value.length).replace(/\s*=\s*$/, ""), value, defects };
}

function behaviours(
  text: string,
  name: string,
  value: string,
  given: ReadonlyMap<string, string>,
  fleet: FleetSpec,
): readonly { readonly behaviour: DefectBehaviour; readonly share?: number }[] {
  switch (name) {
    case "boot-failure":
      return [{ behaviour: { kind: "hang-before-confirm", after_s: 5, early: false }, share: share(text, value) }];
    case "crash-rate":
      return given.has("crash-onset") ? [] : [{ behaviour: { kind: "crash-rate", multiplier: multiple(text, value) } }];
    case "crash-onset": {
      const more = multiple(text, given.get("crash-rate") ?? "5x") - 1;
      const perDay = fleet.noise.crashesPerDay * more;
      if (!(perDay > 0)) {
        fail(text, "a fleet that never crashes has no rate to multiply; set noise.crashesPerDay, or a crash-rate above 1x");
      }
      return [{ behaviour: { kind: "late-crash", onset_s: seconds(text, value), mean_s: Math.round(86_400 / perDay) } }];
    }
    case "battery":
      return [{ behaviour: { kind: "battery-drain", multiplier: 1 + share(text, value.replace(/^\+/, ""), 100) } }];
    case "silent":
      return [{ behaviour: { kind: "silent", after_s: 6 * 3_600 }, share: share(text, value) }];
    case "brick":
      return [{ behaviour: { kind: "slow-brick", after_s: 1_800, spread_s: 86_400 }, share: share(text, value) }];
    case "leak":
      return [{ behaviour: { kind: "leak", exhausted_s: seconds(text, value) } }];
    case "link-loss":
      return [{ behaviour: { kind: "link-loss", share: share(text, value) } }];
    default:
      return fail(text, `${JSON.stringify(name)} is none of ${[...Object.keys(effects), ...conditions].join(", ")}`);
  }
}

function filterOf(text: string, pairs: readonly (readonly [string, string])[], fleet: FleetSpec): DefectFilter {
  let filter: DefectFilter = {};
  for (const [name, value] of pairs) {
    switch (name) {
      case "hardware": {
        const kinds = fleet.hardware.filter((kind) => kind.name === value || kind.revision === value);
        if (kinds.length === 0) {
          fail(text, `the fleet has no hardware ${JSON.stringify(value)}; it has ${fleet.hardware.map((kind) => kind.name).join(", ")}`);
        }
        filter = { ...filter, boards: unique(kinds.map((kind) => kind.board)), revisions: unique(kinds.map((kind) => kind.revision)) };
        break;
      }
      case "connectivity":
        if (!fleet.connectivity.some((kind) => kind.name === value)) {
          fail(text, `the fleet has no connectivity ${JSON.stringify(value)}; it has ${fleet.connectivity.map((kind) => kind.name).join(", ")}`);
        }
        filter = { ...filter, connectivity: [value] };
        break;
      default:
        filter = { ...filter, fromVersions: [value] };
    }
  }
  return filter;
}

const unique = (values: readonly string[]): string[] => [...new Set(values)];

function share(text: string, value: string, max = 1): number {
  const match = /^(\d+(?:\.\d+)?)(%?)$/.exec(value);
  const number = match === null ? Number.NaN : Number(match[1]) / (match[2] === "%" ? 100 : 1);
  return number > 0 && number <= max ? number : fail(text, `${JSON.stringify(value)} is not a share: write 5%`);
}

function multiple(text: string, value: string): number {
  const match = /^(\d+(?:\.\d+)?)x?$/.exec(value);
  const number = Number(match?.[1]);
  return number > 0 ? number : fail(text, `${JSON.stringify(value)} is not a multiple: write 5x`);
}

function seconds(text: string, value: string): number {
  const length = parseDuration(value);
  return length > 0 ? Math.round(length / 1_000) : fail(text, `${JSON.stringify(value)} must be longer than 0s`);
}

function fail(text: string, why: string): never {
  throw new CoalmineError("rehearse/defect", `--defect ${text}: ${why}`);
}
