// SPDX-License-Identifier: Apache-2.0
// One scenario in virtual time and over real sockets. The command that compares 200 devices is in docs/scenarios.md.
import { beforeAll, describe, expect, test } from "vitest";
import { demoScenario } from "./demo-scenario.ts";
import { simulate, type SimResult } from "./sim-engine.ts";

// Few devices prove little: what a demonstration may harm, a test may harm twice.
const scenario = { ...demoScenario(), plan: { ...demoScenario().plan, stages: [{ name: "canary", count: 12 }, "100%"], harmBudget: "25%" } };

const ends = ({ rollouts }: SimResult) => rollouts.map(({ outcome, verdict, states }) => ({ outcome, verdict, states }));

test("virtual time is repeatable: the same seed writes the same log, another seed another one (R47)", async () => {
  const first = await simulate({ scenario, transport: "virtual", devices: 60, seed: 3 });
  const second = await simulate({ scenario, transport: "virtual", devices: 60, seed: 3 });
  const other = await simulate({ scenario, transport: "virtual", devices: 60, seed: 4 });
  expect(second.log).toEqual(first.log);
  expect(second.rollouts).toEqual(first.rollouts);
  expect(other.log.sha256).not.toBe(first.log.sha256);
  expect(first.expectations.filter((line) => !line.ok)).toEqual([]);
});

describe("the final state of every device is that of virtual time", () => {
  let virtual: SimResult;
  beforeAll(async () => {
    virtual = await simulate({ scenario, transport: "virtual", devices: 40, seed: 7 });
  });

  test.each([
    ["over real MQTT sockets", { transport: "mqtt" }],
    ["over real CoAP sockets that lose one datagram in twenty (R53)", { transport: "coap", loss: 0.05 }],
  ] as const)("%s", { timeout: 60_000 }, async (_where, how) => {
    const real = await simulate({ scenario, devices: 40, seed: 7, speed: 2_000, ...how });
    expect(real.finalStates).toEqual(virtual.finalStates);
    expect(ends(real)).toEqual(ends(virtual));
  });
});

test("an orchestrator that is killed and restarted from its log ends the same rollouts the same way (I5)", async () => {
  const faults = [25, 31, 44, 52, 70, 100].map((minutes) => ({ kind: "orchestrator-kill" as const, at: (minutes * 60_000) as never, off: 60_000 as never }));
  const calm = await simulate({ scenario, transport: "virtual", devices: 60, seed: 3 });
  const killed = await simulate({ scenario: { ...scenario, faults }, transport: "virtual", devices: 60, seed: 3 });
  expect(killed.rollouts.map(({ outcome, states, offered }) => ({ outcome, states, offered }))).toEqual(
    calm.rollouts.map(({ outcome, states, offered }) => ({ outcome, states, offered })),
  );
});
