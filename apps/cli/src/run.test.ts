// SPDX-License-Identifier: Apache-2.0
import { CoalmineError } from "@coalmine/core";
import type { Command } from "commander";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { groups } from "./commands/index.ts";
import { exitCodeOf, uninstalled } from "./output/exit.ts";
import { buildProgram } from "./program.ts";
import { coalmine } from "./testing/spawn.ts";

const folder = mkdtempSync(join(tmpdir(), "coalmine-run-"));
const file = (name: string): string => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("the command line", () => {
  test("every command has a description and help with an example", async () => {
    const program = await buildProgram(["--help"]);
    const leaves = (command: Command): Command[] => {
      const visible = program.createHelp().visibleCommands(command).filter((one) => one.name() !== "help");
      return visible.length === 0 ? [command] : visible.flatMap(leaves);
    };
    const found = leaves(program);
    expect(found.length).toBeGreaterThan(30);
    for (const command of found) {
      let help = "";
      command.configureOutput({ writeOut: (text) => (help += text) });
      command.outputHelp();
      expect([command.name(), command.description(), help]).toEqual([command.name(), expect.stringMatching(/\S/), expect.stringMatching(/Examples?:\n {2}\S/)]);
    }
    expect(groups.flatMap((group) => group.names)).toEqual(program.commands.map((command) => command.name()));
  });

  test("help goes to stdout and ends with 0; a wrong command or flag ends with 3 and a suggestion", async () => {
    const [help, command, flag] = await Promise.all([coalmine(["--help"]), coalmine(["rolout", "list"]), coalmine(["device", "list", "--jsn"])]);
    expect([help.code, help.stderr, help.stdout]).toEqual([0, "", expect.stringMatching(/^Usage: coalmine[\s\S]*rollout/)]);
    expect([command.code, command.stdout, command.stderr]).toEqual([3, "", expect.stringMatching(/unknown command 'rolout'[\s\S]*Did you mean rollout/)]);
    expect([flag.code, flag.stdout, flag.stderr]).toEqual([3, "", expect.stringMatching(/--jsn'[\s\S]*Did you mean --json/)]);
  });

  test("--json gives one JSON document on stdout, of errors too; nobody there is exit code 4", async () => {
    const [nobody, usage] = await Promise.all([
      coalmine(["device", "list", "--json", "--url", "http://127.0.0.1:9"]),
      coalmine(["rollout", "halt", "r1", "--json"]),
    ]);
    expect([nobody.code, JSON.parse(nobody.stdout)]).toEqual([4, { error: { code: "cli/environment", message: expect.stringMatching(/cannot reach http:\/\/127\.0\.0\.1:9.*is "coalmine serve" running/) as string } }]);
    expect(nobody.stderr).toMatch(/^error: cannot reach [^\n]*\n$/);
    expect([usage.code, JSON.parse(usage.stdout)]).toMatchObject([3, { error: { message: expect.stringMatching(/--reason/) as string } }]);
  });

  test("an open door without a token is refused before anything is started", async () => {
    const [http, mqtt, both] = await Promise.all([
      coalmine(["serve", "--data", file("never"), "--http", "0.0.0.0:0"]),
      coalmine(["serve", "--data", file("never"), "--mqtt", "0.0.0.0:0"]),
      coalmine(["serve", "--data", file("never"), "--mqtt", "0.0.0.0:0"], { COALMINE_TOKEN: "0123456789abcdef" }),
    ]);
    expect([http.code, http.stderr]).toEqual([3, expect.stringMatching(/--http 0\.0\.0\.0 is open to the network: give --token/)]);
    expect([mqtt.code, mqtt.stderr]).toEqual([3, expect.stringMatching(/--mqtt 0\.0\.0\.0 is open to the network: give --token/)]);
    expect([both.code, both.stderr]).toEqual([3, expect.stringMatching(/--device-secrets/)]);
    expect(() => statSync(file("never"))).toThrow(/ENOENT/);
  });
});

describe("exit codes", () => {
  test.each([
    ["plan/shape", "never", 3],
    ["rollout/status", "never", 3],
    ["store/locked", "never", 4],
    ["link/unreachable", "later", 4],
    ["mqtt/bind", "never", 4],
    ["api/bug", "never", 70],
  ] as const)("%s (%s) is %i", (code, retry, expected) => {
    expect(exitCodeOf(new CoalmineError(code, "", { retry }))).toBe(expected);
  });

  test("a package that a pull brought and nobody installed is no bug: 4, and what to run", () => {
    const child = spawnSync(process.execPath, ["--input-type=module", "-e", "import('@coalmine/absent').catch(({ code, message }) => console.log(JSON.stringify({ code, message })))"], { cwd: import.meta.dirname, encoding: "utf8" });
    const absent = JSON.parse(child.stdout) as { readonly code: string; readonly message: string };
    const trouble = uninstalled(Object.assign(new Error(absent.message), absent));
    expect([trouble?.message, trouble && exitCodeOf(trouble)]).toEqual(['the package @coalmine/absent is not installed: run "npm ci" in the repository, then try again', 4]);
    expect(uninstalled(new Error("another"))).toBeUndefined();
  });
});

describe("artifacts and flash", () => {
  test("keys are made once and kept secret; what is signed verifies with that key and no other, and a changed byte is refused", async () => {
    writeFileSync(file("app.bin"), new Uint8Array(3_000).fill(3));
    const made = await Promise.all(["ed25519", "ecdsa-p256"].map((type) => coalmine(["artifact", "keygen", "--type", type, "--out", file(`${type}.pem`)])));
    expect(made.map(({ code }) => code)).toEqual([0, 0]);
    expect(statSync(file("ed25519.pem")).mode & 0o777).toBe(0o600);
    expect((await coalmine(["artifact", "keygen", "--type", "ed25519", "--out", file("ed25519.pem")])).code).toBe(3);
    const sign = ["artifact", "sign", file("app.bin"), "--key", file("ed25519.pem"), "--version", "1.2.3+4", "--header-size", "0x200", "--slot-size", "16384", "--security-counter", "7", "--dependency", "1:1.0.0", "--json"];
    const signed = await coalmine([...sign, "--out", file("app.signed.bin"), "--confirm"]);
    expect([signed.code, JSON.parse(signed.stdout)]).toMatchObject([0, { version: "1.2.3+4", size: 16_384, confirmed: true }]);
    const bytes = new Uint8Array(readFileSync(file("app.signed.bin")));
    bytes[700] = 0;
    writeFileSync(file("altered.bin"), bytes);
    const verify = (name: string, key: string) => coalmine(["artifact", "verify", file(name), "--key", file(key), "--json"]);
    const [good, stranger, altered, info, large] = await Promise.all([
      verify("app.signed.bin", "ed25519.pub.pem"),
      verify("app.signed.bin", "ecdsa-p256.pub.pem"),
      verify("altered.bin", "ed25519.pub.pem"),
      coalmine(["artifact", "info", file("app.signed.bin"), "--json"]),
      coalmine([...sign, "--slot-size", "4096", "--out", file("large.bin")]),
    ]);
    expect([good.code, JSON.parse(good.stdout)]).toMatchObject([0, { ok: true, reason: null, version: "1.2.3+4" }]);
    expect([stranger.code, JSON.parse(stranger.stdout)]).toMatchObject([1, { ok: false, reason: expect.stringMatching(/signature|key/) as string }]);
    expect([altered.code, JSON.parse(altered.stdout)]).toMatchObject([1, { ok: false, reason: expect.stringMatching(/hash/) as string }]);
    expect(JSON.parse(info.stdout)).toMatchObject({ version: "1.2.3+4", hashMatches: true, securityCounter: 7, dependencies: [{ image: 1, version: "1.0.0+0" }], signatures: ["ed25519"] });
    expect([large.code, large.stderr]).toEqual([3, expect.stringMatching(/do not fit a slot of 4096/)]);
  });

  test("a flash goes through request, swap, cut and confirmation as the bootloader would take it", async () => {
    const area = (name: string, id: number, count: number, off: number) => ({ name, id, off, size: count * 4096, align: 8, sectors: [[count, 4096]] });
    const board = { config: { mode: "swap-move", sig: "ed25519", keys: ["ed25519"], maxAlign: 8, maxImgSectors: 16 }, areas: [area("primary", 1, 8, 0), area("secondary", 2, 7, 32_768)] };
    writeFileSync(file("board.json"), JSON.stringify(board));
    const image = async (version: string): Promise<Uint8Array> => {
      const args = ["artifact", "sign", file("app.bin"), "--key", file("ed25519.pem"), "--version", version, "--header-size", "512", "--slot-size", "28672", "--out", file(`${version}.bin`)];
      expect((await coalmine(args)).code).toBe(0);
      return new Uint8Array(readFileSync(file(`${version}.bin`)));
    };
    const [old, next] = await Promise.all([image("1.0.0"), image("2.0.0")]);
    const flash = new Uint8Array(61_440).fill(0xff);
    flash.set(old, 0);
    flash.set(next, 32_768);
    writeFileSync(file("0.bin"), flash);
    const step = async (command: string, from: string, to: string, ...more: string[]) => {
      const result = await coalmine(["mcuboot", command, "--flash", file(from), "--config", file("board.json"), "--out", file(to), "--json", ...more]);
      return { code: result.code, ...(JSON.parse(result.stdout) as Record<string, unknown>) };
    };
    expect(await step("set-pending", "0.bin", "1.bin")).toMatchObject({ code: 0, rc: 0, swapType: "test" });
    expect(await step("boot", "1.bin", "cut.bin", "--cut-before", "9")).toMatchObject({ code: 0, outcome: "cut" });
    const whole = await step("boot", "1.bin", "2.bin");
    expect(whole).toMatchObject({ code: 0, outcome: "boot", swapTypeBefore: "test", swapType: "revert", hdr: { version: "2.0.0+0" }, areas: { primary: { trailer: { magic: "good", imageOk: "unset" } } } });
    expect(await step("boot", "cut.bin", "resumed.bin")).toMatchObject({ outcome: "boot", hdr: { version: "2.0.0+0" } });
    expect(await step("set-confirmed", "2.bin", "3.bin")).toMatchObject({ rc: 0, swapType: "none" });
    writeFileSync(file("empty.bin"), new Uint8Array(61_440).fill(0xff));
    expect(await step("boot", "empty.bin", "4.bin")).toMatchObject({ code: 1, outcome: "fail", hdr: null });
    const bad = await coalmine(["mcuboot", "trailer", "--flash", file("0.bin"), "--config", file("1.0.0.bin"), "--json"]);
    expect([bad.code, bad.stderr]).toEqual([3, expect.stringMatching(/configuration .* is not/)]);
  });
});
