// SPDX-License-Identifier: Apache-2.0

/** A type of CDDL (RFC 8610), as far as coalmine.cddl needs it. */
export type Type =
  | { readonly kind: "choice"; readonly types: readonly Type[] }
  | { readonly kind: "number"; readonly value: number; readonly float: boolean }
  | { readonly kind: "text"; readonly value: string }
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "major"; readonly major: number; readonly info: number | undefined }
  | { readonly kind: "range"; readonly from: Type; readonly to: Type; readonly inclusive: boolean }
  | { readonly kind: "control"; readonly operator: string; readonly target: Type; readonly argument: Type }
  | { readonly kind: "map"; readonly group: Group };

/** One entry of a group: a group by name or written in place, or a member with its key. */
export interface Entry {
  readonly min: number;
  readonly max: number;
  readonly member: { readonly key: Type; readonly value: Type } | Group | { readonly name: string };
}

export interface Group {
  readonly entries: readonly Entry[];
}

export interface Schema {
  readonly types: ReadonlyMap<string, Type>;
  readonly groups: ReadonlyMap<string, Group>;
}

/** RFC 8610 Appendix D, the names the file may use. */
const prelude = `
any = #
uint = #0  nint = #1  bstr = #2  bytes = bstr  tstr = #3  text = tstr  int = uint / nint
false = #7.20  true = #7.21  bool = false / true  nil = #7.22  null = nil  undefined = #7.23
float16 = #7.25  float32 = #7.26  float64 = #7.27
`;

interface Token {
  readonly kind: "name" | "number" | "text" | "control" | "sign" | "end";
  readonly text: string;
  readonly line: number;
  /** True when nothing stands between this token and the one before: `0*16` is an occurrence, `0 *` is not. */
  readonly joined: boolean;
}

const shapes =
  /(?<space>(?:\s|;[^\n]*)+)|(?<text>"(?:[^"\\]|\\.)*")|(?<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?<name>[A-Za-z@_$](?:[A-Za-z0-9@_$.-]*[A-Za-z0-9@_$])?)|(?<control>\.[a-z]+)|(?<sign>=>|\.\.\.|\.\.|\/\/|[={}()[\]/,*+?#:.])/y;

function tokens(source: string): Token[] {
  const found: Token[] = [];
  let line = 1;
  let joined = false;
  shapes.lastIndex = 0;
  while (shapes.lastIndex < source.length) {
    const at = shapes.lastIndex;
    const groups = shapes.exec(source)?.groups;
    if (groups === undefined) {
      throw new Error(`line ${line}: cannot read ${JSON.stringify(source.slice(at, at + 20))}`);
    }
    const [kind, text] = Object.entries(groups).find(([, value]) => value !== undefined) as [string, string];
    if (kind === "space") {
      line += text.split("\n").length - 1;
    } else {
      found.push({ kind: kind as Token["kind"], text, line, joined });
    }
    joined = kind !== "space";
  }
  found.push({ kind: "end", text: "", line, joined: false });
  return found;
}

/**
 * Reads CDDL: rules, types with choices, literals, ranges, `.size .regexp .and`, maps, groups and occurrences.
 * Throws with the line on anything else: arrays, tags, generics, sockets and `//` are not in the file.
 */
export function parseCddl(source: string): Schema {
  const types = new Map<string, Type>();
  const groups = new Map<string, Group>();
  for (const text of [prelude, source]) {
    const parser = new Parser(tokens(text));
    while (!parser.done) {
      parser.rule(types, groups);
    }
  }
  return { types, groups };
}

class Parser {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(list: readonly Token[]) {
    this.#tokens = list;
  }

  get done(): boolean {
    return this.#peek().kind === "end";
  }

