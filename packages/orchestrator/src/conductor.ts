// SPDX-License-Identifier: Apache-2.0
// The host machine: everything the orchestrator decides, synchronous, without clock, socket or file.
//
// I1. Every report taken in becomes an entry, unless it is a duplicate.
// I2. An offer number belongs to one device and one rollout for ever; sending it again is harmless.
// I3. Entries come before the effects that follow from them.
// I5. A restart folds the log and decides nothing again.
import {
  apply,
  beginRollout,
  CoalmineError,
  command as orderRollout,
  decide,
  declineRollback,
  type Decision,
  type DeviceId,
  type Instant,
  isActive,
  type Judge,
  memberOf,
  type Millis,
  offerNumbers,
  type ReleaseId,
  type Rollout,
  type RolloutCommand,
  type RolloutId,
  Seconds,
} from "@coalmine/core";
import { decodeReport, type Report } from "@coalmine/protocol";
import { foldChange } from "./changes.ts";
import { type Effect, mayDownload, takenBack } from "./dispatch.ts";
import {
  type AuditRecord,
  type Change,
  DecodedReportEntry,
  hex,
  readRecord,
  readUndecodable,
  recordEntry,
  reportBytes,
  reportEntry,
  type Selector,
  undecodableEntry,
} from "./entry.ts";
import { hear } from "./hearing.ts";
import { type DeviceRecord, type Freshness, learn, newDevice, note, type Samples } from "./inventory.ts";
import { leave, mayHold, stillHolds } from "./leaving.ts";
import { beginListening, deafnessOf, type Hearing, linkChanges, newHearing, noteHeard } from "./listening.ts";
import { matrixGap } from "./matrix.ts";
import { artifactFor, refusalOf, type ReleaseRecord } from "./membership.ts";
import type { Door, LogEntry, Standing } from "./ports.ts";
import { offerEffects, outstanding, outstandingFor, proxied } from "./outstanding.ts";
import { planRollback, rollbackStarted } from "./rollback.ts";

/** What a person orders of a rollout. `override`: although the release's migration is not shown to be good. */
export type RolloutOrder = RolloutCommand & { readonly override?: boolean | undefined };

export interface Outcome {
  readonly entries: LogEntry[];
  readonly effects: Effect[];
}

export interface Counters {
  reports: number;
  duplicates: number;
  late: number;
  undecodable: number;
}

/** Everything the orchestrator knows. Plain data but for the derived look-ups. */
export interface HostState {
  readonly devices: Map<DeviceId, DeviceRecord>;
  readonly releases: Map<ReleaseId, ReleaseRecord>;
  readonly cohorts: Map<string, Selector>;
  readonly rollouts: Map<RolloutId, Rollout>;
  /** Which active rollout a device is in (R3: at most one per component). */
  readonly active: Map<DeviceId, RolloutId>;
  nextOfferBase: number;
  readonly counters: Counters;
  readonly hearing: Hearing;
}

export function newHostState(): HostState {
  return {
    devices: new Map(),
    releases: new Map(),
    cohorts: new Map(),
    rollouts: new Map(),
    active: new Map(),
    nextOfferBase: 0,
    counters: { reports: 0, duplicates: 0, late: 0, undecodable: 0 },
    hearing: newHearing(),
  };
}

/** A link sends what it is given within seconds, and nothing is decided while it cannot: what is older has left. */
export const sentWithinMs = 3_600_000;

/** Most devices one installation takes in; a flood of invented ids stops here. */
const devicesMax = 1_000_000;

export class Conductor {
  readonly state: HostState;
  readonly judge: Judge;

  constructor(judge: Judge, state: HostState = newHostState()) {
    this.judge = judge;
    this.state = state;
  }

  /** Takes one report as bytes. Undecodable bytes are a counted outcome. */
  receive(device: DeviceId, door: Door, bytes: Uint8Array, at: Instant): Outcome {
    const decoded = decodeReport(bytes);
    if (decoded.kind === "undecodable") {
      return this.undecodable(device, decoded.reason, bytes.length, door, at);
    }
    return this.#take(device, door, decoded.value, bytes, at);
  }

  /** Takes one report that is already decoded, from devices in the same process. The log holds its bytes all the same. */
  report(device: DeviceId, door: Door, report: Report, at: Instant): Outcome {
    return this.#take(device, door, report, undefined, at);
  }

