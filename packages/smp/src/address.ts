// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "@coalmine/core";
import type { SmpClientOptions } from "./client.ts";
import { SmpClient } from "./client.ts";
import { openSerial } from "./serial-port.ts";
import type { SmpTransport } from "./transport.ts";
import { SMP_UDP_PORT, openUdp } from "./udp.ts";

type SmpAddress = { readonly kind: "udp"; readonly host: string; readonly port: number } | { readonly kind: "serial"; readonly path: string; readonly baud: number };

const BAUD = 115_200;

/**
 * Opens `udp://HOST[:1337]` or `serial:///dev/ttyACM0[?baud=115200]`.
 *
 * @throws CoalmineError `smp/bad-url`, or `smp/unreachable` when the port or host cannot be opened.
 */
export async function openSmp(url: string): Promise<SmpTransport> {
  const address = readAddress(url);
  return address.kind === "udp" ? openUdp(address) : openSerial(address);
}

/** A client over `openSmp`. */
export async function connectSmp(url: string, options: SmpClientOptions = {}): Promise<SmpClient> {
  return new SmpClient(await openSmp(url), options);
}

export function readAddress(text: string): SmpAddress {
  const url = URL.parse(text);
  if (url === null) {
    throw bad(text, "it is not a URL");
  }
  switch (url.protocol) {
    case "udp:":
      if (url.hostname === "" || (url.pathname !== "" && url.pathname !== "/") || url.port === "0") {
        throw bad(text, "it needs a host, and nothing after host and port");
      }
      return { kind: "udp", host: url.hostname.replace(/^\[(.*)\]$/, "$1"), port: url.port === "" ? SMP_UDP_PORT : Number(url.port) };
    case "serial:": {
      const baud = Number(url.searchParams.get("baud") ?? BAUD);
      if (url.hostname !== "" || !url.pathname.startsWith("/") || url.pathname.length < 2) {
        throw bad(text, "it needs three slashes and the path of a device");
      }
      if (!Number.isInteger(baud) || baud < 300 || baud > 12_000_000) {
        throw bad(text, "its baud rate is not one");
      }
      return { kind: "serial", path: decoded(text, url.pathname), baud };
    }
    default:
      throw bad(text, `there is no transport ${JSON.stringify(url.protocol)}`);
  }
}

function decoded(url: string, path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw bad(url, "its path has a percent sign that escapes nothing");
  }
}

function bad(url: string, problem: string): CoalmineError {
  return new CoalmineError("smp/bad-url", `cannot use the SMP address ${JSON.stringify(url)}: ${problem}. Give udp://HOST[:1337] or serial:///dev/ttyACM0[?baud=115200].`);
}
