// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { plan, signedImage, Site, variant } from "./testing/site.ts";

const order = (reason = "checked by hand"): { by: string; reason: string } => ({ by: "ada", reason });

describe("devices", () => {
  test("are listed in pages by id, filtered by what they are and where they stand", async () => {
    const site = await new Site().fleet(5);
    await site.hello("x1", { revision: "revB", version: "0.9.0" });
    const first = await site.call("GET", "/devices?limit=4");
    expect(first.body).toMatchObject({ total: 6, next: "d3" });
    const second = await site.call("GET", "/devices?limit=4&after=d3");
    expect((second.body["devices"] as { id: string }[]).map(({ id }) => id)).toEqual(["d4", "x1"]);
    expect(second.body["next"]).toBe(null);
    for (const query of ["hardware=revB", "version=0.9.0", "text=x"]) {
      expect({ query, ...(await site.call("GET", `/devices?${query}`)).body }).toMatchObject({ query, total: 1 });
    }
  });

  test("are tagged by name and reason; an outdated If-Match changes nothing", async () => {
    const site = await new Site().fleet(1);
    const seen = await site.call("GET", "/devices/d0");
    const tag = String(seen.headers["etag"]);
    expect((await site.call("POST", "/devices/d0/tags", { headers: { "if-match": tag }, body: { add: ["lab"], ...order() } })).body["tags"]).toEqual(["lab"]);
    const stale = await site.call("POST", "/devices/d0/tags", { headers: { "if-match": tag }, body: { remove: ["lab"], ...order() } });
    expect([stale.status, stale.body.error?.code]).toEqual([412, "api/outdated"]);
    expect((await site.call("GET", "/devices?tag=lab")).body["total"]).toBe(1);
    expect((await site.call("GET", "/devices/nobody")).body.error?.code).toBe("device/unknown");
  });
});

describe("cohorts and releases", () => {
  test("a cohort is saved once and resolves to the devices it means now", async () => {
    const site = await new Site().fleet(3);
    const body = { name: "pair", selector: { ids: ["d2", "d0", "d9"] }, ...order() };
    expect((await site.call("POST", "/cohorts", { body })).status).toBe(201);
    expect((await site.call("POST", "/cohorts", { body })).status).toBe(409);
    expect((await site.call("GET", "/cohorts/pair/devices")).body).toEqual({ name: "pair", count: 2, devices: ["d0", "d2"] });
    expect((await site.call("GET", "/cohorts")).body["cohorts"]).toHaveLength(1);
    expect((await site.call("GET", "/cohorts/none/devices")).status).toBe(404);
  });

  test("an artifact is stored by its digest and becomes part of a release only when its signature is trusted (R13)", async () => {
    const site = new Site();
    const octets = { "content-type": "application/octet-stream" };
    const good = await site.call("PUT", "/artifacts", { headers: octets, body: signedImage("2.0.0") });
    expect(good.status).toBe(201);
    const bad = signedImage("2.0.0");
    bad[600] = (bad[600] ?? 0) ^ 1;
    const altered = await site.call("PUT", "/artifacts", { headers: octets, body: bad });
    expect(altered.status).toBe(201);
    const release = (digest: unknown) => site.call("POST", "/releases", { body: { id: "r", artifacts: [{ digest, variant }], ...order() } });
    const refused = await release(altered.body["digest"]);
    expect([refused.status, refused.body.error?.code]).toEqual([400, "artifact/refused"]);
    expect((await release(good.body["digest"])).status).toBe(201);
    expect((await release(good.body["digest"])).status).toBe(409);
    expect((await release("0".repeat(64))).status).toBe(404);
    const garbage = await site.call("PUT", "/artifacts", { headers: octets, body: new Uint8Array(100) });
    expect(garbage.body.error).toMatchObject({ code: "artifact/malformed", message: expect.stringMatching(/magic.*byte 0/) as string });
  });

  test("a release keeps the newest result of its migration matrix, and a stored file comes back as it was", async () => {
    const site = await new Site().fleet(2);
    const made = await site.release("1.1.0");
    const [artifact] = made.body["artifacts"] as { digest: string; imageHash: string }[];
    const matrix = { ok: false, from: ["1.0.0"], images: [artifact?.imageHash], cells: 15, failed: 1, boards: 160, cuts: 120, seed: 7, failures: ["revA from 1.0.0, cut, upgrade: identity lost"] };
    const red = await site.call("POST", "/releases/1.1.0/matrix", { body: { matrix, ...order() } });
    expect([red.status, red.body["matrix"]]).toEqual([201, { ...matrix, by: "ada" }]);
    const green = { ...matrix, ok: true, failed: 0, failures: [] };
    expect((await site.call("POST", "/releases/1.1.0/matrix", { body: { matrix: green, ...order() } })).status).toBe(201);
    expect((await site.call("GET", "/releases/1.1.0")).body["matrix"]).toEqual({ ...green, by: "ada" });
    const foreign = { ...green, images: ["0".repeat(64)] };
    expect((await site.call("POST", "/releases/1.1.0/matrix", { body: { matrix: foreign, ...order() } })).body.error).toMatchObject({ code: "release/matrix" });
    const file = await site.call("GET", `/artifacts/${artifact?.digest}`);
    expect([file.status, file.headers["content-type"], Number(file.headers["content-length"])]).toEqual([200, "application/octet-stream", signedImage("1.1.0").length]);
    expect((await site.call("GET", `/artifacts/${"0".repeat(64)}`)).status).toBe(404);
  });

  test("preflight says which devices can install, which not and why", async () => {
    const site = await new Site().fleet(2);
    await site.hello("other", { revision: "revZ" });
    await site.hello("newer", { version: "3.0.0" });
    await site.hello("tiny", { slotSize: 2_750 });
    await site.release("1.1.0");
    const { body } = await site.call("GET", "/releases/1.1.0/preflight");
    expect(body).toMatchObject({ installable: 2, risky: 1, refused: 2 });
    expect(body["fromVersions"]).toContainEqual({ version: "3.0.0", devices: 1, installable: 1, direction: "downgrade", obstacles: [expect.stringMatching(/older than 3.0.0.*downgrade prevention/) as string] });
    const refused = await site.call("GET", "/releases/1.1.0/preflight?outcome=refused");
    expect(JSON.stringify(refused.body["devices"])).toMatch(/no artifact for nrf52840dk revZ.*no room for the swap-move trailer/);
  });
});

