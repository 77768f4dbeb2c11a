// SPDX-License-Identifier: Apache-2.0
import type { Entry, Group, Schema, Type } from "./cddl-parser.ts";
import type { Item } from "./item.ts";

interface Member {
  readonly min: number;
  readonly max: number;
  readonly key: Type;
  readonly value: Type;
}

const members = new WeakMap<Group, readonly Member[]>();

/** True when `item` is of the type that the schema calls `name`. Throws when the schema uses what this cannot check. */
export function conforms(schema: Schema, name: string, item: Item): boolean {
  return matches(schema, { kind: "name", name }, item);
}

function matches(schema: Schema, type: Type, item: Item): boolean {
  switch (type.kind) {
    case "choice":
      return type.types.some((option) => matches(schema, option, item));
    case "number":
      return numberOf(item, type.float) === type.value;
    case "text":
      return item.major === 3 && item.text === type.value;
    case "name":
      return type.name === "#" || matches(schema, named(schema, type.name), item);
    case "major":
      return item.major === type.major && (type.info === undefined || (item.major === 7 && item.info === type.info));
    case "range":
      return inRange(type, item);
    case "control":
      return matches(schema, type.target, item) && controlled(schema, type.operator, type.argument, item);
    case "map":
      return item.major === 5 && mapMatches(schema, type.group, item.pairs);
  }
}

function named(schema: Schema, name: string): Type {
  const type = schema.types.get(name);
  if (type === undefined) {
    throw new Error(`${name} is not a type of the schema`);
  }
  return type;
}

/** Whole numbers and floats are different types; undefined when the item is not of the wanted one. */
function numberOf(item: Item, float: boolean): number | undefined {
  if (float) {
    return item.major === 7 && item.info >= 25 ? item.value : undefined;
  }
  return item.major === 0 || item.major === 1 ? Number(item.value) : undefined;
}

function inRange(type: Extract<Type, { kind: "range" }>, item: Item): boolean {
  const { from, to } = type;
  if (from.kind !== "number" || to.kind !== "number" || from.float !== to.float) {
    throw new Error("a range needs two numbers of one kind");
  }
  const value = numberOf(item, from.float);
  return value !== undefined && value >= from.value && (type.inclusive ? value <= to.value : value < to.value);
}

function controlled(schema: Schema, operator: string, argument: Type, item: Item): boolean {
  switch (operator) {
    case ".size":
      if (item.major !== 2 && item.major !== 3) {
        throw new Error(".size is for strings here");
      }
      return matches(schema, argument, { major: 0, value: BigInt(item.bytes.length) });
    case ".regexp":
      if (argument.kind !== "text") {
        throw new Error(".regexp needs a text");
      }
      return item.major === 3 && new RegExp(`^(?:${argument.value})$`, "u").test(item.text);
    case ".and":
      return matches(schema, argument, item);
    default:
      throw new Error(`the control ${operator} is not known`);
  }
}

/** Every pair must belong to a member and every member must occur often enough; RFC 8610 section 3.5. */
function mapMatches(schema: Schema, group: Group, pairs: readonly (readonly [Item, Item])[]): boolean {
  let flat = members.get(group);
  if (flat === undefined) {
    flat = group.entries.flatMap((entry) => flatten(schema, entry));
    members.set(group, flat);
  }
  const counts = flat.map(() => 0);
  const keys = new Set<string>();
  for (const [key, value] of pairs) {
    const index = flat.findIndex((member) => matches(schema, member.key, key));
    const member = flat[index];
    if (member === undefined || !matches(schema, member.value, value)) {
      return false;
    }
    keys.add(identity(key));
    counts[index] = (counts[index] as number) + 1;
  }
  return (
    keys.size === pairs.length && flat.every(({ min, max }, i) => (counts[i] as number) >= min && (counts[i] as number) <= max)
  );
}

function flatten(schema: Schema, entry: Entry): Member[] {
  const { member } = entry;
  if ("key" in member) {
    return [{ min: entry.min, max: entry.max, ...member }];
  }
  const group = "entries" in member ? member : schema.groups.get(member.name);
  if (group === undefined) {
    throw new Error(`${"name" in member ? member.name : ""} is not a group of the schema`);
  }
  if (entry.min !== 1 || entry.max !== 1) {
    throw new Error("a group that occurs more or less than once is not supported");
  }
  return group.entries.flatMap((inner) => flatten(schema, inner));
}

function identity(key: Item): string {
  switch (key.major) {
    case 0:
    case 1:
      return `${key.value}`;
    case 3:
      return `"${key.text}"`;
    default:
      throw new Error("a key is a whole number or a text");
  }
}
