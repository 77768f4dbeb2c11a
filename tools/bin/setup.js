// SPDX-License-Identifier: Apache-2.0
// Installs what package-lock.json names, when it is not installed already. Plain JavaScript for any Node from 20:
// it runs before `npm run demo`, `npm test` and the checks, in a fresh clone too. Everything it says goes to stderr.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** @typedef {{ optional?: boolean, devOptional?: boolean, os?: string[], cpu?: string[] }} LockEntry */

const root = fileURLToPath(new URL("../../", import.meta.url));
const modules = join(root, "node_modules");
const exitEnvironment = 4;

/**
 * @param {string} path
 * @returns {Record<string, LockEntry> | undefined} the entries of a lock file, without the root's own
 */
function entries(path) {
  if (!existsSync(path)) {
    return undefined;
  }
  const { packages } = JSON.parse(readFileSync(path, "utf8"));
  const { "": _root, ...rest } = packages;
  return rest;
}

/**
 * npm writes node_modules/.package-lock.json last, so a broken-off installation has none.
 * @returns {string | undefined} why an installation is needed
 */
function missing() {
  const wanted = entries(join(root, "package-lock.json"));
  const installed = entries(join(modules, ".package-lock.json"));
  if (wanted === undefined) {
    throw new Error(`${root}package-lock.json is missing: this is not a whole clone`);
  }
  if (installed === undefined) {
    return "nothing is installed yet";
  }
  for (const [path, entry] of Object.entries(wanted)) {
    const found = installed[path];
    if (found === undefined) {
      // Packages for other platforms are in the lock and rightly not here.
      if (entry.optional || entry.devOptional) {
        continue;
      }
      return `${path} is not installed`;
    }
    if (JSON.stringify(found) !== JSON.stringify(entry)) {
      return `${path} is not the version in package-lock.json`;
    }
  }
  const extra = Object.keys(installed).find((path) => !(path in wanted));
  if (extra !== undefined) {
    return `${extra} is installed and not in package-lock.json`;
  }
  return hasPinnedNode(wanted) ? undefined : "the pinned Node is not installed";
}

/**
 * @param {Record<string, LockEntry>} wanted
 * @returns {boolean} whether the pinned Node is here, or none exists for this platform
 */
function hasPinnedNode(wanted) {
  const names = [`node-bin-${process.platform}-${process.arch}`, `node-${platform()}-${process.arch}`];
  const locked = names.find((name) => `node_modules/${name}` in wanted);
  return locked === undefined || existsSync(join(modules, locked, "bin", process.platform === "win32" ? "node.exe" : "node"));
}

function platform() {
  return process.platform === "win32" ? "win" : process.platform;
}

/** @param {string} message */
function stop(message) {
  process.stderr.write(`${message}\n`);
  process.exit(exitEnvironment);
}

const why = missing();
if (why !== undefined) {
  if (process.platform === "win32" && process.execPath.startsWith(modules)) {
    // Windows does not let npm delete the Node that is running this.
    stop(`${why}: run "npm ci", then this command again`);
  }
  process.stderr.write(`Installing dependencies with npm ci (${why}) ...\n`);
  const npm = process.env["npm_execpath"];
  const node = process.env["npm_node_execpath"] ?? process.execPath;
  const quiet = ["ci", "--loglevel=error"];
  // npm's stdout goes to our stderr: `--json` commands keep their stdout to themselves.
  const done =
    npm === undefined
      ? spawnSync("npm", quiet, { cwd: root, stdio: ["ignore", 2, 2], shell: process.platform === "win32" })
      : spawnSync(node, [npm, ...quiet], { cwd: root, stdio: ["ignore", 2, 2] });
  if (done.status !== 0) {
    stop(`npm ci failed${done.error ? ` (${done.error.message})` : ""}: see above; then run "npm ci" by hand`);
  }
  const still = missing();
  if (still !== undefined && Number(process.versions.node.split(".")[0]) < 26) {
    stop(`npm ci ended, yet ${still}. Node 26 or newer is needed: check that npm does not omit optional packages (npm config get omit)`);
  }
}