describe("rollouts", () => {
  test("planning changes nothing; starting freezes the members and offers to the canary stage", async () => {
    const site = await new Site().fleet(10);
    await site.release("1.1.0");
    const body = { release: "1.1.0", plan, seed: 7, ...order() };
    const before = site.log.length;
    const planned = await site.call("POST", "/rollouts/plan", { body });
    expect(planned.body).toMatchObject({ members: 10, stages: [{ name: "canary", size: 2 }, { name: "100%", size: 8 }] });
    expect(site.log.length).toBe(before);
    const started = await site.call("POST", "/rollouts", { body });
    expect([started.status, started.headers["location"]]).toEqual([201, "/rollouts/r1"]);
    expect((started.body["membership"] as { stages: unknown }).stages).toEqual(planned.body["stages"]);
    expect(site.offers()).toHaveLength(2);
    const waiting = { missing: expect.arrayContaining([expect.stringMatching(/^\d of 2 devices still under way$/), expect.stringMatching(/^soak /)]) as string[] };
    expect((await site.call("GET", "/rollouts/r1")).body).toMatchObject(waiting);
    expect((await site.call("GET", "/rollouts")).body["rollouts"]).toMatchObject([waiting]);
    const members = await site.call("GET", "/rollouts/r1/members?state=offered");
    expect(members.body["total"]).toBe(2);
    expect((await site.call("GET", "/rollouts/r1/members?limit=6")).body["next"]).toBe(6);
  });

  test("a plan is applied once, compared with what runs, and refused when another one runs", async () => {
    const site = await new Site().fleet(10);
    await site.release("1.1.0");
    const body = { release: "1.1.0", plan, ...order() };
    expect((await site.call("POST", "/rollouts/plan", { body })).body["against"]).toBeNull();
    expect((await site.call("POST", "/rollouts/apply", { body })).body).toMatchObject({ action: "started", rollout: "r1", replaces: null, changes: [], membership: { members: 10 } });
    const length = site.log.length;
    expect((await site.call("POST", "/rollouts/apply", { body })).body).toEqual({ action: "unchanged", rollout: "r1", replaces: null, changes: [], membership: null });
    expect(site.log.length).toBe(length);
    const other = { ...body, plan: { ...plan, alpha: 0.01 } };
    expect((await site.call("POST", "/rollouts/plan", { body: other })).body["against"]).toEqual({ rollout: "r1", status: "running", changes: [{ field: "alpha", runs: "0.05", would: "0.01" }] });
    const refused = await site.call("POST", "/rollouts/apply", { body: other });
    expect([refused.status, refused.body.error?.code]).toEqual([409, "rollout/plan-frozen"]);
    await site.call("POST", "/rollouts/r1/halt", { body: order() });
    expect((await site.call("POST", "/rollouts/apply", { body: other })).body).toMatchObject({ action: "revised", rollout: "r2", replaces: "r1", changes: [{ field: "alpha" }] });
  });

  test("a plan without success criteria does not start (R14), and the message says what to write", async () => {
    const site = await new Site().fleet(10);
    await site.release("1.1.0");
    const answer = await site.call("POST", "/rollouts", { body: { release: "1.1.0", plan: "stages: [2, '100%']\n", ...order() } });
    expect([answer.status, answer.body.error?.message]).toEqual([400, expect.stringMatching(/gates: a plan without success criteria does not start/)]);
  });

  test("orders need the ETag of what was looked at; a stale tab cannot resume, a halt always can (R29, I5)", async () => {
    const site = await new Site().rollout();
    const seen = String((await site.call("GET", "/rollouts/r1")).headers["etag"]);
    expect((await site.call("POST", "/rollouts/r1/hold", { body: order() })).status).toBe(428);
    const halted = await site.call("POST", "/rollouts/r1/halt", { body: order("smoke in the lab") });
    expect(halted.body).toMatchObject({ status: "halted", haltedBy: { gate: "operator", reason: "smoke in the lab" } });
    const stale = await site.call("POST", "/rollouts/r1/resume", { headers: { "if-match": seen }, body: order() });
    expect([stale.status, stale.body.error?.code]).toEqual([412, "api/outdated"]);
    const fresh = String(halted.headers["etag"]);
    expect((await site.call("POST", "/rollouts/r1/resume", { headers: { "if-match": fresh }, body: order() })).body["status"]).toBe("running");
    // Halted again for the same reason: the old ETag stays dead.
    await site.call("POST", "/rollouts/r1/halt", { body: order("smoke in the lab") });
    expect((await site.call("POST", "/rollouts/r1/resume", { headers: { "if-match": fresh }, body: order() })).status).toBe(412);
    const audit = await site.call("GET", "/audit?rollout=r1&brief=true&after=0");
    expect((audit.body["records"] as { type: string; by: string }[]).map(({ type, by }) => `${type} ${by}`)).toEqual([
      "rollout-started ada",
      "stage-opened coalmine",
      "halted ada",
      "resumed ada",
      "halted ada",
    ]);
  });

  test("an order without a reason is refused, and so is one that does not fit the status", async () => {
    const site = await new Site().rollout();
    const silent = await site.call("POST", "/rollouts/r1/halt", { body: { by: "ada", reason: " " } });
    expect([silent.status, silent.body.error?.message]).toEqual([400, expect.stringMatching(/body\.reason/)]);
    const tag = String((await site.call("GET", "/rollouts/r1")).headers["etag"]);
    const resume = await site.call("POST", "/rollouts/r1/resume", { headers: { "if-match": tag }, body: order() });
    expect([resume.status, resume.body.error?.code]).toEqual([409, "rollout/status"]);
    const excuse = (device: string) => site.call("POST", "/rollouts/r1/excuse", { headers: { "if-match": tag }, body: { device, ...order() } });
    expect((await excuse("nobody")).status).toBe(404);
    expect((await excuse("d3")).body["states"]).toMatchObject({ excused: 1 });
  });

  test("the report of a halt names gate, metric, devices, crash signature by build, and what they said (R31)", async () => {
    const site = await new Site().rollout();
    const canaries = site.sent.map(({ device }) => device);
    await site.pass(5);
    for (const device of canaries) {
      await site.crashAndRevert(device);
    }
    await site.pass(1);
    const { body } = await site.call("GET", "/rollouts/r1/report");
    expect(body["haltedBy"]).toMatchObject({ gate: "boot-confirmation", metric: "boot-confirmation", stage: "canary" });
    expect(body["gates"]).toMatchObject([{ gate: "boot-confirmation", verdict: "fail", canary: { devices: 2, events: 2 } }]);
    expect(body["crashes"]).toMatchObject([{ signature: "bus-fault@1234", count: 2, devices: [...canaries].sort() }]);
    const devices = body["devices"] as { device: string; state: string; said: string[] }[];
    expect(devices.map(({ device }) => device).sort()).toEqual([...canaries].sort());
    expect(devices[0]).toMatchObject({ state: "reverted", said: ["reverted: self-test never finished | <b>"] });
    const markdown = await site.call("GET", "/rollouts/r1/report?format=markdown");
    expect(markdown.headers["content-type"]).toContain("text/markdown");
    expect(markdown.text).toContain("Gate **boot-confirmation**");
    expect(markdown.text).toContain("self-test never finished \\| \\<b\\>");
    const release = await site.call("GET", "/releases/1.1.0");
    expect(release.body["barred"]).toMatch(/halted by boot-confirmation/);
    const again = await site.call("POST", "/rollouts", { body: { release: "1.1.0", plan, ...order() } });
    expect([again.status, again.body.error?.code]).toEqual([409, "release/barred"]);
  });
});

