// SPDX-License-Identifier: Apache-2.0
import { instant, type Instant } from "@coalmine/core";
import { imageEvidenceName, unsaidHash } from "@coalmine/orchestrator";
import { type Command, decodeReport, encodeReport, type Offer, type ReportBody } from "@coalmine/protocol";
import { expect, test } from "vitest";
import { type DdiDevice, type DdiInput, newDdiDevice, restoredDevice, shownAction, step } from "./device.ts";

const hash = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);
const target = hash(2);
const offer: Offer = {
  kind: "offer",
  offer: 7,
  release: "1.1.0",
  version: "1.1.0",
  variant: { board: "gate", revision: "1", partitionMap: "ab" },
  digest: hash(9),
  imageHash: target,
  size: 800,
  jitter_s: 100,
  confirm: { minUptime_s: 60, deadline_s: 600, serverContact: true },
};

/** A device whose facts the operator gave, and a clock in seconds. */
class Trial {
  device: DdiDevice = newDdiDevice();
  facts: Record<string, string> = { board: "gate", revision: "1", partitionMap: "ab" };
  at_s = 0;

  get now(): Instant {
    return instant(1_000_000 + this.at_s * 1_000);
  }

  /** What it leads the host to hear. */
  take(input: DdiInput, after_s = 0): ReportBody[] {
    this.at_s += after_s;
    return step(this.device, { facts: this.facts, interval_s: 60 }, input, this.now).flatMap((effect) => (effect.kind === "report" ? [effect.body] : []));
  }

  command(command: Command, jitter = 0): ReportBody[] {
    return this.take({ kind: "command", command, jitter });
  }

  config(data: Record<string, string>): ReportBody[] {
    return this.take({ kind: "config", mode: "merge", data });
  }

  feedback(execution: string, finished = "none", details: string[] = []): ReportBody[] {
    return this.take({ kind: "feedback", execution, finished, details });
  }

  /** Looked, downloaded, installed. */
  install(): void {
    this.command(offer);
    this.take({ kind: "looked" });
    this.take({ kind: "sent", offset: offer.size });
    this.feedback("proceeding");
  }
}

const kinds = (bodies: readonly ReportBody[]): string[] =>
  bodies.map((body) => (body.kind === "progress" ? body.state : body.kind === "hello" ? `hello ${body.running.version} ${body.running.confirmed ? "confirmed" : "on trial"}` : body.kind === "result" ? body.attempt.outcome : body.kind));

test("configData becomes a hello, and polls become heartbeats, no more than one for half an interval", () => {
  const trial = new Trial();
  expect(trial.device.wantsConfig).toBe(true);
  const [hello] = trial.config({ hwRevision: "3", version: "1.0.0", VIN: "JH4", connectivity: "lte" });
  expect(hello).toMatchObject({
    kind: "hello",
    hardware: { board: "gate", revision: "3", partitionMap: "ab", mode: "overwrite" },
    running: { version: "1.0.0", imageHash: unsaidHash, confirmed: true },
    attributes: { VIN: "JH4", connectivity: "lte", [imageEvidenceName]: "version" },
    interval_s: 60,
  });
  expect(trial.device.wantsConfig).toBe(false);
  expect(trial.take({ kind: "poll" }, 10)).toEqual([]);
  expect(trial.take({ kind: "poll" }, 30)).toMatchObject([{ kind: "heartbeat", imageHash: unsaidHash, battery: null }]);
});