  rule(types: Map<string, Type>, groups: Map<string, Group>): void {
    const name = this.#take("name").text;
    this.#sign("=");
    if (types.has(name) || groups.has(name)) {
      this.#fail(`${name} is defined twice`);
    }
    if (this.#is("(")) {
      this.#sign("(");
      groups.set(name, this.#group(")"));
    } else {
      types.set(name, this.#type());
    }
  }

  #type(): Type {
    const options = [this.#type1()];
    while (this.#is("/")) {
      this.#sign("/");
      options.push(this.#type1());
    }
    return options.length === 1 ? (options[0] as Type) : { kind: "choice", types: options };
  }

  #type1(): Type {
    const target = this.#type2();
    if (this.#is("..") || this.#is("...")) {
      const inclusive = this.#take("sign").text === "..";
      return { kind: "range", from: target, to: this.#type2(), inclusive };
    }
    if (this.#peek().kind === "control") {
      return { kind: "control", operator: this.#take("control").text, target, argument: this.#type2() };
    }
    return target;
  }

  #type2(): Type {
    const token = this.#tokens[this.#at] as Token;
    this.#at += 1;
    switch (token.kind) {
      case "number":
        return { kind: "number", value: Number(token.text), float: /[.eE]/.test(token.text) };
      case "text":
        return { kind: "text", value: JSON.parse(token.text) as string };
      case "name":
        return { kind: "name", name: token.text };
      default:
    }
    switch (token.text) {
      case "(": {
        const type = this.#type();
        this.#sign(")");
        return type;
      }
      case "{":
        return { kind: "map", group: this.#group("}") };
      case "#":
        return this.#major();
      default:
        this.#at -= 1;
        return this.#fail(`a type cannot start with ${JSON.stringify(token.text)}`);
    }
  }

  #major(): Type {
    const token = this.#peek();
    if (token.kind !== "number" || !token.joined) {
      return { kind: "name", name: "#" };
    }
    const [major, info] = this.#take("number").text.split(".");
    return { kind: "major", major: Number(major), info: info === undefined ? undefined : Number(info) };
  }

  #group(close: string): Group {
    const entries: Entry[] = [];
    while (!this.#is(close)) {
      entries.push(this.#entry());
      if (this.#is(",")) {
        this.#sign(",");
      }
    }
    this.#sign(close);
    return { entries };
  }

  #entry(): Entry {
    const { min, max } = this.#occurrence();
    if (this.#is("(")) {
      this.#sign("(");
      return { min, max, member: this.#group(")") };
    }
    const key = this.#type1();
    if (this.#is("=>")) {
      this.#sign("=>");
      return { min, max, member: { key, value: this.#type() } };
    }
    if (this.#is(":")) {
      this.#sign(":");
      const named: Type = key.kind === "name" ? { kind: "text", value: key.name } : key;
      return { min, max, member: { key: named, value: this.#type() } };
    }
    return key.kind === "name" ? { min, max, member: { name: key.name } } : this.#fail("a member needs a key");
  }

  #occurrence(): { min: number; max: number } {
    const star = this.#tokens[this.#at + 1];
    if (this.#peek().kind === "number" && star?.text === "*" && star.joined) {
      const min = Number(this.#take("number").text);
      this.#sign("*");
      const joined = this.#peek().kind === "number" && this.#peek().joined;
      return { min, max: joined ? Number(this.#take("number").text) : Infinity };
    }
    for (const [sign, min, max] of [["*", 0, Infinity], ["+", 1, Infinity], ["?", 0, 1]] as const) {
      if (this.#is(sign)) {
        this.#sign(sign);
        return { min, max };
      }
    }
    return { min: 1, max: 1 };
  }

  #peek(): Token {
    return this.#tokens[this.#at] as Token;
  }

  #is(sign: string): boolean {
    return this.#peek().kind === "sign" && this.#peek().text === sign;
  }

  #sign(sign: string): void {
    if (!this.#is(sign)) {
      this.#fail(`expected ${sign}, found ${JSON.stringify(this.#peek().text)}`);
    }
    this.#at += 1;
  }

  #take(kind: Token["kind"]): Token {
    const token = this.#peek();
    if (token.kind !== kind) {
      this.#fail(`expected a ${kind}, found ${JSON.stringify(token.text)}`);
    }
    this.#at += 1;
    return token;
  }

  #fail(problem: string): never {
    throw new Error(`line ${this.#peek().line}: ${problem}`);
  }
}
