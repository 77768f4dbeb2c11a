// SPDX-License-Identifier: Apache-2.0
// The server as stock clients see it: over its routes, and over a socket where slowness matters.
import { CoalmineError, deviceId, type DeviceId, instant } from "@coalmine/core";
import { decodeReport, type Offer } from "@coalmine/protocol";
import { FakeLinkHost } from "@coalmine/testkit";
import { createHash } from "node:crypto";
import { connect } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { DdiDevices, ddiLink, type DdiLinkOptions } from "./link.ts";
import { ddiServer } from "./server.ts";

const id = deviceId("gate-1");
const sha = (algorithm: string, data: Uint8Array | string): string => createHash(algorithm).update(data).digest("hex");
const artifact = new Uint8Array(300_000).map((_, index) => index % 251);
artifact.set(new TextEncoder().encode("070702"));

function offerOf(offer: number): Offer {
  return {
    kind: "offer",
    offer,
    release: "1.1.0",
    version: "1.1.0",
    variant: { board: "gate", revision: "1", partitionMap: "ab" },
    digest: Uint8Array.fromHex(sha("sha256", artifact)),
    imageHash: Uint8Array.fromHex(sha("sha256", artifact)),
    size: artifact.length,
    jitter_s: 0,
    confirm: { minUptime_s: 60, deadline_s: 600, serverContact: true },
  };
}

function site(options: Partial<DdiLinkOptions> = {}) {
  const host = new FakeLinkHost();
  host.artifact = artifact;
  const clock = { at: 1_000_000, now: () => instant(clock.at) };
  const all: DdiLinkOptions = { port: 0, clock, poll_s: 300, ...options };
  const devices = new DdiDevices(all, host);
  const app = ddiServer(devices, all, host);
  const call = async (method: "GET" | "PUT" | "POST" | "HEAD", path: string, body?: unknown, headers: Record<string, string> = {}) =>
    app.inject({ method, url: path, headers: { host: "update.example:8081", ...(body === undefined ? {} : { "content-type": "application/json;charset=UTF-8" }), ...headers }, ...(body === undefined ? {} : { payload: typeof body === "string" ? body : JSON.stringify(body) }) });
  const offered = async (offer = offerOf(7), device: DeviceId = id): Promise<void> => {
    host.offered.add(`${device}/${offer.offer}`);
    await devices.command(device, offer);
  };
  const said = (): string[] =>
    host.reports.map(({ bytes }) => {
      const decoded = decodeReport(bytes);
      return decoded.kind === "ok" ? (decoded.value.body.kind === "progress" ? decoded.value.body.state : decoded.value.body.kind) : "undecodable";
    });
  return { host, clock, devices, app, call, offered, said };
}

const root = "/DEFAULT/controller/v1/gate-1";
const feedback = (execution: string, finished = "none", details: string[] = []) => ({ id: "7", time: "", status: { execution, result: { finished }, details } });

