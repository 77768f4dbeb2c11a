// SPDX-License-Identifier: Apache-2.0
// Bad input: a clear error naming the field, nothing started, nothing lost, and never a 5xx.
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loopbackHosts } from "./guard.ts";
import { plan, Site } from "./testing/site.ts";

const authority = { by: "ada", reason: "why" };
const rollout = { release: "1.1.0", plan, ...authority };
const huge = "x".repeat(300_000);
const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;

let site: Site;
let events = 0;

beforeEach(async () => {
  site = await new Site().rollout();
  events = site.log.length;
});

afterEach(async () => {
  expect(site.bugs).toEqual([]);
  await site.api.close();
});

/** [what, method, url, body, status, message] */
const rows: readonly (readonly [string, "GET" | "POST" | "PUT", string, unknown, number, RegExp])[] = [
  ["an unknown route", "GET", "/nowhere", undefined, 404, /there is no GET \/nowhere/],
  ["a number that is none", "GET", "/devices?limit=ten", undefined, 400, /query\.limit/],
  ["a limit of nothing", "GET", "/devices?limit=0", undefined, 400, /query\.limit: must be from 1 to 1000/],
  ["an unknown filter", "GET", "/devices?colour=red", undefined, 400, /colour/],
  ["a filter twice", "GET", "/devices?tag=a&tag=b", undefined, 400, /query\.tag/],
  ["a device id with #", "GET", "/devices/a%23b", undefined, 400, /device id "a#b"/],
  ["a device id with /", "POST", "/devices/a%2Fb/tags", { add: ["x"], ...authority }, 400, /device id "a\/b"/],
  ["a path that climbs", "GET", "/devices/..%2f..%2fetc%2fpasswd", undefined, 400, /device id/],
  ["broken percent encoding", "GET", "/devices/%E0%A4%A", undefined, 400, /./],
  ["a rollout id of NUL", "GET", "/rollouts/%00", undefined, 400, /rollout id/],
  ["no body", "POST", "/cohorts", undefined, 400, /body/],
  ["a body that is no JSON", "POST", "/cohorts", "{", 400, /position 1/],
  ["a body of null", "POST", "/cohorts", "null", 400, /body/],
  ["a body of a number", "POST", "/rollouts", "1e999", 400, /body/],
  ["a body 100,000 arrays deep", "POST", "/rollouts", deep, 400, /body/],
  ["a plan 100,000 arrays deep", "POST", "/rollouts", `{"release":"1.1.0","by":"a","plan":{"gates":${deep}}}`, 400, /gates/],
  ["__proto__", "POST", "/cohorts", '{"__proto__":{"by":"x"},"name":"a","selector":{}}', 400, /__proto__/],
  ["constructor.prototype", "POST", "/cohorts", '{"constructor":{"prototype":{"by":"x"}},"name":"a","selector":{}}', 400, /prototype/],
  ["__proto__ as an attribute", "POST", "/cohorts", '{"name":"a","selector":{"attributes":{"__proto__":"x"}},"by":"a"}', 400, /__proto__/],
  ["an unknown field", "POST", "/cohorts", { name: "a", selector: {}, surprise: 1, ...authority }, 400, /surprise/],
  ["a wrong type", "POST", "/cohorts", { name: 7, selector: {}, ...authority }, 400, /body\.name/],
  ["nobody", "POST", "/cohorts", { name: "a", selector: {}, by: " ", reason: "" }, 400, /body\.by/],
  ["a cohort name with a newline", "POST", "/cohorts", { name: "a\nb", selector: {}, ...authority }, 400, /cohort name/],
  ["an id with # in a selector", "POST", "/cohorts", { name: "a", selector: { ids: ["#"] }, ...authority }, 400, /device id "#"/],
  ["a tag that is markup", "POST", "/devices/d0/tags", { add: ["<script>"], ...authority }, 400, /body\.add\.0/],
  ["a reason of 300 KB", "POST", "/rollouts/r1/halt", { by: "ada", reason: huge }, 400, /body\.reason/],
  ["a body of more than 1 MiB", "POST", "/cohorts", { name: "a", selector: { ids: Array.from({ length: 5 }, () => huge) }, ...authority }, 413, /./],
  ["a form", "POST", "/rollouts/r1/halt", { "content-type": "application/x-www-form-urlencoded" }, 415, /./],
  ["plain text", "POST", "/rollouts/r1/halt", { "content-type": "text/plain" }, 415, /./],
  ["an artifact as JSON", "PUT", "/artifacts", { a: 1 }, 400, /bytes/],
  ["an artifact of nothing", "PUT", "/artifacts", undefined, 400, /bytes/],
  ["a digest in capitals", "POST", "/releases", { id: "x", artifacts: [{ digest: "A".repeat(64), variant: { board: "b", revision: "", partitionMap: "p" } }], ...authority }, 400, /artifacts\.0\.digest/],
  ["a release of nothing", "POST", "/releases", { id: "x", artifacts: [], ...authority }, 400, /at least one artifact/],
  ["a release of unknown hardware", "POST", "/releases", { id: "x", artifacts: [{ digest: "0".repeat(64), variant: { board: "", revision: "", partitionMap: "" } }], ...authority }, 400, /variant\.board/],
  ["an unknown release", "POST", "/rollouts", { ...rollout, release: "9.9.9" }, 404, /no release 9\.9\.9/],
  ["an unknown cohort", "POST", "/rollouts", { ...rollout, cohort: "none" }, 404, /no cohort none/],
  ["an overlap (R3)", "POST", "/rollouts", rollout, 409, /10 devices are in rollout r1/],
  ["a selector of nobody (R7)", "POST", "/rollouts", { ...rollout, selector: { ids: ["nobody"] } }, 409, /no device can take/],
  ["a seed that is no number", "POST", "/rollouts", { ...rollout, seed: "7" }, 400, /body\.seed/],
  ["a stage of 0 %", "POST", "/rollouts", { ...rollout, plan: { ...plan, stages: ["0%", "100%"] } }, 400, /0 % is not above 0/],
  ["a stage of 101 %", "POST", "/rollouts", { ...rollout, plan: { ...plan, stages: ["101%"] } }, 400, /101 %/],
  ["stages that fall", "POST", "/rollouts", { ...rollout, plan: { ...plan, stages: ["50%", "10%", "100%"] } }, 400, /does not rise/],
  ["an alias bomb", "POST", "/rollouts", { ...rollout, plan: "a: &a [1,1]\nb: &b [*a,*a]\nc: [*b,*b]\ngates: default\n" }, 400, /aliases/],
  ["a plan of 300 KB", "POST", "/rollouts", { ...rollout, plan: huge }, 400, /body\.plan/],
  ["an order for an unknown rollout", "POST", "/rollouts/none/halt", authority, 404, /no rollout none/],
  ["both ends of the audit", "GET", "/audit?after=1&before=2", undefined, 400, /exclude/],
  ["a sequence below zero", "GET", "/audit?after=-1", undefined, 400, /query\.after/],
  ["a report in a format we lack", "GET", "/rollouts/r1/report?format=pdf", undefined, 400, /query\.format/],
];

