// SPDX-License-Identifier: Apache-2.0
// A board at the other end of a pseudo terminal: it prints in colours and answers what is typed.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { coalmine } from "../testing/spawn.ts";

/** Opens a pseudo terminal, names its other end, greets whoever opens it again and again, and answers lines. */
const BOARD = `
import os, pty, select, tty
master, slave = pty.openpty()
tty.setraw(slave)
os.write(1, os.ttyname(slave).encode() + b"\\n")
while True:
    if select.select([master], [], [], 0.1)[0]:
        line = os.read(master, 65536).decode().strip()
        os.write(master, ("\\x1b[1;32mgot " + line + "\\x1b[0m\\r\\n").encode())
    else:
        os.write(master, b"tick\\r\\n")
`;

test("the console of a serial board shows plain lines, sends what it is told to, and ends when the wanted line came", async (ctx) => {
  if (process.platform !== "linux" || spawnSync("python3", ["-c", "import pty"]).status !== 0 || spawnSync("stty", ["--version"]).status !== 0) {
    ctx.skip("no pseudo terminal to be had (Linux with python3 and stty)");
  }
  const board = spawn("python3", ["-c", BOARD], { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void board.kill());
  const [name] = (await once(board.stdout, "data")) as [Buffer];
  const port = name.toString().trim();
  const folder = mkdtempSync(join(tmpdir(), "coalmine-console-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const boards = join(folder, "boards.yaml");
  writeFileSync(boards, `boards:\n  - {name: desk-1, kind: serial, port: ${port}}\n`);

  const found = await coalmine(["board", "console", "--boards", boards, "--send", "hello", "--until", "^got hello$", "--for", "60", "--json"]);
  expect([found.code, JSON.parse(found.stdout)]).toMatchObject([0, { board: "desk-1", found: "got hello" }]);
  const never = await coalmine(["board", "console", "--serial", port, "--until", "never", "--for", "1"]);
  expect([never.code, never.stdout.split("\n")[0]]).toEqual([1, expect.stringMatching(/tick$/) as string]);
  const none = await coalmine(["board", "console", "--serial", join(folder, "none"), "--json"]);
  expect([none.code, JSON.parse(none.stdout)]).toMatchObject([4, { error: { code: "smp/unreachable" } }]);
}, 180_000);