describe("what stock clients read", () => {
  test("the root says when to come again, in eight characters, a tenth around the interval", async () => {
    const { call, clock } = site();
    const sleeps = new Set<string>();
    for (let round = 0; round < 20; round += 1) {
      const { config, _links } = (await call("GET", root)).json<{ config: { polling: { sleep: string } }; _links: object }>();
      expect(config.polling.sleep).toMatch(/^00:0[45]:\d\d$/);
      expect(_links).toEqual({ configData: { href: `http://update.example:8081${root}/configData` } });
      sleeps.add(config.polling.sleep);
      clock.at += 1_000;
    }
    expect(sleeps.size).toBeGreaterThan(5);
  });

  test("a deployment is one chunk bApp with one artifact, its three checksums, and links that fit Zephyr's buffers", async () => {
    const { call, offered, devices, app } = site();
    const longest = deviceId("x".repeat(64));
    await offered(offerOf(7));
    await offered(offerOf(9_007_199_254), longest);
    await call("PUT", `${root}/configData`, { mode: "merge", data: { VIN: "0123", hwRevision: "3" }, id: "", time: "", status: { execution: "closed", result: { finished: "success" } } });
    const { _links } = (await call("GET", root)).json<{ _links: Record<string, { href: string }> }>();
    expect(Object.keys(_links)).toEqual(["deploymentBase"]);
    const href = new URL(_links["deploymentBase"]?.href as string);
    const { id: action, deployment } = (await call("GET", href.pathname + href.search)).json<{ id: string; deployment: Record<string, unknown> }>();
    expect(action).toBe("7");
    const name = `${sha("sha256", artifact).slice(0, 16)}.swu`;
    const file = `http://update.example:8081${root}/softwaremodules/7/artifacts/${name}`;
    expect(deployment).toEqual({
      download: "forced",
      update: "forced",
      chunks: [
        {
          part: "bApp",
          version: "1.1.0",
          name: "1.1.0",
          artifacts: [
            {
              filename: name,
              hashes: { sha1: sha("sha1", artifact), md5: sha("md5", artifact), sha256: sha("sha256", artifact) },
              size: artifact.length,
              _links: { "download-http": { href: file }, "md5sum-http": { href: `${file}.MD5SUM` } },
            },
          ],
        },
      ],
    });
    expect((await call("GET", `${new URL(file).pathname}.MD5SUM`)).body).toBe(`${sha("md5", artifact)}  ${name}\n`);
    const far = await app.inject({ url: `/DEFAULT/controller/v1/${longest}`, headers: { host: "h" } });
    const link = far.json<{ _links: { deploymentBase: { href: string } } }>()._links.deploymentBase.href;
    // CANCEL_BASE_SIZE and DEPLOYMENT_BASE_SIZE 50, DOWNLOAD_HTTP_SIZE 200, counted from where Zephyr's client cuts.
    expect(link.slice(link.indexOf("deploymentBase/")).length).toBeLessThan(50);
    const there = await app.inject({ url: new URL(link).pathname, headers: { host: "h" } });
    const text = there.body;
    const download = /"download-http":\{"href":"([^"]+)"/.exec(text)?.[1] as string;
    expect(download.slice(download.indexOf("/DEFAULT/controller/v1")).length).toBeLessThan(200);
    expect(there.headers["content-length"]).toBe(String(text.length));
    void devices;
  });

  test("behind a proxy with TLS links name it, with and without -http", async () => {
    const { call, offered } = site({ publicUrl: "https://ota.example" });
    await offered();
    const body = (await call("GET", `${root}/deploymentBase/7`)).body;
    expect(body).toContain(`"download":{"href":"https://ota.example${root}/softwaremodules/7`);
    expect(body).toContain(`"download-http":{"href":"https://ota.example${root}/softwaremodules/7`);
  });

  test("an update runs from poll to success, each step durable before it is answered (I1)", async () => {
    const { call, offered, said, host, clock } = site();
    await call("PUT", `${root}/configData`, { data: { version: "1.0.0", board: "gate" } });
    await offered();
    const file = `${root}/softwaremodules/7/artifacts/${sha("sha256", artifact).slice(0, 16)}.swu`;
    expect((await call("GET", `${root}/deploymentBase/7`)).statusCode).toBe(200);
    expect((await call("POST", `${root}/deploymentBase/7/feedback`, feedback("proceeding"))).statusCode).toBe(200);
    const whole = await call("GET", file);
    expect(sha("sha256", whole.rawPayload)).toBe(sha("sha256", artifact));
    expect((await call("POST", `${root}/deploymentBase/7/feedback`, feedback("proceeding", "none", ["Installed"]))).statusCode).toBe(200);
    host.failure = new CoalmineError("store/write-failed", "disk full");
    const refused = await call("POST", `${root}/deploymentBase/7/feedback`, feedback("closed", "success"));
    expect([refused.statusCode, refused.headers["retry-after"], refused.body]).toEqual([503, "5", expect.stringContaining("not now")]);
    host.failure = undefined;
    clock.at += 400_000;
    expect((await call("GET", root)).statusCode).toBe(200);
    expect(said()).toEqual(["hello", "accepted", "downloading", "downloading", "downloading", "downloading", "downloaded", "applying", "testing"]);
    expect(said().includes("undecodable")).toBe(false);
  });
});

