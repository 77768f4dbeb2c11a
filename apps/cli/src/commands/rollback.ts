// SPDX-License-Identifier: Apache-2.0
import type { Command } from "commander";
import { authorityOf, type AuthorityFlags, authorityOptions, type ClientFlags, clientOf, clientOptions, path } from "../client.ts";
import { about } from "../output/exit.ts";
import { output } from "../output/output.ts";
import { facts, table } from "../output/table.ts";
import { tone } from "../output/text.ts";
import type { Rollout } from "../rollout-view.ts";
import { whole } from "./arguments.ts";
import { example } from "./example.ts";

interface RollbackFlags extends ClientFlags, AuthorityFlags {
  readonly to?: string;
  readonly plan?: string;
  readonly emergency?: true;
  readonly includeRefused?: true;
  readonly override?: true;
  readonly id?: string;
  readonly seed?: number;
}

interface RollbackPlan {
  readonly of: string;
  readonly from: string;
  readonly to: string;
  readonly version: string;
  readonly emergency: boolean;
  readonly plan: string;
  readonly counts: Readonly<Record<string, number>>;
  readonly total: number;
  readonly mayBeRefused: number;
  readonly members: number;
  readonly stages: readonly { readonly name: string; readonly size: number; readonly devices: readonly string[] }[];
  readonly devices: readonly { readonly device: string; readonly class: string; readonly hit: string; readonly reason: string }[];
  readonly offer: string | null;
  readonly warnings: readonly string[];
}

export function register(program: Command): void {
  const rollback = program.command("rollback").description("bring the devices that a rollout reached back to an earlier release");
  example(
    options(rollback.command("plan").description("what becomes of each device: swap-back, download, refused by its bootloader ...; changes nothing"), "optional").action(plan),
    "coalmine rollback plan r2",
    "coalmine rollback plan r2 --to 1.1.0 --json",
  );
  example(
    options(rollback.command("start").description("start it: the rollout ends, its release is barred, its exposed devices go over"), "needed")
      .option("--id <id>", "name of the rollback; else r1, r2 ... like every rollout")
      .option("--override", "lift a bar on the release that is gone back to; the reason is recorded")
      .action(start),
    "coalmine rollback start r2 --reason 'crashes in the field'",
    "coalmine rollback start r2 --emergency --reason 'devices overheat'",
  );
  example(
    clientOptions(rollback.command("inventory").description("which devices could go back to the image in their other slot by an order, and whose next upload would destroy the last good one"))
      .option("--release <id>", "only devices that run this release")
      .option("--strata <names>", "dimensions, separated by commas", "hardware")
      .action(inventory),
    "coalmine rollback inventory --release 1.2.0",
  );
}

interface Share {
  readonly devices: number;
  readonly able: number;
  readonly share: number | null;
}

interface Inventory extends Share {
  readonly byRelease: readonly (Share & { readonly release: string })[];
  readonly byStratum: readonly (Share & { readonly stratum: string })[];
  readonly reasons: readonly { readonly reason: string; readonly devices: number }[];
  readonly lastWayBack: readonly { readonly device: string; readonly runs: string; readonly why: string; readonly keeps: string }[];
}

async function inventory(flags: ClientFlags & { readonly release?: string; readonly strata: string }): Promise<void> {
  const query = new URLSearchParams({ strata: flags.strata, ...(flags.release === undefined ? {} : { release: flags.release }) });
  const made = await clientOf(flags).get<Inventory>(`/rollbacks/inventory?${query.toString()}`);
  const shown = ({ devices, able, share }: Share): (string | number)[] => [devices, able, share === null ? "-" : `${Math.round(share * 100)} %`];
  const columns = [{ title: "DEVICES", align: "right" as const }, { title: "ABLE", align: "right" as const }, { title: "SHARE", align: "right" as const }];
  output(flags).result(made, () => {
    const parts = [
      facts([["can go back by an order", `${made.able} of ${made.devices} devices`]]),
      table([{ title: "RELEASE", flexible: true }, ...columns], made.byRelease.map((one) => [one.release, ...shown(one)])),
      table([{ title: "STRATUM", flexible: true }, ...columns], made.byStratum.map((one) => [one.stratum, ...shown(one)])),
    ];
    if (made.reasons.length > 0) {
      parts.push(table([{ title: "DEVICES", align: "right" }, { title: "CANNOT, BECAUSE" }], made.reasons.map(({ reason, devices }) => [devices, reason])));
    }
    if (made.lastWayBack.length > 0) {
      parts.push(`the next upload destroys the last good image of\n${table([{ title: "DEVICE" }, { title: "RUNS" }, { title: "KEEPS" }, { title: "WHY" }], made.lastWayBack.slice(0, 50).map((one) => [one.device, one.runs, one.keeps, one.why]))}`);
    }
    return parts.join("\n\n");
  });
}

