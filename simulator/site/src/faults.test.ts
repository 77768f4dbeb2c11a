// SPDX-License-Identifier: Apache-2.0
import { type DeviceId, instant } from "@coalmine/core";
import type { BootCut, Device, DeviceInput } from "@coalmine/device";
import { assembleFleet, buildRelease, deviceDescription, type Expectation, type Fault, fleetFromData, labKey, parseScenario } from "@coalmine/fleet";
import type { RolloutSummary } from "@coalmine/orchestrator";
import { Network } from "@coalmine/world";
import { expect, test } from "vitest";
import { cutsMet, lookAtBoards } from "./boards.ts";
import { checkExpectations, type Findings } from "./expectations.ts";
import { planFaults } from "./faults.ts";

const start = instant(0);
const spec = fleetFromData({
  seed: 3,
  devices: 40,
  hardware: [
    { name: "a", board: "b", revision: "A" },
    { name: "o", board: "b", revision: "O", mode: "swap-offset" },
  ],
});
const fleet = assembleFleet(spec, labKey(3));
const releases = new Map([["1.1.0", buildRelease({ version: "1.1.0", size: 8_192 }, fleet.hardware, fleet.signingKey)]]);

/** What a fault does to which device, in order. */
function planned(fault: unknown): { readonly at: number; readonly device: DeviceId; readonly input: DeviceInput }[] {
  const done: { at: number; device: DeviceId; input: DeviceInput }[] = [];
  let now = 0;
  const target = {
    network: new Network({ seed: 3, conditions: () => ({ latency: 0 as never, loss: 0 }) }),
    at: (time: number, run: (at: never) => void): void => {
      now = time;
      run(time as never);
    },
    input: (device: DeviceId, input: DeviceInput): void => void done.push({ at: now, device, input }),
    kill: () => undefined,
    restart: () => undefined,
  };
  planFaults(target, fleet, { faults: [fault as Fault], releases }, start);
  return done;
}

test("operation: each cuts the k-th device of each kind of hardware before operation k, of the named release only", () => {
  const done = planned({ kind: "power-cut", when: "applying", release: "1.1.0", operation: "each", devices: "all" });
  const images = releases.get("1.1.0")?.artifacts.map((artifact) => artifact.imageHash);
  const seen: Record<string, number[]> = { a: [], o: [] };
  for (const { at, device, input } of done) {
    expect(at).toBe(0);
    expect(input).toMatchObject({ kind: "power-cut", cut: { when: "applying", images, name: "fault 0" } });
    const index = Number(device.slice(-6));
    seen[deviceDescription(fleet, index).hardware.name]?.push(input.kind === "power-cut" ? (input.cut?.operation ?? 0) : 0);
  }
  expect(done).toHaveLength(40);
  for (const operations of Object.values(seen)) {
    expect(operations).toEqual(operations.map((_, i) => i + 1));
    expect(operations.length).toBeGreaterThan(10);
  }
});

test("a cut at an operation brings no reset of its own; a cut at a time does", () => {
  const devices = { ids: ["device-000003"] };
  expect(planned({ kind: "power-cut", at: 1_000, operation: 5, off: 10_000, devices }).map(({ at, input }) => [at, input.kind])).toEqual([[1_000, "power-cut"]]);
  expect(planned({ kind: "power-cut", at: 1_000, off: 10_000, devices }).map(({ at, input }) => [at, input.kind])).toEqual([
    [1_000, "power-cut"],
    [11_000, "power-on"],
    [11_000, "link"],
  ]);
});

test.each([
  ["neither time nor boot", "{ kind: power-cut }", /faults\.0\.at: needs either at \(a time\) or when/],
  ["time and boot", "{ kind: power-cut, at: 1h, when: applying, operation: each }", /faults\.0\.at: needs either/],
  ["a boot without an operation", "{ kind: power-cut, when: applying }", /faults\.0\.operation: must say at which operation/],
  ["each without a boot", "{ kind: power-cut, at: 1h, operation: each }", /faults\.0\.operation: each operation of which boot/],
  ["an unknown release", '{ kind: power-cut, when: applying, operation: each, release: "9.9.9" }', /faults\.0\.release: there is no release 9\.9\.9; there are 1\.1\.0/],
  ["an unknown boot", "{ kind: power-cut, when: booting, operation: each }", /faults\.0\.when: must be applying or reverting/],
])("a power cut with %s is refused, and the field named", (_, fault, message) => {
  const text = `name: x\nfleet: { devices: 1, hardware: [{ name: a, board: b }] }\nreleases: [{ version: "1.1.0" }]\nplan: { gates: default }\nfaults: [${fault}]\nexpect: [{ rollout: "1.1.0" }]\n`;
  expect(() => parseScenario(text)).toThrow(message);
});

const eachFault = { kind: "power-cut", when: "applying", operation: "each", devices: "all", off: 0 } as unknown as Fault;

function board(hardware: string, operation: number, outcome: BootCut["outcome"], running: string | null = "1.1.0"): Device {
  return { description: { hardware: { name: hardware } }, cuts: [{ operation, outcome, name: "fault 0" }], flash: { image: () => null }, phase: running === null ? "stopped" : "running", running: running === null ? null : { version: running } } as unknown as Device;
}

