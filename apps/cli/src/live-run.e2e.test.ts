// SPDX-License-Identifier: Apache-2.0
// Everything real but the boards: these tests open sockets and wait for events.
import { Hours, Minutes } from "@coalmine/core";
import { assembleFleet, buildRelease, type Fleet, labKey } from "@coalmine/fleet";
import { planFromData } from "@coalmine/orchestrator";
import { scenarioStart } from "@coalmine/site";
import { openEventLog } from "@coalmine/store";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { demoScenario } from "./demo-scenario.ts";
import { fleetNetwork, LiveSite } from "./live-run.ts";

const scenario = demoScenario();

async function aSite(devices: number, seed: number): Promise<{ site: LiveSite; fleet: Fleet; folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), "coalmine-test-"));
  const fleet = assembleFleet({ ...scenario.fleet, seed, devices }, labKey(seed));
  const site = await LiveSite.start({ fleet, devices, seed, speed: 2_000, epoch: scenarioStart, folder, keys: [fleet.publicKey], network: fleetNetwork(fleet) });
  onTestFinished(async () => {
    await site.close();
    await rm(folder, { recursive: true, force: true });
  });
  return { site, fleet, folder };
}

// Few devices prove little: what a demonstration may harm, a test may harm twice.
const plan = planFromData({ ...scenario.plan, stages: [{ name: "canary", count: 12 }, "100%"], harmBudget: "25%" });
const release = (fleet: Fleet, version: string) => {
  const spec = scenario.releases.find((candidate) => candidate.version === version);
  return { id: version, artifacts: buildRelease(spec as never, fleet.hardware, fleet.signingKey).artifacts };
};

describe("a site of real parts", () => {
  test("takes a good release to every device, halts a bad one in its canary stage, and the canaries revert", async () => {
    const { site, fleet, folder } = await aSite(60, 7);
    await site.settled(Hours(2));
    await site.createRelease(release(fleet, "1.1.0"));
    const good = await site.run({ release: "1.1.0", plan }, 7, Hours(24));
    expect(good).toMatchObject({ outcome: "complete", verdict: "pass", offered: 60, exposed: 60, states: { healthy: 60 } });

    await site.createRelease(release(fleet, "1.2.0"));
    const bad = await site.run({ release: "1.2.0", plan }, 7, Hours(24));
    expect(bad).toMatchObject({ outcome: "halted", verdict: "fail" });
    expect(bad.haltedBy).not.toBeNull();
    const canaries = good.stages[0]?.size ?? 0;
    expect(bad.exposed).toBeGreaterThan(0);
    expect(bad.exposed).toBeLessThanOrEqual(canaries);
    const { reverted = 0, quarantined = 0, planned = 0 } = bad.states;
    expect(reverted + quarantined).toBe(bad.exposed);
    expect(reverted + quarantined + planned).toBe(60);

    // An attempt's result may overtake the hello that names the image.
    const settled = (): boolean => [...site.finalStates().values()].every(({ state, version }) => state !== "reverted" || version === "1.1.0");
    await site.until(settled, "the hello after the revert", Hours(2));
    const versions = [...site.finalStates().values()].filter(({ state }) => state === "reverted").map(({ version }) => version);
    expect(new Set(versions)).toEqual(new Set(["1.1.0"]));
    const report = await site.report(bad.id as never);
    expect(report.crashes.length).toBeGreaterThan(0);
    expect(report.devices.filter((device) => device.state === "reverted").every((device) => device.stratum.startsWith("B|"))).toBe(true);

    const { log } = site.result();
    await site.close();
    const reopened = openEventLog(join(folder, "log.sqlite"), { readOnly: true });
    expect(reopened.verify()).toMatchObject({ ok: true });
    expect(reopened.length).toBeGreaterThanOrEqual(log.events);
    await reopened.close();
  });

  test("says what it waited for when patience in device time is over", async () => {
    const { site } = await aSite(40, 3);
    await site.settled(Hours(2));
    await expect(site.until(() => false, "nothing at all", Minutes(5))).rejects.toMatchObject({ code: "run/timeout" });
  });
});
