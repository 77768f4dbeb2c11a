// SPDX-License-Identifier: Apache-2.0
// The dashboard in a real browser: one browser, one orchestrator, devices that say what the test wants.
import { buildDump, buildElf, REGISTERS } from "@coalmine/coredump/testing";
import { findBrowser, openBrowser } from "@coalmine/dashboard/browser";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { DashboardSite } from "../testing/dashboard-site.ts";

const executable = findBrowser();
if (executable === undefined) {
  console.warn("skipped: there is no browser (apt-get install chromium, or set CHROMIUM)");
}

const evil = `"><img src=x onerror="globalThis.pwned=1"><script>//`;
/** Vitest's polls end after a second, which a busy machine needs for less. */
const patience = { timeout: 100_000 };
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

// Nothing here waits for time; a busy machine may take long all the same.
describe.skipIf(executable === undefined)("the dashboard", { timeout: 120_000 }, () => {
  let browser: Browser;
  let site: DashboardSite;
  const opened: BrowserContext[] = [];
  const ownSites: DashboardSite[] = [];
  const errors: string[] = [];

  beforeAll(async () => {
    [browser, site] = await Promise.all([openBrowser(executable as string), DashboardSite.start()]);
    for (let index = 0; index < 20; index += 1) {
      await site.hello(`d${index}`);
    }
  });

  /** Before a server ends its pages go: what a page asks of a server that is gone is an error on its console. */
  const closeTabs = async (): Promise<void> => {
    await Promise.all(opened.splice(0).map((context) => context.close()));
  };

  afterEach(async () => {
    await closeTabs();
    await Promise.all(ownSites.splice(0).map((own) => own.close()));
    expect(errors.splice(0)).toEqual([]);
  });

  afterAll(async () => {
    await browser?.close();
    await site?.close();
  });

  /** An orchestrator that only the test of now has; it ends with the test. */
  async function ownSite(options?: Parameters<typeof DashboardSite.start>[0]): Promise<DashboardSite> {
    const own = await DashboardSite.start(options);
    ownSites.push(own);
    return own;
  }

  async function tab(path: string, options: { readonly url?: string; readonly expected?: RegExp } = {}): Promise<Page> {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
    context.setDefaultTimeout(patience.timeout);
    opened.push(context);
    const page = await context.newPage();
    page.on("pageerror", (error) => errors.push(error.message));
    page.on("console", (message) => {
      // The browser itself reports every refused request there; the page shows those in words.
      if ((message.type() === "error" || message.type() === "warning") && options.expected?.test(message.text()) !== true) {
        errors.push(`${message.text()} (${message.location().url})`);
      }
    });
    await page.goto(`${options.url ?? site.url}/#/${path}`);
    return page;
  }

  /** What axe finds serious or worse on the page as it is, by rule; only these rules when they are named. */
  async function serious(page: Page, rules?: readonly string[]): Promise<string[]> {
    await page.evaluate(`globalThis.axe === undefined ? (() => { ${axe} })() : undefined`);
    const only = rules === undefined ? "" : `, runOnly: { type: 'rule', values: ${JSON.stringify(rules)} }`;
    const { violations } = (await page.evaluate(`axe.run(document, { resultTypes: ['violations']${only} })`)) as { readonly violations: { readonly id: string; readonly impact: string; readonly nodes: { readonly html: string }[] }[] };
    return violations.filter(({ impact }) => impact === "serious" || impact === "critical").map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 120)).join(" | ")}`);
  }

  const audit = async (type: string) => (await (await fetch(`${site.url}/audit?type=${type}`)).json()) as { readonly records: { readonly by: string; readonly reason: string; readonly rollout: string }[] };

  test("a halt by button needs a reason, stops the rollout and is in the audit", async () => {
    await site.release("1.1.0");
    await site.rollout("1.1.0", "halted");
    const page = await tab("rollouts/halted");
    await page.getByRole("button", { name: "Halt …" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Your name").fill("grace");
    await dialog.getByRole("button", { name: "Halt now" }).click();
    await expect.poll(() => dialog.getByRole("alert").textContent(), patience).toMatch(/needs your name and a reason/);
    expect(site.host.conductor.rollout("halted" as never).status).toBe("running");

    await dialog.getByLabel("Reason").fill("smoke in the lab");
    await dialog.getByRole("button", { name: "Halt now" }).click();
    await page.getByRole("heading", { name: /Halted by a person in stage canary/ }).waitFor();
    expect(await page.getByText("smoke in the lab").count()).toBeGreaterThan(0);
    expect((await audit("halted")).records[0]).toMatchObject({ by: "grace", reason: "smoke in the lab", rollout: "halted" });
  });

  test("a stale tab cannot resume: it says that nothing was changed and why", async () => {
    const page = await tab("rollouts/halted", { expected: /412/ });
    await page.getByRole("button", { name: "Resume …" }).click();
    // Meanwhile somebody resumed, saw more, and halted again.
    const at = async () => (await fetch(`${site.url}/rollouts/halted`)).headers.get("etag") ?? "";
    const order = async (kind: string) => fetch(`${site.url}/rollouts/halted/${kind}`, { method: "POST", headers: { "content-type": "application/json", "if-match": await at() }, body: JSON.stringify({ by: "ada", reason: "again" }) });
    expect([(await order("resume")).status, (await order("halt")).status]).toEqual([200, 200]);

    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Your name").fill("grace");
    await dialog.getByLabel("Reason").fill("looks fine to me");
    await dialog.getByRole("button", { name: "Resume", exact: true }).click();
    await expect.poll(() => dialog.getByRole("alert").textContent(), patience).toMatch(/Nothing was changed: the rollout is no longer as you saw it/);
    expect(site.host.conductor.rollout("halted" as never).status).toBe("halted");
    await dialog.getByRole("button", { name: "Close and look again" }).click();
    await dialog.waitFor({ state: "detached" });
  });

  test("by keyboard alone from the fleet to the end of a rollout", async () => {
    const page = await tab("");
    await page.getByRole("heading", { name: "Fleet", level: 1 }).waitFor();
    const press = async (key: string, until: string): Promise<void> => {
      for (let step = 0; step < 60; step += 1) {
        await page.keyboard.press(key);
        if (String(await page.evaluate("document.activeElement?.textContent ?? ''")).includes(until)) {
          return;
        }
      }
      throw new Error(`Tab never reaches "${until}"`);
    };
    await page.getByText("See what to do").waitFor();
    await press("Tab", "See what to do");
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "End for good …" }).waitFor();
    await press("Tab", "End for good …");
    expect(await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")).toBe("solid");
    await page.keyboard.press("Enter");
    // The dialog has the focus; the field for the reason comes first.
    await page.locator("dialog textarea:focus").waitFor();
    await page.keyboard.type("not worth it");
    await page.keyboard.press("Shift+Tab");
    await page.keyboard.type("grace");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: /Ended for good/ }).waitFor();
    expect((await audit("aborted")).records[0]).toMatchObject({ by: "grace", reason: "not worth it" });
  });

  test("a rollout moves on screen as its devices do, without a reload, and a gate's halt says what and how many", async () => {
    const target = await site.release("1.2.0");
    await site.rollout("1.2.0", "bad");
    const page = await tab("rollouts/bad");
    await page.getByRole("heading", { name: /Running in stage canary/ }).waitFor();
    for (const device of site.canaries("bad").slice(0, 3)) {
      await site.crashAndRevert("bad", device, target, { crash: evil, result: evil });
    }
    await site.pass(1);
    await page.getByRole("heading", { name: /Halted by gate boot-confirmation in stage canary/ }).waitFor();
    await expect.poll(() => page.locator(".verdict-numbers").textContent(), patience).toMatch(/exposed3 of 20/);
    expect(await page.getByRole("button", { name: "End for good …" }).count()).toBe(1);
  });

  test("what devices say stays text, whatever it looks like", async () => {
    await site.hello("d3", { boot: 7, attributes: { site: evil, connectivity: "<b>lte</b>" } });
    const page = await tab("");
    await page.getByText("<b>lte</b>").first().waitFor();
    for (const path of ["", `?${new URLSearchParams({ attribute: `site=${evil}` }).toString()}`, "?text=%3Cscript%3E", "rollouts/bad", "rollouts/bad/members", "rollouts", "devices/d3", "audit?every=true", "crashes", encodeURIComponent(evil)]) {
      await page.goto(`${site.url}/#/${path}`);
      await page.locator("main").waitFor();
    }
    await page.goto(`${site.url}/#/crashes`);
    await page.getByRole("link", { name: evil }).click();
    await page.getByRole("heading", { name: "Places and builds" }).waitFor();
    expect(await page.evaluate("[globalThis.pwned ?? null, document.querySelectorAll('main b, main i:not([class]), main script, main img').length]")).toEqual([null, 0]);
  });

  test("a crash that left a dump shows its functions, registers and the log before it, and on how many canaries and controls it was", async () => {
    const own = await ownSite();
    await own.release("1.0.0");
    const young = await own.release("1.1.0");
    for (let index = 0; index < 20; index += 1) {
      await own.hello(`d${index}`);
    }
    await own.rollout("1.1.0", "bad");
    const [device = "", ...others] = own.canaries("bad");
    for (const canary of [device, ...others]) {
      await own.hello(canary, { boot: 2, version: "1.1.0", imageHash: young });
    }
    const [buildId, dump, words] = [young.subarray(0, 20), buildDump(), new TextEncoder().encode("<err> app: smoke\n")];
    await own.say(device, { kind: "crash", buildId, imageHash: young, reason: "precise bus fault", pc: REGISTERS[6] as number, lr: REGISTERS[5] as number, uptime_s: 4 }, 2);
    for (let offset = 0; offset < dump.length; offset += 200) {
      await own.say(device, { kind: "log", stream: "coredump", buildId, id: 1, offset, total: dump.length, data: dump.slice(offset, offset + 200) }, 2);
    }
    await own.say(device, { kind: "log", stream: "log", buildId, id: 1, offset: 0, total: words.length, data: words }, 2);
    const elf = buildElf([{ name: "divide_deep", value: 0x2001, size: 0x40, type: 2 }], { start: 0x1000, bytes: new Array<number>(0x2000).fill(0) });
    await own.host.addSymbols({ release: "1.1.0", bytes: elf, buildId: buildId.toHex(), authority: { by: "ada", reason: "names" } });

    const page = await tab("crashes", { url: own.url });
    await page.getByRole("link", { name: /precise bus fault \/ divide_deep/ }).waitFor();
    await page.getByText("only on release 1.1.0").waitFor();
    await page.getByRole("link", { name: /precise bus fault \/ divide_deep/ }).click();
    await page.getByRole("link", { name: "1 of 4 (25 %) canaries" }).waitFor();
    await expect.poll(() => page.locator(".backtrace li").first().textContent(), patience).toMatch(/divide_deep\+6/);
    await page.getByText("<err> app: smoke").waitFor();
    await page.getByText("Registers").click();
    await page.getByText("0x00002006").first().waitFor();
    // The report names the same issue.
    const { crashes } = (await (await fetch(`${own.url}/rollouts/bad/report`)).json()) as { readonly crashes: { readonly issue: { readonly id: string; readonly dumps: number } }[] };
    expect([page.url(), crashes[0]?.issue.dumps]).toEqual([`${own.url}/#/crashes/${crashes[0]?.issue.id}`, 1]);
  });

  test("axe finds nothing serious on any page, in light and in dark", async () => {
    const page = await tab("");
    for (const path of ["", "rollouts", "rollouts/bad", "rollouts/bad/members", "devices/d3", "plan", "crashes", "releases", "releases/1.2.0", "way-back", "audit"]) {
      await page.goto(`${site.url}/#/${path}`);
      await page.locator("main h1").waitFor();
      await page.waitForLoadState("networkidle");
      for (const colorScheme of ["light", "dark"] as const) {
        await page.emulateMedia({ colorScheme });
        // Dark differs by its colours alone.
        expect([path, colorScheme, await serious(page, colorScheme === "dark" ? ["color-contrast"] : undefined)]).toEqual([path, colorScheme, []]);
      }
    }
  });

  test("a plan shows what it can see before it starts, a rehearsal beside it, and starts by name and reason", async () => {
    await site.release("1.3.0");
    const page = await tab("plan?release=1.3.0", { expected: /409/ });
    await page.getByLabel("Plan (YAML)").fill("stages: [2, 100%]\nstrata: [hardware]\nrepresentativeness: warn\ngates: default\n");
    await page.getByRole("button", { name: "What would it do?" }).click();
    // The rollout of before still holds its devices: the refusal is in words.
    await expect.poll(() => page.getByRole("alert").last().textContent(), patience).toMatch(/are in rollout bad/);
    await site.host.orderRollout("bad", { kind: "abort", authority: { by: "ada", reason: "make way" } });
    await page.getByRole("button", { name: "What would it do?" }).click();
    await page.getByText(/detect boot failures of .* or more with probability 0\.9/).waitFor();
    const rehearsed = { runs: 4, defects: [{ name: "crash-rate", value: 4, halted: 3, missed: 1, medianExposed: 12, p90Exposed: 14, medianHoursToHalt: 2.5 }], good: { runs: 4, halted: 0, held: 1, falseHaltRate: 0, falseHaltUpper95: 0.53, medianHoursToComplete: 30 } };
    await page.locator("input[type=file]").setInputFiles({ name: "rehearsal.json", mimeType: "application/json", buffer: Buffer.from(JSON.stringify(rehearsed)) });
    await page.getByText("Of 4 good releases 0 were halted").waitFor();
    await page.getByRole("button", { name: "Start …" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Your name").fill("grace");
    await dialog.getByLabel("Reason").fill("weekly");
    await dialog.getByRole("button", { name: "Start", exact: true }).click();
    await page.getByRole("heading", { name: /Running/ }).waitFor();
    expect((await audit("rollout-started")).records[0]).toMatchObject({ by: "grace", reason: "weekly" });
  });

  test("a release that nothing needs is archived by name and reason, comes as one file with its checksum, and back; others say what needs them", async () => {
    const own = await ownSite();
    await own.release("0.9.0");
    const image = await own.release("1.1.0");
    await own.hello("d0", { version: "1.1.0", imageHash: image });
    const page = await tab("releases", { url: own.url, expected: /412/ });
    await page.getByRole("link", { name: "1 device runs it" }).click();
    await page.getByText("1 device runs it: d0").waitFor();
    expect(await page.getByRole("button", { name: "Archive …" }).count()).toBe(0);

    await page.goto(`${own.url}/#/releases/0.9.0`);
    await page.getByRole("button", { name: "Archive …" }).click();
    // Meanwhile somebody archived it and took it back.
    for (const what of ["archive", "restore"]) {
      expect((await fetch(`${own.url}/releases/0.9.0/${what}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ by: "ada", reason: "again" }) })).status).toBe(200);
    }
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Your name").fill("grace");
    await dialog.getByLabel("Reason").fill("nobody runs it");
    await dialog.getByRole("button", { name: "Archive", exact: true }).click();
    await expect.poll(() => dialog.getByRole("alert").textContent(), patience).toMatch(/Nothing was changed: the release is no longer as you saw it/);
    await dialog.getByRole("button", { name: "Close and look again" }).click();
    await dialog.waitFor({ state: "detached" });
    await page.reload();
    await page.getByRole("button", { name: "Archive …" }).click();
    await dialog.getByLabel("Reason").fill("nobody runs it");
    await dialog.getByRole("button", { name: "Archive", exact: true }).click();

    const file = page.getByRole("link", { name: "0.9.0.tar" });
    await file.waitFor();
    expect(own.host.conductor.state.releases.get("0.9.0" as never)?.archived).toMatchObject({ files: 3 });
    const [download] = await Promise.all([page.waitForEvent("download"), file.click()]);
    expect(download.suggestedFilename()).toBe("0.9.0.tar");
    const sum = createHash("sha256").update(readFileSync(await download.path())).digest("hex");
    expect(await page.locator("code.sum").textContent()).toBe(sum);
    const [line] = ((await (await fetch(`${own.url}/audit?type=release-archived`)).json()) as { readonly records: { readonly by: string; readonly reason: string }[] }).records;
    expect(line).toMatchObject({ by: "grace", reason: "nobody runs it" });

    await page.getByRole("button", { name: "Restore …" }).click();
    await dialog.getByLabel("Reason").fill("wanted again");
    await dialog.getByRole("button", { name: "Restore", exact: true }).click();
    await page.getByRole("button", { name: "Archive …" }).waitFor();
  });

  test("the rollback inventory names each device's way back, whose next upload destroys the last one, and finds them by kind and id", async () => {
    const own = await ownSite();
    const [old, young] = [await own.release("1.0.0"), await own.release("1.1.0")];
    for (let index = 0; index < 30; index += 1) {
      await own.hello(`d${String(index).padStart(2, "0")}`, { version: "1.1.0", imageHash: young, confirmed: index !== 7, ...(index < 20 ? { slot1: { imageHash: old, version: "1.0.0" } } : {}) });
    }
    await own.hello("e0", { version: "1.0.0", imageHash: old });
    const page = await tab("releases/1.1.0", { url: own.url });
    await page.getByRole("link", { name: /by an order 20/ }).waitFor();
    await page.getByRole("link", { name: "Rollback inventory, device by device" }).click();
    await page.getByRole("heading", { name: "Rollback inventory of 1.1.0" }).waitFor();
    const rows = page.getByRole("table", { name: "Devices and their way back" });
    await expect.poll(() => rows.getAttribute("aria-rowcount"), patience).toBe("30");
    expect(await rows.getByRole("row").filter({ hasText: "d07" }).textContent()).toMatch(/by an order.*1\.0\.0.*not confirmed: the next upload destroys 1\.0\.0/);
    await page.getByRole("link", { name: /by a download 10/ }).click();
    await expect.poll(() => rows.getAttribute("aria-rowcount"), patience).toBe("10");
    await page.getByRole("link", { name: "Remove the filter by a download" }).click();
    await page.getByRole("link", { name: "1 device", exact: true }).click();
    await expect.poll(() => rows.getAttribute("aria-rowcount"), patience).toBe("1");
    await page.getByRole("link", { name: /Remove the filter next upload/ }).click();
    await page.getByPlaceholder("Search by id").fill("d1");
    await expect.poll(() => rows.getAttribute("aria-rowcount"), patience).toBe("10");
    await page.getByLabel("Devices that run").selectOption("1.0.0");
    await page.getByRole("heading", { name: "Rollback inventory of 1.0.0" }).waitFor();
  });

  test("a halted release is rolled back by button: first what becomes of each device, then by name and reason, and the old rollout says so", async () => {
    const own = await ownSite();
    const [old, young] = [await own.release("1.0.0"), await own.release("1.1.0")];
    for (let index = 0; index < 12; index += 1) {
      await own.hello(`d${index}`, { imageHash: old });
    }
    await own.rollout("1.1.0", "bad");
    for (const device of own.canaries("bad")) {
      await own.hello(device, { boot: 2, version: "1.1.0", imageHash: young, slot1: { imageHash: old, version: "1.0.0" } });
    }
    await own.host.orderRollout("bad", { kind: "halt", authority: { by: "ada", reason: "overheats" } });
    const page = await tab("rollouts/bad", { url: own.url });
    await page.getByRole("button", { name: "Roll back …" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("4 devices go back to 1.0.0").waitFor();
    await dialog.getByRole("cell", { name: "go back by an order, without a download" }).waitFor();
    expect(await serious(page)).toEqual([]);
    await dialog.getByLabel("Your name").fill("grace");
    await dialog.getByLabel("Reason").fill("it overheats");
    await dialog.getByRole("button", { name: "Roll back", exact: true }).click();
    await page.getByRole("heading", { name: "Back to 1.0.0" }).waitFor();
    await page.getByRole("link", { name: "bad" }).click();
    await page.getByRole("heading", { name: "Ended: it was rolled back" }).waitFor();
    const { records } = (await (await fetch(`${own.url}/audit?type=rollout-started`)).json()) as { readonly records: { readonly by: string; readonly reason: string }[] };
    expect(records[0]).toMatchObject({ by: "grace", reason: "it overheats" });
  });

  test("while the orchestrator is away one line says so, all requests but one stop, and everything is there again when it is back", async () => {
    const own = await ownSite();
    await own.hello("d0");
    const page = await tab("", { url: own.url, expected: /ERR_/ });
    await page.getByRole("link", { name: "d0" }).waitFor();
    await page.getByText("live", { exact: true }).waitFor();
    await own.leave();
    const banner = page.getByRole("alert").filter({ hasText: "has not answered since" });
    await banner.waitFor();
    expect(await serious(page)).toEqual([]);
    // From here on there is one question.
    const asked: string[] = [];
    page.on("request", (request) => {
      const { pathname } = new URL(request.url());
      if (pathname !== "/favicon.svg") {
        asked.push(pathname); // the icon is the browser's own affair
      }
    });
    expect(await page.getByRole("link", { name: "d0" }).count()).toBe(1);
    await page.getByRole("link", { name: "Releases", exact: true }).click();
    await page.getByText("Asking the orchestrator").waitFor();
    await page.getByRole("link", { name: "Fleet", exact: true }).click();
    await expect.poll(() => asked.length, patience).toBeGreaterThan(1);
    expect(new Set(asked)).toEqual(new Set(["/session"]));
    expect(await page.getByRole("alert").count()).toBe(1);

    await own.hello("d1");
    await own.comeBack();
    await banner.getByRole("button", { name: "Try now" }).click();
    await page.getByRole("link", { name: "d1" }).waitFor();
    await banner.waitFor({ state: "detached" });
    await page.getByText("live", { exact: true }).waitFor();
  });

  test("a rollout that does not exist is asked for no more, until something changes or a person asks", async () => {
    const own = await ownSite();
    const page = await tab("", { url: own.url, expected: /404/ });
    await page.getByText("live", { exact: true }).waitFor();
    let asked = 0;
    page.on("request", (request) => {
      asked += new URL(request.url()).pathname === "/rollouts/nobody" ? 1 : 0;
    });
    await page.clock.install();
    await page.goto(`${own.url}/#/rollouts/nobody`);
    const again = page.getByRole("button", { name: "Try again" });
    await again.waitFor();
    const before = asked;
    for (let step = 0; step < 12; step += 1) {
      await page.clock.runFor(5_000);
    }
    await Promise.all([page.waitForResponse(`${own.url}/rollouts/nobody`), again.click()]);
    expect(asked - before).toBe(1);

    await own.release("1.1.0");
    for (let index = 0; index < 12; index += 1) {
      await own.hello(`d${index}`);
    }
    await own.rollout("1.1.0", "nobody");
    await expect.poll(async () => {
      await page.clock.runFor(2_000);
      return page.getByRole("heading", { name: "1.1.0" }).count();
    }, patience).toBe(1);
  });

  test("the demo runs live on the page whose address it prints", async () => {
    const demo = spawn(process.execPath, [fileURLToPath(new URL("../../bin/coalmine.js", import.meta.url)), "demo", "--devices", "50", "--speed", "200"], { stdio: ["ignore", "ignore", "pipe"] });
    try {
      const url = await new Promise<string>((resolve, reject) => {
        let said = "";
        demo.stderr.setEncoding("utf8").on("data", (text: string) => {
          said += text;
          const found = /dashboard (http:\S+)\//.exec(said)?.[1];
          if (found !== undefined) {
            resolve(found);
          }
        });
        demo.once("close", () => reject(new Error(`the demo ended: ${said}`)));
      });
      const page = await tab("", { url });
      await page.getByRole("heading", { name: "Running now" }).waitFor({ timeout: 110_000 });
      await page.getByRole("link", { name: /1\.1\.0.*devices exposed/ }).click();
      // Whatever it has come to by now: how many have it, or how long it has been going.
      const verdict = page.locator(".verdict");
      const before = await verdict.textContent();
      await expect.poll(() => verdict.textContent(), patience).not.toBe(before);
    } finally {
      await closeTabs();
      demo.kill("SIGTERM");
      await once(demo, "close");
    }
  });

  test("with a token the page asks for it once, and its orders carry the session's secret", async () => {
    const guarded = await ownSite({ token: "a-long-enough-token" });
    await guarded.hello("d0");
    const page = await tab("", { url: guarded.url, expected: /40[13]/ });
    await page.getByLabel("Token").fill("a-wrong-token-here");
    await page.getByRole("button", { name: "Sign in" }).click();
    await expect.poll(() => page.getByRole("alert").textContent(), patience).toMatch(/token is wrong/);
    await page.getByLabel("Token").fill("a-long-enough-token");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { name: "Fleet" }).waitFor();
    expect(await page.evaluate("document.cookie")).toBe("");
    const [cookie] = await page.context().cookies();
    expect(cookie).toMatchObject({ httpOnly: true, sameSite: "Strict" });
    const order = "fetch('/devices/d0/tags', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ add: ['lab'], by: 'x', reason: 'y' }) }).then((answer) => answer.status)";
    expect(await page.evaluate(order)).toBe(403);
    await page.reload();
    await page.getByRole("heading", { name: "Fleet" }).waitFor();
  });
});