test("an update goes through the states that other devices report, and is on trial after its success (D1)", () => {
  const trial = new Trial();
  trial.config({});
  expect(trial.command(offer)).toEqual([]);
  expect(kinds(trial.take({ kind: "looked" }))).toEqual(["accepted"]);
  expect(kinds(trial.take({ kind: "looked" }))).toEqual([]);
  expect(kinds(trial.take({ kind: "sent", offset: 50 }))).toEqual([]);
  expect(kinds(trial.take({ kind: "sent", offset: 110 }))).toEqual(["downloading"]);
  expect(kinds(trial.feedback("proceeding"))).toEqual([]);
  expect(kinds(trial.take({ kind: "sent", offset: 800 }))).toEqual(["downloaded"]);
  expect(kinds(trial.feedback("proceeding"))).toEqual(["applying"]);
  expect(kinds(trial.feedback("proceeding"))).toEqual([]);
  expect(kinds(trial.feedback("closed", "success"))).toEqual(["testing"]);
  expect(trial.device.wantsConfig).toBe(true);
  // Heard again, too early: a sign of life and no more.
  expect(kinds(trial.take({ kind: "poll" }, 40))).toEqual(["testing"]);
  expect(kinds(trial.take({ kind: "poll" }, 30))).toEqual(["hello 1.1.0 confirmed"]);
  expect(trial.take({ kind: "poll" }, 40)).toMatchObject([{ kind: "heartbeat", imageHash: target, confirmed: true }]);
});

test("a device that says its hash is on trial as soon as it runs the target, and confirmed no earlier than the plan allows", () => {
  const trial = new Trial();
  trial.config({ imageHash: hash(1).toHex(), version: "1.0.0" });
  trial.install();
  expect(kinds(trial.config({ imageHash: target.toHex().toUpperCase(), version: "1.1.0" }))).toEqual(["hello 1.1.0 on trial"]);
  expect(kinds(trial.feedback("closed", "success"))).toEqual(["testing"]);
  expect(kinds(trial.config({ imageHash: target.toHex() }))).toEqual(["hello 1.1.0 on trial"]);
  expect(kinds(trial.take({ kind: "poll" }, 61))).toEqual(["hello 1.1.0 confirmed"]);
});

test("a device that names another image after its success has reverted (D3), one that has not said anew is still on trial", () => {
  for (const said of ["imageHash", "version"] as const) {
    const trial = new Trial();
    const before = said === "version" ? { version: "1.0.0" } : { imageHash: hash(1).toHex() };
    trial.config(before);
    trial.install();
    trial.feedback("closed", "success");
    expect(kinds(trial.take({ kind: "poll" }, 120))).toEqual(["testing"]);
    expect(trial.config(before)).toMatchObject([{ kind: "result", attempt: { outcome: "reverted", offer: 7 }, reason: "said success, and runs another image" }, { kind: "hello", running: { confirmed: true } }]);
  }
});

test("success of a download that never happened is a failure (D2), unless the device names the target", () => {
  const trial = new Trial();
  trial.config({});
  trial.command(offer);
  expect(trial.feedback("closed", "success")).toMatchObject([{ kind: "result", attempt: { outcome: "failed" }, reason: "said success without having downloaded it" }]);
  const honest = new Trial();
  honest.config({ version: "1.1.0" });
  honest.command(offer);
  expect(kinds(honest.feedback("closed", "success"))).toEqual(["testing"]);
});

test("a failure carries the device's last word, cut to what a report holds and without control characters", () => {
  const trial = new Trial();
  trial.install();
  const [result] = trial.feedback("closed", "failure", ["ERROR: first", `ERROR\u0007 out of space\n${"x".repeat(500)}`]);
  expect(result).toMatchObject({ kind: "result", attempt: { outcome: "failed" } });
  expect((result as { reason: string }).reason).toMatch(/^failed: ERROR out of space x+$/);
  expect((result as { reason: string }).reason.length).toBe(128);
});

test("an action waits for the device's share of the jitter, and the same offer twice is one action (D4, I2)", () => {
  const trial = new Trial();
  trial.command(offer, 0.5);
  expect(shownAction(trial.device, trial.now)).toBe(null);
  trial.at_s += 50;
  expect(shownAction(trial.device, trial.now)).toMatchObject({ phase: "offered" });
  trial.take({ kind: "looked" });
  trial.command(offer, 0.9);
  expect(shownAction(trial.device, trial.now)).toMatchObject({ phase: "begun" });
});

