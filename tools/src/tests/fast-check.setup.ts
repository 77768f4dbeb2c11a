// SPDX-License-Identifier: Apache-2.0
// Every property starts from the run's seed, so a failing run can be had again.
import { configureGlobal, readConfigureGlobal } from "fast-check";
import { seedFrom } from "./seed.ts";

const seed = seedFrom(process.env["COALMINE_SEED"]);
if (seed === undefined) {
  throw new Error(`COALMINE_SEED is not a seed: ${process.env["COALMINE_SEED"]}`);
}
configureGlobal({ ...readConfigureGlobal(), seed });
