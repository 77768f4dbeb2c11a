// SPDX-License-Identifier: Apache-2.0
// Which names of a file are global: read there and bound nowhere around. A parameter called `process` is no process.
import { children, type Node, nodeAt, nodesAt } from "./syntax.ts";

/** A global name where it is read, with the nodes around it, nearest first. */
export type GlobalUse = { readonly name: string; readonly node: Node; readonly around: readonly Node[] };

type Scope = { readonly names: Set<string>; readonly outer: Scope | undefined };

/** Expressions of TypeScript that exist at run time; every other TS node is a type. */
const runtimeTs = new Set([
  "TSAsExpression",
  "TSSatisfiesExpression",
  "TSNonNullExpression",
  "TSTypeAssertion",
  "TSInstantiationExpression",
  "TSParameterProperty",
  "TSExportAssignment",
  "TSEnumDeclaration",
  "TSEnumBody",
  "TSEnumMember",
  "TSModuleDeclaration",
  "TSModuleBlock",
]);

const functions = new Set(["FunctionDeclaration", "FunctionExpression", "ArrowFunctionExpression"]);
const loops = new Set(["ForStatement", "ForInStatement", "ForOfStatement"]);

/** The global names a program uses as values, in source order. */
export function globalUses(program: Node): GlobalUse[] {
  const uses: GlobalUse[] = [];
  visit(program, undefined, [], uses);
  return uses;
}

function visit(node: Node, outer: Scope | undefined, around: readonly Node[], uses: GlobalUse[]): void {
  if (node["declare"] === true || isElsewhere(node) || (node.type.startsWith("TS") && !runtimeTs.has(node.type))) {
    return;
  }
  if (node.type === "Identifier") {
    const name = String(node["name"]);
    if (!isBound(name, outer)) {
      uses.push({ name, node, around });
    }
    return;
  }
  const scope = scopeOf(node, outer);
  const inner = [node, ...around];
  for (const child of valueChildren(node)) {
    visit(child, scope, inner, uses);
  }
}

/** Names in imports and re-exports belong to other files, and `export { type A }` to no run time. */
function isElsewhere(node: Node): boolean {
  switch (node.type) {
    case "ImportDeclaration":
    case "ExportAllDeclaration":
      return true;
    case "ExportNamedDeclaration":
      return nodeAt(node, "source") !== undefined || node["exportKind"] === "type";
    case "ExportSpecifier":
      return node["exportKind"] === "type";
    default:
      return false;
  }
}

function isBound(name: string, scope: Scope | undefined): boolean {
  for (let one = scope; one !== undefined; one = one.outer) {
    if (one.names.has(name)) {
      return true;
    }
  }
  return false;
}

/** The children that can hold values: no property names, labels, import names or types. */
function valueChildren(node: Node): Node[] {
  const skipped = skippedKeys(node);
  return children(node).filter((child) => !skipped.some((key) => node[key] === child));
}

function skippedKeys(node: Node): readonly string[] {
  switch (node.type) {
    case "MemberExpression":
      return node["computed"] === true ? [] : ["property"];
    case "Property":
    case "MethodDefinition":
    case "PropertyDefinition":
    case "AccessorProperty":
      return node["computed"] === true ? [] : ["key"];
    case "TSEnumMember":
    case "TSModuleDeclaration":
    case "TSEnumDeclaration":
      return ["id"];
    case "LabeledStatement":
    case "BreakStatement":
    case "ContinueStatement":
      return ["label"];
    case "MetaProperty":
      return ["meta", "property"];
    case "ExportSpecifier":
      return ["exported"];
    default:
      return [];
  }
}

/** The scope inside a node; the outer one when the node opens none. */
function scopeOf(node: Node, outer: Scope | undefined): Scope | undefined {
  const names = new Set<string>();
  if (node.type === "Program" || node.type === "StaticBlock") {
    hoistVars(node, names);
    bindStatements(nodesAt(node, "body"), names);
  } else if (functions.has(node.type)) {
    names.add("arguments");
    bindPattern(nodeAt(node, "id"), names);
    nodesAt(node, "params").forEach((param) => bindPattern(param, names));
    const body = nodeAt(node, "body");
    if (body !== undefined) {
      hoistVars(body, names);
    }
  } else if (node.type === "ClassExpression" || node.type === "ClassDeclaration") {
    bindPattern(nodeAt(node, "id"), names);
  } else if (node.type === "BlockStatement" || node.type === "TSModuleBlock") {
    bindStatements(nodesAt(node, "body"), names);
  } else if (loops.has(node.type)) {
    bindStatements([...nodesAt(node, "init"), ...nodesAt(node, "left")], names);
  } else if (node.type === "SwitchStatement") {
    bindStatements(
      nodesAt(node, "cases").flatMap((one) => nodesAt(one, "consequent")),
      names,
    );
  } else if (node.type === "CatchClause") {
    bindPattern(nodeAt(node, "param"), names);
  } else {
    return outer;
  }
  return { names, outer };
}

/** Names declared by statements directly in a block. Ambient ones (`declare`, `import type`) bind nothing. */
function bindStatements(statements: readonly Node[], names: Set<string>): void {
  for (const statement of statements) {
    const declaration = statement.type.startsWith("Export") ? nodeAt(statement, "declaration") : statement;
    if (declaration === undefined || declaration["declare"] === true) {
      continue;
    }
    switch (declaration.type) {
      case "VariableDeclaration":
        nodesAt(declaration, "declarations").forEach((one) => bindPattern(nodeAt(one, "id"), names));
        break;
      case "FunctionDeclaration":
      case "ClassDeclaration":
      case "TSEnumDeclaration":
      case "TSModuleDeclaration":
      case "TSImportEqualsDeclaration":
        bindPattern(nodeAt(declaration, "id"), names);
        break;
      case "ImportDeclaration":
        for (const specifier of nodesAt(declaration, "specifiers")) {
          if (declaration["importKind"] !== "type" && specifier["importKind"] !== "type") {
            bindPattern(nodeAt(specifier, "local"), names);
          }
        }
        break;
      default:
        break;
    }
  }
}

/** `var` belongs to the whole function, however deep it stands. */
function hoistVars(node: Node, names: Set<string>): void {
  for (const child of children(node)) {
    if (functions.has(child.type) || child.type === "StaticBlock" || child["declare"] === true) {
      continue;
    }
    if (child.type === "VariableDeclaration" && child["kind"] === "var") {
      nodesAt(child, "declarations").forEach((one) => bindPattern(nodeAt(one, "id"), names));
    }
    hoistVars(child, names);
  }
}

function bindPattern(pattern: Node | undefined, names: Set<string>): void {
  switch (pattern?.type) {
    case "Identifier":
      names.add(String(pattern["name"]));
      break;
    case "ObjectPattern":
      nodesAt(pattern, "properties").forEach((one) => bindPattern(nodeAt(one, one.type === "RestElement" ? "argument" : "value"), names));
      break;
    case "ArrayPattern":
      nodesAt(pattern, "elements").forEach((one) => bindPattern(one, names));
      break;
    case "AssignmentPattern":
      bindPattern(nodeAt(pattern, "left"), names);
      break;
    case "RestElement":
      bindPattern(nodeAt(pattern, "argument"), names);
      break;
    case "TSParameterProperty":
      bindPattern(nodeAt(pattern, "parameter"), names);
      break;
    default:
      break;
  }
}
