// SPDX-License-Identifier: Apache-2.0
import { type Device, type DeviceInput, type DeviceShared, createDevice, step } from "@coalmine/device";
import { type Coredump, signature } from "@coalmine/coredump";
import type { ConfirmPolicy } from "@coalmine/protocol";
import { codecs, goldenVectors, mutant, oversized, type MessageType } from "@coalmine/protocol/testing";
import { afterAll, beforeAll, describe, expect, test, type TestContext } from "vitest";
import { ask, buildPrograms, findCompiler, type Programs } from "./compiler.ts";
import { runHostTests } from "./host-tests.ts";

const compiler = findCompiler();
const seed = Number(process.env["COALMINE_SEED"] ?? 7);
let programs: Programs | undefined;

beforeAll(() => {
  if (compiler.kind === "found") {
    programs = buildPrograms(compiler);
  }
}, 120_000);
afterAll(() => programs?.remove());

function built(ctx: TestContext): Programs {
  if (programs === undefined) {
    return ctx.skip(compiler.kind === "absent" ? compiler.reason : "the host programs were not built");
  }
  return programs;
}

const types = Object.keys(codecs) as MessageType[];
const toHex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

type Vector = { readonly name: string; readonly type: MessageType; readonly hex: string; readonly value?: unknown; readonly offset?: number };

function vectors(malformed: boolean): Vector[] {
  return [...goldenVectors()].filter(([file]) => (file === "malformed.json") === malformed).flatMap(([, text]) => JSON.parse(text) as Vector[]);
}

/** What both decoders must say of the same bytes. */
function verdict(type: MessageType, bytes: Uint8Array): string {
  const decoded = codecs[type].decode(bytes);
  return decoded.kind === "ok" ? `ok ${toHex(codecs[type].encode(decoded.value))}` : `refused ${decoded.offset}`;
}

/** The driver's answer without the JSON. */
const short = (answer: string): string => (answer.startsWith("ok ") ? `ok ${answer.slice(answer.indexOf("\t") + 1)}` : answer);

