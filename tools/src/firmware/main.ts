// SPDX-License-Identifier: Apache-2.0
// `npm run firmware:test`, `firmware:lint`, `firmware:setup`, `firmware:build`.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { buildPrograms, findCompiler, firmware, librarySources } from "./compiler.ts";
import { runHostTests } from "./host-tests.ts";
import { buildSample, setupWorkspace } from "./workspace.ts";

const exitUsage = 3;

function test(): number {
  const compiler = findCompiler();
  if (compiler.kind === "absent") {
    console.log(`skipped: ${compiler.reason}\n0 passed, 0 failed, 1 skipped`);
    return 0;
  }
  const programs = buildPrograms(compiler);
  try {
    const run = runHostTests(programs.tests);
    process.stdout.write(run.output.replace(/^\d+ passed, \d+ failed\n/m, ""));
    console.log(`${compiler.version}${compiler.sanitizers.length > 0 ? ", address and undefined-behaviour sanitizers" : ", without sanitizers"}`);
    if (run.failed > 0) {
      console.log(`${run.passed} passed, ${run.failed} failed`);
      return 1;
    }
    console.log(`C: ${run.passed} passed`);
  } finally {
    programs.remove();
  }
  // Vectors, mutants and the comparison with the simulator are in TypeScript.
  const vitest = spawnSync("npx", ["vitest", "run", "tools/src/firmware/"], { cwd: join(firmware, ".."), stdio: "inherit" });
  return vitest.status ?? 1;
}

/** cppcheck and clang-tidy, whichever is there. */
function lint(): number {
  const include = join(firmware, "lib/include");
  const headers = readdirSync(join(include, "coalmine")).map((name) => join(include, "coalmine", name));
  const checks = [
    {
      command: "cppcheck",
      args: ["--std=c11", "--enable=warning,style,performance,portability", "--inline-suppr", "--error-exitcode=1", "--quiet", "--suppress=missingIncludeSystem", "-I", include, join(firmware, "lib/src")],
    },
    {
      command: "clang-tidy",
      args: ["--quiet", "--warnings-as-errors=*", `--config-file=${join(firmware, ".clang-tidy")}`, ...librarySources(), "--", "-std=c11", "-I", include],
    },
    { command: "clang-format", args: ["--dry-run", "--Werror", ...librarySources(), ...headers] },
  ];
  let failed = 0;
  for (const { command, args } of checks) {
    const run = spawnSync(command, args, { stdio: ["ignore", "inherit", "inherit"] });
    const outcome = run.error === undefined ? (run.status === 0 ? "clean" : "failed") : "skipped: not installed";
    failed += outcome === "failed" ? 1 : 0;
    console.log(`${command}: ${outcome}`);
  }
  return failed === 0 ? 0 : 1;
}

function main([task, ...rest]: readonly string[]): number {
  switch (task) {
    case "test":
      return test();
    case "lint":
      return lint();
    case "setup":
      return setupWorkspace(rest);
    case "build":
      return buildSample(rest);
    default:
      process.stderr.write("usage: npm run firmware:test | firmware:lint | firmware:setup | firmware:build -- SAMPLE [BOARD]\n");
      return exitUsage;
  }
}

process.exitCode = main(process.argv.slice(2));
