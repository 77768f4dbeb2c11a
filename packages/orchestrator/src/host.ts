// SPDX-License-Identifier: Apache-2.0
// The driver around the conductor: it records, then acts. The only place that waits for storage.
import { type Authority, CoalmineError, type DeviceId, type Instant, type Judge, type ReleaseId, type RolloutId, rolloutId } from "@coalmine/core";
import type { PublicKey } from "@coalmine/mcuboot";
import type { BlockAnswer, BlockRequest } from "@coalmine/protocol";
import { checkArchivable, freedBy, unpack, writeArchive } from "./archive.ts";
import { type Applied, applyRollout, type PlanAgainst, planAgainst, replacedBy } from "./apply.ts";
import { Conductor, type Outcome, type RolloutOrder, sentWithinMs } from "./conductor.ts";
import type { Effect } from "./dispatch.ts";
import type { Selector } from "./entry.ts";
import type { MatrixResult } from "./matrix.ts";
import type { Membership, ReleaseRecord } from "./membership.ts";
import {
  attestRelease,
  checkAuthority,
  createCohort,
  createRelease,
  inspectRelease,
  planRollout,
  type ReleaseInput,
  type RollbackStart,
  releaseOf,
  type RolloutInput,
  startRollback,
  startRollout,
  tagDevice,
} from "./operations.ts";
import type { DeviceRecord } from "./inventory.ts";
import type { ArchivedFile, ArchiveStore, ArtifactStore, Clock, Door, EventLog, Link, ProxyHost, Standing } from "./ports.ts";
import { planRollback, type RollbackInput, type RollbackPlan } from "./rollback.ts";
import { readSnapshot, writeSnapshot } from "./snapshot.ts";
import { type AddedSymbols, addSymbols, inspectSymbols, type SymbolsInput } from "./crash/symbols.ts";

export interface HostOptions {
  readonly log: EventLog;
  readonly artifacts: ArtifactStore;
  readonly clock: Clock;
  readonly judge: Judge;
  /** Where closed releases go; without one none can be archived. */
  readonly archive?: ArchiveStore | undefined;
  /** Public keys whose signatures a release must carry. */
  readonly keys: readonly PublicKey[];
  /** Entries between snapshots. */
  readonly snapshotEvery?: number;
  /** Told of trouble that stops nothing: a link that is down, a store that fails. */
  readonly warn?: (message: string) => void;
  /** Told of every batch of new entries once they are durable, with the sequence of the first. */
  readonly watch?: (outcome: Outcome, first: number) => void;
}

function noArchive(): never {
  throw new CoalmineError("archive/none", "this orchestrator has no archive to put releases into");
}

/** The orchestrator as a running thing: conductor, log, artifacts and links. */
export class Host implements ProxyHost {
  readonly conductor: Conductor;
  readonly #options: HostOptions;
  readonly #links = new Map<Door, Link>();
  #snapshotAt: number;
  /** Time of the newest entry that an earlier process wrote. */
  readonly #heardUntil: Instant;
  #failed: CoalmineError | undefined;
  /** Questions that came up before there was a link to ask through. */
  #unasked: Effect[] = [];
  /** Effects of one device leave in the order they were decided. */
  readonly #sending = new Map<DeviceId, Promise<void>>();
  /** When the links were looked at last. */
  #lookedAt: Instant;

  private constructor(options: HostOptions, conductor: Conductor, at: { readonly snapshotAt: number; readonly heardUntil: Instant | undefined }) {
    this.#options = options;
    this.conductor = conductor;
    this.#snapshotAt = at.snapshotAt;
    this.#lookedAt = options.clock.now();
    this.#heardUntil = at.heardUntil ?? this.#lookedAt;
  }

