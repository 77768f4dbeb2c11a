// SPDX-License-Identifier: Apache-2.0
// What one board does with one release: keep it, lose it in each of the ways there are, go back to what it keeps.
import { inspectFlash, storedCoredump } from "@coalmine/boards";
import { backtrace, readSymbols } from "@coalmine/coredump";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { NodeImage, Sample } from "./images.ts";
import { type BoardLab, until } from "./lab.ts";
import { type Outcome, outcomeOf, since } from "./outcome.ts";

const plan = {
  name: "one-board",
  stages: ["100%"],
  offers: { jitter: "0s" },
  updateDeadline: "10m",
  // The uptime counts from the start of the kernel; the network is there after 2.5 s, and the image that crashes does so 3 s later.
  confirm: { minUptime: "10s", deadline: "30s" },
  soak: { min: "5s", max: "10m", dutyCycles: 0 },
  silence: { floor: "5m" },
  gates: { "boot-confirmation": { min: "50%" } },
  representativeness: "warn",
  minDevices: 1,
};

/** A new board, and a rollout of the image to it alone. */
async function offered(lab: BoardLab, id: string, name: string, sample: Sample = "mqtt-node"): Promise<NodeImage & { readonly rollout: string; readonly release: string }> {
  const image = lab.images.image(name, sample);
  const [rollout, release] = [`r-${id}`, `${sample}-${image.version}`];
  await lab.board(id, lab.images.image("good", sample));
  const variant = await lab.variantOf(id);
  await lab.release(release, [{ variant, bytes: image.bytes }]);
  await lab.startRollout(rollout, release, plan, [id]);
  return { ...image, rollout, release };
}

/** Downloads, tries, confirms and stays; then goes back to the kept image on a command, without a download. */
export async function goodAndBack(lab: BoardLab): Promise<readonly Outcome[]> {
  const id = "lab-good";
  const began = performance.now();
  const good = await outcomeOf("a good release is downloaded, tried and confirmed", async () => {
    const { version } = await offered(lab, id, "good2");
    const device = await lab.deviceWhen(id, `runs ${version}, confirmed`, ({ running }) => running?.version.startsWith(version) === true && running.confirmed);
    const { slots } = inspectFlash(join(lab.folder, `${id}.flash`));
    const kept = slots[1].image?.version ?? "nothing";
    return { ok: slots[0].trailer.imageOk === "set" && kept.startsWith("1.0.0"), detail: `${device.running?.version} confirmed, ${kept} kept in slot 1`, numbers: { seconds: since(began) } };
  });
  if (!good.ok || !lab.hasForeignBroker) {
    return [good];
  }
  const back = await outcomeOf("swap-back needs no download", async () => {
    const blocks = await lab.countBlocks(id);
    const started = performance.now();
    const { slot1 } = await lab.deviceWhen(id, "reports what slot 1 keeps", ({ slot1: kept }) => kept?.version.startsWith("1.0.0") === true);
    await lab.command(id, { kind: "swap-back", offer: 1_000, imageHash: Uint8Array.fromHex(slot1?.imageHash ?? "") });
    const device = await lab.deviceWhen(id, "runs 1.0.0 again, confirmed", ({ running }) => running?.version.startsWith("1.0.0") === true && running.confirmed);
    const seconds = since(started);
    await blocks.close();
    return { ok: blocks.count === 0, detail: `${device.running?.version} confirmed again, ${blocks.count} blocks asked for`, numbers: { seconds, blocks: blocks.count } };
  });
  return [good, back];
}

/** A release that a device must lose: reverted by MCUboot, and reported as such by the old image. */
export function lost(lab: BoardLab, name: "never" | "hangs" | "settings"): Promise<Outcome> {
  const id = `lab-${name}`;
  return outcomeOf(`a release that ${words[name]} is reverted and reported by the old image`, async () => {
    const began = performance.now();
    await offered(lab, id, name);
    const device = await revertedDevice(lab, id);
    return {
      ok: device.attempt?.outcome === "reverted" && device.running?.version.startsWith("1.0.0") === true,
      detail: `${device.running?.version} reports ${device.attempt?.outcome}, reset by ${device.attempt?.resetCause}, the new image ${device.attempt?.ran === true ? "ran" : "never ran"}`,
      numbers: { seconds: since(began) },
    };
  });
}

