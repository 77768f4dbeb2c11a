// SPDX-License-Identifier: Apache-2.0
import process from "node:process";
import { styleText } from "node:util";

// Control characters could move the cursor or recolour the terminal: what devices say is shown escaped.
const unprintable = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** Text that may come from devices or files, safe for a terminal; newlines and tabs stay. */
export function printable(text: string): string {
  return text.replaceAll(unprintable, (character) => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`);
}

export type Tone = "good" | "bad" | "warn" | "dim" | "strong";

const formats = { good: "green", bad: "red", warn: "yellow", dim: "dim", strong: "bold" } as const;

/** Colours text for stdout; plain where stdout is no terminal or NO_COLOR is set. */
export function tone(kind: Tone, text: string): string {
  return styleText(formats[kind], text, { stream: process.stdout, validateStream: true });
}

/** The colour of a state, an outcome or a verdict. */
export function toneOf(word: string): Tone {
  switch (word) {
    case "pass":
    case "complete":
    case "healthy":
    case "confirmed":
    case "ok":
      return "good";
    case "fail":
    case "halted":
    case "aborted":
    case "failed":
    case "reverted":
    case "refused":
    case "missing":
      return "bad";
    case "held":
    case "inconclusive":
    case "deferred":
    case "quarantined":
      return "warn";
    default:
      return "strong";
  }
}

/** Columns text takes on a terminal, colours left out. Wide characters count twice. */
export function displayWidth(text: string): number {
  let width = 0;
  // oxlint-disable-next-line no-control-regex -- escape sequences are what is being removed
  for (const character of text.replaceAll(/\u001b\[[0-9;]*m/g, "")) {
    const code = character.codePointAt(0) ?? 0;
    const wide = (code >= 0x1100 && code <= 0x115f) || (code >= 0x2e80 && code <= 0xa4cf) || (code >= 0xac00 && code <= 0xd7a3) || (code >= 0xf900 && code <= 0xfaff) || (code >= 0xfe30 && code <= 0xfe6f) || (code >= 0xff00 && code <= 0xff60) || (code >= 0x1f300 && code <= 0x1faff);
    width += /\p{Mark}/u.test(character) ? 0 : wide ? 2 : 1;
  }
  return width;
}

/** Columns of a terminal. Some say 0 when they do not know: 80 then. */
export function terminalWidth(stream: { readonly columns?: number }): number {
  return stream.columns === undefined || stream.columns < 20 ? 80 : stream.columns;
}

/** Cuts text to a width, with an ellipsis in place of what is missing. */
export function cut(text: string, width: number): string {
  if (displayWidth(text) <= width) {
    return text;
  }
  let kept = "";
  let used = 0;
  for (const character of text) {
    const next = used + displayWidth(character);
    if (next > width - 1) {
      break;
    }
    kept += character;
    used = next;
  }
  return `${kept}…`;
}

/** Breaks text between words into lines of at most `width` columns; a longer word gets a line of its own. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (line !== "" && displayWidth(longer) > width) {
      lines.push(line);
      line = word;
    } else {
      line = longer;
    }
  }
  return [...lines, line];
}
