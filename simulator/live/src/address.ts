// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "@coalmine/core";
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";

export interface BrokerAddress {
  readonly transport: "mqtt" | "coap";
  readonly host: string;
  readonly port: number;
}

/** Reads `mqtt://HOST[:PORT]` or `coap://HOST[:PORT]`. Throws `live/url` saying what is wrong with it. */
export function brokerAddress(url: string): BrokerAddress {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  const transport = parsed?.protocol === "coap:" ? "coap" : "mqtt";
  if (parsed?.protocol !== `${transport}:` || parsed.hostname === "" || (parsed.pathname !== "" && parsed.pathname !== "/")) {
    throw new CoalmineError("live/url", `${JSON.stringify(url)} is not the address of a host: write mqtt://HOST:PORT or coap://HOST:PORT`);
  }
  if (parsed.username !== "" || parsed.password !== "") {
    throw new CoalmineError("live/url", "simulated devices have no user name and password; leave them out of the broker's address");
  }
  const port = parsed.port === "" ? { mqtt: 1883, coap: 5683 }[transport] : Number(parsed.port);
  return { transport, host: parsed.hostname.replace(/^\[(.*)\]$/, "$1"), port };
}

/** Looks the host up once, so that thousands of connections do not. Throws `live/unreachable` (retry later). */
export async function resolved(address: BrokerAddress): Promise<BrokerAddress> {
  if (isIP(address.host) !== 0) {
    return address;
  }
  try {
    return { ...address, host: (await lookup(address.host)).address };
  } catch (cause) {
    throw new CoalmineError("live/unreachable", `the broker's host ${address.host} has no address: ${(cause as Error).message}`, { retry: "later", cause });
  }
}