describe("downloads", () => {
  const file = `${root}/softwaremodules/7/artifacts/${sha("sha256", artifact).slice(0, 16)}.swu`;
  const etag = `"${sha("sha256", artifact)}"`;

  test("come in ranges, whole when the artifact changed meanwhile, and not again for whom has it", async () => {
    const { call, offered } = site();
    await offered();
    const part = await call("GET", file, undefined, { range: "bytes=1000-1999" });
    expect([part.statusCode, part.headers["content-range"], part.rawPayload.length]).toEqual([206, "bytes 1000-1999/300000", 1000]);
    expect(new Uint8Array(part.rawPayload)).toEqual(artifact.subarray(1000, 2000));
    expect((await call("GET", file, undefined, { range: "bytes=299000-", "if-range": etag })).rawPayload.length).toBe(1000);
    expect((await call("GET", file, undefined, { range: "bytes=-10" })).rawPayload.length).toBe(10);
    expect((await call("GET", file, undefined, { range: "bytes=299000-", "if-range": '"other"' })).statusCode).toBe(200);
    const beyond = await call("GET", file, undefined, { range: "bytes=300000-" });
    expect([beyond.statusCode, beyond.headers["content-range"]]).toEqual([416, "bytes */300000"]);
    for (const range of ["bytes=5-1", "bytes=a-b", "bytes=0-1,5-6", "lines=1-2", "bytes=-", "bytes=99999999999999999999-"]) {
      expect([range, (await call("GET", file, undefined, { range })).statusCode]).toEqual([range, 200]);
    }
    expect((await call("GET", file, undefined, { "if-none-match": etag })).statusCode).toBe(304);
    const head = await call("HEAD", file);
    expect([head.statusCode, head.headers["content-length"], head.headers["accept-ranges"], head.headers["etag"]]).toEqual([200, "300000", "bytes", etag]);
  });
});

