// SPDX-License-Identifier: Apache-2.0
// A list of any length of which only the visible part exists. Rows are asked for by their place.
import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Problem } from "./api.ts";
import { useLive } from "./live.ts";

const rowHeight = 40;
const margin = 15;
/** Windows begin at multiples of this, so that scrolling by a row asks for nothing. */
const stride = 25;

/** What such a list is made of: an answer of the API with any part of it. */
export interface RowPage<R> {
  readonly now: string;
  readonly total: number;
  readonly skip: number;
  readonly rows: readonly R[];
}

export interface Rows<P> {
  /** The part that is to be seen, or the last one while the next is asked for. */
  readonly page: P | undefined;
  readonly problem: Problem | undefined;
  readonly again: () => void;
  readonly top: (pixels: number) => void;
  readonly scroller: { readonly current: HTMLDivElement | null };
}

/** Asks for the visible part of what `path` lists for this query, again as it is scrolled. A new query begins at the top. */
export function useRows<P extends RowPage<unknown>>(path: string, query: Readonly<Record<string, string>>): Rows<P> {
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(480);
  const scroller = useRef<HTMLDivElement>(null);
  const asked = JSON.stringify(query);
  useEffect(() => {
    if (scroller.current !== null) {
      scroller.current.scrollTop = 0;
      setHeight(scroller.current.clientHeight || 480);
    }
    setTop(0);
  }, [asked]);
  const skip = Math.max(0, Math.floor((Math.floor(top / rowHeight) - margin) / stride) * stride);
  const limit = Math.ceil(height / rowHeight) + 2 * margin + stride;
  const url = useMemo(() => `${path}?${new URLSearchParams({ ...query, skip: String(skip), limit: String(limit) }).toString()}`, [path, asked, skip, limit]);
  const { data, problem, again } = useLive<P>(url, 10_000, 2_000);
  // While the next window is asked for, the last one stays.
  const shown = useRef<{ readonly asked: string; readonly page: P } | undefined>(undefined);
  if (data !== undefined) {
    shown.current = { asked, page: data };
  }
  return { page: shown.current?.asked === asked ? shown.current.page : undefined, problem, again, top: setTop, scroller };
}

export interface RowListProps<R> {
  readonly label: string;
  /** Titles of the columns; each is also the class of its cells. */
  readonly columns: readonly string[];
  readonly rows: Rows<RowPage<R>>;
  readonly idOf: (row: R) => string;
  readonly tone?: (row: R) => string;
  /** One cell for each column. */
  readonly cells: (row: R, now: string) => readonly (JSX.Element | string)[];
  readonly name?: string;
}

export function RowList<R>({ label, columns, rows: { page, scroller, top }, idOf, tone, cells, name = "" }: RowListProps<R>): JSX.Element {
  const total = page?.total ?? 0;
  return (
    <div class={`row-list ${name}`} role="table" aria-label={label} aria-rowcount={page?.total ?? -1}>
      <div class="list-row head" role="row">
        {columns.map((title) => (
          <span key={title} role="columnheader" class={classOf(title)}>
            {title}
          </span>
        ))}
      </div>
      <div class="scroller" ref={scroller} role="rowgroup" tabIndex={0} style={total > 0 ? { maxHeight: `${total * rowHeight + 1}px` } : {}} onScroll={(event) => top(event.currentTarget.scrollTop)}>
        <div class="tall" role="presentation" style={{ height: `${total * rowHeight}px` }}>
          <div class="window" role="presentation" style={{ transform: `translateY(${(page?.skip ?? 0) * rowHeight}px)` }}>
            {page?.rows.map((row, index) => (
              <div key={idOf(row)} class={`list-row ${tone?.(row) ?? ""}`} role="row" aria-rowindex={page.skip + index + 1}>
                {cells(row, page.now).map((cell, column) => (
                  <span key={columns[column]} role="cell" class={classOf(columns[column] ?? "")}>
                    {cell}
                  </span>
                ))}
              </div>
            ))}
          </div>
        </div>
      </div>
    </div>
  );
}

const classOf = (title: string): string => title.replaceAll(" ", "-");
