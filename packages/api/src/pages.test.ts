// SPDX-License-Identifier: Apache-2.0
// The page's own files and its sessions: what is served to whom, and what never is.
import { beforeAll, describe, expect, test } from "vitest";
import type { PageFile } from "./pages.ts";
import { Site } from "./testing/site.ts";

const text = (content: string, type: string): PageFile => ({ bytes: new TextEncoder().encode(content), type });
const files = new Map<string, PageFile>([
  ["/", text("<!doctype html><title>page</title>", "text/html; charset=utf-8")],
  ["/assets/index-abc.js", text(`console.log("${"x".repeat(2_000)}")`, "text/javascript; charset=utf-8")],
]);

describe("the page", () => {
  let site: Site;
  beforeAll(() => {
    site = new Site({ pages: async () => files });
  });

  test("comes with every security header, and is kept as long as it is true", async () => {
    const page = await site.call("GET", "/");
    expect([page.status, page.text]).toEqual([200, "<!doctype html><title>page</title>"]);
    const { etag, ...headers } = page.headers;
    expect(Object.fromEntries(Object.entries(headers).filter(([name]) => !["date", "connection", "content-length"].includes(name)))).toMatchInlineSnapshot(`
      {
        "cache-control": "no-cache",
        "coalmine-version": "0.1.0",
        "content-security-policy": "default-src 'self'; script-src 'self'; object-src 'none'; frame-ancestors 'none'; base-uri 'none'",
        "content-type": "text/html; charset=utf-8",
        "cross-origin-resource-policy": "same-origin",
        "referrer-policy": "no-referrer",
        "vary": "accept-encoding",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
      }
    `);
    expect((await site.call("GET", "/", { headers: { "if-none-match": String(etag) } })).status).toBe(304);
    const asset = await site.call("GET", "/assets/index-abc.js", { headers: { "accept-encoding": "gzip, br" } });
    expect(asset.headers).toMatchObject({ "cache-control": "public, max-age=31536000, immutable", "content-encoding": "gzip", "x-content-type-options": "nosniff" });
    expect(Number(asset.headers["content-length"])).toBeLessThan(200);
  });

  test.each([
    "/assets/../package.json",
    "/assets/..%2f..%2fpackage.json",
    "/assets/%2e%2e/%2e%2e/etc/passwd",
    "/assets/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "/assets/..%5c..%5cwindows%5cwin.ini",
    "/assets/....//....//etc/passwd",
    "/assets/%252e%252e%252fetc%252fpasswd",
    "/assets//etc/passwd",
    "/assets/index-abc.js/../../x",
    "/assets/index-abc.js%00.html",
    "/assets/%c0%ae%c0%ae/etc/passwd",
    "/assets/file:///etc/passwd",
    "/assets/",
    "/assets",
    "/index.html",
    "/.git/config",
    "//evil.example/%2e%2e",
    "/assets/constructor",
    "/assets/__proto__",
  ])("%s is no file of it: an error in JSON, and nothing of the disk", async (url) => {
    const answer = await site.call("GET", url);
    expect([400, 404]).toContain(answer.status);
    expect(answer.body.error?.code).toMatch(/^http\//);
    expect(answer.text).not.toMatch(/root:|\[core\]|console\.log/);
    expect(answer.headers["content-security-policy"]).toMatch(/default-src 'self'/);
  });

  test("that cannot be built says so, and is tried again", async () => {
    let tries = 0;
    const broken = new Site({
      pages: async () => {
        tries += 1;
        if (tries === 1) {
          throw new Error("no disk");
        }
        return files;
      },
    });
    expect((await broken.call("GET", "/")).status).toBe(500);
    expect((await broken.call("GET", "/")).status).toBe(200);
  });
});

describe("a session", () => {
  const token = "s3cret-token-of-enough";
  const bearer = { authorization: `Bearer ${token}` };
  const order = { add: ["lab"], by: "ada", reason: "test" };

  async function guarded(): Promise<Site> {
    return new Site({ token, pages: async () => files }).fleet(1);
  }

  async function open(site: Site): Promise<{ readonly cookie: string; readonly csrf: string; readonly header: string }> {
    const answer = await site.call("POST", "/session", { headers: bearer });
    const header = String(answer.headers["set-cookie"]);
    return { cookie: header.split(";")[0] as string, csrf: String(answer.body["csrf"]), header };
  }

  test("needs the token once; its cookie is out of reach of scripts and other sites", async () => {
    const site = await guarded();
    expect((await site.call("GET", "/")).status).toBe(200);
    expect((await site.call("GET", "/session")).body).toEqual({ tokenNeeded: true, open: false, csrf: null });
    expect((await site.call("POST", "/session")).status).toBe(401);
    expect((await site.call("POST", "/session", { headers: { authorization: "Bearer wrong" } })).status).toBe(401);
    const { cookie, csrf, header } = await open(site);
    expect(header).toMatch(/^coalmine-session=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=43200$/);
    expect((await site.call("GET", "/devices", { headers: { cookie } })).status).toBe(200);
    expect((await site.call("GET", "/session", { headers: { cookie } })).body).toEqual({ tokenNeeded: true, open: true, csrf });
  });

  test("orders only with its own second secret; one that was ended orders nothing", async () => {
    const site = await guarded();
    const { cookie, csrf } = await open(site);
    const other = await open(site);
    const tag = async (headers: Record<string, string>) => (await site.call("POST", "/devices/d0/tags", { headers, body: order })).status;
    expect(await tag({ cookie })).toBe(403);
    expect(await tag({ cookie, "x-csrf-token": "guess" })).toBe(403);
    expect(await tag({ cookie, "x-csrf-token": other.csrf })).toBe(403);
    expect(await tag({ cookie, "x-csrf-token": csrf, origin: "https://evil.example" })).toBe(403);
    expect(await tag({ "x-csrf-token": csrf })).toBe(401);
    expect(await tag({ cookie, "x-csrf-token": csrf })).toBe(200);
    // A wrong bearer is not excused by a good cookie, and a cookie opens no new session.
    expect(await tag({ cookie, "x-csrf-token": csrf, authorization: "Bearer wrong" })).toBe(401);
    expect((await site.call("POST", "/session", { headers: { cookie } })).status).toBe(401);
    await site.api.inject({ method: "DELETE", url: "/session", headers: { cookie, host: "localhost" } });
    expect(await tag({ cookie, "x-csrf-token": csrf })).toBe(401);
  });

  test("is not needed where no token is", async () => {
    const site = await new Site().fleet(1);
    expect((await site.call("GET", "/session")).body).toEqual({ tokenNeeded: false, open: true, csrf: null });
    expect((await site.call("POST", "/session")).headers["set-cookie"]).toBe(undefined);
  });
});
