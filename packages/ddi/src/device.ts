// SPDX-License-Identifier: Apache-2.0
// One DDI client as a machine: what it asks and says becomes the reports that devices of other doors make themselves.
//
// D1. "closed, success" is applied, never healthy: the device is on trial until it is heard again, at least the plan's
//     minimum uptime later, running the target as far as it says what it runs (R54).
// D2. Success of a download that never happened is a failure, unless the device names the target as running.
// D3. A device that names another image after its success has reverted.
// D4. An action is shown until it is closed, and only one at a time; the same offer twice is one action (I2).
// D5. What the device never saw needs no cancelling.
import { after, type Instant, Seconds, since } from "@coalmine/core";
import { type DeviceRecord, imageEvidenceName, imageOf, type Standing, unsaidHash, unsaidVersion } from "@coalmine/orchestrator";
import type { Command, Offer, ReportBody, RunningImage } from "@coalmine/protocol";
import { applyConfig, type ConfigData, type ConfigMode, identityOf, imageEvidenceOf, sameVersion } from "./identity.ts";

/** offered: it has not looked. begun: it has. applying: it has all bytes. claimed: it said success. ended: nothing more is expected. */
export type Phase = "offered" | "begun" | "applying" | "claimed" | "ended";

export interface Action {
  offer: Offer;
  readonly visibleAt: Instant;
  phase: Phase;
  /** Bytes of the artifact that were sent, from its beginning; its size once all were. */
  reached: number;
  /** The eighth of the artifact that was reported last. */
  eighth: number;
  /** When it said success, and when it was last heard to say what it runs. */
  claimedAt: Instant | null;
  /** A closing feedback came: any further one is late. */
  closed: boolean;
  /** Shown to the device. False once the host took it back. */
  listed: boolean;
}

/** Plain data. */
export interface DdiDevice {
  /** What it said in configData. */
  config: ConfigData;
  /** When configData came last. */
  configAt: Instant | null;
  /** The image that it is taken to run: known from its own words, or from an update that was seen to last. */
  image: RunningImage | null;
  action: Action | null;
  /** Offer that the device is asked to give up. */
  cancelling: number | null;
  /** An offer that was taken back before the device looked. */
  unseen: number | null;
  wantsConfig: boolean;
  saidAt: Instant | null;
}

/** What one device is like, apart from what it said. */
export interface DdiSetting {
  /** What the operator says of it. */
  readonly facts: ConfigData;
  /** Expected time between two polls in seconds of the orchestrator's clock. */
  readonly interval_s: number;
}

export type DdiInput =
  /** `jitter`: the device's own share of the plan's jitter, 0 to 1. `standing`: what the host knows of an offer that is sent again. */
  | { readonly kind: "command"; readonly command: Command; readonly jitter: number; readonly standing?: Standing | undefined }
  | { readonly kind: "clear" }
  | { readonly kind: "poll" }
  | { readonly kind: "config"; readonly mode: ConfigMode; readonly data: Readonly<Record<string, string>> }
  | { readonly kind: "looked" }
  /** All bytes of the artifact up to `offset` were sent. */
  | { readonly kind: "sent"; readonly offset: number }
  | { readonly kind: "feedback"; readonly execution: string; readonly finished: string; readonly details: readonly string[] }
  | { readonly kind: "cancel-feedback"; readonly execution: string; readonly finished: string };

export type DdiEffect = { readonly kind: "report"; readonly body: ReportBody } | { readonly kind: "reboot" };

export function newDdiDevice(): DdiDevice {
  return { config: {}, configAt: null, image: null, action: null, cancelling: null, unseen: null, wantsConfig: true, saidAt: null };
}

/**
 * What of it outlives a restart: the host's record, which was made of this device's own reports. What the operator says
 * of it may have changed meanwhile.
 */