const words = { never: "never confirms", hangs: "hangs before main", settings: "loses its settings" } as const;

async function revertedDevice(lab: BoardLab, id: string) {
  return lab.deviceWhen(id, "reports how its attempt ended", ({ attempt, running }) => attempt !== null && attempt.outcome !== "none" && running?.version.startsWith("1.0.0") === true);
}

/**
 * A release that crashes on trial: its dump is read out of flash, names the function, and counts against the build that crashed. `crash show`
 * prints what it logged before.
 */
export function crashes(lab: BoardLab, sample: Sample = "mqtt-node"): Promise<Outcome> {
  const id = `crash-${sample}`;
  return outcomeOf(`${sample}: a crash on trial leaves a dump and a log, and counts against the build that crashed`, async () => {
    const began = performance.now();
    const flash = join(lab.folder, `${id}.flash`);
    const { elf, rollout, release } = await offered(lab, id, "crash", sample);
    if (elf !== undefined) {
      await lab.ask(["release", "symbols", release, elf, "--reason", "test"]);
    }
    const dump = await until(`${id}: a coredump in its flash`, 300, () => {
      const { coredump } = inspectFlash(flash);
      return coredump?.kind === "coredump" ? coredump : undefined;
    });
    writeFileSync(join(lab.folder, `${id}.bin`), storedCoredump(flash) ?? new Uint8Array());
    const symbols = elf === undefined ? undefined : readSymbols(new Uint8Array(readFileSync(elf)));
    const trace = backtrace(dump, symbols?.kind === "symbols" ? symbols : undefined);
    const functions = trace.frames.map((frame) => frame.function?.name ?? "?");
    const device = await revertedDevice(lab, id);
    const counted = await until(`${id}: its crash in the report`, 300, async () => {
      const { crashes: found } = await lab.api.get<{ readonly crashes: readonly { readonly buildId: string; readonly signature: string; readonly devices: readonly string[] }[] }>(`/rollouts/${rollout}/report`);
      return found.find((one) => one.devices.includes(id));
    });
    const issue = await until(`${id}: its dump at the orchestrator`, 300, async () => {
      const { issues } = await lab.api.get<{ readonly issues: readonly { readonly id: string; readonly dumps: number }[] }>(`/crashes?rollout=${rollout}`);
      return issues.find((one) => one.dumps > 0);
    });
    const log = await until(`${id}: its log in \`crash show\``, 60, async () => {
      const [, text] = (await lab.ask(["crash", "show", issue.id])).split("log before the crash:\n");
      return text;
    });
    const lines = log.trimEnd().split("\n");
    const words = lines.find((line) => line.includes("no answer from the sensor"));
    const named = elf === undefined || functions.includes("divide_deep");
    // What the device reports is the GNU build id of the image that crashed.
    const buildId = symbols?.kind === "symbols" ? (symbols.buildId ?? counted.buildId) : counted.buildId;
    return {
      ok: device.attempt?.outcome === "reverted" && counted.buildId === buildId && named && words !== undefined && log.includes("ZEPHYR FATAL ERROR"),
      detail: `${dump.header.reasonName} in ${functions.slice(0, 4).join(" < ")}; counted against ${counted.buildId.slice(0, 8)} (${counted.buildId === buildId ? "the build that crashed" : `not ${buildId.slice(0, 8)}`}); ${device.attempt?.outcome}; ${lines.length} lines of log, one of them: ${words ?? "not the one before the crash"}`,
      numbers: { seconds: since(began), dumpBytes: dump.bytes.length, logLines: lines.length },
    };
  });
}