function options(command: Command, reason: "needed" | "optional"): Command {
  return authorityOptions(clientOptions(command.argument("<rollout>", "the rollout that is rolled back")), { reason })
    .option("--to <release>", "release to go back to; without it the one that most of its devices ran before")
    .option("--plan <file>", "instead of the plan that is made from the rollout's own (YAML)")
    .option("--emergency", "half the devices, then all, without a soak; stops at the first that comes back badly")
    .option("--include-refused", "also devices whose bootloader is predicted to refuse: they lose the image in slot 1")
    .option("--seed <n>", "seed of the order; else that of the rollout", whole(0));
}

async function requestOf(rollout: string, flags: RollbackFlags): Promise<Record<string, unknown>> {
  return {
    rollout,
    ...(flags.to === undefined ? {} : { to: flags.to }),
    ...(flags.plan === undefined ? {} : { plan: await readPlan(flags.plan) }),
    ...(flags.emergency === undefined ? {} : { emergency: true }),
    ...(flags.includeRefused === undefined ? {} : { includeRefused: true }),
    ...(flags.seed === undefined ? {} : { seed: flags.seed }),
    ...authorityOf(flags),
  };
}

async function readPlan(file: string): Promise<string> {
  const { readText } = await import("../files.ts");
  const { parsePlan } = await import("@coalmine/orchestrator");
  const text = readText(file, { what: "plan", bytesMax: 256 * 1024 });
  try {
    parsePlan(text, file);
  } catch (error) {
    throw about(file, error);
  }
  return text;
}

async function plan(rollout: string, flags: RollbackFlags): Promise<void> {
  const result = await clientOf(flags).post<RollbackPlan>("/rollbacks/plan", await requestOf(rollout, flags));
  output(flags).result(result, () => describe(result));
}

async function start(rollout: string, flags: RollbackFlags): Promise<void> {
  const client = clientOf(flags);
  const body = { ...(await requestOf(rollout, flags)), ...(flags.id === undefined ? {} : { id: flags.id }), ...(flags.override === undefined ? {} : { override: true }) };
  const started = await client.post<{ id: string; rollback: RollbackPlan }>("/rollbacks", body);
  const made = await client.get<Rollout>(path`/rollouts/${started.id}`);
  output(flags).result({ ...made, planned: started.rollback }, () => `rollback ${started.id} of rollout ${rollout} started; follow it with: coalmine rollout wait ${started.id}\n\n${describe(started.rollback)}`);
}

const meanings: Readonly<Record<string, string>> = {
  "swap-back": "slot 1 holds the image: an order, no download",
  download: "a download",
  undecided: "on trial or under way: may go back by itself, else it is brought back",
  unreachable: "silent: goes back when it is heard again",
  refused: "left out: the bootloader would refuse it and erase slot 1",
  schema: "left out: the earlier release cannot read its stored data",
  unfit: "left out: the earlier release does not fit it",
  elsewhere: "left out: in another rollout",
  back: "runs something else already",
};

const leftOut: ReadonlySet<string> = new Set(["refused", "schema", "unfit", "elsewhere"]);

function describe(made: RollbackPlan): string {
  const counted = Object.entries(made.counts).filter(([, count]) => count > 0);
  const reasons = new Map<string, number>();
  for (const { class: name, reason } of made.devices) {
    if (reason !== "" && (leftOut.has(name) || name === "swap-back" || name === "download")) {
      reasons.set(`${name}: ${reason}`, (reasons.get(`${name}: ${reason}`) ?? 0) + 1);
    }
  }
  const parts = [
    facts([
      ["rollout", made.of],
      ["from", made.from],
      ["to", `${made.to} (${made.version})`],
      ["plan", `${made.plan}${made.emergency ? ", emergency" : ""}`],
      ["devices", `${made.total} reached, ${made.members} go back${made.mayBeRefused === 0 ? "" : `, ${made.mayBeRefused} of them may be refused by their bootloader`}`],
    ]),
    table(
      [{ title: "CLASS" }, { title: "DEVICES", align: "right" }, { title: "MEANING", flexible: true }],
      counted.map(([name, count]) => [leftOut.has(name) ? { text: name, tone: "warn" as const } : name, count, meanings[name] ?? ""]),
    ),
    table(
      [{ title: "STAGE" }, { title: "DEVICES", align: "right" }, { title: "WORST HIT FIRST", flexible: true }],
      made.stages.map((stage) => [stage.name, stage.size, stage.devices.slice(0, 6).join(" ") + (stage.devices.length > 6 ? " ..." : "")]),
    ),
  ];
  if (reasons.size > 0) {
    parts.push(table([{ title: "DEVICES", align: "right" }, { title: "BECAUSE" }], [...reasons].map(([reason, count]) => [count, reason])));
  }
  if (made.offer !== null) {
    parts.push(made.offer);
  }
  for (const warning of made.warnings) {
    parts.push(`${tone("warn", "warning")}: ${warning}`);
  }
  return parts.join("\n\n");
}