  #take(id: DeviceId, door: Door, report: Report, bytes: Uint8Array | undefined, at: Instant): Outcome {
    const outcome: Outcome = { entries: [], effects: [] };
    const { counters, devices } = this.state;
    const known = devices.get(id);
    if (known === undefined && devices.size >= devicesMax) {
      return this.undecodable(null, "too many devices", bytes?.length ?? 0, door, at);
    }
    const before = known?.door;
    const { device, freshness, samples } = this.#learn(known, id, door, report, at);
    if (report.body.kind === "hello" && freshness !== "new" && !proxied.has(door)) {
      const newest = device.boots[0]?.boot ?? 0;
      if (report.boot < newest) {
        // An old hello, delivered late; or the device has lost its boot counter, and nothing it says would count for long. It knows which.
        outcome.effects.push({ kind: "send", device: id, command: { kind: "renumber", boot: newest } });
      }
    }
    if (freshness === "duplicate") {
      counters.duplicates += 1;
      return outcome;
    }
    outcome.entries.push(bytes === undefined ? new DecodedReportEntry(id, door, report, at) : reportEntry(id, door, bytes, at));
    const rollout = hear(this.state, this.judge, { device, report, freshness, samples, at }, outcome.effects);
    if (before !== undefined && before !== device.door) {
      outcome.effects.push(...this.#moved(id));
    }
    if (rollout !== undefined) {
      if (report.body.kind === "hello") {
        this.#takeOut(rollout, id, at, outcome);
      }
      this.#decide(rollout, at, false, outcome);
    }
    if (report.body.kind === "heartbeat" && (device.hardware === null || device.running === null || device.running.version === "")) {
      // Known by a heartbeat alone: ask who it is, until it has said so.
      outcome.effects.push({ kind: "send", device: id, command: { kind: "identify" } });
    }
    return outcome;
  }

  /** Notes bytes that are no report. */
  undecodable(device: DeviceId | null, reason: string, size: number, door: Door, at: Instant): Outcome {
    this.state.counters.undecodable += 1;
    return { entries: [undecodableEntry(device, { reason, size, door }, at)], effects: [] };
  }

  /** Lets time pass: deadlines, soaks, offers. */
  tick(now: Instant): Outcome {
    const outcome: Outcome = { entries: [], effects: [] };
    for (const rollout of this.state.rollouts.values()) {
      if (isActive(rollout)) {
        this.#decide(rollout, now, true, outcome);
      }
    }
    return outcome;
  }

  /** Records a change an operator asked for; the caller has checked it against the state. */
  change(change: Change, at: Instant): Outcome {
    foldChange(this.state, change, at);
    return { entries: [recordEntry(change, at)], effects: [] };
  }

  /** Starts a rollout whose membership was frozen by `freeze`. */
  start(decision: Extract<Decision, { type: "rollout-started" }>, at: Instant): Outcome {
    const outcome: Outcome = { entries: [recordEntry(decision, at)], effects: [] };
    const left = decision.rollback === undefined ? undefined : this.rollout(decision.rollback.of);
    const stands = left?.status === "running" || left?.status === "held"; // else its offers were taken back when it ended
    this.#foldDecision(decision, at);
    if (left !== undefined && stands) {
      outcome.effects.push(...left.members.flatMap((member) => (mayHold(member) ? takenBack(member) : [])));
    }
    this.#decide(this.state.rollouts.get(decision.rollout) as Rollout, at, true, outcome);
    return outcome;
  }

