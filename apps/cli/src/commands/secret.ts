// SPDX-License-Identifier: Apache-2.0
import { type DeviceId, deviceId } from "@coalmine/core";
import type { Command } from "commander";
import { badUsage } from "../output/exit.ts";
import { output } from "../output/output.ts";
import { example } from "./example.ts";

interface CreateFlags {
  readonly out: string;
  readonly sealKey?: string;
  readonly json?: true;
}

export function register(program: Command): void {
  const secret = program.command("secret").description("secrets that devices prove themselves with");
  example(
    secret
      .command("keygen")
      .description("make the key that CoAP keys are sealed with in a file of device secrets")
      .requiredOption("--out <file>", "where to put it; readable by its owner alone, replaces nothing")
      .option("--json", "one JSON document on stdout")
      .action(keygen),
    "coalmine secret keygen --out seal.key",
  );
  example(
    secret
      .command("create")
      .description("make a secret for each device, add its line to a file of device secrets, and print DEVICE SECRET this once")
      .argument("<device...>", "ids of devices that have no line in the file")
      .requiredOption("--out <file>", "file of device secrets (serve --device-secrets)")
      .option("--seal-key <file>", "seals the devices' CoAP keys; without it they can come over MQTT only")
      .option("--json", "one JSON document on stdout")
      .action(create),
    "coalmine secret create dev-1 dev-2 --out devices.secrets --seal-key seal.key",
  );
}

async function keygen(flags: { readonly out: string; readonly json?: true }): Promise<void> {
  const { randomBytes } = await import("node:crypto");
  const { writeBytes } = await import("../files.ts");
  writeBytes(flags.out, `${randomBytes(32).toString("hex")}\n`, { what: "the seal key", secret: true });
  output(flags).result({ out: flags.out }, () => `${flags.out}: keep it apart from the file of device secrets, and a copy of both`);
}

async function create(names: readonly string[], flags: CreateFlags): Promise<void> {
  const { existsSync } = await import("node:fs");
  const { appendFile } = await import("node:fs/promises");
  const { newSecret, readDeviceSecrets, readSealKey, secretLine } = await import("../serve/device-secrets.ts");
  const sealKey = flags.sealKey === undefined ? undefined : readSealKey(flags.sealKey);
  const known = existsSync(flags.out) ? readDeviceSecrets(flags.out, sealKey).hashes : new Map<DeviceId, string>();
  const devices = [...new Set(names)].map((name) => deviceId(name));
  const twice = devices.filter((device) => known.has(device));
  if (twice.length > 0) {
    throw badUsage(`${flags.out} has a line for ${twice.slice(0, 3).join(", ")}${twice.length > 3 ? " and others" : ""} already: delete it to give a new secret`);
  }
  const made = devices.map((device) => ({ device, secret: newSecret() }));
  const lines = made.map(({ device, secret }) => `${secretLine(device, secret, sealKey)}\n`).join("");
  try {
    await appendFile(flags.out, lines, { mode: 0o600, flush: true });
  } catch (cause) {
    throw badUsage(`cannot write ${flags.out}: ${(cause as Error).message}`, cause);
  }
  const out = output(flags);
  out.note(`${made.length} lines added to ${flags.out}; the secrets themselves are nowhere but here`);
  out.result({ secrets: made }, () => made.map(({ device, secret }) => `${device} ${secret}`).join("\n"));
}
