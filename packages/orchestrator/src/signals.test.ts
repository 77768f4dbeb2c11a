// SPDX-License-Identifier: Apache-2.0
// How an update ends, told apart: reverted, reverted without having run, refused, running unconfirmed for ever (R18, R37).
import { after, type Instant, memberOf, Minutes, stateCounts } from "@coalmine/core";
import type { Attempt } from "@coalmine/protocol";
import { expect, test } from "vitest";
import { aConductor, hashOf, type Speaker, start } from "./testing/build.ts";

const at = (minutes: number): Instant => after(start, Minutes(minutes));

/** A rollout whose first canary has been offered 1.1.0 and is about to reboot into it. */
function applying() {
  const { conductor, speakers, rollout } = aConductor();
  const speaker = speakers.find((one) => memberOf(conductor.rollout(rollout), one.id)?.state === "offered") as Speaker;
  const { offer } = memberOf(conductor.rollout(rollout), speaker.id) as { offer: number };
  conductor.report(speaker.id, "virtual", speaker.say({ kind: "progress", offer, state: "applying", offset: 32_000 }), at(2));
  speaker.reboot();
  const attempt = (outcome: Attempt["outcome"], ran: boolean, resetCause: Attempt["resetCause"] = "software"): Attempt => ({ offer, target: hashOf("1.1.0"), outcome, ran, resetCause });
  const member = () => memberOf(conductor.rollout(rollout), speaker.id);
  const say = (minutes: number) => conductor.report(speaker.id, "virtual", speaker.hello(), at(minutes));
  return { conductor, speaker, member, attempt, say, rollout };
}

test.each([
  ["reverted", true, "watchdog", /^reverted after a watchdog reset on trial$/],
  ["reverted", false, "power-on", /^reverted without ever running/],
  ["refused", false, "software", /^refused by the bootloader: slot 1 was erased$/],
] as const)("%s (ran: %s) is its own end, with its reason, and the image is not offered to that device again", (outcome, ran, cause, reason) => {
  const { conductor, speaker, member, attempt, say, rollout } = applying();
  speaker.attempt = attempt(outcome, ran, cause);
  say(4);
  expect(member()).toMatchObject({ state: outcome, reason: expect.stringMatching(reason) as string });
  expect(conductor.state.devices.get(speaker.id)?.quarantined).toEqual(["1.1.0"]);
  // Whatever it says afterwards of its old image, the end stays.
  for (let minute = 5; minute < 60; minute += 5) {
    conductor.report(speaker.id, "virtual", speaker.heartbeat(), at(minute));
    conductor.tick(at(minute));
  }
  expect(member()?.state).toBe(outcome);
  expect(stateCounts(conductor.rollout(rollout))[outcome]).toBe(1);
});

test("an image that its bootloader does not undo is failed with that reason: not reverted, not confirmed, however long it runs", () => {
  const { conductor, speaker, member, attempt, say } = applying();
  speaker.running = "1.1.0";
  speaker.confirmed = false;
  speaker.attempt = attempt("testing", true);
  say(4);
  expect(member()?.state).toBe("testing");
  speaker.reboot();
  speaker.attempt = attempt("failed", true, "watchdog");
  say(40);
  conductor.report(speaker.id, "virtual", speaker.say({ kind: "result", attempt: speaker.attempt, reason: "runs unconfirmed: the bootloader does not revert it" }), at(40));
  expect(member()).toMatchObject({ state: "failed", reason: "runs unconfirmed: the bootloader does not revert it" });
  for (let minute = 45; minute < 600; minute += 5) {
    conductor.report(speaker.id, "virtual", speaker.heartbeat(), at(minute));
    conductor.tick(at(minute));
    expect(member()?.state).toBe("failed");
  }
  expect(conductor.state.devices.get(speaker.id)?.running).toMatchObject({ version: "1.1.0", confirmed: false });
});

test("one that never says how it ended fails at the update deadline, last seen testing", () => {
  const { conductor, speaker, member, attempt, say } = applying();
  speaker.running = "1.1.0";
  speaker.confirmed = false;
  speaker.attempt = attempt("testing", true);
  say(4);
  for (let minute = 5; minute < 600; minute += 5) {
    conductor.report(speaker.id, "virtual", speaker.heartbeat(), at(minute));
    conductor.tick(at(minute));
  }
  expect(member()).toMatchObject({ state: "failed", reason: expect.stringMatching(/^no confirmation .* after the offer, last seen testing$/) as string });
});

test("a device that is on trial and defers the offer as busy is deferred, no failure, and gets its update in the end", () => {
  const { conductor, speakers, rollout } = aConductor();
  const speaker = speakers.find((one) => memberOf(conductor.rollout(rollout), one.id)?.state === "offered") as Speaker;
  const member = () => memberOf(conductor.rollout(rollout), speaker.id) as { state: string; offer: number; reason: string };
  conductor.report(speaker.id, "virtual", speaker.say({ kind: "deferred", offer: member().offer, reason: "busy", until_s: 600 }), at(2));
  expect(member()).toMatchObject({ state: "deferred", reason: "busy" });
  conductor.report(speaker.id, "virtual", speaker.say({ kind: "progress", offer: member().offer, state: "downloading", offset: 0 }), at(12));
  expect(member().state).toBe("downloading");
  speaker.reboot();
  speaker.running = "1.1.0";
  conductor.report(speaker.id, "virtual", speaker.hello(), at(14));
  expect(member().state).toBe("confirmed");
});
