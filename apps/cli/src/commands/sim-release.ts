// SPDX-License-Identifier: Apache-2.0
import { type Command, InvalidArgumentError } from "commander";
import { output } from "../output/output.ts";
import { facts, table } from "../output/table.ts";
import { defectHelp } from "../rehearse-defect.ts";
import { gather, whole } from "./arguments.ts";
import { example } from "./example.ts";

interface Flags {
  readonly scenario?: string;
  readonly fleet?: string;
  readonly defect?: readonly string[];
  readonly size?: string;
  readonly storageSchema?: number;
  readonly seed: number;
  readonly key?: string;
  readonly out: string;
  readonly json?: true;
}

/** Adds `sim release`: signed images that the devices of `sim fleet` take and behave by. */
export function registerRelease(sim: Command): void {
  const release = sim
    .command("release")
    .description("build a release for simulated devices: one signed image per kind of hardware, and the public key")
    .argument("<version>", "version of the release, such as 1.2.0", version)
    .requiredOption("--out <folder>", "where the files go; made when it is not there")
    .option("--fleet <file>", "fleet file, or scenario file whose fleet is meant; the demo's fleet without one")
    .option("--defect <defect>", "what is wrong with it (repeatable; see below); nothing without one", gather)
    .option("--scenario <file>", "take fleet and release from this scenario, defects and all, instead of the options above")
    .option("--size <bytes>", "payload: 4096, 96KiB, 1MiB (default: 48KiB)")
    .option("--storage-schema <n>", "storage schema that it writes (default: 1)", whole(0, 65_535))
    .option("--seed <n>", "seed of the lab whose key signs it; as for sim fleet", whole(0), 7)
    .option("--key <file>", "private key (PEM) instead; as for sim fleet")
    .option("--json", "one JSON document on stdout")
    .addHelpText(
      "after",
      `
Defects:
${defectHelp.map((line) => `  ${line}`).join("\n")}
  or an entry of a scenario's defects: hang-before-confirm, '{ kind: boot-loop, after: 20s, only: { revisions: [B] } }'`,
    )
    .action(build);
  example(
    release,
    "coalmine sim release 1.1.0 --out build",
    "coalmine sim release 1.2.0 --defect hardware=revB,boot-failure=80% --out build",
    "coalmine sim release 1.2.0 --scenario simulator/scenarios/demo.yaml --out build",
  );
}

function version(text: string): string {
  if (!/^\d{1,3}\.\d{1,3}\.\d{1,5}(\+\d{1,10})?$/.test(text)) {
    throw new InvalidArgumentError("Give a version such as 1.2.0 or 1.2.0+3.");
  }
  return text;
}

async function build(wanted: string, flags: Flags): Promise<void> {
  const { writeSimRelease } = await import("../sim-release.ts");
  const made = writeSimRelease({ ...flags, version: wanted });
  output(flags).result(made, () =>
    [
      facts([
        ["release", made.version],
        ["defects", made.defects.length === 0 ? "none" : made.defects.map((defect) => JSON.stringify(defect)).join(", ")],
        ["key", made.publicKey],
        ["signed by", made.signedBy],
      ]),
      "",
      table(
        [{ title: "HARDWARE" }, { title: "VARIANT" }, { title: "BYTES", align: "right" }, { title: "IMAGE" }, { title: "FILE" }],
        made.artifacts.map(({ hardware, variant, size, imageHash, file }) => [hardware, variant, size, imageHash.slice(0, 16), file]),
      ),
      "",
      "An orchestrator that trusts the key, devices that run it, the release, and names for its crashes:",
      ...[made.commands.serve, made.commands.fleet, made.commands.create, ...made.commands.symbols].map((line) => `  ${line}`),
    ].join("\n"),
  );
}
