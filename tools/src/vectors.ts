// SPDX-License-Identifier: Apache-2.0
//
// Writes packages/protocol/vectors/*.json, the bytes that the host and the firmware must agree on.
// With --check it writes nothing and exits 1 when a file is not what the encoders give now.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { goldenVectors } from "@coalmine/protocol/testing";

const folder = fileURLToPath(new URL("../../packages/protocol/vectors/", import.meta.url));
const check = process.argv.includes("--check");
let stale = 0;

function current(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

mkdirSync(folder, { recursive: true });
for (const [file, text] of goldenVectors()) {
  const path = `${folder}${file}`;
  if (current(path) === text) {
    console.log(`${file}: up to date`);
  } else if (check) {
    stale += 1;
    console.log(`${file}: out of date; run tools/src/vectors.ts and review the change of the wire format`);
  } else {
    writeFileSync(path, text);
    console.log(`${file}: written`);
  }
}
process.exitCode = stale === 0 ? 0 : 1;
