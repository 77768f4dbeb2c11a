// SPDX-License-Identifier: Apache-2.0
import { Hours, stageCounts } from "@coalmine/core";
import { describe, expect, test } from "vitest";
import { parsePlan } from "./plan-file.ts";

describe("a plan file", () => {
  test("of two lines is valid and careful", () => {
    const plan = parsePlan("version: 1\ngates: default\n");
    expect(plan.stages.map((stage) => stage.name)).toEqual(["canary", "10%", "50%", "100%"]);
    expect(plan.soak.min).toBe(Hours(24));
    expect(stageCounts(plan, 1_000)).toEqual([10, 90, 400, 500]);
  });

  test.each([
    ["no gates (R14)", "version: 1\n", /gates: a plan without success criteria does not start/],
    ["empty gates (R14)", "gates: {}\n", /plan without success criteria/],
    ["unknown field", "gates: default\nstagess: []\n", /stagess/],
    ["unknown metric", "gates: {happiness: {min: 1}}\n", /gates\.happiness: unknown metric; there are boot-confirmation/],
    ["wrong type", "gates: default\nstages: 12\n", /stages: /],
    ["empty stages", "gates: default\nstages: []\n", /at least one stage/],
    ["0 %", 'gates: default\nstages: ["0%", "100%"]\n', /0 % is not above 0/],
    ["101 %", 'gates: default\nstages: ["101%"]\n', /101 % is not above 0 and at most 100/],
    ["stages that do not rise", 'gates: default\nstages: ["50%", "10%", "100%"]\n', /10 % does not rise above 50 %/],
    ["a last stage short of everybody", 'gates: default\nstages: ["50%"]\n', /is not 100 %; add one, or say "partial: true"/],
    ["two sizes", "gates: default\nstages: [{percent: 10, count: 3}, 100%]\n", /says more than one size/],
    ["a bad duration", "gates: default\nsoak: {min: soon}\n", /soak.*"soon" is not a duration/],
    ["a bad share", "gates: {boot-confirmation: {min: 95}}\n", /95 is not a share: write 98% or 0.98/],
    ["an alias bomb", "a: &a [1,1]\nb: &b [*a,*a]\ngates: default\n", /aliases \(\*name\) are not allowed/],
    ["a duplicate key", "gates: default\ngates: default\n", /unique/],
    ["no YAML", "{{{{", /plan: /],
    ["a huge document", `gates: default # ${"x".repeat(70_000)}`, /more than 65536/],
    ["NaN", "gates: {boot-confirmation: {min: .nan}}\n", /gates/],
    ["a prototype key", "gates: default\n__proto__: {a: 1}\n", /__proto__|Unrecognized/],
    ["a margin that is none", "gates: {crash-rate: {margin: 0}}\n", /gates\.crash-rate\.margin: 0 is not a margin/],
    ["a share of failures that is all of them", "gates: {boot-confirmation: {margin: 100%}}\n", /gates\.boot-confirmation\.margin: .*below 100%/],
    ["a comparison that should stop at one device", "gates: {battery-drain: {critical: true}}\n", /gates\.battery-drain\.critical: a comparison cannot/],
    ["a custom metric without a direction", "gates: {metric:temp: {margin: 4}}\n", /gates\.metric:temp\.worse: say whether/],
    ["a confirmation that cannot be", "gates: default\nconfirm: {minUptime: 10m, deadline: 5m}\n", /confirm\.deadline must be longer/],
  ])("refuses %s and names the place", (_name, text, message) => {
    expect(() => parsePlan(text)).toThrow(message);
  });

  test("a margin may be more than all of it: three times the crash rate, four degrees", () => {
    const { gates } = parsePlan("gates: {crash-rate: {margin: 200%}, metric:temp: {worse: higher, margin: 4}}\n");
    expect(gates.map((gate) => [gate.metric, gate.margin])).toEqual([["crash-rate", 2], ["metric:temp", 4]]);
  });

  test("an empty stage is an error, never a success (R7)", () => {
    const plan = parsePlan("gates: default\n");
    expect(() => stageCounts(plan, 50)).toThrow(/stage "10%" would be empty: it reaches 5 of 50 devices and 10 are in earlier stages/);
  });
});
