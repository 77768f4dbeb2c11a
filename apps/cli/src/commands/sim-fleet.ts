// SPDX-License-Identifier: Apache-2.0
import { type Command, InvalidArgumentError } from "commander";
import { lossShare } from "./arguments.ts";
import { example } from "./example.ts";

interface Flags {
  readonly connect: string;
  readonly devices: number;
  readonly shard?: string;
  readonly seed: number;
  readonly fleet?: string;
  readonly key?: string;
  readonly speed: number;
  readonly loss?: number;
  readonly secrets?: string;
  readonly for?: number;
  readonly json?: true;
}

/** Adds `sim fleet`: devices only, against any orchestrator. */
export function registerFleet(sim: Command): void {
  const fleet = sim
    .command("fleet")
    .description("run simulated devices against an orchestrator, until Ctrl-C")
    .requiredOption("--connect <url>", "the orchestrator's MQTT broker, mqtt://HOST:PORT, or its CoAP door, coap://HOST:PORT")
    .option("--devices <n>", "devices of the whole fleet", whole, 100)
    .option("--shard <i/n>", "run only part i of n, so that several processes share a fleet")
    .option("--seed <n>", "seed of everything random about the fleet", whole, 7)
    .option("--fleet <file>", "fleet file, or scenario file whose fleet is meant; the demo's fleet without one")
    .option("--key <file>", "private key (PEM) that signed the factory images and that the bootloaders trust; derived from the seed without one")
    .option("--speed <n>", "device seconds in a real one", positive, 1)
    .option("--loss <share>", "CoAP: share of the datagrams that get lost in each direction", lossShare)
    .option("--secrets <file>", "CoAP: lines of DEVICE SECRET, as \"secret create\" prints them; devices without one sign nothing")
    .option("--for <seconds>", "end after so many real seconds", positive)
    .option("--json", "one JSON document with the final counts on stdout")
    .action(async (flags: Flags) => {
      const { runFleet } = await import("../sim-fleet-run.ts");
      await runFleet(flags);
    });
  example(fleet, "coalmine sim fleet --connect mqtt://127.0.0.1:1883 --devices 1000", "coalmine sim fleet --connect mqtt://127.0.0.1:1883 --devices 20000 --shard 1/2", "coalmine sim fleet --connect coap://127.0.0.1:5683 --devices 500 --loss 5%");
}

function whole(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0 || text.trim() === "") {
    throw new InvalidArgumentError("It must be a whole number.");
  }
  return value;
}

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) {
    throw new InvalidArgumentError("It must be a number above 0.");
  }
  return value;
}
