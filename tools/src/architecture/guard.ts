// SPDX-License-Identifier: Apache-2.0
// The architecture guard: layers, declared imports, purity, licence lines, the top level.
import { existsSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { join, relative, resolve, sep } from "node:path";
import type { Finding } from "./finding.ts";
import { type Import, importsOf } from "./imports.ts";
import { allowedText, isLayer, isPure, type Layer, layers, mayUse } from "./layers.ts";
import { impurities } from "./purity.ts";
import { licenceFindings, topLevelFindings } from "./repository.ts";
import { parseSource } from "./syntax.ts";
import { filesBelow, type Package, packagesOf } from "./workspace.ts";

type Placed = Package & { readonly layer: Layer };

const codeEndings = new Set(["ts", "tsx", "mts", "cts", "js", "jsx", "mjs", "cjs"]);
/** Every package's tests have these from the root's package.json. */
const testTools = new Set(["vitest", "fast-check"]);

/** Every broken rule of the repository at `root`. */
export function guard(root: string): { readonly findings: Finding[]; readonly files: number } {
  const packages = packagesOf(root);
  const findings: Finding[] = [...topLevelFindings(root), ...licenceFindings(root)];
  const placed: Placed[] = [];
  for (const one of packages) {
    const layer = layerOf(one);
    if (typeof layer === "string") {
      placed.push({ ...one, layer });
    } else {
      findings.push(layer);
    }
  }
  let files = 0;
  for (const one of placed) {
    findings.push(...manifestFindings(one, packages));
    for (const file of filesBelow(root, one.folder, codeEndings)) {
      files += 1;
      findings.push(...fileFindings(root, file, one, packages));
    }
  }
  return { findings, files };
}

function layerOf(one: Package): Layer | Finding {
  const named = (one.manifest.nx?.tags ?? []).filter((tag) => tag.startsWith("layer:")).map((tag) => tag.slice("layer:".length));
  const layer = named[0];
  if (named.length === 1 && layer !== undefined && isLayer(layer)) {
    return layer;
  }
  const message = `needs exactly one nx tag "layer:…" of ${layers.join(", ")}; has ${named.join(", ") || "none"}`;
  return { rule: "package", file: `${one.folder}/package.json`, message };
}

/** What package.json declares, whether imported or not. */
function manifestFindings(one: Placed, packages: readonly Package[]): Finding[] {
  const file = `${one.folder}/package.json`;
  const findings: Finding[] = [];
  if (one.manifest.license !== "Apache-2.0") {
    findings.push({ rule: "package", file, message: `"license" must be Apache-2.0` });
  }
  const { dependencies = {}, devDependencies = {} } = one.manifest;
  for (const used of packages) {
    const name = used.manifest.name ?? "";
    if (name in dependencies && !mayUse(one, used.name)) {
      const hint = used.name === "testkit" ? "testkit is a devDependency only" : `${one.layer} ${one.name} may use ${allowedText(one)}`;
      findings.push({ rule: "layer", file, message: `depends on ${used.name}; ${hint}` });
    }
    if (name in devDependencies && used.name !== "testkit" && !mayUse(one, used.name)) {
      findings.push({ rule: "layer", file, message: `tests with ${used.name}; ${one.layer} ${one.name} may use ${allowedText(one)}, and testkit in tests` });
    }
  }
  if (one.layer === "core") {
    for (const name of Object.keys(dependencies)) {
      findings.push({ rule: "layer", file, message: `depends on ${name}; core uses nothing` });
    }
  }
  return findings;
}

function fileFindings(root: string, file: string, one: Placed, packages: readonly Package[]): Finding[] {
  const source = parseSource(file, readFileSync(join(root, file), "utf8"));
  const isTest = /\.test\.[cm]?[jt]sx?$/.test(file);
  const findings = importsOf(source).flatMap((found) => importFindings({ root, file, found, one, packages, isTest }));
  if (!isTest && !isTestSupport(file) && isPure(one.layer)) {
    findings.push(...impurities(source, one.layer).map(({ line, message }): Finding => ({ rule: "pure", file, line, message })));
  }
  return findings;
}

type ImportSite = {
  readonly root: string;
  readonly file: string;
  readonly found: Import;
  readonly one: Placed;
  readonly packages: readonly Package[];
  readonly isTest: boolean;
};

function importFindings({ root, file, found, one, packages, isTest }: ImportSite): Finding[] {
  const { from, line } = found;
  if (from === undefined) {
    return [];
  }
  if (!isTest && one.layer !== "tool" && !isTestSupport(file) && isTestSupport(`${from}/`)) {
    return [{ rule: "layer", file, line, message: `imports "${from}"; testing/ is for tests` }];
  }
  if (from.startsWith(".") || from.startsWith("/")) {
    const inside = relative(join(root, one.folder), resolve(join(root, file), "..", from));
    const leaves = inside === ".." || inside.startsWith(`..${sep}`);
    return leaves ? [{ rule: "relative", file, line, message: `leaves its package with "${from}"; import the package by name` }] : [];
  }
  if (isBuiltin(from)) {
    return from.startsWith("node:") ? [] : [{ rule: "declared", file, line, message: `write "node:${from}" for the Node module` }];
  }
  const name = packageName(from);
  const used = packages.find(({ manifest }) => manifest.name === name);
  if (used?.folder === one.folder) {
    return [{ rule: "relative", file, line, message: `imports its own package by name; import the file` }];
  }
  const findings: Finding[] = [];
  if (used !== undefined && !mayUse(one, used.name) && !(isTest && used.name === "testkit")) {
    const hint = used.name === "testkit" ? "only tests use testkit" : `${one.layer} ${one.name} may use ${allowedText(one)}`;
    findings.push({ rule: "layer", file, line, message: `imports ${used.name}; ${hint}` });
  } else if (one.layer === "core" && !isTest && !isTestSupport(file)) {
    findings.push({ rule: "layer", file, line, message: `imports ${name}; core uses nothing` });
  }
  if (!isDeclared(name, one, isTest || isTestSupport(file) || !isShipped(file, one))) {
    findings.push({ rule: "declared", file, line, message: `imports ${name}, which ${one.folder}/package.json does not declare${isTest ? "" : " as a dependency"}` });
  }
  return findings;
}

/** Builders and checkers that a package's tests share lie in its folder `testing`. */
function isTestSupport(path: string): boolean {
  return path.includes("/testing/");
}

/** Code under src/ and bin/ is shipped; the tools and the testkit are not, nor is a bundler's configuration. */
function isShipped(file: string, one: Placed): boolean {
  if (one.layer === "tool" || one.layer === "testkit") {
    return false;
  }
  return file.startsWith(`${one.folder}/src/`) || file.startsWith(`${one.folder}/bin/`);
}

function isDeclared(name: string, one: Placed, forDevelopment: boolean): boolean {
  const { dependencies = {}, optionalDependencies = {}, peerDependencies = {}, devDependencies = {} } = one.manifest;
  const shipped = name in dependencies || name in optionalDependencies || name in peerDependencies;
  return shipped || (forDevelopment && (name in devDependencies || testTools.has(name)));
}

/** `@scope/name/sub/path` belongs to the package `@scope/name`. */
function packageName(specifier: string): string {
  return specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
}

/** Where the repository of these tools is. */
export function repositoryRoot(): string {
  const root = resolve(import.meta.dirname, "../../..");
  if (!existsSync(join(root, "nx.json"))) {
    throw new Error(`${root} is not the repository`);
  }
  return root;
}
