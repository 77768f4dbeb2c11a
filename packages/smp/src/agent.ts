// SPDX-License-Identifier: Apache-2.0
// What the firmware hook does elsewhere, done from outside for a board that only speaks SMP: one board as a machine.
//
// A1. The board's own image list is the truth: where an update stands is read from it, never remembered against it.
// A2. "applying" is reported, and durable, before a reset is sent.
// A3. Confirmed is only what runs the target, has answered for the plan's minimum uptime, and then says that it is confirmed.
// A4. A trial that has not been confirmed by its deadline is reset, so that the bootloader goes back.
// A5. Nothing is uploaded while an image is on trial.
// A6. Up to the request for a trial an offer can be cancelled; from then on it runs to its end.
import { after, type Instant, Seconds, since } from "@coalmine/core";
import { imageOf, type Standing, unsaidHash, unsaidVersion } from "@coalmine/orchestrator";
import type { Attempt, Command, ConfirmPolicy, Hardware, Offer, ProgressState, ReportBody, RunningImage } from "@coalmine/protocol";
import { activeImage, type ImageState, sameHash } from "./image.ts";

/** What SMP does not tell of a board, said by the operator. */
export interface BoardFacts {
  readonly hardware: Hardware;
  readonly attributes: Readonly<Record<string, string>>;
  readonly storageSchema: number;
  /** Seconds between two looks at the board, of the orchestrator's clock. */
  readonly interval_s: number;
  /** Seconds between looks while a board is expected back, and after which one that still waits for its reset gets another. */
  readonly return_s: number;
  readonly resetAgain_s: number;
}

/** upload: not on the board yet. mark: it is, and no trial is requested. reset: it is. return: reset was sent. trial: it runs. */
type Phase = "upload" | "mark" | "reset" | "return" | "trial";

export interface Job {
  readonly kind: "update" | "swap-back";
  readonly offer: number;
  readonly target: Uint8Array;
  readonly version: string;
  readonly notBefore: Instant;
  /** The offer, for its artifact; a swap-back needs none. */
  readonly manifest: Offer | null;
  confirm: ConfirmPolicy;
  phase: Phase;
  eighth: number;
  resetAt: Instant;
  trialSince: Instant | null;
  tries: number;
}

/** Plain data. */
export interface Agent {
  images: readonly ImageState[] | null;
  running: RunningImage | null;
  job: Job | null;
  /** Offer whose end was reported: a late copy of it begins nothing. */
  ended: number | null;
  helloDue: boolean;
  lookAt: Instant;
  saidAt: Instant | null;
}

export type AgentInput =
  | { readonly kind: "command"; readonly command: Command; readonly jitter: number; readonly standing?: Standing | undefined }
  | { readonly kind: "images"; readonly images: readonly ImageState[] }
  /** Bytes of the artifact that are safely on the board. */
  | { readonly kind: "sent"; readonly offset: number }
  | { readonly kind: "uploaded" }
  | { readonly kind: "marked" }
  | { readonly kind: "reset" }
  /** The board said no, or the upload does not arrive whole. `final`: asking again does not help. */
  | { readonly kind: "refused"; readonly what: string; readonly reason: string; readonly final: boolean }
  /** No answer: it sleeps, is rebooting, or is gone. Silence is what the host makes of it. */
  | { readonly kind: "unreachable" };

export type AgentEffect = { readonly kind: "report"; readonly body: ReportBody } | { readonly kind: "reboot" };

/** What the driver does next; one thing at a time. */
export type AgentAction =
  | { readonly kind: "look" }
  | { readonly kind: "upload"; readonly manifest: Offer }
  | { readonly kind: "test"; readonly hash: Uint8Array }
  | { readonly kind: "reset" }
  | { readonly kind: "confirm"; readonly hash: Uint8Array }
  | { readonly kind: "wait"; readonly until: Instant };