describe("who may what", () => {
  const tokens = { targets: new Map([["gate-1", sha("sha256", "secret-of-gate-1")], ["gate-2", sha("sha256", "secret-of-gate-2")]]), gateways: [sha("sha256", "gateway")] };

  test("a token proves its own device, a gateway's every one, and nothing else anything", async () => {
    const { call } = site({ tokens });
    const status = async (authorization?: string): Promise<number> => (await call("GET", root, undefined, authorization === undefined ? {} : { authorization })).statusCode;
    expect(await status("TargetToken secret-of-gate-1")).toBe(200);
    expect(await status("GatewayToken gateway")).toBe(200);
    for (const wrong of [undefined, "", "TargetToken", "TargetToken secret-of-gate-2", "TargetToken gateway", "GatewayToken secret-of-gate-1", "Bearer secret-of-gate-1", `TargetToken ${"x".repeat(1_000)}`, "targettoken secret-of-gate-1"]) {
      expect([wrong, await status(wrong)]).toEqual([wrong, 401]);
    }
    expect((await call("GET", "/DEFAULT/controller/v1/nobody", undefined, { authorization: "TargetToken " })).statusCode).toBe(401);
  });

  test("feedback for an action that is over is 410, for one of another device 404; other devices are undisturbed", async () => {
    const { call, offered, host, devices } = site();
    await offered(offerOf(7));
    host.offered.add("gate-2/8").add("gate-1/3");
    const post = async (action: string, path = root): Promise<number> => (await call("POST", `${path}/deploymentBase/${action}/feedback`, feedback("closed", "failure"))).statusCode;
    expect(await post("8")).toBe(404);
    expect(await post("7", "/DEFAULT/controller/v1/gate-2")).toBe(404);
    expect(await post("3")).toBe(410);
    for (const odd of ["0", "-1", "7x", "1e3", "99999999999999999999", "%00"]) {
      expect([odd, await post(odd)]).toEqual([odd, 404]);
    }
    expect(devices.get(id).action?.phase).toBe("offered");
    expect(await post("7")).toBe(200);
    expect(await post("7")).toBe(410);
    expect((await call("GET", `${root}/deploymentBase/7`)).statusCode).toBe(410);
    expect((await call("GET", `${root}/softwaremodules/7/artifacts/${sha("sha256", artifact).slice(0, 16)}.swu`)).statusCode).toBe(410);
  });

  test("a cancellation hides the deployment, is answered once, and then is over", async () => {
    const { call, offered, devices, said } = site();
    await offered();
    await call("GET", `${root}/deploymentBase/7`);
    await devices.take(id, { kind: "clear" });
    await devices.command(id, { kind: "cancel", offer: 7 });
    const { _links } = (await call("GET", root)).json<{ _links: Record<string, { href: string }> }>();
    expect(Object.keys(_links)).toEqual(["cancelAction", "configData"]);
    expect((await call("GET", `${root}/cancelAction/7`)).json()).toEqual({ id: "7", cancelAction: { stopId: "7" } });
    expect((await call("GET", `${root}/cancelAction/9`)).statusCode).toBe(404);
    expect((await call("POST", `${root}/cancelAction/7/feedback`, { ...feedback("closed", "success"), id: 7 })).statusCode).toBe(200);
    expect((await call("POST", `${root}/cancelAction/7/feedback`, feedback("closed", "success"))).statusCode).toBe(410);
    expect(said()).toEqual(["accepted", "result"]);
  });

  test("a device whose download was withdrawn gets 410, other files and tenants 404", async () => {
    const { call, offered, host } = site();
    await offered();
    host.artifact = new Uint8Array(0);
    expect((await call("GET", `${root}/deploymentBase/7`)).statusCode).toBe(410);
    host.artifact = artifact;
    expect((await call("GET", `${root}/softwaremodules/7/artifacts/..%2f..%2fetc%2fpasswd`)).statusCode).toBe(404);
    expect((await call("GET", "/OTHER/controller/v1/gate-1")).statusCode).toBe(404);
    expect((await call("GET", "/DEFAULT/controller/v1/..%2fx")).statusCode).toBe(404);
    expect((await call("GET", `/DEFAULT/controller/v1/${"x".repeat(65)}`)).statusCode).toBe(404);
    expect((await call("GET", `${root}/confirmationBase`)).json()).toEqual({ autoConfirm: { active: true } });
  });
});

