// SPDX-License-Identifier: Apache-2.0
import { badUsage } from "../output/exit.ts";

export interface ListenAddress {
  readonly host: string;
  /** 0 chooses a free port. */
  readonly port: number;
}

/** Reads `127.0.0.1:8080`, `[::1]:8080` or `localhost:0`. */
export function listenAddress(text: string, option: string): ListenAddress {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || !(port <= 65_535)) {
    throw badUsage(`${option} ${JSON.stringify(text)} is not HOST:PORT: write 127.0.0.1:8080, [::1]:8080 or 127.0.0.1:0 for a free port`);
  }
  return { host, port };
}

/** True for addresses that only programs on this machine reach. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}

export function urlOf(scheme: string, { host, port }: ListenAddress): string {
  return `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}`;
}
