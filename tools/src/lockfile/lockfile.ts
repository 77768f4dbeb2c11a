// SPDX-License-Identifier: Apache-2.0
// The lock file can be born broken: npm leaves out optional packages it cannot find, without a word, and `npm ci` then
// stops on another machine. It can also name the registry it was made with, which others cannot reach.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

type Names = Readonly<Record<string, string>>;

/** The parts of a package-lock.json entry (lockfileVersion 3) that are checked. */
export type LockEntry = {
  readonly resolved?: string;
  readonly integrity?: string;
  readonly link?: boolean;
  readonly inBundle?: boolean;
  readonly dependencies?: Names;
  readonly devDependencies?: Names;
  readonly optionalDependencies?: Names;
  readonly peerDependencies?: Names;
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>;
};
export type LockEntries = Readonly<Record<string, LockEntry>>;

/** Everything that would stop `npm ci` somewhere, or send it to a foreign host. Empty when the lock file is complete. */
export function lockProblems(entries: LockEntries): string[] {
  return Object.entries(entries).flatMap(([path, entry]) => [
    ...Object.keys(needed(entry, path))
      .filter((name) => !resolves(entries, path, name))
      .map((name) => `${path || "the root"} needs ${name}, which the lock file does not hold`),
    ...originProblems(path, entry),
  ]);
}

/** A workspace's own devDependencies are installed, an installed package's are not. */
function needed(entry: LockEntry, path: string): Names {
  const peers = Object.entries(entry.peerDependencies ?? {}).filter(
    ([name]) => entry.peerDependenciesMeta?.[name]?.optional !== true,
  );
  return {
    ...entry.dependencies,
    ...entry.optionalDependencies,
    ...(isInstalled(path) ? {} : entry.devDependencies),
    ...Object.fromEntries(peers),
  };
}

function isInstalled(path: string): boolean {
  return path.includes("node_modules/");
}

/** Node's own search: the folder's node_modules, then each folder's above it. */
function resolves(entries: LockEntries, path: string, name: string): boolean {
  for (let folder = path; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf("/")))) {
    const place = folder === "" ? `node_modules/${name}` : `${folder}/node_modules/${name}`;
    if (place in entries) {
      return true;
    }
    if (folder === "") {
      return false;
    }
  }
}

function originProblems(path: string, { resolved, integrity, link, inBundle }: LockEntry): string[] {
  const problems: string[] = [];
  if (resolved !== undefined && /^[a-z+]+:/i.test(resolved)) {
    problems.push(`${path} names where it came from (${resolved}); .npmrc must keep omit-lockfile-registry-resolved=true`);
  }
  if (isInstalled(path) && integrity === undefined && link !== true && inBundle !== true) {
    problems.push(`${path} has no integrity hash`);
  }
  return problems;
}

/** Packages whose package.json says something else than the lock file does; `npm ci` refuses these too. */
export function staleManifests(root: string, entries: LockEntries): string[] {
  const kinds = ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"] as const;
  return Object.entries(entries)
    .filter(([path]) => !isInstalled(path))
    .flatMap(([path, entry]) => {
      const file = join(root, path, "package.json");
      if (!existsSync(file)) {
        return [`${path} is in the lock file and not in the repository`];
      }
      const manifest = JSON.parse(readFileSync(file, "utf8")) as LockEntry;
      return kinds.flatMap((kind) => differences(manifest[kind] ?? {}, entry[kind] ?? {}, `${path || "."}/package.json`, kind));
    });
}

function differences(declared: Names, locked: Names, file: string, kind: string): string[] {
  return [...new Set([...Object.keys(declared), ...Object.keys(locked)])]
    .filter((name) => declared[name] !== locked[name])
    .map((name) => `${file} has ${name} ${declared[name] ?? "nowhere"} in ${kind}, the lock file ${locked[name] ?? "nowhere"}: run npm install`);
}
