// SPDX-License-Identifier: Apache-2.0
import { after, type Assignment, type Instant, Seconds, type Signal } from "@coalmine/core";
import type { Attempt, Report } from "@coalmine/protocol";
import { type DeviceRecord, noSamples, type Samples } from "./inventory.ts";
import { hex, type ReleaseArtifact } from "./entry.ts";
import { canSwapBack } from "./slots.ts";
import { noWayBack } from "./way-back.ts";

/**
 * What one report, which `device` knows of already, means for the rollout it takes part in. `artifact` is the one of the release that fits the
 * device. A late report (something newer was seen) speaks of crashes and ends only.
 */
export function signalsOf(
  device: DeviceRecord,
  member: Assignment,
  release: {
    readonly artifact: ReleaseArtifact | undefined;
    /** In a rollback: how the release that is left stands on the device. */
    readonly left?: { readonly holds: boolean; readonly returned: string | undefined } | undefined;
  },
  heard: { readonly report: Report; readonly freshness: "new" | "late"; readonly samples: Samples; readonly at: Instant },
): Signal[] {
  const { artifact, left } = release;
  const { report, freshness, at } = heard;
  const { body } = report;
  const target = artifact?.imageHash ?? "";
  const signals: Signal[] = [];
  /** A hello or a heartbeat has just told what runs. */
  const onRelease = device.running?.imageHash === target;
  /** With what is known of the other slot, and of where a member of a rollback stands. */
  const pushHeard = (confirmed: boolean, metrics: Samples): void => {
    const { interval } = device;
    const keeps = noWayBack(device) === undefined;
    signals.push(
      left === undefined
        ? { kind: "heard", interval, onRelease, confirmed, boot: report.boot, metrics, keeps }
        : { kind: "heard", interval, onRelease, confirmed, boot: report.boot, metrics, keeps, swapBack: canSwapBack(device, target), ready: left.holds },
    );
  };
  const fromAttempt = (attempt: Attempt, reason: string): void => {
    if (attempt.offer !== member.offer || member.offer === 0) {
      return;
    }
    if (attempt.outcome === "reverted" || attempt.outcome === "refused" || attempt.outcome === "failed") {
      signals.push({ kind: "ended", outcome: attempt.outcome, reason: reason === "" ? endReason(attempt) : reason });
    }
  };
  switch (body.kind) {
    case "hello":
      // Overtaken by a heartbeat of its own boot, a hello is still the first to tell how the attempt ended.
      if (freshness === "late" && report.boot !== device.boots[0]?.boot) {
        break;
      }
      if (body.attempt !== null && !onRelease) {
        fromAttempt(body.attempt, "");
      }
      if (freshness === "new") {
        pushHeard(body.running.confirmed, noSamples);
      }
      break;
    case "heartbeat":
      if (freshness === "new") {
        pushHeard(body.confirmed, heard.samples);
      }
      break;
    case "progress":
      if (freshness === "late" || body.offer !== member.offer) {
        break;
      }
      signals.push({ kind: "progress", state: body.state === "accepted" ? "downloading" : body.state });
      break;
    case "deferred":
      if (freshness === "new" && body.offer === member.offer) {
        signals.push({ kind: "deferred", reason: body.reason, until: after(at, Seconds(body.until_s)) });
      }
      break;
    case "result":
      if (body.attempt.outcome === "confirmed") {
        // The running hash proves it; a result alone is a claim (R54).
        break;
      }
      fromAttempt(body.attempt, body.reason === "" ? endReason(body.attempt) : body.reason);
      break;
    case "crash":
      signals.push({
        kind: "crash",
        onRelease: hex(body.imageHash) === target,
        signature: `${body.reason}@${body.pc.toString(16)}`,
      });
      break;
    case "log":
      break;
  }
  if (left?.returned !== undefined && freshness === "new") {
    signals.push({ kind: "returned", reason: left.returned });
  }
  return signals;
}

function endReason(attempt: Attempt): string {
  switch (attempt.outcome) {
    case "reverted":
      return attempt.ran
        ? `reverted after a ${attempt.resetCause} reset on trial`
        : "reverted without ever running: a reset between swap and first start";
    case "refused":
      return "refused by the bootloader: slot 1 was erased";
    default:
      return attempt.outcome;
  }
}