describe("audit and events", () => {
  test("pages run both ways and meet; a changed entry is found", async () => {
    const site = await new Site().rollout();
    const forwards = await site.call("GET", "/audit?after=0&limit=1000");
    const backwards = await site.call("GET", "/audit?limit=1000");
    const sequences = (answer: typeof forwards) => (answer.body["records"] as { sequence: number }[]).map(({ sequence }) => sequence);
    expect(sequences(backwards).reverse()).toEqual(sequences(forwards));
    const pages: number[] = [];
    for (let next: number | null = 0; next !== null; ) {
      const page = await site.call("GET", `/audit?after=${next}&limit=2`);
      pages.push(...sequences(page));
      next = page.body["next"] as number | null;
    }
    expect(pages).toEqual(sequences(forwards));
    const started = (forwards.body["records"] as { type: string; detail: object }[]).find(({ type }) => type === "rollout-started");
    expect(started?.detail).toMatchObject({ members: 10, seed: 1 });
    expect((await site.call("GET", "/audit/verify")).body).toMatchObject({ ok: true, entries: site.log.length });
    site.log.entries[3] = { ...site.log.entries[3]!, at: 0 as never };
    expect((await site.call("GET", "/audit/verify")).body).toMatchObject({ ok: false, brokenAt: 4 });
  });

  test("a listener gets what it missed, then what happens, each line once", async () => {
    const site = await new Site().rollout();
    const answer = await site.api.inject({ method: "GET", url: "/events", headers: { host: "localhost", "last-event-id": "0" }, payloadAsStream: true });
    expect(answer.headers["content-type"]).toContain("text/event-stream");
    const ids: number[] = [];
    const halting = site.call("POST", "/rollouts/r1/halt", { body: order() });
    let text = "";
    for await (const chunk of answer.stream()) {
      text += String(chunk);
      ids.splice(0, ids.length, ...[...text.matchAll(/^id: (\d+)$/gm)].map((match) => Number(match[1])));
      if (/"type":"halted"/.test(text)) {
        break;
      }
    }
    await halting;
    expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
    expect(text).toMatch(/"type":"release-created"/);
    await site.api.close();
  });
});

