// SPDX-License-Identifier: Apache-2.0
//
// Kills `serve` with SIGKILL in the middle of rollouts over mosquitto and compares with runs in which nobody was killed.
// With --door coap the devices come through CoAP, every one signing, one datagram in twenty lost each way.
// Usage: serve-kills.ts [--door mqtt|coap] [--kills 20] [--devices 500] [--seed 7] [--speed 60] [--only good|bad] [--keep] [--json]
//
// A good release must reach every device, a bad one must be halted among its canaries; nothing may be offered twice, too
// early or after the halt. Exits 0 when every check passed, 1 when one failed, 4 when mosquitto is not installed.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Check, type KilledRun, killedRun } from "./killed-run.ts";
import { prepareLab } from "./lab.ts";
import { killMoments } from "./moments.ts";
import { findMosquitto } from "./programs.ts";

const { values } = parseArgs({
  options: {
    door: { type: "string", default: "mqtt" },
    kills: { type: "string", default: "20" },
    devices: { type: "string", default: "500" },
    seed: { type: "string", default: "7" },
    speed: { type: "string", default: "60" },
    only: { type: "string" },
    keep: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const [kills, devices, seed, speed] = [values.kills, values.devices, values.seed, values.speed].map(Number) as [number, number, number, number];
if (![kills, devices, seed].every((value) => Number.isSafeInteger(value) && value >= 0) || devices < 40 || !(speed > 0 && speed <= 1_000) || ![undefined, "good", "bad"].includes(values.only) || !["mqtt", "coap"].includes(values.door)) {
  console.error("--door is mqtt or coap, --kills and --seed need whole numbers, --devices one of at least 40, --speed a number up to 1000, --only good or bad");
  process.exit(3);
}

const coap = values.door === "coap";
const mosquitto = coap ? undefined : findMosquitto();
if (!coap && mosquitto === undefined) {
  console.error("skipped: mosquitto is not installed (Debian: apt install mosquitto)");
  process.exit(4);
}

/**
 * Over CoAP the killed process is the server itself. A device on trial that does not reach it in time reverts, and one that still downloads
 * when the halt comes is taken back, as both should: so that a run with kills can end as one without, a trial takes longer than all of them.
 */
const planChanges = coap ? { planChanges: { confirm: { minUptime: "60s", deadline: "50m" }, updateDeadline: "3h" } } : {};

interface Pair {
  readonly kind: "good" | "bad";
  readonly killed: KilledRun;
  readonly undisturbed: KilledRun;
  readonly checks: readonly Check[];
}

const folder = mkdtempSync(join(tmpdir(), "coalmine-kills-"));
const say = (line: string): void => console.error(line);

const killsOf = (run: KilledRun): number => run.kills.filter((kill) => kill.signal === "SIGKILL").length;

function compare(kind: "good" | "bad", killed: KilledRun, undisturbed: KilledRun): Check[] {
  const expected = kind === "good" ? { outcome: "complete", verdict: "pass" } : { outcome: "halted", verdict: "fail" };
  const end = ({ outcome, verdict, haltedBy }: KilledRun): string => `${outcome}, ${verdict}${haltedBy === null ? "" : ` by ${haltedBy}`}`;
  const counts = ({ states }: KilledRun): string => Object.entries(states).map(([state, count]) => `${state} ${count}`).join(", ");
  const others = Object.keys(undisturbed.members).filter((device) => killed.members[device] !== undisturbed.members[device]);
  const sum = Object.values(killed.states).reduce((total, count) => total + count, 0);
  return [
    { name: "the rollout ends as it must", ok: killed.outcome === expected.outcome && killed.verdict === expected.verdict, detail: end(killed) },
    { name: "it ends as without the kills", ok: end(killed) === end(undisturbed), detail: end(undisturbed) },
    { name: "with the same counts", ok: counts(killed) === counts(undisturbed), detail: counts(killed) === counts(undisturbed) ? counts(killed) : `${counts(killed)} instead of ${counts(undisturbed)}` },
    { name: "and every device in the same state", ok: others.length === 0 && Object.keys(killed.members).length > 0, detail: others.slice(0, 5).map((device) => `${device} ${killed.members[device]} instead of ${undisturbed.members[device]}`).join("; ") },
    { name: "R38: the counts sum to the membership", ok: sum === devices, detail: `${sum}` },
    { name: `serve was killed at least ${kills} times`, ok: killsOf(killed) >= kills, detail: `${killsOf(killed)} times` },
  ];
}

async function pair(kind: "good" | "bad"): Promise<Pair> {
  const release = kind === "good" ? "1.1.0" : "1.2.0";
  const run = (name: string, count: number): Promise<KilledRun> => {
    const lab = prepareLab(join(folder, `${kind}-${name}`), { seed, devices, speed, coap, ...planChanges });
    return killedRun({ lab, release, mosquitto, moments: count === 0 ? [] : killMoments(kind, { count, seed, speed }), note: say });
  };
  say(`${kind} release, undisturbed`);
  const undisturbed = await run("undisturbed", 0);
  say(`${kind} release, ${kills} kills`);
  const killed = await run("killed", kills);
  const prefixed = undisturbed.checks.map((check) => ({ ...check, name: `undisturbed: ${check.name}` }));
  return { kind, killed, undisturbed, checks: [...prefixed, ...killed.checks, ...compare(kind, killed, undisturbed)] };
}

function print({ kind, killed, undisturbed, checks }: Pair): void {
  console.log(`\n${kind} release ${killed.release}: ${devices} devices over ${values.door}, seed ${seed}, speed ${speed}`);
  for (const [name, run] of [["killed", killed], ["undisturbed", undisturbed]] as const) {
    console.log(`  ${name.padEnd(11)}  ${run.outcome} in ${run.wallSeconds.toFixed(1)} s, ${run.offersDecided} devices offered, ${run.offersSeen} offers sent, ${run.events} entries`);
    // The difference is what the broker acknowledged and then dropped, because nobody read it.
    console.log(`  ${"".padEnd(11)}  ${String(run.fleet["acknowledged"])} reports acknowledged to devices, ${run.reports} in the log`);
  }
  console.log("\n    #  AFTER s  ENTRIES  DOWN ms  PHASE");
  for (const [index, kill] of killed.kills.entries()) {
    console.log(`  ${String(index + 1).padStart(3)}  ${kill.after_s.toFixed(1).padStart(7)}  ${String(kill.entries).padStart(7)}  ${String(kill.down_ms).padStart(7)}  ${kill.phase}`);
  }
  console.log("");
  for (const check of checks) {
    console.log(`  ${check.ok ? "ok    " : "FAILED"}  ${check.name}${check.detail === "" ? "" : ` (${check.detail})`}`);
  }
  const warnings = new Map<string, number>();
  for (const line of killed.warnings) {
    const kind_ = line.replaceAll(/[a-z]+-\d+/g, "DEVICE");
    warnings.set(kind_, (warnings.get(kind_) ?? 0) + 1);
  }
  for (const [line, count] of warnings) {
    console.log(`  ${count} x ${line}`);
  }
}

const pairs: Pair[] = [];
try {
  for (const kind of ["good", "bad"] as const) {
    if (values.only === undefined || values.only === kind) {
      pairs.push(await pair(kind));
    }
  }
} finally {
  if (values.keep) {
    say(`kept ${folder}`);
  } else {
    rmSync(folder, { recursive: true, force: true });
  }
}
const checks = pairs.flatMap((one) => one.checks);
const failed = checks.filter((check) => !check.ok).length;
if (values.json) {
  const brief = (run: KilledRun): object => ({ ...run, members: undefined });
  console.log(JSON.stringify({ seed, devices, speed, kills, runs: pairs.map((one) => ({ kind: one.kind, killed: brief(one.killed), undisturbed: brief(one.undisturbed), checks: one.checks })), passed: checks.length - failed, failed }, null, 2));
} else {
  for (const one of pairs) {
    print(one);
  }
  console.log(`\n${checks.length - failed} checks passed${failed === 0 ? "" : `, ${failed} failed`}`);
}
process.exitCode = failed === 0 ? 0 : 1;
