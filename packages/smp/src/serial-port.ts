// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "@coalmine/core";
import { execFile } from "node:child_process";
import { closeSync, constants, openSync } from "node:fs";
import process from "node:process";
import type { Duplex } from "node:stream";
import { ReadStream, isatty } from "node:tty";
import { promisify } from "node:util";
import type { StreamTransport } from "./stream.ts";
import { overStream } from "./stream.ts";

const run = promisify(execFile);

/** A serial device of the host. */
export interface SerialPort {
  readonly path: string;
  readonly baud?: number;
}

/** One board's SMP over a serial device. @throws CoalmineError `smp/unreachable`. */
export async function openSerial(port: SerialPort): Promise<StreamTransport> {
  return overStream(await openSerialStream(port), { name: `serial://${port.path}` });
}

/**
 * A serial device as a stream of bytes, set to raw mode and 8N1 by the system's `stty`.
 *
 * @throws CoalmineError `smp/unreachable` when the device cannot be opened or set.
 */
export async function openSerialStream(port: SerialPort): Promise<Duplex> {
  const { path, baud = 115_200 } = port;
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
  } catch (cause) {
    throw unreachablePort(path, cause);
  }
  try {
    if (!isatty(fd)) {
      throw new Error("it is not a serial device");
    }
    // GNU and BusyBox take -F, the BSDs and macOS -f.
    const flag = process.platform === "linux" ? "-F" : "-f";
    await run("stty", [flag, path, String(baud), "raw", "-echo", "-echoe", "-echok", "-hupcl", "cs8", "-cstopb", "-parenb", "clocal", "-crtscts"]);
    return new ReadStream(fd);
  } catch (cause) {
    closeSync(fd);
    throw unreachablePort(path, cause);
  }
}

function unreachablePort(path: string, cause: unknown): CoalmineError {
  return new CoalmineError("smp/unreachable", `cannot open the serial port ${path}: ${(cause as Error).message.trim()}`, { retry: "later", cause });
}
