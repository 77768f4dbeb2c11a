// SPDX-License-Identifier: Apache-2.0
// One rollout over emulated boards and simulated devices behind one broker: a good release to everybody, a bad one halted.
import { parseVariant } from "@coalmine/core";
import { mkdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Images, type Sample, samples } from "./images.ts";
import { type BoardLab, coalmine, type DeviceView, type RolloutView, until } from "./lab.ts";
import { type Outcome, outcomeOf, since } from "./outcome.ts";
import { spawnSync } from "node:child_process";

const fleetFile = fileURLToPath(new URL("fleet.yaml", import.meta.url));

export interface SimulatedReleases {
  readonly key: string;
  /** Artifacts by version, BOARD/REVISION/PARTITIONMAP and file. */
  readonly artifacts: ReadonlyMap<string, readonly { readonly variant: string; readonly file: string }[]>;
}

/** Builds the simulated devices' part of the releases. */
export function simulatedReleases(folder: string, versions: readonly string[], seed: number): SimulatedReleases {
  mkdirSync(folder, { recursive: true });
  const artifacts = new Map<string, readonly { readonly variant: string; readonly file: string }[]>();
  let key = "";
  for (const version of versions) {
    const made = spawnSync(process.execPath, [coalmine, "sim", "release", version, "--fleet", fleetFile, "--seed", String(seed), "--out", folder, "--json"], { encoding: "utf8" });
    if (made.status !== 0) {
      throw new Error(`sim release ${version} ended with ${made.status}: ${made.stderr}`);
    }
    const shown = JSON.parse(made.stdout) as { readonly publicKey: string; readonly artifacts: readonly { readonly variant: string; readonly file: string }[] };
    key = shown.publicKey;
    artifacts.set(version, shown.artifacts);
  }
  return { key, artifacts };
}

export interface MixedFleet {
  readonly boards: readonly FleetBoard[];
  readonly devices: number;
  readonly seed: number;
}

export interface FleetBoard {
  readonly id: string;
  readonly sample: Sample;
}

/** So many boards over the doors for which there are images, in turn: MQTT, CoAP, SMP. */
export function fleetBoards(images: Images, count: number): readonly FleetBoard[] {
  const doors = samples.filter((sample) => ["good", "good2", "crash"].every((name) => images.has(name, sample)));
  return Array.from({ length: count }, (_, at) => ({ id: `board-${at + 1}`, sample: doors[at % doors.length] ?? "mqtt-node" }));
}

