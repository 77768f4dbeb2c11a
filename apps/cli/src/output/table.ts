// SPDX-License-Identifier: Apache-2.0
import process from "node:process";
import { cut, displayWidth, printable, terminalWidth, tone, type Tone, wrap } from "./text.ts";

export interface Cell {
  readonly text: string;
  readonly tone?: Tone;
}

export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
  /** Gives way when the terminal is narrow; columns without it are never cut. */
  readonly flexible?: boolean;
}

const gap = 2;
const flexibleMin = 8;

/** Rows under titles. On a terminal it fits the width; elsewhere nothing is cut. */
export function table(columns: readonly Column[], rows: readonly (readonly (string | number | Cell)[])[], options: { readonly width?: number | undefined } = {}): string {
  const cells = rows.map((row) => row.map((cell): Cell => (typeof cell === "object" ? { ...cell, text: oneLine(cell.text) } : { text: oneLine(String(cell)) })));
  const widths = columns.map((column, index) => Math.max(displayWidth(column.title), ...cells.map((row) => displayWidth(row[index]?.text ?? ""))));
  shrink(columns, widths, options.width ?? (process.stdout.isTTY ? terminalWidth(process.stdout) : undefined));
  const line = (row: readonly Cell[]): string =>
    columns
      .map((column, index) => {
        const cell = row[index] ?? { text: "" };
        const text = cut(cell.text, widths[index] as number);
        const space = " ".repeat((widths[index] as number) - displayWidth(text));
        const coloured = cell.tone === undefined ? text : tone(cell.tone, text);
        return column.align === "right" ? space + coloured : coloured + (index === columns.length - 1 ? "" : space);
      })
      .join(" ".repeat(gap))
      .trimEnd();
  const head = line(columns.map((column): Cell => ({ text: column.title, tone: "dim" })));
  return [head, ...cells.map(line)].join("\n");
}

/** Names and values, one pair a line, values aligned. On a terminal a long value goes on below where it began. */
export function facts(rows: readonly (readonly [name: string, value: string | number | Cell])[], options: { readonly width?: number | undefined } = {}): string {
  const width = Math.max(...rows.map(([name]) => displayWidth(name)));
  const available = options.width ?? (process.stdout.isTTY ? terminalWidth(process.stdout) : undefined);
  return rows
    .map(([name, value]) => {
      const cell: Cell = typeof value === "object" ? value : { text: String(value) };
      const text = printable(cell.text);
      const lines = available === undefined ? [text] : wrap(text, Math.max(20, available - width - gap));
      const shown = lines.map((line) => (cell.tone === undefined ? line : tone(cell.tone, line)));
      return `${tone("dim", name.padEnd(width))}${" ".repeat(gap)}${shown.join(`\n${" ".repeat(width + gap)}`)}`;
    })
    .join("\n");
}

function oneLine(text: string): string {
  return printable(text).replaceAll(/[\n\t]+/g, " ");
}

function shrink(columns: readonly Column[], widths: number[], available: number | undefined): void {
  if (available === undefined) {
    return;
  }
  let excess = widths.reduce((sum, width) => sum + width, gap * (widths.length - 1)) - available;
  for (const [index, column] of columns.entries()) {
    if (excess > 0 && column.flexible === true) {
      const given = Math.min(excess, Math.max(0, (widths[index] as number) - flexibleMin));
      widths[index] = (widths[index] as number) - given;
      excess -= given;
    }
  }
}
