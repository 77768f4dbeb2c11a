// SPDX-License-Identifier: Apache-2.0
// Closing releases out with everything real but the devices: log in memory, artifacts and archives on disk.
import { buildApi } from "@coalmine/api";
import { type DeviceId, type Instant, Minutes } from "@coalmine/core";
import { buildImage, loadPublicKey, parseVersion } from "@coalmine/mcuboot";
import { boundJudge, type EventLog, fleetInventory, Host, planFromData, releaseNotes, releaseNeeds, releaseOf } from "@coalmine/orchestrator";
import { encodeReport, type ReportBody, type SlotState } from "@coalmine/protocol";
import { memoryEventLog, openArchiveStore, openArtifactStore } from "@coalmine/store";
import { createHash, generateKeyPairSync } from "node:crypto";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";

const keys = generateKeyPairSync("ed25519");
const variant = { board: "nrf52840dk", revision: "revA", partitionMap: "pm1" };
const ada = { by: "ada", reason: "because | of *this*" };
const folders: string[] = [];

afterEach(() => {
  for (const folder of folders.splice(0)) {
    rmSync(folder, { recursive: true, force: true });
  }
});

class Fleet {
  readonly folder = mkdtempSync(join(tmpdir(), "coalmine-archive-"));
  readonly log: EventLog = memoryEventLog();
  readonly artifacts = openArtifactStore(join(this.folder, "artifacts"));
  readonly archive = openArchiveStore(join(this.folder, "archive"));
  time = Date.UTC(2026, 0, 1);
  host = this.open();
  readonly #sequences = new Map<string, number>();

  constructor() {
    folders.push(this.folder);
  }

  open(): Host {
    const { log, artifacts, archive } = this;
    return Host.open({ log, artifacts, archive, clock: { now: () => this.time as Instant }, judge: boundJudge, keys: [loadPublicKey(keys.publicKey)] });
  }

  async release(version: string): Promise<SlotState> {
    const bytes = buildImage({ version: parseVersion(version), headerSize: 512, payload: new Uint8Array(3_000).fill(version.length + Number(version.slice(-1))), key: keys.privateKey });
    const made = await this.host.createRelease({ id: version, artifacts: [{ variant, bytes }], notes: "Faster.\n<script>x</script>", authority: ada });
    return { imageHash: Uint8Array.fromHex(made.artifacts[0]?.imageHash ?? ""), version };
  }

  async hello(device: string, running: SlotState, other: SlotState | null, boot: number): Promise<void> {
    await this.say(device, boot, {
      kind: "hello",
      hardware: { ...variant, mode: "swap-move", slotSize: 65_536 },
      running: { ...running, buildId: running.imageHash.subarray(0, 20), confirmed: true },
      slot1: other,
      resetCause: "power-on",
      attempt: null,
      interval_s: 300,
      attributes: { site: "field" },
      storageSchema: 1,
    });
  }

  async say(device: string, boot: number, body: ReportBody): Promise<void> {
    const key = `${device} ${boot}`;
    const sequence = this.#sequences.get(key) ?? 0;
    this.#sequences.set(key, sequence + 1);
    await this.host.report(device as DeviceId, encodeReport({ boot, sequence, uptime_s: 10 + sequence, body }), "virtual");
  }

  needs(id: string): string[] {
    return releaseNeeds(this.host.conductor.state, releaseOf(this.host.conductor, id));
  }

  stored(): string[] {
    return this.artifacts.list().map(({ digest }) => digest);
  }
}

/** Two devices go from 1.0.0 to 1.1.0 by a rollout that ends. */
async function updated(): Promise<{ fleet: Fleet; old: SlotState; young: SlotState }> {
  const fleet = new Fleet();
  const old = await fleet.release("1.0.0");
  const young = await fleet.release("1.1.0");
  for (const device of ["d0", "d1"]) {
    await fleet.hello(device, old, null, 1);
  }
  const plan = planFromData({ stages: ["100%"], strata: [], gates: { "boot-confirmation": null }, soak: { min: "10m", max: "1h", dutyCycles: 0 }, minDevices: 1, harmBudget: "100%", offers: { perMinute: 6_000, jitter: "0s" } });
  fleet.time += Minutes(1);
  await fleet.host.startRollout({ id: "r1", release: "1.1.0", plan, seed: 1, authority: ada });
  expect(fleet.needs("1.1.0")).toEqual(["rollout r1 offers it and is running"]);
  fleet.time += Minutes(5);
  for (const device of ["d0", "d1"]) {
    await fleet.hello(device, young, old, 2);
  }
  return { fleet, old, young };
}

