// SPDX-License-Identifier: Apache-2.0
import { after, type Instant, type Judge, memberOf, Minutes, type Rollout, stateCounts } from "@coalmine/core";
import { describe, expect, test } from "vitest";
import { Conductor, type Outcome } from "./conductor.ts";
import { readRecord } from "./entry.ts";
import { planJudge } from "./gates.ts";
import { boundJudge } from "./judge.ts";
import { startRollback, startRollout } from "./operations.ts";
import { planFromData } from "./plan-file.ts";
import type { LogEntry } from "./ports.ts";
import { planRollback } from "./rollback.ts";
import { readSnapshot, writeSnapshot } from "./snapshot.ts";
import { summarise } from "./summary.ts";
import { aRelease, hashOf, operator, Speaker, start } from "./testing/build.ts";

const at = (minutes: number): Instant => after(start, Minutes(minutes));

interface Order {
  readonly device: string;
  readonly kind: string;
  readonly offer: number;
}

/** A fleet in which 1.2.0 has reached everybody; what a test sets of its speakers is what it is about. */
class Fleet {
  readonly conductor: Conductor;
  readonly speakers: readonly Speaker[];
  readonly entries: LogEntry[] = [];
  readonly sent: Order[] = [];
  now = 0;

  constructor(devices: number, options: { readonly judge?: Judge; readonly plan?: Record<string, unknown>; readonly equip?: (speaker: Speaker, index: number) => void } = {}) {
    this.conductor = new Conductor(options.judge ?? boundJudge);
    this.speakers = Array.from({ length: devices }, (_, index) => {
      const speaker = new Speaker(`d${String(index).padStart(2, "0")}`);
      speaker.running = "1.1.0";
      options.equip?.(speaker, index);
      return speaker;
    });
    for (const speaker of this.speakers) {
      this.hear(speaker, speaker.hello());
    }
    this.keep(this.conductor.change(aRelease("1.1.0"), start));
    this.keep(this.conductor.change(aRelease("1.2.0"), start));
    const plan = planFromData({
      stages: ["100%"],
      strata: ["hardware"],
      gates: { "boot-confirmation": { min: 0.5 } },
      offers: { perMinute: 6_000, jitter: "0s" },
      soak: { min: "1h", max: "24h", dutyCycles: 1 },
      ...options.plan,
    });
    this.keep(startRollout(this.conductor, { release: "1.2.0", plan, seed: 7, authority: operator }, start).outcome);
  }

  get left(): Rollout {
    return this.conductor.rollout("r1" as never);
  }

  get back(): Rollout {
    return this.conductor.rollout("r2" as never);
  }

  keep(outcome: Outcome): Outcome {
    this.entries.push(...outcome.entries);
    for (const effect of outcome.effects) {
      if (effect.kind === "send" && "offer" in effect.command) {
        this.sent.push({ device: effect.device, kind: effect.command.kind, offer: effect.command.offer });
      }
    }
    return outcome;
  }

  hear(speaker: Speaker, report: ReturnType<Speaker["say"]>): Outcome {
    return this.keep(this.conductor.report(speaker.id, "virtual", report, at(this.now)));
  }

  /** The device has taken the release, and its old image lies in slot 1. */
  take(speaker: Speaker, release = "1.2.0"): void {
    speaker.reboot();
    [speaker.slot1, speaker.running] = [speaker.running, release];
    this.hear(speaker, speaker.hello());
  }

  /** Everybody who was offered something does it; `orders` are those since the last time. */
  follow(outcome: (speaker: Speaker, order: Order) => "takes" | "nothing" = () => "takes"): readonly Order[] {
    const orders = this.sent.splice(0).filter((order) => order.kind !== "cancel" && order.kind !== "identify");
    for (const order of orders) {
      const speaker = this.speakers.find((one) => one.id === order.device) as Speaker;
      if (outcome(speaker, order) === "takes") {
        this.take(speaker, order.kind === "swap-back" ? (speaker.slot1 ?? "") : "1.1.0");
      }
    }
    return orders;
  }

