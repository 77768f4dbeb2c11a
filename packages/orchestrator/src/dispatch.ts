// SPDX-License-Identifier: Apache-2.0
import { type Assignment, type DeviceId, type Plan, type Rollout, underway } from "@coalmine/core";
import type { Command, ConfirmPolicy, Offer, SwapBack } from "@coalmine/protocol";
import { type ReleaseArtifact, unhex } from "./entry.ts";
import type { ReleaseRecord } from "./membership.ts";

/** What the driver does after the decisions behind it are durable. */
export type Effect =
  | { readonly kind: "send"; readonly device: DeviceId; readonly command: Command }
  /** Takes back a kept (retained) offer. */
  | { readonly kind: "clear"; readonly device: DeviceId };

function confirmPolicy(plan: Plan): ConfirmPolicy {
  return {
    minUptime_s: Math.round(plan.confirm.minUptime / 1_000),
    deadline_s: Math.round(plan.confirm.deadline / 1_000),
    serverContact: plan.confirm.serverContact,
  };
}

/** The manifest for one member, or the order to go back to the image in its other slot. */
export function offerCommand(rollout: Rollout, release: ReleaseRecord, artifact: ReleaseArtifact, member: Assignment): Offer | SwapBack {
  if (member.way === "swap-back") {
    return { kind: "swap-back", offer: member.offer, imageHash: unhex(artifact.imageHash) };
  }
  return {
    kind: "offer",
    offer: member.offer,
    release: release.id,
    version: artifact.version,
    variant: artifact.variant,
    digest: unhex(artifact.digest),
    imageHash: unhex(artifact.imageHash),
    size: artifact.size,
    jitter_s: Math.round(rollout.plan.offers.jitter / 1_000),
    confirm: confirmPolicy(rollout.plan),
  };
}

/** True while a device may still be served the artifact of its offer. */
export function mayDownload(member: Assignment): boolean {
  return member.offer !== 0 && member.way === "download" && (underway.has(member.state) || member.state === "deferred");
}

export function cancel(device: DeviceId, offer: number): Effect[] {
  return [
    { kind: "clear", device },
    { kind: "send", device, command: { kind: "cancel", offer } },
  ];
}

/** Takes back the offer of a member; one that is past its reboot only loses the copy that the broker keeps. */
export function takenBack(member: Assignment): Effect[] {
  return member.startedAt === null ? cancel(member.device, member.offer) : [{ kind: "clear", device: member.device }];
}