const triesMax = 5;
/** A swap-back comes without a policy: it is confirmed as soon as it answers. */
const atOnce: ConfirmPolicy = { minUptime_s: 0, deadline_s: 3_600, serverContact: true };

export function newAgent(now: Instant): Agent {
  return { images: null, running: null, job: null, ended: null, helloDue: true, lookAt: now, saidAt: null };
}

/** What to do at `now`. */
export function nextAction(agent: Agent, now: Instant): AgentAction {
  const { job } = agent;
  if (now >= agent.lookAt) {
    return { kind: "look" };
  }
  const wait: AgentAction = { kind: "wait", until: agent.lookAt };
  if (job === null || agent.images === null) {
    return wait;
  }
  switch (job.phase) {
    case "upload":
      if (now < job.notBefore) {
        return { kind: "wait", until: Math.min(job.notBefore, agent.lookAt) as Instant };
      }
      return job.manifest === null ? wait : { kind: "upload", manifest: job.manifest };
    case "mark":
      return { kind: "test", hash: job.target };
    case "reset":
      return { kind: "reset" };
    case "return":
      return wait;
    case "trial": {
      const ran = since(now, job.trialSince ?? now);
      if (ran >= Seconds(job.confirm.deadline_s)) {
        return { kind: "reset" }; // A4
      }
      return ran >= Seconds(job.confirm.minUptime_s) ? { kind: "confirm", hash: job.target } : wait;
    }
  }
}

/** Takes one input in, changes the agent and says what the host shall hear. */
export function stepAgent(agent: Agent, facts: BoardFacts, input: AgentInput, now: Instant): AgentEffect[] {
  const turn = new Turn(agent, facts, now);
  switch (input.kind) {
    case "command":
      turn.command(input.command, input.jitter, input.standing);
      break;
    case "images":
      turn.images(input.images);
      break;
    case "sent":
      turn.sent(input.offset);
      break;
    case "uploaded":
      turn.advance("upload", "mark", "downloaded");
      break;
    case "marked":
      turn.advance("mark", "reset", "applying"); // A2: the driver waits for it before it resets
      break;
    case "reset":
      turn.wasReset();
      break;
    case "refused":
      turn.refused(input);
      break;
    case "unreachable":
      agent.lookAt = after(now, Seconds(agent.job?.phase === "return" ? facts.return_s : facts.interval_s));
      break;
  }
  return turn.effects;
}

class Turn {
  readonly effects: AgentEffect[] = [];
  readonly #agent: Agent;
  readonly #facts: BoardFacts;
  readonly #now: Instant;

  constructor(agent: Agent, facts: BoardFacts, now: Instant) {
    this.#agent = agent;
    this.#facts = facts;
    this.#now = now;
  }

  command(command: Command, jitter: number, standing: Standing | undefined): void {
    const agent = this.#agent;
    const { job } = agent;
    switch (command.kind) {
      case "offer":
        if (job?.offer !== command.offer && agent.ended !== command.offer) {
          this.#begin({ kind: "update", offer: command.offer, target: command.imageHash, version: command.version, manifest: command, confirm: command.confirm }, Seconds(command.jitter_s * jitter), standing);
        }
        break;
      case "swap-back":
        if (job?.offer !== command.offer && agent.ended !== command.offer) {
          this.#begin({ kind: "swap-back", offer: command.offer, target: command.imageHash, version: unsaidVersion, manifest: null, confirm: atOnce }, Seconds(0), standing);
        }
        break;
      case "cancel":
        if (job !== null && job.offer === command.offer && (job.phase === "upload" || job.phase === "mark")) {
          this.#end(job, "failed", "cancelled", false);
        }
        break;
      case "confirm":
        if (job?.offer === command.offer) {
          job.confirm = command.policy;
        }
        break;
      case "renumber":
        break; // its boots are counted here, and kept
      case "identify":
        agent.helloDue = true;
        agent.lookAt = this.#now;
        break;
    }
  }

