// SPDX-License-Identifier: Apache-2.0
import { CommanderError } from "commander";
import process from "node:process";
import { buildProgram } from "./program.ts";
import { exitCodeOf, exitCodes, isTrouble, uninstalled } from "./output/exit.ts";
import { writeJson } from "./output/output.ts";
import { printable } from "./output/text.ts";

/** Runs one command line (without `node` and the script) and gives the exit code. */
export async function run(argv: readonly string[]): Promise<number> {
  survivePipes();
  const json = wantsJson(argv);
  try {
    const program = await buildProgram(argv);
    await program.parseAsync([...argv], { from: "user" });
    return Number(process.exitCode ?? exitCodes.done);
  } catch (error) {
    if (error instanceof CommanderError) {
      // Commander has printed its message; help and version are no errors.
      if (error.exitCode !== 0 && json) {
        writeJson({ error: { code: `cli/${error.code.replace(/^commander\./, "")}`, message: error.message.replace(/^error: /, "") } });
      }
      return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
    }
    return explain(uninstalled(error) ?? (isTrouble(error) ? error : await perhapsTheirs(error)), json);
  }
}

/** What no code of ours throws on purpose may come of an answer that another version gave: then that is said instead. */
async function perhapsTheirs(error: unknown): Promise<unknown> {
  const { exchanges } = await import("./client.ts");
  if (exchanges.length === 0) {
    return error;
  }
  const { misfit } = await import("./answer-shape.ts");
  return (await misfit(exchanges, error).catch(() => undefined)) ?? error;
}

function explain(error: unknown, json: boolean): number {
  if (isTrouble(error)) {
    process.stderr.write(`error: ${printable(error.message)}\n`);
    if (json) {
      writeJson({ error: { code: error.code, message: error.message } });
    }
    return exitCodeOf(error);
  }
  const { stack } = error instanceof Error ? error : new Error(String(error));
  process.stderr.write(`${stack}\nThis is a bug of coalmine. Please report the lines above, the command line and "coalmine --version".\n`);
  if (json) {
    writeJson({ error: { code: "cli/bug", message: error instanceof Error ? error.message : String(error) } });
  }
  return exitCodes.bug;
}

function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf("--");
  return (end === -1 ? argv : argv.slice(0, end)).includes("--json");
}

/** A reader that has seen enough (`coalmine … | head`) is no error. */
function survivePipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") {
        throw error;
      }
      process.exit(Number(process.exitCode ?? exitCodes.done));
    });
  }
}