test("R39: a release goes into the archive, its files leave the store, and a restore brings the same bytes back", async () => {
  const { fleet, young } = await updated();
  await fleet.host.orderRollout("r1", { kind: "abort", authority: ada });
  const before = fleet.stored();
  const [digest] = releaseOf(fleet.host.conductor, "1.0.0").artifacts.map((artifact) => artifact.digest);
  const files = await fleet.host.archiveRelease("1.0.0", ada);
  expect(files.map((file) => file.name)).toEqual([`artifacts/${digest}`, "manifest.json", "notes.md"]);
  expect(fleet.stored()).toEqual(before.filter((one) => one !== digest));
  expect(releaseOf(fleet.host.conductor, "1.0.0").archived).toMatchObject({ files: 3 });
  // Anybody can check it: the sums are those of the bytes on disk.
  const sums = readFileSync(join(fleet.folder, "archive/1.0.0/SHA256SUMS"), "utf8").trim().split("\n").map((line) => line.split("  ") as [string, string]);
  for (const [sum, name] of sums) {
    expect(createHash("sha256").update(readFileSync(join(fleet.folder, "archive/1.0.0", name))).digest("hex")).toBe(sum);
  }
  expect(createHash("sha256").update(readFileSync(join(fleet.folder, "archive/1.0.0", `artifacts/${digest}`))).digest("hex")).toBe(digest);
  await expect(fleet.host.archiveRelease("1.0.0", ada)).rejects.toMatchObject({ code: "release/archived" });
  await expect(fleet.host.startRollout({ release: "1.0.0", plan: planFromData({ stages: ["100%"], gates: "default" }), seed: 1, authority: ada })).rejects.toMatchObject({ code: "release/archived" });
  // A restart knows it too.
  fleet.host = fleet.open();
  expect(releaseOf(fleet.host.conductor, "1.0.0").archived).toMatchObject({ files: 3 });
  await fleet.host.restoreRelease("1.0.0", ada);
  expect(fleet.stored()).toEqual(before);
  expect(releaseOf(fleet.host.conductor, "1.0.0").archived).toBeNull();
  await expect(fleet.host.restoreRelease("1.0.0", ada)).rejects.toMatchObject({ code: "release/not-archived" });
  expect(young.version).toBe("1.1.0");
});

test("R39: a release that somebody needs is refused, with every reason, and nothing is written or removed", async () => {
  const { fleet } = await updated();
  const before = fleet.stored();
  // The devices run 1.1.0 and came from 1.0.0, which a rollback of the running rollout would need.
  expect(fleet.needs("1.0.0")).toEqual(["a rollback of rollout r1 goes back to it: 2 of its devices came from it (d0, d1)"]);
  expect(fleet.needs("1.1.0")).toEqual(["rollout r1 offers it and is running", "2 devices run it: d0, d1"]);
  for (const id of ["1.0.0", "1.1.0"]) {
    await expect(fleet.host.archiveRelease(id, ada)).rejects.toMatchObject({ code: "release/needed", message: expect.stringContaining(fleet.needs(id)[0] as string) });
  }
  expect(fleet.stored()).toEqual(before);
  expect(readdirSync(join(fleet.folder, "archive"))).toEqual([]);
  await fleet.host.orderRollout("r1", { kind: "abort", authority: ada });
  expect(fleet.needs("1.0.0")).toEqual([]);
  expect(fleet.needs("1.1.0")).toEqual(["2 devices run it: d0, d1"]);
});