  /** Folds the log from its newest usable snapshot (I5). Attach links, then call `resume`. */
  static open(options: HostOptions): Host {
    const { log, judge, clock } = options;
    const snapshot = log.loadSnapshot();
    let conductor = new Conductor(judge);
    let from = 0;
    if (snapshot !== null) {
      try {
        conductor = new Conductor(judge, readSnapshot(snapshot.state));
        from = snapshot.sequence;
      } catch (error) {
        options.warn?.(`snapshot at ${snapshot.sequence} is not usable (${(error as Error).message}); reading the log from its start`);
      }
    }
    let heardUntil: Instant | undefined;
    for (const entry of log.read(Math.min(from, Math.max(0, log.length - 1)))) {
      if (entry.sequence > from) {
        conductor.fold(entry);
      }
      heardUntil = entry.at;
    }
    if (heardUntil !== undefined) {
      // Durable together with the first report or decision that builds on it.
      for (const entry of conductor.restart(heardUntil, clock.now()).entries) {
        log.append(entry);
      }
    }
    return new Host(options, conductor, { snapshotAt: from, heardUntil });
  }

  /** Adds a door. Commands for devices that came through it leave by it. */
  attach(link: Link): void {
    this.#links.set(link.door, link);
  }

  /** Sends again what a crash may have swallowed: harmless to devices that have it (I2). */
  async resume(): Promise<void> {
    const effects = [...this.conductor.outstanding(this.#heardUntil - sentWithinMs), ...this.#unasked];
    this.#unasked = [];
    await this.#carryOut({ entries: [], effects });
  }

  /** True once storage failed: nothing is acknowledged any more, and why. */
  get failure(): CoalmineError | undefined {
    return this.#failed;
  }

  async report(device: DeviceId, bytes: Uint8Array, door: Door): Promise<void> {
    if (this.conductor.state.hearing.down[door] !== undefined) {
      this.#listen().catch(() => undefined); // the link is back: what it says is not the end of a silence
    }
    await this.#carryOut(this.conductor.receive(device, door, bytes, this.#options.clock.now()));
  }

  block(device: DeviceId, request: BlockRequest): BlockAnswer {
    const digest = this.conductor.mayDownload(device, request.digest);
    if (digest === undefined) {
      return { kind: "refused", request: request.request, reason: "not-offered" };
    }
    const artifact = this.#options.artifacts.get(digest as never);
    if (artifact === null) {
      return { kind: "refused", request: request.request, reason: "unknown" };
    }
    if (request.offset >= artifact.length) {
      return { kind: "refused", request: request.request, reason: "range" };
    }
    const data = artifact.subarray(request.offset, request.offset + request.length);
    return { kind: "block", request: request.request, offset: request.offset, data };
  }

  undecodable(device: DeviceId | null, reason: string, size: number, door: Door): void {
    this.#carryOut(this.conductor.undecodable(device, reason, size, door, this.#options.clock.now())).catch(() => undefined);
  }

  known(device: DeviceId): Readonly<DeviceRecord> | undefined {
    return this.conductor.state.devices.get(device);
  }

  standing(device: DeviceId): Standing | undefined {
    return this.conductor.standing(device);
  }

  wasOffered(device: DeviceId, offer: number): boolean {
    return this.conductor.wasOffered(device, offer);
  }

  /** Lets time pass. Called by a timer of the driver, about once a second. */
  async tick(): Promise<void> {
    await this.#listen();
    await this.#carryOut(this.conductor.tick(this.#options.clock.now()));
    this.#snapshot();
  }

  async tagDevice(input: { device: string; add: readonly string[]; remove: readonly string[]; authority: Authority }): Promise<void> {
    await this.#carryOut(tagDevice(this.conductor, input, this.#options.clock.now()));
  }

  async createCohort(input: { name: string; selector: Selector; authority: Authority }): Promise<void> {
    await this.#carryOut(createCohort(this.conductor, input, this.#options.clock.now()));
  }

  /** Checks, stores and records a release. Nothing is recorded when one artifact is refused. */
  async createRelease(input: ReleaseInput): Promise<ReleaseRecord> {
    const artifacts = inspectRelease(this.conductor, input, this.#options.keys);
    for (const artifact of input.artifacts) {
      await this.#options.artifacts.put(artifact.bytes);
    }
    // Somebody may have taken the id while the bytes were stored.
    inspectRelease(this.conductor, { ...input, artifacts: input.artifacts }, this.#options.keys);
    await this.#carryOut(createRelease(this.conductor, input, artifacts, this.#options.clock.now()));
    return releaseOf(this.conductor, input.id);
  }

  /** Keeps the ELF of a build of a release; names for the addresses of its crashes. Throws `symbols/...` for what is no ELF with symbols. */
  async addSymbols(input: SymbolsInput): Promise<AddedSymbols> {
    const inspected = inspectSymbols(this.conductor, input, this.#options.artifacts);
    const digest = await this.#options.artifacts.put(input.bytes);
    await this.#carryOut(addSymbols(this.conductor, input, { ...inspected, digest }, this.#options.clock.now()));
    return { ...inspected, digest };
  }

  /**
   * Closes a release out: archive, restore test, then its files leave the artifact store (R39). Throws `release/needed`
   * saying who needs it, `release/archived`, `archive/...`.
   */
  async archiveRelease(id: string, authority: Authority): Promise<readonly ArchivedFile[]> {
    const { archive, log, artifacts, clock } = this.#options;
    checkAuthority(authority, "archiving a release");
    const release = releaseOf(this.conductor, id);
    checkArchivable(this.conductor.state, release);
    const store = archive ?? noArchive();
    const writer = store.begin(id);
    try {
      await writeArchive({ conductor: this.conductor, log, artifacts }, release, writer, clock.now());
      const files = await store.check(id);
      checkArchivable(this.conductor.state, release);
      const bytes = files.reduce((sum, file) => sum + file.size, 0);
      const freed = freedBy(this.conductor.state, release);
      await this.#carryOut(this.conductor.change({ type: "release-archived", release: release.id as ReleaseId, files: files.length, bytes, authority }, clock.now()));
      for (const digest of freed) {
        await artifacts.remove(digest);
      }
      return files;
    } catch (error) {
      if (release.archived === null) {
        await writer.discard();
      }
      throw error;
    }
  }

  /** Takes an archived release back: every checksum is compared, its files return to the artifact store. */
  async restoreRelease(id: string, authority: Authority): Promise<ReleaseRecord> {
    const { archive, artifacts, clock } = this.#options;
    checkAuthority(authority, "restoring a release");
    const release = releaseOf(this.conductor, id);
    if (release.archived === null) {
      throw new CoalmineError("release/not-archived", `release ${id} is not archived`);
    }
    await unpack(archive ?? noArchive(), artifacts, release);
    await this.#carryOut(this.conductor.change({ type: "release-restored", release: release.id as ReleaseId, authority }, clock.now()));
    return release;
  }

  planRollout(input: RolloutInput): Membership {
    return planRollout(this.conductor, { replaces: replacedBy(this.conductor, input.release), ...input }, this.#options.clock.now());
  }

  /** What runs of a release, and how a plan differs from it; null when nothing does. Changes nothing. */
  planAgainst(input: RolloutInput): PlanAgainst | null {
    return planAgainst(this.conductor, input);
  }

  /** Makes a plan file true; doing it again changes nothing (R32). */
  async applyRollout(input: RolloutInput): Promise<Applied> {
    const { applied, outcome } = applyRollout(this.conductor, input, this.#options.clock.now());
    if (outcome.entries.length > 0) {
      await this.#carryOut(outcome);
    }
    return applied;
  }

  async startRollout(input: RolloutInput): Promise<{ readonly id: RolloutId; readonly membership: Membership }> {
    const { id, membership, outcome } = startRollout(this.conductor, input, this.#options.clock.now());
    await this.#carryOut(outcome);
    return { id, membership };
  }

  /** What a rollback would do to each device. Changes nothing. */
  planRollback(input: RollbackInput): RollbackPlan {
    return planRollback(this.conductor.state, input, this.#options.clock.now());
  }

  async startRollback(input: RollbackStart): Promise<{ readonly id: RolloutId; readonly planned: RollbackPlan }> {
    const { id, planned, outcome } = startRollback(this.conductor, input, this.#options.clock.now());
    await this.#carryOut(outcome);
    return { id, planned };
  }

  /** Records the result of a release's migration matrix. */
  async attestRelease(input: { release: string; matrix: MatrixResult; authority: Authority }): Promise<ReleaseRecord> {
    await this.#carryOut(attestRelease(this.conductor, input, this.#options.clock.now()));
    return releaseOf(this.conductor, input.release);
  }

  async orderRollout(id: string, order: RolloutOrder): Promise<void> {
    await this.#carryOut(this.conductor.order(rolloutId(id), order, this.#options.clock.now()));
  }

  /** Stores what is folded and closes links and log. */
  async close(): Promise<void> {
    for (const link of this.#links.values()) {
      await link.close();
    }
    await Promise.allSettled(this.#sending.values());
    if (this.#failed === undefined) {
      await this.#options.log.durable();
      this.#snapshot(true);
    }
    await this.#options.log.close();
  }

  /** Notes links that went down or came back since the last look. */
  async #listen(): Promise<void> {
    const now = this.#options.clock.now();
    const down = new Set([...this.#links.values()].filter((link) => link.connected === false).map(({ door }) => door));
    const since = this.#lookedAt;
    this.#lookedAt = now;
    const outcome = this.conductor.listen(down, since, now);
    if (outcome.entries.length > 0) {
      await this.#carryOut(outcome);
    }
  }

  /** Appends, waits until that is durable, and only then acts (I3). */
  async #carryOut(outcome: Outcome): Promise<void> {
    if (this.#failed !== undefined) {
      throw this.#failed;
    }
    const { log } = this.#options;
    const first = log.length + 1;
    try {
      for (const entry of outcome.entries) {
        log.append(entry);
      }
      // Also without entries: a duplicate must not be acknowledged before its first copy is durable (I1).
      await log.durable();
    } catch (cause) {
      this.#failed =
        cause instanceof CoalmineError
          ? cause
          : new CoalmineError("store/write-failed", `the event log cannot be written: ${(cause as Error).message}`, { cause });
      this.#options.warn?.(`${this.#failed.message}; no report is acknowledged and no offer sent until a restart`);
      throw this.#failed;
    }
    if (outcome.entries.length > 0) {
      this.#options.watch?.(outcome, first);
    }
    for (const effect of outcome.effects) {
      this.#send(effect);
    }
  }

  #send(effect: Effect): void {
    if (this.#links.size === 0) {
      // A broker hands over what it kept before its link is attached. `resume` finds the rest by itself.
      if (effect.kind === "send" && effect.command.kind === "identify") {
        this.#unasked.push(effect);
      }
      return;
    }
    const device = this.conductor.state.devices.get(effect.device);
    const door = device?.door;
    const link = door === undefined ? undefined : this.#links.get(door);
    if (effect.kind === "clear") {
      // A device that changed doors may have an offer kept at each.
      for (const other of device?.otherDoors ?? []) {
        this.#sendThrough(this.#links.get(other), effect);
      }
    }
    if (link === undefined) {
      this.#options.warn?.(`no link to ${effect.device} (door ${door ?? "unknown"}): ${effect.kind} not sent`);
      return;
    }
    this.#sendThrough(link, effect);
  }

  #sendThrough(link: Link | undefined, effect: Effect): void {
    if (link === undefined) {
      return;
    }
    const earlier = this.#sending.get(effect.device) ?? Promise.resolve();
    const sent = earlier
      .then(() => (effect.kind === "clear" ? link.clear(effect.device) : link.send(effect.device, effect.command)))
      .catch((error: unknown) => {
        this.#options.warn?.(`${effect.kind} to ${effect.device} failed: ${(error as Error).message}`);
      })
      .then(() => {
        if (this.#sending.get(effect.device) === sent) {
          this.#sending.delete(effect.device);
        }
      });
    this.#sending.set(effect.device, sent);
  }

  #snapshot(force = false): void {
    const { log, snapshotEvery = 20_000 } = this.#options;
    const waited = log.length - this.#snapshotAt;
    if (waited > 0 && (force || waited >= snapshotEvery)) {
      log.saveSnapshot(log.length, writeSnapshot(this.conductor.state));
      this.#snapshotAt = log.length;
    }
  }
}
