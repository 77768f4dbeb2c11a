// SPDX-License-Identifier: Apache-2.0
// One board on a bench in virtual time: everything it says is acknowledged at once, every block it asks for is there.
import { createHash } from "node:crypto";
import { type Instant, instant } from "@coalmine/core";
import { createDevice, type Device, type DeviceDescription, type DeviceInput, type DeviceShared, step } from "@coalmine/device";
import type { Offer } from "@coalmine/protocol";
import type { BuiltArtifact, BuiltRelease } from "./release.ts";

const bench: Instant = instant(Date.UTC(2026, 0, 1));
/** Inputs that one look at a board takes at most: a board that reboots for ever is let go. */
const inputsMax = 20_000;

export class LabBoard {
  readonly device: Device;
  /** False: nothing is acknowledged while this image (hex) runs. */
  deaf: string | null = null;
  #now: Instant = bench;
  #wakeAt = Number.POSITIVE_INFINITY;
  readonly #queue: DeviceInput[] = [];
  readonly #artifacts = new Map<string, Uint8Array>();
  #offers = 0;

  constructor(description: DeviceDescription, seed: number, shared: DeviceShared) {
    this.device = createDevice(description, seed, shared);
  }

  powerOn(): this {
    this.#queue.push({ kind: "power-on", cause: "power-on" });
    return this;
  }

  /** Offers a release; throws when it has nothing for this hardware. */
  offer(release: BuiltRelease): void {
    const artifact = artifactFor(release, this.device.description.hardware.name);
    const digest = new Uint8Array(createHash("sha256").update(artifact.bytes).digest());
    this.#artifacts.set(digest.subarray(0, 8).toHex(), artifact.bytes);
    this.#offers += 1;
    const command: Offer = {
      kind: "offer",
      offer: this.#offers,
      release: release.version,
      version: release.version,
      variant: artifact.variant,
      digest,
      imageHash: Uint8Array.fromHex(artifact.imageHash),
      size: artifact.bytes.length,
      jitter_s: 0,
      confirm: { minUptime_s: 60, deadline_s: 600, serverContact: true },
    };
    this.#queue.push({ kind: "command", command });
  }

  /** Lets time pass until `done`, for `limit` milliseconds at most; true when it was done. `before` sees the board before each input. */
  run(limit: number, done: (board: LabBoard) => boolean, before: (board: LabBoard) => void = () => undefined): boolean {
    const end = this.#now + limit;
    for (let inputs = 0; inputs < inputsMax; inputs++) {
      if (done(this)) {
        return true;
      }
      const input = this.#queue.shift();
      if (input === undefined) {
        if (this.#wakeAt > end) {
          this.#now = instant(end);
          return false;
        }
        this.#now = instant(Math.max(this.#now, this.#wakeAt));
        this.#wakeAt = Number.POSITIVE_INFINITY;
      }
      before(this);
      this.#feed(input ?? { kind: "wake" });
    }
    return false;
  }

  #feed(input: DeviceInput): void {
    for (const effect of step(this.device, input, this.#now)) {
      if (effect.kind === "wake") {
        this.#wakeAt = effect.at;
      } else if (effect.kind === "report") {
        if (this.device.running?.hash !== this.deaf) {
          const { boot, sequence } = effect.report;
          this.#queue.push({ kind: "acknowledged", boot, sequence });
        }
      } else {
        const { digest, request, offset, length } = effect.request;
        const bytes = this.#artifacts.get(digest.toHex());
        const answer = bytes === undefined ? ({ kind: "refused", request, reason: "unknown" } as const) : ({ kind: "block", request, offset, data: bytes.subarray(offset, offset + length) } as const);
        this.#queue.push({ kind: "block", answer });
      }
    }
  }
}

export function artifactFor(release: BuiltRelease, hardware: string): BuiltArtifact {
  const artifact = release.artifacts.find((one) => one.hardware === hardware);
  if (artifact === undefined) {
    throw new Error(`release ${release.version} has nothing for ${hardware}`);
  }
  return artifact;
}
