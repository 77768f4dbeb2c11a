// SPDX-License-Identifier: Apache-2.0
import { deviceId, type DeviceId } from "@coalmine/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  blockAnswerTopic,
  blockRequestTopic,
  commandTopic,
  deviceFilter,
  hostFilters,
  mayPublish,
  mayReceive,
  maySubscribe,
  parseTopic,
  reportTopic,
} from "./topics.ts";

const own = deviceId("d-1");
const other = deviceId("d-10");
const up = [reportTopic, blockRequestTopic];
const down = [commandTopic, blockAnswerTopic];
const seed = 20_261_123;

test("the topics are those of R52", () => {
  expect([...up, ...down].map((topic) => topic(own))).toEqual([
    "c/v1/d/d-1/up/report",
    "c/v1/d/d-1/up/block",
    "c/v1/d/d-1/down/command",
    "c/v1/d/d-1/down/block",
  ]);
  expect(deviceFilter(own)).toBe("c/v1/d/d-1/down/#");
  expect(hostFilters).toEqual(["c/v1/d/+/up/report", "c/v1/d/+/up/block"]);
});

test("a built topic is taken apart again, for any device id", () => {
  const id = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/) as fc.Arbitrary<DeviceId>;
  fc.assert(
    fc.property(id, (device) => {
      expect(parseTopic(reportTopic(device))).toEqual({ device, channel: "report" });
      expect(parseTopic(blockRequestTopic(device))).toEqual({ device, channel: "block-request" });
      expect(parseTopic(commandTopic(device))).toEqual({ device, channel: "command" });
      expect(parseTopic(blockAnswerTopic(device))).toEqual({ device, channel: "block-answer" });
    }),
    { seed },
  );
});

const strangers = [
  "",
  "/",
  "c",
  "c/v1/d/d-1",
  "c/v1/d/d-1/up",
  "c/v1/d/d-1/up/",
  "c/v1/d/d-1/up/reports",
  "c/v1/d/d-1/up/report/",
  "c/v1/d/d-1/up/report/x",
  "/c/v1/d/d-1/up/report",
  "c/v1/d//up/report",
  "c/v1/d/+/up/report",
  "c/v1/d/#",
  "c/v1/d/d-1/up/#",
  "c/v1/d/d-1/up/+",
  "c/v1/d/d-1/+/report",
  "c/v2/d/d-1/up/report",
  "C/v1/d/d-1/up/report",
  "c/v1/d/d-1/UP/report",
  "c/v1/d/d-1 /up/report",
  "c/v1/d/d-1\n/up/report",
  "c/v1/d/d-1\0/up/report",
  "c/v1/d/../d/d-1/up/report",
  `c/v1/d/${"x".repeat(65)}/up/report`,
  "c/v1/d/d-1/up/command",
  "c/v1/d/d-1/down/report",
  "c/v1/d/d-1/constructor/report",
  "$SYS/broker/uptime",
  "$share/g/c/v1/d/d-1/up/report",
  "#",
  "+/+/+/+/+/+",
];

test.each(strangers)("%j is none of our topics, and nobody may use it", (topic) => {
  expect(parseTopic(topic)).toBeUndefined();
  expect(mayPublish(own, topic)).toBe(false);
  expect(maySubscribe(own, topic)).toBe(false);
  expect(mayReceive(own, topic)).toBe(false);
});

describe("T1, T2: I12 device isolation", () => {
  test("a device publishes on its own up/ topics only", () => {
    expect(up.map((topic) => mayPublish(own, topic(own)))).toEqual([true, true]);
    expect(down.map((topic) => mayPublish(own, topic(own)))).toEqual([false, false]);
    expect([...up, ...down].map((topic) => mayPublish(own, topic(other)))).toEqual([false, false, false, false]);
  });

  test("a device subscribes to its own down/ topics only, one by one or all at once", () => {
    for (const filter of [deviceFilter(own), "c/v1/d/d-1/down/+", ...down.map((topic) => topic(own))]) {
      expect(maySubscribe(own, filter), `${filter}`).toBe(true);
      expect(maySubscribe(other, filter), `${filter}`).toBe(false);
    }
    for (const filter of [...hostFilters, ...up.map((topic) => topic(own)), "c/v1/d/d-1/#", "c/v1/d/d-1/+/command"]) {
      expect(maySubscribe(own, filter), `${filter}`).toBe(false);
    }
  });

  test("a device is handed its own down/ messages only, whatever it had subscribed to", () => {
    expect(down.map((topic) => mayReceive(own, topic(own)))).toEqual([true, true]);
    expect(up.map((topic) => mayReceive(own, topic(own)))).toEqual([false, false]);
    expect(down.map((topic) => mayReceive(own, topic(other)))).toEqual([false, false]);
  });

  test("an id that is none gets nothing, also where its text would match", () => {
    for (const id of ["", "+", "#", "d/1", "d-1/down", "..", "x".repeat(65)]) {
      for (const topic of [...up, ...down].map((build) => build(id as DeviceId))) {
        expect([mayPublish(id, topic), maySubscribe(id, topic), mayReceive(id, topic)]).toEqual([false, false, false]);
      }
      expect(maySubscribe(id, deviceFilter(id as DeviceId))).toBe(false);
    }
  });

  test("whatever is asked for, a right to a topic means that the topic names the device", () => {
    const level = fc.constantFrom("c", "v1", "d", "d-1", "d-10", "up", "down", "report", "block", "command", "+", "#", "", "$SYS");
    const topics = fc.array(level, { minLength: 1, maxLength: 8 }).map((levels) => levels.join("/"));
    const near = fc.tuple(level, level, level).map(([id, way, leaf]) => `c/v1/d/${id}/${way}/${leaf}`);
    fc.assert(
      fc.property(fc.oneof(topics, near), (topic) => {
        if (mayPublish(own, topic) || maySubscribe(own, topic) || mayReceive(own, topic)) {
          expect(topic).toMatch(/^c\/v1\/d\/d-1\/(up\/(report|block)|down\/(command|block|#|\+))$/);
        }
      }),
      { seed, numRuns: 5_000 },
    );
  });
});
