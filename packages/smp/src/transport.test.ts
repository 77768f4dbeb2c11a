// SPDX-License-Identifier: Apache-2.0
// Real sockets, streams and terminals of this machine.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { connect as connectSocket, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { Duplex, duplexPair } from "node:stream";
import { describe, expect, onTestFinished, test } from "vitest";
import { connectSmp, openSmp } from "./address.ts";
import { SmpClient } from "./client.ts";
import { readImages, requestTest } from "./image.ts";
import { echo, reset } from "./os.ts";
import { overStream } from "./stream.ts";
import { hashOf, sampleBoard, sampleImage, serveStream, serveUdp, stormy } from "./testing/index.ts";
import { uploadImage } from "./upload.ts";

const next = sampleImage("1.1.0");

describe("over UDP", () => {
  test("a board is updated with a tenth of the datagrams lost", async () => {
    const server = sampleBoard({ bufferBytes: 1024 });
    const board = await serveUdp(server, stormy(11, { loss: 0.1 }));
    onTestFinished(() => board.close());
    const client = await connectSmp(`udp://127.0.0.1:${board.port}`, { timeout: 20, attempts: 40 });
    onTestFinished(() => client.close());
    expect(await uploadImage(client, next)).toMatchObject({ kind: "uploaded" });
    expect(await requestTest(client, hashOf(next))).toMatchObject({ kind: "ok" });
    while (server.reboots === 0) {
      await reset(client, { timeout: 20 });
    }
    expect((await readImages(client))[0]).toMatchObject({ version: "1.1.0", confirmed: false });
    expect(client.counts.repeated).toBeGreaterThan(0);
  });

  test("a port nobody listens on is silence, then trouble that may pass", async () => {
    const board = await serveUdp(sampleBoard());
    await board.close();
    const client = await connectSmp(`udp://127.0.0.1:${board.port}`, { timeout: 5, attempts: 2 });
    onTestFinished(() => client.close());
    await expect(echo(client, "x")).rejects.toMatchObject({ code: "smp/timeout", retry: "later" });
  });
});

describe("over serial framing", () => {
  test("a board on a shared console is updated", async () => {
    const [here, there] = duplexPair();
    const server = sampleBoard({ bufferBytes: 384 });
    serveStream(server, there, { chatter: "\r\n[00:00:01.000] <inf> app: tick\r\nuart:~$ " });
    const transport = overStream(here, { name: "a pair" });
    const client = new SmpClient(transport);
    onTestFinished(() => client.close());
    expect(await uploadImage(client, next)).toMatchObject({ kind: "uploaded", checked: true });
    expect(server.options.flash.read(server.options.flash.area("secondary"), 0, next.length)).toEqual(next);
    expect(transport.counts).toMatchObject({ malformed: 0 });
    expect(transport.counts.noise).toBeGreaterThan(1_000);
  });

  test("an upload goes on over a new connection after the first broke", async () => {
    const server = sampleBoard();
    const listener = createServer((socket) => serveStream(server, socket)).listen(0, "127.0.0.1");
    onTestFinished(() => void listener.close());
    await once(listener, "listening");
    const dial = async (): Promise<{ socket: Socket; client: SmpClient }> => {
      const socket = connectSocket((listener.address() as AddressInfo).port, "127.0.0.1");
      await once(socket, "connect");
      return { socket, client: new SmpClient(overStream(socket, { name: "a socket" })) };
    };
    const first = await dial();
    await expect(uploadImage(first.client, next, { onProgress: ({ sent }) => (sent > 8_000 ? void first.socket.destroy() : undefined) })).rejects.toMatchObject({ code: "smp/closed" });
    const second = await dial();
    const outcome = await uploadImage(second.client, next);
    await second.client.close();
    expect(outcome).toMatchObject({ kind: "uploaded", restarts: 0 });
    expect(outcome.kind === "uploaded" && outcome.resumedAt).toBeGreaterThan(8_000);
  });

  const hasPty = process.platform === "linux" && spawnSync("python3", ["-c", "import pty"]).status === 0 && spawnSync("stty", ["--version"]).status === 0;
  if (!hasPty) {
    console.warn("skipped: no pseudo terminal to be had (Linux with python3 and stty)");
  }
  test.skipIf(!hasPty)("a board at the other end of a pseudo terminal is updated", async () => {
    const relay = spawn("python3", ["-c", PTY_RELAY], { stdio: ["pipe", "pipe", "inherit"] });
    onTestFinished(() => void relay.kill());
    const [name] = (await once(relay.stdout, "data")) as [Buffer];
    const server = sampleBoard({ bufferBytes: 512 });
    const line = new Duplex({ read: () => undefined, write: (bytes: Buffer, _encoding, done) => void relay.stdin.write(bytes, done) });
    relay.stdout.on("data", (bytes: Buffer) => void line.push(bytes));
    serveStream(server, line);
    const client = await connectSmp(`serial://${name.toString().trim()}?baud=115200`, { timeout: 5_000 });
    expect(await echo(client, "over a terminal")).toBe("over a terminal");
    expect(await uploadImage(client, next)).toMatchObject({ kind: "uploaded", checked: true });
    await requestTest(client, hashOf(next));
    expect(await reset(client)).toEqual({ kind: "answered" });
    expect((await readImages(client))[0]).toMatchObject({ version: "1.1.0" });
    await client.close();
  });
});

describe("an SMP address", () => {
  test("that is none says what one looks like", async () => {
    for (const url of ["", "nonsense", "http://board", "udp://", "udp://board/path", "udp://board:99999", "serial://dev/ttyACM0", "serial:///", "serial:///dev/x?baud=7", "serial:///%zz"]) {
      await expect(openSmp(url)).rejects.toMatchObject({ code: "smp/bad-url", retry: "never" });
    }
  });

  test("of nothing there is trouble of the environment", async () => {
    await expect(openSmp("serial:///dev/there-is-no-such-port")).rejects.toMatchObject({ code: "smp/unreachable", retry: "later" });
    await expect(openSmp("serial:///dev/null")).rejects.toMatchObject({ code: "smp/unreachable" });
  });
});

/** Opens a pseudo terminal, names its other end, and relays between it and standard input and output. */
const PTY_RELAY = `
import os, pty, select, tty
master, slave = pty.openpty()
tty.setraw(slave)
os.write(1, os.ttyname(slave).encode() + b"\\n")
while True:
    for ready in select.select([0, master], [], [])[0]:
        data = os.read(ready, 65536)
        if not data:
            raise SystemExit
        os.write(master if ready == 0 else 1, data)
`;
