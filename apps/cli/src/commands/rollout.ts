// SPDX-License-Identifier: Apache-2.0
import type { Command } from "commander";
import process from "node:process";
import { authorityOf, type AuthorityFlags, authorityOptions, type ClientFlags, clientOf, clientOptions, path } from "../client.ts";
import { about, badUsage } from "../output/exit.ts";
import { output } from "../output/output.ts";
import { table } from "../output/table.ts";
import { tone, toneOf } from "../output/text.ts";
import { describeChanges, describeMembership, describeRollout, type Membership, type PlanChange, type Rollout, rolloutExitCode } from "../rollout-view.ts";
import { whole } from "./arguments.ts";
import { example } from "./example.ts";
import { type SelectorFlags, selectorOf, selectorOptions } from "./selector.ts";

interface StartFlags extends ClientFlags, AuthorityFlags, SelectorFlags {
  readonly plan: string;
  readonly id?: string;
  readonly cohort?: string;
  readonly seed: number;
  readonly override?: true;
}

interface FollowFlags extends ClientFlags {
  readonly timeout?: number;
  readonly interval: number;
}

const orders = {
  promote: "open the next stage without a pass",
  hold: "open no further stage until it is resumed",
  halt: "stop all offers now",
  resume: "go on after a hold or a halt",
  abort: "end it for good",
} as const;

interface OrderFlags extends ClientFlags, AuthorityFlags {
  readonly override?: true;
}

export function register(program: Command): void {
  const rollout = program.command("rollout").description("roll a release out in stages, and stop on evidence");
  example(
    startOptions(rollout.command("plan").description("what starting would do: members, stages, who is left out; changes nothing"), { reason: "optional" }).action(plan),
    "coalmine rollout plan 1.2.0 --plan plan.yaml --cohort field",
  );
  example(
    startOptions(rollout.command("start").description("start a rollout"), { reason: "needed" }).option("--override", "lift a bar on the release; the reason is recorded").action(start),
    "coalmine rollout start 1.2.0 --plan plan.yaml --reason 'weekly release'",
  );
  example(
    startOptions(rollout.command("apply").description("make a plan file true: start it, or leave it alone when it runs already; after a halt or hold a changed plan is the next revision"), { reason: "needed" })
      .option("--override", "lift the bar that a halt put on the release; the reason is recorded")
      .action(apply),
    "coalmine rollout apply 1.2.0 --plan plan.yaml --reason 'merge of #42'",
  );
  example(clientOptions(rollout.command("list").description("list rollouts")).action(list), "coalmine rollout list");
  example(clientOptions(rollout.command("show").description("stages, states and gates of one rollout").argument("<id>")).action(show), "coalmine rollout show r1 --json");
  for (const [name, about] of [
    ["watch", "follow a rollout until it ends; always ends with 0"],
    ["wait", "follow a rollout until it ends or holds; ends with the verdict's exit code: 0 pass, 1 fail, 2 inconclusive or on hold"],
  ] as const) {
    example(
      clientOptions(rollout.command(name).description(about).argument("<id>"))
        .option("--timeout <seconds>", "give up after this long (exit code 2)", whole(1))
        .option("--interval <milliseconds>", "time between looks", whole(50, 60_000), 1_000)
        .action((id: string, flags: FollowFlags) => follow(id, flags, name)),
      `coalmine rollout ${name} r1`,
    );
  }
  for (const [name, about] of Object.entries(orders) as [keyof typeof orders, string][]) {
    const command = authorityOptions(clientOptions(rollout.command(name).description(about).argument("<id>")), { reason: "needed" });
    if (name === "promote") {
      command.option("--override", "although the release is a migration that is not shown to be good; the reason is recorded");
    }
    example(
      command.action((id: string, flags: OrderFlags) => order(id, name, flags)),
      `coalmine rollout ${name} r1 --reason 'seen in the lab'`,
    );
  }
  example(
    authorityOptions(clientOptions(rollout.command("excuse").description("take one device out of the count").argument("<id>").argument("<device>")), { reason: "needed" }).action(excuse),
    "coalmine rollout excuse r1 bench-17 --reason 'unplugged for repair'",
  );
  example(
    clientOptions(rollout.command("report").description("why it stands where it stands: gates with both arms, devices, crash signatures (Markdown; --json for programs)").argument("<id>"))
      .option("--html", "one HTML page that stands by itself, with charts")
      .option("--out <file>", "write it to a file instead of stdout")
      .action(report),
    "coalmine rollout report r2 > report.md",
    "coalmine rollout report r2 --html --out report.html",
  );
}

function startOptions(command: Command, options: { readonly reason: "needed" | "optional" }): Command {
  return selectorOptions(authorityOptions(clientOptions(command.argument("<release>")), options))
    .requiredOption("--plan <file>", "the plan (YAML)")
    .option("--cohort <name>", "devices of this cohort; without cohort or selector every device")
    .option("--id <id>", "name of the rollout; else r1, r2 ...")
    .option("--seed <n>", "seed of the canary draw and the order of devices", whole(0), 1);
}

async function requestOf(release: string, flags: StartFlags): Promise<Record<string, unknown>> {
  const { readText } = await import("../files.ts");
  const { parsePlan } = await import("@coalmine/orchestrator");
  const text = readText(flags.plan, { what: "plan", bytesMax: 256 * 1024 });
  try {
    parsePlan(text, flags.plan);
  } catch (error) {
    throw about(flags.plan, error); // here the message can name the file
  }
  const selector = selectorOf(flags);
  if (selector !== undefined && flags.cohort !== undefined) {
    throw badUsage("--cohort and a selector (--device, --tag, --attribute) exclude each other");
  }
  return {
    release,
    plan: text,
    seed: flags.seed,
    ...(flags.id === undefined ? {} : { id: flags.id }),
    ...(flags.cohort === undefined ? {} : { cohort: flags.cohort }),
    ...(selector === undefined ? {} : { selector }),
    ...(flags.override === undefined ? {} : { override: true }),
    ...authorityOf(flags),
  };
}