describe("bad input", () => {
  test.each(rows)("%s is refused by name and changes nothing", async (_what, method, url, body, status, message) => {
    const given = body as { "content-type"?: string } | undefined;
    const type = typeof body === "string" ? { "content-type": "application/json" } : undefined;
    const answer =
      given !== undefined && typeof given === "object" && given["content-type"] !== undefined
        ? await site.call(method, url, { headers: { "content-type": given["content-type"] }, body: "by=x&reason=y" })
        : await site.call(method, url, { body, ...(type === undefined ? {} : { headers: type }) });
    expect([answer.status, answer.body.error?.message]).toEqual([status, expect.stringMatching(message)]);
    expect(Object.keys(answer.body)).toEqual(["error"]);
    expect(answer.body.error).toEqual({ code: expect.stringMatching(/^[a-z]+\/[a-z-]+$/) as string, message: expect.any(String) as string });
    expect(site.log.length).toBe(events);
    expect(({} as Record<string, unknown>)["by"]).toBe(undefined);
  });

  test("any JSON at any route is answered below 500 and leaves the log as it was or one order longer", async () => {
    const routes = ["/cohorts", "/releases", "/rollouts", "/rollouts/plan", "/rollouts/r1/hold", "/rollouts/r1/excuse", "/devices/d0/tags"];
    const field = fc.constantFrom("by", "reason", "name", "selector", "id", "artifacts", "plan", "release", "seed", "add", "device", "stages", "gates", "digest", "variant");
    const body = fc.oneof(fc.jsonValue({ maxDepth: 3 }), fc.dictionary(field, fc.jsonValue({ maxDepth: 3 }), { maxKeys: 8 }), fc.dictionary(field, fc.dictionary(field, fc.jsonValue({ maxDepth: 2 }))));
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...routes), body, async (url, value) => {
        const answer = await site.call("POST", url, { headers: { "content-type": "application/json" }, body: JSON.stringify(value) });
        expect(answer.status).toBeLessThan(500);
      }),
      { numRuns: 300 },
    );
  });

  test("any query string is answered below 500", async () => {
    const urls = ["/devices", "/audit", "/rollouts/r1/members", "/releases/1.1.0/preflight", "/rollouts/r1/report", "/fleet/rows", "/devices/d0/timeline"];
    const key = fc.constantFrom("limit", "after", "before", "state", "type", "tag", "format", "outcome", "brief", "skip", "attribute", "silent", "__proto__", "constructor");
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...urls), fc.array(fc.tuple(key, fc.string({ unit: "binary" })), { maxLength: 4 }), async (url, pairs) => {
        const query = pairs.map(([name, value]) => `${name}=${encodeURIComponent(value.toWellFormed())}`).join("&");
        const answer = await site.call("GET", `${url}?${query}`);
        expect(answer.status).toBeLessThan(500);
      }),
      { numRuns: 200 },
    );
  });
});

