// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "@coalmine/core";
import { createServer } from "node:net";

/**
 * A free port of the loopback below 32768. Higher ones are handed out to outgoing connections, of which a simulated fleet
 * makes thousands: the port would be taken again before it is used. Where the search starts depends on the process, so
 * that several at once do not race for the same port.
 * @param taken ports that this process means to use already
 */
export async function freePort(taken: ReadonlySet<number> = new Set()): Promise<number> {
  const first = 20_000;
  const count = 12_000;
  for (let step = 0; step < count; step += 1) {
    const port = first + ((process.pid * 37 + step) % count);
    if (!taken.has(port) && (await isFree(port))) {
      return port;
    }
  }
  throw new CoalmineError("cli/port", `no free port of the loopback from ${first} to ${first + count - 1}`, { retry: "later" });
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
