// SPDX-License-Identifier: Apache-2.0
// An orchestrator with its API and page on a port, and devices whose reports a test writes.
import { buildApi, loopbackHosts } from "@coalmine/api";
import { type DeviceId, type Instant, instant, Minutes, type ReleaseId, type RolloutId, rolloutId } from "@coalmine/core";
import { buildImage, loadPublicKey, parseVersion } from "@coalmine/mcuboot";
import { AuditFeed, type Clock, Host, planFromData, planJudge } from "@coalmine/orchestrator";
import { encodeReport, type ReportBody } from "@coalmine/protocol";
import { CrashIndex, memoryArtifactStore, memoryEventLog, openArchiveStore } from "@coalmine/store";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dashboardPages } from "../dashboard/pages.ts";

const keys = generateKeyPairSync("ed25519");
const variant = { board: "nrf52840dk", revision: "A", partitionMap: "pm1" };
const authority = { by: "ada", reason: "test" };

type Opener = (port: number) => Promise<{ readonly url: string; readonly close: () => Promise<void> }>;

export class DashboardSite {
  readonly clock: Clock & { time: number };
  readonly host: Host;
  readonly url: string;
  readonly #open: Opener;
  readonly #end: () => Promise<void>;
  #closeApi: () => Promise<void>;
  readonly #sequences = new Map<string, number>();

  private constructor(parts: { clock: DashboardSite["clock"]; host: Host; url: string; closeApi: () => Promise<void>; open: Opener; end: () => Promise<void> }) {
    this.clock = parts.clock;
    this.host = parts.host;
    this.url = parts.url;
    this.#closeApi = parts.closeApi;
    this.#open = parts.open;
    this.#end = parts.end;
  }

  static async start(options: { readonly token?: string } = {}): Promise<DashboardSite> {
    const clock = {
      time: Date.UTC(2026, 0, 1),
      now(): Instant {
        return instant(this.time);
      },
    };
    const log = memoryEventLog();
    const artifacts = memoryArtifactStore();
    const folder = mkdtempSync(join(tmpdir(), "coalmine-dashboard-"));
    const archive = openArchiveStore(folder);
    const feed = new AuditFeed();
    const crashes = new CrashIndex(":memory:", { log, artifacts });
    const watch: typeof feed.note = (outcome, first) => {
      feed.note(outcome, first);
      crashes.note(outcome, first);
    };
    const host = Host.open({ log, artifacts, archive, clock, judge: planJudge, keys: [loadPublicKey(keys.publicKey)], watch });
    host.attach({ door: "virtual", send: async () => undefined, clear: async () => undefined, close: async () => undefined });
    const open: Opener = async (port) => {
      const api = buildApi(host, { log, artifacts, archive, clock, feed, crashes: crashes.catalogue, hosts: loopbackHosts, token: options.token, pages: dashboardPages(() => undefined) });
      return { url: await api.listen({ host: "127.0.0.1", port }), close: () => api.close() };
    };
    const { url, close } = await open(0);
    return new DashboardSite({ clock, host, url, closeApi: close, open, end: () => rm(folder, { recursive: true, force: true }) });
  }

  async say(device: string, body: ReportBody, boot = 1): Promise<void> {
    const key = `${device} ${boot}`;
    const sequence = this.#sequences.get(key) ?? 0;
    this.#sequences.set(key, sequence + 1);
    await this.host.report(device as DeviceId, encodeReport({ boot, sequence, uptime_s: 10 + sequence, body }), "virtual");
  }

  async hello(device: string, options: { readonly boot?: number; readonly version?: string; readonly imageHash?: Uint8Array; readonly confirmed?: boolean; readonly attributes?: Record<string, string>; readonly slot1?: { readonly imageHash: Uint8Array; readonly version: string } } = {}): Promise<void> {
    const { boot = 1, version = "1.0.0", imageHash = new Uint8Array(32).fill(9), confirmed = true, attributes = {}, slot1 = null } = options;
    const running = { imageHash, version, buildId: imageHash.subarray(0, 20), confirmed };
    const hardware = { ...variant, mode: "swap-move", slotSize: 65_536 } as const;
    await this.say(device, { kind: "hello", hardware, running, slot1, resetCause: "power-on", attempt: null, interval_s: 300, attributes: { connectivity: "wifi", site: "field", ...attributes }, storageSchema: 1 }, boot);
  }

  /** A release of one signed image; gives its image hash. */
  async release(id: string): Promise<Uint8Array> {
    const image = buildImage({ version: parseVersion(id), headerSize: 512, payload: new Uint8Array(2_048).fill(7), key: keys.privateKey });
    await this.host.createRelease({ id, artifacts: [{ variant, bytes: image }], authority });
    return Uint8Array.fromHex(this.host.conductor.state.releases.get(id as ReleaseId)?.artifacts[0]?.imageHash ?? "");
  }

  /** Starts a rollout of four canaries, and lets their offers go out. */
  async rollout(release: string, id: string): Promise<void> {
    const plan = planFromData({
      name: "test",
      stages: [{ name: "canary", count: 4 }, "100%"],
      strata: ["hardware", "connectivity"],
      gates: { "boot-confirmation": { weight: 0.7 }, "crash-rate": { weight: 0.3 } },
      offers: { perMinute: 6_000, jitter: "0s" },
      soak: { min: "1h", max: "6h", dutyCycles: 1 },
      harmBudget: "20%",
      minDevices: 4,
    });
    await this.host.startRollout({ id: rolloutId(id), release, plan, seed: 7, override: true, authority: { by: "ada", reason: "weekly" } });
    await this.pass(1);
  }

  async pass(minutes: number): Promise<void> {
    this.clock.time += Minutes(minutes);
    await this.host.tick();
  }

  canaries(id: string): string[] {
    return this.host.conductor.rollout(id as RolloutId).members.filter((member) => member.stage === 0).map((member) => member.device);
  }

  /** The device runs the release on trial, crashes there, and goes back to its old image. */
  async crashAndRevert(id: string, device: string, target: Uint8Array, words: { readonly crash: string; readonly result: string }): Promise<void> {
    const member = this.host.conductor.rollout(id as RolloutId).members.find((one) => one.device === device);
    await this.hello(device, { boot: 2, version: "1.1.0", imageHash: target, confirmed: false });
    await this.hello(device, { boot: 3 });
    await this.say(device, { kind: "crash", buildId: target.subarray(0, 20), imageHash: target, reason: words.crash, pc: 0x1234, lr: 0x1200, uptime_s: 4 }, 3);
    await this.say(device, { kind: "result", attempt: { offer: member?.offer ?? 0, target, outcome: "reverted", ran: true, resetCause: "fault" }, reason: words.result }, 3);
  }

  /** Nothing listens on its port any more. */
  async leave(): Promise<void> {
    await this.#closeApi();
  }

  /** It listens on the same port again, and knows of no session. */
  async comeBack(): Promise<void> {
    const { close } = await this.#open(Number(new URL(this.url).port));
    this.#closeApi = close;
  }

  async close(): Promise<void> {
    await this.#closeApi();
    await this.host.close();
    await this.#end();
  }
}
