// SPDX-License-Identifier: Apache-2.0
// The page with a large fleet behind it: `npm run bench:dashboard [-- --devices 10000 --minutes 5 --speed 10 --json]`.
//
// `serve` and `sim fleet` run as processes of their own over real MQTT; a rollout is under way while a real browser looks.
// Measured: the time to the first view with a cold cache, long tasks, and the page's heap after collection over the minutes.
import { findBrowser, openBrowser } from "@coalmine/dashboard/browser";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import type { Page } from "playwright-core";
import { complete, start } from "./processes.ts";

const { values } = parseArgs({ options: { devices: { type: "string", default: "10000" }, minutes: { type: "string", default: "5" }, speed: { type: "string", default: "10" }, json: { type: "boolean", default: false } } });
const devices = Number(values.devices);
const minutes = Number(values.minutes);

/** What the page must keep, on a machine that does nothing else. */
const bounds = { firstViewMs: 2_000, heapGrowthMegabytes: 2 };

interface Heap {
  readonly page: Visited;
  readonly minute: number;
  readonly megabytes: number;
}

/** What `sim release --json` says. */
interface Release {
  readonly publicKey: string;
  readonly artifacts: readonly { readonly variant: string; readonly file: string }[];
}

const say = (line: string): void => void process.stderr.write(`${line}\n`);

async function main(): Promise<number> {
  const executable = findBrowser();
  if (executable === undefined) {
    say("there is no browser: apt-get install chromium, or set CHROMIUM");
    return 4;
  }
  const folder = await mkdtemp(join(tmpdir(), "coalmine-bench-dashboard-"));
  const release = JSON.parse(await complete(["sim", "release", "1.1.0", "--out", join(folder, "release"), "--json"])) as Release;
  const serve = start(["serve", "--data", join(folder, "data"), "--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0", "--speed", values.speed, "--key", release.publicKey]);
  const [, http = "", mqtt = ""] = await serve.line(/^ready http=(\S+) mqtt=(\S+)/);
  const fleet = start(["sim", "fleet", "--connect", mqtt, "--devices", String(devices), "--speed", values.speed]);
  try {
    await connected(http);
    await startRollout(http, release);
    const result = { devices, speed: Number(values.speed), minutes, ...(await look(http, executable)) };
    process.stdout.write(values.json ? `${JSON.stringify(result, null, 2)}\n` : describe(result));
    return result.firstViewMs <= bounds.firstViewMs && result.heapGrowthMegabytes <= bounds.heapGrowthMegabytes ? 0 : 1;
  } finally {
    await fleet.end();
    await serve.end();
    await rm(folder, { recursive: true, force: true });
  }
}

async function connected(http: string): Promise<void> {
  for (let known = 0; known < devices; ) {
    await sleep(2_000);
    ({ devices: known } = (await (await fetch(`${http}/fleet`)).json()) as { devices: number });
    say(`${known} of ${devices} devices are known`);
  }
}

async function startRollout(http: string, release: Release): Promise<void> {
  await complete(["release", "create", "1.1.0", "--url", http, ...release.artifacts.flatMap(({ variant, file }) => ["--artifact", `${variant}=${file}`])]);
  const plan = { name: "bench", stages: [{ name: "canary", count: Math.ceil(devices / 20) }, "40%", "100%"], strata: ["hardware", "connectivity"], gates: "default", offers: { perMinute: 600, jitter: "30s" }, soak: { min: "20m", max: "6h", dutyCycles: 1 } };
  const answer = await fetch(`${http}/rollouts`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ release: "1.1.0", plan, by: "bench", reason: "to look at" }) });
  if (answer.status !== 201) {
    throw new Error(`the rollout did not start: ${await answer.text()}`);
  }
}

const pages = {
  fleet: { hash: "#/", ready: ".list-row a", restMs: 9_000 },
  inventory: { hash: "#/way-back", ready: ".ways .list-row a", restMs: 9_000 },
  rollout: { hash: "#/rollouts/r1", ready: ".gate canvas", restMs: 15_000 },
} as const;
type Visited = keyof typeof pages;
const visits = Object.keys(pages) as Visited[];

const watch = `
  globalThis.seen = { long: [], first: null };
  new PerformanceObserver((list) => { for (const { duration } of list.getEntries()) globalThis.seen.long.push({ ms: Math.round(duration), at: location.hash }); }).observe({ type: "longtask", buffered: true });
  addEventListener("DOMContentLoaded", () => new MutationObserver((_, observer) => {
    if (document.querySelector(".list-row a") !== null) { globalThis.seen.first = Math.round(performance.now()); observer.disconnect(); }
  }).observe(document, { childList: true, subtree: true }));
`;

