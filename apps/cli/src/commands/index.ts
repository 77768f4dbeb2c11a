// SPDX-License-Identifier: Apache-2.0
import type { Command } from "commander";

/**
 * A file of commands. It is loaded when one of its names is called, or for help. `register` adds the commands; what
 * an action needs beyond that it imports when it runs, so that help stays fast.
 */
export interface CommandGroup {
  readonly names: readonly string[];
  readonly load: () => Promise<{ readonly register: (program: Command) => void }>;
}

/** In the order of the help. */
export const groups: readonly CommandGroup[] = [
  { names: ["demo"], load: () => import("./demo.ts") },
  { names: ["serve"], load: () => import("./serve.ts") },
  { names: ["device"], load: () => import("./device.ts") },
  { names: ["secret"], load: () => import("./secret.ts") },
  { names: ["cohort"], load: () => import("./cohort.ts") },
  { names: ["release"], load: () => import("./release.ts") },
  { names: ["rollout"], load: () => import("./rollout.ts") },
  { names: ["crash"], load: () => import("./crash.ts") },
  { names: ["rollback"], load: () => import("./rollback.ts") },
  { names: ["migrate"], load: () => import("./migrate.ts") },
  { names: ["audit"], load: () => import("./audit.ts") },
  { names: ["rehearse"], load: () => import("./rehearse.ts") },
  { names: ["sim"], load: () => import("./sim.ts") },
  { names: ["artifact"], load: () => import("./artifact.ts") },
  { names: ["mcuboot"], load: () => import("./mcuboot.ts") },
  { names: ["board"], load: () => import("./board.ts") },
  { names: ["coredump"], load: () => import("./coredump.ts") },
  { names: ["bench"], load: () => import("./bench.ts") },
];