  pass(minutes: number): void {
    for (let passed = 0; passed < minutes; passed += 5) {
      this.now += 5;
      for (const speaker of this.speakers) {
        this.hear(speaker, speaker.heartbeat());
      }
      this.keep(this.conductor.tick(at(this.now)));
    }
  }

  rollBack(input: Partial<Parameters<typeof startRollback>[1]> = {}): ReturnType<typeof startRollback> {
    const begun = startRollback(this.conductor, { rollout: "r1", authority: operator, ...input }, at(this.now));
    this.keep(begun.outcome);
    return begun;
  }

  static reached(devices: number, options: ConstructorParameters<typeof Fleet>[1] = {}): Fleet {
    const fleet = new Fleet(devices, options);
    fleet.now = 5;
    for (const speaker of fleet.speakers) {
      fleet.take(speaker);
    }
    fleet.sent.length = 0;
    fleet.pass(10);
    return fleet;
  }
}

const plain = (conductor: Conductor): unknown => JSON.parse(new TextDecoder().decode(writeSnapshot(conductor.state)));

describe("what a rollback would do is told before it starts", () => {
  test("each device is in one class, and the classes sum to the devices that were reached", () => {
    const fleet = Fleet.reached(8, {
      equip: (speaker, index) => {
        speaker.downgrade = index === 2 ? "version" : index === 3 ? undefined : "none";
        speaker.mode = index === 1 ? "overwrite" : index === 5 ? "direct-xip" : "swap-move";
      },
    });
    const [, , , , quiet, , , returned] = fleet.speakers as [Speaker, Speaker, Speaker, Speaker, Speaker, Speaker, Speaker, Speaker];
    returned.reboot();
    returned.running = "1.1.0";
    returned.attempt = { offer: memberOf(fleet.left, returned.id)?.offer as number, target: hashOf("1.2.0"), outcome: "reverted", ran: true, resetCause: "watchdog" };
    fleet.hear(returned, returned.hello());
    fleet.now += 60;
    for (const speaker of fleet.speakers.filter((one) => one !== quiet)) {
      fleet.hear(speaker, speaker.heartbeat());
    }
    const planned = planRollback(fleet.conductor.state, { rollout: "r1" }, at(fleet.now));
    expect(planned.to).toBe("1.1.0");
    expect(planned.counts).toEqual({ "swap-back": 3, download: 1, undecided: 0, unreachable: 1, refused: 2, schema: 0, unfit: 0, elsewhere: 0, back: 1 });
    expect(planned.mayBeRefused).toBe(1);
    const of = (index: number) => planned.devices.find((one) => one.device === fleet.speakers[index]?.id);
    expect(of(2)).toMatchObject({ class: "refused", reason: "its bootloader prevents downgrades: 1.1.0 is older than 1.2.0" });
    expect(of(3)).toMatchObject({ class: "swap-back", mayBeRefused: true, reason: expect.stringContaining("has not said whether its bootloader prevents downgrades") });
    expect(of(5)).toMatchObject({ class: "refused", reason: expect.stringContaining("direct-xip runs the newest version") });
    expect(planned.offer).toMatch(/2 devices would refuse 1\.1\.0.*coalmine artifact reversion FILE --version 1\.2\.1/);
    expect(planned.membership.members).toHaveLength(5);
  });

  test("R34: a release that cannot read what a device stores is no way back for it", () => {
    const fleet = Fleet.reached(2, { equip: (speaker, index) => (speaker.storageSchema = index === 0 ? 2 : 1) });
    fleet.keep(fleet.conductor.change({ ...aRelease("1.0.9"), storage: { minRead: 0, maxRead: 1, writes: 1 } }, at(20)));
    const planned = planRollback(fleet.conductor.state, { rollout: "r1", to: "1.0.9" }, at(20));
    expect(planned.devices.find((one) => one.device === fleet.speakers[0]?.id)).toMatchObject({ class: "schema", reason: "it holds storage schema 2, and release 1.0.9 reads 0 to 1" });
    expect(planned.counts).toMatchObject({ schema: 1, download: 1 });
  });

  test("the worst hit go back first, and every kind of hardware is in the first stage", () => {
    const fleet = Fleet.reached(30, { equip: (speaker, index) => (speaker.revision = index >= 28 ? "revB" : "revA") });
    const hit = fleet.speakers[11] as Speaker;
    fleet.hear(hit, hit.say({ kind: "crash", buildId: hashOf("1.2.0").subarray(0, 20), imageHash: hashOf("1.2.0"), reason: "bus fault", pc: 1, lr: 2, uptime_s: 60 }));
    const planned = planRollback(fleet.conductor.state, { rollout: "r1" }, at(fleet.now));
    expect(planned.devices[0]).toMatchObject({ device: hit.id, hit: "crashed", crashes: 1 });
    const canary = planned.membership.members.filter((member) => member.stage === 0);
    expect(canary[0]?.device).toBe(hit.id);
    expect(new Set(canary.map((member) => member.hardware))).toEqual(new Set(["revA", "revB"]));
  });

  test("there is nothing to plan without a rollout, a release to go back to, or a device to bring back", () => {
    const fleet = Fleet.reached(3);
    const plan = (input: { rollout: string; to?: string }) => () => planRollback(fleet.conductor.state, input, at(20));
    expect(plan({ rollout: "r9" })).toThrow(/no rollout r9; known: r1/);
    expect(plan({ rollout: "r1", to: "1.2.0" })).toThrow(/of release 1\.2\.0 itself/);
    expect(plan({ rollout: "r1", to: "9.9.9" })).toThrow(/no release 9\.9\.9; known: 1\.1\.0, 1\.2\.0/);
    for (const speaker of fleet.speakers) {
      speaker.downgrade = "version";
      fleet.hear(speaker, speaker.hello());
    }
    expect(plan({ rollout: "r1" })).toThrow(/no device can be brought back from 1\.2\.0 to 1\.1\.0: 3 refused/);
  });
});

