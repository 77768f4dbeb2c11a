// SPDX-License-Identifier: Apache-2.0
// What core and pure code must not read: clocks, timers, randomness, the process, the machine's locale, Node modules.
// The globals are an allow list, so a global nobody thought of is refused rather than missed.
import { isBuiltin } from "node:module";
import { type GlobalUse, globalUses } from "./globals.ts";
import { importsOf } from "./imports.ts";
import { literalText, type Node, nodeAt, nodesAt, type Source, walk } from "./syntax.ts";

export type Impurity = { readonly line: number; readonly message: string };

/** WeakRef is here for caches: what is collected may be built again, alike. */
const deterministicGlobals = new Set(
  `AggregateError Array ArrayBuffer BigInt BigInt64Array BigUint64Array Boolean DataView DisposableStack Error EvalError
   Float16Array Float32Array Float64Array Infinity Int16Array Int32Array Int8Array Iterator JSON Map NaN Number Object
   Promise Proxy RangeError ReferenceError Reflect RegExp Set String SuppressedError Symbol SyntaxError TextDecoder
   TextEncoder TypeError URIError URL URLSearchParams Uint16Array Uint32Array Uint8Array Uint8ClampedArray WeakMap WeakRef WeakSet
   atob btoa decodeURI decodeURIComponent encodeURI encodeURIComponent isFinite isNaN parseFloat parseInt
   structuredClone undefined`.split(/\s+/),
);

/** What pure packages may take from node:crypto: same input, same output (a signature may differ; its validity does not). */
const deterministicCrypto = new Set([
  "KeyObject",
  "constants",
  "createCipheriv",
  "createDecipheriv",
  "createECDH",
  "createHash",
  "createHmac",
  "createPrivateKey",
  "createPublicKey",
  "diffieHellman",
  "hash",
  "hkdfSync",
  "sign",
  "verify",
]);

/** Methods whose answer depends on the machine's language or time zone. */
const localMethods = new Set(
  `localeCompare toLocaleString toLocaleDateString toLocaleTimeString toLocaleLowerCase toLocaleUpperCase toDateString
   toTimeString getTimezoneOffset getDate getDay getFullYear getHours getMinutes getMonth getSeconds getMilliseconds
   setDate setFullYear setHours setMinutes setMonth setSeconds setMilliseconds`.split(/\s+/),
);

/** Every impurity of one file of a core or pure package. */
export function impurities(source: Source, layer: "core" | "pure"): Impurity[] {
  return [...importImpurities(source, layer), ...globalImpurities(source), ...nodeImpurities(source)].toSorted(
    (a, b) => a.line - b.line,
  );
}

function importImpurities(source: Source, layer: "core" | "pure"): Impurity[] {
  return importsOf(source).flatMap(({ from, line, typeOnly, names }) => {
    if (from === undefined) {
      return [{ line, message: "imports something computed at run time" }];
    }
    if (!isBuiltin(from)) {
      return [];
    }
    if (layer === "core") {
      return [{ line, message: `uses the Node module ${from}; core uses none` }];
    }
    if (from !== "node:crypto") {
      return [{ line, message: `uses the Node module ${from}; of these, pure packages use only named functions of node:crypto` }];
    }
    if (names.length === 0 && !typeOnly) {
      return [];
    }
    return names
      .filter((name) => !deterministicCrypto.has(name))
      .map((name) => ({
        line,
        message:
          name === "*" || name === "default"
            ? "takes all of node:crypto; import the deterministic functions by name"
            : `takes ${name} of node:crypto, which is not on the list of deterministic functions`,
      }));
  });
}

function globalImpurities(source: Source): Impurity[] {
  return globalUses(source.program).flatMap((use) => {
    const problem = globalProblem(use);
    return problem === undefined ? [] : [{ line: source.lineAt(use.node.start), message: problem }];
  });
}

function globalProblem({ name, node, around }: GlobalUse): string | undefined {
  const parent = around[0];
  switch (name) {
    case "Date":
      return dateProblem(node, parent);
    case "Math": {
      const member = parent?.type === "MemberExpression" && parent["object"] === node ? memberName(parent) : undefined;
      if (member === undefined) {
        return "passes Math on; write Math.name, so that Math.random cannot hide";
      }
      return member === "random" ? "uses Math.random; draw by name from the seed" : undefined;
    }
    default:
      return deterministicGlobals.has(name) ? undefined : `uses the global ${name}`;
  }
}

function dateProblem(node: Node, parent: Node | undefined): string | undefined {
  if (parent?.type === "NewExpression" && parent["callee"] === node) {
    const given = nodesAt(parent, "arguments");
    if (given.length === 0 || given[0]?.type === "SpreadElement") {
      return "reads the clock with new Date()";
    }
    return given.length === 1 ? undefined : "builds a Date from local time; use Date.UTC";
  }
  if (parent?.type === "MemberExpression" && parent["object"] === node) {
    const member = memberName(parent);
    if (member === "UTC" || member === "parse") {
      return undefined;
    }
    return member === "now" ? "reads the clock with Date.now" : "uses Date in a way that may read the clock";
  }
  if (parent?.type === "BinaryExpression" && parent["operator"] === "instanceof" && parent["right"] === node) {
    return undefined;
  }
  return "passes Date on, or calls it; either may read the clock";
}

/** The name in `a.name` or `a["name"]`. */
function memberName(member: Node): string | undefined {
  const property = nodeAt(member, "property");
  return member["computed"] === true ? literalText(property) : String(property?.["name"]);
}

function nodeImpurities(source: Source): Impurity[] {
  const found: Impurity[] = [];
  for (const node of walk(source.program)) {
    if (node.type === "MetaProperty" && nodeAt(node, "meta")?.["name"] === "import") {
      found.push({ line: source.lineAt(node.start), message: "reads import.meta, which is about the machine it runs on" });
    }
    const method = node.type === "MemberExpression" ? memberName(node) : undefined;
    if (method !== undefined && localMethods.has(method)) {
      found.push({ line: source.lineAt(node.start), message: `uses ${method}, which depends on the machine's language or time zone` });
    }
  }
  return found;
}
