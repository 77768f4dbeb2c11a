// SPDX-License-Identifier: Apache-2.0
import { type DeviceId, instant, type ReleaseId } from "@coalmine/core";
import { buildDump, buildElf, REGISTERS } from "@coalmine/coredump/testing";
import { type ArtifactStore, type EventLog, type LogEntry, recordEntry, reportEntry, takePiece, emptyAssembly, type Assembly } from "@coalmine/orchestrator";
import { encodeReport, type ReportBody } from "@coalmine/protocol";
import fc from "fast-check";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { CrashIndex } from "./crash-index.ts";
import { memoryArtifactStore } from "./memory-artifacts.ts";
import { memoryEventLog } from "./memory-log.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) {
    rmSync(folder, { recursive: true });
  }
});

const [pc, lr] = [REGISTERS[6] as number, REGISTERS[5] as number];
const build = new Uint8Array(20).fill(0xab);
const otherBuild = new Uint8Array(20).fill(0xcd);
const image = new Uint8Array(32).fill(1);
const authority = { by: "ada", reason: "test" };

/** Functions at pc and lr of the built dumps. */
const elf = buildElf(
  [
    { name: "divide_deep", value: 0x2001, size: 0x40, type: 2 },
    { name: "worker", value: 0x1101, size: 0x100, type: 2 },
  ],
  { start: 0x1000, bytes: new Array<number>(0x2000).fill(0) },
);

interface Site {
  readonly log: EventLog;
  readonly artifacts: ArtifactStore;
  readonly index: CrashIndex;
  readonly tell: (device: string, body: ReportBody) => void;
  readonly write: (entry: LogEntry) => void;
}

const crash = (buildId = build): ReportBody => ({ kind: "crash", buildId, imageHash: image, reason: "precise bus fault", pc, lr, uptime_s: 60 });

function pieces(data: Uint8Array, size: number, from: { readonly stream?: "log" | "coredump"; readonly id?: number; readonly buildId?: Uint8Array } = {}): ReportBody[] {
  const made: ReportBody[] = [];
  for (let offset = 0; offset < data.length; offset += size) {
    made.push({ kind: "log", stream: from.stream ?? "coredump", buildId: from.buildId ?? build, id: from.id ?? 1, offset, total: data.length, data: data.slice(offset, offset + size) });
  }
  return made;
}

function site(path = ":memory:", log: EventLog = memoryEventLog(), artifacts: ArtifactStore = memoryArtifactStore()): Site {
  const index = new CrashIndex(path, { log, artifacts });
  let sequence = 0;
  const write = (entry: LogEntry): void => {
    const first = log.append(entry);
    index.note({ entries: [entry], effects: [] }, first);
  };
  return {
    log,
    artifacts,
    index,
    write,
    tell: (device, body) => {
      sequence += 1;
      write(reportEntry(device as DeviceId, "mqtt", encodeReport({ boot: 1, sequence, uptime_s: sequence, body }), instant(1_000 * sequence)));
    },
  };
}

async function addSymbols({ artifacts, write }: Site, buildId: Uint8Array): Promise<void> {
  const digest = await artifacts.put(elf);
  write(recordEntry({ type: "symbols-added", release: "r" as ReleaseId, buildId: buildId.toHex(), digest, size: elf.length, authority }, instant(99)));
}