/** The good release goes to everybody; the bad one, bad on the boards only, stops at its canaries. */
export async function mixedRollouts(lab: BoardLab, simulated: SimulatedReleases, { boards, devices, seed }: MixedFleet): Promise<readonly Outcome[]> {
  const ids = boards.map(({ id }) => id);
  const population = boards.length + devices;
  const canaries = [...ids, ...Array.from({ length: 25 }, (_, n) => `sim-${String(n * Math.floor(devices / 25) + 1).padStart(6, "0")}`)];
  const bad = lab.images.image("crash");
  const good = lab.images.image("good2");

  const ready = await outcomeOf(`${boards.length} boards (${kinds(boards)}) and ${devices} simulated devices report to one orchestrator`, async () => {
    const began = performance.now();
    lab.program("sim fleet", ["sim", "fleet", "--connect", `mqtt://127.0.0.1:${lab.mqtt}`, "--fleet", fleetFile, "--devices", String(devices), "--seed", String(seed), "--json"]);
    await Promise.all(boards.map(({ id, sample }) => lab.board(id, lab.images.image("good", sample))));
    // One of each kind says what its kind is: a release has one image for a variant, and each kind has its own.
    const firsts = boards.filter(({ sample }, at) => boards.findIndex((one) => one.sample === sample) === at);
    const variants = await Promise.all(firsts.map(async ({ id, sample }) => ({ sample, variant: await lab.variantOf(id) })));
    if (new Set(variants.map(({ variant }) => JSON.stringify(variant))).size < variants.length) {
      throw new Error(`boards of several kinds have one variant: ${JSON.stringify(variants)}; build coap-node with another CONFIG_COALMINE_HARDWARE_REVISION`);
    }
    for (const name of ["good2", "crash"]) {
      const { version } = lab.images.image(name);
      const own = variants.map(({ sample, variant }) => ({ variant, bytes: lab.images.image(name, sample).bytes }));
      const artifacts = (simulated.artifacts.get(version) ?? []).map((one) => ({ variant: variantOf(one.variant), bytes: new Uint8Array(readFileSync(one.file)) }));
      await lab.release(version, [...own, ...artifacts]);
    }
    const total = await until("every device's hello", 300, async () => {
      const { installable } = await lab.api.get<{ installable: number }>(`/releases/${good.version}/preflight?limit=1`);
      return installable === population ? installable : undefined;
    });
    return { ok: true, detail: `${total} devices can install ${good.version}`, numbers: { devices: total, seconds: since(began) } };
  });
  if (!ready.ok) {
    return [ready];
  }
  const plan = {
    name: "boards-and-simulated",
    stages: [{ name: "canary", devices: canaries }, "40%", "100%"],
    strata: ["hardware"],
    offers: { perMinute: 6000, jitter: "5s" },
    updateDeadline: "5m",
    confirm: { minUptime: "8s", deadline: "60s" },
    soak: { min: "20s", max: "10m", dutyCycles: 0 },
    silence: { floor: "3m" },
    gates: { "boot-confirmation": { weight: 0.9 }, "crash-free-devices": { min: "70%" } },
    harmBudget: "15%",
    minDevices: 10,
    representativeness: "warn",
  };
  const first = await outcomeOf(`the good release ${good.version} reaches everybody`, async () => {
    const began = performance.now();
    await lab.startRollout("good", good.version, plan);
    const ended = await lab.rolloutWhen("good", "ends", ({ outcome }) => outcome !== "running", 1_200);
    const versions = await Promise.all(ids.map(async (id) => (await lab.device(id)).running?.version ?? ""));
    const onIt = versions.filter((version) => version.startsWith(good.version)).length;
    return { ok: ended.outcome === "complete" && ended.verdict === "pass" && onIt === boards.length, detail: `${told(ended)}; ${onIt} of ${boards.length} boards run it`, numbers: { seconds: since(began), healthy: ended.states["healthy"] ?? 0 } };
  });
  const second = await outcomeOf(`the bad release ${bad.version}, bad on the boards only, is halted at its canaries`, async () => {
    const began = performance.now();
    await lab.startRollout("bad", bad.version, plan);
    const ended = await lab.rolloutWhen("bad", "ends", ({ outcome }) => outcome !== "running", 1_200);
    const halted = since(began);
    // An upload by SMP takes longer than the halt: such a board never began, and stays where it is.
    const reporting = boards.filter(({ sample }) => sample !== "smp-node");
    const last = await lab.rolloutWhen("bad", "settles", ({ states }) => ["offered", "downloading", "applying", "testing"].every((state) => states[state] === undefined));
    const isBack = ({ running }: DeviceView): boolean => running?.version.startsWith(good.version) === true;
    const back = await Promise.all(reporting.map(({ id }) => lab.deviceWhen(id, `is back on ${good.version}`, (device) => isBack(device) && device.attempt?.outcome === "reverted")));
    const stayed = await Promise.all(boards.filter((one) => !reporting.includes(one)).map(({ id }) => lab.deviceWhen(id, `runs ${good.version}`, isBack)));
    return {
      ok: ended.outcome === "halted" && ended.verdict === "fail" && last.exposed <= canaries.length && back.length + stayed.length === boards.length,
      detail: `${told(last)}; halted after ${halted} s by ${ended.haltedBy?.gate}: ${ended.haltedBy?.reason}; ${back.length} of ${boards.length} boards reverted and said so${stayed.length === 0 ? "" : `, ${stayed.length} by SMP run the good one`}`,
      numbers: { seconds: halted, exposed: last.exposed, reverted: back.length },
    };
  });
  return [ready, first, second];
}

function kinds(boards: readonly FleetBoard[]): string {
  return samples.flatMap((sample) => {
    const count = boards.filter((board) => board.sample === sample).length;
    return count === 0 ? [] : [`${count} ${sample}`];
  }).join(", ");
}

function variantOf(text: string) {
  const variant = parseVariant(text);
  if (variant === undefined) {
    throw new Error(`${text} is no variant`);
  }
  return variant;
}

function told({ outcome, verdict, states, exposed, population, missing }: RolloutView): string {
  const counts = Object.entries(states).map(([state, count]) => `${count} ${state}`).join(", ");
  return `${outcome}/${verdict}: ${counts}; ${exposed} of ${population} exposed${outcome === "held" ? `; missing: ${missing.join(", ")}` : ""}`;
}