describe("a rollback", () => {
  test("R3, R36: its start ends the rollout it leaves, bars the release and takes the devices over, in one entry", () => {
    const fleet = Fleet.reached(10);
    const begun = fleet.rollBack();
    expect(begun.outcome.entries.map((entry) => entry.type)).toEqual(["rollout-started", "stage-opened", ...Array.from({ length: 5 }, () => "offered")]);
    expect(summarise(fleet.left)).toMatchObject({ status: "aborted", outcome: "halted", verdict: "fail", rolledBackBy: ["r2"], states: { quarantined: 10 } });
    expect(summarise(fleet.back)).toMatchObject({ release: "1.1.0", status: "running", rollback: { of: "r1", from: "1.2.0", emergency: false, predicted: { "swap-back": 10 } } });
    expect(fleet.conductor.state.releases.get("1.2.0" as never)?.barred).toBe("rolled back by rollout r2: test");
    expect(() => startRollout(fleet.conductor, { release: "1.2.0", plan: fleet.left.plan, seed: 1, authority: operator }, at(20))).toThrow(/1\.2\.0 is barred/);
    expect(() => fleet.conductor.order("r1" as never, { kind: "resume", authority: operator }, at(20))).toThrow(/r1 is aborted/);
  });

  test("R34, R36: slot 1 is swapped back to where it holds the image, and the running hash proves it; elsewhere it is a download", () => {
    const fleet = Fleet.reached(10, { equip: (speaker, index) => (speaker.mode = index % 2 === 0 ? "swap-scratch" : "swap-offset") });
    fleet.rollBack();
    const orders: Order[] = [];
    for (let round = 0; round < 30 && fleet.back.status === "running"; round += 1) {
      orders.push(...fleet.follow());
      fleet.pass(5);
    }
    expect(summarise(fleet.back)).toMatchObject({ outcome: "complete", verdict: "pass", states: { healthy: 10 } });
    expect(summarise(fleet.left)).toMatchObject({ outcome: "rolled_back", states: { rolled_back: 10 } });
    expect(memberOf(fleet.left, fleet.speakers[0]?.id as never)?.reason).toBe("brought back by r2");
    for (const [index, speaker] of fleet.speakers.entries()) {
      expect(orders.filter((order) => order.device === speaker.id).map((order) => order.kind)).toEqual([index % 2 === 0 ? "swap-back" : "offer"]);
    }
    expect(fleet.conductor.state.active.size).toBe(0);
  });

  test("a swap-back that cannot begin becomes a download, under a number of its own (I2)", () => {
    const fleet = Fleet.reached(3);
    fleet.rollBack();
    const [first] = fleet.follow(() => "nothing");
    const speaker = fleet.speakers.find((one) => one.id === first?.device) as Speaker;
    const attempt = { offer: first?.offer as number, target: hashOf("1.1.0"), outcome: "failed", ran: false, resetCause: "software" } as const;
    fleet.hear(speaker, speaker.say({ kind: "result", attempt, reason: "the other slot does not hold that image" }));
    fleet.pass(5);
    const again = fleet.sent.find((order) => order.device === speaker.id && order.kind === "offer");
    expect(again?.offer).toBeGreaterThan(first?.offer as number);
    expect(memberOf(fleet.back, speaker.id)).toMatchObject({ state: "offered", way: "download", swapBackFailed: true });
    const numbers = fleet.entries.filter((entry) => entry.type === "offered").map((entry) => (readRecord(entry) as unknown as { offer: number }).offer);
    expect(new Set(numbers).size).toBe(numbers.length);
    fleet.take(speaker, "1.1.0");
    expect(memberOf(fleet.back, speaker.id)?.state).toBe("confirmed");
  });

  test("R37: a bootloader that refuses the earlier image is refused, neither success nor revert", () => {
    const fleet = Fleet.reached(6, { judge: planJudge });
    fleet.rollBack();
    const [first] = fleet.follow(() => "nothing");
    const speaker = fleet.speakers.find((one) => one.id === first?.device) as Speaker;
    speaker.reboot();
    speaker.slot1 = null;
    speaker.attempt = { offer: first?.offer as number, target: hashOf("1.1.0"), outcome: "refused", ran: false, resetCause: "software" };
    fleet.hear(speaker, speaker.hello());
    expect(memberOf(fleet.back, speaker.id)?.state).toBe("refused");
    expect(memberOf(fleet.left, speaker.id)?.state).toBe("quarantined");
    expect(fleet.conductor.state.devices.get(speaker.id)).toMatchObject({ slot1: null, quarantined: ["1.1.0"] });
  });

  test("a device on trial is left alone until it confirms or reverts; one that reverts is reverted, not rolled back", () => {
    const fleet = new Fleet(2);
    const [stays, goes] = fleet.speakers as [Speaker, Speaker];
    fleet.now = 5;
    for (const speaker of fleet.speakers) {
      speaker.confirmed = false;
      speaker.attempt = { offer: memberOf(fleet.left, speaker.id)?.offer as number, target: hashOf("1.2.0"), outcome: "testing", ran: true, resetCause: "software" };
      fleet.take(speaker);
    }
    const begun = fleet.rollBack();
    expect(begun.planned.counts).toMatchObject({ undecided: 2, "swap-back": 0 });
    fleet.sent.length = 0;
    fleet.pass(5);
    expect(fleet.sent.filter((order) => order.kind !== "cancel")).toEqual([]);
    stays.confirmed = true;
    stays.attempt = null;
    fleet.hear(stays, stays.hello());
    goes.reboot();
    [goes.running, goes.slot1, goes.confirmed] = ["1.1.0", null, true];
    goes.attempt = { offer: memberOf(fleet.left, goes.id)?.offer as number, target: hashOf("1.2.0"), outcome: "reverted", ran: true, resetCause: "watchdog" };
    fleet.hear(goes, goes.hello());
    expect(fleet.sent.map((order) => [order.device, order.kind])).toEqual([[stays.id, "swap-back"]]);
    expect([memberOf(fleet.left, goes.id)?.state, memberOf(fleet.back, goes.id)?.state]).toEqual(["reverted", "excused"]);
    expect(fleet.conductor.state.devices.get(goes.id)?.quarantined).toEqual(["1.2.0"]);
    fleet.follow();
    fleet.pass(60);
    expect(summarise(fleet.left)).toMatchObject({ outcome: "rolled_back", states: { rolled_back: 1, reverted: 1 } });
  });

  test.each([1, 2, 3, 4, 5, 12, 40])("of %i devices passes its own gates when all of them come back", (devices) => {
    for (const emergency of [false, true]) {
      const fleet = Fleet.reached(devices, { judge: planJudge });
      fleet.rollBack({ emergency });
      for (let round = 0; round < 40 && fleet.back.status === "running"; round += 1) {
        fleet.follow();
        fleet.pass(5);
      }
      expect([devices, emergency, summarise(fleet.back).outcome, summarise(fleet.back).missing]).toEqual([devices, emergency, "complete", []]);
    }
  });

  test("R35: an emergency opens half the fleet at once, and the first device that does not come back stops it", () => {
    const fleet = Fleet.reached(20, { judge: planJudge });
    fleet.rollBack({ emergency: true });
    expect(fleet.back.stages.map((stage) => stage.size)).toEqual([10, 10]);
    const [first] = fleet.follow((_, order) => (order.device === fleet.sent[0]?.device ? "nothing" : "takes"));
    const speaker = fleet.speakers.find((one) => one.id === first?.device) as Speaker;
    speaker.reboot();
    speaker.running = "1.2.0";
    speaker.attempt = { offer: first?.offer as number, target: hashOf("1.1.0"), outcome: "reverted", ran: true, resetCause: "watchdog" };
    fleet.hear(speaker, speaker.hello());
    fleet.pass(5);
    expect(fleet.back).toMatchObject({ status: "halted", haltedBy: { gate: "boot-confirmation" } });
    expect(fleet.conductor.state.releases.get("1.1.0" as never)?.barred).toMatch(/halted by boot-confirmation/);
  });
});

