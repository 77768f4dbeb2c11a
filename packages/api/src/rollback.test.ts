// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { rollbackInventory, rollbackPlan, rollbackStarted, rollout } from "./schemas.ts";
import { Site } from "./testing/site.ts";
import { wayBackPage } from "./way-back-schemas.ts";

/** Release 1.0.0 is known, and both canaries of r1 run 1.1.0 for good. */
async function reached(): Promise<{ readonly site: Site; readonly canaries: readonly string[] }> {
  const site = await new Site().rollout();
  await site.release("1.0.0");
  const artifact = site.host.conductor.state.releases.get("1.1.0" as never)?.artifacts[0];
  const canaries = site.sent.map(({ device }) => device as string);
  for (const canary of canaries) {
    await site.hello(canary, { boot: 2, version: "1.1.0", imageHash: Uint8Array.fromHex(artifact?.imageHash ?? "") });
  }
  return { site, canaries };
}

test("a rollback is planned, then started: both answers have the shape they promise, and the rollout is over", async () => {
  const { site, canaries } = await reached();
  const body = { rollout: "r1", to: "1.0.0" };
  const planned = await site.call("POST", "/rollbacks/plan", { body });
  expect(planned.status).toBe(200);
  expect(rollbackPlan.strict().safeParse(planned.body).error?.issues).toBeUndefined();
  expect(planned.body).toMatchObject({ of: "r1", from: "1.1.0", to: "1.0.0", total: 2, members: 2, mayBeRefused: 2, counts: { download: 2, "swap-back": 0 } });
  expect((await site.call("POST", "/rollbacks", { body: { ...body, by: "ada" } })).status).toBe(400);
  const started = await site.call("POST", "/rollbacks", { body: { ...body, by: "ada", reason: "overheats" } });
  expect([started.status, started.headers["location"]]).toEqual([201, "/rollouts/r2"]);
  expect(rollbackStarted.safeParse(started.body).error?.issues).toBeUndefined();
  const left = await site.call("GET", "/rollouts/r1");
  expect(rollout.safeParse(left.body).error?.issues).toBeUndefined();
  expect(left.body).toMatchObject({ status: "aborted", outcome: "halted", rolledBackBy: ["r2"], haltedBy: { reason: "overheats" } });
  expect((await site.call("GET", "/rollouts/r2")).body).toMatchObject({ release: "1.0.0", rollback: { of: "r1", from: "1.1.0", emergency: false }, population: canaries.length });
  const audit = await site.call("GET", "/audit?rollout=r1&brief=true");
  expect((audit.body["records"] as { type: string; rollout: string }[]).map(({ type, rollout: id }) => `${type} ${id}`)).toContain("rollout-started r2");
});

test("the inventory says who could go back, in the shape it promises", async () => {
  const { site } = await reached();
  const made = await site.call("GET", "/rollbacks/inventory?strata=hardware,site");
  expect(rollbackInventory.strict().safeParse(made.body).error?.issues).toBeUndefined();
  expect(made.body).toMatchObject({ devices: 10, able: 0, share: 0, byStratum: [{ stratum: "revA|field", devices: 10 }], reasons: [{ reason: "its other slot holds no intact image", devices: 10 }] });
  expect((await site.call("GET", "/rollbacks/inventory?release=1.1.0")).body).toMatchObject({ devices: 2 });
});

test("what stands in the way of a rollback is said with a status of its own", async () => {
  const { site } = await reached();
  const plan = async (body: Record<string, unknown>) => {
    const answer = await site.call("POST", "/rollbacks/plan", { body });
    return [answer.status, answer.body.error?.code];
  };
  expect(await plan({ rollout: "r9" })).toEqual([404, "rollout/unknown"]);
  expect(await plan({ rollout: "r1", to: "3.0.0" })).toEqual([404, "release/unknown"]);
  expect(await plan({ rollout: "r1", to: "1.1.0" })).toEqual([400, "rollback/same-release"]);
  // Nobody has said what lies in its slot 1.
  expect(await plan({ rollout: "r1" })).toEqual([409, "rollback/no-target"]);
});

test("the rollback inventory device by device: any part of it, by release, way and id, with counts that sum", async () => {
  const { site, canaries } = await reached();
  const get = async (query: string) => (await site.call("GET", `/rollbacks/inventory/devices${query}`)).body;
  const all = await get("");
  expect(wayBackPage.strict().safeParse(all).error?.issues).toBeUndefined();
  expect(all).toMatchObject({ devices: 10, total: 10, last: 0, counts: { download: 2, none: 8, "swap-back": 0 } });
  expect(await get("?release=1.1.0")).toMatchObject({ devices: 2, total: 2, rows: [...canaries].sort().map((device) => ({ device, release: "1.1.0", way: "download", to: "1.0.0", slot1: null })) });
  expect(await get("?way=none&skip=7&limit=5")).toMatchObject({ total: 8, skip: 7, rows: [{ way: "none" }] });
  expect(await get(`?text=${canaries[0]}`)).toMatchObject({ devices: 10, total: 1 });
  expect(await get("?last=true")).toMatchObject({ total: 0, rows: [] });
  expect((await site.call("GET", "/rollbacks/inventory/devices?way=sideways")).status).toBe(400);
});