async function plan(release: string, flags: StartFlags): Promise<void> {
  const result = await clientOf(flags).post<Membership>("/rollouts/plan", await requestOf(release, flags));
  output(flags).result(result, () => describeMembership(result));
}

async function start(release: string, flags: StartFlags): Promise<void> {
  const client = clientOf(flags);
  const started = await client.post<{ id: string; membership: Membership }>("/rollouts", await requestOf(release, flags));
  const made = await client.get<Rollout>(path`/rollouts/${started.id}`);
  output(flags).result({ ...made, membership: started.membership }, () => `rollout ${started.id} started\n\n${describeMembership(started.membership)}`);
}

interface Applied {
  readonly action: "started" | "unchanged" | "revised";
  readonly rollout: string;
  readonly replaces: string | null;
  readonly changes: readonly PlanChange[];
  readonly membership: Membership | null;
}

async function apply(release: string, flags: StartFlags): Promise<void> {
  const done = await clientOf(flags).post<Applied>("/rollouts/apply", await requestOf(release, flags));
  const said = {
    started: () => `rollout ${done.rollout} started`,
    unchanged: () => `rollout ${done.rollout} is as the plan says: nothing to do`,
    revised: () => `rollout ${done.rollout} follows ${done.replaces} with the next revision of the plan`,
  }[done.action]();
  output(flags).result(done, () => [said, ...(done.changes.length === 0 ? [] : [describeChanges(done.changes)]), ...(done.membership === null ? [] : [describeMembership(done.membership)])].join("\n\n"));
}

async function list(flags: ClientFlags): Promise<void> {
  const found = await clientOf(flags).get<{ rollouts: readonly Rollout[] }>("/rollouts");
  output(flags).result(found, () =>
    found.rollouts.length === 0
      ? "no rollouts"
      : table(
          [{ title: "ROLLOUT" }, { title: "RELEASE" }, { title: "STATUS" }, { title: "VERDICT" }, { title: "STAGE" }, { title: "HEALTHY", align: "right" }, { title: "EXPOSED", align: "right" }, { title: "DEVICES", align: "right" }, { title: "STARTED" }],
          found.rollouts.map((one) => [
            one.id,
            one.release,
            { text: one.status, tone: toneOf(one.status) },
            { text: one.verdict, tone: toneOf(one.verdict) },
            one.stages.findLast((stage) => stage.openedAt !== null)?.name ?? "-",
            one.states["healthy"] ?? 0,
            one.exposed,
            one.population,
            one.startedAt.slice(0, 19),
          ]),
        ),
  );
}

async function show(id: string, flags: ClientFlags): Promise<void> {
  const one = await clientOf(flags).get<Rollout>(path`/rollouts/${id}`);
  output(flags).result(one, () => describeRollout(one));
}

async function follow(id: string, flags: FollowFlags, name: "watch" | "wait"): Promise<void> {
  const { followRollout } = await import("../follow.ts");
  const { rollout: one, timedOut } = await followRollout(clientOf(flags), id, {
    interval_ms: flags.interval,
    timeout_s: flags.timeout,
    untilHeld: name === "wait",
  });
  const out = output(flags);
  if (timedOut) {
    out.note(`gave up after ${flags.timeout} s: rollout ${id} is ${one.status}`);
  }
  out.result(one, () => describeRollout(one));
  process.exitCode = name === "watch" ? 0 : rolloutExitCode(one);
}

async function order(id: string, kind: keyof typeof orders, flags: OrderFlags): Promise<void> {
  const client = clientOf(flags);
  // A halt must not depend on a fresh look.
  const ifMatch = kind === "halt" ? undefined : (await client.look<Rollout>(path`/rollouts/${id}`)).etag;
  const one = await client.post<Rollout>(path`/rollouts/${id}/${kind}`, { ...authorityOf(flags), ...(flags.override === true ? { override: true } : {}) }, { ifMatch });
  output(flags).result(one, () => `rollout ${one.id} is ${tone(toneOf(one.status), one.status)}`);
}

async function excuse(id: string, device: string, flags: ClientFlags & AuthorityFlags): Promise<void> {
  const client = clientOf(flags);
  const { etag } = await client.look<Rollout>(path`/rollouts/${id}`);
  const one = await client.post<Rollout>(path`/rollouts/${id}/excuse`, { device, ...authorityOf(flags) }, { ifMatch: etag });
  output(flags).result(one, () => `${device} no longer counts in rollout ${one.id}`);
}

async function report(id: string, flags: ClientFlags & { readonly out?: string; readonly html?: true }): Promise<void> {
  const client = clientOf(flags);
  const where = path`/rollouts/${id}/report`;
  const made: unknown = flags.json === true ? await client.get<unknown>(where) : undefined;
  const page = flags.html === true ? await client.text(`${where}?format=html`, "text/html") : undefined;
  const text = flags.json === true ? JSON.stringify(made, null, 2) : (page ?? (await client.text(where, "text/markdown")));
  if (flags.out === undefined) {
    output(flags).result(made, () => text.trimEnd());
    return;
  }
  const { writeBytes } = await import("../files.ts");
  writeBytes(flags.out, `${text.trimEnd()}\n`, { what: "the report" });
  output(flags).result({ out: flags.out }, () => `written to ${flags.out}`);
}