describe("the C library", () => {
  test("passes its own tests under address and undefined-behaviour sanitizers", (ctx) => {
    const run = runHostTests(built(ctx).tests);
    console.log(`firmware: ${run.passed} C tests passed, ${run.failed} failed (${compiler.kind === "found" ? compiler.version : ""})`);
    if (run.failed > 0) {
      throw new Error(run.output);
    }
    expect(run.passed).toBeGreaterThanOrEqual(44);
  });

  test("reads every golden vector as the same value and writes the same bytes", (ctx) => {
    const all = vectors(false);
    const answers = ask(built(ctx).driver, all.map(({ type, hex }) => `codec ${type} ${hex}`));
    expect(all.length).toBeGreaterThan(60);
    for (const [i, vector] of all.entries()) {
      const [json, hex] = (answers[i] ?? "").replace(/^ok /, "").split("\t");
      expect({ name: vector.name, hex }).toEqual({ name: vector.name, hex: vector.hex });
      expect({ name: vector.name, value: JSON.parse(json ?? "") as unknown }).toEqual({ name: vector.name, value: vector.value });
    }
  });

  test("refuses every malformed vector at the same byte", (ctx) => {
    const all = vectors(true);
    const answers = ask(built(ctx).driver, all.map(({ type, hex }) => `codec ${type} ${hex}`));
    expect(all.length).toBeGreaterThan(90);
    expect(answers.map((answer, i) => `${all[i]?.name}: ${answer}`)).toEqual(all.map(({ name, offset }) => `${name}: refused ${offset}`));
  });

  test("agrees with the host's decoders on 20,000 mutants, byte for byte or in the place of the fault", (ctx) => {
    const cases = Array.from({ length: 20_000 }, (_, n) => ({ type: types[n % types.length] as MessageType, bytes: mutant(seed, n) }));
    cases.push(...oversized.flatMap((bytes) => types.map((type) => ({ type, bytes }))));
    const answers = ask(built(ctx).driver, cases.map(({ type, bytes }) => `codec ${type} ${toHex(bytes)}`)).map(short);
    let accepted = 0;
    for (const [i, { type, bytes }] of cases.entries()) {
      const expected = verdict(type, bytes);
      accepted += expected.startsWith("ok") ? 1 : 0;
      if (answers[i] !== expected) {
        expect(`seed ${seed}, mutant ${i}, ${type} ${toHex(bytes)}: ${answers[i]}`).toBe(expected);
      }
    }
    expect(accepted).toBeGreaterThan(100);
  });

  test("names a crash as packages/coredump does", (ctx) => {
    const reasons = [0, 1, 2, 3, 4, 16, 25, 34, 35, 36, 37, 99];
    const addresses = [0, 0x2101_0400, 0x2101_0401, 0xffff_fff9, 0x0001_9a11];
    const names = new Map<number, string>();
    const cases = reasons.flatMap((reason) => addresses.flatMap((pc) => addresses.map((lr) => ({ reason, pc, lr }))));
    const answers = ask(built(ctx).driver, cases.map(({ reason, pc, lr }) => `crash ${reason} ${pc} ${lr}`));
    for (const [i, { reason, pc, lr }] of cases.entries()) {
      const name = (answers[i] ?? "").split(" / ")[0] ?? "";
      names.set(reason, name);
      const dump = { header: { reasonName: name }, arch: { registers: { pc, lr } } } as unknown as Coredump;
      if (pc !== 0 && pc < 0xffff_ff00) {
        expect(answers[i]).toBe(signature(dump));
      }
    }
    expect([names.get(25), names.get(35), names.get(4), names.get(99)]).toEqual([
      "precise bus fault",
      "illegal EPSR",
      "kernel panic",
      "architecture reason 99",
    ]);
  });

  test("reads reason and registers from the head of a coredump, and nothing from anything else", (ctx) => {
    const head = "5a45010003000500190000004102004400";
    const word = (value: number): string => toHex(Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24));
    const registers = [0, 1, 2, 3, 12, 0x2101_0381, 0x2101_0400, 0x6100_0000].map(word).join("");
    const whole = head + registers;
    const cuts = Array.from({ length: whole.length / 2 }, (_, n) => `dump ${whole.slice(0, 2 * n)} `);
    const [good, other, ...short_] = ask(built(ctx).driver, [`dump ${whole}`, `dump ${whole.replace("5a45", "5a46")}`, ...cuts]);
    expect(good).toBe(`25 ${0x2101_0400} ${0x2101_0381}`);
    expect(other).toBe("refused");
    expect(new Set(short_)).toEqual(new Set(["refused"]));
  });
});

/** Whole numbers below a bound, by (seed, n): SplitMix32. */
function generator(n: number): (bound: number) => number {
  let state = (Math.imul(seed, 0x9e37_79b1) ^ Math.imul(n, 0x85eb_ca77)) >>> 0;
  return (bound) => {
    state = (state + 0x9e37_79b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0_aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a_2d97);
    return ((z ^ (z >>> 15)) >>> 0) % bound;
  };
}

type Event =
  | { readonly kind: "poll"; readonly at: number }
  | { readonly kind: "acknowledged"; readonly at: number }
  | { readonly kind: "policy"; readonly at: number; readonly policy: ConfirmPolicy };

interface Trial {
  readonly policy: ConfirmPolicy;
  /** A self-test that never passes. */
  readonly broken: boolean;
  readonly events: readonly Event[];
}

function trial(n: number): Trial {
  const random = generator(n);
  // Few different values, so that equal moments and equal bounds are common.
  const policy = (): ConfirmPolicy => ({ minUptime_s: random(8), deadline_s: random(12), serverContact: random(3) > 0 });
  let at = 0;
  const events = Array.from({ length: 1 + random(12) }, (): Event => {
    at += random(4) * 500 + (random(8) === 0 ? 1 : 0);
    const kind = random(10);
    return kind < 5 ? { kind: "poll", at } : kind < 9 ? { kind: "acknowledged", at } : { kind: "policy", at, policy: policy() };
  });
  return { policy: policy(), broken: random(6) === 0, events };
}

