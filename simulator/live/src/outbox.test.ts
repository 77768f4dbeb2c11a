// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { backoff, backoffMax } from "./backoff.ts";
import { InFlight, outboxMax, post, posted, type Posted, settle } from "./outbox.ts";
import { parseShard, shardOf } from "./shard.ts";
import { heartbeat, scriptedBoard } from "./testing/board.ts";

const board = scriptedBoard("dev");
const crash = (): Posted =>
  posted({ ...heartbeat(board), body: { kind: "crash", buildId: new Uint8Array(20), imageHash: new Uint8Array(32), reason: "x", pc: 0, lr: 0, uptime_s: 1 } });

describe("an outbox", () => {
  test("keeps what is in flight and what is not a heartbeat", () => {
    const outbox: Posted[] = [];
    const flying = posted(heartbeat(board));
    flying.packetId = 1;
    const important = crash();
    post(outbox, flying);
    post(outbox, important);
    for (let index = 0; index < outboxMax; index += 1) {
      post(outbox, posted(heartbeat(board)));
    }
    expect(outbox).toHaveLength(outboxMax);
    expect(outbox.slice(0, 2)).toEqual([flying, important]);
  });

  test("gives a report up once, by its packet id", () => {
    const outbox: Posted[] = [];
    const item = crash();
    item.packetId = 7;
    post(outbox, item);
    expect(settle(outbox, 8)).toBeUndefined();
    expect(settle(outbox, 7)).toBe(item);
    expect(settle(outbox, 7)).toBeUndefined();
  });

  test("the oldest in flight is the first that still is", () => {
    const inFlight = new InFlight();
    const items = Array.from({ length: 3_000 }, () => ({ ...crash(), flying: true }));
    for (const item of items) {
      inFlight.add(item);
    }
    for (const item of items.slice(0, 2_500)) {
      item.flying = false;
    }
    expect(inFlight.oldest(0)).toBe(items[2_500]);
    for (const item of items) {
      item.flying = false;
    }
    expect(inFlight.oldest(0)).toBeUndefined();
  });
});

test("nothing waits for an answer that got lost", () => {
  const inFlight = new InFlight();
  const lost = { ...crash(), flying: true, writtenAt: 1_000 };
  const later = { ...crash(), flying: true, writtenAt: 5_000 };
  inFlight.add(lost);
  inFlight.add(later);
  expect(inFlight.oldest(1_000)).toBe(lost);
  expect(inFlight.oldest(1_001)).toBe(later);
});

test("one that was sent again is as old as its latest sending", () => {
  const inFlight = new InFlight();
  const again = { ...crash(), flying: true, sentAt: 1 };
  const other = { ...crash(), flying: true, sentAt: 2 };
  inFlight.add(again);
  inFlight.add(other);
  again.sentAt = 3;
  inFlight.add(again);
  expect(inFlight.oldest(0)).toBe(other);
  other.flying = false;
  expect(inFlight.oldest(0)).toBe(again);
});

describe("waiting before another attempt", () => {
  test("is drawn by name: the same in every run, different for every device and attempt", () => {
    expect(backoff(7, "dev-1", 3)).toBe(backoff(7, "dev-1", 3));
    const drawn = new Set(Array.from({ length: 1_000 }, (_, index) => backoff(7, `dev-${index}`, 1)));
    expect(drawn.size).toBe(1_000);
  });

  test("spreads a herd evenly below a ceiling that doubles up to a bound", () => {
    for (const [attempt, ceiling] of [[1, 500], [2, 1_000], [4, 4_000], [20, backoffMax]] as const) {
      const waits = Array.from({ length: 4_000 }, (_, index) => backoff(7, `dev-${index}`, attempt));
      expect(Math.max(...waits)).toBeLessThanOrEqual(20 + ceiling);
      const mean = waits.reduce((sum, wait) => sum + wait, 0) / waits.length;
      expect(mean / ceiling).toBeGreaterThan(0.45);
      expect(mean / ceiling).toBeLessThan(0.55);
    }
  });
});

describe("a shard", () => {
  test("all parts together are the fleet, each device once", () => {
    const parts = [1, 2, 3].flatMap((index) => shardOf(100, { index, count: 3 }));
    expect(parts.sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, index) => index));
  });

  test.each(["0/4", "5/4", "1", "a/b", "1/0", "-1/4", "1/4/2"])("refuses %s", (text) => {
    expect(() => parseShard(text)).toThrow(/write 1\/4/);
  });
});
