// SPDX-License-Identifier: Apache-2.0
import { type DdiLink, ddiLink, parseDdiConfig } from "@coalmine/ddi";
import type { Clock, ProxyHost } from "@coalmine/orchestrator";
import { readText } from "../files.ts";
import type { ListenAddress } from "./address.ts";

export interface DdiSettings {
  readonly address: ListenAddress;
  readonly config: string | undefined;
}

/**
 * Opens the door for hawkBit's clients.
 * @param secrets SHA-256 of each device's secret, which is its target token; undefined when devices are believed
 */
export async function openDdi(
  { address, config: file }: DdiSettings,
  options: { readonly host: ProxyHost; readonly clock: Clock; readonly speed: number; readonly secrets: ReadonlyMap<string, string> | undefined; readonly warn: (message: string) => void },
): Promise<DdiLink> {
  const { host, clock, speed, secrets, warn } = options;
  const config = parseDdiConfig(file === undefined ? "" : readText(file, { what: "DDI configuration" }), file ?? "DDI configuration");
  const tokens = secrets === undefined && config.gateways.length === 0 ? undefined : { targets: secrets ?? new Map<string, string>(), gateways: config.gateways };
  return ddiLink(
    {
      host: address.host,
      port: address.port,
      clock,
      speed,
      tenant: config.tenant,
      poll_s: config.poll_s,
      factsOf: (device) => config.factsOf(device),
      warn,
      ...(tokens === undefined ? {} : { tokens }),
      ...(config.publicUrl === undefined ? {} : { publicUrl: config.publicUrl }),
    },
    host,
  );
}