test("every operation counts as cut only when none is left out and one device found none left", () => {
  const tally = (...boards: Device[]) => cutsMet([eachFault], boards).map(({ hardware, cut, passed, complete }) => `${hardware} ${cut} ${passed} ${complete}`);
  expect(tally(board("a", 1, "cut"), board("a", 2, "cut"), board("a", 3, "passed"))).toEqual(["a 2 1 true"]);
  expect(tally(board("a", 1, "cut"), board("a", 2, "cut"))).toEqual(["a 2 0 false"]);
  expect(tally(board("a", 1, "cut"), board("a", 2, "armed"), board("a", 3, "cut"), board("a", 4, "passed"))).toEqual(["a 2 1 false"]);
  expect(tally(board("a", 1, "armed"), board("o", 1, "cut"), board("o", 2, "passed"))).toEqual(["a 0 0 false", "o 1 1 true"]);
});

test("expectations on boards fail when the boards show something else, and say what", () => {
  const boards = [board("a", 1, "cut"), board("a", 2, "cut", null), board("a", 3, "cut", "1.0.0")];
  const found: Findings = { ...lookAtBoards(boards), cuts: cutsMet([eachFault], boards), reasons: () => ["runs unconfirmed: x", ""] };
  const rollout = { release: "1.1.0", outcome: "complete", verdict: "pass", offered: 3, exposed: 3, states: {}, stages: [], haltedBy: null } as unknown as RolloutSummary;
  const only = (min: number) => ({ min, max: min });
  const check = (expected: Partial<Expectation>, findings: Findings | undefined = found) => checkExpectations([{ rollout: "1.1.0", ...expected }], [rollout], findings)[0];
  expect(check({ runs: { "1.1.0": only(1), "1.0.0": only(1) }, stopped: only(1), reasons: { unconfirmed: only(1) } })).toMatchObject({ ok: true });
  expect(check({ stopped: only(0) })).toMatchObject({ ok: false, detail: expect.stringMatching(/^1 devices stopped, expected 0/) as string });
  expect(check({ runs: { "1.1.0": only(3) } })?.detail).toMatch(/^1 devices run 1\.1\.0, expected 3/);
  expect(check({ reasons: { unconfirmed: only(2) } })?.detail).toMatch(/^1 with the reason "unconfirmed", expected 2/);
  expect(check({ mute: only(0) }, { ...found, mute: 2 })?.detail).toMatch(/^2 devices that cannot speak, expected 0/);
  expect(check({ matrix: "green" })?.detail).toMatch(/^the migration matrix is not there, expected green/);
  expect(check({ matrix: "green" }, { ...found, matrix: () => false })?.detail).toMatch(/^the migration matrix is red, expected green/);
  expect(check({ everyOperationCut: true })).toMatchObject({ ok: false, detail: expect.stringMatching(/^fault 0, a: 3 of 3 devices cut, 0 past the last operation.*more devices than operations/) as string });
  expect(checkExpectations([{ rollout: "1.1.0", stopped: only(0) }], [rollout])[0]).toMatchObject({ ok: false, detail: expect.stringMatching(/somebody who sees the boards/) as string });
});

test("a crash fault crashes each of its devices once, at moments spread by name", () => {
  const done = planned({ kind: "crash", at: 1_000, over: 60_000, devices: "all" });
  expect(done).toHaveLength(40);
  expect(new Set(done.map(({ device }) => device)).size).toBe(40);
  expect(done.every(({ at, input }) => input.kind === "crash" && at >= 1_000 && at <= 61_000)).toBe(true);
  expect(new Set(done.map(({ at }) => at)).size).toBeGreaterThan(35);
});

test("a refusal is met by its text alone, and a rollout that began is none", () => {
  const found = (message?: string): Findings => ({ runs: {}, stopped: 0, mute: 0, cuts: [], reasons: () => [], refusal: () => message });
  const check = (rollouts: RolloutSummary[], message?: string) => checkExpectations([{ rollout: "1.1.0", refused: "lab devices" }], rollouts, found(message))[0];
  expect(check([], "all canaries are lab devices")).toMatchObject({ ok: true });
  expect(check([], "the selector matches no device")).toMatchObject({ ok: false, detail: "refused: the selector matches no device" });
  expect(check([])).toMatchObject({ ok: false });
  const began = { release: "1.1.0", outcome: "halted", verdict: "fail", offered: 3, exposed: 3, states: {}, stages: [], haltedBy: null } as unknown as RolloutSummary;
  expect(check([began])).toMatchObject({ ok: false, detail: expect.stringMatching(/^it started, expected to be refused/) as string });
});

test("notBefore fails for a rollout that ended sooner or has not ended", () => {
  const hour = 3_600_000;
  const lasted = (hours: number | null) => ({
    release: "1.1.0", outcome: "complete", verdict: "pass", offered: 3, exposed: 3, states: {}, haltedBy: null,
    stages: [{ name: "canary", size: 3, openedAt: new Date(0).toISOString(), closedAt: null, verdict: "pass" }],
    endedAt: hours === null ? null : new Date(hours * hour).toISOString(),
  }) as unknown as RolloutSummary;
  const check = (hours: number | null) => checkExpectations([{ rollout: "1.1.0", notBefore: (72 * hour) as never }], [lasted(hours)])[0]?.ok;
  expect([check(72), check(71), check(null)]).toEqual([true, false, false]);
});