async function look(http: string, executable: string) {
  const browser = await openBrowser(executable);
  try {
    // The first one builds the page where that was not done yet; what is measured comes after.
    await fetch(`${http}/`);
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    page.setDefaultTimeout(120_000);
    const trouble: string[] = [];
    page.on("pageerror", (error) => trouble.push(error.message));
    await page.addInitScript(watch);
    await page.goto(`${http}/#/`);
    await page.locator(".list-row a").first().waitFor();
    const firstViewMs = (await page.evaluate("globalThis.seen.first")) as number;
    say(`first view after ${firstViewMs} ms`);
    const heaps = await stay(page);
    const tasks = (await page.evaluate("globalThis.seen.long")) as { readonly ms: number; readonly at: string }[];
    const long = tasks.map(({ ms }) => ms);
    const over = tasks.filter(({ ms }) => ms > 100);
    over.forEach(({ ms, at }) => say(`a task of ${ms} ms at ${at}`));
    const rates = (await (await fetch(`${http}/counters`)).json()) as { reports: number };
    return {
      firstViewMs,
      longTasks: { over50ms: long.length, over100ms: over.length, longestMs: Math.max(0, ...long) },
      heaps,
      heapGrowthMegabytes: growth(heaps),
      reports: rates.reports,
      trouble,
    };
  } finally {
    await browser.close();
  }
}

/** Looks at the lists and the rollout in turn, scrolls, and weighs the heap after collection. */
async function stay(page: Page): Promise<Heap[]> {
  const session = await page.context().newCDPSession(page);
  const heaps: Heap[] = [];
  const began = performance.now();
  for (let round = 0; performance.now() - began < minutes * 60_000; round += 1) {
    const visited = visits[round % visits.length] as Visited;
    const { hash, ready, restMs } = pages[visited];
    await page.evaluate(`location.hash = "${hash}"`);
    await page.locator(ready).first().waitFor();
    for (let step = 0; step < 20 && visited !== "rollout"; step += 1) {
      await page.evaluate(`document.querySelector(".scroller").scrollTop += ${step % 2 === 0 ? 4_000 : 300}`);
      await sleep(150);
    }
    await sleep(restMs);
    await session.send("HeapProfiler.collectGarbage");
    const { usedSize } = (await session.send("Runtime.getHeapUsage")) as { usedSize: number };
    const heap = { page: visited, minute: Number(((performance.now() - began) / 60_000).toFixed(2)), megabytes: Number((usedSize / 1_048_576).toFixed(2)) };
    heaps.push(heap);
    say(`${heap.minute} min, ${heap.page}: ${heap.megabytes} MB`);
  }
  return heaps;
}

/** Of the page that grew most. */
function growth(heaps: readonly Heap[]): number {
  return Math.max(...visits.map((page) => growthOf(heaps.filter((heap) => heap.page === page))));
}

/** Median of the last third less that of the second: what came first is caches that fill. */
function growthOf(heaps: readonly Heap[]): number {
  if (heaps.length < 2) {
    return 0; // one look tells of no growth
  }
  const third = Math.max(1, Math.floor(heaps.length / 3));
  const median = (part: readonly Heap[]): number => part.map((heap) => heap.megabytes).sort((a, b) => a - b)[Math.floor(part.length / 2)] ?? 0;
  return Number((median(heaps.slice(-third)) - median(heaps.slice(-2 * third, -third))).toFixed(2));
}

function describe(result: Awaited<ReturnType<typeof look>> & { readonly devices: number; readonly minutes: number }): string {
  const { longTasks, heaps } = result;
  return [
    `${result.devices} devices over MQTT, ${result.reports} reports taken in, ${result.minutes} minutes`,
    `first view       ${result.firstViewMs} ms (at most ${bounds.firstViewMs})`,
    `long tasks       ${longTasks.over100ms} over 100 ms, ${longTasks.over50ms} over 50 ms, longest ${longTasks.longestMs} ms`,
    `heap             ${heaps.map((heap) => heap.megabytes).join(", ")} MB`,
    `heap growth      ${result.heapGrowthMegabytes} MB from the second third to the last (at most ${bounds.heapGrowthMegabytes})`,
    `errors           ${result.trouble.length === 0 ? "none" : result.trouble.join("; ")}`,
    "",
  ].join("\n");
}

process.exitCode = await main();