  images(images: readonly ImageState[]): void {
    const agent = this.#agent;
    const active = activeImage(images);
    const other = otherImage(images);
    const before = agent.running;
    const slot1Before = otherImage(agent.images ?? [])?.hash;
    agent.images = images;
    const seen = imageOf(active?.hash ?? unsaidHash, active === undefined ? unsaidVersion : plainVersion(active.version), active?.confirmed ?? false);
    const changed = before === null || !sameBytes(before.imageHash, seen.imageHash);
    if (changed && before !== null) {
      this.effects.push({ kind: "reboot" });
    }
    const { job } = agent;
    agent.lookAt = after(this.#now, Seconds(job !== null && (job.phase === "return" || job.phase === "trial") ? this.#facts.return_s : this.#facts.interval_s));
    if (job !== null) {
      this.#compare(job, seen, other);
    }
    // A bootloader without trials calls a new image confirmed at once; here it is on trial all the same (A3).
    const running = agent.job?.phase === "trial" ? { ...seen, confirmed: false } : seen;
    agent.running = running;
    if (changed || agent.helloDue || !sameHashOrNone(slot1Before, other?.hash) || before.confirmed !== running.confirmed) {
      this.#hello(running, other);
    } else if (this.#isDue()) {
      this.#report({ kind: "heartbeat", imageHash: running.imageHash, confirmed: running.confirmed, battery: null, linkUptime: 0, metrics: {} });
    }
    if (agent.job?.phase === "trial" && changed) {
      this.#progress(agent.job, "testing", agent.job.manifest?.size ?? 0);
    }
  }

  sent(offset: number): void {
    const { job } = this.#agent;
    if (job === null || job.phase !== "upload" || job.manifest === null) {
      return;
    }
    const eighth = Math.floor((8 * offset) / job.manifest.size);
    if (eighth > job.eighth) {
      job.eighth = eighth;
      this.#progress(job, "downloading", offset);
    }
  }

  advance(from: Phase, to: Phase, state: ProgressState): void {
    const { job } = this.#agent;
    if (job !== null && job.phase === from) {
      job.phase = to;
      job.tries = 0;
      this.#progress(job, state, job.manifest?.size ?? 0);
    }
  }

  wasReset(): void {
    const { job } = this.#agent;
    this.#agent.lookAt = after(this.#now, Seconds(this.#facts.return_s));
    if (job !== null) {
      job.phase = "return";
      job.resetAt = this.#now;
    }
  }

  refused({ what, reason, final }: { readonly what: string; readonly reason: string; readonly final: boolean }): void {
    const { job } = this.#agent;
    this.#agent.lookAt = after(this.#now, Seconds(this.#facts.return_s));
    if (job === null || job.phase === "return") {
      return;
    }
    job.tries += 1;
    if (job.phase === "trial") {
      return; // Its deadline decides.
    }
    if (final || job.tries >= triesMax) {
      this.#end(job, "failed", `${what}: ${reason}`, false);
    }
  }

  #begin(wanted: Pick<Job, "kind" | "offer" | "target" | "version" | "manifest" | "confirm">, delay: ReturnType<typeof Seconds>, standing: Standing | undefined): void {
    // What the host saw last tells of a reset that an earlier process sent; the rest is read from the board (A1).
    const applied = standing?.offer === wanted.offer && (standing.state === "applying" || standing.state === "testing");
    const phase: Phase = applied ? "return" : wanted.kind === "update" ? "upload" : "mark";
    this.#agent.job = {
      ...wanted,
      notBefore: after(this.#now, standing?.offer === wanted.offer && standing.state !== "offered" ? Seconds(0) : delay),
      phase,
      eighth: 0,
      resetAt: this.#now,
      trialSince: standing?.state === "testing" ? standing.since : null,
      tries: 0,
    };
    this.#agent.lookAt = this.#now;
    if (phase === "upload") {
      this.#progress(this.#agent.job, "accepted", 0);
    }
  }