test("what the device never saw needs no cancelling (D5); what it began is asked back, and it may refuse", () => {
  const unseen = new Trial();
  unseen.command(offer);
  unseen.take({ kind: "clear" });
  unseen.command({ kind: "cancel", offer: 7 });
  expect(unseen.device).toMatchObject({ action: null, cancelling: null });

  const begun = new Trial();
  begun.command(offer);
  begun.take({ kind: "looked" });
  begun.take({ kind: "clear" });
  begun.command({ kind: "cancel", offer: 7 });
  expect(begun.device.cancelling).toBe(7);
  expect(shownAction(begun.device, begun.now)).toBe(null);
  expect(kinds(begun.take({ kind: "cancel-feedback", execution: "closed", finished: "success" }))).toEqual(["failed"]);
  expect(begun.device).toMatchObject({ cancelling: null, action: { closed: true } });

  const late = new Trial();
  late.install();
  late.take({ kind: "clear" });
  late.command({ kind: "cancel", offer: 7 });
  expect(late.take({ kind: "cancel-feedback", execution: "rejected", finished: "none" })).toEqual([]);
  // It goes on where it was, and is heard.
  expect(kinds(late.feedback("closed", "success"))).toEqual(["testing"]);
});

test("an offer that is sent again after a restart goes on where the host saw it last: nothing is installed twice", () => {
  const states = { offered: "offered", downloading: "begun", downloaded: "begun", applying: "applying", testing: "claimed" } as const;
  for (const [state, phase] of Object.entries(states)) {
    const trial = new Trial();
    trial.device = restoredDevice(
      {
        running: { imageHash: unsaidHash.toHex(), version: "1.0.0", buildId: "00", confirmed: true },
        hardware: { board: "gate", revision: "1", partitionMap: "ab", mode: "overwrite", slotSize: 1_000 },
        attributes: { VIN: "x", [imageEvidenceName]: "version" },
        storageSchema: 2,
      },
      trial.facts,
    );
    expect(trial.device.config).toEqual({ VIN: "x", version: "1.0.0", mode: "overwrite", slotSize: "1000", storageSchema: "2" });
    const standing = { offer: 7, state: state as keyof typeof states, since: trial.now };
    trial.take({ kind: "command", command: offer, jitter: 0, standing });
    expect(trial.device.action?.phase).toBe(phase);
    expect(shownAction(trial.device, trial.now) !== null).toBe(state !== "testing");
  }
});

test("a swap-back, which DDI has no order for, is answered at once", () => {
  expect(new Trial().command({ kind: "swap-back", offer: 9, imageHash: target })).toMatchObject([{ kind: "result", attempt: { offer: 9, outcome: "failed", ran: false } }]);
});

test("whatever a device calls itself, the report can carry it", () => {
  for (const odd of ["", " ", "v 1", "~1", "é", "x".repeat(64), "1.2\u0000", "-1", "1.2.3+4"]) {
    const trial = new Trial();
    const [hello] = trial.config({ version: odd, board: odd, revision: odd, partitionMap: odd, mode: odd, slotSize: odd, imageHash: odd, storageSchema: odd, [imageEvidenceName]: odd });
    expect(decodeReport(encodeReport({ boot: 1, sequence: 0, uptime_s: 0, body: hello as ReportBody })).kind).toBe("ok");
  }
});

test("a device never puts more into configData than a report carries", () => {
  const trial = new Trial();
  for (let round = 0; round < 10; round += 1) {
    trial.config(Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`name${round}x${index}`, "v".repeat(64)])));
  }
  const [hello] = trial.config({ "bad name": "x", long: "y".repeat(65), ok: "z" });
  expect(Object.keys((hello as { attributes: object }).attributes).length).toBeLessThanOrEqual(16);
  expect(Object.keys(trial.device.config).length).toBeLessThan(32);
});
