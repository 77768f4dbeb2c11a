// SPDX-License-Identifier: Apache-2.0
import { type Command, InvalidArgumentError } from "commander";
import { example } from "./example.ts";

interface Flags {
  readonly devices: number;
  readonly seed: number;
  readonly speed?: number;
  readonly exit?: true;
  readonly json?: true;
}

export function register(program: Command): void {
  const demo = program
    .command("demo")
    .description("watch a good release reach a simulated fleet over real MQTT, and a bad one stop at its canaries")
    .option("--devices <n>", "simulated devices", devices, 200)
    .option("--seed <n>", "seed of everything random", seed, 7)
    .option("--speed <n>", "device seconds in a real one", speed)
    .option("--exit", "end when both rollouts are over, instead of serving the API until Ctrl-C")
    .option("--json", "one JSON document on stdout")
    .action(async (flags: Flags) => {
      const { runDemo } = await import("../demo-run.ts");
      await runDemo(flags);
    });
  example(demo, "coalmine demo", "coalmine demo --devices 1000 --seed 3 --exit --json");
}

function devices(text: string): number {
  return number(text, { least: 50, what: "It must be a whole number of at least 50: with fewer, no stage could show that a release is good." });
}

function seed(text: string): number {
  return number(text, { least: 0, what: "It must be a whole number." });
}

function number(text: string, rule: { readonly least: number; readonly what: string }): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < rule.least || text.trim() === "") {
    throw new InvalidArgumentError(rule.what);
  }
  return value;
}

function speed(text: string): number {
  const value = Number(text);
  if (!(value > 0) || value > 100_000) {
    throw new InvalidArgumentError("It must be a number above 0 and at most 100000.");
  }
  return value;
}
