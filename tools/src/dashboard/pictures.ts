// SPDX-License-Identifier: Apache-2.0
// Takes the pictures of docs/dashboard.md from the demo: `npm run pictures`.
import { findBrowser, openBrowser } from "@coalmine/dashboard/browser";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright-core";
import { start } from "./processes.ts";

const folder = fileURLToPath(new URL("../../../docs/pictures/", import.meta.url));
const sizes = { wide: { width: 1280, height: 900 }, phone: { width: 390, height: 844 } } as const;

async function take(browser: Browser, url: string, picture: { readonly name: string; readonly path: string; readonly ready: string; readonly looks: readonly (readonly ["light" | "dark", keyof typeof sizes])[] }): Promise<void> {
  for (const [colorScheme, size] of picture.looks) {
    const context = await browser.newContext({ colorScheme, viewport: sizes[size], timezoneId: "Europe/Berlin", reducedMotion: "reduce" });
    const page = await context.newPage();
    await page.goto(`${url}/#/${picture.path}`);
    await page.locator(picture.ready).first().waitFor();
    await page.waitForLoadState("networkidle");
    await page.screenshot({ path: join(folder, `dashboard-${picture.name}-${colorScheme}-${size}.png`) });
    await context.close();
    process.stderr.write(`${picture.name} ${colorScheme} ${size}\n`);
  }
}

const all = [["light", "wide"], ["dark", "wide"], ["light", "phone"], ["dark", "phone"]] as const;
const executable = findBrowser();
if (executable === undefined) {
  throw new Error("there is no browser: apt-get install chromium, or set CHROMIUM");
}
const demo = start(["demo"]);
const browser = await openBrowser(executable);
try {
  const [, url = ""] = await demo.line(/dashboard (http:\S+)\//);
  await demo.line(/r1: stage "40%" opened/);
  await take(browser, url, { name: "running", path: "rollouts/r1", ready: ".gate canvas", looks: all });
  await demo.line(/The dashboard is at/);
  await take(browser, url, { name: "halted", path: "rollouts/r2", ready: ".gate canvas", looks: all });
  await take(browser, url, { name: "fleet", path: "", ready: ".list-row a", looks: all });
  await take(browser, url, { name: "crashes", path: "crashes", ready: ".issue", looks: all });
  const { issues } = (await (await fetch(`${url}/crashes`)).json()) as { readonly issues: { readonly id: string }[] };
  await take(browser, url, { name: "crash", path: `crashes/${issues[0]?.id}`, ready: ".backtrace", looks: [["light", "wide"], ["dark", "phone"]] });
  await take(browser, url, { name: "rollback-inventory", path: "way-back", ready: ".list-row a", looks: [["light", "wide"], ["dark", "phone"]] });
} finally {
  await browser.close();
  await demo.end();
}