describe("bad input", () => {
  test("bodies that are no feedback are 400 and change nothing, whatever is in them", async () => {
    const { call, offered, devices, said } = site();
    await offered();
    const bodies = ["", "{", "[]", "null", "7", '"x"', '{"status":{}}', '{"status":{"execution":"gone","result":{"finished":"success"}}}', '{"status":{"execution":"closed"}}', `{"a":${"[".repeat(5_000)}`];
    for (const body of bodies) {
      expect([body, (await call("POST", `${root}/deploymentBase/7/feedback`, body)).statusCode]).toEqual([body, 400]);
    }
    for (const body of ["{}", '{"data":7}', '{"mode":"merge","data":{"a":{}}}', '{"mode":"dance","data":{}}']) {
      expect([body, (await call("PUT", `${root}/configData`, body)).statusCode]).toEqual([body, 400]);
    }
    expect((await call("POST", `${root}/deploymentBase/7/feedback`, `{"x":"${"y".repeat(70_000)}"}`)).statusCode).toBe(413);
    expect((await call("PUT", `${root}/configData`, '{"data":{"__proto__":{"a":1},"constructor":"x","toString":"y"}}')).statusCode).toBe(200);
    expect(({} as { a?: number }).a).toBeUndefined();
    expect(said()).toEqual(["hello"]);
    expect(devices.get(id).action?.phase).toBe("offered");
  });

  test("who asks too often is told when to come again, and the others are not", async () => {
    const { call } = site({ limits: { device: { burst: 5, perSecond: 0.5 } } });
    const answers = await Promise.all(Array.from({ length: 8 }, async () => call("GET", root)));
    expect(answers.map(({ statusCode }) => statusCode)).toEqual([200, 200, 200, 200, 200, 429, 429, 429]);
    expect(Number(answers.at(-1)?.headers["retry-after"])).toBeGreaterThan(0);
    expect((await call("GET", "/DEFAULT/controller/v1/gate-2")).statusCode).toBe(200);
  });

  test("a flood of invented ids is forgotten, devices with something to do are not", async () => {
    const { call, offered, devices } = site({ limits: { devices: 10, address: { burst: 1_000, perSecond: 1 } } });
    await offered();
    for (let n = 0; n < 100; n += 1) {
      await call("GET", `/DEFAULT/controller/v1/flood-${n}`);
    }
    expect(devices.get(id).action?.phase).toBe("offered");
  });
});

describe("over a socket", () => {
  const closing: (() => Promise<void>)[] = [];
  afterEach(async () => {
    await Promise.all(closing.splice(0).map(async (close) => close()));
  });

  async function served(limits: DdiLinkOptions["limits"]) {
    const host = new FakeLinkHost();
    // More than the buffers of both kernels hold, so that what the client does not read stays with us.
    host.artifact = new Uint8Array(48 * 1_048_576);
    host.artifact.set(new TextEncoder().encode("070701"));
    const warned = Promise.withResolvers<string>();
    const link = await ddiLink({ port: 0, clock: { now: () => instant(1_000_000) }, poll_s: 300, warn: warned.resolve, ...(limits === undefined ? {} : { limits }) }, host);
    closing.push(async () => link.close());
    await link.send(id, { ...offerOf(7), size: host.artifact.length, digest: new Uint8Array(32).fill(3) });
    return { host, link, port: Number(new URL(link.url).port), warned: warned.promise };
  }

  test("a client that reads a byte a second is cut off, another downloads meanwhile, and what waits for it is bounded", async () => {
    const { host, link, port, warned } = await served({ slowWindowMs: 200, slowBytesPerSecond: 1_000 });
    const path = `${root}/softwaremodules/7/artifacts/${"03".repeat(8)}.swu`;
    const slow = connect({ port, host: "127.0.0.1" });
    const cut = new Promise<void>((resolve) => slow.once("close", () => resolve()).on("error", () => undefined));
    slow.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`);
    await new Promise<void>((resolve) => slow.once("readable", () => resolve()));
    slow.read(1);
    const answer = await fetch(`${link.url}${path}`, { headers: { range: "bytes=0-2999999" } });
    expect((await answer.arrayBuffer()).byteLength).toBe(3_000_000);
    expect(await warned).toContain("gate-1 was cut off");
    const handedOut = Math.max(...host.requests.slice(1).map(({ request }) => request.offset));
    expect(handedOut).toBeLessThan(16 * 1_048_576);
    slow.resume();
    await cut;
    expect(slow.bytesRead).toBeLessThan(16 * 1_048_576);
  });

  test("a client that sends a byte a second is cut off after its time", async () => {
    const { port } = await served({ requestMs: 400, headerMs: 400 });
    const slow = connect({ port, host: "127.0.0.1" });
    const cut = new Promise<string>((resolve) => {
      let text = "";
      slow.setEncoding("utf8").on("data", (more: string) => (text += more)).once("close", () => resolve(text)).on("error", () => undefined);
    });
    slow.write(`POST ${root}/deploymentBase/7/feedback HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{`);
    expect(await cut).toMatch(/^HTTP\/1\.1 408 /);
  });
});
