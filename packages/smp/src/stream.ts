// SPDX-License-Identifier: Apache-2.0
import type { Duplex } from "node:stream";
import { SERIAL_OVERHEAD, SerialDecoder, encodeSerial } from "./serial-frame.ts";
import type { SerialCounts } from "./serial-frame.ts";
import type { SmpTransport, TransportListener } from "./transport.ts";

const PACKET_MAX = 2048;
/** Bytes that may wait to be written; a port that takes nothing loses packets rather than filling memory. */
const WAITING_MAX = 64 * 1024;

export interface StreamTransport extends SmpTransport {
  readonly counts: Readonly<SerialCounts>;
}

/** One board over a serial port, a pseudo terminal or a socket that carries one: any duplex stream of bytes. */
export function overStream(stream: Duplex, options: { readonly name: string }): StreamTransport {
  const decoder = new SerialDecoder(PACKET_MAX);
  let listener: TransportListener | undefined;
  let open = true;
  const end = (cause?: Error): void => {
    if (open) {
      open = false;
      listener?.closed(cause);
    }
  };
  stream.on("data", (bytes: Uint8Array) => decoder.push(bytes, (packet) => listener?.packet(packet)));
  stream.on("error", end);
  stream.on("end", () => end());
  stream.on("close", () => end());
  return {
    name: options.name,
    packetMax: PACKET_MAX,
    overhead: SERIAL_OVERHEAD,
    counts: decoder.counts,
    listen(one) {
      listener = one;
    },
    send(packet) {
      if (open && stream.writableLength < WAITING_MAX) {
        stream.write(encodeSerial(packet));
      }
    },
    async close() {
      end();
      if (!stream.closed) {
        const closed = new Promise((resolve) => {
          stream.once("close", resolve);
        });
        stream.destroy();
        await closed;
      }
    },
  };
}