const policyText = ({ minUptime_s, deadline_s, serverContact }: ConfirmPolicy): string => `${minUptime_s} ${deadline_s} ${serverContact ? 1 : 0}`;

function line({ policy, broken, events }: Trial): string {
  const words = events.map((event) => {
    switch (event.kind) {
      case "poll":
        return `p ${event.at}`;
      case "acknowledged":
        return `a ${event.at}`;
      case "policy":
        return `c ${event.at} ${policyText(event.policy)}`;
    }
  });
  return `confirm ${policyText(policy)} ${broken ? 1 : 0} ${words.join(" ")}`;
}

/** A simulated board whose flash grants everything, on trial since time 0. */
function boardOnTrial({ policy, broken }: Trial): Device {
  const flash = {
    isConfirmed: () => false,
    image: () => null,
    setConfirmed: () => ({ outcome: "done", rc: 0, operations: 0, state: flash }),
    boot: () => ({ result: { outcome: "boot", slot: "primary", ops: { total: 0 } }, state: flash }),
  };
  const shared = { draw: () => 0.5, flash: { factory: () => flash }, contents: undefined } as unknown as DeviceShared;
  const description = {
    id: "bench",
    hardware: { bootloader: { mode: "swap-move" }, bootTime: 0, flashTime: 0 },
    connectivity: { sleepy: false, latency: 10, interval: 60_000 },
    power: { name: "mains", battery: null },
    firmware: { version: "1.0.0" },
    drain: 1,
  } as unknown as Device["description"];
  const device = createDevice(description, seed, shared);
  const target = new Uint8Array(32).fill(1);
  device.phase = "running";
  device.running = { imageHash: target, hash: toHex(target), version: "2.0.0", program: undefined, buildId: target.subarray(0, 8) };
  device.attempt = {
    offer: 7,
    target,
    stage: "testing",
    ran: true,
    resetCause: "software",
    trialBoots: 1,
    acknowledged: false,
    policy,
    fromVersion: "1.0.0",
    reason: "",
  };
  device.boot = 1;
  device.sequence = 1;
  device.trial = policy;
  device.confirmAt = broken ? Number.POSITIVE_INFINITY : policy.minUptime_s * 1_000;
  device.deadlineAt = policy.deadline_s * 1_000;
  return device;
}

/** The decision of the simulator's device, by its own `step`. */
function simulated(of: Trial): string {
  const device = boardOnTrial(of);
  const input = (event: Event): DeviceInput => {
    switch (event.kind) {
      case "poll":
        return { kind: "wake" };
      case "acknowledged":
        return { kind: "acknowledged", boot: 1, sequence: 0 };
      case "policy":
        return { kind: "command", command: { kind: "confirm", offer: 7, policy: event.policy } };
    }
  };
  for (const event of of.events) {
    step(device, input(event), event.at as Parameters<typeof step>[2]);
    if (device.attempt?.stage === "confirmed") {
      return `confirm ${event.at}`;
    }
    if (device.phase !== "running") {
      return `reset ${event.at}`;
    }
  }
  return "wait";
}

describe("one truth, two languages", () => {
  test("the boot machines of firmware and simulator decide alike on 10,000 random sequences of events", (ctx) => {
    const trials = Array.from({ length: 10_000 }, (_, n) => trial(n));
    const answers = ask(built(ctx).driver, trials.map(line));
    const seen = new Map<string, number>();
    for (const [n, of] of trials.entries()) {
      const expected = simulated(of);
      const kind = expected.split(" ")[0] ?? "";
      seen.set(kind, (seen.get(kind) ?? 0) + 1);
      if (answers[n] !== expected) {
        expect(`seed ${seed}, sequence ${n}, ${line(of)}: ${answers[n]}`).toBe(expected);
      }
    }
    console.log(`firmware: 10,000 sequences, seed ${seed}: ${[...seen].map(([kind, count]) => `${kind} ${count}`).join(", ")}`);
    for (const kind of ["confirm", "reset", "wait"]) {
      expect(seen.get(kind) ?? 0).toBeGreaterThan(500);
    }
  });
});