describe("the index of crashes", () => {
  test("crashes at one place are one issue, and a device that crashes a thousand times is one device (R28)", async () => {
    const here = site();
    for (let i = 0; i < 1_000; i += 1) {
      here.tell("loop", crash());
    }
    here.tell("other", crash());
    await here.index.settled();
    const [issue, ...more] = here.index.catalogue.issues();
    expect(more).toEqual([]);
    expect(issue).toMatchObject({ devices: 2, count: 1_001, symbolised: false, reason: "precise bus fault" });
    expect(here.index.catalogue.ofDevice("loop" as DeviceId).crashes).toHaveLength(200);
    await here.index.close();
  });

  test("a dump in shuffled, doubled pieces is whole, decoded and joined to the issue of its crash report (R56)", async () => {
    const here = site();
    const dump = buildDump();
    here.tell("a", crash());
    const parts = pieces(dump, 64);
    for (const part of [...parts.toReversed(), ...parts]) {
      here.tell("a", part);
    }
    await here.index.settled();
    const [issue] = here.index.catalogue.issues();
    expect(issue).toMatchObject({ devices: 1, count: 1, dumps: 1 });
    const [file] = here.index.catalogue.dumps(issue?.id ?? "", 5);
    expect(file).toMatchObject({ state: "complete", total: dump.length, received: dump.length, issue: issue?.id });
    expect(here.index.catalogue.bytes(file?.id ?? 0)).toEqual(Buffer.from(dump));
    expect(here.index.catalogue.examined(file?.id ?? 0)).toMatchObject({ kind: "coredump", thread: "main", pc, lr });
    await here.index.close();
  });

  test("symbols that come later name the crashes of their build, and two builds then share an issue", async () => {
    const here = site();
    here.tell("a", crash());
    here.tell("b", crash(otherBuild));
    for (const part of pieces(buildDump(), 200)) {
      here.tell("a", part);
    }
    await here.index.settled();
    expect(here.index.catalogue.issues()).toHaveLength(2);
    await addSymbols(here, build);
    await addSymbols(here, otherBuild);
    await here.index.settled();
    const issues = here.index.catalogue.issues();
    expect(issues).toHaveLength(1);
    expect(issues[0]).toMatchObject({ signature: "precise bus fault / divide_deep / worker", devices: 2, symbolised: true });
    expect(issues[0]?.builds.map((one) => one.buildId).sort()).toEqual([build.toHex(), otherBuild.toHex()]);
    const examined = here.index.catalogue.examined(here.index.catalogue.dumps(issues[0]?.id ?? "", 1)[0]?.id ?? 0);
    expect(examined).toMatchObject({ symbolised: true, frames: expect.arrayContaining([expect.objectContaining({ function: "divide_deep+6", from: "pc" })]) });
    await here.index.close();
  });

  test("a dump without a crash report counts as a crash, and a damaged one says which block", async () => {
    const here = site();
    for (const part of [...pieces(buildDump(), 300), ...pieces(buildDump().slice(0, 150), 100, { id: 2 })]) {
      here.tell("a", part);
    }
    await here.index.settled();
    expect(here.index.catalogue.issues()).toMatchObject([{ devices: 1, count: 1, dumps: 1 }]);
    const broken = here.index.catalogue.ofDevice("a" as DeviceId).files.find((file) => file.number === 2);
    expect(broken).toMatchObject({ state: "complete", issue: null, trouble: expect.stringMatching(/^damaged in M #1 at /) });
    await here.index.close();
  });

  test("a device cannot fill the store: what is too large or contradicts itself is refused, and old files make room", async () => {
    const here = site();
    const piece = { kind: "log", stream: "log", buildId: build, data: new Uint8Array(16) } as const;
    here.tell("a", { ...piece, id: 1, offset: 4_000_000, total: 0 });
    here.tell("a", { ...piece, id: 2, offset: 0, total: 100 });
    here.tell("a", { ...piece, id: 2, offset: 16, total: 90 });
    here.tell("a", { ...piece, id: 3, offset: 96, total: 100 });
    for (let id = 10; id < 100; id += 1) {
      here.tell("a", { ...piece, id, offset: 0, total: 1_000 });
    }
    await here.index.settled();
    const { files } = here.index.catalogue.ofDevice("a" as DeviceId);
    expect(files.length).toBeLessThanOrEqual(32);
    expect(files.filter((file) => file.state === "open")).toHaveLength(8);
    await here.index.close();
  });

  test("a restart goes on where the index was, a lost index is folded again, and both answer the same", async () => {
    const folder = mkdtempSync(join(tmpdir(), "crash-index-"));
    folders.push(folder);
    const path = join(folder, "crashes.sqlite");
    const first = site(path);
    first.tell("a", crash());
    for (const part of pieces(buildDump(), 100).slice(0, 3)) {
      first.tell("a", part);
    }
    await first.index.close();
    const { log, artifacts } = first;
    // Written while no index listened.
    const missed = reportEntry("b" as DeviceId, "mqtt", encodeReport({ boot: 1, sequence: 1, uptime_s: 1, body: crash() }), instant(5_000));
    log.append(missed);
    const second = site(path, log, artifacts);
    for (const part of pieces(buildDump(), 100)) {
      second.tell("a", part);
    }
    await second.index.settled();
    const afresh = new CrashIndex(":memory:", { log, artifacts });
    await afresh.settled();
    expect(second.index.catalogue.issues()).toMatchObject([{ devices: 2, count: 2, dumps: 1 }]);
    expect(afresh.catalogue.issues()).toEqual(second.index.catalogue.issues());
    expect(afresh.catalogue.ofDevice("a" as DeviceId)).toEqual(second.index.catalogue.ofDevice("a" as DeviceId));
    await afresh.close();
    await second.index.close();
    // Another log under the same index: shorter than its position.
    const other = site(path, memoryEventLog(), artifacts);
    await other.index.settled();
    expect(other.index.catalogue.issues()).toEqual([]);
    await other.index.close();
  });

  test("a file that is not ours is left alone", async () => {
    const folder = mkdtempSync(join(tmpdir(), "crash-index-"));
    folders.push(folder);
    const { openSqlite } = await import("./sqlite.ts");
    const path = join(folder, "other.sqlite");
    const foreign = openSqlite(path);
    foreign.exec("create table mine (a)");
    foreign.close();
    expect(() => site(path)).toThrow(/not coalmine's index of crashes/);
  });
});

describe("assembly", () => {
  test("pieces of any order, overlap and repetition come to the same, and whole means every byte", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 400 }), fc.array(fc.tuple(fc.nat(400), fc.nat(120)), { maxLength: 60 }), (total, cuts) => {
        const bytes = new Set<number>();
        let assembly: Assembly = emptyAssembly;
        for (const [from, long] of cuts) {
          const offset = Math.min(from, total);
          const length = Math.min(long, total - offset);
          const taken = takePiece(assembly, { offset, length, total });
          for (let at = offset; at < offset + length; at += 1) {
            bytes.add(at);
          }
          if (taken.kind === "new") {
            assembly = taken.assembly;
            expect(taken.complete).toBe(bytes.size === total);
          }
          expect(taken.kind).not.toBe("refused");
          expect(assembly.received.reduce((sum, [a, b]) => sum + b - a, 0)).toBe(bytes.size);
        }
      }),
    );
  });
});
