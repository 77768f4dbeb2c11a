// SPDX-License-Identifier: Apache-2.0
// The syntax tree of one source file, walked without caring for every kind of node.
import { parseSync, visitorKeys } from "oxc-parser";

/** A node of the ESTree (TS-ESTree) that oxc-parser returns. */
export type Node = { readonly type: string; readonly start: number; readonly end: number } & Readonly<Record<string, unknown>>;

export type Source = {
  readonly text: string;
  readonly program: Node;
  /** The line, from 1, of an offset. */
  lineAt(offset: number): number;
};

/**
 * Parses TypeScript or JavaScript by the file's ending.
 * @throws Error when the file does not parse: a guard that skipped it would be blind
 */
export function parseSource(file: string, text: string): Source {
  const { program, errors } = parseSync(file, text);
  const broken = errors[0];
  if (broken !== undefined) {
    throw new Error(`${file} does not parse: ${broken.message}`);
  }
  return {
    text,
    program: program as unknown as Node,
    lineAt: lineFinder(text),
  };
}

/** Every node asks for its line, so the ends of lines are found once. */
function lineFinder(text: string): (offset: number) => number {
  const ends: number[] = [];
  for (let end = text.indexOf("\n"); end !== -1; end = text.indexOf("\n", end + 1)) {
    ends.push(end);
  }
  return (offset) => {
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((ends[middle] ?? Infinity) < offset) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low + 1;
  };
}

/** The child nodes, in source order. */
export function children(node: Node): Node[] {
  const keys = visitorKeys[node.type];
  if (keys === undefined) {
    throw new Error(`unknown syntax node ${node.type}: the parser is newer than the guard`);
  }
  return keys.flatMap((key) => nodesAt(node, key));
}

/** The nodes in one property: none, one, or those of a list with holes. */
export function nodesAt(node: Node, key: string): Node[] {
  const value = node[key];
  return (Array.isArray(value) ? value : [value]).filter(isNode);
}

/** The one node in a property, if there is one. */
export function nodeAt(node: Node, key: string): Node | undefined {
  const value = node[key];
  return isNode(value) ? value : undefined;
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && typeof (value as { type?: unknown }).type === "string";
}

/** Every node, parents before children. */
export function* walk(node: Node): Generator<Node> {
  yield node;
  for (const child of children(node)) {
    yield* walk(child);
  }
}

/** The text of a string literal or of a template without holes. */
export function literalText(node: Node | undefined): string | undefined {
  if (node?.type === "Literal" && typeof node["value"] === "string") {
    return node["value"];
  }
  if (node?.type === "TemplateLiteral" && nodesAt(node, "expressions").length === 0) {
    const cooked = (nodesAt(node, "quasis")[0]?.["value"] as { cooked?: unknown } | undefined)?.cooked;
    return typeof cooked === "string" ? cooked : undefined;
  }
  return undefined;
}
