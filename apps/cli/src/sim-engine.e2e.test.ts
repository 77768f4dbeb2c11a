// SPDX-License-Identifier: Apache-2.0
// One scenario in virtual time and over real sockets. The command that compares 200 devices is in docs/scenarios.md.
import { decodeReport } from "@coalmine/protocol";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { demoScenario } from "./demo-scenario.ts";
import { loadScenario } from "./fleet-source.ts";
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
  ] as const)("%s", { timeout: 180_000 }, async (_where, how) => {
    const real = await simulate({ scenario, devices: 40, seed: 7, speed: 2_000, ...how });
    expect(real.finalStates).toEqual(virtual.finalStates);
    expect(ends(real)).toEqual(ends(virtual));
  });
});

describe("a whole fleet that is rolled back goes back by swap-back where the bootloader keeps the image, proven by the hash after the reboot", () => {
  const wayBack = loadScenario(fileURLToPath(new URL("../../../simulator/scenarios/rollback-swap-back.yaml", import.meta.url)));
  let virtual: SimResult;
  beforeAll(async () => {
    virtual = await simulate({ scenario: wayBack, transport: "virtual" });
  });

  /** From the trace, in which a report is the byte of its door and then its own: what each device said it runs, one hash after the other, and who was told to go back by which way. */
  function story(trace: readonly string[]): { readonly hashes: Map<string, string[]>; readonly ways: Map<string, string> } {
    const hashes = new Map<string, string[]>();
    const ways = new Map<string, string>();
    for (const line of trace) {
      const { type, device, body } = JSON.parse(line) as { type: string; device: string; body: string & { rollout: string; way: string } };
      if (type === "offered" && body.rollout === "r3") {
        ways.set(device, body.way);
      }
      const decoded = type === "report" ? decodeReport(Uint8Array.fromHex(body.slice(2))) : undefined;
      if (decoded?.kind === "ok" && decoded.value.body.kind === "hello") {
        const said = hashes.get(device) ?? [];
        const hash = decoded.value.body.running.imageHash.toHex();
        hashes.set(device, said.at(-1) === hash ? said : [...said, hash]);
      }
    }
    return { hashes, ways };
  }

  test.each(["mqtt", "coap"] as const)("over %s", { timeout: 180_000 }, async (transport) => {
    const trace: string[] = [];
    const real = await simulate({ scenario: wayBack, transport, speed: 3_000, trace: (line) => trace.push(line) });
    expect(real.expectations.filter((line) => !line.ok)).toEqual([]);
    expect(real.finalStates).toEqual(virtual.finalStates);
    expect(ends(real)).toEqual(ends(virtual));
    const { hashes, ways } = story(trace);
    expect(Object.groupBy([...ways.values()], (way) => way)).toMatchObject({ "swap-back": { length: 45 }, download: { length: 15 } });
    // 1.0.0, 1.1.0, 1.2.0 and then the very hash from before.
    expect([...hashes.values()].map((said) => [said.length, said[3] === said[1], new Set(said).size])).toEqual(Array.from({ length: 60 }, () => [4, true, 3]));
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