describe("sending again", () => {
  test("a POST with the same Idempotency-Key is answered again and carried out once, also while the first runs", async () => {
    const site = await new Site().fleet(10);
    await site.release("1.1.0");
    const call = { headers: { "idempotency-key": "k1" }, body: { release: "1.1.0", plan, ...order() } };
    const [a, b] = await Promise.all([site.call("POST", "/rollouts", call), site.call("POST", "/rollouts", call)]);
    expect([a.status, b.status, b.text]).toEqual([201, 201, a.text]);
    expect((await site.call("GET", "/rollouts")).body["rollouts"]).toHaveLength(1);
    const other = await site.call("POST", "/rollouts", { ...call, body: { ...call.body, seed: 9 } });
    expect([other.status, other.body.error?.code]).toEqual([409, "api/idempotency-key"]);
    expect((await site.call("POST", "/rollouts", { ...call, headers: { "idempotency-key": "\u00e9" } })).status).toBe(400);
  });
});

describe("trouble", () => {
  test("when the log cannot be written nothing is acknowledged, and health says so", async () => {
    const site = await new Site().rollout();
    site.log.failure = new Error("no space left");
    const halt = await site.call("POST", "/rollouts/r1/halt", { body: order() });
    expect([halt.status, halt.body.error?.code]).toEqual([503, "store/write-failed"]);
    expect((await site.call("GET", "/healthz")).status).toBe(503);
    expect(site.bugs).toEqual([]);
  });
});
