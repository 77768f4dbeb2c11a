// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { consolePort, readInventory, smpAddress, westArguments } from "./inventory.ts";
import { machineArguments } from "./machine.ts";

const text = `
boards:
  - {name: desk-1, kind: serial, port: /dev/ttyACM0, baud: 1000000, console: /dev/ttyACM1, west: {build: build/node, runner: jlink, options: [--dev-id, "683"]}}
  - {name: desk-2, kind: udp, host: 192.0.2.7}
  - {name: desk-3, kind: west, west: {build: /abs/build}}
  - {name: lab-1, kind: qemu, flash: lab-1.flash, bootloader: mcuboot.bin, image: node.bin, broker: 1883, smp: 13370}
`;
const read = (yaml: string) => readInventory(yaml, { source: "boards.yaml", folder: "/desk" });

test("a boards file gives each board its addresses, with paths beside the file", () => {
  const boards = read(text);
  expect(boards.map(smpAddress)).toEqual(["serial:///dev/ttyACM0?baud=1000000", "udp://192.0.2.7", undefined, "udp://127.0.0.1:13370"]);
  expect(boards.map(consolePort)).toEqual(["/dev/ttyACM1", undefined, undefined, undefined]);
  expect(boards[3]).toMatchObject({ flash: "/desk/lab-1.flash", bootloader: "/desk/mcuboot.bin", image: "/desk/node.bin" });
  const [first, , third] = boards;
  expect(first?.kind === "serial" && first.west !== undefined && westArguments("flash", first.west)).toEqual(["flash", "--build-dir", "/desk/build/node", "--runner", "jlink", "--dev-id", "683"]);
  expect(third?.kind === "west" && westArguments("debug", third.west)).toEqual(["debug", "--build-dir", "/abs/build"]);
  expect(smpAddress({ kind: "udp", name: "v6", host: "::1", port: 99 })).toBe("udp://[::1]:99");
  const [port] = read("boards: [{name: a, kind: serial, port: /dev/ttyACM0}]");
  expect(port === undefined ? undefined : consolePort(port)).toBe("/dev/ttyACM0");
});

test("what is wrong in a boards file is named", () => {
  const problem = (yaml: string): string => {
    try {
      read(yaml);
    } catch (error) {
      return (error as Error).message;
    }
    return "read";
  };
  expect(problem("boards: [{name: a, kind: tape}]")).toContain("kind");
  expect(problem("boards: [{name: a, kind: qemu}]")).toContain("flash");
  expect(problem("boards: [{name: a b, kind: udp, host: h}]")).toContain("letters, digits");
  expect(problem("boards: [{name: a, kind: udp, host: h, wset: {}}]")).toContain("wset");
  expect(problem("boards: [{name: a, kind: udp, host: h}, {name: a, kind: udp, host: g}]")).toContain("two boards are called a");
  expect(problem("boards: [{name: a, kind: west, west: {build: b, runner: 'x; y'}}]")).toContain("west runner");
});

test("a path with a comma does not become an option of QEMU", () => {
  const args = machineArguments({ flash: "/a,b.flash", vectors: "/v", qmp: ["/q"], consoleLog: "/c,d", network: false });
  expect(args).toContain("memory-backend-file,id=ram,size=16777216,mem-path=/a,,b.flash,share=on");
  expect(args.join(" ")).toContain("logfile=/c,,d");
  expect(machineArguments({ flash: "f", vectors: "v", qmp: [], consoleLog: "c", network: true, forward: [{ host: 13370, guest: 1337 }] })).toContain(
    "user,model=lan9118,id=net0,hostfwd=udp:127.0.0.1:13370-10.0.2.15:1337",
  );
});
