// SPDX-License-Identifier: Apache-2.0
// Closing a release out (R39): what still needs it, what an archive of it holds, and putting it back.
//
// C1. Nothing is removed before the archive was read back and every file had its checksum.
// C2. What is needed is not archived, and is asked again after the archive was written: writing takes time.
import { CoalmineError, type Digest, type Instant, isActive, memberOf, type Rollout } from "@coalmine/core";
import { setImmediate } from "node:timers/promises";
import type { Conductor, HostState } from "./conductor.ts";
import { readRecord } from "./entry.ts";
import type { DeviceRecord } from "./inventory.ts";
import { listed } from "./listed.ts";
import type { ReleaseRecord } from "./membership.ts";
import type { ArchivedFile, ArchiveStore, ArchiveWriter, ArtifactStore, EventLog, StoredEntry } from "./ports.ts";
import { releaseNotes } from "./release-notes.ts";
import { firstAt, rolloutReport } from "./report.ts";
import { reportMarkdown } from "./report-markdown.ts";

/** The file of an archive that lists its others. */
export const checksumsName = "SHA256SUMS";

/** What is in it, as `sha256sum --check` reads it. */
export function checksumLines(files: readonly ArchivedFile[]): string {
  return files.map(({ name, sha256 }) => `${sha256}  ${name}\n`).join("");
}

const shown = 5;

/** Why a release cannot be archived yet, in words; empty when it may be. One pass over the devices. */
export function releaseNeeds(state: HostState, release: ReleaseRecord): string[] {
  const hashes = new Set(release.artifacts.map((artifact) => artifact.imageHash));
  const needs: string[] = [];
  const active = [...state.rollouts.values()].filter(isActive);
  for (const rollout of active) {
    if (rollout.release === release.id) {
      needs.push(`rollout ${rollout.id} offers it and is ${rollout.status}`);
    } else if (rollout.wayBack === release.id) {
      needs.push(`rollout ${rollout.id} goes back to it when it fails`);
    }
  }
  const running: string[] = [];
  const kept: DeviceRecord[] = [];
  for (const device of state.devices.values()) {
    if (hashes.has(device.running?.imageHash ?? "")) {
      running.push(device.id);
    } else if (hashes.has(device.slot1?.imageHash ?? "")) {
      kept.push(device);
    }
  }
  if (running.length > 0) {
    needs.push(`${running.length === 1 ? "1 device runs it" : `${running.length} devices run it`}: ${listed(running, shown)}`);
  }
  for (const rollout of active) {
    const back = kept.filter((device) => rollout.release !== release.id && memberOf(rollout, device.id) !== undefined).map((device) => device.id as string);
    if (back.length > 0) {
      needs.push(`a rollback of rollout ${rollout.id} goes back to it: ${back.length} of its devices came from it (${listed(back, shown)})`);
    }
  }
  for (const other of state.releases.values()) {
    if (other.hop === release.version && other.archived === null && other.id !== release.id) {
      needs.push(`release ${other.id} is reached through it`);
    }
  }
  return needs;
}

/** Throws `release/needed` with every reason, or `release/archived`. */
export function checkArchivable(state: HostState, release: ReleaseRecord): void {
  if (release.archived !== null) {
    throw new CoalmineError("release/archived", `release ${release.id} was archived at ${new Date(release.archived.at).toISOString()}`);
  }
  const needs = releaseNeeds(state, release);
  if (needs.length > 0) {
    throw new CoalmineError("release/needed", `release ${release.id} is still needed: ${needs.join("; ")}`);
  }
}

/** What the archive of a release is made from. */
export interface ArchiveSources {
  readonly conductor: Conductor;
  readonly log: EventLog;
  readonly artifacts: ArtifactStore;
}

/**
 * Writes the archive of a release: artifacts, symbols, manifest, notes, and for each of its rollouts the report and its part
 * of the event log. Finishes the writer. Throws `store/...`, and `artifact/unknown` when an artifact is not there.
 */
