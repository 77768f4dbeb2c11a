// SPDX-License-Identifier: Apache-2.0
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { Site } from "./testing/site.ts";
import { retrySeconds, type WebhookPositions, Webhooks, webhookUrl } from "./webhooks.ts";

const secret = Buffer.from("a secret of twenty-four bytes or more");
const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A receiver that answers with the given statuses in turn, then 204. */
async function receiver(...statuses: number[]): Promise<{ readonly url: string; readonly got: Received[] }> {
  const got: Received[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (text: string) => (body += text)).on("end", () => {
      got.push({ headers: request.headers, body });
      response.writeHead(statuses.shift() ?? 204, { location: "http://127.0.0.1:1/elsewhere" }).end();
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`, got };
}

function memory(): WebhookPositions & { readonly known: Map<string, number> } {
  const known = new Map<string, number>();
  return { known, get: (url) => known.get(url), set: (url, sequence) => void known.set(url, sequence) };
}

function open(site: Site, url: string, positions: WebhookPositions, waited: number[] = []): Webhooks {
  return new Webhooks({
    targets: [{ url, secret }],
    log: site.log,
    feed: site.feed,
    positions,
    describe: () => ({ exposed: 2 }),
    wait: async (seconds) => void waited.push(seconds),
  });
}

const types = (got: readonly Received[]): string[] => got.map(({ body }) => (JSON.parse(body) as { type: string }).type);

describe("webhooks", () => {
  test("a halt is told once, signed as Standard Webhooks says, with who and why", async () => {
    const site = new Site();
    const { url, got } = await receiver();
    const hooks = open(site, url, memory());
    await site.rollout();
    await site.call("POST", "/rollouts/r1/halt", { body: { by: "ada", reason: "smoke" } });
    await hooks.settled();
    expect(types(got)).toEqual(["rollout.started", "rollout.stage-opened", "rollout.halted"]);
    const { headers, body } = got[2] as Received;
    expect(JSON.parse(body)).toMatchObject({ type: "rollout.halted", data: { rollout: "r1", by: "ada", reason: "smoke", exposed: 2 } });
    const expected = `v1,${createHmac("sha256", secret).update(`${String(headers["webhook-id"])}.${String(headers["webhook-timestamp"])}.${body}`).digest("base64")}`;
    expect(timingSafeEqual(Buffer.from(String(headers["webhook-signature"])), Buffer.from(expected))).toBe(true);
    expect(new Set(got.map((one) => one.headers["webhook-id"])).size).toBe(3);
    await hooks.close();
  });

  test("what fails is tried again in order, later and later, a redirect is no success, and it is given up after a day", async () => {
    const site = new Site();
    const waited: number[] = [];
    const { url, got } = await receiver(500, 302, 204, ...new Array<number>(retrySeconds.length + 1).fill(404));
    const hooks = open(site, url, memory(), waited);
    await site.rollout();
    await hooks.settled();
    expect(types(got)).toEqual([...new Array<string>(3).fill("rollout.started"), ...new Array<string>(retrySeconds.length + 1).fill("rollout.stage-opened")]);
    expect(waited).toEqual([5, 30, ...retrySeconds]);
    expect(hooks.stats).toEqual({ delivered: 1, failed: 2 + retrySeconds.length + 1, givenUp: 1 });
    await hooks.close();
  });

  test("a restart tells what was missed and nothing twice; a new target hears nothing of the past", async () => {
    const site = new Site();
    const { url, got } = await receiver();
    const positions = memory();
    const first = open(site, url, positions);
    await site.rollout();
    await first.settled();
    await first.close();
    await site.call("POST", "/rollouts/r1/halt", { body: { by: "ada", reason: "smoke" } });
    const second = open(site, url, positions);
    await second.settled();
    expect(types(got)).toEqual(["rollout.started", "rollout.stage-opened", "rollout.halted"]);
    await second.close();
    const later = await receiver();
    const third = open(site, later.url, memory());
    await third.settled();
    expect(later.got).toEqual([]);
    await third.close();
  });

  test("plain HTTP goes nowhere but to this machine", () => {
    expect(webhookUrl("http://127.0.0.1:9/x")).toBe("http://127.0.0.1:9/x");
    expect(webhookUrl("https://example.com/x")).toBe("https://example.com/x");
    for (const url of ["http://example.com/", "file:///etc/passwd", "https://user:pw@example.com/", "nonsense", "http://127.0.0.1.example.com/"]) {
      expect(() => webhookUrl(url)).toThrow(/webhook/);
    }
  });
});
