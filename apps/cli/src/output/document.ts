// SPDX-License-Identifier: Apache-2.0
// Documents that commands fetch: to stdout, to a file, or inside one JSON document.
import { writeBytes } from "../files.ts";
import { output } from "./output.ts";

/** Prints a Markdown document, or writes it to `--out`. With `--json` it is the field `markdown` beside `about`. */
export async function document(text: string, about: Readonly<Record<string, unknown>>, flags: { readonly out?: string; readonly json?: true }): Promise<void> {
  if (flags.out === undefined) {
    output(flags).result({ ...about, markdown: text }, () => text.trimEnd());
    return;
  }
  writeBytes(flags.out, `${text.trimEnd()}\n`, { what: "the document" });
  output(flags).result({ ...about, out: flags.out }, () => `written to ${flags.out}`);
}