export function restoredDevice(known: Pick<DeviceRecord, "running" | "attributes" | "hardware" | "storageSchema">, facts: ConfigData): DdiDevice {
  const device = newDdiDevice();
  const { running, attributes, hardware } = known;
  const evidence = attributes[imageEvidenceName];
  const config: Record<string, string> = {
    ...attributes,
    ...(hardware === null
      ? {}
      : { board: hardware.board, revision: hardware.revision, partitionMap: hardware.partitionMap, mode: hardware.mode, slotSize: String(hardware.slotSize) }),
    ...(known.storageSchema === 0 ? {} : { storageSchema: String(known.storageSchema) }),
    ...(running !== null && evidence === "hash" ? { imageHash: running.imageHash } : {}),
    ...(running !== null && (evidence === "hash" || evidence === "version") && running.version !== unsaidVersion ? { version: running.version } : {}),
  };
  device.config = Object.fromEntries(Object.entries(config).filter(([name]) => name !== imageEvidenceName && facts[name] === undefined));
  device.image = running === null ? null : imageOf(Uint8Array.fromHex(running.imageHash), running.version, running.confirmed);
  // What it runs now is asked anew.
  device.wantsConfig = true;
  return device;
}

/** Takes one input in, changes the device and says what follows. Time comes from the caller. */
export function step(device: DdiDevice, setting: DdiSetting, input: DdiInput, now: Instant): DdiEffect[] {
  const effects: DdiEffect[] = [];
  const machine = new Step(device, setting, now, effects);
  switch (input.kind) {
    case "command":
      machine.command(input.command, input.jitter, input.standing);
      break;
    case "clear":
      machine.clear();
      break;
    case "poll":
      machine.poll();
      break;
    case "config":
      machine.config(input.mode, input.data);
      break;
    case "looked":
      machine.looked();
      break;
    case "sent":
      machine.sent(input.offset);
      break;
    case "feedback":
      machine.feedback(input.execution, input.finished, input.details);
      break;
    case "cancel-feedback":
      machine.cancelFeedback(input.execution, input.finished);
      break;
  }
  return effects;
}

/** The action that a poll shows; null when there is none, or not yet. */
export function shownAction(device: DdiDevice, now: Instant): Action | null {
  const { action } = device;
  return action !== null && action.listed && !action.closed && device.cancelling === null && now >= action.visibleAt ? action : null;
}

/** Whether the device runs the target, as far as it says what it runs. */
type Says = "yes" | "no" | "unsaid";

class Step {
  readonly #device: DdiDevice;
  readonly #setting: DdiSetting;
  readonly #now: Instant;
  readonly #effects: DdiEffect[];

  constructor(device: DdiDevice, setting: DdiSetting, now: Instant, effects: DdiEffect[]) {
    this.#device = device;
    this.#setting = setting;
    this.#now = now;
    this.#effects = effects;
  }