  /** Carries out an operator's order on a rollout. Throws `rollout/...`; then nothing has changed. */
  order(id: RolloutId, order: RolloutOrder, at: Instant): Outcome {
    const rollout = this.rollout(id);
    const outcome: Outcome = { entries: [], effects: [] };
    const decisions = orderRollout(rollout, this.judge, this.#unwithheld(rollout, order), at);
    this.#record(rollout, decisions, at, outcome);
    this.#decide(rollout, at, true, outcome);
    return outcome;
  }

  rollout(id: RolloutId): Rollout {
    const rollout = this.state.rollouts.get(id);
    if (rollout === undefined) {
      const known = [...this.state.rollouts.keys()].slice(-5).join(", ");
      throw new CoalmineError("rollout/unknown", `there is no rollout ${id}${known === "" ? "" : `; the latest are ${known}`}`);
    }
    return rollout;
  }

  /** True while the device may be served blocks of the artifact whose digest starts with `prefix` (R8). */
  mayDownload(id: DeviceId, prefix: Uint8Array): string | undefined {
    const rollout = this.#rolloutOf(id);
    const device = this.state.devices.get(id);
    const member = rollout === undefined ? undefined : memberOf(rollout, id);
    const release = rollout === undefined ? undefined : this.state.releases.get(rollout.release);
    if (member === undefined || device === undefined || release === undefined || !mayDownload(member)) {
      return undefined;
    }
    const artifact = artifactFor(release, device);
    return artifact !== undefined && artifact.digest.startsWith(hex(prefix)) ? artifact.digest : undefined;
  }

  standing(id: DeviceId): Standing | undefined {
    const rollout = this.#rolloutOf(id);
    const member = rollout === undefined ? undefined : memberOf(rollout, id);
    return member === undefined || member.offer === 0 ? undefined : { offer: member.offer, state: member.state, since: member.since };
  }

  /** Whether an offer number was ever given to a device: it belongs to one device of one rollout for ever (I2). */
  wasOffered(id: DeviceId, offer: number): boolean {
    for (const rollout of this.state.rollouts.values()) {
      if (offer > rollout.offerBase && offer <= rollout.offerBase + rollout.members.length) {
        return memberOf(rollout, id)?.offer === offer;
      }
    }
    return false;
  }

  /** Folds one entry of the log. Used at a restart and by the replay; decides nothing. */
  fold(entry: LogEntry): void {
    if (entry.type === "report") {
      const { door, bytes } = reportBytes(entry);
      const decoded = decodeReport(bytes);
      if (decoded.kind === "undecodable" || entry.device === null) {
        throw new CoalmineError("log/unreadable", `the log holds a report that does not decode: ${decoded.kind === "ok" ? "no device" : decoded.reason}`);
      }
      const { device, freshness, samples } = this.#learn(this.state.devices.get(entry.device), entry.device, door, decoded.value, entry.at);
      if (freshness !== "duplicate") {
        hear(this.state, this.judge, { device, report: decoded.value, freshness, samples, at: entry.at }, []);
      }
    } else if (entry.type === "undecodable") {
      readUndecodable(entry);
      this.state.counters.undecodable += 1;
    } else {
      this.#foldRecord(readRecord(entry), entry.at);
    }
  }

  /**
   * Notes that this process listens again after `heardUntil`, when rollouts are under way. Call it after folding and
   * before anything else: otherwise the devices would be blamed for a silence that was ours.
   */
  restart(heardUntil: Instant, at: Instant): Outcome {
    if (at <= heardUntil || ![...this.state.rollouts.values()].some(isActive)) {
      return { entries: [], effects: [] };
    }
    return this.change({ type: "restarted", heardUntil, authority: { by: "coalmine", reason: "started again with rollouts under way" } }, at);
  }

  /**
   * Notes which doors are shut at the moment, and which are open again; `since` is when this was looked at last. A link that
   * is back is given what the broker may have lost with its memory.
   */
  listen(down: ReadonlySet<Door>, since: Instant, at: Instant): Outcome {
    const outcome: Outcome = { entries: [], effects: [] };
    for (const change of linkChanges(this.state.hearing, down, since)) {
      const lostAt = change.type === "link-restored" ? this.state.hearing.down[change.door] : undefined;
      outcome.entries.push(...this.change(change, at).entries);
      if (change.type === "link-restored" && lostAt !== undefined) {
        outcome.effects.push(...this.outstanding(lostAt - sentWithinMs).filter(({ device }) => this.state.devices.get(device)?.door === change.door));
      }
    }
    return outcome;
  }

  /** What may have been lost with the process, or with a broker: see `outstanding.ts`. */
  outstanding(recently: number = Number.NEGATIVE_INFINITY): Effect[] {
    return outstanding(this.state, recently);
  }

  /** A device has come through another door: what its old one keeps for it, it may never hear. */
  #moved(id: DeviceId): Effect[] {
    const rollout = this.#rolloutOf(id);
    const member = rollout === undefined ? undefined : memberOf(rollout, id);
    return rollout === undefined || member === undefined ? [] : outstandingFor(this.state, rollout, member, Number.NEGATIVE_INFINITY);
  }

