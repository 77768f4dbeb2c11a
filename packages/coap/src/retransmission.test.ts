// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { Bucket, defaultLimits } from "./limits.ts";
import { Peer } from "./peer.ts";
import { type Outcome, Retransmission } from "./retransmission.ts";

function setUp(random = 0) {
  const sent: { readonly at_s: number; readonly id: number }[] = [];
  let now_s = 100;
  const peer = new Peer({ key: "a", address: "127.0.0.1", port: 1, bucket: new Bucket(defaultLimits.datagrams, 0), now_s, firstId: 0 });
  const retransmission = new Retransmission({ limits: defaultLimits, random: () => random, send: (_peer, parts) => sent.push({ at_s: now_s, id: (parts[0] as Buffer)[0] as number }) });
  const outcomes: [number, Outcome][] = [];
  return {
    peer,
    sent,
    outcomes,
    retransmission,
    post: (id: number): void => retransmission.post({ peer, id, parts: [Buffer.of(id)], ended: (outcome) => outcomes.push([id, outcome]) }, now_s),
    settle: (id: number, outcome: "acknowledged" | "reset"): boolean => retransmission.settle(peer, id, outcome, now_s),
    runUntil: (end_s: number): void => {
      while (retransmission.next_s <= end_s) {
        now_s = retransmission.next_s;
        retransmission.run(now_s);
      }
      now_s = end_s;
    },
  };
}

describe("a confirmable message", () => {
  test("that is never acknowledged is sent five times, after 2, 4, 8 and 16 seconds, and is lost 32 seconds later", () => {
    const { post, runUntil, sent, outcomes } = setUp();
    post(1);
    runUntil(161.9);
    expect(sent.map(({ at_s }) => at_s - 100)).toEqual([0, 2, 6, 14, 30]);
    expect(outcomes).toEqual([]);
    runUntil(162);
    expect(outcomes).toEqual([[1, "lost"]]);
    runUntil(1_000);
    expect(sent).toHaveLength(5);
  });

  test("starts with a wait of up to one and a half times as long", () => {
    const { post, runUntil, sent } = setUp(0.999_999);
    post(1);
    runUntil(110);
    expect(sent[1]?.at_s).toBeCloseTo(103, 3);
  });

  test("is not sent again once it was acknowledged or reset", () => {
    const { post, runUntil, settle, sent, outcomes } = setUp();
    post(1);
    expect(settle(1, "acknowledged")).toBe(true);
    post(2);
    expect(settle(2, "reset")).toBe(true);
    expect(settle(2, "reset")).toBe(false);
    runUntil(1_000);
    expect(sent.map(({ id }) => id)).toEqual([1, 2]);
    expect(outcomes).toEqual([
      [1, "acknowledged"],
      [2, "reset"],
    ]);
  });

  test("waits for the one before it (NSTART = 1), in order", () => {
    const { post, runUntil, settle, sent } = setUp();
    post(1);
    post(2);
    post(3);
    runUntil(101);
    expect(sent.map(({ id }) => id)).toEqual([1]);
    settle(1, "acknowledged");
    expect(settle(3, "acknowledged")).toBe(false);
    settle(2, "acknowledged");
    expect(sent.map(({ id }) => id)).toEqual([1, 2, 3]);
  });

  test("is lost when too many wait behind it, or its peer is forgotten; each ends once", () => {
    const { post, peer, retransmission, outcomes, runUntil } = setUp();
    for (let id = 0; id < 20; id += 1) {
      post(id);
    }
    expect(outcomes).toEqual([1, 2, 3].map((id) => [id, "lost"]));
    retransmission.drop(peer);
    runUntil(1_000);
    expect(outcomes).toHaveLength(20);
    expect(new Set(outcomes.map(([id]) => id)).size).toBe(20);
    expect(retransmission.active).toBe(0);
  });
});