test("an archive holds the rollout's report and its part of the log, byte for byte", async () => {
  const { fleet, old } = await updated();
  await fleet.host.orderRollout("r1", { kind: "abort", authority: ada });
  for (const device of ["d0", "d1"]) {
    fleet.time += Minutes(1);
    await fleet.hello(device, old, null, 3);
  }
  const files = await fleet.host.archiveRelease("1.1.0", ada);
  expect(files.map((file) => file.name)).toEqual(expect.arrayContaining(["rollouts/r1/report.json", "rollouts/r1/report.md", "rollouts/r1/log.jsonl"]));
  const lines = readFileSync(join(fleet.folder, "archive/1.1.0/rollouts/r1/log.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line) as { sequence: number; type: string; body: string });
  const entries = new Map([...fleet.log.read(0)].map((entry) => [entry.sequence, entry]));
  expect(lines.map((line) => line.type)).toEqual(expect.arrayContaining(["rollout-started", "offered", "report", "aborted"]));
  for (const line of lines) {
    expect(Buffer.from(line.body, "base64").equals(Buffer.from(entries.get(line.sequence)?.body ?? []))).toBe(true);
  }
  // What was reported after the rollout had ended is not its part.
  expect(lines.filter((line) => line.type === "report")).toHaveLength(2);
});

test("over the API: what may be archived says so, an outdated view changes nothing, and the tar is what its checksum says", async () => {
  const { fleet } = await updated();
  const { host, log, artifacts, archive } = fleet;
  const api = buildApi(host, { log, artifacts, archive, clock: { now: () => fleet.time as Instant } });
  const get = async (url: string) => api.inject({ url });
  const order = async (what: string, ifMatch?: string) => api.inject({ method: "POST", url: `/releases/1.0.0/${what}`, headers: ifMatch === undefined ? {} : { "if-match": ifMatch }, payload: ada });
  expect((await order("archive")).json()).toMatchObject({ error: { code: "release/needed" } });
  expect((await get("/releases/1.0.0/archive")).json()).toMatchObject({ error: { code: "release/not-archived" } });
  await host.orderRollout("r1", { kind: "abort", authority: ada });

  const seen = await get("/releases/1.0.0");
  expect(seen.json()).toMatchObject({ archived: null, neededBy: [] });
  const done = await order("archive", String(seen.headers.etag));
  expect([done.statusCode, done.json()]).toMatchObject([200, { release: { archived: { files: 3 } } }]);
  expect((await order("restore", String(done.headers.etag))).statusCode).toBe(200);
  // Archived and restored since: the release looks as it did, and yet it is not what was seen.
  const outdated = await order("archive", String(seen.headers.etag));
  expect([outdated.statusCode, outdated.json()]).toMatchObject([412, { error: { code: "api/outdated" } }]);
  expect(releaseOf(host.conductor, "1.0.0").archived).toBeNull();

  expect((await order("archive")).statusCode).toBe(200);
  const content = (await get("/releases/1.0.0/archive")).json() as { readonly files: { readonly name: string; readonly sha256: string }[]; readonly tar: { readonly name: string; readonly size: number; readonly sha256: string } };
  expect(content.files.map(({ name }) => name)).toEqual([expect.stringMatching(/^artifacts\//), "manifest.json", "notes.md"]);
  const file = await get("/releases/1.0.0/archive.tar");
  expect(file.headers).toMatchObject({ "content-type": "application/x-tar", "content-length": String(content.tar.size), "content-disposition": 'attachment; filename="1.0.0.tar"' });
  expect(createHash("sha256").update(file.rawPayload).digest("hex")).toBe(content.tar.sha256);
  const there = join(fleet.folder, "unpacked");
  mkdirSync(there);
  execFileSync("tar", ["-xf", "-", "-C", there], { input: file.rawPayload });
  expect(readFileSync(join(there, "1.0.0/SHA256SUMS"), "utf8")).toBe(content.files.map(({ name, sha256 }) => `${sha256}  ${name}\n`).join(""));
  for (const { name, sha256 } of content.files) {
    expect(createHash("sha256").update(readFileSync(join(there, "1.0.0", name))).digest("hex")).toBe(sha256);
  }

  writeFileSync(join(fleet.folder, "archive/1.0.0/notes.md"), "other");
  expect((await get("/releases/1.0.0/archive.tar")).json()).toMatchObject({ error: { code: "archive/damaged" } });
  await api.close();
});

test("a damaged archive is refused and named, and nothing of it comes back", async () => {
  const { fleet } = await updated();
  await fleet.host.orderRollout("r1", { kind: "abort", authority: ada });
  await fleet.host.archiveRelease("1.0.0", ada);
  const before = fleet.stored();
  const path = join(fleet.folder, "archive/1.0.0/notes.md");
  const good = readFileSync(path);
  for (const [bytes, why] of [
    [Buffer.concat([good, Buffer.from("x")]), /notes\.md has another checksum/],
    [Buffer.alloc(0), /notes\.md has another checksum/],
  ] as const) {
    writeFileSync(path, bytes);
    await expect(fleet.host.restoreRelease("1.0.0", ada)).rejects.toMatchObject({ code: "archive/damaged", message: expect.stringMatching(why) });
  }
  rmSync(path);
  await expect(fleet.host.restoreRelease("1.0.0", ada)).rejects.toMatchObject({ message: expect.stringMatching(/notes\.md cannot be read/) });
  writeFileSync(path, good);
  writeFileSync(join(fleet.folder, "archive/1.0.0/extra"), "x");
  await expect(fleet.host.restoreRelease("1.0.0", ada)).rejects.toMatchObject({ message: expect.stringMatching(/extra is not in SHA256SUMS/) });
  rmSync(join(fleet.folder, "archive/1.0.0/extra"));
  for (const line of ["../../artifacts/x", "a/../../x", "/etc/passwd", ".hidden"]) {
    writeFileSync(join(fleet.folder, "archive/1.0.0/SHA256SUMS"), `${"0".repeat(64)}  ${line}\n`);
    await expect(fleet.host.restoreRelease("1.0.0", ada)).rejects.toMatchObject({ message: expect.stringMatching(/names no file/) });
  }
  expect(fleet.stored()).toEqual(before);
  expect(releaseOf(fleet.host.conductor, "1.0.0").archived).not.toBeNull();
});

test("an artifact that another release still has stays in the store", async () => {
  const fleet = new Fleet();
  await fleet.release("1.0.0");
  const [artifact] = releaseOf(fleet.host.conductor, "1.0.0").artifacts;
  await fleet.host.createRelease({ id: "again", artifacts: [{ variant, bytes: fleet.artifacts.get(artifact?.digest as never) as Uint8Array }], authority: ada });
  await fleet.host.archiveRelease("1.0.0", ada);
  expect(fleet.stored()).toEqual([artifact?.digest]);
  await fleet.host.archiveRelease("again", ada);
  expect(fleet.stored()).toEqual([]);
});

test("R41: release notes and the fleet inventory are Markdown that nobody's words can break", async () => {
  const { fleet } = await updated();
  await fleet.host.orderRollout("r1", { kind: "abort", authority: ada });
  const { conductor } = fleet.host;
  const notes = await releaseNotes(conductor, fleet.log, releaseOf(conductor, "1.1.0"), fleet.time as Instant);
  expect(notes).toMatch(/^# Release 1\.1\.0\n/);
  expect(notes).toContain("Faster.\n\\<script\\>");
  expect(notes).toMatch(/\| r1 \| plan \| aborted \| inconclusive \| 2 \| 2 \|/);
  expect(notes).toMatch(/\| [^|]+ \| release-created \| ada \| because \\\| of \\\*this\\\* \|/);
  expect(notes).toMatch(/\| aborted \| ada \|/);
  const inventory = fleetInventory(conductor.state, fleet.time as Instant);
  expect(inventory).toContain("- With an intact previous image: 2 of 2");
  expect(inventory).toMatch(/\| d1 \| nrf52840dk \| revA \| 1\.1\.0 \| 1\.1\.0 \| yes \| 1\.0\.0 \| 1 \|/);
  expect(inventory).toMatch(/## By version\n\n\| version \| devices \|\n\| --- \| --- \|\n\| 1\.1\.0 \| 2 \|/);
});
