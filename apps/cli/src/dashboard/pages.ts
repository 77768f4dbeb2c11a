// SPDX-License-Identifier: Apache-2.0
// The dashboard's files. In a clone they are built when first asked for, and again when its sources have changed: about a
// second. What is built lies in apps/dashboard/dist under a name made of the sources.
import type { PageFile, Pages } from "@coalmine/api";
import { CoalmineError } from "@coalmine/core";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, extname, join, relative, sep } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const home = fileURLToPath(new URL("../../../dashboard/", import.meta.url));
const sources = ["src", "public", "index.html", "package.json", "vite.config.ts"];
const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** Gives the files, building them first when they are not there. `say` is told that this is under way. */
export function dashboardPages(say: (line: string) => void): Pages {
  return async () => load(await built(say));
}

/** The folder of the built page. Throws `dashboard/build`. */
async function built(say: (line: string) => void, folder = home): Promise<string> {
  const name = await nameOf(folder);
  const dist = join(folder, "dist");
  const ready = join(dist, name);
  if (existsSync(join(ready, "index.html"))) {
    return ready;
  }
  say("building the dashboard: its sources have changed or it was never built");
  await mkdir(dist, { recursive: true });
  const work = join(dist, `.${name}-${process.pid}`);
  await vite(folder, work);
  try {
    await rename(work, ready);
  } catch (error) {
    // Somebody else was quicker.
    await rm(work, { recursive: true, force: true });
    if (!existsSync(join(ready, "index.html"))) {
      throw error;
    }
  }
  for (const old of await readdir(dist)) {
    if (/^[0-9a-f]{16}$/.test(old) && old !== name) {
      await rm(join(dist, old), { recursive: true, force: true });
    }
  }
  return ready;
}

/** A name for what the sources would build. */
async function nameOf(folder: string): Promise<string> {
  const hash = createHash("sha256");
  for (const source of sources) {
    for (const file of await filesOf(join(folder, source))) {
      if (!/\.test\.tsx?$|[\\/]testing[\\/]/.test(file)) {
        hash.update(`${relative(folder, file).split(sep).join("/")}\n`).update(await readFile(file));
      }
    }
  }
  return hash.digest("hex").slice(0, 16);
}

async function filesOf(path: string): Promise<string[]> {
  if (extname(path) !== "") {
    return existsSync(path) ? [path] : [];
  }
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

async function vite(folder: string, outDir: string): Promise<void> {
  let program: string;
  try {
    program = join(dirname(createRequire(join(folder, "package.json")).resolve("vite/package.json")), "bin/vite.js");
  } catch (cause) {
    throw new CoalmineError("dashboard/build", "the dashboard is not built, and Vite, which builds it, is not installed: run npm ci", { cause, retry: "later" });
  }
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  const child = spawn(process.execPath, [program, "build", "--outDir", outDir, "--logLevel", "error"], { cwd: folder, stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, NODE_ENV: "production" } });
  let said = "";
  child.stderr.on("data", (bytes: Buffer) => {
    said = `${said}${bytes.toString("utf8")}`.slice(-2_000);
  });
  child.once("error", reject);
  child.once("close", resolve);
  if ((await promise) !== 0) {
    await rm(outDir, { recursive: true, force: true });
    throw new CoalmineError("dashboard/build", `the dashboard could not be built: ${said.trim() || "Vite said nothing"}`, { retry: "later" });
  }
}

async function load(folder: string): Promise<Map<string, PageFile>> {
  const files = new Map<string, PageFile>();
  for (const file of await filesOf(`${folder}${sep}`)) {
    const path = `/${relative(folder, file).split(sep).join("/")}`;
    files.set(path === "/index.html" ? "/" : path, { bytes: await readFile(file), type: types[extname(file)] ?? "application/octet-stream" });
  }
  return files;
}
