// SPDX-License-Identifier: Apache-2.0
// The packages of the workspace and their source files, as they lie on disk.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";

/** The parts of a package.json that the guard reads. */
export type Manifest = {
  readonly name?: string;
  readonly license?: string;
  readonly workspaces?: readonly string[];
  readonly nx?: { readonly tags?: readonly string[] };
  readonly scripts?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
};

/** One package: `folder` relative to the root with `/`, `name` its last word, as in the layer table. */
export type Package = { readonly folder: string; readonly name: string; readonly manifest: Manifest };

const generated = new Set(["node_modules", "dist", "build", "coverage", "__pycache__"]);

function readManifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
}

/** The packages that the root's `workspaces` name; `folder/*` stands for each folder that has a package.json. */
export function packagesOf(root: string): Package[] {
  const folders = (readManifest(root).workspaces ?? []).flatMap((pattern) => {
    if (!pattern.endsWith("/*")) {
      return [pattern];
    }
    const parent = pattern.slice(0, -2);
    return existsSync(join(root, parent)) ? readdirSync(join(root, parent)).map((name) => `${parent}/${name}`) : [];
  });
  return folders
    .filter((folder) => existsSync(join(root, folder, "package.json")))
    .toSorted()
    .map((folder) => ({ folder, name: basename(folder), manifest: readManifest(join(root, folder)) }));
}

/** The files below a folder with one of the endings, relative to the root, without generated and hidden folders. */
export function filesBelow(root: string, folder: string, endings: ReadonlySet<string>): string[] {
  if (!existsSync(join(root, folder))) {
    return [];
  }
  return readdirSync(join(root, folder), { withFileTypes: true })
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) {
        const skipped = generated.has(entry.name) || entry.name.startsWith(".") || entry.name.startsWith("twister-out");
        return skipped ? [] : filesBelow(root, path, endings);
      }
      const ending = entry.name.slice(entry.name.lastIndexOf(".") + 1);
      return entry.isFile() && endings.has(ending) ? [path] : [];
    });
}
