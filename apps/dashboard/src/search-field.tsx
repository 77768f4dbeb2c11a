// SPDX-License-Identifier: Apache-2.0
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

/** A field for a part of an id. The search begins when typing pauses. */
export function SearchField({ value, onSearch }: { readonly value: string; readonly onSearch: (text: string) => void }): JSX.Element {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    if (text === value) {
      return undefined;
    }
    const timer = setTimeout(() => onSearch(text), 250);
    return () => clearTimeout(timer);
  }, [text, value]);
  return (
    <label class="search">
      <span class="hidden">Search by id</span>
      <input type="search" placeholder="Search by id" value={text} maxLength={64} onInput={(event) => setText(event.currentTarget.value)} />
    </label>
  );
}