  #rolloutOf(id: DeviceId): Rollout | undefined {
    const active = this.state.active.get(id);
    return active === undefined ? undefined : this.state.rollouts.get(active);
  }

  #learn(
    known: DeviceRecord | undefined,
    id: DeviceId,
    door: Door,
    report: Report,
    at: Instant,
  ): { readonly device: DeviceRecord; readonly freshness: Freshness; readonly samples: Samples } {
    const { hearing } = this.state;
    noteHeard(hearing, at);
    const device = known ?? newDevice(id, door, at);
    if (known === undefined) {
      this.state.devices.set(id, device);
    }
    const freshness = note(device, report);
    if (freshness === "duplicate") {
      return { device, freshness, samples: {} };
    }
    this.state.counters.reports += 1;
    this.state.counters.late += freshness === "late" ? 1 : 0;
    if (report.body.kind === "hello") {
      const told = Seconds(Math.max(1, report.body.interval_s));
      hearing.interval = this.state.devices.size === 1 ? told : (Math.min(hearing.interval, told) as Millis);
    }
    return { device, freshness, samples: learn(device, report, freshness, { door, at, deaf: deafnessOf(hearing, door, device.lastSeen) }) };
  }

  /** Why a rollout may not go past its canaries: a migration without a green matrix (R42). A rollback goes where devices have been. */
  #withheld(rollout: Rollout): string | undefined {
    const release = this.state.releases.get(rollout.release);
    return release === undefined || rollout.rollback !== null ? undefined : matrixGap(release, rollout, this.state.devices);
  }

  /** Gives a promotion past the canaries what it overrides; refuses one that does not mean to. */
  #unwithheld(rollout: Rollout, order: RolloutOrder): RolloutCommand {
    const { override, ...plain } = order;
    const despite = order.kind === "promote" && rollout.stage === 0 && rollout.stages.length > 1 ? this.#withheld(rollout) : undefined;
    if (despite !== undefined && override !== true) {
      throw new CoalmineError("release/unattested", `promote: ${despite}; or promote with --override and a reason`);
    }
    return plain.kind === "promote" && despite !== undefined ? { ...plain, despite } : plain;
  }

  #decide(rollout: Rollout, now: Instant, tick: boolean, outcome: Outcome): void {
    this.#record(rollout, decide(rollout, this.judge, now, { tick, withheld: () => this.#withheld(rollout) }), now, outcome);
    this.#goBack(rollout, now, outcome);
  }

  /** What a plan's `onFail` asks for after a halt by a gate (R35). Decided from the state alone, so that a restart in between decides the same. */
  #goBack(rollout: Rollout, at: Instant, outcome: Outcome): void {
    const { haltedBy, wayBack } = rollout;
    if (rollout.status !== "halted" || wayBack === null || haltedBy === null || haltedBy.gate === "operator") {
      return;
    }
    const authority = { by: "coalmine", reason: `onFail of rollout ${rollout.id}, halted by ${haltedBy.gate}: ${haltedBy.reason}` };
    let decision: Extract<Decision, { type: "rollout-started" }>;
    try {
      const target = this.state.releases.get(wayBack);
      if (target?.barred !== null && target !== undefined) {
        throw new CoalmineError("release/barred", `release ${wayBack} is barred: ${target.barred}`);
      }
      const planned = planRollback(this.state, { rollout: rollout.id, to: wayBack }, at);
      decision = rollbackStarted(planned, { rollout: nextRolloutId(this.state), offerBase: this.state.nextOfferBase, authority });
    } catch (error) {
      if (!(error instanceof CoalmineError)) {
        throw error;
      }
      this.#record(rollout, [declineRollback(rollout, this.judge, error.message, at)], at, outcome);
      return;
    }
    const begun = this.start(decision, at);
    outcome.entries.push(...begun.entries);
    outcome.effects.push(...begun.effects);
  }

  #record(rollout: Rollout, decisions: readonly Decision[], at: Instant, outcome: Outcome): void {
    for (const decision of decisions) {
      outcome.entries.push(recordEntry(decision, at));
      switch (decision.type) {
        case "offered":
          outcome.effects.push(...offerEffects(this.state, rollout, decision.device));
          break;
        case "moved": {
          const member = memberOf(rollout, decision.device);
          // Who is missing keeps its offer: it may be on its way all the same.
          if (member !== undefined && member.offer !== 0 && decision.state !== "missing") {
            outcome.effects.push(...takenBack(member));
          }
          break;
        }
        case "completed":
        case "halted":
        case "aborted":
          for (const member of rollout.members) {
            if (mayHold(member)) {
              outcome.effects.push(...takenBack(member));
            }
          }
          if (decision.type === "halted" && decision.gate !== "operator") {
            const reason = `rollout ${rollout.id} was halted by ${decision.gate}: ${decision.authority.reason}`;
            const barred: Change = { type: "release-barred", release: rollout.release, authority: { by: "coalmine", reason } };
            outcome.entries.push(...this.change(barred, at).entries);
          }
          break;
        default:
          break;
      }
      this.#afterDecision(rollout);
    }
  }

  #foldRecord(record: AuditRecord, at: Instant): void {
    switch (record.type) {
      case "device-tagged":
      case "cohort-created":
      case "release-created":
      case "release-attested":
      case "release-barred":
      case "release-unbarred":
      case "release-archived":
      case "release-restored":
      case "restarted":
      case "link-lost":
      case "link-restored":
      case "symbols-added":
        foldChange(this.state, record, at);
        break;
      default:
        this.#foldDecision(record, at);
    }
  }

  #foldDecision(decision: Decision, at: Instant): void {
    if (decision.type === "rollout-started") {
      const rollout = beginRollout(decision, at, this.judge);
      beginListening(this.state.hearing, rollout, this.state.devices);
      this.state.rollouts.set(rollout.id, rollout);
      this.state.nextOfferBase = Math.max(this.state.nextOfferBase, decision.offerBase + offerNumbers(decision));
      leave(this.state, this.judge, decision, at);
      for (const member of decision.members) {
        this.state.active.set(member.device, rollout.id);
        this.#exclude(member.device, null);
      }
      for (const { device, reason } of decision.excluded ?? []) {
        this.#exclude(device, { rollout: rollout.id, release: rollout.release, reason });
      }
      return;
    }
    const rollout = this.rollout(decision.rollout);
    apply(rollout, this.judge, decision, at);
    this.#afterDecision(rollout);
  }

  #exclude(id: DeviceId, why: DeviceRecord["excluded"]): void {
    const device = this.state.devices.get(id);
    if (device !== undefined) {
      device.excluded = why;
    }
  }

  /**
   * A member that no offer has reached yet and that says by now that it cannot take the release (other hardware, another partition map or
   * storage schema) is taken out with the reason: the offer would be wrong for it (I6, R45).
   */
  #takeOut(rollout: Rollout, id: DeviceId, at: Instant, outcome: Outcome): void {
    const member = memberOf(rollout, id);
    const device = this.state.devices.get(id);
    const release = this.state.releases.get(rollout.release);
    if (member === undefined || member.state !== "planned" || member.offer !== 0 || device === undefined || release === undefined) {
      return;
    }
    const refusal = refusalOf(release, device);
    if (refusal !== undefined && refusal.code !== "running" && refusal.code !== "quarantined" && refusal.code !== "bootloader") {
      const authority = { by: "coalmine", reason: `preflight: ${refusal.reason}` };
      this.#record(rollout, orderRollout(rollout, this.judge, { kind: "excuse", device: id, authority }, at), at, outcome);
    }
  }

  /** A rollout that has ended frees its members for another. Who a rollback could not bring back still holds what it left. */
  #afterDecision(rollout: Rollout): void {
    if (!isActive(rollout)) {
      const left = rollout.rollback === null ? undefined : this.state.rollouts.get(rollout.rollback.of);
      for (const member of rollout.members) {
        if (this.state.active.get(member.device) === rollout.id) {
          const before = left === undefined ? undefined : memberOf(left, member.device);
          if (left !== undefined && before !== undefined && stillHolds(before)) {
            this.state.active.set(member.device, left.id);
          } else {
            this.state.active.delete(member.device);
          }
        }
      }
    }
  }
}

/** The next free name: r1, r2 ... */
export function nextRolloutId(state: HostState): RolloutId {
  for (let n = state.rollouts.size + 1; ; n += 1) {
    const id = `r${n}` as RolloutId;
    if (!state.rollouts.has(id)) {
      return id;
    }
  }
}
