// SPDX-License-Identifier: Apache-2.0
// The command's entry. Checks the runtime before anything that needs it is loaded.
import process from "node:process";

const nodeMajorMin = 26;
const environment = 4;

if (Number(process.versions.node.split(".")[0]) < nodeMajorMin) {
  process.stderr.write(`coalmine needs Node ${nodeMajorMin} or newer, this is ${process.versions.node}: run "npm ci", then "npx coalmine"\n`);
  process.exitCode = environment;
} else {
  const { run } = await import("./run.ts");
  process.exitCode = await run(process.argv.slice(2));
}