describe("onFail: rollback", () => {
  const plan = { gates: { "boot-confirmation": { critical: true } }, onFail: "rollback" };

  function failing(): Fleet {
    const fleet = new Fleet(6, { plan });
    fleet.now = 5;
    for (const speaker of fleet.speakers.slice(1)) {
      fleet.take(speaker);
    }
    fleet.sent.length = 0;
    const victim = fleet.speakers[0] as Speaker;
    victim.reboot();
    victim.attempt = { offer: memberOf(fleet.left, victim.id)?.offer as number, target: hashOf("1.2.0"), outcome: "reverted", ran: true, resetCause: "fault" };
    fleet.hear(victim, victim.hello());
    return fleet;
  }

  test("R35, I5: a halt by a gate brings the exposed back by itself, once, and what was halted stays barred", () => {
    const fleet = failing();
    expect(fleet.entries.map((entry) => entry.type).filter((type) => type !== "report").slice(-9)).toEqual(["halted", "release-barred", "rollout-started", "stage-opened", ...Array.from({ length: 5 }, () => "offered")]);
    expect(fleet.back).toMatchObject({ release: "1.1.0", rollback: { of: "r1", from: "1.2.0" } });
    expect(fleet.back.members).toHaveLength(5);
    expect(summarise(fleet.left)).toMatchObject({ status: "aborted", haltedBy: { gate: "boot-confirmation" }, states: { reverted: 1, quarantined: 5 } });
    fleet.follow();
    fleet.pass(120);
    expect(summarise(fleet.left)).toMatchObject({ outcome: "rolled_back", states: { reverted: 1, rolled_back: 5 } });
    expect([...fleet.conductor.state.rollouts.keys()]).toEqual(["r1", "r2"]);
    expect(fleet.conductor.state.releases.get("1.2.0" as never)?.barred).toMatch(/halted by boot-confirmation/);
  });

  test("restarted at any entry of its log it decides the same: one rollback, the same devices, the same numbers", () => {
    const fleet = failing();
    const begins = fleet.entries.findIndex((entry) => entry.type === "halted");
    const decided = fleet.entries.slice(begins).map((entry) => entry.type);
    for (let cut = begins + 1; cut <= fleet.entries.length; cut += 1) {
      const again = new Conductor(boundJudge);
      for (const entry of fleet.entries.slice(0, cut)) {
        again.fold(entry);
      }
      const outcome = again.tick(at(fleet.now));
      const types = [...fleet.entries.slice(begins, cut), ...outcome.entries].map((entry) => entry.type);
      expect(types.filter((type) => type === "rollout-started")).toHaveLength(1);
      expect(types.filter((type) => type !== "release-barred")).toEqual(decided.filter((type) => type !== "release-barred"));
      expect(stateCounts(again.rollout("r2" as never))).toEqual(stateCounts(fleet.back));
      expect(again.state.releases.get("1.2.0" as never)?.barred).not.toBeNull();
    }
  });

  test("the folded state is the live one, from the log or from a snapshot anywhere in it", () => {
    const fleet = failing();
    fleet.follow();
    fleet.pass(30);
    for (let cut = 0; cut <= fleet.entries.length; cut += 7) {
      const before = new Conductor(boundJudge);
      for (const entry of fleet.entries.slice(0, cut)) {
        before.fold(entry);
      }
      const restored = new Conductor(boundJudge, readSnapshot(writeSnapshot(before.state)));
      for (const entry of fleet.entries.slice(cut)) {
        restored.fold(entry);
      }
      expect(plain(restored)).toEqual(plain(fleet.conductor));
    }
  });

  test("a halt by a person starts nothing; a plan without a known way back does not start", () => {
    const fleet = new Fleet(4, { plan });
    fleet.keep(fleet.conductor.order("r1" as never, { kind: "halt", authority: operator }, at(1)));
    fleet.pass(10);
    expect([...fleet.conductor.state.rollouts.keys()]).toEqual(["r1"]);
    expect(() => new Fleet(2, { plan, equip: (speaker) => (speaker.running = "0.9.0") })).toThrow(/onFail: rollback: no release is known that these devices run now/);
    expect(() => new Fleet(2, { plan: { ...plan, onFail: { rollback: "7.7.7" } } })).toThrow(/onFail\.rollback: there is no release 7\.7\.7/);
  });

  test("with nobody to bring back it says so in the log, once, and the rollout stays halted", () => {
    const fleet = new Fleet(6, { plan, equip: (speaker) => (speaker.downgrade = "version") });
    fleet.now = 5;
    for (const speaker of fleet.speakers.slice(1)) {
      fleet.take(speaker);
    }
    const victim = fleet.speakers[0] as Speaker;
    victim.reboot();
    victim.attempt = { offer: memberOf(fleet.left, victim.id)?.offer as number, target: hashOf("1.2.0"), outcome: "reverted", ran: true, resetCause: "fault" };
    fleet.hear(victim, victim.hello());
    fleet.pass(30);
    const declined = fleet.entries.filter((entry) => entry.type === "rollback-declined");
    expect(declined).toHaveLength(1);
    expect(readRecord(declined[0] as LogEntry)).toMatchObject({ authority: { by: "coalmine", reason: expect.stringContaining("5 refused") } });
    expect(fleet.left.status).toBe("halted");
  });
});
