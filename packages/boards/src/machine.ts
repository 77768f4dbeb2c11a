// SPDX-License-Identifier: Apache-2.0
import { FILE_BYTES } from "./memory-map.ts";

/** A port of the host's loopback that leads to a UDP port of the guest. */
export interface ForwardedPort {
  readonly host: number;
  readonly guest: number;
}

export interface MachineOptions {
  readonly flash: string;
  /** File of the 8 bytes that the CPU reads at every reset. */
  readonly vectors: string;
  /** Unix sockets that take QMP: one for who started the machine, one for others. */
  readonly qmp: readonly string[];
  /** File that gets the raw console, too. */
  readonly consoleLog: string;
  /** A network card on QEMU's user network: the guest reaches the host's loopback at 10.0.2.2. */
  readonly network: boolean;
  readonly forward?: readonly ForwardedPort[];
}

/** The network card's name in QMP. */
export const NETWORK = "net0";

/**
 * QEMU's arguments for the emulated board.
 *
 * `-icount` makes the guest's clock repeatable and keeps it from jumping on a loaded host; with `sleep=on` an idle guest takes real time.
 */
export function machineArguments(options: MachineOptions): readonly string[] {
  const forward = (options.forward ?? []).map(({ host, guest }) => `,hostfwd=udp:127.0.0.1:${host}-10.0.2.15:${guest}`).join("");
  return [
    "-machine", "mps2-an385,memory-backend=ram",
    "-object", `memory-backend-file,id=ram,size=${FILE_BYTES},mem-path=${escaped(options.flash)},share=on`,
    "-kernel", options.vectors,
    ...(options.network ? ["-nic", `user,model=lan9118,id=${NETWORK}${forward}`] : ["-nic", "none"]),
    "-icount", "shift=7,align=off,sleep=on",
    "-display", "none",
    "-monitor", "none",
    "-chardev", `stdio,id=console,signal=off,logfile=${escaped(options.consoleLog)},logappend=on`,
    "-serial", "chardev:console",
    ...options.qmp.flatMap((path) => ["-qmp", `unix:${escaped(path)},server=on,wait=off`]),
  ];
}

/** In QEMU's options a comma is written twice. */
function escaped(value: string): string {
  return value.replaceAll(",", ",,");
}
