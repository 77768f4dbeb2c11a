// SPDX-License-Identifier: Apache-2.0
// From a device's crash to what people see of it: real log, real index, real routes.
import { buildApi, loopbackHosts } from "@coalmine/api";
import { type DeviceId, instant } from "@coalmine/core";
import { buildDump, buildElf, REGISTERS } from "@coalmine/coredump/testing";
import { buildImage, loadPublicKey, parseVersion } from "@coalmine/mcuboot";
import { Host, planJudge } from "@coalmine/orchestrator";
import { encodeReport, type ReportBody } from "@coalmine/protocol";
import { CrashIndex, openArtifactStore, openEventLog } from "@coalmine/store";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "coalmine-crashes-"));
afterAll(() => rmSync(folder, { recursive: true }));

const keys = generateKeyPairSync("ed25519");
const [pc, lr] = [REGISTERS[6] as number, REGISTERS[5] as number];
const build = new Uint8Array(20).fill(0xab);
const elf = buildElf([{ name: "divide_deep", value: 0x2001, size: 0x40, type: 2 }], { start: 0x1000, bytes: new Array<number>(0x2000).fill(0) });

function open() {
  const log = openEventLog(join(folder, "events.sqlite"));
  const artifacts = openArtifactStore(join(folder, "artifacts"));
  const index = new CrashIndex(join(folder, "crashes.sqlite"), { log, artifacts });
  const clock = { now: () => instant(Date.UTC(2026, 0, 1) + log.length * 1_000) };
  const host = Host.open({ log, artifacts, clock, judge: planJudge, keys: [loadPublicKey(keys.publicKey)], watch: index.note });
  const api = buildApi(host, { log, artifacts, clock, crashes: index.catalogue, hosts: loopbackHosts });
  let sequence = log.length;
  return {
    host,
    index,
    tell: (device: string, body: ReportBody): Promise<void> => host.report(device as DeviceId, encodeReport({ boot: 1, sequence: sequence++, uptime_s: 1, body }), "mqtt"),
    get: async (url: string) => (await api.inject({ method: "GET", url, headers: { host: "localhost" } })).json() as Record<string, unknown>,
    api,
    close: async (): Promise<void> => {
      await index.close();
      await api.close();
      await host.close();
    },
  };
}

test("a crash on a release is an issue with its dump; symbols name it; a restart answers the same (R56, R31)", async () => {
  const first = open();
  const authority = { by: "ada", reason: "test" };
  const image = buildImage({ version: parseVersion("1.1.0"), headerSize: 512, payload: new Uint8Array(2_048), key: keys.privateKey });
  const release = await first.host.createRelease({ id: "1.1.0", artifacts: [{ variant: { board: "b", revision: "A", partitionMap: "pm" }, bytes: image }], authority });
  const imageHash = Uint8Array.fromHex(release.artifacts[0]?.imageHash ?? "");
  await first.tell("a", { kind: "crash", buildId: build, imageHash, reason: "precise bus fault", pc, lr, uptime_s: 12 });
  await first.tell("a", { kind: "log", stream: "log", buildId: build, id: 1, offset: 0, total: 14, data: new TextEncoder().encode("<script>boom\n\n") });
  const dump = buildDump();
  for (let offset = 0; offset < dump.length; offset += 256) {
    await first.tell("a", { kind: "log", stream: "coredump", buildId: build, id: 1, offset, total: dump.length, data: dump.slice(offset, offset + 256) });
  }
  await first.index.settled();
  const before = (await first.get("/crashes"))["issues"] as { id: string; symbolised: boolean; releases: unknown }[];
  expect(before).toMatchObject([{ devices: 1, count: 1, dumps: 1, symbolised: false, releases: [{ release: "1.1.0", version: "1.1.0", symbols: false }] }]);

  expect(await first.get("/releases/1.1.0")).toMatchObject({ artifacts: [{ buildId: null }] });
  const put = (payload: Uint8Array, query = "") =>
    first.api.inject({ method: "PUT", url: `/releases/1.1.0/symbols?by=ada${query}`, headers: { host: "localhost", "content-type": "application/octet-stream" }, payload: Buffer.from(payload) });
  expect((await put(new Uint8Array(100))).json()).toMatchObject({ error: { code: "symbols/elf" } });
  expect((await put(elf)).json()).toMatchObject({ error: { code: "symbols/build", message: expect.stringContaining("name the build id") } });
  expect((await put(elf, `&build=${build.toHex()}`)).json()).toMatchObject({ release: "1.1.0", buildId: build.toHex(), symbols: 1 });
  // The build id of an artifact is what its devices report: that of its ELF.
  expect(await first.get("/releases/1.1.0")).toMatchObject({ artifacts: [{ buildId: build.toHex() }], symbols: [{ buildId: build.toHex() }] });
  await first.index.settled();

  const [issue] = (await first.get("/crashes?release=1.1.0"))["issues"] as { id: string; signature: string }[];
  expect(issue?.signature).toBe("precise bus fault / divide_deep / 0x1151");
  const whole = await first.get(`/crashes/${issue?.id}`);
  expect(whole).toMatchObject({
    affected: [{ device: "a", count: 1 }],
    sites: [{ reason: "precise bus fault", pc: "0x00002006", count: 1 }],
    newest: { examined: { kind: "coredump", thread: "main", registers: { pc: "0x00002006" } }, log: "<script>boom\n\n" },
  });
  expect(await first.get(`/crashes/${before[0]?.id}`)).toMatchObject({ error: { code: "crash/unknown" } });
  const [file] = whole["files"] as { id: number }[];
  const bytes = await first.api.inject({ method: "GET", url: `/crashes/files/${file?.id}`, headers: { host: "localhost" } });
  expect(bytes.headers).toMatchObject({ "content-type": "application/octet-stream", "content-disposition": 'attachment; filename="a-abababab-1.bin"' });
  expect(bytes.rawPayload.equals(dump)).toBe(true);
  expect(await first.get("/devices/a/crashes")).toMatchObject({ crashes: [{ issue: issue?.id }], files: [{ stream: "coredump" }, { stream: "log" }] });
  await first.close();

  const second = open();
  await second.index.settled();
  expect(await second.get(`/crashes/${issue?.id}`)).toEqual(whole);
  expect(await second.get("/releases/1.1.0")).toMatchObject({ symbols: [{ buildId: build.toHex(), size: elf.length }] });
  await second.close();
});
