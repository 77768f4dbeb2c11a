// SPDX-License-Identifier: Apache-2.0
// The imports of one file: static, re-exporting, dynamic, `require` and `import("x")` types.
import type { Source } from "./syntax.ts";
import { literalText, type Node, nodeAt, nodesAt, walk } from "./syntax.ts";

export type Import = {
  /** What stands between the quotes; undefined for `import(expression)`. */
  readonly from: string | undefined;
  readonly line: number;
  readonly typeOnly: boolean;
  /** The imported names that exist at run time; "*" for a namespace, a dynamic import or `export *`, "default" for a default import. */
  readonly names: readonly string[];
};

/** Every import of a file, in source order. */
export function importsOf(source: Source): Import[] {
  const found: Import[] = [];
  for (const node of walk(source.program)) {
    const line = source.lineAt(node.start);
    switch (node.type) {
      case "ImportDeclaration":
      case "ExportNamedDeclaration": {
        const from = literalText(nodeAt(node, "source"));
        if (from !== undefined) {
          const whole = node["importKind"] === "type" || node["exportKind"] === "type";
          const specifiers = nodesAt(node, "specifiers");
          const names = whole ? [] : specifiers.filter((one) => !isType(one)).map(nameOf);
          // `import "x"` runs x; `import { type A } from "x"` runs it as well.
          found.push({ from, line, typeOnly: whole, names });
        }
        break;
      }
      case "ExportAllDeclaration": {
        const typeOnly = node["exportKind"] === "type";
        found.push({ from: literalText(nodeAt(node, "source")), line, typeOnly, names: typeOnly ? [] : ["*"] });
        break;
      }
      case "ImportExpression":
        found.push({ from: literalText(nodeAt(node, "source")), line, typeOnly: false, names: ["*"] });
        break;
      case "TSImportType":
        found.push({ from: literalText(nodeAt(node, "source")), line, typeOnly: true, names: [] });
        break;
      case "TSExternalModuleReference":
        found.push({ from: literalText(nodeAt(node, "expression")), line, typeOnly: false, names: ["*"] });
        break;
      case "CallExpression":
        if (isRequire(nodeAt(node, "callee"))) {
          found.push({ from: literalText(nodesAt(node, "arguments")[0]), line, typeOnly: false, names: ["*"] });
        }
        break;
      default:
        break;
    }
  }
  return found;
}

function isType(specifier: Node): boolean {
  return specifier["importKind"] === "type" || specifier["exportKind"] === "type";
}

function nameOf(specifier: Node): string {
  switch (specifier.type) {
    case "ImportDefaultSpecifier":
      return "default";
    case "ImportNamespaceSpecifier":
      return "*";
    default: {
      const name = nodeAt(specifier, specifier.type === "ImportSpecifier" ? "imported" : "local");
      return String(name?.["name"] ?? name?.["value"]);
    }
  }
}

/** `require(…)`, `require.resolve(…)`, and what `createRequire` is usually called. */
function isRequire(callee: Node | undefined): boolean {
  if (callee?.type === "MemberExpression") {
    return isRequire(nodeAt(callee, "object"));
  }
  return callee?.type === "Identifier" && callee["name"] === "require";
}
