// SPDX-License-Identifier: Apache-2.0
import { Command } from "commander";
import { coalmineVersion } from "@coalmine/core";
import process from "node:process";
import { groups } from "./commands/index.ts";
import { example } from "./commands/example.ts";
import { terminalWidth } from "./output/text.ts";

/** The program with the commands this command line may mean: one group when it names one, else all of them. */
export async function buildProgram(argv: readonly string[]): Promise<Command> {
  const program = new Command("coalmine")
    .description("Canary OTA for Zephyr/MCUboot fleets: rollouts that stop on evidence.")
    .version(`coalmine ${coalmineVersion} (Node ${process.versions.node})`, "-V, --version", "print the version")
    .helpOption("-h, --help", "show help")
    // `artifact sign --version 1.2.0` is not the program's --version.
    .enablePositionalOptions();
  example(program, "coalmine demo", "coalmine serve --data ./data --key release.pub.pem", "coalmine rollout start 1.2.0 --plan plan.yaml --reason 'weekly release'");
  const named = groups.find((group) => group.names.includes(argv[0] ?? ""));
  for (const group of named === undefined ? groups : [named]) {
    const { register } = await group.load();
    register(program);
  }
  settle(program, "coalmine");
  return program;
}

/** Errors are thrown, not exits; every subcommand offers help and suggestions. */
function settle(command: Command, path: string): void {
  command.showHelpAfterError(`("${path} --help" shows what there is)`);
  command.exitOverride().showSuggestionAfterError(true).configureHelp({ sortSubcommands: false });
  command.configureOutput({ getOutHelpWidth: () => helpWidth(process.stdout), getErrHelpWidth: () => helpWidth(process.stderr) });
  for (const sub of command.commands) {
    settle(sub, `${path} ${sub.name()}`);
  }
}

function helpWidth(stream: NodeJS.WriteStream): number {
  return stream.isTTY ? terminalWidth(stream) : 100;
}
