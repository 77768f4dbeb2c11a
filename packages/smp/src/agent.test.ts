// SPDX-License-Identifier: Apache-2.0
import { instant, type Instant } from "@coalmine/core";
import type { Offer } from "@coalmine/protocol";
import { expect, test } from "vitest";
import { type Agent, type AgentInput, type BoardFacts, newAgent, nextAction, plainVersion, stepAgent } from "./agent.ts";
import { parseSmpBoards } from "./boards-file.ts";
import type { ImageState } from "./image.ts";

const hash = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);
const facts: BoardFacts = {
  hardware: { board: "b", revision: "", partitionMap: "p", mode: "swap-move", slotSize: 1_000 },
  attributes: {},
  storageSchema: 0,
  interval_s: 60,
  return_s: 2,
  resetAgain_s: 15,
};
const offer: Offer = {
  kind: "offer", offer: 7, release: "r", version: "1.1.0", variant: { board: "b", revision: "", partitionMap: "p" },
  digest: hash(9), imageHash: hash(2), size: 800, jitter_s: 100, confirm: { minUptime_s: 60, deadline_s: 600, serverContact: true },
};
const image = (slot: number, byte: number, more: Partial<ImageState> = {}): ImageState => ({ image: 0, slot, version: `1.${byte - 1}.0`, hash: hash(byte), bootable: true, pending: false, confirmed: slot === 0, active: slot === 0, permanent: false, ...more });

class Trial {
  at_s = 0;
  readonly agent: Agent = newAgent(this.now);

  get now(): Instant {
    return instant(1_000_000 + this.at_s * 1_000);
  }

  take(input: AgentInput): string[] {
    return stepAgent(this.agent, facts, input, this.now).map((effect) => (effect.kind === "reboot" ? "reboot" : effect.body.kind === "progress" ? effect.body.state : effect.body.kind === "result" ? effect.body.attempt.outcome : effect.body.kind));
  }

  images(...images: ImageState[]): string[] {
    return this.take({ kind: "images", images });
  }

  get next(): string {
    return nextAction(this.agent, this.now).kind;
  }
}

/** A board on which the new image runs on trial. */
function onTrial(): Trial {
  const trial = new Trial();
  trial.images(image(0, 1));
  trial.take({ kind: "command", command: offer, jitter: 0 });
  trial.images(image(0, 1));
  trial.take({ kind: "uploaded" });
  trial.take({ kind: "marked" });
  trial.take({ kind: "reset" });
  trial.at_s += 5;
  expect(trial.images(image(0, 2, { confirmed: false }), image(1, 1, { confirmed: true }))).toEqual(["reboot", "hello", "testing"]);
  return trial;
}

test("the board's share of the jitter passes before the upload begins", () => {
  const trial = new Trial();
  trial.images(image(0, 1));
  expect(trial.take({ kind: "command", command: offer, jitter: 0.5 })).toEqual(["accepted"]);
  trial.images(image(0, 1));
  expect(trial.next).toBe("wait");
  trial.at_s += 50;
  expect(trial.next).toBe("upload");
});

test("a trial that nobody could confirm by its deadline is reset, so that the bootloader goes back (A4)", () => {
  const trial = onTrial();
  expect(trial.next).toBe("wait");
  trial.at_s += 59;
  trial.images(image(0, 2, { confirmed: false }), image(1, 1));
  expect(trial.next).toBe("wait");
  trial.at_s += 1;
  expect(trial.next).toBe("confirm");
  // The board says no, and no again: it stays on trial.
  expect(trial.take({ kind: "refused", what: "confirming", reason: "not now", final: false })).toEqual([]);
  trial.at_s += 540;
  trial.images(image(0, 2, { confirmed: false }), image(1, 1));
  expect(trial.next).toBe("reset");
  trial.take({ kind: "reset" });
  trial.at_s += 5;
  expect(trial.images(image(0, 1), image(1, 2))).toEqual(["reboot", "reverted", "hello"]);
  expect(trial.agent.job).toBe(null);
});

test("a board that still waits for its reset gets another after a while, and not before", () => {
  const trial = new Trial();
  trial.images(image(0, 1));
  trial.take({ kind: "command", command: offer, jitter: 0 });
  trial.images(image(0, 1));
  trial.take({ kind: "uploaded" });
  trial.take({ kind: "marked" });
  trial.take({ kind: "reset" });
  trial.at_s += 5;
  trial.images(image(0, 1), image(1, 2, { pending: true }));
  expect(trial.agent.job?.phase).toBe("return");
  trial.at_s += 10;
  trial.images(image(0, 1), image(1, 2, { pending: true }));
  expect(trial.next).toBe("reset");
});

test("what cannot be told of a board is not made up: no battery, no reset cause, no attempt", () => {
  const trial = new Trial();
  const [hello] = stepAgent(trial.agent, facts, { kind: "images", images: [image(0, 1), image(1, 3)] }, trial.now);
  expect(hello).toMatchObject({ body: { kind: "hello", resetCause: "unknown", attempt: null, slot1: { version: "1.2.0" } } });
  trial.at_s += 60;
  expect(stepAgent(trial.agent, facts, { kind: "images", images: [image(0, 1), image(1, 3)] }, trial.now)).toMatchObject([{ body: { kind: "heartbeat", battery: null, metrics: {} } }]);
});

test("an answer that lists no running image is a board whose image nobody knows, and versions are written as releases write them", () => {
  const trial = new Trial();
  expect(trial.images()).toEqual(["hello"]);
  expect(trial.agent.running).toMatchObject({ version: "unknown", confirmed: false });
  expect([plainVersion("1.2.3.4"), plainVersion("1.2.3"), plainVersion("0.0.0.0"), plainVersion(""), plainVersion("\u0007x".repeat(50))]).toEqual(["1.2.3+4", "1.2.3", "0.0.0+0", "unknown", "x".repeat(32)]);
});

test("a boards file says what SMP does not, and a mistake in it names its field", () => {
  const good = "{ id: a, smp: 'udp://h', board: b, partitionMap: p, mode: overwrite, slotSize: 10 }";
  expect(parseSmpBoards(`boards: [${good}]`, "f")).toMatchObject({ poll_s: 30, boards: [{ id: "a", url: "udp://h", hardware: { board: "b", revision: "", partitionMap: "p", mode: "overwrite", slotSize: 10 } }] });
  for (const [text, message] of [
    ["{}", /f: boards: /],
    ["boards: []", /f: boards: /],
    [`boards: [${good.replace("mode: overwrite, ", "")}]`, /f: boards\.0\.mode: /],
    [`boards: [${good.replace("udp://h", "tcp://h")}]`, /no transport "tcp:"/],
    [`boards: [${good}, ${good}]`, /a stands twice/],
    [`poll: 1ms\nboards: [${good}]`, /poll: "1ms" is not from/],
    [`boards: [${good.replace("id: a", "id: a/b")}]`, /device id "a\/b"/],
  ] as const) {
    expect(() => parseSmpBoards(text, "f")).toThrow(message);
  }
});
