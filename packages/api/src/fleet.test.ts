// SPDX-License-Identifier: Apache-2.0
// What the page reads: counts and rows of the fleet, a rollout over time, a device's timeline.
import { describe, expect, test } from "vitest";
import { Site } from "./testing/site.ts";

type Json = Record<string, unknown>;

describe("the fleet", () => {
  test("is counted by what runs, hardware and connectivity; who is quiet too long is silent", async () => {
    const site = await new Site().fleet(6);
    await site.hello("old", { revision: "revB", version: "0.9.0" });
    await site.call("POST", "/devices/d0/tags", { body: { add: ["lab"], by: "ada", reason: "" } });
    await site.pass(20);
    await site.hello("d1", { boot: 2 });
    const { body } = await site.call("GET", "/fleet");
    expect(body).toMatchObject({
      devices: 7,
      silent: 6,
      hardware: [{ name: "nrf52840dk revA", devices: 6, silent: 5 }, { name: "nrf52840dk revB", devices: 1, silent: 1 }],
      releases: [{ name: "", version: "1.0.0", devices: 6 }, { name: "", version: "0.9.0", devices: 1 }],
      tags: [{ name: "lab", devices: 1 }],
      rollouts: [],
    });
  });

  test("is a list of which any part can be had, in the order of ids, by every filter", async () => {
    const site = await new Site().rollout();
    const ids = async (query: string) => ((await site.call("GET", `/fleet/rows?${query}`)).body["rows"] as Json[]).map((row) => row["id"]);
    expect(await ids("")).toEqual(Array.from({ length: 10 }, (_, index) => `d${index}`));
    expect(await ids("skip=3&limit=2")).toEqual(["d3", "d4"]);
    expect(await ids("skip=100")).toEqual([]);
    expect(await ids("text=7")).toEqual(["d7"]);
    expect(await ids("attribute=site%3Dlab")).toEqual([]);
    expect((await ids("attribute=site%3Dfield")).length).toBe(10);
    expect((await ids("attribute=site")).length).toBe(10);
    expect((await ids("state=offered")).length).toBe(2);
    expect(await ids("silent=true")).toEqual([]);
    expect((await ids("hardware=nrf52840dk+revA&version=1.0.0&connectivity=unknown")).length).toBe(10);
    // A device that comes later takes its place.
    await site.hello("d00");
    expect((await ids("limit=2"))).toEqual(["d0", "d00"]);
    expect((await site.call("GET", "/fleet/rows?limit=0")).status).toBe(400);
  });
});

