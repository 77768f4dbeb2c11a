// SPDX-License-Identifier: Apache-2.0
/** A list of facts. */
export function list(rows: readonly (readonly [string, string])[]): string[] {
  return rows.map(([name, value]) => `- ${name}: ${escape(value)}`);
}

/** A table; every cell is escaped. */
export function table(titles: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(titles), line(titles.map(() => "---")), ...rows.map((row) => line(row.map(escape)))];
}

/** Text of anybody's as one line of Markdown that cannot become markup. */
export function escape(text: string): string {
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ").replaceAll(/[\\`*_[\]<>|~#&]/g, (character) => `\\${character}`);
}
