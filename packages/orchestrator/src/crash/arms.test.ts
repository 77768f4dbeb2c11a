// SPDX-License-Identifier: Apache-2.0
import type { DeviceId, Rollout } from "@coalmine/core";
import { expect, test } from "vitest";
import type { ReleaseRecord } from "../membership.ts";
import { aConductor } from "../testing/build.ts";
import { issueArms } from "./arms.ts";

/** A running rollout with one device exposed at 1,000 and one control. */
function aRollout(): { readonly rollout: Rollout; readonly releases: ReadonlyMap<string, ReleaseRecord>; readonly exposed: DeviceId; readonly control: DeviceId; readonly image: string } {
  const { conductor } = aConductor({ devices: 20 });
  const [rollout] = conductor.state.rollouts.values();
  const canary = rollout?.members.find((member) => member.stage === 0);
  const control = rollout?.members.find((member) => member.control !== null);
  if (rollout === undefined || canary === undefined || control === undefined) {
    throw new Error("no canary or no control");
  }
  canary.startedAt = rollout.startedAt;
  return { rollout, releases: conductor.state.releases, exposed: canary.device, control: control.device, image: conductor.state.releases.get(rollout.release)?.artifacts[0]?.imageHash ?? "" };
}

test("an issue's arms are exposed devices on the release, and controls on other images while they are controls (R22)", () => {
  const { rollout, releases, exposed, control, image } = aRollout();
  const { startedAt } = rollout;
  const tally = (device: DeviceId, imageHash: string | null, at: number) => ({ device, buildId: "b", imageHash, count: 2, firstAt: at, lastAt: at });
  const arms = (...tallies: ReturnType<typeof tally>[]) => issueArms(tallies, [rollout], releases);
  expect(arms(tally(exposed, image, startedAt + 5), tally(control, "old", startedAt + 5))).toMatchObject([
    { rollout: "r1", exposed: { devices: 1, crashes: 2, of: 1 }, control: { devices: 1, crashes: 2 } },
  ]);
  // Before the rollout, on an unknown image of an exposed device, and after the rollout's end.
  expect(arms(tally(control, "old", startedAt - 5), tally(exposed, null, startedAt + 5))).toEqual([]);
  rollout.endedAt = (startedAt + 10) as typeof startedAt;
  expect(arms(tally(control, "later", startedAt + 20))).toEqual([]);
});