  /** Where the job stands by what the board says of its slots. */
  #compare(job: Job, running: RunningImage, other: ImageState | undefined): void {
    if (sameBytes(running.imageHash, job.target)) {
      job.phase = "trial";
      job.trialSince ??= this.#now;
      if (running.confirmed && since(this.#now, job.trialSince) >= Seconds(job.confirm.minUptime_s)) {
        this.#agent.job = null;
        this.#agent.ended = job.offer;
      }
      return;
    }
    const waits = sameHash(other?.hash, job.target);
    switch (job.phase) {
      case "trial":
        this.#end(job, "reverted", "runs its old image again after a trial", true);
        break;
      case "return":
        if (waits && other?.pending === true) {
          if (since(this.#now, job.resetAt) >= Seconds(this.#facts.resetAgain_s)) {
            job.phase = "reset"; // it says itself that it has not happened
          }
        } else if (waits) {
          this.#end(job, "reverted", "runs its old image again; whether the new one ever ran, SMP does not tell", false);
        } else {
          this.#end(job, "refused", "the bootloader did not take the image: the other slot no longer holds it", false);
        }
        break;
      case "upload":
      case "mark":
        if (waits && other?.pending === true) {
          job.phase = "reset";
          this.#progress(job, "applying", job.manifest?.size ?? 0);
        } else if (job.kind === "swap-back" && !waits) {
          this.#end(job, "failed", "the other slot does not hold that image", false);
        } else if (!running.confirmed) {
          // A5: somebody else's trial. It confirms or reverts first.
          this.#agent.lookAt = after(this.#now, Seconds(this.#facts.return_s));
        }
        break;
      case "reset":
        break;
    }
  }

  #end(job: Job, outcome: Attempt["outcome"], reason: string, ran: boolean): void {
    this.#agent.job = null;
    this.#agent.ended = job.offer;
    this.#report({ kind: "result", attempt: { offer: job.offer, target: job.target, outcome, ran, resetCause: "unknown" }, reason: reason.replaceAll(/[^ -~]+/g, " ").slice(0, reasonMax) });
  }

  #hello(running: RunningImage, other: ImageState | undefined): void {
    this.#agent.helloDue = false;
    this.#report({
      kind: "hello",
      hardware: this.#facts.hardware,
      running,
      slot1: other?.hash === undefined || other.hash.length !== unsaidHash.length ? null : { imageHash: other.hash, version: plainVersion(other.version) },
      resetCause: "unknown",
      attempt: null,
      interval_s: this.#facts.interval_s,
      attributes: this.#facts.attributes,
      storageSchema: this.#facts.storageSchema,
    });
  }

  #progress(job: Job, state: ProgressState, offset: number): void {
    this.#report({ kind: "progress", offer: job.offer, state, offset });
  }

  #report(body: ReportBody): void {
    this.#agent.saidAt = this.#now;
    this.effects.push({ kind: "report", body });
  }

  #isDue(): boolean {
    const { saidAt } = this.#agent;
    return saidAt === null || since(this.#now, saidAt) >= Seconds(this.#facts.interval_s / 2);
  }
}

const reasonMax = 128;

/** The image of the slot that does not run. */
function otherImage(images: readonly ImageState[]): ImageState | undefined {
  return images.find((one) => one.image === 0 && !one.active);
}

/** Zephyr writes a build number behind a dot; releases, behind a plus. */
export function plainVersion(version: string): string {
  const plain = version.replace(/^(\d+\.\d+\.\d+)\.(\d+)$/, "$1+$2").replaceAll(/^[^A-Za-z0-9]+|[^A-Za-z0-9._+-]+/g, "").slice(0, 32);
  return plain === "" ? unsaidVersion : plain;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

function sameHashOrNone(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : sameBytes(a, b);
}
