// SPDX-License-Identifier: Apache-2.0
// An issue by the arms of the rollouts that it touches: devices on the release, and controls in the same time.
import { memberOf, type Rollout } from "@coalmine/core";
import type { ReleaseRecord } from "../membership.ts";
import type { IssueTally } from "./catalogue.ts";

export interface IssueArms {
  readonly rollout: string;
  readonly release: string;
  /** Devices with this crash on the release, of those exposed to it. */
  readonly exposed: { readonly devices: number; readonly crashes: number; readonly of: number };
  /** Controls with this crash on another image since the rollout began. */
  readonly control: { readonly devices: number; readonly crashes: number; readonly of: number };
}

/** Arms of the rollouts whose exposed devices or controls had the crash; newest rollout first. */
export function issueArms(tallies: readonly IssueTally[], rollouts: Iterable<Rollout>, releases: ReadonlyMap<string, ReleaseRecord>): IssueArms[] {
  const arms: IssueArms[] = [];
  for (const rollout of rollouts) {
    const images = new Set(releases.get(rollout.release)?.artifacts.map((artifact) => artifact.imageHash));
    const exposed = { devices: new Set<string>(), crashes: 0 };
    const control = { devices: new Set<string>(), crashes: 0 };
    for (const tally of tallies) {
      const member = memberOf(rollout, tally.device);
      if (member === undefined) {
        continue;
      }
      const onRelease = tally.imageHash !== null && images.has(tally.imageHash);
      // A control is one until its own update, and while the rollout runs: what it does on a later release is no comparison.
      const controlUntil = Math.min(member.startedAt ?? Number.POSITIVE_INFINITY, rollout.endedAt ?? Number.POSITIVE_INFINITY);
      const isControl = !onRelease && member.control !== null && tally.lastAt >= rollout.startedAt && tally.firstAt < controlUntil;
      const arm = onRelease && member.startedAt !== null ? exposed : isControl ? control : undefined;
      if (arm !== undefined) {
        arm.devices.add(tally.device);
        arm.crashes += tally.count;
      }
    }
    if (exposed.devices.size + control.devices.size > 0) {
      arms.push({
        rollout: rollout.id,
        release: rollout.release,
        exposed: { devices: exposed.devices.size, crashes: exposed.crashes, of: rollout.members.filter((member) => member.startedAt !== null).length },
        control: { devices: control.devices.size, crashes: control.crashes, of: rollout.members.filter((member) => member.control !== null).length },
      });
    }
  }
  return arms.reverse();
}
