// SPDX-License-Identifier: Apache-2.0
// A dump as gdb sees a target: registers and memory, nothing else (GDB's manual, appendix E, "Remote Serial Protocol").

import { type Coredump, wordAt } from "@coalmine/coredump";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";

// In the order of the description below.
const REGISTERS = ["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "sp", "lr", "pc", "xpsr"] as const;
const SAVED: ReadonlySet<string> = new Set(["r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11"]);

const description = `<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target version="1.0"><architecture>arm</architecture><feature name="org.gnu.gdb.arm.m-profile">${REGISTERS.map(
  (name) => `<reg name="${name}" bitsize="32"${name === "sp" ? ' type="data_ptr"' : name === "pc" ? ' type="code_ptr"' : ""}/>`,
).join("")}</feature></target>`;

/** A stub that listens on a port of the loopback. */
export interface GdbStub {
  readonly port: number;
  close(): void;
}

/** Serves a Cortex-M dump to one gdb after another, with the true stack pointer. */
export async function serveDump(dump: Coredump): Promise<GdbStub> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => undefined);
    talk(socket, dump);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    close() {
      server.close();
      for (const socket of sockets) {
        socket.destroy();
      }
    },
  };
}

const PACKET_MAX = 4096;

function talk(socket: Socket, dump: Coredump): void {
  let text = "";
  socket.setEncoding("latin1");
  socket.on("data", (piece: string) => {
    text += piece;
    for (;;) {
      const begin = text.indexOf("$");
      const end = begin < 0 ? -1 : text.indexOf("#", begin);
      if (end < 0 || text.length < end + 3) {
        break;
      }
      const packet = text.slice(begin + 1, end);
      text = text.slice(end + 3);
      const reply = answer(packet, dump);
      socket.write(`+$${reply}#${checksum(reply)}`, "latin1");
    }
    if (text.length > PACKET_MAX) {
      socket.destroy();
    }
  });
}

function checksum(packet: string): string {
  let sum = 0;
  for (let i = 0; i < packet.length; i++) {
    sum = (sum + packet.charCodeAt(i)) & 0xff;
  }
  return sum.toString(16).padStart(2, "0");
}

/** What a packet is answered with; nothing for what this stub does not do. */
export function answer(packet: string, dump: Coredump): string {
  if (packet.startsWith("qSupported")) {
    return `PacketSize=${PACKET_MAX.toString(16)};qXfer:features:read+`;
  }
  const part = /^qXfer:features:read:target\.xml:([0-9a-f]+),([0-9a-f]+)$/.exec(packet);
  if (part !== null) {
    const [from, size] = [parseInt(part[1] as string, 16), parseInt(part[2] as string, 16)];
    const piece = description.slice(from, from + size);
    return (from + size >= description.length ? "l" : "m") + piece;
  }
  switch (packet[0]) {
    case "?":
      return "S05";
    case "g":
      return REGISTERS.map((name) => registerText(dump, name)).join("");
    case "p": {
      const name = REGISTERS[parseInt(packet.slice(1), 16)];
      return name === undefined ? "E01" : registerText(dump, name);
    }
    case "m":
      return memoryText(dump, packet.slice(1));
    case "H":
      return "OK";
    default:
      return packet === "qAttached" ? "1" : packet === "D" ? "OK" : "";
  }
}

/** Little endian; x for what the dump does not know. */
function registerText(dump: Coredump, name: (typeof REGISTERS)[number]): string {
  const { registers } = dump.arch;
  if (registers === undefined) {
    return "xxxxxxxx";
  }
  if (name === "sp") {
    return dump.stackPointer.kind === "unknown" ? "xxxxxxxx" : wordText(dump.stackPointer.sp);
  }
  // Without CONFIG_EXTRA_EXCEPTION_INFO the field is there and all of it is zero.
  const unsaved = SAVED.has(name) && [...SAVED].every((one) => (registers[one] ?? 0) === 0);
  const value = registers[name];
  return value === undefined || unsaved ? "xxxxxxxx" : wordText(value);
}

function wordText(value: number): string {
  return [0, 8, 16, 24].map((shift) => ((value >>> shift) & 0xff).toString(16).padStart(2, "0")).join("");
}

function memoryText(dump: Coredump, request: string): string {
  const match = /^([0-9a-f]{1,8}),([0-9a-f]{1,4})$/.exec(request);
  if (match === null) {
    return "E01";
  }
  const [address, size] = [parseInt(match[1] as string, 16), Math.min(parseInt(match[2] as string, 16), PACKET_MAX / 4)];
  let text = "";
  for (let at = address; at < address + size; at++) {
    const word = wordAt(dump.memory, at - (at % 4));
    if (word === undefined) {
      break;
    }
    text += ((word >>> (8 * (at % 4))) & 0xff).toString(16).padStart(2, "0");
  }
  return text === "" ? "E01" : text;
}