export async function writeArchive({ conductor, log, artifacts }: ArchiveSources, release: ReleaseRecord, writer: ArchiveWriter, now: Instant): Promise<ArchivedFile[]> {
  const files: ArchivedFile[] = [];
  const add = async (name: string, content: Uint8Array | AsyncIterable<Uint8Array>): Promise<void> => {
    files.push(await writer.add(name, content));
  };
  const text = (content: string): Uint8Array => new TextEncoder().encode(`${content.trimEnd()}\n`);
  for (const { digest } of uniqueFiles(release)) {
    await add(artifactName(digest), bytesOf(artifacts, digest));
  }
  for (const [buildId, { digest }] of Object.entries(release.symbols)) {
    await add(`symbols/${buildId}.elf`, bytesOf(artifacts, digest));
  }
  await add("manifest.json", text(JSON.stringify({ format: "coalmine archive 1", archivedAt: new Date(now).toISOString(), release }, null, 2)));
  await add("notes.md", text(await releaseNotes(conductor, log, release, now)));
  for (const rollout of conductor.state.rollouts.values()) {
    if (rollout.release === release.id) {
      const report = await rolloutReport(conductor, log, rollout.id, now);
      await add(`rollouts/${rollout.id}/report.json`, text(JSON.stringify(report, null, 2)));
      await add(`rollouts/${rollout.id}/report.md`, text(reportMarkdown(report)));
      await add(`rollouts/${rollout.id}/log.jsonl`, logPart(log, rollout, release.id));
    }
  }
  await writer.finish();
  return files;
}

const artifactName = (digest: Digest): string => `artifacts/${digest}`;

/** Files of a release in the artifact store, each once: its images. */
function uniqueFiles(release: ReleaseRecord): { readonly digest: Digest }[] {
  return [...new Map(release.artifacts.map((artifact) => [artifact.digest, artifact])).values()];
}

function bytesOf(artifacts: ArtifactStore, digest: Digest): Uint8Array {
  const bytes = artifacts.get(digest);
  if (bytes === null) {
    throw new CoalmineError("artifact/unknown", `artifact ${digest} is not stored any more: nothing was archived; upload it again`);
  }
  return bytes;
}

const pauseEvery = 2_000;
const chunkChars = 256 * 1024;

/**
 * The log's entries about a rollout, one JSON object a line: decisions, orders on its release, and everything its members
 * reported from its start to its end. `body` is base64: the bytes as they are in the log.
 */
async function* logPart(log: EventLog, rollout: Rollout, release: string): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  const end = rollout.endedAt ?? Number.POSITIVE_INFINITY;
  let lines = "";
  let read = 0;
  for (const entry of log.read(firstAt(log, rollout.startedAt))) {
    read += 1;
    if (read % pauseEvery === 0) {
      await setImmediate();
    }
    if (entry.at > end) {
      break;
    }
    if (concerns(entry, rollout, release)) {
      const { sequence, at, type, device, body } = entry;
      lines += `${JSON.stringify({ sequence, at, type, device, body: Buffer.from(body.buffer, body.byteOffset, body.length).toString("base64") })}\n`;
    }
    if (lines.length > chunkChars) {
      yield encoder.encode(lines);
      lines = "";
    }
  }
  yield encoder.encode(lines);
}

function concerns(entry: StoredEntry, rollout: Rollout, release: string): boolean {
  if (entry.type === "report" || entry.type === "undecodable") {
    return entry.device !== null && memberOf(rollout, entry.device) !== undefined;
  }
  const record = readRecord(entry);
  return ("rollout" in record && record.rollout === rollout.id) || ("release" in record && record.release === release);
}

/** Digests that archiving a release frees: those no other release that is not archived still holds. */
export function freedBy(state: HostState, release: ReleaseRecord): Digest[] {
  const held = new Set<string>();
  for (const other of state.releases.values()) {
    if (other.id !== release.id && other.archived === null) {
      for (const digest of digestsOf(other)) {
        held.add(digest);
      }
    }
  }
  return [...new Set(digestsOf(release))].filter((digest) => !held.has(digest));
}

function digestsOf(release: ReleaseRecord): Digest[] {
  return [...release.artifacts.map((artifact) => artifact.digest), ...Object.values(release.symbols).map(({ digest }) => digest)];
}

/** Takes the files of a release out of its archive into the artifact store; every checksum is compared first. Throws `archive/...`. */
export async function unpack(archive: ArchiveStore, artifacts: ArtifactStore, release: ReleaseRecord): Promise<void> {
  await archive.check(release.id);
  const wanted: [string, Digest][] = [
    ...uniqueFiles(release).map(({ digest }): [string, Digest] => [artifactName(digest), digest]),
    ...Object.entries(release.symbols).map(([buildId, { digest }]): [string, Digest] => [`symbols/${buildId}.elf`, digest]),
  ];
  for (const [name, digest] of wanted) {
    const stored = await artifacts.put(archive.read(release.id, name));
    if (stored !== digest) {
      throw new CoalmineError("archive/other-bytes", `${name} in the archive of release ${release.id} has digest ${stored}, the release says ${digest}: nothing was restored`);
    }
  }
}
