// SPDX-License-Identifier: Apache-2.0
import type { Profile } from "@coalmine/mcuboot";
import type { Report } from "./mcuboot.ts";
import { conformMcuboot } from "./mcuboot.ts";

/**
 * `conform mcuboot DIR [--json] [--profile exact|safe] [--workers N]`; the exit code: 0 nothing differs, 1 something does,
 * 3 bad usage.
 */
export async function mcubootMain(args: readonly string[]): Promise<number> {
  const options = parse(args);
  if (typeof options === "string") {
    console.error(`${options}\nusage: conform mcuboot DIR [--json] [--profile exact|safe] [--workers N]`);
    return 3;
  }
  let report: Report;
  try {
    report = await conformMcuboot(options.dir, options);
  } catch (error) {
    console.error(`cannot read MCUboot vectors in ${options.dir}: ${error instanceof Error ? error.message : String(error)}`);
    return 3;
  }
  if (options.json) {
    console.log(JSON.stringify(report));
  } else {
    print(report, options.profile);
  }
  return report.failures.length === 0 ? 0 : 1;
}

interface Options {
  dir: string;
  json: boolean;
  profile: Profile;
  workers?: number;
}

function parse(args: readonly string[]): Options | string {
  const options: Options = { dir: "", json: false, profile: "exact" };
  for (let i = 0; i < args.length; i++) {
    const [name, inline] = (args[i] ?? "").split("=", 2);
    const value = (): string => inline ?? args[++i] ?? "";
    switch (name) {
      case "--json":
        options.json = true;
        break;
      case "--profile": {
        const profile = value();
        if (profile !== "exact" && profile !== "safe") {
          return `--profile must be exact or safe, not ${JSON.stringify(profile)}`;
        }
        options.profile = profile;
        break;
      }
      case "--workers": {
        const workers = Number(value());
        if (!Number.isInteger(workers) || workers < 0 || workers > 64) {
          return "--workers must be 0 to 64";
        }
        options.workers = workers;
        break;
      }
      default:
        if (name?.startsWith("-") === true || options.dir !== "") {
          return `unexpected argument ${JSON.stringify(args[i])}`;
        }
        options.dir = args[i] ?? "";
    }
  }
  return options.dir === "" ? "a folder is missing" : options;
}

function print(report: Report, profile: Profile): void {
  // Under `safe` a difference is no failure by itself; failures are listed below.
  const differs = profile === "safe" ? "diff" : "FAIL";
  const line = (name: string, agree: number, total: number, more = ""): void => {
    console.log(`${agree === total ? "ok  " : differs} ${name} ${agree}/${total}${more}`);
  };
  const { scenarios, images, trailer } = report;
  line("scenarios, outcome", scenarios.outcome, scenarios.total);
  line("scenarios, flash state", scenarios.state, scenarios.total);
  line("scenarios, operation counts", scenarios.ops, scenarios.total);
  line("images", images.agree, images.total);
  for (const kind of ["powercuts", "doubles"] as const) {
    const { rows, agree, anomalies } = report[kind];
    line(kind, agree, rows, ` (anomalies ${anomalies.rows}: ${anomalies.reproduced} reproduced, ${anomalies.safe} safe)`);
  }
  line("trailer tables", trailer.agree, trailer.rows);
  for (const failure of report.failures.slice(0, 50)) {
    console.log(`  ${failure.id} [${failure.level}] ${failure.detail}`);
  }
  if (report.failures.length > 50) {
    console.log(`  and ${report.failures.length - 50} more`);
  }
  console.log(`${report.wallSeconds} s`);
}