describe("who may ask", () => {
  test("a foreign Host header is refused on a loopback listener: DNS rebinding", async () => {
    const guarded = await new Site({ hosts: loopbackHosts }).fleet(1);
    const ask = (host: string) => guarded.call("GET", "/devices", { headers: { host } });
    for (const host of ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST"]) {
      expect([host, (await ask(host)).status]).toEqual([host, 200]);
    }
    for (const host of ["evil.example", "127.0.0.1.evil.example", "localhost.evil:80", "a@localhost"]) {
      expect([host, (await ask(host)).body.error?.code]).toEqual([host, "api/host"]);
    }
  });

  test("a page of another site can order nothing", async () => {
    const halt = (headers: Record<string, string>) => site.call("POST", "/rollouts/r1/halt", { headers, body: authority });
    for (const headers of [{ origin: "https://evil.example" }, { origin: "null" }, { "sec-fetch-site": "cross-site" }, { origin: "http://localhost:9" }]) {
      expect([headers, (await halt(headers)).body.error?.code]).toEqual([headers, "api/origin"]);
    }
    expect((await halt({ origin: "http://localhost", "sec-fetch-site": "same-origin" })).status).toBe(200);
  });

  test("with a token nothing but health is open; guessing is slowed down", async () => {
    const guarded = new Site({ token: "s3cret-token" });
    const ask = (authorization?: string, url = "/devices") => guarded.call("GET", url, { headers: authorization === undefined ? {} : { authorization } });
    expect((await ask()).status).toBe(401);
    expect((await ask(undefined, "/openapi.json")).status).toBe(401);
    expect((await ask(undefined, "/healthz")).status).toBe(200);
    expect((await ask("Bearer s3cret-token")).status).toBe(200);
    for (const wrong of ["Bearer s3cret-tokem", "Bearer ", "Basic s3cret-token", "s3cret-token"]) {
      const answer = await ask(wrong);
      expect([wrong, answer.status, answer.headers["www-authenticate"]]).toEqual([wrong, 401, "Bearer"]);
    }
    const later = await Promise.all(Array.from({ length: 12 }, () => ask("Bearer guess")));
    expect(later.at(-1)?.status).toBe(429);
  });

  test("one address cannot ask without end", async () => {
    const slow = new Site({ requestsPerSecond: 5 });
    const answers = await Promise.all(Array.from({ length: 20 }, () => slow.call("GET", "/counters")));
    expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(10);
    const refused = answers.find(({ status }) => status === 429);
    expect(refused?.headers["retry-after"]).toBe("1");
  });

  test("every answer carries the security headers, errors too", async () => {
    for (const url of ["/devices", "/nowhere", "/devices?limit=x", "/healthz"]) {
      const { headers } = await site.call("GET", url);
      expect({ url, ...headers }).toMatchObject({ url, "x-content-type-options": "nosniff", "cache-control": "no-store", "x-frame-options": "DENY" });
      expect(headers["content-security-policy"]).toMatch(/default-src 'self'.*frame-ancestors 'none'/);
      expect(headers["access-control-allow-origin"]).toBe(undefined);
    }
  });
});