describe("a rollout over time", () => {
  test("has stages with soak clocks, exposure, strata, power, and one value of every curve for each moment", async () => {
    const site = await new Site().rollout();
    const canary = site.sent[0]?.device ?? "";
    await site.pass(5);
    await site.crashAndRevert(canary);
    await site.pass(1);
    const progress = (await site.call("GET", "/rollouts/r1/progress")).body;
    expect(progress["stages"]).toMatchObject([{ size: 2, soak: { minAt: "2026-01-01T01:00:00.000Z", maxAt: "2026-01-01T06:00:00.000Z" } }, { size: 8, openedAt: null, soak: null }]);
    const exposure = progress["exposure"] as { readonly at: number[]; readonly started: number[]; readonly confirmed: number[] };
    expect([exposure.started.at(0), exposure.started.at(-1), exposure.at.length]).toEqual([0, 1, exposure.started.length]);
    expect(progress["representativeness"]).toMatchObject({ strata: [{ stratum: "revA", fleet: 10, canary: 2 }] });

    const series = (await site.call("GET", "/rollouts/r1/series")).body as { readonly at: number[]; readonly gates: { readonly gate: string; readonly canary: { readonly estimate: number[]; readonly lower: number[]; readonly upper: number[] } }[] };
    const [gate] = series.gates;
    expect([gate?.gate, gate?.canary.estimate.length, gate?.canary.lower.length]).toEqual(["boot-confirmation", series.at.length, series.at.length]);
    expect(series.at).toEqual([...series.at].sort((a, b) => a - b));
    // Read once from the log, then continued: time that passes adds a moment, asking does not.
    const length = async () => ((await site.call("GET", "/rollouts/r1/series")).body["at"] as number[]).length;
    expect(await length()).toBe(series.at.length);
    expect((await site.call("GET", "/rollouts/r1/power")).body).toMatchObject({ stages: [{ devices: 2 }, { devices: 10 }] });
    for (const what of ["progress", "series", "power"]) {
      expect([what, (await site.call("GET", `/rollouts/none/${what}`)).status]).toEqual([what, 404]);
    }
  });

  test("is its own: what another one decided in the same moment does not disturb its curves", async () => {
    const site = await new Site().rollout();
    await site.call("POST", "/rollouts/r1/abort", { headers: { "if-match": '"2"' }, body: { by: "ada", reason: "next" } });
    await site.release("1.2.0");
    const { plan } = await import("./testing/site.ts");
    const started = await site.call("POST", "/rollouts", { body: { id: "r2", release: "1.2.0", plan, by: "ada", reason: "next" } });
    expect(started.status).toBe(201);
    await site.pass(1);
    const { status, body } = await site.call("GET", "/rollouts/r2/series");
    expect([status, (body["gates"] as unknown[]).length]).toEqual([200, 1]);
  });
});

describe("a device", () => {
  test("has a timeline, newest first and in pages that meet, with what heartbeats measured beside it", async () => {
    const site = await new Site().rollout();
    const canary = site.sent[0]?.device as string;
    await site.say(canary, { kind: "heartbeat", imageHash: new Uint8Array(32).fill(1), confirmed: true, battery: 80, linkUptime: 0.5, metrics: { heap: 12 } });
    await site.crashAndRevert(canary);
    const whole = (await site.call("GET", `/devices/${canary}/timeline`)).body as { readonly events: { readonly kind: string; readonly title: string; readonly sequence: number }[]; readonly samples: Json[]; readonly next: number | null };
    expect(whole.events.map((event) => event.kind)).toEqual(expect.arrayContaining(["boot", "crash", "update", "decision"]));
    expect(whole.events.find((event) => event.kind === "crash")?.title).toBe("crash: bus-fault at 0x1234");
    expect(whole.samples).toEqual([{ at: site.clock.time, values: { battery: 80, linkUptime: 0.5, heap: 12 } }]);
    const sequences: number[] = [];
    for (let before: number | null = 1_000_000; before !== null; ) {
      const page = (await site.call("GET", `/devices/${canary}/timeline?limit=2&before=${before}`)).body as typeof whole;
      sequences.push(...page.events.map((event) => event.sequence));
      before = page.next;
    }
    expect(sequences).toEqual(whole.events.map((event) => event.sequence));
    expect((await site.call("GET", "/devices/nobody/timeline")).status).toBe(404);
  });
});

describe("events in brief", () => {
  test("leave out single devices and say instead that something changed", async () => {
    const site = await new Site().fleet(10);
    await site.release("1.1.0");
    const base = await site.api.listen({ host: "127.0.0.1", port: 0 });
    const stop = new AbortController();
    const response = await fetch(`${base}/events?brief=true`, { headers: { "last-event-id": "0" }, signal: stop.signal });
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    const { plan } = await import("./testing/site.ts");
    await site.call("POST", "/rollouts", { body: { release: "1.1.0", plan, by: "ada", reason: "weekly" } });
    let said = "";
    while (!said.includes("event: changed")) {
      said += new TextDecoder().decode((await reader.read()).value);
    }
    stop.abort();
    await site.api.close();
    const types = [...said.matchAll(/"type":"([a-z-]+)"/g)].map((match) => match[1]);
    expect(types).toEqual(["release-created", "rollout-started", "stage-opened"]);
  });
});