  command(command: Command, jitter: number, standing: Standing | undefined): void {
    const device = this.#device;
    switch (command.kind) {
      case "offer":
        if (device.action?.offer.offer === command.offer && device.action.phase !== "ended") {
          device.action.offer = command;
          device.action.listed = true;
        } else {
          device.action = this.#actionOf(command, jitter, standing?.offer === command.offer ? standing : undefined);
          device.cancelling = null;
        }
        break;
      case "cancel":
        if (device.action?.offer.offer === command.offer) {
          const { phase } = device.action;
          device.action.listed = false;
          if (phase === "offered") {
            device.action = null; // D5
          } else if (phase === "begun" || phase === "applying") {
            device.cancelling = command.offer;
          }
        } else if (device.unseen !== command.offer) {
          device.cancelling = command.offer;
        }
        break;
      case "confirm":
        if (device.action?.offer.offer === command.offer) {
          device.action.offer = { ...device.action.offer, confirm: command.policy };
        }
        break;
      case "renumber":
        break; // its boots are counted here, and kept
      case "identify":
        device.wantsConfig = true;
        break;
      case "swap-back":
        this.#report({
          kind: "result",
          attempt: { offer: command.offer, target: command.imageHash, outcome: "failed", ran: false, resetCause: "unknown" },
          reason: "a DDI client has no order to go back to its other slot",
        });
        break;
    }
  }

  clear(): void {
    const { action } = this.#device;
    if (action === null) {
      return;
    }
    action.listed = false;
    if (action.phase === "offered") {
      this.#device.unseen = action.offer.offer;
      this.#device.action = null;
    }
  }

  poll(): void {
    const { action } = this.#device;
    if (action !== null && action.phase === "claimed" && action.claimedAt !== null) {
      const says = this.#says(action.offer);
      const ran = since(this.#now, action.claimedAt) >= Seconds(action.offer.confirm.minUptime_s);
      if (says !== "no" && ran) {
        this.#confirmed(action);
      } else if (this.#isDue()) {
        this.#progress(action, "testing"); // heard, and no more than that (D1)
      }
      return;
    }
    if (!this.#isDue()) {
      return;
    }
    const { image } = this.#device;
    if (image === null) {
      if (this.#device.configAt !== null || Object.keys(this.#setting.facts).length > 0) {
        this.#hello();
      }
      return;
    }
    // Nobody knows its link or its battery: abilitiesOf keeps the one out of the evidence, null says the other.
    this.#report({ kind: "heartbeat", imageHash: image.imageHash, confirmed: image.confirmed, battery: null, linkUptime: 0, metrics: {} });
  }

  config(mode: ConfigMode, data: Readonly<Record<string, string>>): void {
    const device = this.#device;
    device.config = applyConfig(device.config, mode, data).data;
    device.configAt = this.#now;
    device.wantsConfig = false;
    const { action } = device;
    if (action === null || action.phase === "ended" || action.phase === "offered") {
      this.#hello();
      return;
    }
    const says = this.#says(action.offer);
    if (action.phase === "claimed" && says === "no") {
      this.#end(action, "reverted", "said success, and runs another image"); // D3
      this.#hello();
    } else if (says === "yes") {
      const proven = action.claimedAt !== null && since(this.#now, action.claimedAt) >= Seconds(action.offer.confirm.minUptime_s);
      if (proven) {
        this.#confirmed(action);
      } else {
        action.reached = action.offer.size;
        this.#reboot();
        this.#hello(imageOf(action.offer.imageHash, action.offer.version, false));
      }
    } else if (action.phase !== "claimed") {
      this.#hello();
    }
  }

  looked(): void {
    const { action } = this.#device;
    if (action?.phase === "offered") {
      action.phase = "begun";
      this.#progress(action, "accepted");
    }
  }

  sent(offset: number): void {
    const { action } = this.#device;
    if (action === null || (action.phase !== "begun" && action.phase !== "offered") || offset <= action.reached) {
      return;
    }
    action.phase = "begun";
    action.reached = offset;
    const { size } = action.offer;
    const eighth = Math.floor((8 * offset) / size);
    if (offset === size) {
      this.#progress(action, "downloaded");
    } else if (eighth > action.eighth) {
      this.#progress(action, "downloading");
    }
    action.eighth = Math.max(action.eighth, eighth);
  }

  feedback(execution: string, finished: string, details: readonly string[]): void {
    const { action } = this.#device;
    if (action === null) {
      return;
    }
    if (execution === "closed" || execution === "canceled") {
      action.closed = true;
      this.#device.cancelling = this.#device.cancelling === action.offer.offer ? null : this.#device.cancelling;
      if (execution === "closed" && finished === "success") {
        this.#claimed(action);
      } else {
        this.#end(action, "failed", wordsOf(execution === "canceled" ? "cancelled by the device" : "failed", details));
      }
    } else if (execution === "rejected") {
      this.#report({ kind: "deferred", offer: action.offer.offer, reason: "operator", until_s: 10 * this.#setting.interval_s });
    } else if (action.reached >= action.offer.size && execution !== "scheduled" && execution !== "download" && execution !== "downloaded") {
      if (action.phase !== "applying") {
        action.phase = "applying";
        this.#progress(action, "applying");
      }
    } else if (action.phase === "offered") {
      this.looked();
    }
  }

  cancelFeedback(execution: string, finished: string): void {
    const device = this.#device;
    const offer = device.cancelling;
    device.cancelling = null;
    const { action } = device;
    if (action === null || action.offer.offer !== offer) {
      return;
    }
    if (execution === "rejected" || finished === "failure") {
      return; // Past the point of return: it goes on, and says how it ends.
    }
    action.closed = true;
    this.#end(action, "failed", "cancelled");
  }

  #claimed(action: Action): void {
    const says = this.#says(action.offer);
    if (says !== "yes" && action.reached < action.offer.size) {
      this.#end(action, "failed", "said success without having downloaded it"); // D2
      return;
    }
    action.phase = "claimed";
    action.claimedAt = this.#now;
    // What it says it runs is from before: it is asked again.
    this.#device.wantsConfig = true;
    this.#progress(action, "testing");
  }

  /** It was heard long enough after its success, and runs the target as far as it says. */
  #confirmed(action: Action): void {
    action.phase = "ended";
    const image = imageOf(action.offer.imageHash, action.offer.version, true);
    if (this.#device.image === null || !sameImage(this.#device.image, image)) {
      this.#reboot();
    }
    this.#hello(image);
  }

  #end(action: Action, outcome: "failed" | "reverted", reason: string): void {
    action.phase = "ended";
    action.closed = true;
    this.#report({ kind: "result", attempt: { offer: action.offer.offer, target: action.offer.imageHash, outcome, ran: true, resetCause: "unknown" }, reason });
  }

  #says(target: Offer): Says {
    const { imageHash, version } = identityOf(this.#device.config, this.#setting.facts);
    if (imageHash !== undefined) {
      return imageHash === target.imageHash.toHex() ? "yes" : "no";
    }
    return version === undefined ? "unsaid" : sameVersion(version, target.version) ? "yes" : "no";
  }

  /** Says who it is, running what it says it runs; `image` when the update tells. */
  #hello(image?: RunningImage): void {
    const identity = identityOf(this.#device.config, this.#setting.facts);
    const running = image ?? this.#running(identity.imageHash, identity.version);
    this.#device.image = running;
    this.#report({
      kind: "hello",
      hardware: identity.hardware,
      running,
      slot1: null,
      resetCause: "unknown",
      attempt: null,
      interval_s: this.#setting.interval_s,
      attributes: { ...identity.attributes, [imageEvidenceName]: imageEvidenceOf(identity) },
      storageSchema: identity.storageSchema,
    });
  }

  #running(imageHash: string | undefined, version: string | undefined): RunningImage {
    const known = this.#device.image;
    if (imageHash !== undefined) {
      const bytes = Uint8Array.fromHex(imageHash);
      return imageOf(bytes, version ?? (known !== null && sameBytes(known.imageHash, bytes) ? known.version : unsaidVersion), true);
    }
    if (version !== undefined) {
      return known !== null && sameVersion(known.version, version) ? { ...known, confirmed: true } : imageOf(unsaidHash, version, true);
    }
    return known ?? imageOf(unsaidHash, unsaidVersion, true);
  }

  #actionOf(offer: Offer, jitter: number, standing: Standing | undefined): Action {
    const action: Action = {
      offer,
      visibleAt: after(this.#now, Seconds(offer.jitter_s * jitter)),
      phase: "offered",
      reached: 0,
      eighth: 0,
      claimedAt: null,
      closed: false,
      listed: true,
    };
    switch (standing?.state) {
      case "downloading":
        action.phase = "begun";
        break;
      case "downloaded":
        action.phase = "begun";
        action.reached = offer.size;
        break;
      case "applying":
        action.phase = "applying";
        action.reached = offer.size;
        break;
      case "testing":
        action.phase = "claimed";
        action.reached = offer.size;
        action.claimedAt = standing.since;
        action.closed = true;
        break;
      default:
        return action;
    }
    return { ...action, visibleAt: this.#now };
  }

  #reboot(): void {
    this.#effects.push({ kind: "reboot" });
  }

  #progress(action: Action, state: "accepted" | "downloading" | "downloaded" | "applying" | "testing"): void {
    this.#report({ kind: "progress", offer: action.offer.offer, state, offset: action.reached });
  }

  #report(body: ReportBody): void {
    this.#device.saidAt = this.#now;
    this.#effects.push({ kind: "report", body });
  }

  /** Clients ask several times in a row; a report every half interval is enough. */
  #isDue(): boolean {
    const { saidAt } = this.#device;
    return saidAt === null || since(this.#now, saidAt) >= Seconds(this.#setting.interval_s / 2);
  }
}

function sameImage(a: RunningImage, b: RunningImage): boolean {
  return sameBytes(a.imageHash, b.imageHash);
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

const reasonMax = 128;

/** The device's last word, as far as a report can carry it. */
function wordsOf(what: string, details: readonly string[]): string {
  const said = details.at(-1)?.replaceAll(/[^!-~]+/g, " ").trim() ?? "";
  return (said === "" ? what : `${what}: ${said}`).slice(0, reasonMax);
}
