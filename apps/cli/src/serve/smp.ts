// SPDX-License-Identifier: Apache-2.0
import type { Clock, ProxyHost } from "@coalmine/orchestrator";
import { parseSmpBoards, type SmpLink, smpLink } from "@coalmine/smp";
import { readText } from "../files.ts";

/** Opens the door to boards that are reached by SMP, as a file names them. */
export function openSmpBoards(file: string, options: { readonly host: ProxyHost; readonly clock: Clock; readonly speed: number; readonly warn: (message: string) => void }): SmpLink {
  const { host, ...rest } = options;
  return smpLink({ ...parseSmpBoards(readText(file, { what: "SMP boards" }), file), ...rest }, host);
}
